"""What is counted against each limit now, and whether one more fits.

A place is taken when a mutation leaves and given back when its effect was seen or it failed. What a
node draws while it is switched on is counted from its leaving until the declared time after the
command was acknowledged, since until then nobody knows when it began. What a former life of the daemon
had under way keeps its place until it was looked for, or would have timed out.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush

from kraken.engine.limit import NO_DRAW, Draw, Lane, Limit, Pool
from kraken.model.module import Mutation
from kraken.model.update import Value

_ROUNDING = 1e-6
"""Of watts, and of seconds since the epoch: floats of today tell times 2.4e-7 s apart."""


@dataclass(slots=True)
class Count:
    """What one pool of a limit has in use.

    Attributes:
        spent: tokens taken beyond what `per_second` gave back since, counted at `spent_at`.
        drawing: nodes whose draw is in `watts`.
        former: those of `in_flight` that a former life of the daemon let go.
        draws_end: when which draws end by the clock; places_end: when places of a former life do. Heaps.
    """

    in_flight: int = 0
    former: int = 0
    spent: float = 0.0
    spent_at: float = 0.0
    watts: float = 0.0
    drawing: int = 0
    draws_end: list[tuple[float, float]] = field(default_factory=list)
    places_end: list[tuple[float, int, _Former]] = field(default_factory=list)


@dataclass(slots=True)
class _Former:
    """A place that a former life gave. `unseen`: what nobody has looked for since; none: nobody can."""

    lane: Lane
    unseen: frozenset[str]
    ends_at: float
    open: bool = True


@dataclass(frozen=True, slots=True)
class _Place:
    """What one node's mutation takes, until it is over. `draws`: as `Lane`; None once it is timed."""

    lane: Lane
    draws: tuple[Draw, ...] | None


