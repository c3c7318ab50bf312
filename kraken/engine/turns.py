"""Whose turn it is: for each node that a limit holds, its place in the queue, and when it may start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kraken.engine.lanes import Lanes, Seat
from kraken.engine.limit import Limit, Pool
from kraken.engine.limits import Count, Limits, waits_s


@dataclass(frozen=True, slots=True)
class Turn:
    """Of one node, in the limit that will hold it longest.

    Attributes:
        limit: its name; pool: whom it is about there, `rack=r07`; "" when all.
        position: in that limit's queue, from 1; waiting: nodes in that queue.
        use: what of the limit is in use now, in words.
        start_at: about when its mutation will start; seconds since the epoch.
    """

    limit: str
    pool: str
    position: int
    waiting: int
    use: str
    start_at: float


@dataclass(frozen=True, slots=True)
class Use:
    """How much of a limit is in use, all its pools together.

    Attributes:
        in_flight: nodes that have a place now; watts: what they are counted to draw.
        waiting: nodes that wait for what it counts.
    """

    limit: Limit
    in_flight: int
    watts: float
    waiting: int


class Turns:
    """Answers for those who ask; the order is worked out once for all, until somebody moves."""

    def __init__(self, limits: Limits, lanes: Mapping[str, Lanes]) -> None:
        self._limits = limits
        self._lanes = lanes
        self._moves = -1
        self._before: dict[
            tuple[str, str], list[tuple[int, float]]
        ] = {}  # per pool of its lane: how many, watts with its own
        self._waiting: dict[Pool, int] = {}

    def turn(self, key: str, node: str, cost_s: float, now: float) -> Turn | None:
        """The node's turn at this mutation; None when no limit makes it wait."""
        lanes = self._lanes.get(key)
        seat = lanes.seat(node) if lanes is not None else None
        if seat is None:
            return None
        self._order()
        turns: list[Turn] = []
        for (before, watts), pool in zip(self._before[key, node], seat.lane, strict=True):
            limit, count = self._limits.limit(pool), self._limits.count(pool, now)
            waits = waits_s(limit, count, before, watts, cost_s, now)
            if waits > 0.0:
                waiting = self._waiting[pool]
                use = _use(limit, count)
                turns.append(Turn(limit.name, limit.shared(pool), before + 1, waiting, use, now + waits))
        return max(turns, key=lambda turn: turn.start_at, default=None)

    def uses(self, now: float) -> list[Use]:
        """Of every limit, in the order of the configuration."""
        self._order()
        in_flight: dict[str, int] = {}
        watts: dict[str, float] = {}
        waiting: dict[str, int] = {}
        for pool in self._limits.pools():
            count = self._limits.count(pool, now)
            in_flight[pool[0]] = in_flight.get(pool[0], 0) + count.in_flight
            watts[pool[0]] = watts.get(pool[0], 0.0) + count.watts
        for pool, nodes in self._waiting.items():
            waiting[pool[0]] = waiting.get(pool[0], 0) + nodes
        return [
            Use(one, in_flight.get(one.name, 0), watts.get(one.name, 0.0), waiting.get(one.name, 0))
            for one in self._limits.limits
        ]

    def _order(self) -> None:
        if self._moves == self._limits.moves:
            return
        self._moves = self._limits.moves
        seats: list[tuple[Seat, str, str]] = []
        for key, lanes in self._lanes.items():
            seats += [(seat, key, node) for node, seat in lanes.seats()]
        seats.sort(key=lambda one: one[0].arrival)
        self._before.clear()
        self._waiting.clear()
        drawn: dict[Pool, float] = {}
        for seat, key, node in seats:
            places = self._before[key, node] = []
            for pool, draw in zip(seat.lane, seat.draws, strict=True):
                before = self._waiting.get(pool, 0)
                drawn[pool] = drawn.get(pool, 0.0) + draw.watts
                places.append((before, drawn[pool]))
                self._waiting[pool] = before + 1


def _use(limit: Limit, count: Count) -> str:
    words = []
    if limit.in_flight is not None:
        words.append(f"{count.in_flight} of {limit.in_flight} under way")
    if limit.watts is not None:
        words.append(f"{count.watts:,.0f} of {limit.watts:,.0f} W drawn")
    if limit.per_second is not None:
        words.append(f"{limit.per_second:g} per second")
    return ", ".join(words)
