"""Who waits for an operator that limits count: in order, without blocking those whom nothing blocks."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kraken.engine.limit import Draw, Lane, Pool
from kraken.engine.limits import Limits, draws_of
from kraken.model.module import Mutation
from kraken.model.update import Value


@dataclass(slots=True)
class Seat:
    """A node that waits. `arrival` grows with every node that began to wait, whatever it waits for."""

    arrival: int
    lane: Lane
    draws: tuple[Draw, ...]
    attributes: Mapping[str, Value]


class Lanes:
    """The nodes that wait for one mutation, those that count alike in one lane.

    Only the first of a lane is ever asked about: whom it waits for, the rest of its lane waits for, too.
    """

    def __init__(self, mutation: Mutation, limits: Limits) -> None:
        self.limits = limits
        self._of = limits.of(mutation)
        self._lanes: dict[Lane, dict[str, None]] = {}
        self._seats: dict[str, Seat] = {}
        self._blocked: set[Pool] = set()  # as found when last all that wait were found blocked
        self._frees = -1  # the limits' count at that time; -1: somebody may leave
        self._room_at: float | None = None

    def add(self, node: str, attributes: Mapping[str, Value]) -> None:
        """The node waits; one that waits keeps its place, unless it counts elsewhere by now."""
        seat = self._seats.get(node)
        if seat is not None and seat.attributes is attributes:
            return
        lane = tuple(limit.pool(attributes) for limit in self._of)
        if seat is not None and seat.lane == lane:
            seat.attributes, seat.draws = attributes, draws_of(self._of, attributes)
            self._frees = -1
            return
        if seat is not None:
            self.drop(node)
        self.limits.arrivals += 1
        self.limits.moves += 1
        self._seats[node] = Seat(self.limits.arrivals, lane, draws_of(self._of, attributes), attributes)
        others = self._lanes.setdefault(lane, {})
        if not others:
            self._frees = -1
        others[node] = None

    def drop(self, node: str) -> None:
        """The node no longer waits."""
        seat = self._seats.pop(node, None)
        if seat is not None:
            self.limits.moves += 1
            others = self._lanes[seat.lane]
            del others[node]
            if not others:
                del self._lanes[seat.lane]
            self._frees = -1
            if not self._blocked.isdisjoint(seat.lane):
                self.limits.frees += 1  # who waits for another mutation behind it may have its turn now

    def take(self, key: str, most: int, blocked: set[Pool], now: float) -> list[str]:
        """Those who may leave now; they wait no longer, and count from now on.

        Args:
            blocked: pools in which somebody waits who came first; those found on the way are added.
        """
        if self._frees == self.limits.frees and (self._room_at is None or now < self._room_at):
            blocked |= self._blocked
            return []
        taken: list[str] = []
        found: set[Pool] = set()
        times: list[float] = []
        heads = [(self._seats[next(iter(nodes))].arrival, lane) for lane, nodes in self._lanes.items()]
        heapq.heapify(heads)
        while heads and len(taken) < most:
            _, lane = heapq.heappop(heads)
            others = self._lanes[lane]
            node = next(iter(others))
            seat = self._seats[node]
            if not blocked.isdisjoint(lane):
                continue
            refusing = self.limits.refusing(lane, seat.draws, now)
            if refusing:
                found.update(refusing)
                blocked.update(refusing)
                times += self._when(seat, refusing, now)
                continue
            self.limits.enter(node, key, lane, seat.draws, now)
            taken.append(node)
            self.drop(node)
            if others:
                heapq.heappush(heads, (self._seats[next(iter(others))].arrival, lane))
        self._blocked, self._room_at = found, min(times, default=None)
        self._frees = self.limits.frees if not heads and found else -1
        return taken

    def room_at(self) -> float | None:
        """When somebody may leave by time alone, as found when last asked; None: nobody."""
        return self._room_at if self._seats else None

    def seats(self) -> Iterator[tuple[str, Seat]]:
        """Who waits, in no order."""
        yield from self._seats.items()

    def seat(self, node: str) -> Seat | None:
        return self._seats.get(node)

    def _when(self, seat: Seat, refusing: list[Pool], now: float) -> list[float]:
        """When the limits that refuse it do so no longer; empty: that is no matter of time."""
        draws = dict(zip(seat.lane, seat.draws, strict=True))
        times = [self.limits.room_at(pool, draws[pool], now) for pool in refusing]
        known = [time for time in times if time is not None]
        return [max(known)] if len(known) == len(times) else []
