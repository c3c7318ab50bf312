"""What runs on though the keeper of its run was killed, which would have ended it."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from kraken.executors.ansible.keeper import KILL_S, descendants, kill


def end_strays(directory: Path) -> None:
    """SIGKILL to all of the run that has this directory to itself, until none is left; KILL_S at most.

    They are known by what they were started with: their directory, or their environment. So is what they
    started, unless both were changed and its parent has ended.
    """
    end = time.monotonic() + KILL_S
    while (found := _strays(os.fsencode(directory))) and time.monotonic() < end:
        kill(found)
        time.sleep(0.01)


def _strays(directory: bytes) -> list[int]:
    numbers = [entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    roots = [int(number) for number in numbers if _belongs(Path("/proc", number), directory)]
    return [pid for pid in {*roots, *descendants(*roots)} if not _is_master(pid)] if roots else []


def _belongs(process: Path, directory: bytes) -> bool:
    with contextlib.suppress(OSError):
        stands_in = os.fsencode((process / "cwd").readlink())
        return (
            stands_in.startswith(directory + b"/") or directory + b"/" in (process / "environ").read_bytes()
        )
    return False


def _is_master(pid: int) -> bool:
    """Whether it is an ssh that other runs share."""
    with contextlib.suppress(OSError):
        title = Path(f"/proc/{pid}/cmdline").read_bytes()
        return title.startswith(b"ssh: ") and b"[mux]" in title
    return False
