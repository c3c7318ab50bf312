"""What a tree costs its root: a boot storm, an idle hour, memory, a rejoin; also as it grows.

    python tests/benchmarks/bench_tree.py [--collectors 100 ...] [--nodes 100] [--changes 6]

The root is a real daemon over a real store, in a process of its own. Its children speak the protocol
(`kraken.sync.Tree`) without engines, in another; letters go as bytes from one to the other without a wire,
which bench_transport.py and bench_tree_wire.py measure. The clock is set forward by hand. CPU is that of
the root's whole process while it works, the store's thread too. In the idle time every value is seen again
each 30 s, as real collectors tell it. Memory is the root's resident size with all variables held.
Peers measured on such machines, for scale: for the storm NATS KV with a watcher takes 1.2 CPU s, etcd 5.9
(client and server).

What it does not show: the wire's own bytes and encryption; the flush of values seen again each minute,
which goes by real time.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import resource
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple, cast

from tree_children import Children, Letters

from kraken.daemon.arrivals import Declared
from kraken.daemon.daemon import Daemon
from kraken.daemon.garbage import collect_seldom
from kraken.daemon.neighbours import Neighbours
from kraken.daemon.seat import TOGETHER_BYTES
from kraken.engine.settings import Settings
from kraken.executors.fake import FakeExecutor
from kraken.model.catalog import Catalog
from kraken.model.loading import load_all
from kraken.model.update import PRESENCE, PRESENT, Side, StateUpdate
from kraken.store.group import GroupCommit
from kraken.store.store import Store
from kraken.testing.daemons import LAB


class NoNetwork:
    """Stands for `Neighbours`: letters of the root are put where their receiver finds them."""

    me, parent, any = "root", None, True

    def __init__(self) -> None:
        self.sent: deque[tuple[str, bytes]] = deque()
        self.bytes = 0

    def in_doubt(self) -> list[str]:
        return []

    def revoked(self) -> list[str]:
        return []

    def names(self) -> list[str]:
        return []

    def send(self, neighbour: str, letter: bytes) -> None:
        self.bytes += len(letter)
        self.sent.append((neighbour, letter))

    def start(self) -> None: ...

    def close(self) -> None: ...


class Figures(NamedTuple):
    nodes: int
    storm_cpu_s: float
    storm_bytes: int
    last_s: float
    idle: float
    idle_bytes: float
    memory_mib: float
    join_bytes: int
    join_cpu_s: float


class Bench:
    """A root and its children, one clock that is set forward by hand."""

    def __init__(self, daemon: Daemon, wire: NoNetwork, children: Children, clock: list[float]) -> None:
        self.daemon, self.wire, self.children, self._clock = daemon, wire, children, clock
        self.cpu_s, self.bytes = 0.0, 0

    async def carry(self, said: Letters | None = None) -> None:
        """Until nobody has anything to say."""
        said = self.children.hear([], self._clock[0]) if said is None else said
        while True:
            await self.root(said)
            if not said and not self.wire.sent:
                return
            sent = list(self.wire.sent)
            self.wire.sent.clear()
            said = self.children.hear(sent, self._clock[0])

    async def root(self, letters: Letters) -> None:
        seat = self.daemon.seat
        assert seat is not None
        size = sum(len(data) for _, data in letters)
        self.bytes += size
        began = time.process_time()
        for name, data in letters:
            seat.hear(name, data)
        for _ in range(2 + size // TOGETHER_BYTES):
            await asyncio.sleep(0)
        self.daemon.accept()
        await seat.outbox.close()
        self.cpu_s += time.process_time() - began

    def measured(self) -> tuple[float, int]:
        """CPU seconds of root and bytes both ways since the last call."""
        found = self.cpu_s, self.wire.bytes + self.bytes
        self.cpu_s, self.wire.bytes, self.bytes = 0.0, 0, 0
        return found

    async def declare(self, nodes: dict[str, str]) -> None:
        stamp = self.daemon.collector.stamp
        said = [
            StateUpdate(node, Side.ATTRIBUTE, variable, value, stamp(), self._clock[0], "bench")
            for node, collector in nodes.items()
            for variable, value in ((PRESENCE, PRESENT), ("collectors", [collector]))
        ]
        await self.daemon.declare([Declared(cast(list[StateUpdate], said))], [])

    def is_equal(self) -> bool:
        table = self.daemon.collector.table
        return all(table[node].dsc_values() == dsc for node, dsc in self.children.values().items())


async def measure(options: argparse.Namespace, directory: Path, catalog: Catalog) -> Figures:
    clock = [1_000_000.0]
    wire = NoNetwork()
    store = Store.open(directory / "kraken.db")
    daemon = Daemon(
        catalog,
        [],
        Settings(),
        dict.fromkeys(("ipmi", "ansible", "tcp"), FakeExecutor(None)),
        GroupCommit(store),
        lambda: clock[0],
        incarnation=store.next_incarnation(),
        neighbours=cast(Neighbours, wire),
    )
    await daemon.start(store.load())
    names = [f"c{i}" for i in range(options.collectors)]
    children = Children(names, clock[0])
    try:
        return await rounds(Bench(daemon, wire, children, clock), options, clock, names)
    finally:
        children.close()
        await daemon.close()


async def rounds(bench: Bench, options: argparse.Namespace, clock: list[float], names: list[str]) -> Figures:
    nodes = {f"n{i}": names[i // options.nodes] for i in range(options.collectors * options.nodes)}
    await bench.carry()
    await bench.declare(nodes)
    for _ in range(5):
        clock[0] += 1.0
        await bench.carry()
    taken = len(bench.children.values())
    assert taken == len(nodes), f"{taken} of {len(nodes)} nodes were taken"
    bench.measured()

    last_s = 0.0
    for turn in range(options.changes):
        clock[0] += 0.2
        bench.children.see(f"v{turn % 3}", f"x{turn}", clock[0])
        began = time.perf_counter()
        await bench.carry()
        last_s = time.perf_counter() - began
    storm_cpu_s, storm_bytes = bench.measured()
    assert bench.is_equal(), "root's copy is not what its children have"

    for variable in range(options.variables):
        bench.children.see(f"v{variable}", "x", clock[0])
    await bench.carry()
    bench.measured()
    memory = resident_mib()
    assert bench.is_equal(), "root lacks some of the variables"
    bench.measured()

    for _ in range(60):  # every value is seen again each 30 s, which is told above
        for variable in range(options.variables) if clock[0] // 10 % 3 == 0 else ():
            bench.children.see(f"v{variable}", "x", clock[0])
        await bench.carry()
        clock[0] += 10.0
    idle_cpu_s, idle_bytes = bench.measured()

    said = bench.children.rejoin(clock[0])
    await bench.carry(said)
    for _ in range(12):
        clock[0] += 1.0
        await bench.carry()
    join_cpu_s, join_bytes = bench.measured()
    return Figures(
        len(nodes),
        storm_cpu_s,
        storm_bytes,
        last_s,
        idle_cpu_s / 600,
        idle_bytes / 600 / len(names),
        memory,
        join_bytes,
        join_cpu_s,
    )


def resident_mib() -> float:
    """Of this process, now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


