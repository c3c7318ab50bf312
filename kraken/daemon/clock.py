"""The daemon's clock: wall time that never jumps."""

from __future__ import annotations

import time


class Clock:
    """Seconds since the epoch, as they were at the start plus what has passed since.

    Somebody who sets the machine's clock does not make values fresh or stale; time spent suspended
    counts (CLOCK_BOOTTIME).
    """

    def __init__(self) -> None:
        self._offset = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)

    def __call__(self) -> float:
        return self._offset + time.clock_gettime(time.CLOCK_BOOTTIME)
