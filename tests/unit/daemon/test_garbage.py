"""Python's cycle collector in a daemon."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from kraken.daemon.garbage import YOUNG, collect_seldom


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


class Ring:
    """Something that only the cycle collector frees."""

    def __init__(self) -> None:
        self.me = self


def test_what_was_loaded_is_left_alone() -> None:
    collect_seldom()
    assert gc.get_freeze_count() > 1000


def test_rings_are_still_freed_in_time() -> None:
    collect_seldom()
    gone = weakref.ref(Ring())
    keep = []
    while gone() is not None and len(keep) < 2 * YOUNG:
        keep.append(Ring())
    assert gone() is None
    assert len(keep) <= YOUNG
