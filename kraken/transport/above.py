"""Up the tree: the connection to the parent, kept for as long as there is one."""

from __future__ import annotations

import asyncio
import enum
import logging
import random
from collections.abc import Callable
from typing import Any, Final

import zmq
from zmq.utils.monitor import parse_monitor_message

from kraken.errors import KrakenError, LetterError, RefusedError, WireError
from kraken.transport import notes
from kraken.transport.address import Address
from kraken.transport.below import FRAME_BYTES_MAX, QUEUE, Heard, Linked
from kraken.transport.keyring import Keyring, Parent
from kraken.transport.keys import KeyPair
from kraken.transport.pump import BATCH, Pump
from kraken.transport.traffic import Traffic

log = logging.getLogger(__name__)

_RECONNECT_MS: Final = 100
"""First pause before a connection is tried again; libzmq doubles it. This and the longest are spread by half
either way, so that a thousand children do not come in step."""
_RECONNECT_MS_MAX: Final = 5_000
_BEAT_MS: Final = 10_000
"""Between libzmq's own heartbeats, which its thread answers however busy the parent's Python is. They tell
of a dead machine or a firewall that forgot the connection; whether a collector is well, hellos tell."""
_BEAT_MS_MAX: Final = 30_000
ADDRESS_S: Final = 10.0
"""How long one of several addresses is tried before the next."""
ANEW_S: Final = 30.0
"""How long the only one is, before the socket is made anew: after some errors libzmq never tries again."""
REFUSED_S: Final = 30.0
"""Before a parent that refused our key is asked again: libzmq would not, and somebody may invite us anew."""

REMIND_S: Final = 12.0
"""Before a next key is told again that was not answered: longer than a parent wants between two."""

TAKE_UP_S: Final = 0.5
"""Between the parent's taking our next key and our connecting with it: what is sent just then goes over the
connection that stands, as the answer to who asked for a new key, at the parent or far above it."""

_EVENTS: Final = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_DISCONNECTED
)


class ParentState(enum.Enum):
    """How it stands with the parent's wire; whether the parent is well is for the protocol to say."""

    TRYING = "no connection"
    CONNECTED = "connected"
    REFUSED = (
        "the parent does not know our key, or has revoked it: it must invite us anew, or this daemon be "
        "stopped, which goes on with nodes that list no other collector"
    )
    STRANGER = "somebody answers who does not have the parent's key, or the way there is cut at each attempt"


