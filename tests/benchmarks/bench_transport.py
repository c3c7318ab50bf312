"""The wire between collectors: children that all come back at once, and CPU per letter, beside TLS streams.

    python tests/benchmarks/bench_transport.py [--children 1000] [--letters 20000] [--rounds 3]

The parent runs in this process and its CPU alone is counted; children are bare sockets in one process of
their own (a thousand whole collectors would be most of the wall time here). The peer is asyncio's TLS
streams with a length before each message, certificates of both sides verified, ECDSA P-256. Rounds
alternate, medians are printed. A storm begins when all children connect at once and ends when the parent
has heard one letter of every one. Letters have 300 bytes, go up over one connection, and are written by the
child a batch at a time, with a pause of one turn of its loop between batches.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import resource
import ssl
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import zmq
import zmq.asyncio

from kraken.transport import Keyring, Wire

LETTER = b"\1" + bytes(299)


class Cost(NamedTuple):
    wall_s: float
    cpu_s: float


class Child(NamedTuple):
    """What a bare child needs: the parent's public key and a pair of its own."""

    server: str
    public: str
    secret: str


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--children", type=int, default=1000)
    options.add_argument("--letters", type=int, default=20_000)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    _allow_files(2 * chosen.children + 200)
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(measure(Path(directory), chosen.children, chosen.letters, chosen.rounds))


async def measure(directory: Path, children: int, letters: int, rounds: int) -> None:
    wire, streams = WireSide(directory / "wire", children), StreamSide(directory / "tls", children)
    print(f"{'':34} {'wire: wall s':>13} {'CPU s':>7} {'TLS: wall s':>13} {'CPU s':>7}")
    pairs = [(await wire.storm(), await streams.storm()) for _ in range(rounds)]
    show(f"{children} children come back", pairs)
    for batch in (1, 64):
        pairs = [
            (await wire.letters(letters, batch), await streams.letters(letters, batch)) for _ in range(rounds)
        ]
        show(f"{letters} letters, batches of {batch}", pairs, letters)


def show(what: str, pairs: Sequence[tuple[Cost, Cost]], letters: int = 0) -> None:
    ours, theirs = (
        Cost(statistics.median(c.wall_s for c in costs), statistics.median(c.cpu_s for c in costs))
        for costs in zip(*pairs, strict=True)
    )
    each = (
        f"   CPU us each: {ours.cpu_s / letters * 1e6:.1f}, {theirs.cpu_s / letters * 1e6:.1f}"
        if letters
        else ""
    )
    print(f"{what:34} {ours.wall_s:13.2f} {ours.cpu_s:7.2f} {theirs.wall_s:13.2f} {theirs.cpu_s:7.2f}{each}")


class WireSide:
    """A real `Wire`; its children are DEALER sockets with its settings."""

    def __init__(self, directory: Path, children: int) -> None:
        directory.mkdir()
        self._directory = directory
        keyring = Keyring(directory)
        self._server = keyring.server().public
        self._children = [self._child(keyring, f"c{i}") for i in range(children)]

    async def storm(self) -> Cost:
        port = _free_port()
        with Helper(_dealers, port, self._children, 1, 1) as helper:
            helper.ready()
            seen: set[str] = set()
            done = asyncio.Event()

            def heard(letters: Sequence[tuple[str, bytes]]) -> None:
                seen.update(name for name, _ in letters)
                if len(seen) == len(self._children):
                    done.set()

            wire = Wire(Keyring(self._directory), heard)
            wire.listen(f"127.0.0.1:{port}")
            with Clock() as clock:
                helper.go()
                await done.wait()
            wire.close()
        return clock.cost

    async def letters(self, letters: int, batch: int) -> Cost:
        port = _free_port()
        count = 0
        done = asyncio.Event()

        def heard(batch_heard: Sequence[tuple[str, bytes]]) -> None:
            nonlocal count
            count += len(batch_heard)
            if count == letters:
                done.set()

        wire = Wire(Keyring(self._directory), heard)
        wire.listen(f"127.0.0.1:{port}")
        with Helper(_dealers, port, self._children[:1], letters, batch) as helper:
            helper.ready()
            with Clock() as clock:
                helper.go()
                await done.wait()
        wire.close()
        return clock.cost

    def _child(self, keyring: Keyring, name: str) -> Child:
        public, secret = (half.decode() for half in zmq.curve_keypair())
        invitation = keyring.children.invite(name, 0.0)
        assert keyring.children.admit(invitation.public, name, public, 0.0) is None
        return Child(self._server, public, secret)


