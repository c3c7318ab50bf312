"""The one file that drives pyghmi, and the private names of it that a loop of our own needs.

pyghmi 1.6.19 speaks the protocol (handshake, keys, frames); it does not get to open sockets, keep
time, repeat a command, block, or decide when to give up: used as it comes it stalls, logs in
serially, logs in again for ever, and repeats a reset. tests/contract/test_pyghmi.py checks that the
pinned version still has the shape this file relies on. See docs/decisions/0007 and 0027.

Everything here runs in the thread of the loop that its `Wire` was given. Only wire.py imports it.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import pyghmi.exceptions as pyghmi_exceptions
import pyghmi.ipmi.private.session as pyghmi_session

from kraken.executors.ipmi.refusals import refusal_of
from kraken.executors.place import LoginRefused, Reach

if TYPE_CHECKING:
    from kraken.executors.ipmi.wire import Link

_NO_SLOT: Final = (0x01, 0x0B)  # RMCP+ status codes: IPMI 2.0, table 13-15
_NO_SUCH_SUITE: Final = (0x04, 0x05, 0x06, 0x07, 0x10, 0x11)  # of IPMI 2.0, table 13-15
_TOO_HIGH: Final = 0x0A
_NO_SUCH_SESSION: Final = 0x02
_NOT_THE_THREAD: Final = frozenset(range(0x13)) - {_NO_SUCH_SESSION, 0x0F}  # what table 13-15 has besides
_BEGUN_ANEW_MAX: Final = 3  # in one login, at once: BMCs count failures and lock


_KEPT_OF_A_SESSION: Final = """
    _customkeepalives aeskey allowedpriv allsockaddrs async_ atomicop attemptedhash authtype autokeepalive
    autopriv awaitingresponse bmc broken cleaningup confalgo currentchannel currhashlen currhashlib errormsg
    expectedcmd expectednetfn forbidsock incommand initialized integrityalgo ipmi15only ipmicallback
    ipmiversion k1 k2 kg kgo last_payload_type lastpayload lastresponse localsid logged logging logontries
    logonwaiters logoutexpiry maxtimeout nameonly netpacket nowait onlogpayload onlogpayloadtype password
    pendingsessionid port privlevel randombytes remoteguid remoterandombytes remseqnumber request_entry
    rmcptag rqaddr rqlun seqlun sequencenumber servermode sessioncontext sessionid sik sockaddr socket
    sol_handler tabooseq timeout userid
"""  # by pyghmi; in dictionaries, they take twice the room


class _NoCount(dict[Any, int]):
    """Where pyghmi counts sessions per socket (each one down three times): nobody reads it."""

    def __getitem__(self, key: Any) -> int:
        return 0

    def __setitem__(self, key: Any, value: int) -> None:
        pass


class _Empty:
    """A queue of pyghmi's that nothing is put into here: three for each session took 2,280 bytes of it."""

    def __get__(self, session: object, owner: type) -> tuple[()]:
        return ()

    def __set__(self, session: object, value: object) -> None:
        pass


