"""Tokens survive copying, or are refused; and never say what they hold."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kraken.errors import JoinError, WireError
from kraken.transport import notes, token
from kraken.transport.address import Address
from kraken.transport.keys import KeyPair, is_key

PAIR = KeyPair.make()
NAMES = st.from_regex(r"[A-Za-z0-9_.][A-Za-z0-9_.-]{0,63}", fullmatch=True)
HOSTS = st.from_regex(r"[a-z0-9][a-z0-9.-]{0,30}", fullmatch=True) | st.just("[fd00::1]")
TOKENS = st.builds(
    token.Token,
    name=NAMES,
    parent=NAMES,
    addresses=st.lists(st.builds("{}:{}".format, HOSTS, st.integers(1, 65535)), min_size=1, max_size=3).map(
        tuple
    ),
    key=st.just(PAIR.public),
    secret=st.just(PAIR.secret),
    expires_at=st.floats(0, 1e11),
)


@given(TOKENS)
def test_a_token_read_is_the_token_written(made: token.Token) -> None:
    text = token.encode(made)

    assert token.decode(f"  {text}\n") == made
    assert text.startswith("KRK1-")
    assert not set(text) & set(" \t\n'\"\\$&|;<>()`+/=")


@given(TOKENS, st.data())
def test_one_other_character_or_a_missing_end_is_noticed(made: token.Token, data: st.DataObject) -> None:
    text = token.encode(made)
    place = data.draw(st.integers(0, len(text) - 2))
    other = data.draw(st.characters(codec="ascii").filter(lambda c: c != text[place]))

    for wrong in (text[:place] + other + text[place + 1 :], text[:place]):
        with pytest.raises(JoinError) as caught:
            token.decode(wrong)
        assert PAIR.secret not in str(caught.value)


@given(st.text() | st.text().map("KRK1-".__add__) | st.binary().map(lambda data: f"KRK1-{data.hex()}"))
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(JoinError):
        token.decode(text)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": 7}, "the token is of another format .*the parent runs another Kraken"),
        ({"addresses": ()}, "the token has no usable key or address"),
        ({"key": "short"}, "the token has no usable key or address"),
        ({"addresses": ("head1:7411",) * 400}, "characters are too many"),
    ],
)
def test_a_whole_token_that_is_of_no_use_is_refused_with_why(changes: dict[str, Any], words: str) -> None:
    made = token.Token("c1", "root", ("head1:7411",), PAIR.public, PAIR.secret, 1.0)
    text = token.encode(msgspec.structs.replace(made, **changes))

    with pytest.raises(JoinError, match=words):
        token.decode(text)


@given(st.binary(max_size=300) | st.binary(max_size=300).map(b"\0".__add__))
def test_what_is_no_note_is_refused_and_nothing_else_happens(data: bytes) -> None:
    try:
        note = notes.decode(data)
    except ValueError:
        return

    assert notes.decode(notes.encode(note)) == note


def test_neither_token_nor_pair_show_their_secret() -> None:
    made = token.Token("c1", "root", ("head1:7411",), PAIR.public, PAIR.secret, 1.0)

    assert PAIR.secret not in repr(made) + repr(PAIR)


@pytest.mark.parametrize("name", ["", "n[1-2]", "a/b", "..\0", "é1", "x" * 65, "a b", "-x"])
def test_a_name_that_no_collector_can_have_is_refused(name: str) -> None:
    with pytest.raises(JoinError, match="cannot be the name of a collector"):
        token.check_collector(name)


@pytest.mark.parametrize(
    "text", ["", "head1", "head1:", "head1:x", ":1", "h:65536", "fd00::1:7411", "a b:1", "h:1:2"]
)
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(WireError, match=r"write it like head1:7411"):
        Address.parse(text)


def test_a_long_text_that_is_no_address_is_told_by_its_beginning() -> None:
    with pytest.raises(WireError) as caught:
        Address.parse("x" * 10_000)
    assert str(caught.value).startswith("'xxxx")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("text", ["*:0", "head1:7411", "[fe80::1%eth0.7]:65535", "10.0.0.1:1"])
def test_an_address_is_written_as_it_was_read(text: str) -> None:
    assert str(Address.parse(text)) == text
    assert Address.parse(text).endpoint == f"tcp://{text}"


@given(st.text(max_size=50) | st.text("#", min_size=40, max_size=40) | st.just(PAIR.public))
def test_a_key_is_told_from_what_is_none(text: str) -> None:
    assert is_key(text) == (text == PAIR.public)


def test_bytes_of_a_key_come_back() -> None:
    assert KeyPair.of(PAIR.secret) == PAIR
