"""The new password as it goes to a BMC over IPMI."""

from __future__ import annotations

import pytest

from kraken.executors.ipmi.users import set_password


@pytest.mark.parametrize(
    ("password", "id_byte", "length"),
    [
        (b"x", 0x02, 16),
        (b"exactly-16-bytes", 0x02, 16),
        (b"these-are-17-byte", 0x82, 20),
        (b"z" * 20, 0x82, 20),
    ],
)
def test_a_password_is_stored_as_16_bytes_where_it_fits(password: bytes, id_byte: int, length: int) -> None:
    [step] = set_password(2, password).steps
    user, operation, *said = step.data

    assert (user, operation, len(said)) == (id_byte, 0x02, length)
    assert bytes(said).rstrip(b"\0") == password


def test_the_new_password_changes_the_bmc_may_be_said_twice_and_is_in_no_repr() -> None:
    verb = set_password(2, b"AAAA")

    assert verb.is_mutation
    assert verb.steps[0].repeatable
    assert "65, 65" not in repr(verb)
