"""What happened lately, for those who watch: numbered, kept for a while, resumed by cursor."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kraken.daemon.arrivals import ValueChanged
from kraken.model.hold import EVERY_NODE

KEPT = 10_000
KINDS = (
    *("cfg", "attribute", "dsc", "cause", "reason", "run-started", "run-result", "run-ended"),
    *("command", "hold", "freeze", "module", "collector", "nobody", "lost"),
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


_Entry = tuple[str, Mapping[str, Any], tuple[str, ...]] | tuple[ValueChanged, float]
"""Kind, data and nodes of an event; or a value that became another, and when it was told."""


class EventLog:
    """The last KEPT events, and whoever waits for the next one.

    Args:
        incarnation: of the daemon; the first half of every cursor.
    """

    def __init__(self, incarnation: int) -> None:
        self._incarnation = incarnation
        self._entries: deque[_Entry] = deque(maxlen=KEPT)
        self._sequence = 0
        self._news = asyncio.Event()
        self._closed = False

    def add(self, kind: str, data: Mapping[str, Any], nodes: tuple[str, ...] = ()) -> None:
        """Tell those who watch; an event of one node names it in its data."""
        self._sequence += 1
        node = data.get("node")
        if node is not None and node != EVERY_NODE:
            nodes = (node,)
        self._entries.append((kind, data, nodes))
        self._news.set()

    def changed(self, changes: Sequence[ValueChanged], at: float) -> None:
        """Tell of values that became others. In a storm few of them are ever read: only then an event is
        made of each.
        """
        self._sequence += len(changes)
        self._entries.extend([(change, at) for change in changes])
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
            lost = lost or last < self._sequence - len(self._entries)
            found = [] if lost else self.newer(last)
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

    def newer(self, last: int) -> list[Event]:
        """What is kept of the events after this one, in order."""
        count = min(self._sequence - last, len(self._entries))
        entries = list(itertools.islice(reversed(self._entries), count))
        first = self._sequence - count + 1
        return [_event(first + place, entry) for place, entry in enumerate(reversed(entries))]

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


def _event(sequence: int, entry: _Entry) -> Event:
    if len(entry) == 3:
        return Event(sequence, *entry)
    change, at = entry
    update = change.update
    data = {
        "node": update.node,
        "variable": update.variable,
        "value": update.value,
        "was": change.was,
        "source": update.source,
        "at": at,
    }
    return Event(sequence, update.side.value, data, () if update.node == EVERY_NODE else (update.node,))


def _now() -> float:
    return asyncio.get_running_loop().time()
