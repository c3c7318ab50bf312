from __future__ import annotations

import builtins
import types
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kraken.errors import LetterError
from kraken.sync.letters import (
    KEYS_MAX,
    LETTER_BYTES_MAX,
    PARTS_MAX,
    VERSION,
    Ack,
    Doc,
    Hello,
    Letter,
    Tell,
    decode,
    encode,
)

LETTER = Letter(3, 4, 5, Ack(6))

TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
NUMBERS = st.integers(0, 2**38 - 1)
SIXTEEN_EACH = st.dictionaries(TEXTS, st.lists(NUMBERS, min_size=16, max_size=16), max_size=3)


def fields(hint: Any) -> st.SearchStrategy[Any]:
    """What a field of this type may hold."""
    inner = [fields(one) for one in get_args(hint)]
    match get_origin(hint) or hint:
        case builtins.int:
            return NUMBERS
        case builtins.float:
            return st.floats(allow_nan=False)  # which equals nothing, itself neither
        case builtins.str:
            return TEXTS
        case builtins.list:
            return st.lists(*inner, max_size=3)
        case builtins.dict:
            return st.dictionaries(*inner, max_size=3)
        case builtins.tuple:
            return st.tuples(*inner)
        case types.UnionType:
            return st.one_of(inner)
        case type() as kind if issubclass(kind, msgspec.Struct):
            known = {"digests": SIXTEEN_EACH} if kind is Tell else {}
            hints = get_type_hints(kind).items()
            return st.builds(kind, **{name: known.get(name, fields(one)) for name, one in hints})
        case other:
            return st.from_type(other)


letters = fields(Letter)


def raw(*parts: object) -> bytes:
    return bytes((VERSION,)) + msgspec.msgpack.encode(parts)


@given(letters)
def test_a_letter_is_read_as_it_was_written(letter: Letter) -> None:
    assert decode(encode(letter)) == letter


@given(letters, st.data())
def test_half_a_letter_is_refused(letter: Letter, data: st.DataObject) -> None:
    whole = encode(letter)
    part = whole[: data.draw(st.integers(0, len(whole) - 1))]

    with pytest.raises(LetterError):
        decode(part)


@given(st.binary())
def test_whatever_comes_is_a_letter_or_refused(data: bytes) -> None:
    try:
        letter = decode(bytes((VERSION,)) + data)
    except LetterError:
        return

    assert isinstance(letter, Letter)


@given(letters, st.data())
def test_a_letter_that_was_altered_is_another_or_refused(letter: Letter, data: st.DataObject) -> None:
    """Also where a text is none any more."""
    altered = bytearray(encode(letter))
    for _ in range(data.draw(st.integers(1, 3))):
        altered[data.draw(st.integers(1, len(altered) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = decode(bytes(altered))
    except LetterError:
        return

    assert encode(found)


def test_a_text_that_is_none_is_refused() -> None:
    with pytest.raises(LetterError):
        decode(encode(LETTER).replace(b"ack", b"\xc3ck"))


@pytest.mark.parametrize("number", [2**62 + 1, 2**64 - 1, -2])
def test_a_number_that_fits_nowhere_is_refused(number: int) -> None:
    """Told again, or kept, it would fail only then."""
    row = ["d", "power", "ON", 1, 1, 1, "a"]
    for place in (3, 4, 5):
        told = [*row[:place], number, *row[place + 1 :]]
        with pytest.raises(LetterError):
            decode(raw(3, 4, 5, ["delta", 0, 1, [["n1", [told]]]]))
        with pytest.raises(LetterError):
            decode(raw(3, 4, 5, ["touch", {"n1": {"power": told[3:6]}}]))
    with pytest.raises(LetterError):
        decode(raw(number, 4, 5, ["ack", 6]))


@pytest.mark.parametrize("number", [0, 15, 17])
def test_an_answer_has_sixteen_digests_of_each_part(number: int) -> None:
    with pytest.raises(LetterError):
        decode(raw(3, 4, 5, ["tell", 1, 2, {"": [0] * number}, {}]))


def test_a_question_has_no_more_parts_and_documents_than_are_answered_at_once() -> None:
    ask: list[Any] = ["ask", 1, ["f"] * PARTS_MAX, ["n1"] * KEYS_MAX]

    assert decode(raw(3, 4, 5, ask))

    for place in (2, 3):
        longer = [*ask[:place], [*ask[place], "x"], *ask[place + 1 :]]
        with pytest.raises(LetterError):
            decode(raw(3, 4, 5, longer))


@pytest.mark.parametrize("version", [0, VERSION + 1, 255])
def test_another_version_is_refused_with_what_is_read(version: int) -> None:
    with pytest.raises(
        LetterError, match=f"version {version} of the protocol; this side reads 1 to {VERSION}"
    ):
        decode(encode(LETTER, version))


def test_a_letter_that_is_too_long_is_refused_unread() -> None:
    with pytest.raises(LetterError, match=f"{LETTER_BYTES_MAX} at most"):
        decode(encode(LETTER) + bytes(LETTER_BYTES_MAX))


def test_nesting_without_end_is_refused() -> None:
    with pytest.raises(LetterError):
        decode(bytes((VERSION,)) + b"\x91" * 100_000)


def test_fields_of_a_newer_version_are_passed_over() -> None:
    data = raw(3, 4, 5, ["ack", 6, "newer"], "newer still")

    assert decode(data) == LETTER


def test_fields_that_an_older_version_does_not_write_take_their_default() -> None:
    data = raw(3, 4, 5, ["hello", "c1", 1, 2, 3, 4, 5, 6, True])

    body = decode(data).body

    assert isinstance(body, Hello)
    assert (body.lease_ms, body.has) == (0, 0)
    assert msgspec.convert(["n1", []], Doc) == Doc("n1", [], 0, False, 0, 0)
