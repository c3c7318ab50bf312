"""What happened lately, for those who watch: numbered, kept for a while, resumed by cursor."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `kind` and `data` as docs/api.md lists them."""

    sequence: int
    kind: str
    data: Mapping[str, Any]


class EventLog:
    """The last KEPT events, and whoever waits for the next one.

    Args:
        incarnation: of the daemon; the first half of every cursor.
    """

    def __init__(self, incarnation: int) -> None:
        self._incarnation = incarnation
        self._events: deque[Event] = deque(maxlen=KEPT)
        self._sequence = 0
        self._news = asyncio.Event()
        self._closed = False

    def add(self, kind: str, data: Mapping[str, Any]) -> None:
        """Tell those who watch."""
        self._sequence += 1
        self._events.append(Event(self._sequence, kind, data))
        self._news.set()

    def close(self) -> None:
        """End every stream."""
        self._closed = True
        self._news.set()

    def cursor(self, sequence: int) -> str:
        """The id of an event, for `Last-Event-ID`."""
        return f"{self._incarnation}-{sequence}"

    async def follow(
        self, cursor: str | None, *, kinds: Set[str] = frozenset(), idle_s: float = 15.0
    ) -> AsyncIterator[Event | None]:
        """Events after the cursor (None: from now on), as they come.

        A cursor that is too old, unreadable or of another incarnation yields an Event of kind
        "lost" first. None is yielded when nothing came for `idle_s` seconds.
        """
        last, lost = self._resume(cursor)
        if lost:
            yield Event(self._sequence, "lost", {})
        while not self._closed:
            if self._events and self._events[0].sequence > last + 1 and last < self._sequence:
                last = self._sequence
                yield Event(last, "lost", {})
            for event in self._newer(last):
                last = event.sequence
                if not kinds or event.kind in kinds:
                    yield event
            if last == self._sequence and not self._closed:
                try:
                    async with asyncio.timeout(idle_s):
                        await self._wait(last)
                except TimeoutError:
                    yield None

    def _newer(self, last: int) -> list[Event]:
        found: list[Event] = []
        for event in reversed(self._events):
            if event.sequence <= last:
                break
            found.append(event)
        return found[::-1]

    async def _wait(self, last: int) -> None:
        while self._sequence == last and not self._closed:
            self._news.clear()
            await self._news.wait()

    def _resume(self, cursor: str | None) -> tuple[int, bool]:
        if cursor is None:
            return self._sequence, False
        incarnation, _, sequence = cursor.partition("-")
        if incarnation != str(self._incarnation) or not sequence.isdigit():
            return self._sequence, True
        last = int(sequence)
        oldest = self._events[0].sequence if self._events else self._sequence + 1
        if last > self._sequence or last + 1 < oldest:
            return self._sequence, True
        return last, False
