"""What keeps time for the bookkeeping of executors: an event loop, or a clock that a test turns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Clock(Protocol):
    """The part of an event loop that keeps time."""

    def time(self) -> float: ...
    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer: ...


class Timer(Protocol):
    def cancel(self) -> None: ...


class Alarm:
    """At most one call to come: setting it again forgets the one before."""

    __slots__ = ("_clock", "_timer")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._timer: Timer | None = None

    def set(self, delay_s: float, callback: Callable[[], object]) -> None:
        """Call it after so many seconds; at once if they are over."""
        self.clear()
        self._timer = self._clock.call_later(max(0.0, delay_s), callback)

    def clear(self) -> None:
        """Call nothing. Idempotent, also after the call."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
