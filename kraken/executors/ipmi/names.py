"""Texts of records and inventories that the decoders cannot read, as they can."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_NAME_AT: Final[Mapping[int, int]] = {0x01: 47, 0x02: 31, 0x03: 16, 0x11: 15}
"""Record type -> where the type and length of its name stand (IPMI 2.0, tables 43-1, 43-2, 43-3, 43-7)."""

_TYPE_AT: Final = 3
_UNICODE, _BCD, _SIX_BITS, _LATIN = range(4)  # section 43.15


def with_plain_name(record: bytes) -> bytes:
    """The same record with its name in UTF-8.

    pyghmi 1.6.19 unpacks one of packed ASCII without an end, and refuses a degree sign in Latin 1.
    """
    at = _NAME_AT.get(record[_TYPE_AT]) if len(record) > _TYPE_AT else None
    if at is None or at >= len(record):
        return record
    kind, length = record[at] >> 6, record[at] & 0x1F
    packed = record[at + 1 : at + 1 + length]
    if kind == _BCD:  # which it reads
        return record
    if kind == _SIX_BITS:
        text = unpacked(packed)
    else:
        text = packed.decode("utf-8" if kind == _UNICODE else "latin-1", "replace")
    return record[:at] + bytes([_LATIN << 6 | length]) + text.encode()


def unpacked(packed: bytes) -> str:
    """Letters of six bits from the space on, the first in the lowest bits."""
    bits = int.from_bytes(packed, "little")
    letters = (bits >> 6 * place & 0x3F for place in range(len(packed) * 8 // 6))
    return "".join(chr(0x20 + letter) for letter in letters).rstrip()
