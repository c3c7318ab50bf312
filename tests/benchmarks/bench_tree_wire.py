"""A tree of real daemons over ZeroMQ on loopback: how soon the root knows, and what it costs it.

    python tests/benchmarks/bench_tree_wire.py [--only latency return idle storm] [--rounds 3]

latency: root, row, rack and an agent, four processes. The agent is told a value (`POST /v1/observations`);
the time runs from the agent's event to the root's, and from the request to the root's event. One at a time.

return: so many children end, begin new lives with what they had on their disks, and connect at once. Wall is
from then until each and the root have heard each other; CPU is the root's from the end of the former lives
until 2 s after that. Beside it TLS streams in asyncio, each of which sends one message that nobody reads
(bench_transport.py). Children are all in one process: on two cores they are more than half of the time.

idle: nothing changes in 10,000 nodes below 100 children. They greet; then they also see each value again
every 31 s. CPU is that of the root's process, its writes to the disk among it; bytes are those of letters,
both ways, before encryption.

storm: 10,000 nodes below 100 children see 6 values each, one wave each 0.2 s; CPU is that of the root's
process. Beside it the same changes put by 100 clients into a bucket of NATS' key-value store, in memory, with
one watcher in Python that keeps them: CPU of server and watcher. For that `apt-get install nats-server` and
`pip install nats-py`; without them it is left out. The root also keeps what it is told on its disk, decides
what follows from it, and knows whose each node is; NATS does less.

CPU is read from /proc, of all threads. Rounds alternate with the peer's; medians are printed, and ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import resource
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from bench_transport import StreamSide
from nats_peer import NatsPeer, why_not
from wire_children import WireChildren, joined

from kraken.sync.tree import TOUCH_S
from kraken.testing.daemons import LAB
from kraken.testing.grove import Grove, free_port
from kraken.testing.process import DaemonProcess

TICKS = os.sysconf("SC_CLK_TCK")
WAVE_S = 0.2
VARIABLES = 3  # of each node
AGAIN_S = TOUCH_S + 1.0  # so that each is told again each time
LEAST_S = 0.01  # of a peer, to be compared with


class Cost(NamedTuple):
    wall_s: float
    cpu_s: float


def cpu_s(pid: int) -> float:
    """What a process has used so far, in seconds of a core."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextlib.contextmanager
def lab(directory: Path, **tree: Any) -> Iterator[tuple[DaemonProcess, int]]:
    """A root with the lab's module, not started yet, and its port; it ends with the block."""
    settings, port = lab_settings(directory), free_port()
    root = DaemonProcess(
        directory, "root", {**settings, "tree": {"name": "root", "listen": f"127.0.0.1:{port}"}}
    )
    root.configure()
    root.state.mkdir(mode=0o700)
    try:
        yield root, port
    finally:
        root.stop()


def lab_settings(directory: Path) -> dict[str, Any]:
    modules = directory / "modules"
    modules.mkdir()
    values = "".join(f"  v{i}: {{values: any}}\n" for i in range(VARIABLES))
    (modules / "lab.yml").write_text(LAB.replace("variables:\n", f"variables:\n{values}"))
    return {"module_dirs": [str(modules)], "collections_paths": []}


# -- latency ----------------------------------------------------------------------------------


def latency(directory: Path, options: argparse.Namespace) -> None:
    settings = lab_settings(directory)
    grove = Line(directory, settings)
    root = DaemonProcess(directory, "root", {**settings, "tree": grove.root_tree})
    root.configure()
    try:
        root.start()
        grove.start(root)
        agent = grove.daemons[grove.leaves[0]]
        node = {"attributes": {"collectors": list(grove.leaves)}, "cfg": {}}
        root.post("/v1/apply", {"document": {"nodes": {"n1": node}}, "yes": True})
        wait_until(lambda: agent.get("/v1/health")["nodes"] == 1)
        with Ear(root) as above, Ear(agent) as below:
            told = [one_change(agent, above, below, f"x{turn}") for turn in range(options.changes)]
    finally:
        grove.stop()
        root.stop()
    wire, whole = ([1000 * t[i] for t in told] for i in (0, 1))
    print(f"change at a leaf seen at the root, 3 levels below it, {len(told)} changes: ms")
    print(f"  {'':34} {'median':>8} {'p99':>8}   goal 50, 250")
    for text, found in (("from the agent's event", wire), ("from the request to the agent", whole)):
        print(f"  {text:34} {statistics.median(found):8.1f} {sorted(found)[int(len(found) * 0.99) - 1]:8.1f}")


