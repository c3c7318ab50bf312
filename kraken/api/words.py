"""What msgspec says of a wrong body or query, in words for people."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kraken.model.document import nearest

_KINDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "object": "a mapping",
    "array": "a list",
    "null": "null",
}
_EXPECTED = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_UNKNOWN = re.compile(r"unknown field `([^`]+)`")
_MISSING = re.compile(r"missing required field `([^`]+)`")


def said_plainly(key: str, message: str, known: Sequence[str] = ()) -> tuple[str, str, str | None]:
    """Key, message and hint for a complaint about one value.

    Args:
        key: the dotted key it is about, as far as that is known; "" for the whole.
        known: the keys there are, for a hint about one there is not.
    """
    if found := _UNKNOWN.search(message):
        name = found[1]
        return _below(key, name), f"unknown key {name!r}", nearest(name, known) if not key else None
    if found := _MISSING.search(message):
        return _below(key, found[1]), f"the key {found[1]!r} is missing", None
    if found := _EXPECTED.search(message):
        wanted = " or ".join(_kind(word) for word in found[1].split(" | "))
        lead = f"{key}: " if key else ""
        return key, f"{lead}expected {wanted}, found {_kind(found[2])}", None
    return key, message.replace("`", ""), None


def _kind(word: str) -> str:
    return _KINDS.get(word.strip(), word.strip())


def _below(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
