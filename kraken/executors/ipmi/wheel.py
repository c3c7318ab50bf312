"""Timers for thousands of BMCs: cheap to set and to cancel, at the price of being up to 20 ms late.

Every packet of a login sets a timer that the answer cancels. In the loop's own heap each of them costs
a handle, a heap move and a cancellation, together as much as a tenth of the whole login; here they share
one timer of the loop per step, and setting one is an append to a list.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Callable
from typing import Any, Final

_STEP_S: Final = 0.02  # against the shortest pause before a packet is repeated, 0.2 s


class Turn:
    """A callback to come; see Wheel.call_later."""

    __slots__ = ("_args", "_callback")

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._callback: Callable[..., object] | None = callback
        self._args = args

    def cancel(self) -> None:
        """It is not called. Idempotent."""
        self._callback = None
        self._args = ()

    def come(self) -> None:
        callback, args = self._callback, self._args
        self.cancel()
        if callback is not None:
            callback(*args)


class Wheel:
    """The clock of a fleet: the loop's time, and timers of its own. For the thread of the loop alone."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._turns: dict[int, list[Turn]] = {}  # step -> what is due at its end
        self._steps: list[int] = []  # a heap of the keys above
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at: float = math.inf  # the step it rings for
        self.time = loop.time

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Turn:
        """Call it after `delay` seconds: never earlier, and up to a step later."""
        turn = Turn(callback, args)
        step = math.ceil((self.time() + delay) / _STEP_S)
        turns = self._turns.get(step)
        if turns is not None:
            turns.append(turn)
            return turn
        self._turns[step] = [turn]
        heapq.heappush(self._steps, step)
        if step < self._alarm_at:
            self._set_alarm()
        return turn

    def close(self) -> None:
        """Nothing set before is called. Idempotent."""
        self._turns.clear()
        self._steps.clear()
        self._set_alarm()

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm, self._alarm_at = None, math.inf
        if self._steps:
            self._alarm_at = self._steps[0]
            self._alarm = self._loop.call_at(self._steps[0] * _STEP_S, self._ring)

    def _ring(self) -> None:
        now = self.time() + 1e-4  # the loop may wake a hair early
        due: list[Turn] = []
        while self._steps and self._steps[0] * _STEP_S <= now:
            due += self._turns.pop(heapq.heappop(self._steps))
        self._set_alarm()
        for turn in due:
            try:
                turn.come()
            except Exception as exc:  # as the loop treats its own: one BMC disturbs no other
                self._loop.call_exception_handler({"message": "timer of a BMC failed", "exception": exc})