ROWS: tuple[tuple[str, Callable[[Figures], float], str], ...] = (
    ("boot storm: root's CPU s", lambda f: f.storm_cpu_s, "0.7"),
    ("  MB both ways", lambda f: f.storm_bytes / 1e6, ""),
    ("  last wave known at root, s", lambda f: f.last_s, "1"),
    ("idle: % of a core", lambda f: f.idle * 100, "1"),
    ("  bytes/s per collector", lambda f: f.idle_bytes, "1000"),
    ("root's memory, MiB", lambda f: f.memory_mib, "114 (120 MB)"),
    ("rejoin, nothing changed: MB", lambda f: f.join_bytes / 1e6, "0.5"),
    ("  root's CPU s", lambda f: f.join_cpu_s, ""),
)


def show(found: Sequence[Figures]) -> None:
    print(f"{'nodes':32}" + "".join(f"{f.nodes:>12,}" for f in found) + "  goal at 10,000")
    for text, read, goal in ROWS:
        print(f"{text:32}" + "".join(f"{read(f):12.2f}" for f in found) + f"  {goal}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--collectors", type=int, nargs="+", default=[100], help="one column for each number")
    parser.add_argument("--nodes", type=int, default=100, help="of each collector")
    parser.add_argument("--changes", type=int, default=6, help="of each node, in the storm")
    parser.add_argument("--variables", type=int, default=20, help="of each node, after the storm")
    options = parser.parse_args()
    print(f"load before: {os.getloadavg()[0]:.1f}")
    found = []
    for count in list(options.collectors):
        options.collectors = count
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, spawn) as alone:  # so that memory is this one's alone
            found.append(alone.submit(one, options).result())
    show(found)


def one(options: argparse.Namespace) -> Figures:
    """All rounds with so many collectors."""
    with tempfile.TemporaryDirectory() as directory:
        modules = Path(directory) / "modules"
        modules.mkdir()
        (modules / "lab.yml").write_text(LAB)
        catalog, _ = load_all([], [modules])
        collect_seldom()  # as a daemon's process does
        return asyncio.run(measure(options, Path(directory), catalog))


if __name__ == "__main__":
    main()
