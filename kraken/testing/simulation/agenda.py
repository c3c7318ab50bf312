"""What will happen when, and the two clocks: the true one, and the collector's."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

EPOCH = 1_700_000_000.0  # of the size of real times, so that rounding is what it will be


class Agenda:
    """Time passes in `run_for` alone, and all that is due happens in it.

    Attributes:
        time: the true time, in seconds since the epoch.
        life: which of the collector's lives it is; what was planned in one ends with it.
    """

    def __init__(self) -> None:
        self.time = EPOCH
        self.life = 0
        self._events: list[tuple[float, int, int | None, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._stopped_at: float | None = None

    def at(self, delay_s: float, happen: Callable[[], None], *, mortal: bool) -> None:
        """Let something happen later; when `mortal`, only if the collector's life goes on until then."""
        life = self.life if mortal else None
        heapq.heappush(self._events, (self.time + max(delay_s, 0.0), next(self._numbers), life, happen))

    def run_for(self, seconds: float) -> None:
        """Let time pass."""
        end = self.time + seconds
        while self._events and self._events[0][0] <= end:
            at, _, life, happen = heapq.heappop(self._events)
            self.time = max(at, self.time)
            if life is None or life == self.life:
                happen()
        self.time = end

    def clock(self) -> float:
        """The time as the collector has it."""
        return self.time if self._stopped_at is None else self._stopped_at

    @property
    def stands_still(self) -> bool:
        """Whether the collector's clock does."""
        return self._stopped_at is not None

    def stop_clock(self) -> None:
        """The collector's clock stands still, while the world goes on."""
        if self._stopped_at is None:
            self._stopped_at = self.time

    def start_clock(self) -> None:
        """It goes on, with a jump to the true time."""
        self._stopped_at = None
