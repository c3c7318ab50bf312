"""Other clients of BMCs over IPMI, to be measured beside Kraken's: ipmipower and powerman."""

from __future__ import annotations

import resource
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from kraken.testing.ipmi.farm import PASSWORD, USER

OPTIONS = f"-D LAN_2_0 -I 3 -l ADMIN -W opensesspriv -u {USER} -p {PASSWORD}"
PER_DEVICE = 250  # BMCs to one ipmipower of powerman


class Cost(NamedTuple):
    """Of one sweep; CPU is that of the client."""

    wall_s: float
    cpu_s: float
    answered: int


def ipmipower(addresses: Sequence[str], port: int, *more: str, asks: str = "-s") -> Cost:
    """The peer, once; how many it says are on or off, or have become so."""
    hosts = ",".join(f"{address}:{port}" for address in addresses)
    with meter(resource.RUSAGE_CHILDREN) as cost:
        words = ["ipmipower", *OPTIONS.split(), *asks.split(), *" ".join(more).split(), "-h", hosts]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    return cost(sum(line.endswith((": on", ": off", ": ok")) for line in done.stdout.splitlines()))


class Powerman:
    """powermand with an ipmipower for each 250 of these BMCs, while it is entered.

    They must listen on 623: Debian's ipmipower.dev splits what ipmipower says at the first colon, and so
    knows no plug with a port in its name.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses
        self._stack = ExitStack()
        self._pids: list[int] = []
        self._at = ""

    def __enter__(self) -> Powerman:
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self._at = f"127.0.0.1:{free.getsockname()[1]}"
        lines = ['include "/etc/powerman/ipmipower.dev"', f'listen "{self._at}"']
        for first in range(0, len(self._addresses), PER_DEVICE):
            some = self._addresses[first : first + PER_DEVICE]
            hosts = f"{some[0].rpartition('.')[0]}.[1-{len(some)}]"
            lines.append(
                f'device "d{first}" "ipmipower" "{shutil.which("ipmipower")} {OPTIONS} -h {hosts} |&"'
            )
            lines.append(f'node "n[{first + 1}-{first + len(some)}]" "d{first}" "{hosts}"')
        directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        (directory / "powerman.conf").write_text("\n".join(lines) + "\n")
        words = ["powermand", "-f", "-c", str(directory / "powerman.conf")]
        daemon = self._stack.enter_context(subprocess.Popen(words, stderr=subprocess.DEVNULL))
        self._stack.callback(daemon.terminate)
        ends_at = time.monotonic() + 10.0
        while self._count() < len(self._addresses):
            if time.monotonic() > ends_at:
                raise SystemExit("powermand does not see all BMCs")
            time.sleep(0.2)
        children = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()
        self._pids = [daemon.pid, *map(int, children)]
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def sweep(self) -> Cost:
        """Ask all, as `powerman -q` does; the CPU is that of its daemon and its ipmipowers, too."""
        before = self._cpu_s()
        with meter(resource.RUSAGE_CHILDREN) as cost:
            answered = self._count()
        found = cost(answered)
        return found._replace(cpu_s=found.cpu_s + self._cpu_s() - before)

    def _count(self) -> int:
        words = ["powerman", "-h", self._at, "-q", "-x"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return sum(line.endswith((": on", ": off")) for line in done.stdout.splitlines())

    def _cpu_s(self) -> float:
        spent = [Path(f"/proc/{pid}/schedstat").read_text().split()[0] for pid in self._pids]
        return sum(map(int, spent)) / 1e9


@contextmanager
def meter(who: int) -> Iterator[Callable[[int], Cost]]:
    """What is spent inside; called with how many answered, it gives the cost."""
    used, began = resource.getrusage(who), time.perf_counter()

    def cost(answered: int) -> Cost:
        now = resource.getrusage(who)
        cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
        return Cost(ended[0] - began, cpu, answered)

    ended = [0.0]
    yield cost
    ended[0] = time.perf_counter()
