"""Requests to this daemon that are answered by another collector of its tree, and those that come from one.

A request with the header `Kraken-At: NAME` goes down the tree as it is and is answered there; routes ask the
same way for nodes that another collector runs. What travels is a `Call` of the tree's protocol with the verb
`http`: a msgpack array of method, path with query, caller and body; back come the media type and the body.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from kraken.api.asgi import App, Receive, Scope, Send
from kraken.api.security import CALLER, NAME
from kraken.daemon.daemon import Daemon
from kraken.daemon.seat import ASK_S
from kraken.sync.letters import LETTER_BYTES_MAX, Call

HEADER: Final = b"kraken-at"
VERB: Final = "http"
BODY_BYTES_MAX: Final = LETTER_BYTES_MAX - 65_536
"""Of a body that crosses the tree; the rest of a letter is for what leads it."""
STREAMS: Final = ("/v1/events",)
HOLD_S: Final = 5.0
"""For a hold to come down to who is asked next: one letter lost, and said again."""

_TITLES: Final = {
    404: "Not found",
    413: "Too large",
    501: "Not available here",
    503: "Not reached",
    504: "No answer",
}


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """A request on its way down."""

    method: str
    path: str
    caller: str
    body: bytes


class Told(msgspec.Struct, frozen=True, array_like=True):
    """An answer on its way up."""

    kind: str
    body: bytes


class Relay:
    """Asks other collectors, for one daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def elsewhere(self, names: Iterable[str]) -> dict[str, list[str]]:
        """Collector -> those of these nodes that it runs, or says that nobody does; ours, and others that
        nobody runs, are left out.
        """
        seat, collector = self._daemon.seat, self._daemon.collector
        found: dict[str, list[str]] = {}
        if seat is None:
            return found
        for name in names:
            if name in collector.table and not collector.runs(name):
                runner = collector.answers(name)
                if runner:
                    found.setdefault(runner, []).append(name)
        return found

    def others(self) -> list[str]:
        """The other collectors that run nodes, by name."""
        seat, collector = self._daemon.seat, self._daemon.collector
        if seat is None:
            return []
        return sorted({collector.runner(name) for name in collector.table} - {"", seat.tree.me})

    async def ask(
        self, collector: str, method: str, path: str, caller: str, body: bytes = b"", within_s: float = ASK_S
    ) -> tuple[int, Told]:
        """The answer of another collector: status, and what it said; a problem document where it was not
        reached.
        """
        seat = self._daemon.seat
        if seat is None:
            return _problem(
                404, "not-found", f"this daemon is in no tree, so there is no {collector} below it"
            )
        if len(body) > BODY_BYTES_MAX:
            text = f"a request of more than {BODY_BYTES_MAX:,} bytes does not cross the tree"
            hint = f"do it in several, each of fewer nodes, or ask collector {collector} itself"
            return _problem(413, "too-large", text, hint)
        asked = Asked(method, path, f"{caller}@{seat.tree.me}", body)
        status, answer = await seat.ask(collector, VERB, msgspec.msgpack.encode(asked), within_s)
        try:
            return status, msgspec.msgpack.decode(answer, type=Told)
        except (msgspec.DecodeError, UnicodeDecodeError):
            text = answer.decode("utf-8", "replace")
            return _problem(status, "refused", text, "`kraken collector list` shows how it stands with it")


def passing_on(app: App, daemon: Daemon) -> App:
    """The app; a request for another collector is passed on to it."""
    relay = Relay(daemon)

    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        name = headers.get(HEADER, b"").decode("latin-1").strip()
        seat = daemon.seat
        if not name or (seat is not None and name == seat.tree.me):
            await app(scope, receive, send)
            return
        path = scope["path"]
        if path in STREAMS:
            text = f"a stream of events does not cross the tree: ask collector {name} itself"
            await _send(send, *_problem(501, "refused", text))
            return
        if query := scope["query_string"]:
            path += "?" + query.decode("latin-1")
        body = await _read(receive)
        caller = caller_of(scope)
        await _send(send, *await relay.ask(name, scope["method"], path, caller, body))

    return asked


def answering_calls(app: App, daemon: Daemon) -> None:
    """Let the app answer what other collectors ask this one."""

    async def answer(call: Call) -> tuple[int, bytes]:
        asked = msgspec.msgpack.decode(call.body, type=Asked)
        status, told = await _ask_app(app, asked)
        if len(told.body) > BODY_BYTES_MAX:
            text = f"an answer of {len(told.body)} bytes does not cross the tree"
            status, told = _problem(413, "too-large", text, "ask for fewer nodes, or the collector itself")
        return status, msgspec.msgpack.encode(told)

    if daemon.seat is not None:
        daemon.seat.answers[VERB] = answer


async def _ask_app(app: App, asked: Asked) -> tuple[int, Told]:
    """What the app answers to a request that came over the tree."""
    path, _, query = asked.path.partition("?")
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": asked.method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": [
            (b"host", b"tree"),
            (b"content-type", b"application/json"),
            (b"content-length", str(len(asked.body)).encode()),
        ],
        "client": None,
        "server": None,
        "state": {CALLER: asked.caller},
    }
    status, kind, parts = 500, "", bytearray()
    left = [asked.body]
    gone = asyncio.Event()

    async def receive() -> Any:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        nonlocal status, kind
        if message["type"] == "http.response.start":
            status = message["status"]
            kind = dict(message["headers"]).get(b"content-type", b"").decode("latin-1")
        else:
            parts.extend(message.get("body", b""))
            if not message.get("more_body", False):
                gone.set()  # a stream that is whole waits for the caller to hang up

    try:
        await app(scope, receive, send)
    finally:
        gone.set()
    return status, Told(kind, bytes(parts))


async def _read(receive: Receive) -> bytes:
    parts = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(parts)
        parts += message["body"]
        if not message["more_body"] or len(parts) > BODY_BYTES_MAX:  # too much is refused by who asks
            return bytes(parts)


async def _send(send: Send, status: int, told: Told) -> None:
    headers = [(b"content-type", told.kind.encode("latin-1"))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": told.body, "more_body": False})


def caller_of(scope: Scope) -> str:
    """The caller's name, as `kraken.api.security.who` has it."""
    named = scope.get("state", {}).get(CALLER)
    if isinstance(named, str):
        return named
    claimed: str = dict(scope["headers"]).get(b"kraken-user", b"").decode("latin-1")
    return claimed if NAME.fullmatch(claimed) else "api"


def _problem(status: int, kind: str, detail: str, hint: str | None = None) -> tuple[int, Told]:
    body = {"type": f"urn:kraken:problem:{kind}", "title": _TITLES.get(status, "Refused"), "status": status}
    more = {} if hint is None else {"hint": hint}
    return status, Told("application/problem+json", msgspec.json.encode({**body, "detail": detail, **more}))
