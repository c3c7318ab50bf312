"""Namespaces of Linux for processes: a network that can be cut, a disk that can be filled. Root only."""

from __future__ import annotations

import errno
import itertools
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from kraken.testing.process import die_with_parent

NETWORKS_MAX: Final = 4
"""To a process."""
_NOBODY: Final = "02:00:00:00:00:01"
"""The hardware address of none: what is sent to it is lost on the way, and who sent it is not told."""
_numbers: Final = itertools.count()
_SMALL_DISK: Final = """
set -e
mkdir -p "$1.small"
mount -t tmpfs -o size="$2" none "$1.small"
cp -a "$1/." "$1.small"
mount --bind "$1.small" "$1"
shift 2
exec "$@"
"""


class CutNetwork:
    """A network of two: this machine, and who is run by `inside`. As a context manager.

    Attributes:
        here: this machine's address in it. there: the other's.
    """

    def __init__(self) -> None:
        # Another process at the same time has others.
        number = (os.getpid() * NETWORKS_MAX + next(_numbers) % NETWORKS_MAX) % (32 * 256)
        network = f"10.{213 + number // 256}.{number % 256}"
        self.here, self.there = f"{network}.1", f"{network}.2"
        self._ours, self._theirs = f"kraken{number}", f"kraken{number}x"
        self._holder: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> CutNetwork:
        # The namespace is there for as long as somebody is in it: it goes with us, however we end.
        self._holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], preexec_fn=die_with_parent)
        try:
            self._wait_until_apart(self._holder.pid)
            peer = ("peer", self._theirs, "netns", str(self._holder.pid))
            _do("ip", "link", "add", self._ours, "type", "veth", *peer)
            _do("ip", "addr", "add", f"{self.here}/30", "dev", self._ours)
            _do("ip", "link", "set", self._ours, "up")
            _do(*self.inside, "ip", "addr", "add", f"{self.there}/30", "dev", self._theirs)
            _do(*self.inside, "ip", "link", "set", self._theirs, "up")
            _do(*self.inside, "ip", "link", "set", "lo", "up")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the network. Idempotent."""
        holder, self._holder = self._holder, None
        if holder is not None:
            holder.kill()
            holder.wait()

    @property
    def inside(self) -> Sequence[str]:
        """The command that runs another in there."""
        assert self._holder is not None
        return ("nsenter", "--target", str(self._holder.pid), "--net")

    def cut(self) -> None:
        """Nothing gets through, and nobody is told."""
        _do("ip", "link", "set", self._ours, "down")

    def deafen(self, address: str) -> None:
        """Nothing reaches this end any more, what it sends does, and nobody is told."""
        assert address in (self.here, self.there)
        far = address == self.there
        sender, device = ((), self._ours) if far else (self.inside, self._theirs)
        to = (address, "lladdr", _NOBODY, "nud", "permanent")
        _do(*sender, "ip", "neigh", "replace", *to, "dev", device)

    def mend(self) -> None:
        """All gets through again."""
        _do("ip", "link", "set", self._ours, "up")
        _do("ip", "neigh", "flush", "dev", self._ours, "nud", "permanent")
        _do(*self.inside, "ip", "neigh", "flush", "dev", self._theirs, "nud", "permanent")

    @staticmethod
    def _wait_until_apart(pid: int) -> None:
        ours = Path("/proc/self/ns/net").readlink()
        while Path(f"/proc/{pid}/ns/net").readlink() == ours:
            os.sched_yield()


def small_disk(directory: Path, size: str) -> Sequence[str]:
    """The command that runs another with this directory on a disk of so many bytes (`3m`), of its own."""
    return ("unshare", "--mount", "sh", "-c", _SMALL_DISK, "sh", str(directory), size)


def fill(pid: int, directory: Path) -> Path:
    """Fill the disk that the process has there; the file that does, as we may remove it."""
    path = Path(f"/proc/{pid}/root{directory}/filling")
    with path.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while file.write(b"\0" * size) == size:
                    pass
            except OSError as exc:
                if exc.errno != errno.ENOSPC:
                    raise
    return path


def _do(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)
