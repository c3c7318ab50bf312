"""How often Python's cycle collector looks through a daemon's objects."""

from __future__ import annotations

import gc
from typing import Final

YOUNG: Final = 10_000  # new objects, net of those freed, before the youngest are looked through; Python: 700


def collect_seldom() -> None:
    """Leave what was loaded so far alone for good, and look through what is new less often.

    Most of what a daemon makes is freed by reference counts. A sweep over BMCs makes hundreds of
    objects for each of them at once, which Python's default looks through some hundred times for nothing.
    Call it once, as the daemon starts; what is imported later is looked through like any object.
    """
    gc.freeze()
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
