"""What two wires say to each other about keys: a zero byte, then one msgpack array.

Letters of the tree begin with a version of 1 or more, so the first byte tells them apart. Notes go over
the same encrypted connection; docs/collectors.md has the exchange in words.
"""

from __future__ import annotations

from typing import Final

import msgspec

from kraken.errors import LetterError

MARK: Final = b"\0"
_BYTES_MAX: Final = 4096


class Join(msgspec.Struct, frozen=True, array_like=True, tag="join"):
    """Child to parent, with a token's key: I am `name`, and from now on my public key is `key`."""

    name: str
    key: str


class Joined(msgspec.Struct, frozen=True, array_like=True, tag="joined"):
    """Parent to child: `key` is on my disk."""

    key: str


class Denied(msgspec.Struct, frozen=True, array_like=True, tag="denied"):
    """Parent to child: no, and why (a sentence for a person).

    Attributes:
        stands: the invitation is as good as before: what is wrong is the parent's, and can be mended.
    """

    reason: str
    stands: bool = False


class Rotate(msgspec.Struct, frozen=True, array_like=True, tag="rotate"):
    """Parent to child: somebody wants you to have a new key."""


class NewKey(msgspec.Struct, frozen=True, array_like=True, tag="newkey"):
    """Child to parent, with the key it has: this will be my next."""

    key: str


class KeyTaken(msgspec.Struct, frozen=True, array_like=True, tag="keytaken"):
    """Parent to child: `key` is on my disk; until I see it used, the one before it is good as well."""

    key: str


Note = Join | Joined | Denied | Rotate | NewKey | KeyTaken

_decoder: msgspec.msgpack.Decoder[Note] = msgspec.msgpack.Decoder(Note)


def encode(note: Note) -> bytes:
    """The note as bytes."""
    return MARK + msgspec.msgpack.encode(note)


def decode(data: bytes) -> Note:
    """The note in these bytes.

    Raises:
        LetterError: there is none.
    """
    if data[:1] != MARK or len(data) > _BYTES_MAX:
        raise LetterError("not a note about keys")
    try:
        return _decoder.decode(memoryview(data)[1:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LetterError(f"not a note about keys: {error}") from error