class Line(Grove):
    """One daemon below the other."""

    def __init__(self, directory: Path, settings: dict[str, Any]) -> None:
        super().__init__(directory, 2, settings)
        ports = {name: free_port() for name in ("row", "rack")}
        trees = {n: {"listen": f"127.0.0.1:{port}"} for n, port in ports.items()} | {"n1": {}}
        self._parents = {"row": "root", "rack": "row", "n1": "rack"}
        self.daemons = {
            n: DaemonProcess(directory, n, {**settings, "tree": tree}) for n, tree in trees.items()
        }
        self.leaves = ["n1"]


class Ear:
    """Hears the events of a daemon, with the time at which each comes."""

    def __init__(self, daemon: DaemonProcess) -> None:
        self._daemon = daemon
        self._heard: dict[str, float] = {}
        self._news = threading.Condition()
        self._ready = threading.Event()
        self._client = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(daemon.socket), verify=False), timeout=None
        )
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Ear:
        self._thread.start()
        assert self._ready.wait(30.0), f"{self._daemon.name} sends no events"
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def when(self, value: str) -> float:
        """When this value was told of."""
        with self._news:
            assert self._news.wait_for(lambda: value in self._heard, 30.0), f"{self._daemon.name}: no {value}"
            return self._heard[value]

    def _listen(self) -> None:
        with (
            contextlib.suppress(httpx.HTTPError, OSError, RuntimeError),
            self._client.stream("GET", "http://kraken/v1/events?kinds=dsc") as answer,
        ):
            self._ready.set()
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    now = time.perf_counter()
                    value = line.partition('"value":"')[2].partition('"')[0]
                    with self._news:
                        self._heard[value] = now
                        self._news.notify_all()


def one_change(agent: DaemonProcess, above: Ear, below: Ear, value: str) -> tuple[float, float]:
    time.sleep(0.05)
    began = time.perf_counter()
    agent.post("/v1/observations", {"observations": {"n1": {"v0": value}}, "yes": True})
    seen = above.when(value)
    return seen - below.when(value), seen - began


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60.0
    while not holds():
        assert time.monotonic() < deadline, "not within a minute"
        time.sleep(0.05)


# -- return -----------------------------------------------------------------------------------


def come_back(directory: Path, options: argparse.Namespace) -> None:
    streams = StreamSide(directory / "tls", options.children)
    with lab(directory) as (root, port):
        names = [f"c{i}" for i in range(options.children)]
        keys = joined(root.state, names)
        root.start()
        children = WireChildren(keys, port)
        try:
            children.begin()
            children.come()
            nodes = {f"n{i}": {"attributes": {"collectors": [names[i % len(names)]]}} for i in range(10_000)}
            root.post("/v1/apply", {"document": {"nodes": nodes}, "yes": True})
            children.take(len(nodes))
            pairs = []
            for _ in range(options.rounds):
                before = cpu_s(root.pid)
                children.begin()
                time.sleep(1.0)  # the root sees that their connections are gone
                wall_s = children.come()
                time.sleep(2.0)  # what follows from it
                pairs.append((Cost(wall_s, cpu_s(root.pid) - before), asyncio.run(streams.storm())))
        finally:
            children.close()
    show(f"{options.children} children come back, 10,000 nodes", "TLS", pairs, "1 s")


def show(what: str, peer: str, pairs: list[tuple[Any, Any]], goal: str) -> None:
    ours, theirs = (
        Cost(statistics.median(c.wall_s for c in costs), statistics.median(c.cpu_s for c in costs))
        for costs in zip(*pairs, strict=True)
    )
    walls = ", ".join(f"{pair[0].wall_s:.2f}" for pair in pairs)
    print(f"{what} (goal {goal}; wall s of each round: {walls})")
    print(f"  {'':10} {'kraken':>8} {peer:>8} {'ratio':>8}")
    for text, mine, other in (("wall s", ours.wall_s, theirs.wall_s), ("CPU s", ours.cpu_s, theirs.cpu_s)):
        ratio = f"{mine / other:8.2f}" if other >= LEAST_S else f"{'-':>8}"
        print(f"  {text:10} {mine:8.2f} {other:8.2f} {ratio}")


# -- idle and storm ---------------------------------------------------------------------------


