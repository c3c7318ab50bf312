"""The API at many nodes: CPU, memory, and for how long the daemon's only loop is kept from deciding.

    python tests/benchmarks/bench_api.py [NODES]

A daemon in this process serves a unix socket; its nodes have no BMC and fake hands. A client process
asks, as `kraken` does. "blocked" is the longest time in which the loop did nothing else meanwhile: the
design allows 200 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from kraken.api.server import answering, unix_socket
from kraken.daemon.config import Api, Config
from kraken.daemon.daemon import Daemon
from kraken.engine.settings import Settings
from kraken.executors.fake import FakeWorld
from kraken.testing.daemons import living

ASK = """
import sys, time
from kraken.cli.client import Client
method, path, body = sys.argv[2], sys.argv[3], sys.argv[4]
client = Client(socket_path=sys.argv[1])
began = time.perf_counter()
content, _ = client.fetch(method, path, body.encode() or None)
print(len(content), time.perf_counter() - began)
"""
ATTRIBUTES = {
    "arch": "x86_64",
    "rack": 12,
    "serial": "J3K4L5",
    "mac": "52:54:00:12:34:56",
    "ansible_user": "root",
    "boot.image": "rocky9",
    "service.unit": "demo",
    "site.row": "b",
}


class Stopwatch:
    """How long the loop was busy with one thing, at most, since it was last asked."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    async def watch(self) -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.002)
            now = time.monotonic()
            self.longest_s = max(self.longest_s, now - last - 0.002)
            last = now


@contextlib.asynccontextmanager
async def cluster(nodes: int, directory: Path) -> AsyncIterator[tuple[Daemon, Path]]:
    names = [f"n{i:05}" for i in range(nodes)]
    world = FakeWorld({name: {"power": "OFF", "service": "STOPPED"} for name in names})
    config = Config(api=Api(socket=directory / "sock"))
    (directory / "state").mkdir()
    async with living(directory, world=world, settings=Settings()) as daemon:
        with unix_socket(config) as local:
            async with answering(daemon, local):
                yield daemon, config.api.socket


async def main(nodes: int) -> None:
    watch = Stopwatch()
    watching = asyncio.create_task(watch.watch())
    with tempfile.TemporaryDirectory() as place:
        async with cluster(nodes, Path(place)) as (daemon, socket):
            print(f"{nodes} nodes                        CPU s    wall s   blocked ms   answer MB   peak MB")
            await measure_apply(daemon, nodes, watch)
            await settle(daemon)
            everyone = '{"all": true}'
            for method, path, body in (
                ("GET", "/v1/health", ""),
                ("GET", "/v1/nodes?view=names", ""),
                ("GET", "/v1/nodes", ""),
                ("GET", "/v1/nodes?view=full", ""),
                ("GET", "/v1/explain?all=true", ""),
                ("POST", "/v1/plan", '{"all": true, "set": {"power": "OFF"}}'),
                ("GET", "/v1/runs?limit=100", ""),
                ("GET", "/metrics", ""),
                ("POST", "/v1/discover", everyone),
            ):
                argv = [sys.executable, "-c", ASK, str(socket), method, path, body]
                await measure(f"{method} {path}", argv, watch)
                await settle(daemon)
            argv = [sys.executable, "-m", "kraken.cli", "--socket", str(socket), "status"]
            await measure("kraken status", argv, watch)
    watching.cancel()


async def settle(daemon: Daemon) -> None:
    engine, table = daemon.collector.engine, daemon.collector.table
    while any(engine.cause(name) != "CONVERGED" for name in table):  # noqa: ASYNC110
        await asyncio.sleep(0.5)


async def measure_apply(daemon: Daemon, nodes: int, watch: Stopwatch) -> None:
    from kraken.daemon.operations import Operations, Request

    each = {"attributes": ATTRIBUTES, "cfg": {"power": "ON", "service": "RUNNING"}, "groups": ["compute"]}
    document = {"nodes": {f"n{i:05}": each for i in range(nodes)}}
    await asyncio.sleep(0.05)
    watch.longest_s, cpu, began = 0.0, time.process_time(), time.monotonic()
    await Operations(daemon).apply(document, Request("bench", yes=True))
    show("apply (all nodes new)", time.process_time() - cpu, time.monotonic() - began, watch.longest_s, 0)


async def measure(what: str, argv: list[str], watch: Stopwatch) -> None:
    """Ask from another process; CPU is that of the daemon (of the command too, for `kraken`)."""
    await asyncio.sleep(0.05)
    watch.longest_s, cpu = 0.0, time.process_time()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(*argv, stdout=subprocess.PIPE)
    out, _ = await process.communicate()
    wall_s = time.monotonic() - began
    cpu_s, size = time.process_time() - cpu, len(out)
    if what.startswith("kraken"):
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        command_s = after.ru_utime + after.ru_stime - children.ru_utime - children.ru_stime
        show(f"{what} (the daemon's part)", cpu_s, wall_s, watch.longest_s, 0)
        print(f"{what:<32} {command_s:6.2f}   its own CPU")
    else:
        size, wall_s = int(out.split()[0]), float(out.split()[1])
        show(what, cpu_s, wall_s, watch.longest_s, size)


def show(what: str, cpu_s: float, wall_s: float, blocked_s: float, size: int) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    blocked_ms = blocked_s * 1000
    print(f"{what:<32} {cpu_s:6.2f}    {wall_s:6.2f}   {blocked_ms:10.0f}   {size / 1e6:9.2f}   {peak:7.0f}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
