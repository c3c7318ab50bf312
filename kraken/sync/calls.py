"""Requests from a collector to those below it, passed down the tree; at most once, and lost with a link.

Nobody takes them from below: who runs a rack has no say over another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kraken.sync.events import Answered, Called, Event
from kraken.sync.letters import Call, Reply
from kraken.sync.links import Links

CALLS_MAX: Final = 10_000
"""Answers awaited at once; beyond, the oldest is given up."""


class Calls:
    """Where each call came from, so that its answer finds back.

    Args:
        toward: the neighbour below by which a collector is reached; None: it is not below us.
    """

    def __init__(self, me: str, links: Links, toward: Callable[[str], str | None]) -> None:
        self._me = me
        self._links = links
        self._toward = toward
        self._came_from: dict[str, str] = {}

    def call(self, call: Call, source: str | None) -> list[Event]:
        """Pass a call on, or take it.

        Args:
            source: the neighbour it came from; None: it is ours.
        """
        if source is not None and source != self._links.parent:
            text = f"{self._me} takes requests from its parent and its own people only"
            self._links.write(source, Reply(call.id, 403, text.encode()))
            return []
        if source is not None:
            if len(self._came_from) >= CALLS_MAX:
                self._came_from.pop(next(iter(self._came_from)))
            self._came_from[call.id] = source
        if call.to == self._me:
            return [Called(call)]
        toward = self._toward(call.to)
        if not toward or not self._links[toward].is_up:
            text = f"collector {call.to} is not reached from {self._me}"
            return self.reply(Reply(call.id, 503, text.encode()))
        self._links.write(toward, call)
        return []

    def reply(self, reply: Reply) -> list[Event]:
        """Bring an answer back to who asked."""
        source = self._came_from.get(reply.id)
        if reply.last:
            self._came_from.pop(reply.id, None)
        if source is None:
            return [Answered(reply)]
        if source in self._links:
            self._links.write(source, reply)
        return []
