"""The four steps of a login (IPMI 2.0, sections 13.17 to 13.24), and the sessions that come of it."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from kraken.testing.ipmi.faults import Faults
from kraken.testing.ipmi.frames import Frame, Kind, write_frame
from kraken.testing.ipmi.suites import Keys, Suite, find_suite

# Status codes of table 13-15.
NO_RESOURCES, INVALID_SESSION, NO_PRIVILEGE = 0x01, 0x02, 0x0A
NO_USER, WRONG_CODE, NO_SUITE = 0x0D, 0x0F, 0x11

_HIGHEST_AT_ALL: Final = 4
_USER_BYTES: Final = 16


@dataclass
class Session:
    """One session that stands, or is about to.

    Attributes:
        number: ours; theirs is how the other side calls it.
        privilege: the highest it may have; `granted` is what it has.
        keys: None until the login has ended.
    """

    number: int
    theirs: int
    suite: Suite
    heard_at: float
    nonce: bytes = b""
    their_nonce: bytes = b""
    role: int = 0
    user: bytes = b""
    password: bytes = b""
    privilege: int = 0
    granted: int = 0
    next_keys: Keys | None = None
    keys: Keys | None = None
    sent: int = 0
    seen: set[int] = field(default_factory=set)

    @property
    def identity(self) -> bytes:
        """Role, length of the name, name: as each code of the handshake covers them."""
        return bytes([self.role, len(self.user)]) + self.user

    def is_new(self, sequence: int) -> bool:
        """Whether a frame with this number was not seen before, and is not far behind (section 6.12.13)."""
        newest = max(self.seen, default=sequence)
        if sequence in self.seen or sequence < newest - 16:
            return False
        self.seen = {one for one in self.seen if one >= newest - 16} | {sequence}
        return True

    def seal(self, message: bytes) -> bytes:
        """The packet that carries a message to the other side."""
        self.sent += 1
        return write_frame(Frame(Kind.MESSAGE, message, self.theirs, self.sent), self.keys)


class Desk:
    """Lets in who may; knows every session until it ends or is silent for too long."""

    def __init__(
        self,
        users: Mapping[str, tuple[str, int]],
        kg: str | None,
        suites: tuple[int, ...],
        slots: int,
        idle_s: float,
    ) -> None:
        self.users = {name.encode(): (password.encode(), level) for name, (password, level) in users.items()}
        self.kg = None if kg is None else kg.encode()
        self.suites = suites
        self.slots = slots
        self.idle_s = idle_s
        self.guid = os.urandom(16)
        self.logins: list[int] = []  # cipher suite of each login that came to its end
        self._sessions: dict[int, Session] = {}
        self._last = 0x1000

    @property
    def open_sessions(self) -> int:
        """Sessions that stand, none of them asked for only."""
        return sum(session.keys is not None for session in self._sessions.values())

    def find(self, number: int, now: float) -> Session | None:
        """The session that stands by this number."""
        self._expire(now)
        session = self._sessions.get(number)
        return session if session is not None and session.keys is not None else None

    def forget(self, session: Session) -> None:
        self._sessions.pop(session.number, None)

    def forget_all(self) -> None:
        self._sessions.clear()

    def step(self, frame: Frame, faults: Faults, now: float) -> Frame | None:
        """Answer one step of a login; None: it is none that deserves an answer."""
        self._expire(now)
        match frame.kind:
            case Kind.OPEN_REQUEST:
                return Frame(Kind.OPEN_RESPONSE, self._open(frame.payload, faults, now))
            case Kind.RAKP1:
                return _frame(Kind.RAKP2, self._rakp2(frame.payload, faults))
            case Kind.RAKP3:
                return _frame(Kind.RAKP4, self._rakp4(frame.payload, faults))
        return None

    def _open(self, asked: bytes, faults: Faults, now: float) -> bytes:
        tag, theirs = asked[0], int(struct.unpack_from("<I", asked, 4)[0])
        suite = find_suite(asked[12] & 0x3F, asked[20] & 0x3F, asked[28] & 0x3F)
        status = faults.open_status
        if not status and (suite is None or suite.number not in self.suites):
            status = NO_SUITE
        if not status and self.open_sessions >= self.slots:
            status = NO_RESOURCES
        if status or suite is None:
            return struct.pack("<BBBxI", tag, status, 0, theirs)
        self._last += 1
        self._sessions[self._last] = Session(self._last, theirs, suite, now)
        return struct.pack("<BBBxII", tag, 0, _HIGHEST_AT_ALL, theirs, self._last) + asked[8:32]

    def _rakp2(self, asked: bytes, faults: Faults) -> bytes | None:
        tag, number = asked[0], int(struct.unpack_from("<I", asked, 4)[0])
        session = self._sessions.get(number)
        if session is None or session.keys is not None:
            return struct.pack("<BBxxI", tag, INVALID_SESSION, 0)
        if session.their_nonce and faults.login_repeated != "answered":
            return self._again(tag, faults)
        session.their_nonce, session.nonce = asked[8:24], os.urandom(16)
        session.role, session.user = asked[24], asked[28 : 28 + min(asked[27], _USER_BYTES)]
        password, level = self.users.get(session.user, (None, _HIGHEST_AT_ALL))
        status = 0
        if password is None and not faults.hides_users:
            status = NO_USER
        elif session.role & 0x0F > level and not faults.grants_late:
            status = NO_PRIVILEGE
        if status:
            self.forget(session)
            return struct.pack("<BBxxI", tag, status, session.theirs)
        session.password = os.urandom(16) if password is None else password
        session.privilege = level
        covered = struct.pack("<II", session.theirs, number) + session.their_nonce + session.nonce
        code = session.suite.hmac(session.password, covered + self.guid + session.identity)
        secret = session.password if self.kg is None else self.kg
        key = session.suite.hmac(secret, session.their_nonce + session.nonce + session.identity)
        session.next_keys = Keys(session.suite, key)
        return struct.pack("<BBxxI", tag, 0, session.theirs) + session.nonce + self.guid + code

    def _rakp4(self, asked: bytes, faults: Faults) -> bytes | None:
        tag, number = asked[0], int(struct.unpack_from("<I", asked, 4)[0])
        session = self._sessions.get(number)
        if session is None or session.next_keys is None:
            return struct.pack("<BBxxI", tag, INVALID_SESSION, 0)
        if session.keys is not None and faults.login_repeated != "answered":
            return self._again(tag, faults)
        suite = session.suite
        covered = session.nonce + struct.pack("<I", session.theirs) + session.identity
        if asked[1] or asked[8:] != suite.hmac(session.password, covered):
            self.forget(session)
            return struct.pack("<BBxxI", tag, WRONG_CODE, session.theirs)
        if session.keys is None:
            session.keys = session.next_keys
            session.granted = faults.first_level
            self.logins.append(suite.number)
        code = suite.hmac(
            session.next_keys.session, session.their_nonce + struct.pack("<I", number) + self.guid
        )
        return struct.pack("<BBxxI", tag, 0, session.theirs) + code[: suite.code_bytes]

    def _again(self, tag: int, faults: Faults) -> bytes | None:
        """What a step gets that was heard before."""
        return struct.pack("<BBxxI", tag, INVALID_SESSION, 0) if faults.login_repeated == "refused" else None

    def _expire(self, now: float) -> None:
        for session in [s for s in self._sessions.values() if now - s.heard_at > self.idle_s]:
            self.forget(session)


def _frame(kind: Kind, payload: bytes | None) -> Frame | None:
    return None if payload is None else Frame(kind, payload)
