"""The order of the bytes in a GUID."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kraken.executors.ipmi.guid import guid_text


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        # What ipmitool 1.8.19 says of the same bytes.
        ("4c4c454400351010804bb3c04f4d3132", "44454c4c-3500-1010-804b-b3c04f4d3132"),  # SMBIOS
        ("a123456789abcdefa123456700000001", "01000000-6745-23a1-efcd-ab89674523a1"),  # IPMI
        ("33221100554444c18899aabbccddeeff", "33221100-5544-44c1-8899-aabbccddeeff"),  # RFC 4122
    ],
)
def test_the_order_is_the_one_that_has_a_version(sent: str, told: str) -> None:
    assert guid_text(bytes.fromhex(sent)) == told


def test_what_is_a_guid_in_no_order_is_told_as_it_came() -> None:
    sent = "ffeeddccbbaa99884177665544332211"

    assert guid_text(bytes.fromhex(sent)) == sent


@given(st.uuids(version=4))
def test_as_smbios_has_it_a_guid_comes_back(guid: uuid.UUID) -> None:
    assert guid_text(guid.bytes_le) == str(guid)


def test_half_a_guid_is_none() -> None:
    with pytest.raises(ValueError, match="15 bytes"):
        guid_text(bytes(15))
