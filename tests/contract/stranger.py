"""Another implementation of the protocol, written from docs/protocol.md alone: it imports nothing of Kraken.

Where that page does not suffice to write it, the page is at fault. It has one neighbour, and does what it
must: it compares and tells, and leaves it to its user what leases and calls are for.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any
from zlib import crc32

import msgspec

WORD = 2**64 - 1
DIGITS = "0123456789abcdef"
CLOCKS = 0.999


def number_of(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def record_print(key: str, side: str, variable: str, incarnation: int, sequence: int) -> int:
    x = number_of(key) ^ (number_of(side + variable) * 0x9E3779B97F4A7C15 & WORD)
    x ^= incarnation * 0xC2B2AE3D27D4EB4F + sequence * 0x165667B19E3779F9 & WORD
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & WORD
    x = (x ^ x >> 27) * 0x94D049BB133111EB & WORD
    return x ^ x >> 31


def document_print(doc: list[Any], *, goes_down: bool) -> int:
    key, rows, epoch, shared, *_ = doc
    total = sum(record_print(key, side, variable, i, s) for side, variable, _, i, s, *_ in rows)
    if goes_down and key != "*":
        total += record_print(key, "", "node", epoch, int(shared))
    return total & WORD


def part_of(key: str) -> str:
    return f"{crc32(key.encode()):08x}"


class Stranger:
    """A collector with one neighbour, its parent or its child. Times are in ms of its own clock.

    Attributes:
        told, held: key -> document: what it tells of, and its copy of what the neighbour does.
        heard: bodies that are no matter of hellos, feeds and questions, in order.
        hello: the last that came. hellos: how many it said.
        lease_until: how long it has the nodes that its parent gave it.
    """

    def __init__(self, name: str, life: int, *, is_parent: bool) -> None:
        self.name, self.life, self.is_parent = name, life, is_parent
        self.told: dict[str, list[Any]] = {}
        self.held: dict[str, list[Any]] = {}
        self.heard: list[list[Any]] = []
        self.kinds: set[str] = set()  # of all bodies that were read
        self.hello: list[Any] = []
        self.lease_until = self.given = self.now = self.hellos = 0
        self._out: list[list[Any]] = []
        self._hello_at = 0
        self._begin(0)

    def _begin(self, life: int) -> None:
        self.their_life, self._their_ms, self._their_ms_at, self._is_known = life, 0, 0, False
        self.upto, self.acked, self._changed = 0, -1, dict[str, int]()
        self.have, self._first, self._number = -1, -1, 0
        self._parts, self._want, self._asks = [""], list[str](), False
        self._again_at = 0
        self._grant: tuple[int, int] | None = None  # what is to be held first, and until when it is then

    # -- out

    def tell(
        self,
        key: str,
        rows: list[list[Any]],
        epoch: int = 0,
        shared: bool = False,
        taken: int = 0,
        floor: int = 0,
    ) -> None:
        self.told[key] = [key, rows, epoch, shared, taken, floor]
        self._mark(key)

    def withdraw(self, key: str) -> None:
        del self.told[key]
        self._mark(key)

    def _mark(self, key: str) -> None:
        self.upto += 1
        self._changed[key] = self.upto
        self._again_at = 0

    def say(self, *body: Any) -> None:
        self._out.append(list(body))

    def write(self, now: int) -> list[bytes]:
        self.now = now
        if now >= self._hello_at:
            self._hello_at = now + 10_000
            self._greet(now)
        if self.their_life and now >= self._again_at:
            self._again_at = now + 2_000
            if self._asks:
                self.say("ask", self._number, self._parts[:64], self._want[:256], [])
            if 0 <= self.acked < self.upto:
                keys = [key for key, serial in self._changed.items() if serial > self.acked]
                docs = [self.told[key] for key in keys if key in self.told]
                self.say("delta", self.acked, self.upto, docs, [key for key in keys if key not in self.told])
        out, self._out = self._out, []
        yours_ms = int(self._their_ms + (now - self._their_ms_at) * CLOCKS) if self._their_ms else 0
        return [b"\1" + msgspec.msgpack.encode([self.life, self.their_life, yours_ms, body]) for body in out]

    def _greet(self, now: int) -> None:
        self.hellos += 1
        count, digest = self.digest(mine=True) if self.acked in (-1, self.upto) else (0, -1)
        of_parent = (40_000, -1, 0, self.life) if self.is_parent else (0, len(self.held), 0, self.given)
        self.say("hello", self.name, 1, now, self.upto, count, digest, self.have, True, *of_parent)

    def digest(self, *, mine: bool) -> tuple[int, int]:
        """Of what it tells of, or holds: how many documents, and their digest."""
        prints = self._prints_in(self.told if mine else self.held, "", mine=mine).values()
        return len(prints), sum(prints) & WORD

    def _print(self, doc: list[Any], *, mine: bool) -> int:
        return document_print(doc, goes_down=mine == self.is_parent)

    # -- in

    def hear(self, data: bytes, now: int) -> None:
        assert data[0] == 1

        life, ours, yours_ms, body, *_ = msgspec.msgpack.decode(data[1:])
        self.kinds.add(body[0])
        if body[0] == "hello":
            self._hear_hello(life, ours, yours_ms, body[1:], now)
        elif (life, ours) == (self.their_life, self.life):
            read = getattr(self, "_hear_" + body[0], None)
            self.heard.append(body) if read is None else read(*body[1:])

    def _hear_hello(self, life: int, ours: int, yours_ms: int, body: list[Any], now: int) -> None:
        self.hello = body
        _, _, sent_ms, upto, _, _, have, whole, lease_ms, _, _, given, *_ = body
        if life > self.their_life:
            self._begin(life)
        self._their_ms, self._their_ms_at = sent_ms, now
        if ours != self.life or not self._is_known:
            self._hello_at, self._is_known = now, ours == self.life
        if ours != self.life:
            return
        self._hear_ack(have)
        self.given = max(self.given, given)
        if self.have < 0 and whole and not self._asks:
            self._ask([""], ["@" + body[0]] if self.is_parent else [])
        if lease_ms:
            self._grant = (upto, int(yours_ms + lease_ms * CLOCKS))
        self._have(self.have)

    def _ask(self, parts: list[str], want: list[str]) -> None:
        self._parts, self._want, self._asks = parts, want, bool(parts or want)
        self._number += 1
        self._again_at = 0

    def _hear_ack(self, have: int) -> None:
        self.acked = max(self.acked, have)
        self._again_at = 0

    def _hear_delta(self, base: int, upto: int, docs: list[Any], gone: list[str], *_: Any) -> None:
        if base <= self.have < upto:
            self._have(upto)
            for doc in docs:
                self._take(doc)
            for key in gone:
                self.held.pop(key, None)
        if self.have >= 0:
            self.say("ack", self.have)

    def _have(self, upto: int) -> None:
        self.have = upto
        if self._grant is not None and upto >= self._grant[0]:
            self.lease_until, self._grant = self._grant[1], None

    def _take(self, doc: list[Any]) -> None:
        """A whole document replaces what was held; of one that goes up each record does, by its stamp."""
        rows = {} if not self.is_parent else {(r[0], r[1]): r for r in self.held.get(doc[0], ["", []])[1]}
        for row in doc[1]:
            former = rows.get((row[0], row[1]))
            if former is None or former[3:5] < row[3:5]:
                rows[row[0], row[1]] = row
        self.held[doc[0]] = [doc[0], list(rows.values()), *doc[2:]]

    def _hear_ask(self, number: int, parts: list[str], want: list[str], given: list[Any], *_: Any) -> None:
        digests, prints = dict[str, list[int]](), dict[str, dict[str, int]]()
        for part in parts:
            found = self._prints_in(self.told, part, mine=True)
            if len(found) <= 32:
                prints[part] = found
            else:
                digests[part] = self._digests(self.told, part, mine=True)
        self.say("tell", number, self.upto, digests, prints)
        for key in want:
            self._mark(key)

    def _prints_in(self, docs: dict[str, list[Any]], part: str, *, mine: bool) -> dict[str, int]:
        inside = {key: doc for key, doc in docs.items() if part_of(key).startswith(part)}
        found = {key: self._print(doc, mine=mine) for key, doc in inside.items()}
        return {key: one for key, one in found.items() if one}

    def _digests(self, docs: dict[str, list[Any]], part: str, *, mine: bool) -> list[int]:
        return [sum(self._prints_in(docs, part + digit, mine=mine).values()) & WORD for digit in DIGITS]

    def _hear_tell(
        self,
        number: int,
        upto: int,
        digests: dict[str, list[int]],
        prints: dict[str, dict[str, int]],
        *_: Any,
    ) -> None:
        if number != self._number or not self._asks:
            return
        self._first = upto if self._first < 0 else self._first
        parts, want = self._parts[64:], self._want[256:]
        for part, theirs in digests.items():
            ours = self._digests(self.held, part, mine=False)
            parts += [part + digit for digit, a, b in zip(DIGITS, ours, theirs, strict=True) if a != b]
        for part, told in prints.items():
            ours_in = self._prints_in(self.held, part, mine=False)
            want += [key for key, one in told.items() if ours_in.get(key) != one]
            for key in ours_in.keys() - told.keys():
                del self.held[key]
        self._ask(parts, want)
        if not parts and not want:
            self._have(max(self.have, self._first))
            self.say("ack", self.have)
