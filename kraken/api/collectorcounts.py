"""The neighbours of a daemon, in numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypedDict

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from kraken.daemon.daemon import Daemon
from kraken.daemon.members import members
from kraken.daemon.membership import refusals
from kraken.daemon.neighbours import Neighbours


class CollectorCounts(TypedDict):
    """`parent_state`: how it stands with its wire. `refused`: reason -> how often since the daemon started.

    `below`: collectors at any depth that joined and may speak; `connected`: those heard by the one they hang
    below; `away`: the others.
    """

    parent: str | None
    parent_state: str | None
    parent_reason: str | None
    below: int
    connected: int
    away: list[str]
    refused: dict[str, int]


def collector_counts(daemon: Daemon) -> CollectorCounts:
    """Nobody, of a daemon without a wire."""
    neighbours = daemon.neighbours
    if neighbours is None:
        return {
            "parent": None,
            "parent_state": None,
            "parent_reason": None,
            "below": 0,
            "connected": 0,
            "away": [],
            "refused": {},
        }
    names, state = neighbours.names(), neighbours.parent_state
    away = [name for name in names if not is_heard(daemon, neighbours, name)]
    if daemon.seat is not None:
        deeper = [m for m in members(daemon.seat.tree, daemon.clock()) if m.parent != neighbours.me]
        away += [member.name for member in deeper if not member.is_up]
        names = [*names, *(member.name for member in deeper)]
    return {
        "parent": neighbours.parent,
        "parent_state": None if state is None else state.name,
        "parent_reason": None if state is None else state.value,
        "below": len(names),
        "connected": len(names) - len(away),
        "away": away,
        "refused": refusals(daemon),
    }


def is_heard(daemon: Daemon, neighbours: Neighbours, name: str) -> bool:
    """Whether a neighbour is heard now: its wire stands, and within its dead time it said something."""
    if not neighbours.is_connected(name):
        return False
    link = None if daemon.seat is None else daemon.seat.tree.links.get(name)
    return link is None or link.is_up


def collector_metrics(
    neighbours: Neighbours | None,
) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
    """Nothing where there is no wire."""
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
