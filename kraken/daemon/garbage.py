"""How often Python's cycle collector looks through a daemon's objects, and what free memory goes back."""

from __future__ import annotations

import ctypes
import gc
from typing import Final

_M_ARENA_MAX: Final = -8  # malloc.h of glibc

YOUNG: Final = 10_000  # new objects, net of those freed, before the youngest are looked through; Python: 700


def collect_seldom() -> None:
    """Leave what was loaded so far alone for good, and look through what is new less often.

    Most of what a daemon makes is freed by reference counts. A sweep over BMCs makes hundreds of
    objects for each of them at once, which Python's default looks through some hundred times for nothing.
    Call it once, as the daemon starts; what is imported later is looked through like any object.
    """
    gc.freeze()
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])


def share_one_heap() -> None:
    """Have threads that are started from now on take memory from the first one's heap, and not each reserve
    one for itself, which it never fills (mallopt(3), M_ARENA_MAX). For a daemon whose threads do little.
    """
    adjust = getattr(ctypes.CDLL(None), "mallopt", None)
    if adjust is not None:
        adjust(_M_ARENA_MAX, 1)


def give_back() -> None:
    """Give the system what the C library keeps of freed memory (malloc_trim(3)); some 0.1 ms for each MB.

    It does so by itself only at the end of its heap, and what is loaded last stays there. A C library that
    knows no such thing, as musl does not, is left alone.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
