"""Namespaces of Linux for one process: a network that can be cut, a disk that can be filled. Root only."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from kraken.testing.process import die_with_parent

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
    """A network of two: this machine, and who is run by `inside`. As a context manager; one to a process.

    Attributes:
        here: this machine's address in it. there: the other's.
    """

    def __init__(self) -> None:
        number = os.getpid() % (32 * 256)  # another process at the same time has another network
        network = f"10.{213 + number // 256}.{number % 256}"
        self.here, self.there = f"{network}.1", f"{network}.2"
        self._ours = f"kraken{number}"
        self._holder: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> CutNetwork:
        # The namespace is there for as long as somebody is in it: it goes with us, however we end.
        self._holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], preexec_fn=die_with_parent)
        try:
            self._wait_until_apart(self._holder.pid)
            other = f"{self._ours}x"
            _do(
                "ip", "link", "add", self._ours, "type", "veth", "peer", other, "netns", str(self._holder.pid)
            )
            _do("ip", "addr", "add", f"{self.here}/30", "dev", self._ours)
            _do("ip", "link", "set", self._ours, "up")
            _do(*self.inside, "ip", "addr", "add", f"{self.there}/30", "dev", other)
            _do(*self.inside, "ip", "link", "set", other, "up")
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

    def mend(self) -> None:
        """All gets through again."""
        _do("ip", "link", "set", self._ours, "up")

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