class RmcpSession(pyghmi_session.Session):  # type: ignore[misc]
    """pyghmi's session with its sockets, its clock, its waiting and its retries taken away."""

    __slots__ = (*_KEPT_OF_A_SESSION.split(), "begun_anew", "link")
    evq = _Empty()  # waits of threads
    pktqueue = _Empty()  # what pyghmi's own thread received
    pendingpayloads = _Empty()  # more than one thing to say at a time, which is never
    socketpool = _NoCount()
    attemptedhash: int
    lastpayload: Any
    logged: int
    logging: bool
    logontries: int
    privlevel: int
    sessionid: int

    def __new__(cls, link: Link) -> RmcpSession:
        session: RmcpSession = object.__new__(cls)  # never one of pyghmi's cache of sessions
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
        """Say the step of the login again that went unanswered, as it was: any of the answers answers it.

        One that nothing comes of begins the handshake anew. Stands where pyghmi's `_timedout` stood,
        without its end (the deadline is ours) and without its login in the middle of a command.
        """
        if not self.lastpayload:
            return
        in_rakp = self.sessioncontext in ("EXPECTINGRAKP2", "EXPECTINGRAKP4")
        if in_rakp and self.link.handshake.is_in_vain:
            self.link.handshake.begun_anew()
            self.login()
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

    def end(self) -> None:
        """Give the BMC its slot back, if it holds one for us, and wait for nothing. Idempotent.

        Stands where pyghmi's `logout` stood, without its waits and without its books of sockets and sessions.
        """
        self.lastpayload = None  # or what is sent now would queue behind an unanswered step of the login
        if self.logged:
            self._send_ipmi_net_payload(0x06, 0x3C, tuple(self.sessionid.to_bytes(4, "little")), retry=False)
        self.logged = 0
        self.logging = False

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
        only = self.link.login.suite
        if only == 3 or (only is None and self.link.wire.suites.lacks_17(self.link.place)):
            self.attemptedhash = 1

    def _xmit_packet(self, retry: bool = True, delay_xmit: Any = None, timeout: Any = None) -> None:
        if self.sequencenumber:
            self.sequencenumber += 1
        self.link.transmit(bytes(self.netpacket), repeat_it=retry)

    def _req_priv_level(self) -> None:
        """The login has ended; whoever needs more than USER raises the session by a command of its own."""
        self.logged = 1
        self.logging = False
        self.link.logged_in(None)

    def _got_rmcp_response(self, data: Sequence[int]) -> Any:
        if len(data) > 1 and data[0] == self.rmcptag:
            only_17 = self.link.login.suite == 17
            if data[1] in _NO_SUCH_SUITE and self.attemptedhash == 256 and not only_17:
                self.link.wire.suites.refused_17(self.link.place)
            elif data[1] != 0 and (only_17 or data[1] in _NO_SLOT):
                self.attemptedhash = 1  # or it would be asked once more, with the other suite
        return super()._got_rmcp_response(data)

    def _got_rakp2(self, data: Sequence[int]) -> Any:
        ours = self.sessioncontext == "EXPECTINGRAKP2" and len(data) > 1 and data[0] == self.rmcptag
        if ours and data[1] == _TOO_HIGH and self.privlevel == 4 and self.autopriv:
            self.privlevel = 3  # as pyghmi does after other codes, but not after this
            self.login()
            return None
        if ours and data[1] == _NO_SUCH_SESSION and self._begin_anew():
            return None
        return super()._got_rakp2(data)

    def _got_rakp4(self, data: Sequence[int]) -> Any:
        """Begin anew when the BMC lost the thread: RAKP 2 has shown that the password is right.

        A BMC that gets RAKP 1 twice may hold another number than the one we answered, and one that gets
        RAKP 3 twice may have closed the handshake with the first, whose answer was lost: it says then that it
        knows no such session, that the code is wrong, or something that is in no table.
        """
        ours = self.sessioncontext == "EXPECTINGRAKP4" and len(data) > 1 and data[0] == self.rmcptag
        if ours and data[1] not in _NOT_THE_THREAD:
            self.logontries = 0  # or pyghmi would wait for a better answer, which never comes
            if self._begin_anew():
                return None
        return super()._got_rakp4(data)

    def _begin_anew(self) -> bool:
        """From the first step again, more slowly; False: that was done often enough."""
        if self.begun_anew >= _BEGUN_ANEW_MAX:
            return False
        self.begun_anew += 1
        self.link.handshake.lost_thread()
        self.login()
        return True

    def _parse_ipmi_payload(self, payload: bytearray) -> Any:
        """Drop a message with a wrong checksum, which pyghmi believes: a BMC's defect is no state."""
        if sum(payload[:3]) & 0xFF or sum(payload[3:]) & 0xFF:
            return None
        return super()._parse_ipmi_payload(payload)

    def _got_channel_auth_cap(self, response: dict[str, Any]) -> None:
        if response.get("code") == 0xCC:  # asks again at once, and would lose that reply
            self.link.wire.later(lambda: super(RmcpSession, self)._got_channel_auth_cap(response))
        else:
            super()._got_channel_auth_cap(response)

    def _get_session_challenge(self) -> None:
        text = "it speaks IPMI 1.5 only, without encryption: enable IPMI 2.0 (RMCP+), or update its firmware"
        self.link.logged_in(LoginRefused(Reach.REFUSED, text))

    def _logged_on(self, response: dict[str, Any]) -> None:
        if "error" in response:
            error, login = str(response["error"]), self.link.login
            self.link.logged_in(refusal_of(error, login.kg is not None, login.suite))
