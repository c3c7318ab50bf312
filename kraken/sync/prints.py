"""Fingerprints: whether two copies are equal, and where they differ, without sending either.

A record's fingerprint mixes its place with its stamp, for a stamp says which value; a document's is the
sum of its records', a set's the sum of its documents', modulo 2**64, so order does not matter. They find
accidents, not attackers: those the transport keeps out.
"""

from __future__ import annotations

import functools
import hashlib
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from kraken.model.update import StateUpdate

MASK: Final = (1 << 64) - 1
WIDTH: Final = 16
"""Parts a part is divided into: one more hex digit."""
DEPTH_MAX: Final = 8
"""Hex digits of a CRC-32."""
SMALL: Final = 32
"""A part of so many documents at most is told document by document."""


@functools.lru_cache(maxsize=65536)
def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def row_print(key: str, side: str, variable: str, incarnation: int, sequence: int) -> int:
    """Of one record. The mixing is that of SplitMix64 (Steele, Lea, Flood 2014)."""
    x = _number(key) ^ (_number(side + variable) * 0x9E3779B97F4A7C15)
    x ^= incarnation * 0xC2B2AE3D27D4EB4F + sequence * 0x165667B19E3779F9
    x &= MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


@functools.lru_cache(maxsize=262144)
def part_of(key: str) -> str:
    """The finest part a key is in: eight hex digits."""
    return f"{zlib.crc32(key.encode()):08x}"


def digest(prints: Iterable[int]) -> int:
    """Of a set of documents."""
    return sum(prints) & MASK


class Prints:
    """The fingerprints of the documents of one side, reckoned when they are asked for.

    Args:
        reckon: the fingerprint of a key's document; 0: there is none.
    """

    def __init__(self, reckon: Callable[[str], int]) -> None:
        self._reckon = reckon
        self._known: dict[str, int] = {}

    def changed(self, key: str) -> None:
        """The document is another now."""
        self._known.pop(key, None)

    def observed(self, updates: Iterable[StateUpdate]) -> None:
        """Documents are others by these."""
        forget = self._known.pop
        for update in updates:
            forget(update.node, None)

    def of(self, key: str) -> int:
        """Its fingerprint; 0: no document."""
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._reckon(key)
        return found

    def whole(self, keys: Iterable[str]) -> tuple[int, int]:
        """How many of these keys have a document, and their digest."""
        known, of = self._known.get, self.of
        found = [mark for key in keys if (mark := known(key) or of(key))]
        return len(found), digest(found)

    def describe(
        self, keys: Iterable[str], parts: Iterable[str]
    ) -> tuple[dict[str, list[int]], dict[str, dict[str, int]]]:
        """These parts of these keys: finer digests of large ones, the fingerprints of small ones."""
        inside: dict[str, dict[str, int]] = {part: {} for part in parts}
        depths = {len(part) for part in inside}
        for key in keys:
            mark = self.of(key)
            if not mark:
                continue
            place = part_of(key)
            for depth in depths:
                found = inside.get(place[:depth])
                if found is not None:
                    found[key] = mark
        digests: dict[str, list[int]] = {}
        prints: dict[str, dict[str, int]] = {}
        for part, found in inside.items():
            if len(found) <= SMALL or len(part) >= DEPTH_MAX:
                prints[part] = found
            else:
                digests[part] = finer(part, found)
        return digests, prints


def finer(part: str, found: Mapping[str, int]) -> list[int]:
    """The digests of the sixteen parts of a part."""
    sums = [0] * WIDTH
    for key, mark in found.items():
        sums[int(part_of(key)[len(part)], 16)] += mark
    return [one & MASK for one in sums]
