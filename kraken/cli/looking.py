"""When those who watch nodes ask again how they stand."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

from kraken.cli.client import Event

AGAIN_S: Final = 30.0
"""A lost event must not matter for longer."""

SOON_S: Final = 2.0
"""Between two looks because of what was told: in a storm each beat would bring a reason for one."""

SHARE: Final = 0.1
"""Of the time, at most, the daemon spends on answers to looks that follow so on each other."""

HINTS: Final = frozenset({"collector", "nobody", "cfg"})
"""Events after which thousands of nodes may stand otherwise, without one of their own: they are STALE when
their collector is not heard, and are as they were when it is back."""


class Looking:
    """Whether it is time to look, by what was told since the last look began and how long that took.

    A context manager around each look.

    Args:
        clock: seconds, never going back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._looked_at = self._began_at = clock()
        self._is_hinted = self._is_lost = False

    def __enter__(self) -> None:
        self._began_at = self._clock()
        self._is_hinted = self._is_lost = False

    def __exit__(self, *error: object) -> None:
        self._looked_at = self._clock()

    def hear(self, events: Iterable[Event]) -> None:
        """Events came."""
        for event in events:
            self._is_lost |= event.kind == "lost"
            self._is_hinted |= event.kind in HINTS

    def is_due(self) -> bool:
        """Whether to look now."""
        took = self._looked_at - self._began_at
        pause = max(SOON_S, took / SHARE) if self._is_hinted else AGAIN_S
        return self._is_lost or self._clock() - self._looked_at > pause
