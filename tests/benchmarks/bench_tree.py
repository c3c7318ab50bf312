"""What a tree costs its root: a boot storm, an idle hour, a change on its way up, a rejoin, memory.

    python tests/benchmarks/bench_tree.py [--collectors 100] [--nodes 100] [--changes 6]

The root is a real daemon over a real store. Its children speak the protocol (`kraken.sync.Tree`) without
engines, in the same process; letters go as bytes from one to the other without a network, which
bench_transport.py measures. CPU is that of the whole process while the root works, the store's thread too.
Peers measured elsewhere on such machines, for scale: for the storm NATS KV with a watcher takes 1.2 CPU s,
etcd 5.9 (client and server).

What it does not show: the wire's own bytes and encryption; values that are seen again every 30 s, which real
collectors tell, so that an idle root costs more; a flush of what was seen, which falls where it falls; the
root's memory without its children's.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from kraken.daemon.arrivals import Declared
from kraken.daemon.daemon import Daemon
from kraken.daemon.neighbours import Neighbours
from kraken.engine.settings import Settings
from kraken.executors.fake import FakeExecutor
from kraken.model.catalog import Catalog
from kraken.model.hold import EVERY_NODE, HoldTable
from kraken.model.loading import load_all
from kraken.model.node import NodeTable
from kraken.model.update import PRESENCE, PRESENT, Side, Stamp, StateUpdate
from kraken.store.group import GroupCommit
from kraken.store.store import Store
from kraken.sync.events import Adopt, Again, Event, Forget, Learn, Send
from kraken.sync.letters import decode, encode
from kraken.sync.tree import Tree
from kraken.testing.daemons import LAB


class NoNetwork:
    """Stands for `Neighbours`: letters of the root are put where their receiver finds them."""

    me, parent, any = "root", None, True

    def __init__(self) -> None:
        self.sent: deque[tuple[str, bytes]] = deque()
        self.bytes = 0

    def names(self) -> list[str]:
        return []

    def send(self, neighbour: str, letter: bytes) -> None:
        self.bytes += len(letter)
        self.sent.append((neighbour, letter))

    def start(self) -> None: ...

    def close(self) -> None: ...


class Child:
    """A collector without an engine: what it is told it has, what it sees it tells."""

    def __init__(self, name: str, clock: Callable[[], float], life: int = 1) -> None:
        self.name = name
        self.table = NodeTable()
        self.holds = HoldTable()
        self.bytes = 0
        self._clock = clock
        self._sequence = 0
        self.out: list[bytes] = []
        self.life = life
        self.tree = Tree(name, life, self.table, self.holds, clock(), parent="root")

    def hear(self, data: bytes) -> None:
        self._apply(self.tree.hear("root", decode(data), self._clock()))

    def tick(self) -> None:
        self._apply(self.tree.tick(self._clock()))

    def see(self, node: str, variable: str, value: str) -> None:
        self._sequence += 1
        stamp = Stamp(self.life, self._sequence)
        seen = StateUpdate(node, Side.DSC, variable, value, stamp, self._clock(), "bench")
        self.tree.observed(self.table.merge([seen]))

    def _apply(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Send(_, letter):
                    data = encode(letter)
                    self.bytes += len(data)
                    self.out.append(data)
                case Adopt(node, updates, _):
                    if node != EVERY_NODE:
                        self.table.replace(node, list(updates))
                    self._apply(self.tree.declared([node], self._clock()))
                case Forget(nodes):
                    for node in nodes:
                        self.table.remove(node)
                    self._apply(self.tree.declared(nodes, self._clock()))
                case Learn(_, updates):
                    self.table.merge(u for u in updates if u.node in self.table)
                case Again():
                    pass


class Bench:
    """A root and its children, one clock that is set forward by hand."""

    def __init__(self, daemon: Daemon, wire: NoNetwork, names: list[str], clock: list[float]) -> None:
        self.daemon, self.wire, self._clock = daemon, wire, clock
        self.children = {name: Child(name, lambda: clock[0]) for name in names}
        self.cpu_s = 0.0
        self.letters = 0

    async def carry(self) -> None:
        """Until nobody has anything to say."""
        while True:
            for child in self.children.values():
                child.tick()
            said = [(child.name, data) for child in self.children.values() for data in child.out]
            for child in self.children.values():
                child.out.clear()
            await self.root(said)
            if not said and not self.wire.sent:
                return
            while self.wire.sent:
                name, data = self.wire.sent.popleft()
                self.children[name].hear(data)

    async def root(self, letters: list[tuple[str, bytes]]) -> None:
        seat = self.daemon.seat
        assert seat is not None
        began = time.process_time()
        for name, data in letters:
            seat.hear(name, data)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.daemon.accept()
        await seat.outbox.close()
        self.cpu_s += time.process_time() - began
        self.letters += len(letters)

    def measured(self) -> tuple[float, int]:
        found = self.cpu_s, self.wire.bytes + sum(child.bytes for child in self.children.values())
        self.cpu_s, self.wire.bytes, self.letters = 0.0, 0, 0
        for child in self.children.values():
            child.bytes = 0
        return found

    async def declare(self, nodes: dict[str, str]) -> None:
        stamp = self.daemon.collector.stamp
        said: list[StateUpdate] = []
        for node, collector in nodes.items():
            for variable, value in ((PRESENCE, PRESENT), ("collectors", [collector])):
                said.append(
                    StateUpdate(
                        node, Side.ATTRIBUTE, variable, cast(Any, value), stamp(), self._clock[0], "bench"
                    )
                )
        await self.daemon.declare([Declared(said)], [])

    def is_equal(self) -> bool:
        table = self.daemon.collector.table
        return all(
            table[node.name].dsc_values() == node.dsc_values()
            for child in self.children.values()
            for node in child.table.values()
        )


async def measure(options: argparse.Namespace, directory: Path, catalog: Catalog) -> None:
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
    memory_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await daemon.start(store.load())
    names = [f"c{i}" for i in range(options.collectors)]
    bench = Bench(daemon, wire, names, clock)
    nodes = {f"n{i}": names[i // options.nodes] for i in range(options.collectors * options.nodes)}
    await bench.carry()
    await bench.declare(nodes)
    for _ in range(5):
        clock[0] += 1.0
        await bench.carry()
    cpu_s, sent = bench.measured()
    taken_by = sum(len(child.table) for child in bench.children.values())
    assert taken_by == len(nodes), f"{taken_by} of {len(nodes)} nodes were taken"
    print(f"{len(nodes):,} nodes declared and taken: root {cpu_s:.2f} CPU s, {sent / 1e6:.1f} MB both ways")

    for turn in range(options.changes):
        clock[0] += 0.2
        for node, name in nodes.items():
            bench.children[name].see(node, f"v{turn % 3}", f"x{turn}")
        await bench.carry()
    cpu_s, sent = bench.measured()
    changes = len(nodes) * options.changes
    told = "equal" if bench.is_equal() else "NOT EQUAL"
    print(
        f"boot storm of {changes:,} changes: root {cpu_s:.2f} CPU s ({cpu_s / changes * 1e6:.1f} us each), "
        f"{sent / 1e6:.1f} MB; copies are {told}"
    )

    for _ in range(60):
        clock[0] += 10.0
        await bench.carry()
    cpu_s, sent = bench.measured()
    print(
        f"idle for 600 s: root {cpu_s / 600 * 100:.2f} % of a core, "
        f"{sent / 600 / options.collectors:.0f} bytes/s per collector"
    )

    name = names[0]
    taken: list[float] = []
    for turn in range(200):
        clock[0] += 0.05
        bench.children[name].see("n0", "v0", f"y{turn}")
        child = bench.children[name]
        child.tick()
        began = time.perf_counter()
        await bench.root([(name, data) for data in child.out])
        taken.append(time.perf_counter() - began)
        child.out.clear()
        await bench.carry()
    taken.sort()
    print(
        f"one change, idle tree, one level's work: median {taken[100] * 1e3:.2f} ms, "
        f"p99 {taken[197] * 1e3:.2f} ms"
    )
    bench.measured()

    for child in bench.children.values():  # each starts anew with what it had on its disk
        fresh = Child(child.name, lambda: clock[0], child.life + 1)
        memory = child.tree.memory()
        fresh.table = child.table
        fresh.tree = Tree(
            child.name, child.life + 1, child.table, child.holds, clock[0], parent="root", memory=memory
        )
        bench.children[child.name] = fresh
    for _ in range(12):
        clock[0] += 1.0
        await bench.carry()
    cpu_s, sent = bench.measured()
    print(f"all rejoin with nothing changed: {sent / 1e6:.2f} MB both ways, root {cpu_s:.2f} CPU s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"memory: {peak / 1024:.0f} MiB, root and children together ({memory_before / 1024:.0f} before)")
    await daemon.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--collectors", type=int, default=100)
    parser.add_argument("--nodes", type=int, default=100, help="of each collector")
    parser.add_argument("--changes", type=int, default=6, help="of each node, in the storm")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        modules = Path(directory) / "modules"
        modules.mkdir()
        (modules / "lab.yml").write_text(LAB)
        catalog, _ = load_all([], [modules])
        asyncio.run(measure(options, Path(directory), catalog))


if __name__ == "__main__":
    main()