class StreamSide:
    """The peer: asyncio.start_server with TLS on both sides."""

    def __init__(self, directory: Path, children: int) -> None:
        directory.mkdir()
        self._children = children
        self._certificate = _certificate(directory)

    async def storm(self) -> Cost:
        port = _free_port()
        with Helper(_streams, port, self._certificate, self._children, 1, 1) as helper:
            helper.ready()
            with Clock() as clock:
                await self._serve(port, self._children, helper.go)
        return clock.cost

    async def letters(self, letters: int, batch: int) -> Cost:
        port = _free_port()
        with Helper(_streams, port, self._certificate, 1, letters, batch) as helper:
            helper.ready()
            with Clock() as clock:
                await self._serve(port, letters, helper.go)
        return clock.cost

    async def _serve(self, port: int, letters: int, begin: Callable[[], None]) -> None:
        """Until so many letters have come."""
        left = letters
        done = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal left
            try:
                while True:
                    size = int.from_bytes(await reader.readexactly(4), "big")
                    await reader.readexactly(size)
                    left -= 1
                    if left == 0:
                        done.set()
            except (asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
                writer.close()

        context = _context(ssl.PROTOCOL_TLS_SERVER, self._certificate)
        server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=context, backlog=4096)
        begin()
        await done.wait()
        server.close()


class Helper:
    """Children in a process of their own, that end when this does."""

    def __init__(self, run: Callable[..., Coroutine[None, None, None]], *arguments: object) -> None:
        ours, theirs = multiprocessing.Pipe()
        self._pipe = ours
        self._process = multiprocessing.get_context("spawn").Process(
            target=_in_process, args=(run, theirs, arguments), daemon=True
        )

    def __enter__(self) -> Helper:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()

    def ready(self) -> None:
        """Wait until all children are there."""
        self._pipe.recv()

    def go(self) -> None:
        """Let them speak."""
        self._pipe.send(None)


class Clock:
    """Wall and CPU time of this process, its threads included."""

    cost: Cost

    def __enter__(self) -> Clock:
        self._begun = (time.monotonic(), time.process_time())
        return self

    def __exit__(self, *_: object) -> None:
        self.cost = Cost(time.monotonic() - self._begun[0], time.process_time() - self._begun[1])


def _in_process(
    run: Callable[..., Coroutine[None, None, None]], pipe: Connection, arguments: tuple[object, ...]
) -> None:
    asyncio.run(run(pipe, *arguments))


async def _dealers(pipe: Connection, port: int, children: Sequence[Child], letters: int, batch: int) -> None:
    """When told to, connect all and have each speak."""
    context = zmq.asyncio.Context()
    context.set(zmq.MAX_SOCKETS, len(children) + 100)
    sockets = [_dealer(context, child) for child in children]
    pipe.send(None)
    await asyncio.to_thread(pipe.recv)
    for socket in sockets:
        socket.connect(f"tcp://127.0.0.1:{port}")
    await asyncio.gather(*(_say(socket, letters, batch) for socket in sockets))
    await asyncio.sleep(3600.0)


def _dealer(context: zmq.asyncio.Context, child: Child) -> zmq.asyncio.Socket:
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    socket.immediate = True
    socket.probe_router = True
    socket.reconnect_ivl = 100
    socket.reconnect_ivl_max = 5000
    socket.curve_serverkey = child.server.encode()
    socket.curve_publickey = child.public.encode()
    socket.curve_secretkey = child.secret.encode()
    return socket


async def _say(socket: zmq.asyncio.Socket, letters: int, batch: int) -> None:
    for said in range(0, letters, batch):
        for _ in range(min(batch, letters - said)):
            await socket.send(LETTER)
        await asyncio.sleep(0)


async def _streams(
    pipe: Connection, port: int, certificate: Path, children: int, letters: int, batch: int
) -> None:
    context = _context(ssl.PROTOCOL_TLS_CLIENT, certificate)

    async def one() -> None:
        pause_s = 0.1
        while True:
            try:
                _, writer = await asyncio.open_connection(
                    "127.0.0.1", port, ssl=context, ssl_handshake_timeout=120
                )
                break
            except OSError:
                await asyncio.sleep(pause_s)
                pause_s = min(5.0, pause_s * 2)
        data = len(LETTER).to_bytes(4, "big") + LETTER
        for said in range(0, letters, batch):
            writer.write(data * min(batch, letters - said))
            await writer.drain()
            await asyncio.sleep(0)
        await asyncio.sleep(3600.0)

    pipe.send(None)
    await asyncio.to_thread(pipe.recv)
    await asyncio.gather(*(one() for _ in range(children)))


def _context(protocol: int, certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    context.load_verify_locations(certificate)
    return context


def _certificate(directory: Path) -> Path:
    path = directory / "peer.pem"
    subject = ["-subj", "/CN=peer", "-keyout", path.with_suffix(".key"), "-out", path]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    subprocess.run(["openssl", "req", "-x509", "-nodes", *curve, *subject], check=True, capture_output=True)
    return path


def _free_port() -> int:
    with zmq.Context() as context, context.socket(zmq.REP) as socket:
        return socket.bind_to_random_port("tcp://127.0.0.1")


def _allow_files(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


if __name__ == "__main__":
    main()
