"""The one file that drives pyghmi, and the private names of it that a loop of our own needs.

pyghmi 1.6.19 speaks the protocol (handshake, keys, frames); it does not get to open sockets, keep
time, repeat a command, block, or decide when to give up: used as it comes it stalls, logs in
serially, logs in again for ever, and repeats a reset. tests/contract/test_pyghmi.py checks that the
pinned version still has the shape this file relies on. See docs/decisions/0007.

Everything here runs in the thread of the loop that `Wire` was given.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import pyghmi.exceptions as pyghmi_exceptions
import pyghmi.ipmi.private.session as pyghmi_session

from kraken.executors.ipmi.ports import Clock, Timer
from kraken.executors.ipmi.refusals import refusal_of
from kraken.executors.ipmi.suites import Suites
from kraken.executors.ipmi.words import Login, Reply
from kraken.executors.place import LoginRefused, Place, Reach

log = logging.getLogger(__name__)

OnLogin = Callable[[LoginRefused | None], None]
OnReply = Callable[[Reply], None]

_SESSIONS_PER_SOCKET: Final = 64
_RECEIVE_BUFFER_BYTES: Final = 4 * 1024 * 1024
_PACKETS_PER_WAKEUP: Final = 256
_SUITE_256, _SUITE_SHA1 = 17, 3  # what pyghmi offers, in this order
_NO_SLOT: Final = (0x01, 0x0B)  # RMCP+ status codes: IPMI 2.0, table 13-15
_NO_SUCH_SUITE: Final = (0x04, 0x05, 0x06, 0x07, 0x10, 0x11)  # of IPMI 2.0, table 13-15
_TOO_HIGH: Final = 0x0A
_LOST_THREAD: Final = (0x02, 0x0F)
_BEGUN_ANEW_MAX: Final = 3  # in one login, at once: BMCs count failures and lock
_REPEAT_S: Final = (0.5, 1.0, 2.0, 2.0, 2.0)
"""Pauses before a login request is repeated. A slow BMC needs up to a second for one handshake
step, and each repetition of one costs it a whole new handshake, so these are not shorter."""


class Wire:
    """Sends and receives for all sessions of one loop, 64 of them to a socket.

    Args:
        loop: the running loop; its thread owns this object and every session it opens.
        clock: sets its timers.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock) -> None:
        self.loop = loop
        self.clock = clock
        self._sockets: dict[socket.socket, dict[tuple[Any, ...], Link]] = {}
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
        self._sockets[sock][place.sockaddr] = link
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

    def forget(self, link: Link) -> None:
        """Deliver nothing more to this link; its place on the socket is free again."""
        links = self._sockets.get(link.socket)
        if links is not None and links.get(link.place.sockaddr) is link:
            del links[link.place.sockaddr]

    def later(self, what: Callable[[], None]) -> None:
        """Do it when pyghmi is off the stack: what is sent from inside its callback loses its reply."""
        if not self._due and not self._reading:
            self.loop.call_soon(self._tell)
        self._due.append(what)

    def _socket_for(self, place: Place) -> socket.socket:
        for sock, links in self._sockets.items():
            if (
                sock.family == place.family
                and len(links) < _SESSIONS_PER_SOCKET
                and place.sockaddr not in links
            ):
                return sock
        sock = socket.socket(place.family, socket.SOCK_DGRAM)
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        self._sockets[sock] = {}
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
        packets: sent so far to log in.
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
        self.packets = 0
        self.error = ""
        self.strange_port = 0
        self.wire = wire
        self._on_login: OnLogin | None = on_login
        self._session: Any = None
        self._timer: Timer | None = None
        self._repeats = 0
        self._on_reply: OnReply | None = None
        self._request: tuple[int, int, Sequence[int]] | None = None

    @property
    def cipher_suite(self) -> int | None:
        """The cipher suite of the session (IPMI 2.0, table 22-20); None while none stands."""
        session = self._session
        if session is None or not session.logged:
            return None
        return _SUITE_256 if session.attemptedhash == 256 else _SUITE_SHA1

    def begin(self) -> None:
        """Send the first packet of the login."""
        _Session(self)

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
        self._disarm()
        session, self._session = self._session, None
        self.wire.forget(self)
        if session is not None:
            session.incommand = False  # or logout would wait for the command in flight, for ever
            session.lastpayload = None  # or it would queue behind an unanswered step of the login
            with contextlib.suppress(Exception):
                session.logout(False)

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
        self._disarm()
        if repeat_it:
            self.packets += 1
            pause = _REPEAT_S[min(self._repeats, len(_REPEAT_S) - 1)] * random.uniform(0.9, 1.3)
            self._timer = self.wire.clock.call_later(pause, self._repeat_step)

    def received(self, packet: bytes) -> None:
        """Let pyghmi judge a packet from this BMC; one that makes no sense is dropped."""
        self.heard_at = self.wire.clock.time()
        session = self._session
        if session is None or len(packet) < 16 or packet[0] != 6 or packet[2:4] != b"\xff\x07":
            return
        if packet[4] != session.authtype:  # of IPMI 1.5 and unsigned: pyghmi would take its sequence number
            return
        try:
            session._handle_ipmi_packet(bytearray(packet), self.place.sockaddr, (packet, self.place, None))
        except Exception as exc:  # truncated or forged: pyghmi indexes and unpacks on trust
            log.debug("BMC packet dropped", extra={"bmc": str(self.place), "reason": type(exc).__name__})

    def logged_in(self, refused: LoginRefused | None) -> None:
        self._disarm()
        on_login, self._on_login = self._on_login, None
        if refused is not None:
            self.wire.suites.forget(self.place)
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
        self._timer = None
        self._repeats += 1
        if self._session is not None:
            self._session.repeat_step()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _NoCount(dict[Any, int]):
    """Where pyghmi counts sessions per socket (each one down three times): nobody reads it."""

    def __getitem__(self, key: Any) -> int:
        return 0

    def __setitem__(self, key: Any, value: int) -> None:
        pass


