"""No limit is ever exceeded: counted here again, from what leaves and what comes back alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kraken.engine.limit import Group, Limit
from kraken.model.module import Mutation

if TYPE_CHECKING:
    from kraken.testing.simulation.watch import Watch

ROUNDING = 1e-5  # of tokens, of watts: a float of today tells times 2.4e-7 s apart


@dataclass(slots=True)
class Flight:
    """A mutation that counts on one node.

    Attributes:
        open: nobody has seen or heard its end.
        draws_until: when it no longer draws; None until its executor has spoken.
        over_at: when its executor is no longer waited for, of a node that is gone.
    """

    node: str
    key: str
    watts: float
    seconds: float
    open: bool = True
    draws_until: float | None = None
    over_at: float = math.inf


class Pace:
    """What every limit has let go."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._flights: dict[Group, list[Flight]] = {}
        self._starts: dict[Group, list[float]] = {}

    def starts(self, nodes: tuple[str, ...], mutation: Mutation, now: float) -> None:
        """An executor gets it for these nodes."""
        for limit in self._watch.simulation.settings.limits:
            if not limit.concerns(mutation):
                continue
            for name in nodes:
                attributes = self._watch.node(name).attribute_values()
                group, draw = limit.group(attributes), limit.draw(attributes)
                flights = self._flights.setdefault(group, [])
                for silent in [f for f in flights if f.open and now >= f.over_at]:
                    silent.open = False
                    if silent.draws_until is None:
                        silent.draws_until = silent.over_at + silent.seconds
                flights[:] = [f for f in flights if f.open or now < (f.draws_until or 0.0)]
                flight = Flight(name, mutation.key, draw.watts, draw.seconds)
                self._need_room(limit, flights, flight, now)
                flights.append(flight)
                if limit.per_second is not None:
                    self._need_time(limit, self._starts.setdefault(group, []), flight, now)

    def heard(self, node: str, key: str, now: float) -> None:
        """Its executor spoke: from now on the node draws as long as it declares."""
        for flight in self._of(node, key):
            if flight.draws_until is None:
                flight.draws_until = now + flight.seconds

    def ended(self, node: str, key: str, now: float) -> None:
        """The step is over."""
        self.heard(node, key, now)
        for flight in self._of(node, key):
            flight.open = False

    def deleted(self, node: str, out: Mapping[str, float], now: float) -> None:
        """Of a node that is gone counts only what an executor still has (mutation -> until when)."""
        for key, over_at in out.items():
            for flight in self._of(node, key):
                flight.over_at = over_at
        for key in {f.key for flights in self._flights.values() for f in flights if f.node == node}:
            if key not in out:
                self.ended(node, key, now)

    def crashed(self) -> None:
        """What a former life had under way is looked for, and no longer counted here."""
        self._flights.clear()

    def _of(self, node: str, key: str) -> list[Flight]:
        found = [f for flights in self._flights.values() for f in flights if f.node == node and f.key == key]
        return [flight for flight in found if flight.open]

    def _need_room(self, limit: Limit, flights: list[Flight], flight: Flight, now: float) -> None:
        under_way = sum(f.open for f in flights)
        if limit.in_flight is not None and under_way >= limit.in_flight:
            self._broken(limit, flight, f"{under_way} are under way, and {limit.in_flight} may be")
        drawn = [f.watts for f in flights if f.watts and (f.draws_until is None or now < f.draws_until)]
        if limit.watts is not None and flight.watts and drawn:
            total = sum(drawn) + flight.watts
            if total > limit.watts + ROUNDING:
                self._broken(limit, flight, f"then {total:g} W are drawn, and {limit.watts:g} W may be")

    def _need_time(self, limit: Limit, starts: list[float], flight: Flight, now: float) -> None:
        assert limit.per_second is not None
        starts.append(now)
        for count, at in enumerate(reversed(starts), 1):
            may = limit.burst + limit.per_second * (now - at)
            if count > may + ROUNDING:
                self._broken(limit, flight, f"{count} within {now - at:.3f} s, and {may:.3f} may")

    def _broken(self, limit: Limit, flight: Flight, why: str) -> None:
        self._watch.broken(flight.node, f"{flight.key} exceeds the limit {limit.name}: {why}")
