"""Cgroups of runs: what one may have of processes and memory, and an end of all of it at once (ADR 104).

Only within a cgroup that whoever started the daemon gave it to divide, as systemd does where a unit says
`Delegate=`; elsewhere there are none, and nothing here is touched. Of version 2 (cgroups(7)):

    OWN/daemon/        the daemon, its fork server, and keepers: no limit of a run is theirs
    OWN/runs/run-x/    one run of ansible-playbook, and all it started
    OWN/left/          what runs left running on purpose: ssh masters, what a task put into the background
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

TREES: Final = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
DELEGATED: Final = ("user.delegate", "trusted.delegate")
"""What systemd writes onto a cgroup that it leaves to its service; the second one is for root's eyes."""

CONTROLLERS: Final = ("cpu", "memory", "pids")
"""With that of the processors, the daemon has as much of them as all its runs together, and each run as
much as another, however many processes it has: some thousands that spin would keep it from its watchdog."""

EMPTY_S: Final = 1.0
_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may have.

    Attributes:
        processes: and threads, at once.
        memory: bytes, or with K, M, G or T, or a percentage of the machine's.
    """

    processes: int = 4096
    memory: str = "75%"

    def files(self) -> dict[str, str]:
        """What is written into which file of its cgroup. Swap is memory that the others wait for: none."""
        return {
            "pids.max": str(self.processes),
            "memory.max": str(size(self.memory)),
            "memory.swap.max": "0",
        }


class Groups:
    """The cgroups of a daemon's runs. Thread-safe once made.

    Args:
        own: the cgroup that is ours to divide.
    """

    def __init__(self, own: Path, limits: Limits) -> None:
        self.own = own
        self.limits = limits

    @classmethod
    def open(cls, limits: Limits, own: Path | None = None) -> Groups | None:
        """Divide our cgroup; None where it is not ours, or cannot be divided."""
        own = own or own_group()
        if own is None:
            log.info("runs of Ansible are not limited", extra={"reason": "no cgroup is delegated to Kraken"})
            return None
        if own.name == "daemon" and (own.parent / "runs").is_dir():  # by us, before
            return cls(own.parent, limits)
        groups = cls(own, limits)
        try:
            groups._divide()
        except OSError as error:
            log.warning(
                "runs of Ansible are not limited",
                extra={"reason": f"cannot divide {own}: {error.strerror}"},
            )
            return None
        return groups

    def make(self, name: str) -> Group | None:
        """The cgroup of a run; None when it cannot be made, which is logged."""
        place = self.own / "runs" / name
        try:
            place.mkdir()
            for file, text in self.limits.files().items():
                if (place / file).exists():  # its controller is there
                    (place / file).write_text(text)
        except OSError as error:
            log.warning("run is not limited", extra={"group": str(place), "reason": error.strerror})
            return None
        return Group(place, self.limits)

    def _divide(self) -> None:
        """Processes are in the leaves only, else the kernel does not limit them."""
        for name in ("daemon", "runs", "left"):
            (self.own / name).mkdir(exist_ok=True)
        move(self.own, self.own / "daemon")
        there = (self.own / "cgroup.controllers").read_text().split()
        for place in (self.own, self.own / "runs"):
            for controller in CONTROLLERS:
                if controller in there:
                    (place / "cgroup.subtree_control").write_text(f"+{controller}")
        missing = [controller for controller in CONTROLLERS if controller not in there]
        if missing:
            log.info("runs of Ansible are not limited in all", extra={"missing": " ".join(missing)})
        for place in (self.own / "runs").glob("run-*/"):  # of a daemon that was killed
            Group(place, self.limits).kill()
            Group(place, self.limits).close()


class Group:
    """The cgroup of one run."""

    def __init__(self, place: Path, limits: Limits) -> None:
        self.place = place
        self.limits = limits

    def reached(self) -> str:
        """Which limit it came to, in words; empty for none."""
        if events(self.place / "memory.events").get("oom_kill", 0):
            return f"its run used all the memory it may, ansible.memory_max: {self.limits.memory}"
        if events(self.place / "pids.events").get("max", 0):
            return f"its run had all the processes it may, ansible.processes_max: {self.limits.processes}"
        return ""

    def kill(self) -> None:
        """SIGKILL to all in it, at once (Linux 5.14)."""
        with contextlib.suppress(OSError):
            (self.place / "cgroup.kill").write_text("1")

    def close(self) -> None:
        """Let go what it left running, and remove it."""
        end = time.monotonic() + EMPTY_S
        while True:
            with contextlib.suppress(OSError):
                move(self.place, self.place.parent.parent / "left")
            try:
                self.place.rmdir()
                return
            except FileNotFoundError:
                return
            except OSError:  # who was killed is not gone yet
                if time.monotonic() > end:
                    log.warning("cgroup of a run stays", extra={"group": str(self.place)})
                    return
                time.sleep(0.005)


def own_group(tree: Path | None = None, membership: Path = Path("/proc/self/cgroup")) -> Path | None:
    """The cgroup of this process, if it is delegated to us; None otherwise."""
    tree = tree or next((place for place in TREES if (place / "cgroup.controllers").exists()), None)
    with contextlib.suppress(OSError):
        paths = [line[3:] for line in membership.read_text().splitlines() if line.startswith("0::")]
        if tree is not None and paths:
            own = tree / paths[0].lstrip("/")
            above = own.parent if own.name == "daemon" else own  # divided by us, before
            if is_delegated(above) and os.access(above / "cgroup.procs", os.W_OK):
                return own
    return None


def is_delegated(group: Path) -> bool:
    for name in DELEGATED:
        with contextlib.suppress(OSError):
            if os.getxattr(group, name) == b"1":
                return True
    return False


def move(source: Path, target: Path) -> None:
    """All processes of one cgroup into another; those that begin meanwhile, too."""
    while numbers := (source / "cgroup.procs").read_text().split():
        for number in numbers:
            with contextlib.suppress(ProcessLookupError):
                (target / "cgroup.procs").write_text(number)


def events(file: Path) -> Mapping[str, int]:
    """What was counted in a cgroup; nothing where the controller is not there."""
    with contextlib.suppress(OSError, ValueError):
        pairs = (line.split() for line in file.read_text().splitlines())
        return {name: int(count) for name, count in pairs}
    return {}


def size(text: str, meminfo: Path = Path("/proc/meminfo")) -> int:
    """Bytes, of a text as `Limits.memory` is one."""
    if text.endswith("%"):
        kilobytes = next(
            int(line.split()[1]) for line in meminfo.read_text().splitlines() if "MemTotal" in line
        )
        return int(kilobytes * 1024 * int(text[:-1]) / 100)
    unit = text.lstrip("0123456789")
    return int(text.removesuffix(unit)) * _UNITS[unit]