class _Session(pyghmi_session.Session):  # type: ignore[misc]
    """pyghmi's session with its sockets, its clock, its waiting and its retries taken away."""

    socketpool = _NoCount()
    attemptedhash: int
    lastpayload: Any
    logontries: int
    privlevel: int

    def __new__(cls, link: Link) -> _Session:
        session: _Session = object.__new__(cls)  # never one of pyghmi's cache of sessions
        session.forbidsock = ()
        return session

    def __init__(self, link: Link) -> None:
        self.link = link
        self.begun_anew = 0
        link.adopt(self)
        login = link.login
        super().__init__(
            link.place.host,
            login.username,
            login.password,
            port=link.place.port,
            kg=login.kg,
            onlogon=self._logged_on,
            privlevel=login.privilege,
            keepalive=False,
        )

    def repeat_step(self) -> None:
        """Repeat the step of the login that went unanswered; a lost RAKP begins the handshake anew.

        Stands where pyghmi's `_timedout` stood, without its end (the deadline is ours) and without
        its login in the middle of a command.
        """
        if not self.lastpayload:
            return
        if self.sessioncontext == "OPENSESSION":
            self.lastpayload = None
            self._open_rmcpplus_request()
        elif self.sessioncontext in ("EXPECTINGRAKP2", "EXPECTINGRAKP4"):
            self._relog()
            self.logontries = max(self.logontries, 0)
        else:
            self.send_payload()

    def command(
        self, netfn: int, command: int, data: Sequence[int], callback: Callable[[dict[str, Any]], None]
    ) -> None:
        """Send a command once over the session that stands: raw_command without its waits and locks."""
        if not self.logged:
            raise pyghmi_exceptions.IpmiException("Session no longer connected")
        self.ipmicallback = callback
        self._send_ipmi_net_payload(netfn, command, data, retry=False)

    def _assignsocket(self, server: Any = None, forbiddensockets: Any = ()) -> socket.socket:
        return self.link.socket

    def _initsession(self) -> None:
        super()._initsession()
        # pyghmi begins each handshake with the same id and tag, so a late packet of the one before
        # would pass for this one's and end it as "incorrect password".
        self.localsid = random.randrange(1, 0xFFFFFFF0)
        self.rmcptag = random.randrange(1, 200)
        self.sockaddr = self.link.place.sockaddr
        self.allsockaddrs = ()
        if self.link.wire.suites.lacks_17(self.link.place):
            self.attemptedhash = 1

    def _xmit_packet(self, retry: bool = True, delay_xmit: Any = None, timeout: Any = None) -> None:
        if self.sequencenumber:
            self.sequencenumber += 1
        self.link.transmit(bytes(self.netpacket), repeat_it=retry)

    def _req_priv_level(self) -> None:
        self.logged = 1
        self.logoutexpiry = None
        self._request_privilege()

    def _request_privilege(self) -> None:
        self.incommand = False
        self.raw_command(netfn=0x6, command=0x3B, data=[self.privlevel], callback=self._got_privilege)

    def _got_privilege(self, response: dict[str, Any]) -> None:
        self.incommand = False
        code = response.get("code", 0xFFFF)
        if not code:
            self.logging = False
            self.link.logged_in(None)
        elif code in (0x80, 0x81) and self.privlevel == 4 and self.autopriv:
            self.privlevel = 3
            self.link.wire.later(self._request_privilege)
        else:
            text = (
                f"privilege level {self.privlevel} is not granted to the user: "
                "grant it in the BMC, or declare a lower bmc.privilege"
            )
            self.link.logged_in(LoginRefused(Reach.REFUSED, text))

    def _got_rmcp_response(self, data: Sequence[int]) -> Any:
        if len(data) > 1 and data[0] == self.rmcptag:
            if data[1] in _NO_SLOT:
                self.attemptedhash = 1  # or it would ask a BMC without room once more, with the other suite
            elif data[1] in _NO_SUCH_SUITE and self.attemptedhash == 256:
                self.link.wire.suites.refused_17(self.link.place)
        return super()._got_rmcp_response(data)

    def _got_rakp2(self, data: Sequence[int]) -> Any:
        ours = self.sessioncontext == "EXPECTINGRAKP2" and len(data) > 1 and data[0] == self.rmcptag
        if ours and data[1] == _TOO_HIGH and self.privlevel == 4 and self.autopriv:
            self.privlevel = 3  # as pyghmi does after other codes, but not after this
            self.login()
            return None
        return super()._got_rakp2(data)

    def _got_rakp4(self, data: Sequence[int]) -> Any:
        """Begin anew when the BMC lost the thread: RAKP 2 has shown that the password is right.

        A BMC that gets RAKP 1 twice may hold another number than the one we answered.
        """
        ours = self.sessioncontext == "EXPECTINGRAKP4" and len(data) > 1 and data[0] == self.rmcptag
        if ours and data[1] in _LOST_THREAD:
            self.logontries = 0  # or pyghmi would wait for a better answer, which never comes
            if self.begun_anew < _BEGUN_ANEW_MAX:
                self.begun_anew += 1
                self.login()
                return None
        return super()._got_rakp4(data)

    def _parse_ipmi_payload(self, payload: bytearray) -> Any:
        """Drop a message with a wrong checksum, which pyghmi believes: a BMC's defect is no state."""
        if sum(payload[:3]) & 0xFF or sum(payload[3:]) & 0xFF:
            return None
        return super()._parse_ipmi_payload(payload)

    def _got_channel_auth_cap(self, response: dict[str, Any]) -> None:
        if response.get("code") == 0xCC:  # asks again at once, and would lose that reply
            self.link.wire.later(lambda: super(_Session, self)._got_channel_auth_cap(response))
        else:
            super()._got_channel_auth_cap(response)

    def _get_session_challenge(self) -> None:
        text = "it speaks IPMI 1.5 only, without encryption: enable IPMI 2.0 (RMCP+), or update its firmware"
        self.link.logged_in(LoginRefused(Reach.REFUSED, text))

    def _logged_on(self, response: dict[str, Any]) -> None:
        if "error" in response:
            self.link.logged_in(refusal_of(str(response["error"]), has_kg=self.kgo is not None))
