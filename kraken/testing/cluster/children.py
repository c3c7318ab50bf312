"""Processes a supervisor starts, and the reaping of everything that ends below it, its own or orphaned."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

# Python ignores these; programs expect them as they were.
AS_DEFAULT = [signal.SIGPIPE, signal.SIGXFSZ]


class Child:
    """A process started by Children.

    Attributes:
        status: as waitpid gave it, None while it runs.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.status: int | None = None
        self._callbacks: list[Callable[[Child], None]] = []

    @property
    def ended(self) -> bool:
        return self.status is not None

    def when_ended(self, callback: Callable[[Child], None]) -> None:
        self._callbacks.append(callback)

    def end(self, status: int) -> None:
        self.status = status
        for callback in self._callbacks:
            callback(self)


class Children:
    """All children of this process.

    Args:
        prefix: put before every command: how a child dies with the supervisor where no namespace does it.
    """

    def __init__(self, prefix: tuple[str, ...] = ()) -> None:
        self._prefix = prefix
        self._running: dict[int, Child] = {}

    def start(self, argv: list[str], log: Path, environment: dict[str, str]) -> Child:
        """Start a program in a session of its own, its output appended to `log`; argv[0] is a path."""
        argv = [*self._prefix, *argv]
        output = (log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        pid = os.posix_spawn(
            argv[0],
            argv,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(output[0]), output[1], output[2]),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=AS_DEFAULT,
        )
        self._running[pid] = child = Child(pid)
        return child

    def reap(self) -> None:
        """Take note of everything that has ended; called at SIGCHLD."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._running.pop(pid, None)
            if child is not None:
                child.end(status)
