"""No limit is ever exceeded: counted here again, from what leaves and what comes back alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kraken.engine.limit import Limit, Pool
from kraken.model.module import Mutation
from kraken.model.node import Node, NodeTable
from kraken.model.run import Run

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
        committed: its start is durable; an executor gets nothing before.
        former: a life of the daemon that has ended let it go.
    """

    node: str
    mutation: Mutation
    run_id: str
    started_at: float
    watts: float
    seconds: float
    committed: bool = False
    former: bool = False
    open: bool = True
    draws_until: float | None = None
    over_at: float = math.inf


class Pace:
    """What every limit has let go."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._flights: dict[Pool, list[Flight]] = {}
        self._starts: dict[Pool, list[float]] = {}

    def starts(self, run: Run, now: float) -> None:
        """An executor gets it for these nodes, once that is durable."""
        mutation = run.operator
        if not isinstance(mutation, Mutation):
            return
        for limit in self._watch.simulation.settings.limits:
            if not limit.concerns(mutation):
                continue
            for name in run.nodes:
                attributes = self._watch.node(name).attribute_values()
                pool, draw = limit.pool(attributes), limit.draw(attributes)
                flights = self._flights.setdefault(pool, [])
                for silent in [f for f in flights if f.open and now >= f.over_at]:
                    _close(silent, silent.over_at)
                flights[:] = [f for f in flights if f.open or now < (f.draws_until or 0.0)]
                flight = Flight(name, mutation, run.id, now, draw.watts, draw.seconds)
                self._need_room(limit, flights, flight, now)
                flights.append(flight)
                if limit.per_second is not None:
                    self._need_time(limit, self._starts.setdefault(pool, []), flight, now)

    def committed(self, run: Run) -> None:
        """The start of a run is durable."""
        for flight in self._all():
            if flight.run_id == run.id:
                flight.committed = True

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
        for key in {flight.mutation.key for flight in self._all() if flight.node == node}:
            if key not in out:
                self.ended(node, key, now)

    def crashed(self, now: float) -> None:
        """No executor of that life speaks any more; what it was given may have been done just now."""
        for flights in self._flights.values():
            flights[:] = [flight for flight in flights if flight.committed]
        for flight in self._all():
            if flight.draws_until is None:
                flight.draws_until = now + flight.seconds
            flight.former = True

    def restored(self, table: NodeTable, now: float) -> None:
        """A new life has read what is known. It keeps the places of what nobody has seen the effect of."""
        for pool, flights in self._flights.items():
            limit = next(li for li in self._watch.simulation.settings.limits if li.name == pool[0])
            for flight in flights:
                node = table.get(flight.node)
                if node is None or not math.isinf(flight.over_at):
                    flight.open = False  # what was begun on a node that is gone is nobody's any more
                elif limit.pool(node.attribute_values()) != pool:
                    flight.open = False  # it counts in its new rack
                elif any(_seen_since(node, c.variable, flight.started_at) for c in flight.mutation.changes):
                    flight.open = False
                else:
                    flight.over_at = flight.started_at + flight.mutation.timeout_s

    def looked(self, node: str, variables: Iterable[str], now: float) -> None:
        """Somebody looked at these in this life: what a former one did to any of them is settled."""
        seen = set(variables)
        for flight in self._all():
            own = {change.variable for change in flight.mutation.changes}
            if flight.node == node and flight.former and flight.open and own & seen:
                _close(flight, now)

    def _all(self) -> list[Flight]:
        return [flight for flights in self._flights.values() for flight in flights]

    def _of(self, node: str, key: str) -> list[Flight]:
        """Those of this life that are under way."""
        return [
            f for f in self._all() if f.node == node and f.mutation.key == key and f.open and not f.former
        ]

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
        self._watch.broken(flight.node, f"{flight.mutation.key} exceeds the limit {limit.name}: {why}")


def _close(flight: Flight, now: float) -> None:
    flight.open = False
    if flight.draws_until is None:
        flight.draws_until = now + flight.seconds


def _seen_since(node: Node, variable: str, at: float) -> bool:
    record = node.dsc.get(variable)
    return record is not None and record.seen_at > at
