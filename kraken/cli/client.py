"""The client of a daemon's HTTP interface (docs/api.md), over its unix socket or over TCP.

It stands on http.client: loading httpx costs more than the rest of a command together (ADR 9).
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from kraken.cli.errors import CommandError, ProblemError
from kraken.cli.reach import ANSWER_TIMEOUT_S, explain_failure, trust

SILENCE_S_MAX = 45.0  # the daemon comments on its event stream every 15 s

Answer = dict[str, Any]


class Event(NamedTuple):
    """One server-sent event; `id` resumes the stream after it."""

    id: str
    kind: str
    data: Answer


class Client:
    """One daemon, as a command sees it. A connection per call; no state between calls.

    Args:
        socket_path: of the unix socket; used when there is no url.
        url: http(s)://host:port.
        token: sent over TCP as a bearer token.
        cacert: file of the authorities an https daemon is trusted by; None: the system's.
        user: who asks, for the journal (over the socket only).
        at: the collector below the daemon that is to answer; None: the daemon itself.
    """

    def __init__(
        self,
        *,
        socket_path: str,
        url: str | None = None,
        token: str | None = None,
        cacert: str | None = None,
        user: str = "",
        at: str | None = None,
    ) -> None:
        self._socket_path = socket_path
        self._url = url
        self._token = token
        self._cacert = cacert
        self._user = user
        self._at = at
        self.place = url or socket_path

    def get(self, path: str, **query: object) -> Answer:
        """The JSON answer to a GET; a query value of None is left out, True says `true`."""
        return self._json(*self.fetch("GET", with_query(path, query)))

    def send(self, method: str, path: str, body: Mapping[str, Any]) -> Answer:
        """The JSON answer to a call with a JSON body.

        Raises:
            ProblemError: the daemon said no.
            DaemonAwayError: nobody answers.
            CommandError: the answer was cut off or is none of Kraken's.
        """
        return self._json(*self.fetch(method, path, json.dumps(body).encode()))

    def fetch(self, method: str, path: str, body: bytes | None = None) -> tuple[bytes, str]:
        """The raw answer and its media type; raises as `send` does."""
        connection = self._connect(ANSWER_TIMEOUT_S)
        try:
            with self._explained():
                response = self._ask(connection, method, path, body)
                content = response.read()
            kind = response.headers.get_content_type()
            if response.status >= 400:
                raise self._problem(response.status, kind, content)
            if response.status >= 300:
                raise CommandError(
                    f"{self.place} sends us elsewhere (status {response.status}) instead of answering",
                    hint="check --url; it must be the daemon's own address",
                )
            return content, kind
        finally:
            connection.close()

    def events(self, last: str | None = None, **query: object) -> EventStream:
        """Open the event stream, after the event `last` when given; raises as `send` does."""
        connection = self._connect(SILENCE_S_MAX)
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
        try:
            with self._explained():
                connection.connect()
                wire = connection.sock  # http.client forgets it once the answer has begun
                response = self._ask(connection, "GET", with_query("/v1/events", query), None, headers)
                if response.status != 200:
                    content = response.read()
                    raise self._problem(response.status, response.headers.get_content_type(), content)
        except BaseException:
            connection.close()
            raise
        return EventStream(wire, response)

    def lines(self, path: str, body: Mapping[str, Any] | None = None, **query: object) -> Iterator[Answer]:
        """The objects of an NDJSON answer, as they come; raises as `send` does, also on the way.

        Args:
            body: to be posted; None: a GET.

        The answer may end early: its last line says whether it is whole.
        """
        connection = self._connect(SILENCE_S_MAX)
        try:
            with self._explained():
                headers = {"Accept": "application/x-ndjson"}
                method, content = ("GET", None) if body is None else ("POST", json.dumps(body).encode())
                response = self._ask(connection, method, with_query(path, query), content, headers)
            kind = response.headers.get_content_type()
            if response.status != 200:
                with self._explained():
                    content = response.read()
                raise self._problem(response.status, kind, content)
            while True:
                with self._explained():
                    line = response.readline()
                if not line:
                    return
                if line.strip():
                    yield self._json(line, kind)
        finally:
            connection.close()

    def _ask(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | None,
        extra: Mapping[str, str] | None = None,
    ) -> http.client.HTTPResponse:
        headers = {"Accept": "application/json", **(extra or {})}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self._url is None and self._user:
            headers["Kraken-User"] = self._user
        if self._url is not None and self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        if self._at is not None:
            headers["Kraken-At"] = self._at
        with suppress(BrokenPipeError):  # it may have refused a large body and answered already
            connection.request(method, path, body, headers)
        return connection.getresponse()

    def _connect(self, timeout_s: float) -> http.client.HTTPConnection:
        if self._url is None:
            return _UnixConnection(self._socket_path, timeout_s)
        parts = urlsplit(self._url)
        host = parts.hostname or ""
        if parts.scheme == "https":
            return http.client.HTTPSConnection(
                host, parts.port, timeout=timeout_s, context=trust(self._cacert)
            )
        return http.client.HTTPConnection(host, parts.port, timeout=timeout_s)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what a socket raises into what a person can act on."""
        try:
            yield
        except (TimeoutError, http.client.HTTPException, OSError) as error:
            raise explain_failure(error, self.place, is_socket=self._url is None) from error

    def _json(self, content: bytes, kind: str) -> Answer:
        try:
            answer = json.loads(content)
        except (ValueError, UnicodeDecodeError) as error:
            if kind != "application/json":
                raise self._stranger(f"an answer of type {kind}") from error
            raise CommandError(
                f"the answer of {self.place} was cut off after {len(content)} bytes",
                hint="ask again; if it stays so, the daemon's log says why",
            ) from error
        if not isinstance(answer, dict):
            raise self._stranger("an answer that is not an object")
        return answer

    def _problem(self, status: int, kind: str, content: bytes) -> CommandError:
        try:
            document = json.loads(content)
        except (ValueError, UnicodeDecodeError):
            document = None
        if isinstance(document, dict) and (kind == "application/problem+json" or "type" in document):
            return ProblemError(document, status)
        if status == 401:
            return ProblemError({"type": "unauthorized", "detail": f"{self.place} wants a token"}, 401)
        first = content[:200].decode("utf-8", "replace").strip().splitlines()
        said = f": {first[0]}" if first else ""
        return CommandError(
            f"{self.place} answered with status {status}{said}", hint="the daemon's log says more"
        )

    def _stranger(self, what: str) -> CommandError:
        return CommandError(
            f"{self.place} gave {what}: that is no Kraken daemon, or one of another version",
            hint="check --socket or --url",
        )


