"""A BMC of our own: IPMI 2.0 over LAN, with cipher suites 0 to 3 and 17, and faults at a test's command."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

from kraken.testing.ipmi.chassis import Chassis
from kraken.testing.ipmi.faults import Faults
from kraken.testing.ipmi.frames import (
    Frame,
    Kind,
    Message,
    read_frame,
    read_message,
    session_of,
    write_frame,
    write_reply,
)
from kraken.testing.ipmi.login import Desk, Session
from kraken.testing.ipmi.suites import SUITES

CHANNEL_AUTHENTICATION: Final = (0x06, 0x38)
SET_PRIVILEGE: Final = (0x06, 0x3B)
CLOSE_SESSION: Final = (0x06, 0x3C)
CHANNEL_SUITES: Final = (0x06, 0x54)

_ADMINISTRATOR, _OPERATOR, _USER = 4, 3, 2
_NEEDS: Final[Mapping[tuple[int, int], int]] = {(0x00, 0x02): _OPERATOR, (0x00, 0x04): _OPERATOR}
_SUITES_PER_ANSWER_BYTES: Final = 16
_TOO_LITTLE_PRIVILEGE, _LEVEL_NOT_ALLOWED = 0xD4, 0x81

Address = tuple[Any, ...]


class FakeBmc(asyncio.DatagramProtocol):
    """One BMC. Everything is read and changed in the loop it is started in, or before.

    Args:
        users: name -> (password, highest privilege level).
        kg: the BMC key of two-key logins; None: the user's password stands for it.
        suites: cipher suites it takes.
        slots: sessions it has room for.
        idle_s: silence after which it forgets a session.

    Attributes:
        chassis: the node.
        faults: what is wrong.
        desk: its logins and sessions.
        heard: (netfn, command) of every request in a session, in order.
    """

    def __init__(
        self,
        address: str = "127.0.0.1",
        *,
        users: Mapping[str, tuple[str, int]] | None = None,
        kg: str | None = None,
        suites: tuple[int, ...] = tuple(SUITES),
        slots: int = 4,
        idle_s: float = 60.0,
    ) -> None:
        self.address = address
        self.port = 0
        self.faults = Faults()
        self.chassis = Chassis(lambda delay_s, what: self._running().call_later(delay_s, what))
        self.desk = Desk(users or {"admin": ("secret", _ADMINISTRATOR)}, kg, suites, slots, idle_s)
        self.heard: list[tuple[int, int]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._transport: asyncio.DatagramTransport | None = None
        self._other: socket.socket | None = None

    async def start(self) -> None:
        """Listen: at the port it had before, else at a free one."""
        self._loop = asyncio.get_running_loop()
        self._transport, _ = await self._loop.create_datagram_endpoint(
            lambda: self, local_addr=(self.address, self.port)
        )
        self.port = self._transport.get_extra_info("sockname")[1]

    async def stop(self) -> None:
        """Listen no more. Idempotent."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()
        other, self._other = self._other, None
        if other is not None:
            other.close()

    def restart(self) -> None:
        """Come back as after a reset of the BMC: it remembers no session."""
        self.desk.forget_all()

    def count(self, request: tuple[int, int]) -> int:
        """How many such requests it heard in sessions."""
        return self.heard.count(request)

    # The way here and back.

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._under_way(lambda: self._take(data, addr))

    def _under_way(self, arrive: Callable[[], None]) -> None:
        if self.faults.way is None:
            arrive()
            return
        for after_s in self.faults.way.arrivals():
            self._running().call_later(after_s, arrive)

    def _take(self, packet: bytes, sender: Address) -> None:
        if self.faults.mute:
            return
        with contextlib.suppress(ValueError, IndexError, struct.error):  # forged or cut: a BMC is silent
            for answer in self._answers(packet):
                self._send(answer, sender)

    def _send(self, packet: bytes, receiver: Address) -> None:
        bend = self.faults.bend_packet
        for bent in [packet] if bend is None else bend(packet):
            self._under_way(functools.partial(self._put, bent, receiver))

    def _put(self, packet: bytes, receiver: Address) -> None:
        if self._transport is None:
            return
        if not self.faults.other_port:
            self._transport.sendto(packet, receiver)
            return
        if self._other is None:
            family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
            self._other = socket.socket(family, socket.SOCK_DGRAM)
            self._other.bind((self.address, 0))
        self._other.sendto(packet, receiver)

    # What it answers.

    def _answers(self, packet: bytes) -> list[bytes]:
        now = self._running().time()
        number = session_of(packet)
        session = self.desk.find(number, now) if number else None
        if number and session is None:
            return []  # a session it does not know: as after a restart
        frame = read_frame(packet, None if session is None else session.keys)
        if session is not None:
            return self._in_session(session, frame, now)
        if frame.kind is Kind.MESSAGE:
            return self._outside(frame)
        answer = self.desk.step(frame, self.faults, now)
        return [] if answer is None else [write_frame(answer)]

    def _outside(self, frame: Frame) -> list[bytes]:
        message = read_message(frame.payload)
        match (message.netfn, message.command):
            case (0x06, 0x38):
                code, data = self._channel_authentication(message)
            case (0x06, 0x54) if len(message.data) == 3 and not self.faults.only_15:
                code, data = 0, self._channel_suites(message.data[2] & 0x3F)
            case _:
                code, data = 0xC1, b""
        return [write_frame(Frame(Kind.MESSAGE, write_reply(message, code, data), is_plus=frame.is_plus))]

    def _channel_authentication(self, message: Message) -> tuple[int, bytes]:
        """Table 22-15. A BMC of IPMI 1.5 refuses the bit that asks for more."""
        if self.faults.only_15:
            return (0xCC, b"") if message.data[0] & 0x80 else (0, bytes([1, 0x04, 0x04, 0, 0, 0, 0, 0]))
        status = 0x04 | (0x20 if self.desk.kg is not None else 0)
        return 0, bytes([1, 0x80, status, 0x02, 0, 0, 0, 0])

    def _channel_suites(self, index: int) -> bytes:
        """The channel, and a slice of the records of table 22-19: section 22.15."""
        records = b"".join(
            bytes([0xC0, n, s.authentication, 0x40 | s.integrity, 0x80 | s.confidentiality])
            for n, s in SUITES.items()
            if n in self.desk.suites
        )
        start = index * _SUITES_PER_ANSWER_BYTES
        return b"\x01" + records[start : start + _SUITES_PER_ANSWER_BYTES]

    def _in_session(self, session: Session, frame: Frame, now: float) -> list[bytes]:
        if frame.kind is not Kind.MESSAGE or not session.is_new(frame.sequence):
            return []
        session.heard_at = now
        message = read_message(frame.payload)
        request = (message.netfn, message.command)
        self.heard.append(request)
        if request == self.faults.drops_session_on:
            self.desk.forget(session)
            return []
        if self.faults.hung and request != SET_PRIVILEGE:
            return []
        code, data = self._perform(session, request, message.data)
        reply = write_reply(message, code, data)
        bend = self.faults.bend_message
        packet = session.seal(reply if bend is None or request == SET_PRIVILEGE else bend(reply))
        if request == CLOSE_SESSION and code == 0:
            self.desk.forget(session)
        return [packet]

    def _perform(self, session: Session, request: tuple[int, int], data: bytes) -> tuple[int, bytes]:
        if request in self.faults.codes:
            return self.faults.codes[request], b""
        if request == SET_PRIVILEGE:
            wanted = data[0] & 0x0F
            if wanted > session.privilege:
                return _LEVEL_NOT_ALLOWED, b""
            session.granted = wanted or session.granted
            return 0, bytes([session.granted])
        if request == CLOSE_SESSION:
            return 0, b""
        if request in (CHANNEL_AUTHENTICATION, CHANNEL_SUITES):
            return 0xC1, b""
        if session.granted < _NEEDS.get(request, _USER):
            return _TOO_LITTLE_PRIVILEGE, b""
        return self.chassis.perform(*request, data)

    def _running(self) -> asyncio.AbstractEventLoop:
        assert self._loop is not None, "a BMC acts only once it was started"
        return self._loop
