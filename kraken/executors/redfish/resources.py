"""The resources of one BMC (so DSP0266 calls its documents), fetched by path and list by list."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final, NoReturn, ParamSpec, TypeVar

from kraken.executors.place import Answer, Reach
from kraken.executors.redfish import system
from kraken.executors.redfish.words import Document, Reply, Server, Trouble
from kraken.model.run import Outcome

P = ParamSpec("P")
T = TypeVar("T")

MEMBERS_MAX: Final = 2000
"""Of one list that is read whole: the largest machines known have some hundred sensors."""

_REQUESTS_MAX: Final = 5000
_ABSENT: Final = frozenset({404, 405, 410, 501})
_NEXT: Final = "Members@odata.nextLink"

Get = Callable[[str], Awaitable[Reply]]
"""The reply to a question for a path, in turn with what else is asked. Raises UnansweredError."""


class UnansweredError(Exception):
    """A question came to this instead of a reply."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.message)
        self.answer = answer


class Resources:
    """What a reading asks for. Its methods raise Trouble, and UnansweredError.

    Only this BMC is asked: a link that leads elsewhere ends the reading.

    Args:
        get: asks.
        refuse: says why a reply is a refusal, and of what.
    """

    def __init__(self, server: Server, get: Get, refuse: Callable[[Reply, str], NoReturn]) -> None:
        self._server = server
        self._get = get
        self._refuse = refuse
        self._requests = 0
        self._expands: str | None = None  # what makes a list come with its members; "": nothing does

    async def document(self, path: str, what: str) -> Document:
        """The document at a path, which must be there."""
        return self._read(await self._ask(path), what)

    async def optional(self, path: str | None, what: str) -> Document:
        """The document at a path; empty where there is none."""
        if path is None:
            return {}
        reply = await self._ask(path)
        return {} if reply.status in _ABSENT else self._read(reply, what)

    async def members(self, path: str | None, what: str) -> list[Document]:
        """The members of a list, each with its own path; Trouble for more than MEMBERS_MAX."""
        found: list[Document] = []
        async for page in self.pages(path, what):
            found += page
            if len(found) > MEMBERS_MAX:
                raise nonsense(f"lists more than {MEMBERS_MAX:,} of {what}")
        return found

    async def pages(self, path: str | None, what: str) -> AsyncIterator[list[Document]]:
        """The members of a list, page by page (DSP0266, Members@odata.nextLink)."""
        if path is None:
            return
        been = {path}
        page = await self._first(path, what)
        while True:
            listed = page.get("Members")
            yield [
                await self._whole(entry, what)
                for entry in (listed if isinstance(listed, list) else ())
                if isinstance(entry, Mapping)
            ]
            following = page.get(_NEXT)
            if following is None:
                return
            path = told(system.path_at, _text(following), self._server)
            if path in been:
                raise nonsense(f"lists {what} in a circle: {path} follows itself")
            been.add(path)
            page = await self.document(path, what)

    def link(self, document: Document, *keys: str) -> str | None:
        """The path behind nested keys; None where there is none."""
        return told(system.link_to, document, *keys)

    def links(self, document: Document, *keys: str) -> list[str]:
        """The paths in the list behind nested keys."""
        value: Any = document
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        entries = value if isinstance(value, list) else []
        paths = [self.link({"one": entry}, "one") for entry in entries[:MEMBERS_MAX]]
        return [path for path in paths if path is not None]

    async def root(self) -> Document:
        """The service root, and with it what the service can do."""
        return await self.document("/redfish/v1/", "the service root")

    async def _first(self, path: str, what: str) -> Document:
        """The first page of a list, with its members in it where the service can do that."""
        if self._expands is None:
            self._expands = _expansion(await self.root())
        if self._expands and "?" not in path:
            try:
                reply = await self._ask(path + self._expands)
            except UnansweredError as exc:
                if exc.answer.outcome is not Outcome.FAILED or exc.answer.reach is not Reach.REFUSED:
                    raise  # nothing would be answered; what was refused is the answer as a whole: too long
            else:
                if 200 <= reply.status < 300:
                    return self._read(reply, what)
            self._expands = ""  # it promised what it cannot do
        return await self.optional(path, what)

    async def _whole(self, entry: Document, what: str) -> Document:
        """A member that may be no more than a link to itself; empty where that leads to nothing."""
        path = self.link(entry)
        if path is None or any(not key.startswith("@") for key in entry):
            return entry
        return {"@odata.id": path, **await self.optional(path, what)}

    async def _ask(self, path: str) -> Reply:
        self._requests += 1
        if self._requests > _REQUESTS_MAX:
            raise nonsense(f"leads us through more than {_REQUESTS_MAX:,} documents")
        return await self._get(path)

    def _read(self, reply: Reply, what: str) -> Document:
        if not 200 <= reply.status < 300:
            self._refuse(reply, what)
        try:
            return reply.document()
        except ValueError as exc:
            raise nonsense(f"answered nonsense to {what}: it {exc}") from None


def nonsense(what: str) -> Trouble:
    """It answered, and what it said makes no sense; `what` follows its name."""
    return Trouble(Reach.REFUSED, Outcome.FAILED, f"{what}; reset the BMC or update its firmware")


def told(read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `read` makes of a document; its ValueError ends the reading."""
    try:
        return read(*args, **kwargs)
    except ValueError as exc:
        raise nonsense(str(exc)) from None


def _expansion(root: Document) -> str:
    """The query that brings members along (DSP0266, ExpandQuery); "" where none is offered."""
    features = root.get("ProtocolFeaturesSupported")
    offered = features.get("ExpandQuery") if isinstance(features, Mapping) else None
    if not isinstance(offered, Mapping) or offered.get("NoLinks") is not True:
        return ""
    return "?$expand=.($levels=1)" if offered.get("Levels") is True else "?$expand=."


def _text(value: object) -> str:
    """A link in a page: a path as DSP0266 has it, or wrapped as some have it."""
    if isinstance(value, Mapping):
        value = value.get("@odata.id")
    return value if isinstance(value, str) else ""
