"""A conversation with one Redfish service: log in, ask, be sent on, wait when asked to."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import email.utils
import time
from collections.abc import Callable, Mapping
from typing import Final, NoReturn, TypeVar

from kraken.executors.pace import Lane
from kraken.executors.place import Reach
from kraken.executors.redfish import system
from kraken.executors.redfish.wire import Wire
from kraken.executors.redfish.words import Document, Login, RedfishLimits, Reply, Server, Trouble
from kraken.model.run import Outcome

T = TypeVar("T")

ROOT: Final = "/redfish/v1/"

_TOKEN: Final = "X-Auth-Token"
_HOPS_MAX: Final = 3
_SENT_ON: Final = frozenset({301, 302, 303, 307, 308})
_KEEP_METHOD: Final = frozenset({307, 308})
_AWAY: Final = frozenset({429, 503})
_NO_SUCH: Final = frozenset({404, 405, 501})
_WAIT_S_MAX: Final = 3600.0

_REFUSALS: Final[Mapping[int, tuple[Reach, str, str]]] = {
    # HTTP status -> (reach, what it means, what to do).
    400: (Reach.OK, "it does not accept the request", "its firmware may lack it"),
    403: (
        Reach.REFUSED,
        "the user's privilege is too low",
        "grant it Operator, or name another bmc.credential",
    ),
    404: (Reach.OK, "it knows no such resource", "has its firmware been changed?"),
    405: (Reach.OK, "it cannot do that", "this BMC cannot do it over Redfish"),
    409: (
        Reach.BUSY,
        "it is busy with something else",
        "asked again later; reset the BMC if that lasts",
    ),
    412: (Reach.BUSY, "what was to be changed has been changed meanwhile", "asked again later"),
    428: (Reach.OK, "it wants an ETag and gives none", "update its firmware"),
    501: (Reach.OK, "it cannot do that", "this BMC cannot do it over Redfish"),
}


class Talk:
    """What is said to one service, in turn.

    Attributes:
        login: with what; another one ends the session.
        ends_at: loop time at which the question at hand is over.
        is_mutation: what is at hand changes something, and goes before what only asks.
        wait_until: loop time before which the BMC does not want to be asked.
    """

    def __init__(self, server: Server, wire: Wire, limits: RedfishLimits, lane: Lane) -> None:
        self.server = server
        self.is_mutation = False
        self.login: Login | None = None
        self.ends_at = 0.0
        self.wait_until = 0.0
        self._wire = wire
        self._limits = limits
        self._lane = lane
        self._sessions: str | None = None  # where one logs in; None: with each request
        self._systems: str | None = None
        self._events: str | None = None
        self._token: dict[str, str] | None = None  # the header that says who we are
        self._session_path: str | None = None

    @property
    def has_session(self) -> bool:
        """Whether the BMC keeps a session for us."""
        return self._token is not None and _TOKEN in self._token

    @property
    def is_open(self) -> bool:
        """Whether the service was found and has let us in."""
        return self._token is not None

    @property
    def events(self) -> tuple[Mapping[str, str], str] | None:
        """The header of the session and the path of the EventService; None without one of them."""
        if self._token is None or self._events is None or not self.has_session:
            return None
        return self._token, self._events

    async def open(self) -> str:
        """Find the service and log in; the path of its systems.

        Raises:
            Trouble: it does not let us in.
        """
        if self._systems is None:
            root = self.read(await self._exchange("GET", ROOT), "the service root")
            try:
                sessions = system.link_to(root, "Links", "Sessions")
                systems = system.link_to(root, "Systems")
            except ValueError as exc:
                raise self.nonsense(exc) from None
            if systems is None:
                raise self.nonsense("is no Redfish service of a computer: it has no Systems")
            self._sessions, self._systems = sessions, systems
            with contextlib.suppress(ValueError):  # the power is asked for without its events
                self._events = system.link_to(root, "EventService")
        if self._token is None:
            await self._log_in()
        return self._systems

    def forget(self) -> None:
        """Know nothing of the service any more, but who we are to it."""
        self._systems = None

    async def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """The reply to a request. An expired session is renewed; a request it made void is said again.

        Raises:
            Trouble: there is no reply, or no access.
        """
        fresh = self._token is None
        if fresh:
            await self.open()
        while True:
            if self._token is None:  # closed while we waited for a reply
                text = "was asked to end the session meanwhile: what was asked of it is not known to be done"
                raise Trouble(Reach.OK, Outcome.CANCELLED, text)
            reply = await self._exchange(method, path, body, {**self._token, **(headers or {})})
            if reply.status != 401:
                return reply
            expired = self.has_session and not fresh
            self._token = self._session_path = None
            if not expired:
                raise self._bad_credentials("wrong user or password")
            fresh = True
            await self._log_in()

    def read(self, reply: Reply, what: str) -> Document:
        """The document of a reply that says yes; Trouble for any other."""
        if not 200 <= reply.status < 300:
            self.refuse(reply, what)
        try:
            return reply.document()
        except ValueError as exc:
            raise self.nonsense(f"answered nonsense to {what}: it {exc}") from None

    def told(self, read: Callable[[], T]) -> T:
        """What `read` makes of a document; its ValueError ends the conversation."""
        try:
            return read()
        except ValueError as exc:
            raise Trouble(Reach.REFUSED, Outcome.FAILED, str(exc)) from None

    def refuse(self, reply: Reply, what: str) -> NoReturn:
        """Say why a request was refused, and what to do."""
        known = _REFUSALS.get(reply.status)
        if known is not None:
            reach, meaning, advice = known
        elif reply.status >= 500:
            reach, meaning, advice = Reach.OK, "it failed itself", "reset the BMC if that lasts"
        else:
            reach, meaning, advice = Reach.OK, "for a reason of its own", "look it up in the BMC's manual"
        told = system.said(reply, *self._secrets())
        because = f"{meaning} ({reply.status}{f': {told}' if told else ''})"
        raise Trouble(reach, Outcome.FAILED, f"refused {what}: {because}: {advice}")

    def nonsense(self, what: ValueError | str) -> Trouble:
        """It answered, and what it said makes no sense; `what` follows its name."""
        return Trouble(Reach.REFUSED, Outcome.FAILED, f"{what}; reset the BMC or update its firmware")

    async def close(self) -> None:
        """Give the session back, within `goodbye_s`. Idempotent."""
        path, token = self._session_path, self._token
        self._session_path = self._token = None
        if path is None or token is None:
            return
        self._lane.spend(1)  # it does not wait: whoever says goodbye wants to go
        ends_at = asyncio.get_running_loop().time() + self._limits.goodbye_s
        with contextlib.suppress(Trouble):  # it is gone, and its sessions end by themselves
            await self._wire.ask(self.server, "DELETE", path, token, None, ends_at)

    async def pause(self, pause_s: float, otherwise: Trouble) -> None:
        """Wait, unless the question would be over by then; then raise `otherwise`."""
        if asyncio.get_running_loop().time() + pause_s >= self.ends_at:
            raise otherwise
        await asyncio.sleep(pause_s)

    async def _log_in(self) -> None:
        login = self.login
        assert login is not None
        if self._sessions is not None:
            body = {"UserName": login.username, "Password": login.password}
            reply = await self._exchange("POST", self._sessions, body)
            if reply.status not in _NO_SUCH:
                self._logged_in(reply)
                return
        pair = base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
        self._token, self._session_path = {"Authorization": f"Basic {pair}"}, None

    def _logged_in(self, reply: Reply) -> None:
        if _has_no_session(reply):
            text = f"has no free session ({reply.status}): end one of others, or wait until it expires"
            raise Trouble(Reach.BUSY, Outcome.UNREACHABLE, text)
        if any("PasswordChange" in found for found in system.message_ids(reply)):
            raise self._bad_credentials("it wants the password changed before it lets us in")
        if reply.status in (400, 401, 403):
            raise self._bad_credentials("wrong user or password")
        if not 200 <= reply.status < 300:
            self.refuse(Reply(reply.status, reply.headers, b""), "the login")  # it may repeat the password
        token = reply.headers.get(_TOKEN)
        if not token:
            raise self.nonsense("let us log in and gave no token")
        try:
            where = reply.headers.get("Location")
            path = system.path_at(where, self.server) if where else system.link_to(reply.document())
        except ValueError:
            path = None
        self._token, self._session_path = {_TOKEN: token}, path

    async def _exchange(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request, sent on where the BMC says and again after it was asked to wait.

        Both say that the request was not done, so that every one may be repeated.
        """
        loop = asyncio.get_running_loop()
        hops = 0
        while True:
            await self._have_a_turn()
            reply = await self._wire.ask(self.server, method, path, headers or {}, body, self.ends_at)
            if reply.status in _AWAY and not _has_no_session(reply):
                pause_s = _retry_after_s(reply, self._limits.busy_s)
                self.wait_until = loop.time() + pause_s
                text = f"asks to be left alone for {round(pause_s, 1):g} s ({reply.status}): asked again then"
                await self.pause(pause_s, Trouble(Reach.BUSY, Outcome.UNREACHABLE, text))
            elif reply.status in _SENT_ON and (method == "GET" or reply.status in _KEEP_METHOD):
                hops += 1
                if hops > _HOPS_MAX:
                    raise self.nonsense("sends us round in circles")
                try:
                    path = system.path_at(reply.headers.get("Location"), self.server)
                except ValueError as exc:
                    text = f"{exc}: nothing was said there; correct bmc.address or bmc.port"
                    raise Trouble(Reach.REFUSED, Outcome.FAILED, text) from None
            else:
                return reply

    async def _have_a_turn(self) -> None:
        """Wait until the subnet may be sent one more request; Trouble when that is too late."""
        came = asyncio.get_running_loop().create_future()

        def come() -> None:
            self._lane.spend(1)
            if not came.done():
                came.set_result(None)

        waiting = self._lane.enter(come, self.is_mutation)
        if waiting is None:
            self._lane.spend(1)
            return
        try:
            async with asyncio.timeout_at(self.ends_at):
                await came
        except TimeoutError:
            text = "had no turn in time: raise redfish.requests_per_s, or ask its subnet less"
            raise Trouble(Reach.BUSY, Outcome.UNREACHABLE, text, tried=False) from None
        finally:
            waiting.leave()

    def _bad_credentials(self, why: str) -> Trouble:
        assert self.login is not None
        text = f"refused: {why} (credential '{self.login.credential}'): correct it, or the user in the BMC"
        return Trouble(Reach.BAD_CREDENTIALS, Outcome.FAILED, text)

    def _secrets(self) -> tuple[str, ...]:
        return (*((self.login.password,) if self.login else ()), *(self._token or {}).values())


def _has_no_session(reply: Reply) -> bool:
    return any("SessionLimit" in found for found in system.message_ids(reply))


def _retry_after_s(reply: Reply, otherwise_s: float) -> float:
    """RFC 9110, section 10.2.3: seconds or a date; nonsense is as if it was not there."""
    text = reply.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        pause_s = float(text[:9])
    else:
        try:
            pause_s = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            pause_s = otherwise_s
    return min(_WAIT_S_MAX, max(0.1, pause_s))