@contextlib.contextmanager
def crowd(directory: Path) -> Iterator[tuple[DaemonProcess, WireChildren]]:
    """A root with 10,000 nodes, which 100 children on the wire run."""
    with lab(directory) as (root, port):
        names = [f"c{i}" for i in range(100)]
        keys = joined(root.state, names)
        root.start()
        children = WireChildren(keys, port)
        try:
            children.begin()
            children.come()
            nodes = {f"n{i}": {"attributes": {"collectors": [names[i // 100]]}} for i in range(10_000)}
            root.post("/v1/apply", {"document": {"nodes": nodes}, "yes": True})
            children.take(len(nodes))
            time.sleep(3.0)
            yield root, children
        finally:
            children.close()


def check_known(root: DaemonProcess, variable: str, value: str) -> None:
    """The root holds this value of every node; else it was measured while it believed none."""
    nodes = root.get("/v1/nodes?view=brief")["nodes"]
    lacking = [node["name"] for node in nodes if node["dsc"].get(variable) != value]
    assert not lacking, f"{len(lacking)} of {len(nodes)} nodes are not known to have {variable} {value}"


def idle(directory: Path, options: argparse.Namespace) -> None:
    with crowd(directory) as (root, children):
        for variable in range(VARIABLES):
            children.see(f"v{variable}", "x")
        children.quiet()
        time.sleep(3.0)
        check_known(root, f"v{VARIABLES - 1}", "x")
        print(
            f"idle root, 100 children with 100 nodes each, {options.seconds:g} s each: % of a core (goal 1)"
        )
        for text, looks in (("greetings alone", 0), (f"{VARIABLES} values of each seen again", VARIABLES)):
            began, before = time.monotonic(), cpu_s(root.pid)
            while time.monotonic() - began < options.seconds:
                turn = time.monotonic()
                for variable in range(looks):
                    children.see(f"v{variable}", "x")
                time.sleep(max(0.0, min(AGAIN_S, options.seconds) - (time.monotonic() - turn)))
            share = (cpu_s(root.pid) - before) / (time.monotonic() - began)
            print(f"  {text:34} {100 * share:8.2f}   load {os.getloadavg()[0]:.1f}")
        flows = [row["flow"] for row in root.get("/v1/collectors")["collectors"] if row["name"] != "root"]
        both_ways = statistics.mean(flow["bytes_in_s"] + flow["bytes_out_s"] for flow in flows)
        print(f"  {'bytes/s of letters per child, then':34} {both_ways:8.0f}   goal 1000")


def storm(directory: Path, options: argparse.Namespace) -> None:
    missing = why_not()
    peer = None if missing else NatsPeer(directory / "nats", clients=100, nodes=10_000)
    with contextlib.ExitStack() as stack:
        if peer is not None:
            stack.callback(peer.close)
        root, children = stack.enter_context(crowd(directory))
        ours = []
        theirs: list[Cost] = []
        for turn in range(options.rounds):
            before = cpu_s(root.pid)
            for wave in range(6):
                began = time.monotonic()
                children.see(f"v{wave % VARIABLES}", f"x{turn}.{wave}")
                time.sleep(max(0.0, WAVE_S - (time.monotonic() - began)))
            last_s = children.quiet()
            time.sleep(3.0)  # until it is on the disk
            ours.append(Cost(last_s, cpu_s(root.pid) - before))
            check_known(root, f"v{wave % VARIABLES}", f"x{turn}.{wave}")
            if peer is not None:
                theirs.append(Cost(*peer.storm(waves=6, wave_s=WAVE_S, turn=turn)))
    title = "storm, 10,000 nodes x 6 changes; wall: until the last is known"
    if missing:
        print(f"{title}: NATS left out, {missing}")
        theirs = ours
    show(title, "NATS" if not missing else "itself", list(zip(ours, theirs, strict=True)), "0.7 CPU s, 1 s")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    works = {"latency": latency, "return": come_back, "idle": idle, "storm": storm}
    parser.add_argument("--only", nargs="+", choices=list(works), default=list(works))
    parser.add_argument("--children", type=int, default=1000, help="who come back at once")
    parser.add_argument("--changes", type=int, default=300, help="of which the latency is measured")
    parser.add_argument("--seconds", type=float, default=120.0, help="idle, of each kind")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the root inherits it
    print(f"load before: {os.getloadavg()[0]:.1f}")
    for name in options.only:
        with tempfile.TemporaryDirectory() as directory:
            works[name](Path(directory), options)


if __name__ == "__main__":
    main()