class Above:
    """A DEALER socket with CURVE, made anew when our key changes.

    A key that is changing (`Keyring.next`) shuts nobody out: the parent takes both until it has seen the new
    one, and whichever it refuses, we try the other. So it is with that of a join that was cut off.
    """

    def __init__(
        self,
        context: zmq.Context[Any],
        parent: Parent,
        keyring: Keyring,
        heard: Heard,
        linked: Linked,
        traffic: Traffic,
    ) -> None:
        self.parent = parent
        self.state = ParentState.TRYING
        self._context = context
        self._keyring = keyring
        self._heard = heard
        self._linked = linked
        self._traffic = traffic
        self._is_closed = False
        self._loop = asyncio.get_running_loop()
        self._pair = keyring.client()
        self._refused: set[str] = set()  # our public keys the parent did not take, since it took one
        self._address = 0
        self._alarm: asyncio.TimerHandle | None = None
        self._reminder: asyncio.TimerHandle | None = None
        self._link: Link | None = None
        self._connect()

    def send(self, data: bytes) -> bool:
        """Put it on the wire; False: there is no connection, or the parent does not keep up."""
        return self._link is not None and self._link.send(data)

    def rotate(self) -> None:
        """Change to a new key; goes on by itself, also after a restart. One under way is gone on with.

        Raises:
            RefusedError: we have joined another parent meanwhile.
            WireError: it cannot be written.
        """
        if not self.parent.is_same(self._keyring.parent):
            raise RefusedError(
                "this collector has joined another parent since its daemon started; its key is not changed",
                part=self.parent.name,
                hint="start its daemon anew, and it goes there: systemctl restart kraken",
            )
        self._keyring.make_next()
        self._tell_next()

    def close(self) -> None:
        """Give back the socket. Idempotent."""
        self._is_closed = True
        self._disconnect()

    def _disconnect(self) -> None:
        self._stop_alarm()
        if self._reminder is not None:
            self._reminder.cancel()
            self._reminder = None
        if self._link is not None:
            self._link.close()
            self._link = None

    def _connect(self) -> None:
        self._disconnect()
        addresses = self.parent.addresses
        address = Address.parse(addresses[self._address % len(addresses)])
        self._link = Link(self._context, address, self.parent.key, self._pair, self._take, self._changed)
        self._wait()

    def _wait(self) -> None:
        """Begin anew, at the next address, if there is no connection after a while."""
        pause_s = ADDRESS_S if len(self.parent.addresses) > 1 else ANEW_S
        self._alarm = self._loop.call_later(pause_s * random.uniform(1.0, 1.5), self._next_address)

    def _next_address(self) -> None:
        self._alarm = None
        if self.state is not ParentState.CONNECTED:
            self._address += 1
            self._connect()

    def _stop_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _take(self, messages: list[bytes]) -> None:
        letters: list[tuple[str, bytes]] = []
        for data in messages:
            if data[:1] == notes.MARK:
                self._note(data)
            else:
                self._traffic.letters_in += 1
                self._traffic.bytes_in += len(data)
                letters.append((self.parent.name, data))
        if letters:
            self._heard(letters)

    def _note(self, data: bytes) -> None:
        try:
            note = notes.decode(data)
        except LetterError as error:
            log.debug("note of the parent not read", extra={"error": str(error)})
            return
        if isinstance(note, notes.Rotate):
            try:
                self.rotate()
            except (RefusedError, WireError) as error:  # what came with the wish is heard all the same
                log.error("our key is not changed", extra=_about(self.parent.name, error))
        elif isinstance(note, notes.Denied):
            self._denied(note.reason)
        elif isinstance(note, notes.KeyTaken):
            following = self._keyring.next()
            if following is not None and note.key == following.public:
                self._loop.call_later(TAKE_UP_S, self._take_up, following)

    def _changed(self, event: int) -> None:
        before = self.state
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._accepted()
        elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            self._not_accepted()
        elif event == zmq.EVENT_DISCONNECTED or before is ParentState.CONNECTED:
            self._lost()  # the latter: what came could not be decrypted, it was altered on its way
        else:
            self.state = ParentState.STRANGER
        self._tell(before)

    def _denied(self, reason: str) -> None:
        """The parent hears us no more, though the connection stands: end it, since libzmq will not."""
        if self.state is not ParentState.CONNECTED:
            return
        log.warning("the parent hears us no more", extra={"collector": self.parent.name, "reason": reason})
        self._disconnect()
        self._not_accepted()
        self._tell(ParentState.CONNECTED)

    def _tell(self, before: ParentState) -> None:
        if self.state is before:
            return
        is_up = self.state is ParentState.CONNECTED
        log.log(
            logging.INFO if is_up else logging.WARNING,
            "connection to the parent",
            extra={"collector": self.parent.name, "state": self.state.value},
        )
        if ParentState.CONNECTED in (before, self.state):
            self._linked(self.parent.name, int(is_up))

    def _accepted(self) -> None:
        self.state = ParentState.CONNECTED
        self._refused.clear()
        self._stop_alarm()
        if self._pair == self._keyring.cut_off(self.parent):
            try:
                self._keyring.finish_joining()
            except WireError as error:  # a restart tries it again
                log.error("our key is not in its place", extra=_about(self.parent.name, error))
            else:
                log.info("the join that was cut off is done", extra={"collector": self.parent.name})
        following = self._keyring.next()
        if following is None:
            return
        if self._pair == following:
            try:
                self._keyring.take_next()
            except WireError as error:  # a restart tries both
                log.error("our new key is not in its place", extra=_about(self.parent.name, error))
            else:
                log.info("our key was changed", extra={"collector": self.parent.name})
        else:
            self._tell_next()

    def _not_accepted(self) -> None:
        self.state = ParentState.REFUSED
        self._refused.add(self._pair.public)
        for pair in (self._keyring.client(), self._keyring.next(), self._keyring.cut_off(self.parent)):
            if pair is not None and pair.public not in self._refused:
                self._loop.call_soon(self._use, pair)
                return
        self._refused.clear()
        self._stop_alarm()
        self._alarm = self._loop.call_later(REFUSED_S * random.uniform(1.0, 1.5), self._ask_again)

    def _ask_again(self) -> None:
        self._alarm = None
        self._address += 1
        self._use(self._keyring.client())

    def _lost(self) -> None:
        if self.state is not ParentState.CONNECTED:
            return
        self.state = ParentState.TRYING
        if self._alarm is None:
            self._wait()

    def _use(self, pair: KeyPair) -> None:
        if not self._is_closed:
            self._pair = pair
            self._connect()

    def _take_up(self, following: KeyPair) -> None:
        """Use our next key, unless we do, or have come to have another since."""
        if self._pair != following == self._keyring.next():
            self._use(following)

    def _tell_next(self) -> None:
        """Tell the parent our next key, until it has taken it and we use it."""
        if self._reminder is not None:
            self._reminder.cancel()
            self._reminder = None
        following = self._keyring.next()
        if following is not None and following != self._pair and self._link is not None:
            self.send(notes.encode(notes.NewKey(following.public)))
            self._reminder = self._loop.call_later(REMIND_S, self._tell_next)


