"""The sockets of all sessions of one loop, and the link to each BMC over them.

What a session says is pyghmi's, driven in session.py; when something is sent again, whether it is
waited for and who hears of it is decided here and above. Everything here runs in the thread of the
loop that `Wire` was given.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from kraken.executors.clock import Alarm, Clock
from kraken.executors.ipmi.handshake import Handshake
from kraken.executors.ipmi.session import RmcpSession
from kraken.executors.ipmi.suites import Suites
from kraken.executors.ipmi.words import USER, Login, Reply, Terms
from kraken.executors.pace import Pace
from kraken.executors.place import LoginRefused, Place

log = logging.getLogger(__name__)

OnLogin = Callable[[LoginRefused | None], None]
OnReply = Callable[[Reply], None]

_SESSIONS_PER_SOCKET: Final = 64
_RECEIVE_BUFFER_BYTES: Final = 4 * 1024 * 1024
_PACKETS_PER_WAKEUP: Final = 256
_SUITE_256, _SUITE_SHA1 = 17, 3  # what pyghmi offers, in this order


class Wire:
    """Sends and receives for all sessions of one loop, 64 of them to a socket.

    Args:
        loop: the running loop; its thread owns this object and every session it opens.
        clock: sets its timers.
        pace: where repeated steps of a login are counted.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock, pace: Pace) -> None:
        self.loop = loop
        self.clock = clock
        self.pace = pace
        self._sockets: dict[socket.socket, dict[tuple[Any, ...], Link]] = {}
        # Address family -> those with a place left: to look through the full ones took a fifth of a login
        # where there were 10,000.
        self._roomy: defaultdict[int, dict[socket.socket, None]] = defaultdict(dict)
        self._due: deque[Callable[[], None]] = deque()  # what to tell our side once pyghmi has returned
        self._reading = False  # then it is told when the packets that have come are read
        self.suites = Suites(clock)

    def open(self, place: Place, login: Login, on_login: OnLogin) -> Link:
        """Begin to log in; `on_login` is called once, with None when the session stands.

        Raises:
            OSError: the kernel knows no way to the address.
        """
        sock = self._socket_for(place)
        link = Link(self, sock, place, login, on_login)
        links = self._sockets[sock]
        links[place.sockaddr] = link
        if len(links) >= _SESSIONS_PER_SOCKET:
            self._roomy[place.family].pop(sock, None)
        link.begin()
        return link

    def close(self) -> None:
        """Close every session and socket. Idempotent."""
        for links in list(self._sockets.values()):
            for link in list(links.values()):
                link.close()
        for sock in list(self._sockets):
            self.loop.remove_reader(sock)
            sock.close()
        self._sockets.clear()
        self._roomy.clear()

    def forget(self, link: Link) -> None:
        """Deliver nothing more to this link; its place on the socket is free again."""
        links = self._sockets.get(link.socket)
        if links is not None and links.get(link.place.sockaddr) is link:
            del links[link.place.sockaddr]
            self._roomy[link.place.family][link.socket] = None

    def later(self, what: Callable[[], None]) -> None:
        """Do it when pyghmi is off the stack: what is sent from inside its callback loses its reply."""
        if not self._due and not self._reading:
            self.loop.call_soon(self._tell)
        self._due.append(what)

    def _socket_for(self, place: Place) -> socket.socket:
        for sock in self._roomy[place.family]:
            if place.sockaddr not in self._sockets[sock]:
                return sock
        sock = socket.socket(place.family, socket.SOCK_DGRAM)
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        self._sockets[sock] = {}
        self._roomy[place.family][sock] = None
        self.loop.add_reader(sock, self._readable, sock)
        return sock

    def _readable(self, sock: socket.socket) -> None:
        links = self._sockets.get(sock, {})
        self._reading = True
        for _ in range(_PACKETS_PER_WAKEUP):
            try:
                packet, sender = sock.recvfrom(3000)
            except OSError:
                break
            link = links.get(sender)
            if link is not None:
                link.received(packet)
            else:
                _note_strange_port(links.values(), sender)
        self._reading = False
        self._tell()

    def _tell(self) -> None:
        try:
            while self._due:
                self._due.popleft()()
        finally:
            if self._due:  # one failed, which is its own affair
                self.loop.call_soon(self._tell)


def _note_strange_port(links: Iterable[Link], sender: tuple[Any, ...]) -> None:
    """Keep from which port an address speaks that is asked at another, if one BMC only is meant."""
    meant = [link for link in links if link.place.host == sender[0]]
    if len(meant) == 1 and meant[0].heard_at is None:
        meant[0].strange_port = int(sender[1])


