"""What the daemon counts, for Prometheus. Loaded with the first question: its library takes 3 MB (ADR 49)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector as MetricSource

from kraken.daemon.daemon import Daemon
from kraken.daemon.neighbours import Neighbours
from kraken.engine.cause import Cause
from kraken.engine.turns import Use
from kraken.executors import HearsEvents

MEDIA_TYPE: Final = CONTENT_TYPE_LATEST


def prometheus_text(daemon: Daemon) -> bytes:
    """All numbers, as they are now, in Prometheus' format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_State(daemon))
    return generate_latest(registry)


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
        yield from _collectors(self._daemon.neighbours)


def _limits(uses: Iterable[Use]) -> list[GaugeMetricFamily]:
    under_way = GaugeMetricFamily("kraken_limit_in_flight", "Nodes a limit counts now.", labels=["limit"])
    waiting = GaugeMetricFamily("kraken_limit_waiting", "Nodes that wait for a limit.", labels=["limit"])
    watts = GaugeMetricFamily("kraken_limit_watts", "Watts counted as drawn now.", labels=["limit"])
    for use in uses:
        under_way.add_metric([use.limit.name], use.in_flight)
        waiting.add_metric([use.limit.name], use.waiting)
        watts.add_metric([use.limit.name], use.watts)
    return [under_way, waiting, watts]


def _collectors(
    neighbours: Neighbours | None,
) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
    if neighbours is None:
        return
    connected = GaugeMetricFamily(
        "kraken_collector_connected",
        "Whether a neighbour in the tree has a connection.",
        labels=["collector"],
    )
    letters, sizes = (
        CounterMetricFamily(
            f"kraken_collector_{what}", f"{told} with a neighbour.", labels=["collector", "way"]
        )
        for what, told in (("letters", "Letters"), ("letter_bytes", "Bytes of letters"))
    )
    dropped = CounterMetricFamily(
        "kraken_collector_letters_dropped", "Letters that could not be sent.", labels=["collector"]
    )
    above = [] if neighbours.parent is None else [neighbours.parent]
    for name in [*above, *neighbours.names()]:
        connected.add_metric([name], neighbours.is_connected(name))
    for name, counted in neighbours.traffic().items():
        letters.add_metric([name, "in"], counted.letters_in)
        letters.add_metric([name, "out"], counted.letters_out)
        sizes.add_metric([name, "in"], counted.bytes_in)
        sizes.add_metric([name, "out"], counted.bytes_out)
        dropped.add_metric([name], counted.dropped)
    refused = CounterMetricFamily(
        "kraken_collectors_refused", "Who was not let in, or not heard, by reason.", labels=["reason"]
    )
    for reason, count in neighbours.refusals().items():
        refused.add_metric([reason], count)
    yield from (connected, letters, sizes, dropped, refused)
