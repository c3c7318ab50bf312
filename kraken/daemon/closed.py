"""Keeping a process that knows secrets to itself: no core dump, no reading by others of its user."""

from __future__ import annotations

import ctypes
import os
import resource
import sys

_PR_SET_DUMPABLE = 4  # linux/prctl.h


def close_memory() -> None:
    """Forbid core dumps of this process and of those it starts; as root, let the kernel also keep its memory
    from whoever is not root (prctl(2), PR_SET_DUMPABLE).

    Costs: a crash leaves no core. Of an ordinary user's daemon the memory stays open to that same user: not
    dumpable, it could not read its own /proc/self/fd, which every start of a program does.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux" and os.geteuid() == 0:
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
