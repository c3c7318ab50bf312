"""The stream of events, as server-sent events, and the metrics."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Parameter
from litestar.response import Stream
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector as MetricSource

from kraken.api.collectorcounts import collector_metrics
from kraken.api.problems import fails
from kraken.daemon.daemon import Daemon
from kraken.daemon.events import KINDS, Event, EventLog
from kraken.daemon.operations import Operations
from kraken.engine.cause import Cause
from kraken.engine.turns import Use
from kraken.errors import DocumentError
from kraken.executors import HearsEvents
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
    operations: Operations,
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
    sync_to_thread=False,
    summary="Numbers for Prometheus",
    responses={
        200: ResponseSpec(
            str, generate_examples=False, description="Prometheus text.", media_type="text/plain"
        )
    },
)
def metrics(operations: Operations) -> Response[bytes]:
    """Prometheus text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_State(operations.daemon))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


async def _lines(log: EventLog, cursor: str | None, fits: Callable[[Event], bool]) -> AsyncIterator[bytes]:
    yield b": kraken\n\n"
    async with contextlib.aclosing(log.follow(cursor, fits)) as followed:
        async for event in followed:
            if event is None:
                yield b": still here\n\n"
                continue
            head = f"id: {log.cursor(event.sequence)}\nevent: {event.kind}\ndata: ".encode()
            yield head + msgspec.json.encode(dict(event.data)) + b"\n\n"


def _kinds(text: str) -> frozenset[str]:
    named = frozenset(name.strip() for name in text.split(","))
    for name in sorted(named - frozenset(KINDS)):
        raise DocumentError(f"there is no kind of events {name!r}", key="kinds", hint=nearest(name, KINDS))
    return named


class _State(MetricSource):
    """Numbers read when they are asked for."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def collect(self) -> Any:
        collector = self._daemon.collector
        counts = dict.fromkeys(Cause, 0)
        for name in collector.table:
            counts[collector.cause(name)] += 1
        nodes = GaugeMetricFamily("kraken_nodes", "Declared nodes by cause.", labels=["cause"])
        for cause, count in counts.items():
            nodes.add_metric([cause.value], count)
        yield nodes
        runs = len(collector.engine.batches.active)
        yield GaugeMetricFamily("kraken_runs_active", "Runs under way.", value=runs)
        yield from _limits(collector.engine.batches.turns.uses(self._daemon.clock()))
        hands = self._daemon.executors.values()
        streams = sum(hand.streams for hand in hands if isinstance(hand, HearsEvents))
        yield GaugeMetricFamily("kraken_event_streams", "BMCs whose events are heard.", value=streams)
        cache = collector.planner.stats()
        yield GaugeMetricFamily("kraken_planner_cache_entries", "Paths remembered.", value=cache.entries)
        refused = len(self._daemon.problems)
        yield GaugeMetricFamily("kraken_modules_refused", "Kraken modules refused.", value=refused)
        uptime = self._daemon.clock() - self._daemon.started_at
        yield GaugeMetricFamily("kraken_uptime_seconds", "Since the daemon started.", value=uptime)
        yield from collector_metrics(self._daemon.neighbours)


def _limits(uses: Iterable[Use]) -> list[GaugeMetricFamily]:
    under_way = GaugeMetricFamily("kraken_limit_in_flight", "Nodes a limit counts now.", labels=["limit"])
    waiting = GaugeMetricFamily("kraken_limit_waiting", "Nodes that wait for a limit.", labels=["limit"])
    watts = GaugeMetricFamily("kraken_limit_watts", "Watts counted as drawn now.", labels=["limit"])
    for use in uses:
        under_way.add_metric([use.limit.name], use.in_flight)
        waiting.add_metric([use.limit.name], use.waiting)
        watts.add_metric([use.limit.name], use.watts)
    return [under_way, waiting, watts]
