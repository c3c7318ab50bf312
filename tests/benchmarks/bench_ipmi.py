"""Cold and warm sweeps of power status over simulated BMCs, beside the fastest client at hand.

    python tests/benchmarks/bench_ipmi.py [--bmcs 64] [--rounds 5]

Both sides talk to the same ipmi_sim processes on loopback, one per BMC and without a program for its
chassis: one that serves many, or starts a program per question, would be what is measured. The peer
is ipmipower (freeipmi-tools), else ipmitool, 32 at a time. CPU is that of the client alone, without
the start of Python.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from kraken.executors.credentials import Credentials
from kraken.executors.ipmi import IpmiExecutor
from kraken.model.module import Action, Discovery
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run

_PORT = 9640

_LAN = """name "farm"
set_working_mc 0x20
startlan 1
 addr {address} {port}
 priv_limit admin
 allowed_auths_admin none md2 md5 straight
 guid a123456789abcdefa1234567{number:08x}
endlan
user 2 true "admin" "secret" admin 10 none md2 md5 straight
"""

_MC = """mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
sel_enable 0x20 1000 0x0a
mc_enable 0x20
"""


class Cost(NamedTuple):
    wall_s: float
    cpu_s: float
    answered: int


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--bmcs", type=int, default=64)
    options.add_argument("--rounds", type=int, default=5)
    chosen = options.parse_args()
    if shutil.which("ipmi_sim") is None:
        raise SystemExit("ipmi_sim is not installed: apt-get install openipmi")
    addresses = [f"127.3.{n // 250}.{n % 250 + 1}" for n in range(chosen.bmcs)]
    with tempfile.TemporaryDirectory() as scratch, simulators(Path(scratch), addresses):
        ours = asyncio.run(measure_ours(Path(scratch), addresses, chosen.rounds))
        name, theirs = measure_peer(addresses, chosen.rounds)
    print(f"{chosen.bmcs} BMCs, median of {chosen.rounds} rounds")
    print(f"{'':24}{'wall s':>10}{'CPU µs/BMC':>12}{'answered':>10}{'wall ×':>9}{'CPU ×':>9}")
    for label, cost in [(name, theirs), *ours.items()]:
        wall, cpu = cost.wall_s / theirs.wall_s, cost.cpu_s / theirs.cpu_s
        print(
            f"{label:24}{cost.wall_s:10.4f}{1e6 * cost.cpu_s / chosen.bmcs:12.0f}"
            f"{cost.answered:10d}{wall:9.2f}{cpu:9.2f}"
        )


async def measure_ours(scratch: Path, addresses: Sequence[str], rounds: int) -> dict[str, Cost]:
    """Cold: sessions opened, used and given back. Warm: sessions kept."""
    file = scratch / "credentials.yaml"
    file.touch(mode=0o600)
    file.write_text("lab: {username: admin, password: secret}\n")
    nodes = {
        f"n{i}": NodeFacts(f"n{i}", {"bmc.address": a, "bmc.port": _PORT, "bmc.credential": "lab"})
        for i, a in enumerate(addresses)
    }
    look = Discovery("bench", "look", (), Action("ipmi", "power_status", scratch))
    executor = IpmiExecutor(Credentials(file))

    async def sweep() -> int:
        results: list[NodeResult] = []
        run = Run("bench", look, tuple(nodes), time.time(), 60.0)
        await executor.discover(run, nodes, results.extend)
        return sum(result.outcome is Outcome.OK for result in results)

    cold, warm = [], []
    for _ in range(rounds):
        with _meter(resource.RUSAGE_SELF) as cost:
            answered = await sweep()
            await executor.close()
        cold.append(cost(answered))
    await sweep()
    for _ in range(rounds):
        with _meter(resource.RUSAGE_SELF) as cost:
            answered = await sweep()
        warm.append(cost(answered))
    await executor.close()
    return {
        "Kraken, cold": _median(cold),
        "Kraken, warm": _median(warm),
    }


def measure_peer(addresses: Sequence[str], rounds: int) -> tuple[str, Cost]:
    costs = []
    for _ in range(rounds):
        with _meter(resource.RUSAGE_CHILDREN) as cost:
            if shutil.which("ipmipower"):
                name, answered = "ipmipower", _ipmipower(addresses)
            else:
                name, answered = "ipmitool", _ipmitool(addresses)
        costs.append(cost(answered))
    return name, _median(costs)


def _ipmipower(addresses: Sequence[str]) -> int:
    hosts = ",".join(f"{address}:{_PORT}" for address in addresses)
    words = f"ipmipower -D LAN_2_0 -I 3 -l ADMIN -W opensesspriv -u admin -p secret -s -h {hosts}"
    done = subprocess.run(words.split(), capture_output=True, text=True, check=False)
    return sum(line.endswith((": on", ": off")) for line in done.stdout.splitlines())


def _ipmitool(addresses: Sequence[str]) -> int:
    words = f"xargs -P32 -I@ ipmitool -I lanplus -C 3 -p {_PORT} -U admin -P secret -H @ power status"
    done = subprocess.run(
        words.split(), input="\n".join(addresses), capture_output=True, text=True, check=False
    )
    return done.stdout.count("Chassis Power is")


@contextmanager
def simulators(scratch: Path, addresses: Sequence[str]) -> Iterator[None]:
    """Run an ipmi_sim process for each address; all are ended on leaving."""
    (scratch / "bmc.emu").write_text(_MC)
    processes = []
    try:
        for number, address in enumerate(addresses):
            config, state = scratch / f"lan{number}.conf", scratch / f"state{number}"
            config.write_text(_LAN.format(address=address, port=_PORT, number=number))
            state.mkdir()
            words = ["ipmi_sim", "-c", config, "-f", scratch / "bmc.emu", "-s", state, "-n"]
            quiet = subprocess.DEVNULL
            processes.append(subprocess.Popen(words, stdin=quiet, stdout=quiet, stderr=quiet))
        for address in addresses:
            _wait_until_bound(address)
        yield
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


def _wait_until_bound(address: str) -> None:
    for _ in range(400):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((address, _PORT))
            except OSError:
                return
        time.sleep(0.025)
    raise SystemExit(f"ipmi_sim did not open {address}:{_PORT}")


@contextmanager
def _meter(who: int) -> Iterator[Callable[[int], Cost]]:
    used, began = resource.getrusage(who), time.perf_counter()

    def cost(answered: int) -> Cost:
        now = resource.getrusage(who)
        cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
        return Cost(ended[0] - began, cpu, answered)

    ended = [0.0]
    yield cost
    ended[0] = time.perf_counter()


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(
        statistics.median(c.wall_s for c in costs),
        statistics.median(c.cpu_s for c in costs),
        min(c.answered for c in costs),
    )


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    main()
