"""docs/protocol.md is held to the code: whoever implements it elsewhere has only that page."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from kraken.sync import bounds, feed, lease, leases, letters, link, mirror, prints, tree
from kraken.sync.prints import row_print

PAGE = (Path(__file__).parents[3] / "docs" / "protocol.md").read_text()
WORDS = set(re.findall(r"[a-z_]+", PAGE))
STRUCTS = [
    one
    for one in vars(letters).values()
    if isinstance(one, type) and issubclass(one, msgspec.Struct) and one is not msgspec.Struct
]


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda one: one.__name__)
def test_every_message_and_its_fields_are_described(struct: type[msgspec.Struct]) -> None:
    assert set(struct.__struct_fields__) <= WORDS
    tag = struct.__struct_config__.tag
    if tag is not None:
        assert f'["{tag}"' in PAGE


@pytest.mark.parametrize("struct", [one for one in STRUCTS if one.__struct_config__.tag], ids=str)
def test_the_fields_of_a_body_are_told_in_their_order(struct: type[msgspec.Struct]) -> None:
    (row,) = re.findall(rf"^\| `{struct.__struct_config__.tag}` \| (`.*) \|$", PAGE, re.MULTILINE)

    assert tuple(re.findall(r"`(\w+)`", row)) == struct.__struct_fields__


@pytest.mark.parametrize(
    "told",
    [
        f"every {link.HELLO_S:.0f} s",
        f"After {link.DEAD_S:.0f} s without one",
        f"at most {feed.ROWS_MAX:,} rows".replace("at most", "At most"),
        f"after {feed.RESEND_S:.0f} s, then 2 s, ... {feed.RESEND_S_MAX:.0f} s",
        f"{mirror.PARTS_MAX} parts and {mirror.KEYS_MAX} documents a letter",
        f"after {mirror.ASK_AGAIN_S:.0f} s, ... {mirror.ASK_AGAIN_S_MAX:.0f} s",
        f"at most {prints.SMALL} documents",
        f"renews the lease for {lease.LEASE_S:.0f} s",
        f"heard for {leases.GRANT_S:.0f} s",
        f"less {lease.SKEW:.1%} for clocks",
        f"tells it at most every {tree.TOUCH_S:.0f} s",
        f"every {tree.CHECK_S:.0f} s while",
        f"every {leases.GIVE_BACK_S:.0f} s until",
        f"more than {letters.LETTER_BYTES_MAX >> 20} MiB",
        f"the version ({letters.VERSION})",
        f"names have {bounds.NAME_MAX}",
        f"With {bounds.ROW} for each record, what is observed of one node has {bounds.NODE_MAX:,} characters",
        f"what a collector says of itself {bounds.COLLECTOR_MAX:,}",
        f"with {bounds.KEY} for each, {bounds.BELOW_MAX:,}",
        f"begins more than {link.BIRTHS_MAX} lives in {link.BIRTHS_S:.0f} s",
        f"has {mirror.LACK_MAX:,} parts and documents yet to ask for",
    ],
)
def test_every_constant_is_the_codes(told: str) -> None:
    assert told in re.sub(r"\s+", " ", PAGE)


def test_the_example_is_what_the_code_reckons() -> None:
    assert f"`{row_print('n1', 'd', 'phys_state', 3, 7):#018x}`" in PAGE