class EventStream:
    """The events of one connection, in order; closing it from another thread ends the iteration."""

    def __init__(self, wire: socket.socket, response: http.client.HTTPResponse) -> None:
        self._wire = wire
        self._response = response

    def __iter__(self) -> Iterator[Event]:
        """Events until the stream ends, for whatever reason: the reader connects again or gives up."""
        event_id, kind = "", "message"
        data: list[str] = []
        while True:
            try:
                raw = self._response.readline()
            except (OSError, http.client.HTTPException, ValueError, AttributeError):
                return
            if not raw:
                return
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            if not line:
                if data:
                    with suppress(ValueError):
                        yield Event(event_id, kind, json.loads("\n".join(data)))
                kind, data = "message", []
                continue
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "id":
                event_id = value
            elif field == "event":
                kind = value
            elif field == "data":
                data.append(value)

    def close(self) -> None:
        with suppress(OSError):  # shutdown wakes a reader in another thread, closing would not
            self._wire.shutdown(socket.SHUT_RDWR)
        self._wire.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path
        self._timeout_s = timeout_s

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._timeout_s)
        self.sock.connect(self._path)


def with_query(path: str, query: Mapping[str, object]) -> str:
    """The path with its query; None is left out."""
    said = {
        key: str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in query.items()
        if value is not None
    }
    return f"{path}?{urlencode(said, quote_via=quote)}" if said else path
