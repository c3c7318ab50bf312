"""The stream of events, as server-sent events, and the metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.response import Stream
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector as MetricSource

from kraken.daemon.daemon import Daemon
from kraken.daemon.operations import Operations
from kraken.engine.cause import Cause


@get("/v1/events")
async def events(
    request: Request[Any, Any, Any],
    operations: Operations,
    nodeset: str | None = None,
    kinds: str | None = None,
) -> Stream:
    """What happens, as it happens; `Last-Event-ID` resumes."""
    names = None if nodeset is None else frozenset(operations.select(nodeset))
    wanted = frozenset(kinds.split(",")) | {"lost"} if kinds else frozenset()
    cursor = request.headers.get("last-event-id")
    return Stream(
        _lines(operations.daemon, cursor, names, wanted),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@get("/metrics", sync_to_thread=False)
def metrics(operations: Operations) -> Response[bytes]:
    """Prometheus text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_State(operations.daemon))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


async def _lines(
    daemon: Daemon, cursor: str | None, names: frozenset[str] | None, kinds: frozenset[str]
) -> AsyncIterator[bytes]:
    yield b": kraken\n\n"
    async for event in daemon.events.follow(cursor, kinds=kinds):
        if event is None:
            yield b": still here\n\n"
            continue
        node = event.data.get("node")
        if names is not None and node is not None and node not in names:
            continue
        data = msgspec.json.encode(dict(event.data)).decode()
        head = f"id: {daemon.events.cursor(event.sequence)}\nevent: {event.kind}\n"
        yield f"{head}data: {data}\n\n".encode()


class _State(MetricSource):
    """Numbers read when they are asked for."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def collect(self) -> Any:
        collector = self._daemon.collector
        counts = dict.fromkeys(Cause, 0)
        for name in collector.table:
            counts[collector.engine.cause(name)] += 1
        nodes = GaugeMetricFamily("kraken_nodes", "Declared nodes by cause.", labels=["cause"])
        for cause, count in counts.items():
            nodes.add_metric([cause.value], count)
        yield nodes
        runs = len(collector.engine.batches.active)
        yield GaugeMetricFamily("kraken_runs_active", "Runs under way.", value=runs)
        cache = collector.planner.stats()
        yield GaugeMetricFamily("kraken_planner_cache_entries", "Paths remembered.", value=cache.entries)
        refused = len(self._daemon.problems)
        yield GaugeMetricFamily("kraken_modules_refused", "Kraken modules refused.", value=refused)
        uptime = self._daemon.clock() - self._daemon.started_at
        yield GaugeMetricFamily("kraken_uptime_seconds", "Since the daemon started.", value=uptime)
