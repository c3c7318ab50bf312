"""Children of a real root, on the wire: one process of them, a DEALER socket with CURVE for each."""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import zmq
from tree_children import Child

from kraken.transport import Keyring
from kraken.transport.pump import Pump

TICK_S = 0.25
PATIENCE_S = 120.0


class Keys(NamedTuple):
    """What a child needs: the parent's public key and a pair of its own."""

    server: str
    public: str
    secret: str


def joined(state: Path, names: Sequence[str]) -> dict[str, Keys]:
    """Let these in below the daemon with this state directory, which does not run yet."""
    keyring = Keyring(state)
    server, found = keyring.server().public, {}
    for name in names:
        public, secret = (half.decode() for half in zmq.curve_keypair())
        invitation = keyring.children.invite(name, 0.0)
        assert keyring.children.admit(invitation.public, name, public, 0.0) is None
        found[name] = Keys(server, public, secret)
    return found


class WireChildren:
    """The children of one root, in a process that ends with this one's."""

    def __init__(self, keys: Mapping[str, Keys], port: int) -> None:
        ours, theirs = multiprocessing.Pipe()
        self._pipe = ours
        self._process = multiprocessing.get_context("spawn").Process(
            target=_live, args=(theirs, dict(keys), port), daemon=True
        )
        self._process.start()

    def close(self) -> None:
        """End their process."""
        self._process.kill()
        self._process.join()

    def begin(self) -> None:
        """Each ends, if it lived, and begins a life with what it had on its disk; nobody connects yet."""
        self._do("begin")

    def come(self) -> float:
        """All connect at once, and greet; seconds until each and the root have heard each other."""
        seconds: float = self._do("come")
        return seconds

    def take(self, nodes: int) -> None:
        """Wait until they have been given so many nodes, all of them together."""
        self._do("take", nodes)

    def see(self, variable: str, value: str) -> None:
        """Each sees this value of all of its nodes, and tells it."""
        self._do("see", variable, value)

    def quiet(self) -> float:
        """Seconds until all that they have told is acknowledged."""
        seconds: float = self._do("quiet")
        return seconds

    def _do(self, *what: Any) -> Any:
        self._pipe.send(what)
        found = self._pipe.recv()
        if isinstance(found, BaseException):
            raise found
        return found


class Member:
    """A child and its socket."""

    def __init__(self, name: str, keys: Keys, port: int, context: zmq.Context[Any]) -> None:
        self.child = Child(name, time.time, int(time.time() * 1000))
        self._keys, self._endpoint, self._context = keys, f"tcp://127.0.0.1:{port}", context
        self._socket: zmq.Socket[bytes] | None = None
        self._pump: Pump | None = None
        self._has_come = False

    def begin(self) -> None:
        if self._pump is not None and self._socket is not None:
            self._pump.close()
            self._socket.close()
            self.child = self.child.again()
        self._has_come = False
        socket = self._socket = self._context.socket(zmq.DEALER)
        socket.linger = 0
        socket.probe_router = True
        socket.reconnect_ivl, socket.reconnect_ivl_max = 100, 5000
        socket.curve_serverkey = self._keys.server.encode()
        socket.curve_publickey = self._keys.public.encode()
        socket.curve_secretkey = self._keys.secret.encode()
        self._pump = Pump(socket, self._read)

    def come(self) -> None:
        """Greet as soon as there is a connection, as libzmq's monitor has a daemon do."""
        assert self._socket is not None, "it has begun"
        self._socket.connect(self._endpoint)
        self._has_come = True
        self.tick()

    @property
    def is_up(self) -> bool:
        """Both have heard each other in this life."""
        return self.child.tree.links["root"].is_up

    @property
    def is_quiet(self) -> bool:
        feed = self.child.tree.links["root"].feed
        return feed.acked >= 0 and feed.is_quiet

    def tick(self) -> None:
        if not self._has_come:
            return
        self.child.tick()
        assert self._socket is not None, "who has come has begun"
        assert self._pump is not None, "who has come has begun"
        while self.child.out:
            try:
                self._socket.send(self.child.out[0], zmq.NOBLOCK)
            except zmq.Again:  # what waits is too much: the next hello will do
                self.child.out.clear()
                return
            self.child.out.pop(0)
            self._pump.poke()

    def _read(self) -> bool:
        assert self._socket is not None, "who reads has a socket"
        heard = False
        while True:
            try:
                data = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                break
            heard = True
            if data[:1] > b"\0":
                self.child.hear(data)
        if heard:
            self.tick()
        return False


class Crowd:
    """All members, and what is done with them."""

    def __init__(self, keys: Mapping[str, Keys], port: int) -> None:
        context: zmq.Context[Any] = zmq.Context()
        context.set(zmq.MAX_SOCKETS, 3 * len(keys) + 100)  # a closed one goes in its own time
        self.members = [Member(name, of, port, context) for name, of in keys.items()]

    async def begin(self) -> None:
        for member in self.members:
            member.begin()

    async def come(self) -> float:
        began = time.monotonic()
        for member in self.members:
            member.come()
        await self._until(lambda: all(m.is_up for m in self.members))
        return time.monotonic() - began

    async def take(self, nodes: int) -> float:
        return await self._until(lambda: sum(len(m.child.table) for m in self.members) >= nodes)

    async def see(self, variable: str, value: str) -> None:
        for member in self.members:
            for node in member.child.table:
                member.child.see(node, variable, value)
            member.tick()
            await asyncio.sleep(0)

    async def quiet(self) -> float:
        return await self._until(lambda: all(m.is_quiet for m in self.members))

    async def _until(self, holds: Callable[[], bool]) -> float:
        began = ticked = time.monotonic()
        while not holds():
            await asyncio.sleep(0.005)
            now = time.monotonic()
            if now - began > PATIENCE_S:
                raise TimeoutError(f"not within {PATIENCE_S:g} s")
            if now - ticked >= TICK_S:
                ticked = now
                for member in self.members:
                    member.tick()
        return time.monotonic() - began


def _live(pipe: Connection, keys: Mapping[str, Keys], port: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(_obey(pipe, keys, port))


async def _obey(pipe: Connection, keys: Mapping[str, Keys], port: int) -> None:
    crowd = Crowd(keys, port)
    loop = asyncio.get_running_loop()
    orders: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()

    def read() -> None:
        try:
            orders.put_nowait(pipe.recv())
        except EOFError:  # who gave orders was ended, and not by `close`
            loop.remove_reader(pipe.fileno())
            orders.put_nowait(("end",))

    loop.add_reader(pipe.fileno(), read)
    while True:
        try:
            verb, *arguments = await asyncio.wait_for(orders.get(), TICK_S)
        except TimeoutError:
            for member in crowd.members:
                member.tick()
            continue
        if verb == "end":
            return
        try:
            pipe.send(await getattr(crowd, verb)(*arguments))
        except Exception as error:
            pipe.send(error)
