"""Our copy of a neighbour's feed: what we hold of it, and how we find out what we lack.

The exchange is driven by the side that lacks: it compares digests part by part, asks for what differs,
and keeps asking until an answer comes. One way serves the first contact, a return and a repair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field
from typing import Final

import msgspec

from kraken.sync.letters import KEYS_MAX, PARTS_MAX, TEXT_MAX, Ask, Delta, Doc, Hello, Tell, size_of
from kraken.sync.prints import DEPTH_MAX, Prints, finer, part_of

ASK_AGAIN_S: Final = 2.0
ASK_AGAIN_S_MAX: Final = 30.0
LACK_MAX: Final = 262_144
"""Parts and documents that one comparison has yet to ask for: more than a hundred thousand nodes with an
agent each. Who describes more has no end; what is left out then is found by the next."""
DIFFERS_MAX: Final = 2
"""Hellos in a row that must show a difference between two quiet copies until it is looked into: one
may have crossed a change on its way."""


@dataclass(slots=True)
class _Exchange:
    """One comparison under way."""

    upto: int | None = None  # the feed's serial when it began to be described
    parts: list[str] = field(default_factory=lambda: [""])
    want: dict[str, None] = field(default_factory=dict)
    extra: list[str] = field(default_factory=list)
    number: int = 0
    asked: Ask | None = None
    again_at: float = 0.0
    pause: float = ASK_AGAIN_S


class Mirror:
    """The receiving end of one feed.

    Args:
        prints: of our copies. keys: which of them are of this neighbour.
        give: for the document of a key that differs, what we hold and the writer may have lost; None
            where what the writer says stands alone.
        anew: keys of which each life of the writer says another document: those are asked for at once.

    Attributes:
        have: we hold all of the feed up to here; -1: not whole yet.
    """

    def __init__(
        self,
        prints: Prints,
        keys: Callable[[], Iterable[str]],
        give: Callable[[str], Doc | None] | None = None,
        *,
        anew: Iterable[str] = (),
    ) -> None:
        self.have = -1
        self._prints = prints
        self._keys = keys
        self._give = give
        self._anew = anew
        self._exchange: _Exchange | None = None
        self._number = 0
        self._differs = 0

    @property
    def is_comparing(self) -> bool:
        return self._exchange is not None

    def hello(self, hello: Hello) -> bool:
        """How the other's feed stands. Whether what we hold became whole by it."""
        if not hello.whole or self._exchange is not None:
            return False
        if self.have >= 0 and (hello.digest < 0 or self.have != hello.upto):
            self._differs = 0
            return False
        if hello.digest >= 0 and self._prints.whole(self._keys()) == (hello.count, hello.digest):
            became = self.have < 0
            self.have, self._differs = hello.upto, 0
            return became
        self._differs += 1
        if self.have < 0 or self._differs >= DIFFERS_MAX:
            self._exchange, self._differs = _Exchange(), 0
            if self.have < 0:
                self._exchange.want.update(dict.fromkeys(self._anew))
        return False

    def delta(self, delta: Delta) -> bool:
        """Whether it is to be taken in; then `have` has moved."""
        if self.have < 0 or delta.base > self.have or delta.upto <= self.have:
            return False
        self.have = delta.upto
        return True

    def ask(self, now: float) -> Ask | None:
        """The next question to send; None: none is due."""
        exchange = self._exchange
        if exchange is None:
            return None
        if exchange.asked is None:
            self._number += 1
            parts, exchange.parts = exchange.parts[:PARTS_MAX], exchange.parts[PARTS_MAX:]
            want = list(exchange.want)[:KEYS_MAX]
            exchange.asked = Ask(self._number, parts, want[: self._fitting(want)])
        elif now < exchange.again_at:
            return None
        else:
            exchange.pause = min(2 * exchange.pause, ASK_AGAIN_S_MAX)
        exchange.again_at = now + exchange.pause
        return msgspec.structs.replace(exchange.asked, given=self._given(exchange.asked.want))

    def tell(self, tell: Tell) -> list[str]:
        """An answer; gives back the keys we hold and the writer does not have.

        Written before a delta that we hold, it says nothing about what is gone: that delta may have brought
        the key. What should be gone all the same is found when the copies are compared again.
        """
        exchange = self._exchange
        if exchange is None or exchange.asked is None or tell.number != exchange.asked.number:
            return []
        asked, exchange.asked, exchange.pause = exchange.asked, None, ASK_AGAIN_S
        if exchange.upto is None:
            exchange.upto = tell.upto
        for key in asked.want:
            exchange.want.pop(key, None)
        extra = self._compare(tell, asked.parts, frozenset(asked.want))
        if tell.upto < self.have:
            extra = []
        if not exchange.parts and not exchange.want:
            self.have = max(self.have, exchange.upto)
            self._exchange = None
        return extra

    def next_at(self) -> float | None:
        """When `ask` is due though nothing comes."""
        if self._exchange is None:
            return None
        return 0.0 if self._exchange.asked is None else self._exchange.again_at

    def _given(self, keys: Iterable[str]) -> list[Doc]:
        """Read anew each time, since ages grow."""
        return [doc for key in keys if self._give is not None and (doc := self._give(key)) is not None]

    def _fitting(self, keys: Iterable[str]) -> int:
        """Of how many of these keys one letter takes what is given."""
        count = text = 0
        for key in keys:
            if text >= TEXT_MAX:
                break
            doc = None if self._give is None else self._give(key)
            text += 0 if doc is None else size_of(doc)
            count += 1
        return count

    def _compare(self, tell: Tell, parts: Iterable[str], asked: Set[str]) -> list[str]:
        """What differs is asked for, but for what was just now: it is in the writer's feed."""
        exchange = self._exchange
        assert exchange is not None
        own: dict[str, dict[str, int]] = {part: {} for part in parts}
        depths = {len(part) for part in own}
        for key in self._keys():
            mark = self._prints.of(key)
            for depth in depths if mark else ():
                found = own.get(part_of(key)[:depth])
                if found is not None:
                    found[key] = mark
        extra: list[str] = []
        for part, mine in own.items():
            if len(exchange.parts) + len(exchange.want) > LACK_MAX:
                break
            if part in tell.digests and len(part) < DEPTH_MAX:
                theirs = tell.digests[part]
                for digit, (a, b) in enumerate(zip(theirs, finer(part, mine), strict=True)):
                    if a != b:
                        exchange.parts.append(f"{part}{digit:x}")
                continue
            told = tell.prints.get(part, {})
            differ = (key for key, mark in told.items() if mine.get(key) != mark and key not in asked)
            exchange.want.update(dict.fromkeys(differ))
            for key in [key for key in mine if key not in told and key not in asked]:
                if self._give is not None and self._give(key) is not None:
                    exchange.want[key] = None
                else:
                    extra.append(key)
        return extra