class Link:
    """One session with one BMC: begins by logging in, then carries one command at a time.

    Attributes:
        heard_at: the clock's time of the last packet from the BMC, of any kind; None while it is silent.
        handshake: how the login fares, or fared.
        level: what the session was raised to; 0: nothing was asked for, so that it has what a BMC gives
            every session: USER (IPMI 2.0, section 22.18).
        error: what the kernel said of the last packet, "" when it took it.
        strange_port: another port of its address that spoke to us, 0 while none did. It is not heard: more
            than one BMC may be behind an address.
    """

    def __init__(
        self, wire: Wire, sock: socket.socket, place: Place, login: Login, on_login: OnLogin
    ) -> None:
        self.socket = sock
        self.place = place
        self.login = login
        self.heard_at: float | None = None
        self.handshake = Handshake()
        self.level = 0
        self.error = ""
        self.strange_port = 0
        self.wire = wire
        self._on_login: OnLogin | None = on_login
        self._session: Any = None
        self._alarm = Alarm(wire.clock)
        self._is_repeating = False
        self._on_reply: OnReply | None = None
        self._request: tuple[int, int, Sequence[int]] | None = None

    @property
    def terms(self) -> Terms | None:
        """On what the session stands; None while none does."""
        session = self._session
        if session is None or not session.logged:
            return None
        suite = _SUITE_256 if session.attemptedhash == 256 else _SUITE_SHA1
        return Terms(self.login, suite, self.level or USER)

    @property
    def role(self) -> int:
        """The level that the session was asked for with, and may be raised to."""
        return int(self._session.privlevel) if self._session is not None else USER

    def begin(self) -> None:
        """Send the first packet of the login."""
        RmcpSession(self)

    def send(self, netfn: int, command: int, data: Sequence[int], on_reply: OnReply) -> None:
        """Send a command once; `on_reply` is called at most once. The session must stand."""
        assert self._on_reply is None, "one command in flight per BMC"
        self._on_reply = on_reply
        self._request = (netfn, command, data)
        self._send()

    def repeat(self) -> None:
        """Send the command again if it is unanswered, as the same request: either reply answers it."""
        if self._on_reply is not None:
            self._send()

    def close(self) -> None:
        """End it, giving the BMC its slot back if there is one. Nothing is called back. Idempotent."""
        self._on_login = self._on_reply = self._request = None
        self._alarm.clear()
        session, self._session = self._session, None
        self.wire.forget(self)
        if session is not None:
            with contextlib.suppress(Exception):
                session.end()

    # What the session under it asks for.

    def adopt(self, session: Any) -> None:
        self._session = session

    def transmit(self, packet: bytes, repeat_it: bool) -> None:
        """Put a packet on the wire; with `repeat_it`, have the handshake step repeated if need be."""
        try:
            self.socket.sendto(packet, self.place.sockaddr)
            self.error = ""
        except OSError as exc:  # lost, as any datagram may be; the deadline is kept elsewhere
            self.error = exc.strerror or str(exc)
        self._alarm.clear()
        if repeat_it:
            if self._is_repeating:
                self.handshake.said_again()
            else:
                self.handshake.said(self.wire.clock.time())
            pause = self.handshake.pause_s() * random.uniform(0.9, 1.2)
            self._alarm.set(pause, self._repeat_step)

    def received(self, packet: bytes) -> None:
        """Let pyghmi judge a packet from this BMC; one that makes no sense is dropped."""
        self.heard_at = self.wire.clock.time()
        session = self._session
        if session is None or len(packet) < 16 or packet[0] != 6 or packet[2:4] != b"\xff\x07":
            return
        if packet[4] != session.authtype:  # of IPMI 1.5 and unsigned: pyghmi would take its sequence number
            return
        is_logging_in, answered = self._on_login is not None, self.handshake.answered
        try:
            session._handle_ipmi_packet(bytearray(packet), self.place.sockaddr, (packet, self.place, None))
        except Exception as exc:  # truncated or forged: pyghmi indexes and unpacks on trust
            log.debug("BMC packet dropped", extra={"bmc": str(self.place), "reason": type(exc).__name__})
        if is_logging_in:
            self.handshake.heard(moved=self.handshake.answered != answered)

    def logged_in(self, refused: LoginRefused | None) -> None:
        self._alarm.clear()
        on_login, self._on_login = self._on_login, None
        if refused is not None:
            self.wire.suites.forget(self.place)
        else:
            self.handshake.ended(self.wire.clock.time())
        if on_login is not None:
            self.wire.later(lambda: on_login(refused))

    def _send(self) -> None:
        assert self._session is not None
        assert self._request is not None
        netfn, command, data = self._request
        self._session.command(netfn, command, data, self._replied)

    def _replied(self, response: dict[str, Any]) -> None:
        on_reply, self._on_reply = self._on_reply, None
        self._request = None
        if on_reply is not None and "code" in response:
            reply = Reply(int(response["code"]), bytes(response.get("data", b"")))
            self.wire.later(lambda: on_reply(reply))

    def _repeat_step(self) -> None:
        if self._session is None:
            return
        self.wire.pace.lane(self.place).spend(1)
        self._is_repeating = True
        try:
            self._session.repeat_step()
        finally:
            self._is_repeating = False
