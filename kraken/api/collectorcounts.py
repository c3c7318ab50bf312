"""The neighbours of a daemon, in numbers."""

from __future__ import annotations

from typing import TypedDict

from kraken.daemon.neighbours import Neighbours


class CollectorCounts(TypedDict):
    """`parent_state`: how it stands with its wire. `children`: who joined and may speak.

    `refused`: reason -> how often somebody was not let in, or not heard, since the daemon started.
    """

    parent: str | None
    parent_state: str | None
    parent_reason: str | None
    children: int
    connected: int
    refused: dict[str, int]


def collector_counts(neighbours: Neighbours | None) -> CollectorCounts:
    """None: a daemon without a wire, so without any."""
    if neighbours is None:
        return {
            "parent": None,
            "parent_state": None,
            "parent_reason": None,
            "children": 0,
            "connected": 0,
            "refused": {},
        }
    names, state = neighbours.names(), neighbours.parent_state
    return {
        "parent": neighbours.parent,
        "parent_state": None if state is None else state.name,
        "parent_reason": None if state is None else state.value,
        "children": len(names),
        "connected": sum(map(neighbours.is_connected, names)),
        "refused": dict(neighbours.refusals()),
    }
