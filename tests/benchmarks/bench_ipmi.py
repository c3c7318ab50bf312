"""BMCs over IPMI: sweeps of power status, with and without faults, beside ipmipower.

    python tests/benchmarks/bench_ipmi.py [--bmcs 64 256 1024] [--rounds 5] [--faults] [--many] [--power]
                                          [--powerman]

Both sides talk to the same simulated BMCs (ipmi_sim, 64 to a process) on loopback. These speak cipher
suite 3, which ipmipower is told; Kraken finds it out with one packet more, unless `bmc.cipher_suite` tells
it, too. CPU is that of the client alone, without the start of Python; rounds of both sides alternate,
medians are printed. A ratio is the median of those of each round to ipmipower's of that round. --faults
adds a relay in front: 1 % of packets lost each way, a tenth of all BMCs mute, and a tenth that let us in
and then say nothing more. --many polls 4,096 in one process, and has their sessions end and begin anew
several times. --power switches nodes on until they are seen on, over fake BMCs in a process of their own:
they speak Python, so that their time is most of the wall time on both sides, and more of that of who logs
in; the CPU of the client is not theirs. --powerman asks powerman in each round, too, whose ipmipowers stay
resident and log in for each command.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import resource
import shutil
import socket
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from multiprocessing.connection import Connection
from pathlib import Path

from ipmi_peers import Cost, Powerman, ipmipower, meter

from kraken.daemon.garbage import collect_seldom
from kraken.executors.credentials import Credentials
from kraken.executors.ipmi import IpmiExecutor
from kraken.model.module import Action, Discovery, Mutation
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run
from kraken.model.update import Value
from kraken.testing.herd import Herd
from kraken.testing.ipmi import FakeBmc
from kraken.testing.ipmi.farm import PASSWORD, USER, Farm
from kraken.testing.ipmi.relay import Relay, Weather, front

POLL_S = 30.0
ANEW = 5


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--bmcs", type=int, nargs="+", default=[64, 256, 1024])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--powerman", action="store_true")
    options.add_argument("--faults", action="store_true")
    options.add_argument("--many", action="store_true")
    options.add_argument("--power", action="store_true")
    chosen = options.parse_args()
    if shutil.which("ipmi_sim") is None:
        raise SystemExit("ipmi_sim is not installed: apt-get install openipmi")
    if chosen.powerman and (shutil.which("powermand") is None or os.geteuid() != 0):
        raise SystemExit("--powerman wants root, and powerman: apt-get install powerman freeipmi-tools")
    _allow_files()
    collect_seldom()  # as the daemon does
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "credentials.yaml"
        file.touch(mode=0o600)
        file.write_text(f"lab: {{username: {USER}, password: {PASSWORD}}}\n")
        for size in chosen.bmcs:
            with ExitStack() as stack:
                farm = stack.enter_context(Farm(size, port=623 if chosen.powerman else 0))
                powerman = stack.enter_context(Powerman(farm.addresses)) if chosen.powerman else None
                asyncio.run(compare(farm, file, chosen.rounds, powerman))
        if chosen.faults:
            with Farm(1024) as farm:
                asyncio.run(faults(farm, file))
        if chosen.power:
            for size in chosen.bmcs:
                with Switchboard(size) as switchboard:
                    asyncio.run(power(switchboard, file, chosen.rounds))
        if chosen.many:
            with Farm(4096) as farm:
                asyncio.run(many(farm, file))


async def compare(farm: Farm, file: Path, rounds: int, powerman: Powerman | None) -> None:
    """Cold: sessions opened, used and given back. Warm: sessions kept."""
    print(f"\n{len(farm.addresses)} BMCs, median of {rounds} rounds")
    print(f"{'':26}{'wall s':>10}{'CPU µs/BMC':>12}{'answered':>10}{'wall ×':>9}{'CPU ×':>9}")
    client = Client(farm.addresses, farm.port, file)
    told = Client(farm.addresses, farm.port, file, **{"bmc.cipher_suite": 3})
    cold: list[Cost] = []
    cold_told: list[Cost] = []
    theirs, resident = [], []
    for _ in range(rounds):
        for one, costs in ((client, cold), (told, cold_told)):
            with meter(resource.RUSAGE_SELF) as cost:
                answered = await one.sweep()
                await one.executor.close()
            costs.append(cost(answered))
        if shutil.which("ipmipower"):
            theirs.append(ipmipower(farm.addresses, farm.port))
        if powerman is not None:
            resident.append(powerman.sweep())
    await client.sweep()
    warm = []
    for _ in range(rounds):
        with meter(resource.RUSAGE_SELF) as cost:
            answered = await client.sweep()
        warm.append(cost(answered))
    await client.executor.close()
    for label, found in (
        ("ipmipower", theirs),
        ("powerman", resident),
        ("Kraken, cold", cold),
        ("Kraken, cold, suite told", cold_told),
        ("Kraken, warm", warm),
    ):
        _row(label, found, theirs, len(farm.addresses))


async def faults(farm: Farm, file: Path) -> None:
    """1 % of all packets lost; a tenth of the BMCs mute; a tenth that fall silent with a session open."""
    addresses = [front(address) for address in farm.addresses]
    with Relay(farm.addresses, farm.port, seed=1) as relay:
        print(f"\n{len(addresses)} BMCs behind a relay, one sweep each, cold unless it says warm")
        print(f"{'':36}{'wall s':>10}{'CPU µs/BMC':>12}{'answered':>10}{'p99 healthy s':>15}")
        for label, weather in (
            ("no faults", Weather()),
            ("1 % lost each way", Weather(loss=0.01)),
            ("10 % mute", Weather(silent=farm.addresses[::10])),
        ):
            relay.weather(weather)
            client = Client(addresses, farm.port, file)
            with meter(resource.RUSAGE_SELF) as cost:
                answered = await client.sweep()
            found = cost(answered)
            await client.executor.close()
            late = statistics.quantiles(client.times, n=100)[98]
            _fault_row(f"Kraken, {label}", found, len(addresses), late)
            if shutil.which("ipmipower"):
                theirs = ipmipower(addresses, farm.port)
                _fault_row(f"ipmipower, {label}", theirs, len(addresses), None)
        relay.weather(Weather())
        client = Client(addresses, farm.port, file)
        await client.sweep()
        for label, weather in (
            ("no faults", Weather()),
            ("10 % hung", Weather(silent=farm.addresses[::10])),
        ):
            relay.weather(weather)
            with meter(resource.RUSAGE_SELF) as cost:
                answered = await client.sweep()
            found = cost(answered)
            late = statistics.quantiles(client.times, n=100)[98]
            _fault_row(f"Kraken, warm, {label}", found, len(addresses), late)
        await client.executor.close()


async def power(switchboard: Switchboard, file: Path, rounds: int) -> None:
    """From off to seen on: ours over sessions that are kept, ipmipower with its logins."""
    size = len(switchboard.addresses)
    print(f"\n{size} nodes from off to seen on, median of {rounds} rounds")
    print(f"{'':26}{'wall s':>10}{'CPU µs/BMC':>12}{'seen on':>10}{'wall ×':>9}{'CPU ×':>9}")
    client = Client(switchboard.addresses, switchboard.port, file)
    await client.sweep()
    ours, theirs = [], []
    for _ in range(rounds):
        switchboard.turn_off()
        with meter(resource.RUSAGE_SELF) as cost:
            await client.switch_on()
            on = 0
            while on < size:
                await client.sweep()
                on = client.on
        ours.append(cost(on))
        assert switchboard.count_on() == size, "what was seen is not so"
        if shutil.which("ipmipower"):
            switchboard.turn_off()
            done = ipmipower(switchboard.addresses, switchboard.port, "--on --wait-until-on", asks="")
            theirs.append(done._replace(answered=switchboard.count_on()))  # it leaves some off under load
    await client.executor.close()
    for label, found in (("ipmipower", theirs), ("Kraken, warm", ours)):
        _row(label, found, theirs, size)


async def many(farm: Farm, file: Path) -> None:
    """4,096 in one process: warm sweeps, memory, and what polling them costs."""
    size = len(farm.addresses)
    if shutil.which("ipmipower"):
        theirs = ipmipower(farm.addresses, farm.port, "-F 1024")
        print(f"\n{size} BMCs\nipmipower -F 1024: {theirs.wall_s:.2f} s, {theirs.answered} answered")
    before = _memory_mib()
    client = Client(farm.addresses, farm.port, file)
    answered = await client.sweep()
    print(f"cold sweep: {answered} answered, {_memory_mib() - before:.0f} MiB more than before")
    warm = []
    for _ in range(5):
        with meter(resource.RUSAGE_SELF) as cost:
            answered = await client.sweep()
        warm.append(cost(answered))
    found = _median(warm)
    share = found.cpu_s / POLL_S
    print(f"warm sweep: {found.wall_s:.2f} s, {found.answered} answered, {_memory_mib() - before:.0f} MiB")
    print(
        f"polled every {POLL_S:g} s: {100 * share:.1f} % of a core ({1e6 * found.cpu_s / size:.0f} µs a poll)"
    )
    await client.executor.close()
    for _ in range(ANEW):
        answered = await client.sweep()
        await client.sweep()
        held = _memory_mib() - before
        await client.executor.close()
    print(f"after {ANEW} times anew: {answered} answered, {held:.0f} MiB")


class Switchboard:
    """So many fake BMCs, whose nodes can be switched, in a process of their own while it is entered."""

    def __init__(self, size: int) -> None:
        self.addresses = [f"127.9.{n // 250}.{n % 250 + 1}" for n in range(size)]
        self.port = 0
        spawned = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawned.Pipe()
        self._process = spawned.Process(target=_serve, args=(self.addresses, theirs), daemon=True)

    def __enter__(self) -> Switchboard:
        self._process.start()
        self.port = self._pipe.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.send("end")
        self._process.join()

    def turn_off(self) -> None:
        self._pipe.send("off")
        self._pipe.recv()

    def count_on(self) -> int:
        self._pipe.send("count")
        return int(self._pipe.recv())


def _serve(addresses: Sequence[str], pipe: Connection) -> None:
    """The other process of a Switchboard: tells its port, then does what the pipe says until `end`."""
    _allow_files()
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as free:
        free.bind((addresses[0], 0))
        port = free.getsockname()[1]
    bmcs = [FakeBmc(address, users={USER: (PASSWORD, 4)}, suites=(3,)) for address in addresses]
    for bmc in bmcs:
        bmc.port = port

    def turn_off() -> None:
        for bmc in bmcs:
            bmc.chassis.power = False

    with Herd(bmcs) as herd:
        pipe.send(port)
        while (word := pipe.recv()) != "end":
            if word == "off":
                herd.do(turn_off)
            pipe.send(herd.do(lambda: sum(bmc.chassis.power for bmc in bmcs)))


class Client:
    """Kraken's executor on these BMCs.

    Attributes:
        times: when each healthy one answered, since its sweep began.
        on: how many of them said that their node is on.
    """

    def __init__(self, addresses: Sequence[str], port: int, file: Path, **more: Value) -> None:
        common = {"bmc.port": port, "bmc.credential": "lab", **more}
        self.nodes = {
            f"n{i}": NodeFacts(f"n{i}", {"bmc.address": address, **common})
            for i, address in enumerate(addresses)
        }
        self.executor = IpmiExecutor(Credentials(file))
        self.times: list[float] = []
        self.on = 0
        self._look = Discovery("bench", "look", (), Action("ipmi", "power_status", file.parent))
        self._change = Mutation("bench", "on", (), action=Action("ipmi", {"power": "on"}, file.parent))

    async def sweep(self) -> int:
        """Ask all; how many answered."""
        began, answered = time.perf_counter(), 0
        self.times.clear()
        self.on = 0

        def report(results: Sequence[NodeResult]) -> None:
            nonlocal answered
            good = sum(result.outcome is Outcome.OK for result in results)
            answered += good
            self.on += sum(result.observed.get("phys_state") == "POWER_ON" for result in results)
            self.times += [time.perf_counter() - began] * good

        run = Run("bench", self._look, tuple(self.nodes), time.time(), 60.0)
        await self.executor.discover(run, self.nodes, report)
        return answered

    async def switch_on(self) -> None:
        """Have all switched on; returns when each BMC has acknowledged."""
        run = Run("bench", self._change, tuple(self.nodes), time.time(), 60.0)
        await self.executor.run(run, self.nodes, lambda results: None)


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(
        statistics.median(c.wall_s for c in costs),
        statistics.median(c.cpu_s for c in costs),
        min(c.answered for c in costs),
    )


def _row(label: str, rounds: Sequence[Cost], peers: Sequence[Cost], size: int) -> None:
    if not rounds:
        return
    found, ratio = _median(rounds), ""
    if peers:
        pairs = list(zip(rounds, peers, strict=True))
        wall = statistics.median(one.wall_s / peer.wall_s for one, peer in pairs)
        cpu = statistics.median(one.cpu_s / peer.cpu_s for one, peer in pairs)
        ratio = f"{wall:9.2f}{cpu:9.2f}"
    print(f"{label:26}{found.wall_s:10.4f}{1e6 * found.cpu_s / size:12.0f}{found.answered:10d}{ratio}")


def _fault_row(label: str, found: Cost, size: int, late_s: float | None) -> None:
    late = f"{late_s:15.3f}" if late_s is not None else ""
    print(f"{label:36}{found.wall_s:10.3f}{1e6 * found.cpu_s / size:12.0f}{found.answered:10d}{late}")


def _memory_mib() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def _allow_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    main()