class Limits:
    """Counts for a set of limits. `now` never goes back."""

    def __init__(self, limits: Iterable[Limit] = ()) -> None:
        self.limits = tuple(limits)
        self.frees = 0  # grows whenever something was given back, or it became known when it will be
        self.arrivals = 0  # nodes that began to wait so far, whatever they wait for
        self.moves = 0  # of nodes that began to wait, or ceased to
        self._named = {limit.name: limit for limit in self.limits}
        self._counts: dict[Pool, Count] = {}
        self._places: dict[str, dict[str, _Place]] = {}  # node -> mutation key -> place
        self._former: dict[str, list[_Former]] = {}  # node -> of a former life
        self._resumed = 0
        self._began_at: float | None = None

    def begin(self, now: float) -> None:
        """Time counts from now on: buckets fill, though nothing is asked of them yet."""
        if self._began_at is None:
            self._began_at = now

    def of(self, mutation: Mutation) -> tuple[Limit, ...]:
        """The limits that count this mutation, its own (`serial`) last."""
        found = tuple(limit for limit in self.limits if limit.concerns(mutation))
        if mutation.serial is None:
            return found
        own = Limit(f"{mutation.key} (serial)", (mutation.key,), in_flight=mutation.serial)
        self._named[own.name] = own
        return (*found, own)

    def limit(self, pool: Pool) -> Limit:
        return self._named[pool[0]]

    def count(self, pool: Pool, now: float) -> Count:
        """What the pool has in use now."""
        count = self._counts.get(pool)
        if count is None:
            # What a former life of the daemon let go is not known: it may have been a whole burst.
            began_at = now if self._began_at is None else self._began_at
            count = self._counts[pool] = Count(spent=self.limit(pool).burst, spent_at=began_at)
        while count.draws_end and count.draws_end[0][0] <= now:
            _, watts = heappop(count.draws_end)
            count.drawing -= 1
            count.watts = count.watts - watts if count.drawing else 0.0
            self.frees += 1
        while count.places_end and (count.places_end[0][0] <= now or not count.places_end[0][2].open):
            _, _, former = heappop(count.places_end)
            if former.open:
                count.in_flight -= 1
                count.former -= 1
                self.frees += 1
        rate = self.limit(pool).per_second
        if rate is not None and now > count.spent_at:
            count.spent = max(0.0, count.spent - (now - count.spent_at) * rate)
            count.spent_at = now
        return count

    def refusing(self, lane: Lane, draws: tuple[Draw, ...], now: float) -> list[Pool]:
        """The pools in which there is no room for one more such node now."""
        return [g for g, draw in zip(lane, draws, strict=True) if not self._fits(g, draw, now)]

    def room_at(self, pool: Pool, draw: Draw, now: float) -> float | None:
        """When there is room by time alone; None: something must end first."""
        limit, count = self.limit(pool), self.count(pool, now)
        if limit.in_flight is not None and count.in_flight >= limit.in_flight:
            return count.places_end[0][0] if count.places_end else None
        at = now
        if limit.per_second is not None:
            at += max(0.0, count.spent + 1.0 - limit.burst) / limit.per_second
        if not _may_draw(limit, count, draw):
            return max(at, count.draws_end[0][0]) if count.draws_end else None
        return at

    def enter(self, node: str, key: str, lane: Lane, draws: tuple[Draw, ...], now: float) -> None:
        """The node's mutation leaves."""
        self._count_in(lane, draws, now)
        self._places.setdefault(node, {})[key] = _Place(lane, draws)

    def acknowledged(self, node: str, key: str, now: float) -> None:
        """The command was taken: from now on the node draws what it declares, for as long."""
        places = self._places.get(node, {})
        place = places.get(key)
        if place is not None and place.draws is not None:
            self._time(place, now)
            places[key] = _Place(place.lane, None)

    def ended(self, node: str, key: str, now: float) -> None:
        """Its effect was seen, or it failed. What has no place is none of ours."""
        places = self._places.get(node, {})
        place = places.pop(key, None)
        if place is None:
            return
        if not places:
            del self._places[node]
        self._time(place, now)
        for pool in place.lane:
            self._counts[pool].in_flight -= 1
        self.frees += 1

    def resume(
        self,
        node: str,
        mutation: Mutation,
        attributes: Mapping[str, Value],
        unseen: Collection[str],
        now: float,
    ) -> None:
        """A former life of the daemon let this go, and nobody has seen the effect since.

        It has a place until it was looked for (`settled`), at most until it would have timed out if it
        left now, and draws as if it was acknowledged now. Its token was taken then: buckets begin empty,
        which is all that a former life can have spent.

        Args:
            unseen: variables that somebody can look at and nobody has since.
        """
        own = frozenset(change.variable for change in mutation.changes)
        lane = tuple(limit.pool(attributes) for limit in self.of(mutation))
        if lane:
            former = _Former(lane, own & frozenset(unseen), now + mutation.timeout_s)
            self._former.setdefault(node, []).append(former)
            for pool in lane:
                count = self.count(pool, now)
                count.in_flight += 1
                count.former += 1
                self._resumed += 1  # so that no two of the heap are equal
                heappush(count.places_end, (former.ends_at, self._resumed, former))
            self.remember_draw(mutation, attributes, now, now)

    def settled(self, node: str, unseen: Collection[str], now: float) -> None:
        """What a former life let go on the node keeps its place only for what is unseen still."""
        if node not in self._former:
            return
        kept: list[_Former] = []
        for former in self._former.pop(node):
            if former.ends_at > now and (not former.unseen or not former.unseen.isdisjoint(unseen)):
                kept.append(former)
            elif former.ends_at > now:
                former.open = False
                self.frees += 1
                for pool in former.lane:
                    self._counts[pool].in_flight -= 1
                    self._counts[pool].former -= 1
        if kept:
            self._former[node] = kept

    def remember_draw(
        self, mutation: Mutation, attributes: Mapping[str, Value], ended_at: float, now: float
    ) -> None:
        """A former life of the daemon saw this end: a node still draws what it declares, for as long."""
        for limit in self.of(mutation):
            draw = limit.draw(attributes) if limit.watts is not None else NO_DRAW
            if draw.watts > 0.0 and ended_at + draw.seconds > now:
                count = self.count(limit.pool(attributes), now)
                count.watts += draw.watts
                count.drawing += 1
                heappush(count.draws_end, (ended_at + draw.seconds, draw.watts))

    def forget(self, node: str, out: Iterable[str], now: float) -> None:
        """The node is gone: it keeps only the places of mutations (by key) an executor still has."""
        kept = set(out)
        for key in list(self._places.get(node, {})):
            if key not in kept:
                self.ended(node, key, now)

    def pools(self) -> list[Pool]:
        """Every pool that anything was ever counted in."""
        return list(self._counts)

    def _count_in(self, lane: Lane, draws: tuple[Draw, ...], now: float) -> None:
        for pool, draw in zip(lane, draws, strict=True):
            count = self.count(pool, now)
            count.in_flight += 1
            if self.limit(pool).per_second is not None:
                count.spent += 1.0
            if draw.watts > 0.0:
                count.watts += draw.watts
                count.drawing += 1

    def _fits(self, pool: Pool, draw: Draw, now: float) -> bool:
        limit, count = self.limit(pool), self.count(pool, now)
        if limit.in_flight is not None and count.in_flight >= limit.in_flight:
            return False
        if limit.per_second is not None and count.spent + 1.0 > limit.burst + _ROUNDING * max(
            1.0, limit.per_second
        ):
            return False
        return _may_draw(limit, count, draw)

    def _time(self, place: _Place, now: float) -> None:
        """From now on what it draws ends by the clock."""
        for pool, draw in zip(place.lane, place.draws or (), strict=False):
            if draw.watts > 0.0:
                heappush(self._counts[pool].draws_end, (now + draw.seconds, draw.watts))
                self.frees += 1


def draws_of(limits: tuple[Limit, ...], attributes: Mapping[str, Value]) -> tuple[Draw, ...]:
    """What the node draws, as each limit counts it."""
    return tuple(limit.draw(attributes) if limit.watts is not None else NO_DRAW for limit in limits)


def waits_s(limit: Limit, count: Count, before: int, watts: float, cost_s: float, now: float) -> float:
    """About how long a node waits that has so many nodes before it in the pool.

    Places come free after the cost of a mutation, those of a former life when it would have timed out;
    watts by windows of `seconds`, of which the first ends with the first draw that ends by the clock.

    Args:
        watts: what those and the node itself will draw.
        cost_s: how long one such mutation is expected to be under way.
    """
    waits = 0.0
    if limit.per_second is not None:
        waits = max(waits, (count.spent + before + 1.0 - limit.burst) / limit.per_second)
    if limit.in_flight is not None:
        turns = math.floor((count.in_flight + before) / limit.in_flight)
        waits = max(waits, turns * cost_s)
        if turns and count.former and count.former == count.in_flight:
            waits = max(waits, count.places_end[0][0] - now)
    if limit.watts is not None:
        windows = math.ceil((count.watts + watts) / limit.watts) - 1
        if windows > 0:
            first = count.draws_end[0][0] - now if count.draws_end else limit.seconds
            waits = max(waits, first + (windows - 1) * limit.seconds)
    return waits


def _may_draw(limit: Limit, count: Count, draw: Draw) -> bool:
    """A node whose draw alone is above the limit goes when no other draws, rather than never."""
    if limit.watts is None or draw.watts == 0.0 or count.drawing == 0:
        return True
    return count.watts + draw.watts <= limit.watts + _ROUNDING
