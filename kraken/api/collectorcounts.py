"""The neighbours of a daemon, in numbers."""

from __future__ import annotations

from typing import TypedDict

from kraken.daemon.condition import said
from kraken.daemon.daemon import Daemon
from kraken.daemon.members import members
from kraken.daemon.membership import refusals
from kraken.daemon.neighbours import Neighbours
from kraken.daemon.othermodules import compared


class Unwell(TypedDict):
    """A collector below that is not well, of what by its own words, and since when it says so."""

    name: str
    reason: str
    since: float


class CollectorCounts(TypedDict):
    """`parent_state`: how it stands with its wire. `refused`: reason -> how often since the daemon started.

    `below`: collectors at any depth that joined and may speak; `connected`: those heard by the one they hang
    below; `away`: the others. `twins`: those, this one among them, under whose name two daemons speak.
    `other_modules`: those that run nodes with other Kraken modules than this one has.
    `degraded`: those that are heard, and say that they are not well.
    """

    parent: str | None
    parent_state: str | None
    parent_reason: str | None
    below: int
    connected: int
    away: list[str]
    twins: list[str]
    other_modules: list[str]
    degraded: list[Unwell]
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
            "twins": [],
            "other_modules": [],
            "degraded": [],
            "refused": {},
        }
    names, state = neighbours.names(), neighbours.parent_state
    away = [name for name in names if not is_heard(daemon, neighbours, name)]
    others: list[str] = []
    degraded: list[Unwell] = []
    twins = [neighbours.me] if daemon.collector.may_be_two else []
    if daemon.seat is not None:
        below = list(members(daemon.seat.tree, daemon.clock()))
        deeper = [member for member in below if member.parent != neighbours.me]
        twins += [member.name for member in below if member.twins]
        away += [member.name for member in deeper if not member.is_up]
        names = [*names, *(member.name for member in deeper)]
        for name in names:
            is_alike, since = compared(daemon.collector, name)
            if since is not None and not is_alike:
                others.append(name)
        silent = set(away)
        for name in names:
            how = said(daemon.collector, name)
            if how is not None and name not in silent:
                degraded.append({"name": name, "reason": str(how.value), "since": how.since})
    return {
        "parent": neighbours.parent,
        "parent_state": None if state is None else state.name,
        "parent_reason": None if state is None else state.value,
        "below": len(names),
        "connected": len(names) - len(away),
        "away": away,
        "twins": twins,
        "other_modules": others,
        "degraded": degraded,
        "refused": refusals(daemon),
    }


def is_heard(daemon: Daemon, neighbours: Neighbours, name: str) -> bool:
    """Whether a neighbour is heard now: its wire stands, and within its dead time it said something."""
    if not neighbours.is_connected(name):
        return False
    link = None if daemon.seat is None else daemon.seat.tree.links.get(name)
    return link is None or link.is_up
