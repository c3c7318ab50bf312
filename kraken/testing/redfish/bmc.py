"""One Redfish service (DSP0266) over one node's power switch, with faults at a test's command."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import ssl
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kraken.testing.redfish.certificates import Certificate
from kraken.testing.redfish.events import EVENTS, STREAM, Events

ROOT: Final = "/redfish/v1/"
SESSIONS: Final = "/redfish/v1/SessionService/Sessions"
SYSTEMS: Final = "/redfish/v1/Systems"
CHASSIS: Final = "/redfish/v1/Chassis/1"
ACCOUNTS: Final = "/redfish/v1/AccountService/Accounts"
TASKS: Final = "/redfish/v1/TaskService/TaskMonitors"

_TLS_HELLO: Final = b"\x16"
_RESETS: Final = {
    "On": "On",
    "ForceOff": "Off",
    "GracefulShutdown": "Off",
    "ForceRestart": "On",
    "PowerCycle": "On",
}
_PHRASES: Final = {200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 304: "Not Modified"}


@dataclass
class Scripted:
    """An answer that is given instead of the right one, `times` times (None: always)."""

    method: str
    path: str  # the beginning of it
    status: int  # 0: the connection ends instead
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    times: int | None = 1


class FakeBmc:
    """A Redfish service. Everything is read and changed in the loop it is started in, or before.

    Attributes:
        power: PowerState as it truly is; what it shows is this unless `shows` says otherwise.
        events: the stream of events, which it does not offer until told to.
        boot: the boot override as it was asked for last.
        asked: (method, path, status) of every request, in order.
        resets: every reset that was accepted.
        sessions: the tokens that count.
        mute: takes requests and never answers.
        hung: takes connections and says nothing, not even in TLS.
        ignores: accepts resets, and new passwords, and does nothing.
        delay_s: does what a reset asks so much later.
        task_s: makes a task of a reset, which ends so much later as `task_ends`.
        offers_sessions: else one logs in with each request.
        session_requests: a session expires after so many requests.
        session_limit: how many sessions there can be.
        more: further properties of the system.
        resources: further documents, by path (with the query that asks for them, if any); one of a path
            that is shown anyway adds to it.
        etag_of_power: else its ETags do not change with the power.
    """

    def __init__(
        self,
        address: str = "127.0.0.1",
        *,
        username: str = "admin",
        password: str = "secret",
        certificate: Certificate | None = None,
        systems: tuple[str, ...] = ("1",),
    ) -> None:
        self.address = address
        self.port = 0
        self.username, self.password = username, password
        self.certificate = certificate
        self.systems = systems
        self.power = "Off"
        self.boot: dict[str, Any] = {"BootSourceOverrideEnabled": "Disabled"}
        self.light = False
        self.asked: list[tuple[str, str, int]] = []
        self.resets: list[str] = []
        self.sessions: dict[str, str] = {}
        self.connections = 0
        self.scripts: list[Scripted] = []
        self.shows: Any = None
        self.more: dict[str, Any] = {}
        self.resources: dict[str, dict[str, Any]] = {}
        self.reset_types = list(_RESETS)
        self.mute = self.hung = self.ignores = False
        self.delay_s = 0.0
        self.task_s: float | None = None
        self.task_ends = "Completed"
        self.offers_sessions = True
        self.session_limit = 8
        self.session_requests: int | None = None
        self.etag_of_power = True
        self.wants_if_match = False
        self.events = Events()
        self._used: dict[str, int] = {}  # token -> requests
        self._tasks: dict[str, float] = {}
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen: at the port it had before, else at a free one."""
        context = None
        if self.certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate.certificate, self.certificate.key)
        if self.hung:
            context = None
        self._server = await asyncio.start_server(self._serve, self.address, self.port, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no more, and drop every connection. Idempotent."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for task in list(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def say(
        self,
        method: str,
        path: str,
        status: int,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        times: int | None = 1,
    ) -> None:
        """Answer so instead, to requests whose path begins so."""
        self.scripts.append(Scripted(method, path, status, headers or {}, body, times))

    def count(self, method: str, path: str = "") -> int:
        """How many requests there were whose path begins so."""
        return sum(asked[0] == method and asked[1].startswith(path) for asked in self.asked)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self.connections += 1
        try:
            first = await reader.readexactly(1)
            if first == _TLS_HELLO and not self.hung:  # meant for HTTPS, as a web server answers it
                writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                return
            while True:
                head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                first = b""
                method, path, _ = head[0].split(" ")
                headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:]) if v}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                if self.mute or self.hung:
                    await asyncio.Event().wait()
                if method == "GET" and path.startswith(STREAM) and self._is_known(headers):
                    self.asked.append((method, path, 200))
                    await self.events.serve(reader, writer)
                    return
                status, more, content = self._answer(method, path, headers, body)
                self.asked.append((method, path, status))
                if not status:
                    return
                lines = [f"HTTP/1.1 {status} {_PHRASES.get(status, 'Said')}"]
                lines += [f"{name}: {value}" for name, value in more.items()]
                if status not in (204, 304):
                    lines.append(f"Content-Length: {len(content)}")
                writer.write("\r\n".join([*lines, "", ""]).encode() + content)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            self._serving.discard(task)
            writer.close()

    def _answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Mapping[str, str], bytes]:
        for script in self.scripts:
            if script.method == method and path.startswith(script.path) and script.times != 0:
                script.times = None if script.times is None else script.times - 1
                return script.status, script.headers, script.body
        if path != ROOT and (method, path) != ("POST", SESSIONS) and not self._is_known(headers):
            return self._error(401, "Base.1.8.NoValidSession", "There is no valid session.")
        given = json.loads(body) if body else {}
        if (method, path) == ("POST", SESSIONS) and self.offers_sessions:
            return self._log_in(given)
        if method == "DELETE" and path.startswith(SESSIONS):
            self.sessions = {token: uri for token, uri in self.sessions.items() if uri != path}
            return 204, {}, b""
        if method == "GET":
            return self._show(path, headers)
        if method == "PATCH":
            return self._change(path, headers, given)
        if method == "POST" and path.endswith("/Actions/ComputerSystem.Reset"):
            return self._reset(str(given.get("ResetType")))
        return self._error(404, "Base.1.8.ResourceMissingAtURI", f"There is no resource at {path}.")

    def _is_known(self, headers: Mapping[str, str]) -> bool:
        token = headers.get("x-auth-token")
        if token in self.sessions:
            self._used[token] = self._used.get(token, 0) + 1
            if self.session_requests is None or self._used[token] <= self.session_requests:
                return True
            del self.sessions[token]
        pair = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        return headers.get("authorization") == f"Basic {pair}"

    def _log_in(self, given: Mapping[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
        if (given.get("UserName"), given.get("Password")) != (self.username, self.password):
            # As bad as they come: it repeats what it was sent.
            text = f"The user {given.get('UserName')} with {given.get('Password')} may not log in."
            return self._error(401, "Base.1.8.ResourceAtUriUnauthorized", text)
        if len(self.sessions) >= self.session_limit:
            return self._error(503, "Base.1.8.SessionLimitExceeded", "There are too many sessions.")
        token, uri = secrets.token_hex(16), f"{SESSIONS}/{secrets.token_hex(4)}"
        self.sessions[token] = uri
        return 201, {"X-Auth-Token": token, "Location": uri}, b"{}"

    def _show(self, path: str, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], bytes]:
        documents: dict[str, Any] = {
            ROOT: {
                "Systems": {"@odata.id": SYSTEMS},
                "AccountService": {"@odata.id": "/redfish/v1/AccountService"},
                "Links": {"Sessions": {"@odata.id": SESSIONS}} if self.offers_sessions else {},
            },
            SYSTEMS: {"Members": [{"@odata.id": f"{SYSTEMS}/{name}"} for name in self.systems]},
            "/redfish/v1/AccountService": {"Accounts": {"@odata.id": ACCOUNTS}},
            ACCOUNTS: {"Members": [{"@odata.id": f"{ACCOUNTS}/{number}"} for number in (1, 2)]},
            f"{ACCOUNTS}/1": {"UserName": "", "Enabled": False},
            f"{ACCOUNTS}/2": {"UserName": self.username, "Enabled": True, "Password": None},
            CHASSIS: {"Id": "1", "IndicatorLED": "Blinking" if self.light else "Off"},
            **{f"{SYSTEMS}/{name}": self._system(name) for name in self.systems},
        }
        if self.events.offered:
            documents[ROOT]["EventService"] = {"@odata.id": EVENTS}
            documents[EVENTS] = {"ServiceEnabled": True, "ServerSentEventUri": STREAM}
        for place, more in self.resources.items():
            documents[place] = {**documents.get(place, {}), **more}
        if path.startswith(TASKS) and path in self._tasks:
            if asyncio.get_running_loop().time() < self._tasks[path]:
                return 202, {"Location": path}, json.dumps({"TaskState": "Running"}).encode()
            told = [{"MessageId": "Task.1.0.Failed", "Message": "The power supply does not answer."}]
            documents[path] = {"TaskState": self.task_ends, "Messages": told}
        if path not in documents:
            return self._error(404, "Base.1.8.ResourceMissingAtURI", f"There is no resource at {path}.")
        etag = self._etag()
        if headers.get("if-none-match") == etag:
            return 304, {"ETag": etag}, b""
        return 200, {"ETag": etag, "Content-Type": "application/json"}, json.dumps(documents[path]).encode()

    def _system(self, name: str) -> dict[str, Any]:
        targets = ["None", "Pxe", "Hdd", "Cd", "BiosSetup"]
        return {
            **self.more,
            "@odata.id": f"{SYSTEMS}/{name}",
            "Id": name,
            "PowerState": self.power if self.shows is None else self.shows,
            "Boot": {**self.boot, "BootSourceOverrideTarget@Redfish.AllowableValues": targets},
            "Links": {"Chassis": [{"@odata.id": CHASSIS}]},
            "Actions": {
                "#ComputerSystem.Reset": {
                    "target": f"{SYSTEMS}/{name}/Actions/ComputerSystem.Reset",
                    "ResetType@Redfish.AllowableValues": self.reset_types,
                }
            },
        }

    def _etag(self) -> str:
        if not self.etag_of_power:
            return '"1"'
        return f'"{zlib.crc32(json.dumps([self.power, self.boot, self.light]).encode()):08x}"'

    def _change(
        self, path: str, headers: Mapping[str, str], given: Mapping[str, Any]
    ) -> tuple[int, Mapping[str, str], bytes]:
        if self.wants_if_match and "if-match" not in headers:
            return self._error(428, "Base.1.8.PreconditionRequired", "An ETag is required.")
        if headers.get("if-match", self._etag()) != self._etag():
            return self._error(412, "Base.1.8.PreconditionFailed", "The ETag is an old one.")
        if path == f"{ACCOUNTS}/2":
            self.password = self.password if self.ignores else given["Password"]
        elif path == CHASSIS:
            self.light = given["IndicatorLED"] != "Off"
        else:
            self.boot.update(given["Boot"])
        return 200, {"ETag": self._etag()}, b"{}"

    def _reset(self, kind: str) -> tuple[int, Mapping[str, str], bytes]:
        if kind not in self.reset_types:
            return self._error(400, "Base.1.8.ActionParameterNotSupported", f"{kind} is not supported.")
        if kind == "On" and self.power == "On":
            return self._error(409, "Base.1.8.NoOperation", "The system is on.")
        self.resets.append(kind)
        loop = asyncio.get_running_loop()
        if not self.ignores:
            delay_s = self.delay_s + (self.task_s or 0.0)
            if delay_s:
                loop.call_later(delay_s, setattr, self, "power", _RESETS[kind])
            else:
                self.power = _RESETS[kind]
        if self.task_s is None:
            return 204, {}, b""
        monitor = f"{TASKS}/{len(self._tasks) + 1}"
        self._tasks[monitor] = loop.time() + self.task_s
        return 202, {"Location": monitor}, b""

    def _error(self, status: int, message_id: str, text: str) -> tuple[int, Mapping[str, str], bytes]:
        entry = {"MessageId": message_id, "Message": text}
        error = {"code": message_id, "message": text, "@Message.ExtendedInfo": [entry]}
        return status, {"Content-Type": "application/json"}, json.dumps({"error": error}).encode()
