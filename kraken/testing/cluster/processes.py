"""The process table as /proc tells it: who descends from whom, who carries a mark."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")


def parents() -> dict[int, int]:
    """Every living process (zombies excepted) -> its parent."""
    found: dict[int, int] = {}
    for name in os.listdir(PROC):  # noqa: PTH208 - a Path per process costs more than the reading
        if not name.isdigit():
            continue
        with suppress(OSError):
            fields = (PROC / name / "stat").read_bytes().rpartition(b")")[2].split()
            if fields[0] not in (b"Z", b"X"):
                found[int(name)] = int(fields[1])
    return found


def descendants(ancestor: int, table: dict[int, int] | None = None) -> set[int]:
    """Everything below `ancestor`, itself excluded."""
    below: dict[int, list[int]] = {}
    for pid, parent in (parents() if table is None else table).items():
        below.setdefault(parent, []).append(pid)
    found: set[int] = set()
    waiting = list(below.get(ancestor, ()))
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += below.get(pid, ())
    return found


def marked(variable: str, value: str) -> set[int]:
    """Every process that was started with `variable=value` in its environment."""
    mark = f"{variable}={value}".encode()
    found = set()
    for name in os.listdir(PROC):  # noqa: PTH208
        if name.isdigit():
            with suppress(OSError):
                if mark in (PROC / name / "environ").read_bytes().split(b"\0"):
                    found.add(int(name))
    return found


def inner_pid(pid: int) -> int:
    """The number a process has in its own, innermost pid namespace; 0 when it is gone."""
    with suppress(OSError, ValueError, IndexError):
        for line in (PROC / str(pid) / "status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
    return 0


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Signal them all; whoever is already gone does not matter."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
