"""Python's cycle collector in a daemon, and what goes back to the system."""

from __future__ import annotations

import gc
import subprocess
import sys
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


def counted(script: str) -> int:
    """What a program of its own, with this function's module at hand, prints as a number at the end."""
    command = [sys.executable, "-c", f"from kraken.daemon.garbage import *\n{script}"]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_what_was_freed_below_something_that_stays_goes_back_to_the_system() -> None:
    kb = counted(
        "def held():\n    return int(open('/proc/self/statm').read().split()[1]) * 4\n"
        "blocks = [bytes(4096) for _ in range(20_000)]\nlast = blocks[-1]\n"
        "del blocks\nbefore = held()\ngive_back()\nprint(before - held())"
    )

    assert kb > 50_000


@pytest.mark.parametrize(("first", "arenas"), [("share_one_heap()", 1), ("", 2)])
def test_threads_of_who_shares_one_heap_have_none_of_their_own(first: str, arenas: int) -> None:
    counted_arenas = counted(
        f"import ctypes, os, tempfile, threading\n{first}\n"
        "thread = threading.Thread(target=lambda: bytes(4096))\nthread.start()\nthread.join()\n"
        "with tempfile.TemporaryFile() as file:\n    os.dup2(file.fileno(), 2)\n"
        "    ctypes.CDLL(None).malloc_stats()\n    file.seek(0)\n    print(file.read().count(b'Arena '))"
    )

    assert counted_arenas == arenas
