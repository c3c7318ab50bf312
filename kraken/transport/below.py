"""Down the tree: one socket that all children connect to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

import zmq

from kraken.errors import LetterError, WireError
from kraken.sync.letters import LETTER_BYTES_MAX
from kraken.transport import notes
from kraken.transport.address import Address
from kraken.transport.gate import Gate
from kraken.transport.keyring import Keyring
from kraken.transport.keys import KeyPair, fingerprint
from kraken.transport.pump import BATCH, Pump
from kraken.transport.traffic import Refusals, Traffic

log = logging.getLogger(__name__)

Heard = Callable[[Sequence[tuple[str, bytes]]], None]
"""Called with (neighbour, letter) of one turn of the loop, in order of arrival."""

Linked = Callable[[str, int], None]
"""Called with (neighbour, number of its connection): for each that was made, before its first letter, and
again when another had spoken meanwhile; 0 when it was found gone. Never inside a call of ours."""

QUEUE: Final = 64
"""Letters that wait for one neighbour, each way. The protocol says again what was dropped, and by then
has newer news: a long queue would only make it old."""
_BACKLOG: Final = 4096
"""Connections the kernel holds while a thousand children come back at once (net.core.somaxconn caps it)."""
_FIRST: Final = int(zmq.NOBLOCK | zmq.SNDMORE)
_LAST: Final = int(zmq.NOBLOCK)
"""Numbers: to join flags of pyzmq's enumeration costs as much as to send a letter."""
FRAME_BYTES_MAX: Final = LETTER_BYTES_MAX + 33
"""CURVE leads a letter with its name, a nonce, a MAC and a flag (RFC 26, MESSAGE)."""
_ROTATE: Final = notes.encode(notes.Rotate())
_HANDSHAKE_MS: Final = 10_000
"""Who connects and says nothing is dropped after it; each holds an open file until then. Longer than this
collector's loop is ever busy, which has a word in each handshake."""
KEY_S: Final = 10.0
"""Between two new keys of one child: each costs a write to the disk. Who is refused says it again later."""


