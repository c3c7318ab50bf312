"""NATS' key-value store as a peer of the tree: a server, clients that put, and one that watches."""

from __future__ import annotations

import asyncio
import importlib.util
import multiprocessing
import os
import shutil
import subprocess
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from kraken.testing.grove import free_port

SERVER = "nats-server"
BUCKET = "dsc"
TICKS = os.sysconf("SC_CLK_TCK")
START_S = 20.0


def why_not() -> str | None:
    """What is missing for this peer; None: nothing."""
    if shutil.which(SERVER, path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
        return f"there is no {SERVER} (apt-get install nats-server)"
    return None if importlib.util.find_spec("nats") else "there is no nats-py (pip install nats-py)"


class NatsPeer:
    """A server of its own, which ends with `close`.

    Args:
        clients: who put; each has its share of the nodes.
    """

    def __init__(self, directory: Path, clients: int, nodes: int) -> None:
        directory.mkdir()
        port = free_port()
        program = shutil.which(SERVER, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        assert program is not None, "who makes a peer has asked why_not"
        self._server = subprocess.Popen(
            [program, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(directory)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._watcher = _Helper(_watch, port, nodes)
        self._clients = _Helper(_put, port, clients, nodes)

    def storm(self, waves: int, wave_s: float, turn: int) -> tuple[float, float]:
        """Seconds from the last put to the watcher's last change; CPU seconds of server and watcher."""
        watched = (self._server.pid, self._watcher.pid)
        before = sum(map(_cpu_s, watched))
        self._watcher.send(waves)
        self._clients.send((waves, wave_s, turn))
        ended = self._clients.receive()
        seen = self._watcher.receive()
        time.sleep(1.0)
        return max(0.0, seen - ended), sum(map(_cpu_s, watched)) - before

    def close(self) -> None:
        """End all processes."""
        self._clients.close()
        self._watcher.close()
        self._server.kill()
        self._server.wait()


class _Helper:
    def __init__(self, body: Any, *arguments: Any) -> None:
        ours, theirs = multiprocessing.Pipe()
        self._pipe = ours
        self._process = multiprocessing.get_context("spawn").Process(
            target=_in_process, args=(body, theirs, arguments), daemon=True
        )
        self._process.start()
        self.receive()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None, "it was started"
        return self._process.pid

    def send(self, what: Any) -> None:
        self._pipe.send(what)

    def receive(self) -> Any:
        return self._pipe.recv()

    def close(self) -> None:
        self._process.kill()
        self._process.join()


def _in_process(body: Any, pipe: Connection, arguments: tuple[Any, ...]) -> None:
    asyncio.run(body(pipe, *arguments))


async def _connected(port: int) -> Any:
    import nats

    deadline = time.monotonic() + START_S
    while True:
        try:
            return await nats.connect(f"nats://127.0.0.1:{port}", allow_reconnect=False)
        except OSError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)


async def _watch(pipe: Connection, port: int, nodes: int) -> None:
    from nats.js.api import StorageType

    client = await _connected(port)
    bucket = await client.jetstream().create_key_value(bucket=BUCKET, history=1, storage=StorageType.MEMORY)
    watcher = await bucket.watchall()
    held: dict[str, bytes] = {}
    pipe.send("ready")
    loop = asyncio.get_running_loop()
    while True:
        last = b"." + str(await loop.run_in_executor(None, pipe.recv) - 1).encode()
        done = 0
        async for entry in watcher:
            if entry is None:
                continue
            held[entry.key] = entry.value
            done += entry.value.endswith(last)
            if done == nodes:
                break
        pipe.send(time.monotonic())


async def _put(pipe: Connection, port: int, clients: int, nodes: int) -> None:
    buckets = [await (await _connected(port)).jetstream().key_value(BUCKET) for _ in range(clients)]
    share = nodes // clients
    pipe.send("ready")
    loop = asyncio.get_running_loop()

    async def wave(number: int, client: int, value: bytes) -> None:
        for node in range(client * share, (client + 1) * share):
            await buckets[client].put(f"n{node}.v{number % 3}", value)

    while True:
        waves, wave_s, turn = await loop.run_in_executor(None, pipe.recv)
        for number in range(waves):
            began = time.monotonic()
            value = f"x{turn}.{number}".encode()
            await asyncio.gather(*(wave(number, client, value) for client in range(clients)))
            await asyncio.sleep(max(0.0, wave_s - (time.monotonic() - began)))
        pipe.send(time.monotonic())


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
