"""Long answers in short slices: the loop that serves them also decides for the nodes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

SLICE_S = 0.02


async def in_slices(items: Iterable[T], work: Callable[[T], R]) -> list[R]:
    """What `work` gives for each item, in order; others get their turn every SLICE_S.

    So the items are not looked at in one and the same instant.
    """
    done: list[R] = []
    turn_ends = time.monotonic() + SLICE_S
    for item in items:
        done.append(work(item))
        if time.monotonic() >= turn_ends:
            await asyncio.sleep(0)
            turn_ends = time.monotonic() + SLICE_S
    return done
