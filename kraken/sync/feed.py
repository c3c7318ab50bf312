"""What one neighbour has still to hear: at most the whole state, whatever the rate of events."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from kraken.sync.letters import TEXT_MAX, Delta, Doc, size_of

Field = tuple[str, str]
"""Side letter and variable."""

ROWS_MAX: Final = 4000
"""Rows of one delta: some 200 kB, a few ms to read, so that a full copy does not hold up a hello."""

RESEND_S: Final = 1.0
RESEND_S_MAX: Final = 20.0
"""How long an acknowledgement is awaited, at first and at most: a round trip takes a millisecond, a
busy neighbour seconds; it doubles, so that a storm does not feed itself."""


class _Dirty:
    __slots__ = ("fields", "gone", "serial")

    def __init__(self, serial: int, fields: set[Field] | None, gone: bool) -> None:
        self.serial = serial
        self.fields = fields  # None: all of it
        self.gone = gone


class Feed:
    """The keys that became another since the neighbour last said what it holds.

    Each key stands here once, at the place of its latest change; the values are read when they are
    sent. One delta is under way at a time, so what changes meanwhile gathers: latency is a round trip,
    and the size of a delta adapts to the rate.

    Attributes:
        upto: serial of the latest change.
        acked: what the neighbour holds; -1: it has no whole copy yet, and is told nothing.
    """

    def __init__(self) -> None:
        self.upto = 0
        self.acked = -1
        self._dirty: dict[str, _Dirty] = {}
        self._sent: int | None = None
        self._resend_at = 0.0
        self._pause = RESEND_S

    def __len__(self) -> int:
        return len(self._dirty)

    def __contains__(self, key: str) -> bool:
        """Whether the neighbour may not know the key's latest."""
        return key in self._dirty

    @property
    def is_quiet(self) -> bool:
        """Whether everything was told and acknowledged."""
        return not self._dirty

    def mark(self, key: str, fields: Iterable[Field] | None = None) -> None:
        """The document, or only these fields of it, became another."""
        self.upto += 1
        former = self._dirty.pop(key, None)
        if fields is None:
            told = None
        elif former is None:
            told = set(fields)
        else:
            told = former.fields  # None: all of it is to be told anyway
            if told is not None:
                told.update(fields)
        self._dirty[key] = _Dirty(self.upto, told, False)

    def drop(self, key: str) -> None:
        """The document is none of the neighbour's business any more."""
        self.upto += 1
        self._dirty.pop(key, None)
        self._dirty[key] = _Dirty(self.upto, None, True)

    def acknowledge(self, have: int) -> list[tuple[str, bool]]:
        """The neighbour says what it holds; gives back the keys it now knows all of, and whether that is
        that they are none of its business.
        """
        if have > self.upto or have < self.acked:
            return []  # a late word
        self.acked = have
        done = []
        for key, dirty in self._dirty.items():
            if dirty.serial > have:
                break
            done.append(key)
        known = [(key, self._dirty.pop(key).gone) for key in done]
        if self._sent is not None and have >= self._sent:
            self._sent = None
            self._pause = RESEND_S
        return known

    def delta(self, read: Callable[[str, set[Field] | None], Doc | None], now: float) -> Delta | None:
        """The next to send; None: nothing is due.

        Args:
            read: the key's document, or only these fields of it; None: there is none.
        """
        if self.acked < 0 or not self._dirty:
            return None
        if self._sent is not None:
            if now < self._resend_at:
                return None
            self._pause = min(2 * self._pause, RESEND_S_MAX)
        docs: list[Doc] = []
        gone: list[str] = []
        rows, text, upto = 0, 0, self.acked
        for key, dirty in self._dirty.items():
            doc = None if dirty.gone else read(key, dirty.fields)
            if doc is not None:
                docs.append(doc)
                rows += 1 + len(doc.rows)
                text += size_of(doc)
            else:
                gone.append(key)
                rows += 1
            upto = dirty.serial
            if rows >= ROWS_MAX or text >= TEXT_MAX:
                break
        self._sent = upto
        self._resend_at = now + self._pause
        return Delta(self.acked, upto, docs, gone)

    def next_at(self, now: float) -> float | None:
        """When something is due though nothing changes."""
        if self.acked < 0 or not self._dirty:
            return None
        return now if self._sent is None else self._resend_at