class Below:
    """A ROUTER socket with CURVE.

    Args:
        clock: seconds since the epoch; invitations end by it.

    Connections have numbers of libzmq's choosing. A number is no proof: a child can ask for one when it
    connects. So who sent a message is told by the key of its connection (User-Id), for each message.

    Raises:
        WireError: the address cannot be listened on.
    """

    def __init__(
        self,
        context: zmq.Context[Any],
        address: Address,
        keyring: Keyring,
        heard: Heard,
        linked: Linked,
        traffic: dict[str, Traffic],
        refusals: Refusals,
        clock: Callable[[], float],
    ) -> None:
        self._children = keyring.children
        self._heard = heard
        self._linked = linked
        self._traffic = traffic
        self._refusals = refusals
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._newest: dict[
            str, tuple[str, float]
        ] = {}  # child -> the last key it told, and when (loop's time)
        self._routes: dict[str, bytes] = {}  # child -> number of its connection
        self._gate = Gate(context, self._children, refusals)
        self._socket = context.socket(zmq.ROUTER)
        try:
            self.address = _listen(self._socket, address, keyring.server())
        except WireError:
            self._gate.close()
            self._socket.close(linger=0)
            raise
        self._pump = Pump(self._socket, self._read)

    @property
    def connected(self) -> list[str]:
        """Children that have spoken and were not found gone since, by name."""
        return sorted(self._routes)

    def send(self, child: str, data: bytes) -> bool:
        """Put it on the wire; False: it is not connected, or does not keep up."""
        route = self._routes.get(child)
        return route is not None and self._put(child, route, data)

    def ask_to_rotate(self, child: str) -> bool:
        """Have it change its key; False: it is not connected. One whose end was not noticed yet is told when
        it is back.

        Raises:
            WireError: that could not be written; it is told nothing.
        """
        if child not in self._routes:
            return False
        self._children.want_key(child)
        self.send(child, _ROTATE)
        return True

    def cut(self, child: str, reason: str) -> None:
        """Send it nothing more until it speaks again, if it still may; and tell it why."""
        route = self._routes.pop(child, None)
        if route is not None:
            self._put("", route, notes.encode(notes.Denied(reason)))
            self._loop.call_soon(self._linked, child, 0)

    def close(self) -> None:
        """Give back the sockets. Idempotent."""
        self._pump.close()
        self._gate.close()
        self._socket.close(linger=0)

    def _put(self, child: str, route: bytes, data: bytes) -> bool:
        self._pump.poke()
        try:
            self._socket.send(route, _FIRST)
            self._socket.send(data, _LAST)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            if self._routes.get(child) == route:
                del self._routes[child]
                self._loop.call_soon(self._linked, child, 0)
            return False
        return True

    def _read(self) -> bool:
        heard: list[tuple[str, bytes]] = []
        for _ in range(BATCH):
            try:
                route = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                break
            frame = self._socket.recv(zmq.NOBLOCK, copy=False)
            if frame.more:
                self._drain()
                self._refusals.add("malformed message", fingerprint(str(frame.get("User-Id"))))
                continue
            self._sort(route, str(frame.get("User-Id")), frame.bytes, heard)
        else:
            self._pump.poke()
        if heard:
            self._heard(heard)
        return False

    def _sort(self, route: bytes, key: str, data: bytes, heard: list[tuple[str, bytes]]) -> None:
        """What this message is: a letter, a note, or somebody's who may not say it."""
        name = self._children.name_of(key)
        if name is None:
            self._join(route, key, data)
            return
        if self._routes.get(name) != route:
            if name in self._routes and heard:  # over another connection: they come before this one
                self._heard(heard.copy())
                heard.clear()
            try:
                self._children.meet(name)
            except WireError:  # our next life would not know that it may have something of us
                self._refusals.add("first word not kept", name)
                return
            self._routes[name] = route
            try:
                self._children.saw(key)
            except WireError as error:  # then its former key is good as well, until it connects again
                log.error("key of a collector not kept", extra={"collector": name, "error": str(error)})
            self._linked(name, int.from_bytes(route, "big"))
            child = self._children.get(name)
            if child is not None and child.wants_key:
                self._put(name, route, _ROTATE)
        if not data:  # sent by libzmq itself as soon as a child is connected (ZMQ_PROBE_ROUTER)
            return
        if data[0] == 0:
            self._note(name, route, data)
            return
        traffic = self._traffic.get(name)
        if traffic is None:
            traffic = self._traffic[name] = Traffic()
        traffic.letters_in += 1
        traffic.bytes_in += len(data)
        heard.append((name, data))

    def _join(self, route: bytes, key: str, data: bytes) -> None:
        """Somebody with an invitation's key, or whose key was good when it connected."""
        child = self._children.invited_with(key)
        if child is None:
            reason = self._children.why_not(key)
            self._refusals.add(reason, fingerprint(key))
            self._put("", route, notes.encode(notes.Denied(reason)))
            return
        if not data:
            return
        try:
            note = notes.decode(data)
        except LetterError:
            self._refusals.add("letter from who has not joined", child.name)
            return
        if not isinstance(note, notes.Join):
            self._refusals.add("letter from who has not joined", child.name)
            return
        try:
            denied = self._children.admit(key, note.name, note.key, self._clock())
        except WireError as error:
            log.error("key of a collector not kept", extra={"collector": child.name, "error": str(error)})
            reason = "it could not write the key to its own disk; the invitation stays good"
            self._put("", route, notes.encode(notes.Denied(reason, stands=True)))
            return
        if denied is None:
            self.cut(child.name, "another machine has joined under this name")
        else:
            self._refusals.add("invitation not good", child.name)
        answer: notes.Note = notes.Joined(note.key) if denied is None else notes.Denied(denied)
        self._put("", route, notes.encode(answer))

    def _note(self, name: str, route: bytes, data: bytes) -> None:
        try:
            note = notes.decode(data)
        except LetterError:
            self._refusals.add("malformed message", name)
            return
        if not isinstance(note, notes.NewKey):
            return
        now = self._loop.time()
        if self._newest.get(name, ("", 0.0))[0] != note.key:
            if name in self._newest and now - self._newest[name][1] < KEY_S:
                self._refusals.add("too many keys", name)
                return
            self._newest[name] = (note.key, now)
        try:
            taken = self._children.take_next(name, note.key)
        except WireError as error:  # no answer: the child stays with the key it has
            log.error("key of a collector not kept", extra={"collector": name, "error": str(error)})
            return
        if taken:
            self._put(name, route, notes.encode(notes.KeyTaken(note.key)))
        else:
            self._refusals.add("key that cannot be its next", name)

    def _drain(self) -> None:
        while self._socket.getsockopt(zmq.RCVMORE):
            self._socket.recv(zmq.NOBLOCK)


def _listen(socket: zmq.Socket[Any], address: Address, pair: KeyPair) -> Address:
    socket.linger = 0
    socket.ipv6 = True
    socket.curve_server = True
    socket.curve_secretkey = pair.secret.encode("ascii")
    socket.curve_publickey = pair.public.encode("ascii")
    socket.zap_domain = b"kraken"
    socket.sndhwm = socket.rcvhwm = QUEUE
    socket.maxmsgsize = FRAME_BYTES_MAX
    socket.backlog = _BACKLOG
    socket.handshake_ivl = _HANDSHAKE_MS
    socket.router_mandatory = True
    try:
        socket.bind(address.endpoint)
    except zmq.ZMQError as error:
        raise WireError(
            f"cannot listen for collectors on {address}: {error.strerror}",
            part=str(address),
            hint="see with `ss -ltnp` who has the port, or name another address in tree.listen",
        ) from error
    bound = bytes(socket.getsockopt(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode("ascii")
    return address._replace(port=int(bound.rpartition(":")[2]))
