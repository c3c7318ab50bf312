"""What happened lately, for those who watch: numbered, kept for a while, resumed by cursor."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kraken.model.hold import EVERY_NODE

KEPT = 10_000
KINDS = (
    *("cfg", "attribute", "dsc", "cause", "run-started", "run-result", "run-ended"),
    *("command", "hold", "freeze", "module", "collector", "lost"),
)
IDLE = "idle"
"""Nothing happened that is wanted: only how far the events were looked at."""
_NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `kind` and `data` as docs/api.md lists them.

    Attributes:
        nodes: those it is about; empty: all of them, or none in particular.
    """

    sequence: int
    kind: str
    data: Mapping[str, Any]
    nodes: tuple[str, ...] = ()


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

    def add(self, kind: str, data: Mapping[str, Any], nodes: tuple[str, ...] = ()) -> None:
        """Tell those who watch; an event of one node names it in its data."""
        self._sequence += 1
        node = data.get("node")
        if node is not None and node != EVERY_NODE:
            nodes = (node,)
        self._events.append(Event(self._sequence, kind, data, nodes))
        self._news.set()

    def close(self) -> None:
        """End every stream."""
        self._closed = True
        self._news.set()

    @property
    def newest(self) -> str:
        """The cursor after which is what comes from now on."""
        return self.cursor(self._sequence)

    def cursor(self, sequence: int) -> str:
        """The id of an event, for `Last-Event-ID`."""
        return f"{self._incarnation}-{sequence}"

    async def follow(
        self,
        cursor: str | None,
        wanted: Callable[[Event], bool] = lambda _: True,
        *,
        idle_s: float = 15.0,
    ) -> AsyncGenerator[Event, None]:
        """Events after the cursor (None: from now on), as they come, and only those wanted.

        A cursor that is too old, unreadable or of another incarnation yields an Event of kind
        "lost" first, and so does reading so slowly that events are gone. One of kind IDLE is yielded when
        nothing was for `idle_s` seconds, whatever else happened meanwhile: its cursor skips that.
        """
        last, lost = self._resume(cursor)
        idle_at = _now() + idle_s
        while not self._closed:
            lost = lost or (last < self._sequence and self._events[0].sequence > last + 1)
            found = [] if lost else self._newer(last)
            last = self._sequence
            if lost:
                yield Event(last, "lost", {})
                lost, idle_at = False, _now() + idle_s
            for event in found:
                if wanted(event):
                    yield event
                    idle_at = _now() + idle_s
            if _now() >= idle_at:
                yield Event(last, IDLE, {})
                idle_at = _now() + idle_s
            try:
                async with asyncio.timeout_at(idle_at):
                    await self._wait(last)
            except TimeoutError:
                continue

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
        if incarnation != str(self._incarnation) or not _NUMBER.fullmatch(sequence):
            return self._sequence, True
        last = int(sequence)
        return (self._sequence, True) if last > self._sequence else (last, False)


def _now() -> float:
    return asyncio.get_running_loop().time()
