"""The questions that an agent is asked, answered without the framework, which takes 9 MB of its node.

A request is answered here where all of it is understood, and what is asked can be had. All else, with every
error, is for the application behind: how a request has to be is said there, once.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from kraken.api import bodies, questions, views
from kraken.api.asgi import App, Receive, Scope, Send
from kraken.api.relay import caller_of
from kraken.daemon.daemon import Daemon
from kraken.daemon.operations import Operations
from kraken.errors import KrakenError

BODY_BYTES_MAX: Final = 65_536
NODE: Final = "/v1/nodes/"

Query = Mapping[str, str]
Answer = Callable[[Operations, str, Query], Coroutine[Any, Any, Any]]
"""Of who asks and what; bytes are JSON already. ValueError: the query is not understood."""


class Plain:
    """An ASGI application in front of that of `kraken.api.app`."""

    def __init__(self, daemon: Daemon, behind: App) -> None:
        self._operations = Operations(daemon)
        self._behind = behind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or have it answered."""
        told: bytes | None = None
        if scope["type"] == "http" and scope["method"] == "GET":
            told = await self._get(scope)
        elif scope["type"] == "http" and (scope["method"], scope["path"]) == ("POST", "/v1/discover"):
            body, receive = await _read(receive)
            told = await self._discover(scope, body)
        if told is None:
            await self._behind(scope, receive, send)
            return
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(told)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": told, "more_body": False})

    async def _get(self, scope: Scope) -> bytes | None:
        path: str = scope["path"]
        name = path.removeprefix(NODE)
        known = _NODE if name != path and name and not set(name) & set("/%") else _GET.get(path)
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        query = dict(pairs)
        if known is None or len(query) != len(pairs) or set(query) - set(known[0]):
            return None
        if known is _NODE:
            query = {"name": name}
        try:
            told = await known[1](self._operations, caller_of(scope), query)
        except (KrakenError, ValueError):
            return None
        return told if isinstance(told, bytes) else msgspec.json.encode(told)

    async def _discover(self, scope: Scope, body: bytes | None) -> bytes | None:
        if body is None:
            return None
        try:
            look = msgspec.json.decode(body, type=bodies.Look)
            return msgspec.json.encode(await questions.discover(self._operations, look, caller_of(scope)))
        except (KrakenError, msgspec.MsgspecError, UnicodeDecodeError):
            return None


async def _node(operations: Operations, caller: str, query: Query) -> Any:
    return await questions.node(operations, query["name"], caller)


async def _health(operations: Operations, _: str, __: Query) -> Any:
    return views.health(operations.daemon)


async def _holds(operations: Operations, _: str, __: Query) -> Any:
    return questions.holds(operations)


async def _explain(operations: Operations, caller: str, query: Query) -> Any:
    everything = _truth(query.get("all", "false"))
    return await questions.explain(
        operations, query.get("nodeset"), everything, query.get("view", "each"), caller
    )


async def _runs(operations: Operations, _: str, query: Query) -> Any:
    active = _truth(query["active"]) if "active" in query else None
    return await questions.runs(operations, active, int(query.get("limit", "100")))


async def _history(operations: Operations, _: str, query: Query) -> Any:
    before = int(query["before"]) if "before" in query else None
    return await questions.history(operations, query.get("nodeset"), int(query.get("limit", "100")), before)


_NODE: Final[tuple[tuple[str, ...], Answer]] = ((), _node)
_GET: Final[Mapping[str, tuple[tuple[str, ...], Answer]]] = {  # path -> what its query may say, who answers
    "/v1/health": ((), _health),
    "/v1/holds": ((), _holds),
    "/v1/explain": (("nodeset", "all", "view"), _explain),
    "/v1/runs": (("active", "limit"), _runs),
    "/v1/history": (("nodeset", "limit", "before"), _history),
}


def _truth(word: str) -> bool:
    if word not in ("true", "false"):
        raise ValueError(word)
    return word == "true"


async def _read(receive: Receive) -> tuple[bytes | None, Receive]:
    """The body, None where it is long or does not come; and who says again all that was heard."""
    heard = []
    body = b""
    while True:
        message = await receive()
        heard.append(message)
        body += message.get("body", b"")
        is_whole = message["type"] == "http.request" and not message.get("more_body", False)
        if is_whole or message["type"] != "http.request" or len(body) > BODY_BYTES_MAX:
            break

    async def again() -> Any:
        return heard.pop(0) if heard else await receive()

    return (body if is_whole and len(body) <= BODY_BYTES_MAX else None), again
