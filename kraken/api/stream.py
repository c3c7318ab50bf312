"""The stream of events, as server-sent events, and the numbers of `kraken.api.metrics`."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Parameter
from litestar.response import Stream

from kraken.api.problems import fails
from kraken.daemon.events import IDLE, KINDS, Event, EventLog
from kraken.daemon.operations import Operations
from kraken.errors import DocumentError
from kraken.executors.aside import in_thread
from kraken.model.document import nearest

EVENT_STREAM = "text/event-stream"


@get(
    "/v1/events",
    summary="What happens, as it happens",
    responses={
        200: ResponseSpec(
            str, generate_examples=False, description="Server-sent events.", media_type=EVENT_STREAM
        ),
        **fails(404, 422),
    },
)
async def events(
    request: Request[Any, Any, Any],
    operations: NamedDependency[Operations],
    nodeset: Annotated[str | None, Parameter(description="only events of these nodes")] = None,
    kinds: Annotated[str | None, Parameter(description="only these kinds, with commas between")] = None,
) -> Stream:
    """What happens, as it happens; `Last-Event-ID` resumes."""
    names = None if nodeset is None else frozenset(operations.select(nodeset))
    wanted = None if kinds is None else _kinds(kinds)

    def fits(event: Event) -> bool:
        if wanted is not None and event.kind not in wanted:
            return False
        return names is None or not event.nodes or not names.isdisjoint(event.nodes)

    return Stream(
        _lines(operations.daemon.events, request.headers.get("last-event-id"), fits),
        media_type=EVENT_STREAM,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@get(
    "/metrics",
    summary="Numbers for Prometheus",
    responses={
        200: ResponseSpec(
            str, generate_examples=False, description="Prometheus text.", media_type="text/plain"
        )
    },
)
async def metrics(operations: NamedDependency[Operations]) -> Response[bytes]:
    """Prometheus text."""
    await in_thread(lambda: importlib.import_module("kraken.api.metrics"))  # an agent may never be asked
    from kraken.api.metrics import MEDIA_TYPE, prometheus_text

    return Response(prometheus_text(operations.daemon), media_type=MEDIA_TYPE)


async def _lines(log: EventLog, cursor: str | None, fits: Callable[[Event], bool]) -> AsyncIterator[bytes]:
    begin = log.newest if cursor is None else ""
    # An id without data moves no reader but its cursor: who is cut off goes on from there.
    yield f": kraken\nid: {begin}\n\n".encode() if begin else b": kraken\n\n"
    async with contextlib.aclosing(log.follow(cursor or begin, fits)) as followed:
        async for event in followed:
            if event.kind == IDLE:
                yield f": still here\nid: {log.cursor(event.sequence)}\n\n".encode()
                continue
            head = f"id: {log.cursor(event.sequence)}\nevent: {event.kind}\ndata: ".encode()
            yield head + msgspec.json.encode(dict(event.data)) + b"\n\n"


def _kinds(text: str) -> frozenset[str]:
    named = frozenset(name.strip() for name in text.split(","))
    for name in sorted(named - frozenset(KINDS)):
        raise DocumentError(f"there is no kind of events {name!r}", key="kinds", hint=nearest(name, KINDS))
    return named
