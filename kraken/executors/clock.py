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
