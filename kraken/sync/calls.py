"""Requests from a collector to those below it, passed down the tree; at most once, and lost with a link.

Nobody takes them from below: who runs a rack has no say over another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kraken.sync.events import Answered, Called, Event, Refused
from kraken.sync.letters import Call, Reply
from kraken.sync.link import DEAD_S
from kraken.sync.links import Links

LATE: Final = 408
"""Status of the answer to a call that was under way for as long as its asker waits: nothing was begun."""
CALLS_MAX: Final = 10_000
"""Answers awaited at once; beyond, the oldest is given up."""
AGAIN_S: Final = DEAD_S
"""After a call's time is over, for how long its letter may come once more, as late as any that counts."""


class Calls:
    """Where each call came from, so that its answer finds back, and whom it was passed to: nobody else may
    answer it.

    Args:
        toward: the neighbour below by which a collector is reached; None: it is not below us.
    """

    def __init__(self, me: str, links: Links, toward: Callable[[str], str | None]) -> None:
        self._me = me
        self._links = links
        self._toward = toward
        self._awaited: dict[str, tuple[str | None, str | None]] = {}  # id -> who asked, who is to answer
        self._came: dict[str, float] = {}  # id -> until when its letter may come again

    def call(self, call: Call, source: str | None, until: float, now: float) -> list[Event]:
        """Pass a call on, or take it, unless it may be that nobody waits for it any more.

        Args:
            source: the neighbour it came from; None: it is ours.
            until: until when, by our clock, the asker waits at least.
        """
        if source is not None and source != self._links.parent:
            text = f"{self._me} takes requests from its parent and its own people only"
            self._links.write(source, Reply(call.id, 403, text.encode()))
            return []
        if self._is_again(call.id, until, now):
            return []
        toward = None if call.to == self._me else self._toward(call.to) or None
        if len(self._awaited) >= CALLS_MAX:
            self._awaited.pop(next(iter(self._awaited)))
        self._awaited[call.id] = (source, toward)
        if until <= now:
            return self._bring(Reply(call.id, LATE, f"it came to {self._me} too late to be begun".encode()))
        if call.to == self._me:
            return [Called(call, until)]
        if toward is not None and self._links[toward].twins.speak(now):
            text = f"two daemons speak as collector {toward}; nobody knows which would do it"
            return self._bring(Reply(call.id, 503, text.encode()))
        if toward is None or not self._links[toward].is_up:
            text = f"collector {call.to} is not reached from {self._me}"
            return self._bring(Reply(call.id, 503, text.encode()))
        self._links.pass_on(toward, call, until)
        return []

    def _is_again(self, id: str, until: float, now: float) -> bool:
        """Whether the call came before; a network may double letters, and nothing is begun twice."""
        while self._came and (next(iter(self._came.values())) <= now or len(self._came) >= CALLS_MAX):
            del self._came[next(iter(self._came))]
        is_again = id in self._came
        if not is_again:
            self._came[id] = max(until, now) + AGAIN_S
        return is_again

    def reply(self, reply: Reply, source: str | None) -> list[Event]:
        """Bring an answer back to who asked. One that nobody awaits any more is dropped.

        Args:
            source: the neighbour that answers, believed only if it was asked; None: we do.
        """
        if reply.id not in self._awaited:
            return []
        if source != self._awaited[reply.id][1]:
            return [] if source is None else [Refused(source, "it answers what it was not asked")]
        return self._bring(reply)

    def _bring(self, reply: Reply) -> list[Event]:
        source, _ = self._awaited[reply.id]
        if reply.last:
            del self._awaited[reply.id]
        if source is None:
            return [Answered(reply)]
        if source in self._links:
            self._links.write(source, reply)
        return []
