"""docs/protocol.md is held to the code: whoever implements it elsewhere has only that page."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from kraken.daemon.condition import HEALTH_MAX
from kraken.daemon.rights import RESERVE_MORE_S
from kraken.engine.settings import Settings
from kraken.model import update
from kraken.sync import (
    bounds,
    calls,
    feed,
    lease,
    leases,
    letters,
    link,
    longer,
    longest,
    mirror,
    prints,
    tree,
    twins,
)
from kraken.sync.prints import row_print

PAGE = (Path(__file__).parents[3] / "docs" / "protocol.md").read_text()
WORDS = set(re.findall(r"[a-z_]+", PAGE))
WORDS_OF = {2: "two", 8: "eight", 16: "sixteen"}
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
        f"at most every {link.ANSWER_S} s",
        f"its parent does {link.ANSWER_S} s later",
        f"under way for {link.DEAD_S:.0f} s",
        f"and {letters.TEXT_MAX:,} characters of values",
        f"A value has at most {update.VALUE_MAX:,} characters",
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
        f"every {longer.GIVE_BACK_S:.0f} s until",
        f"its `timeout` for this, {Settings().grace_s:.0f} s in which its end is still listened to, and "
        f"{RESERVE_MORE_S:.0f} s until it begins",
        f"more than {letters.LETTER_BYTES_MAX >> 20} MiB",
        f"the version ({letters.VERSION})",
        f"names have {bounds.NAME_MAX}",
        f"With {bounds.ROW} for each record, what is observed of one node has {bounds.NODE_MAX:,} characters",
        f"what a collector says of itself {bounds.COLLECTOR_MAX:,}",
        f"with {bounds.KEY} for each, {bounds.BELOW_MAX:,}",
        f"in {HEALTH_MAX} characters at most",
        f"begins more than {link.BIRTHS_MAX} lives in {link.BIRTHS_S:.0f} s",
        f"has {mirror.LACK_MAX:,} parts and documents yet to ask for",
    ],
)
def test_every_constant_is_the_codes(told: str) -> None:
    assert told in re.sub(r"\s+", " ", PAGE)


def test_every_row_of_the_numbers_is_the_codes() -> None:
    """So none is written there that nobody checks."""
    names = re.findall(r"^\| (.*?) \| .* \|$", PAGE.partition("## Numbers")[2], re.MULTILINE)[1:]

    assert names == [
        "version in the first byte",
        f"message of {letters.LETTER_BYTES_MAX >> 20} MiB at most",
        f"value of {update.VALUE_MAX:,} characters at most",
        f"hello {link.HELLO_S:.0f} s, silent after {link.DEAD_S:.0f} s",
        f"an answering hello every {link.ANSWER_S} s at most, and so long for a child to speak first",
        f"delta of {feed.ROWS_MAX:,} rows, or {letters.TEXT_MAX:,} characters",
        f"delta again after {feed.RESEND_S:.0f} s, doubled up to {feed.RESEND_S_MAX:.0f} s",
        f"question again after {mirror.ASK_AGAIN_S:.0f} s, doubled up to {mirror.ASK_AGAIN_S_MAX:.0f} s",
        f"{WORDS_OF[prints.WIDTH]} parts, {WORDS_OF[prints.DEPTH_MAX]} digits, {prints.SMALL} documents",
        f"{letters.KEYS_MAX} documents a question",
        f"a node {bounds.NODE_MAX:,} characters, a collector {bounds.COLLECTOR_MAX:,}, "
        f"those below a child {bounds.BELOW_MAX:,}",
        f"{mirror.LACK_MAX:,} to ask for",
        f"{link.BIRTHS_MAX} lives in {link.BIRTHS_S:.0f} s",
        f"{WORDS_OF[mirror.DIFFERS_MAX]} hellos that differ",
        f"lease {lease.LEASE_S:.0f} s, renewed within {leases.GRANT_S:.0f} s of the last letter",
        f"clocks {100 * lease.SKEW} % apart",
        f"{RESERVE_MORE_S:.0f} s until a mutation begins, {Settings().grace_s:.0f} s until its end is known",
        f"{100 * longest.LEVELS * lease.SKEW:.0f} % and {longest.ROUNDING_S:.0f} s "
        "above the longest mutation",
        f"touch {tree.TOUCH_S:.0f} s",
        f"check {tree.CHECK_S:.0f} s",
        f"given back {longer.GIVE_BACK_S:.0f} s",
        f"of two daemons one is over after {link.DEAD_S:.0f} s of silence; "
        f"{WORDS_OF[twins.LIVES_MAX]} lives are remembered",
        f"{calls.CALLS_MAX:,} calls under way",
        f"a call known for {calls.AGAIN_S:.0f} s after its time",
    ]


def test_what_the_numbers_are_said_to_make_is_so() -> None:
    at_once = {
        f"{part:02x}": {f"n{part:02}{i:06}": 2**64 - 1 for i in range(prints.SMALL)} for part in range(64)
    }
    answer = letters.Letter(2**41, 2**41, 2**41, letters.Tell(9, 9, {}, at_once))
    children = bounds.COLLECTOR_MAX // bounds.weight("link:r12c0345", "DOWN", "r12-head")
    agent = bounds.KEY + bounds.weight("parent", "r12-head", "r12n0345")

    assert 30_000 < len(letters.encode(answer)) < 60_000, "a letter of 64 parts is answered with 60 kB"
    assert bounds.NODE_MAX // update.VALUE_MAX == 8, "eight of the longest values"
    assert children > 7_000
    assert bounds.BELOW_MAX // agent > 39_000
    assert lease.LEASE_S + leases.GRANT_S == 65.0, "a node goes to the next after 65 s at most"
    assert letters.LETTER_BYTES_MAX >= 20 * 200_000, "20 times the longest that is written"
    assert 4 * letters.TEXT_MAX == 2 << 20, "2 MiB where each character has four bytes"


def test_the_statuses_and_the_sizes_of_numbers_are_the_codes() -> None:
    assert f"is -1 to 2^{update.NUMBER_MAX.bit_length() - 1}. " in PAGE
    assert f"0 to less than 2^{bounds.INCARNATION_MAX.bit_length() - 1} from a parent" in PAGE
    assert f"2^{bounds.BELIEVED.bit_length() - 1} and the seconds" in PAGE
    assert bounds.BELIEVED + 2**34 < bounds.INCARNATION_MAX, "for centuries"
    assert f"answered with {calls.LATE} and not begun" in PAGE


def test_the_example_is_what_the_code_reckons() -> None:
    assert f"`{row_print('n1', 'd', 'phys_state', 3, 7):#018x}`" in PAGE
