"""How many may log in at once: a burst of handshakes would overflow sockets and look like silence."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class Ticket:
    """A place among those who may; or in the queue for one."""

    __slots__ = ("_gate", "_start", "inside")

    def __init__(self, gate: Gate, start: Callable[[], None]) -> None:
        self._gate: Gate | None = gate
        self._start = start
        self.inside = False

    def leave(self) -> None:
        """Give the place, or the turn to come, to the next. Idempotent."""
        gate, self._gate = self._gate, None
        if gate is not None and self.inside:
            gate.left()

    def begin(self) -> None:
        if self._gate is not None:
            self._start()

    @property
    def given_up(self) -> bool:
        return self._gate is None


class Gate:
    """Lets `at_once` in, the others in the order they came.

    Args:
        soon: runs a callable when the caller is off the stack (`loop.call_soon`).
    """

    def __init__(self, at_once: int, soon: Callable[[Callable[[], None]], object]) -> None:
        self._free = at_once
        self._soon = soon
        self._waiting: deque[Ticket] = deque()

    def enter(self, start: Callable[[], None]) -> Ticket:
        """Call `start` when it is this one's turn, never before this returns."""
        ticket = Ticket(self, start)
        self._waiting.append(ticket)
        self._admit()
        return ticket

    def left(self) -> None:
        self._free += 1
        self._admit()

    def _admit(self) -> None:
        while self._free > 0 and self._waiting:
            ticket = self._waiting.popleft()
            if ticket.given_up:
                continue
            self._free -= 1
            ticket.inside = True
            self._soon(ticket.begin)
