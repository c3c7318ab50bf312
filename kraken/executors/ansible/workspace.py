"""The directory all runs of one executor live in, and the ssh masters that linger beside it.

Inventories may hold passwords, so it lies in memory (tmpfs) where there is one, belongs to nobody
else, and what a killed daemon left is swept by the next.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from kraken.errors import ExecutorError
from kraken.executors.ansible.groups import Groups, Limits
from kraken.executors.ansible.starter import Starter
from kraken.executors.ansible.strays import end_strays

PREFIX = "kraken-ansible-"
CONTROL_MAX = 50  # bytes; a socket's path ends at 107: 16 of key, 32 of user, 17 ssh adds while binding

OWN_CONFIG = "[defaults]\ninternal_poll_interval = 0.01\n"
"""What has no variable in the environment. ansible-playbook looks a thousand times a second whether a
result has come, at each host; a hundred times costs a run that waits a tenth of the processor time."""


class Workspace:
    """A directory of mode 0700 that lives as long as its executor.

    Args:
        parent: where it is made; None: `default_parent()`.
        limits: what a run may have, where there are cgroups for it; None: it has none of its own.
    """

    def __init__(self, parent: Path | None = None, limits: Limits | None = None) -> None:
        self.parent = parent
        self.limits = limits
        self.groups: Groups | None = None
        self.root: Path | None = None
        self.control: Path | None = None
        self.starter: Starter | None = None
        self._lock = -1
        self._opening = threading.Lock()

    def run_directory(self) -> Path:
        """A fresh empty directory for one run, mode 0700; the caller gives it to `discard`."""
        with self._opening:
            root = self._open()
        return Path(tempfile.mkdtemp(prefix="run-", dir=root))

    @property
    def own_config(self) -> Path:
        """The ansible.cfg of runs for which nobody named one."""
        assert self.root is not None, "a run has been given its directory"
        return self.root / "ansible.cfg"

    def close(self) -> None:
        """Stop the ssh masters and the fork server, and remove everything. Idempotent."""
        if self.starter is not None:
            self.starter.close()
        if self.control is not None:
            stop_masters(self.control)
            discard(self.control)
        if self.root is not None:
            discard(self.root)
            os.close(self._lock)
        self.root = self.control = self.starter = None

    def _open(self) -> Path:
        if self.root is not None:
            return self.root
        parent = (self.parent or default_parent()).resolve()
        try:
            sweep(parent)
            fresh = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=parent))
            self._lock = os.open(fresh / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            root = fresh.rename(parent / fresh.name.lstrip("."))  # locked before a sweep can see it
            (root / "ansible.cfg").write_text(OWN_CONFIG)
            control = root / "c"
            if len(os.fsencode(control)) > CONTROL_MAX:
                control = Path(tempfile.mkdtemp(prefix=PREFIX, dir="/tmp"))
                (root / "control").symlink_to(control)
            else:
                control.mkdir(mode=0o700)
        except OSError as error:
            raise ExecutorError(
                f"cannot work in {parent}: {error.strerror}",
                part=str(parent),
                hint="free some space there (without /run and /dev/shm it is where TMPDIR points)",
            ) from error
        self.root, self.control, self.starter = root, control, Starter(control)
        if self.limits is not None:
            self.groups = Groups.open(self.limits)
        return root


def default_parent() -> Path:
    """A tmpfs this user may write to, else TMPDIR."""
    for candidate in (Path("/run"), Path("/dev/shm")):
        if os.path.ismount(candidate) and os.access(candidate, os.W_OK | os.X_OK):
            return candidate
    return Path(tempfile.gettempdir())


def sweep(parent: Path) -> None:
    """Remove the workspaces of this user whose daemon is dead; a living one holds its lock."""
    for root in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if root.is_symlink() or root.stat().st_uid != os.getuid():
                continue
            lock = os.open(root / "lock", os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for control in (root / "c", root / "control"):
                    if control.exists():
                        stop_masters(control.resolve())
                        discard(control.resolve())
                for lifeline in root.glob("run-*/lifeline"):  # whose keeper was killed, too
                    end_strays(lifeline.parent)
                discard(root)
            finally:
                os.close(lock)


def discard(directory: Path) -> None:
    """Remove a directory, also when something still writes into it for a moment."""
    for _ in range(5):
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            return
        time.sleep(0.02)


def stop_masters(control: Path, keys: Iterable[str] | None = None) -> None:
    """End the ssh masters whose sockets lie in this directory.

    Args:
        keys: only those whose socket's name begins with one of these; None: all.
    """
    prefixes = [f"ssh: {control}/{key}".encode() for key in ([""] if keys is None else keys)]
    for pid, title in _titles():
        if b"[mux]" in title and any(title.startswith(prefix) for prefix in prefixes):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGTERM)


def _titles() -> Iterator[tuple[int, bytes]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                yield int(entry.name), (entry / "cmdline").read_bytes()