class Link:
    """One DEALER socket on its way to one address, and what libzmq tells of it.

    Args:
        server: the public key that who answers must prove to have.
        pair: ours.
        take: given what came, in order. changed: given libzmq's events (zmq_socket_monitor(3)).
    """

    def __init__(
        self,
        context: zmq.Context[Any],
        address: Address,
        server: str,
        pair: KeyPair,
        take: Callable[[list[bytes]], None],
        changed: Callable[[int], None],
    ) -> None:
        self._take = take
        self._changed = changed
        self._is_closed = False
        self._socket = socket = context.socket(zmq.DEALER)
        socket.linger = 0
        socket.ipv6 = True
        socket.immediate = True  # without a connection nothing waits: it would be old when there is one
        socket.sndhwm = socket.rcvhwm = QUEUE
        socket.maxmsgsize = FRAME_BYTES_MAX
        socket.probe_router = True
        socket.reconnect_ivl = _spread(_RECONNECT_MS)
        socket.reconnect_ivl_max = _spread(_RECONNECT_MS_MAX)
        socket.heartbeat_ivl = _BEAT_MS
        socket.heartbeat_timeout = _BEAT_MS_MAX
        socket.heartbeat_ttl = _BEAT_MS_MAX
        socket.curve_serverkey = server.encode("ascii")
        socket.curve_publickey = pair.public.encode("ascii")
        socket.curve_secretkey = pair.secret.encode("ascii")
        self._monitor = socket.get_monitor_socket(_EVENTS)
        self._watch = Pump(self._monitor, self._read_events)
        self._pump = Pump(socket, self._read)
        socket.connect(address.endpoint)

    def send(self, data: bytes) -> bool:
        """Put it on the wire; False: it cannot be now."""
        self._pump.poke()
        try:
            self._socket.send(data, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def close(self) -> None:
        """Give back the sockets. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        self._watch.close()
        self._pump.close()
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=0)

    def _read(self) -> bool:
        messages: list[bytes] = []
        try:
            for _ in range(BATCH):
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
                if len(frames) == 1 and frames[0]:
                    messages.append(frames[0])
        except zmq.Again:
            pass
        else:
            self._pump.poke()
        if messages:
            self._take(messages)
        return False

    def _read_events(self) -> bool:
        while not self._is_closed:
            try:
                event = parse_monitor_message(self._monitor.recv_multipart(zmq.NOBLOCK))
            except zmq.Again:
                break
            self._changed(int(event["event"]))
        return False


def _about(parent: str, error: KrakenError) -> dict[str, str]:
    return {"collector": parent, "error": str(error)}


def _spread(pause_ms: int) -> int:
    return round(pause_ms * random.uniform(0.5, 1.5))
