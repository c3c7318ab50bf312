"""The price list of a leaf: what each of its states costs, given the way the centre has gone.

A *table* is such a list, normalised so that its cheapest state costs 0 and interned as a number, so
that equal lists are equal numbers and every step from one to another is computed once.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from kraken.planning.problem import FORGOTTEN, Edge, Problem

Local = tuple[int, ...]
"""A state of the leaf: the values of its variables."""


@dataclass(frozen=True, slots=True)
class Origin:
    """How a state of a leaf was reached at its price.

    Attributes:
        edge: the operator that led here; None when only the centre moved.
        found: what that operator, as a discovery, found among the leaf's variables.
    """

    source: Local
    edge: Edge | None
    found: Mapping[int, int]


Trace = list[tuple[list[tuple[Edge, Mapping[int, int]]], Mapping[int, int]]]
"""For the start and for each stage of the centre: the leaf's own moves after it, and what the
stage's edge, as a discovery, found in this leaf."""


class Leaf:
    """One leaf of the star, with all prices ever computed for it."""

    def __init__(
        self,
        problem: Problem,
        variables: tuple[int, ...],
        own: tuple[Edge, ...],
        shared: Sequence[Edge],
        seen: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        self.variables = variables
        self.own = own
        self._problem = problem
        self._shared = shared
        self._seen = seen
        inside = set(variables)
        self._place = {var: i for i, var in enumerate(variables)}
        self._forgetful = [(var, conditions) for var, conditions in problem.forgetful if var in inside]
        read = {other for _, conditions in self._forgetful for other, _ in conditions}
        for edge in own:
            read |= edge.reads
        self.watches = tuple(sorted(read - inside))
        self.touched_by = {
            edge.index
            for edge in shared
            if any(var in inside for var, _ in (*edge.before, *edge.sets, *edge.observes))
        }
        self.goal = [(self._place[var], problem.goal[var]) for var in variables]
        self.tables: list[tuple[tuple[Local, int], ...]] = []
        self._numbers: dict[tuple[tuple[Local, int], ...], int] = {}
        self._steps: dict[tuple[int, int, tuple[int, ...]], tuple[int, int] | None] = {}
        self._starts: dict[tuple[Local, tuple[int, ...]], int] = {}
        self._traces: dict[Hashable, Trace] = {}
        self._gaps: dict[tuple[int, int], int | None] = {}
        self.to_goal: list[int | None] = []  # table -> price of the goal, None when not in it
        self.bounds: list[int | None] = []  # table -> lower bound of the price of the goal
        self.distances: dict[Local, int] = {}  # set by `Search`: lower bounds of single states
        self._observed = {var for edge in (*own, *shared) for var, _ in edge.observes if var in inside}
        self._seeing: dict[Local, Leaf] = {}

    def seeing(self, seen: Mapping[int, int]) -> Leaf:
        """This leaf, where of these variables only the value given may be found."""
        key = tuple(
            [seen.get(var, FORGOTTEN) if var in self._observed else FORGOTTEN for var in self.variables]
        )
        if not any(key):
            return self
        leaf = self._seeing.get(key)
        if leaf is None:
            own_seen = {var: value for var, value in zip(self.variables, key, strict=True) if value}
            leaf = Leaf(self._problem, self.variables, self.own, self._shared, own_seen)
            leaf.distances = self.distances  # bounds where anything may be found are bounds here, too
            self._seeing[key] = leaf
        return leaf

    def start(self, state: Sequence[int]) -> int:
        """The table of a leaf that has only its own moves behind it; its cheapest state costs 0."""
        local = tuple([state[var] for var in self.variables])
        key = (local, tuple([state[var] for var in self.watches]))
        if key not in self._starts:
            prices = {local: 0}
            self._close(prices, state)
            self._starts[key] = self._intern(prices)[1]
        return self._starts[key]

    def advance(self, table: int, edge: Edge | None, centre: Sequence[int]) -> tuple[int, int] | None:
        """(price, table) after the centre has become `centre` by `edge`; None when the leaf forbids it.

        Args:
            edge: None when it has no part in this leaf.
        """
        key = (table, -1 if edge is None else edge.index, tuple([centre[var] for var in self.watches]))
        if key in self._steps:
            return self._steps[key]
        prices: dict[Local, int] = {}
        for local, price in self.tables[table]:
            for hope, after, _ in self._through(local, edge, centre):
                if after not in prices or price + hope < prices[after]:
                    prices[after] = price + hope
        step = None
        if prices:
            self._close(prices, centre)
            step = self._intern(prices)
        self._steps[key] = step
        return step

    def gap(self, table: int, other: int) -> int | None:
        """By how much `table` is dearer than `other` at worst; None when it lacks a state of it."""
        key = (table, other)
        if key not in self._gaps:
            prices = dict(self.tables[table])
            gaps = [prices[local] - price if local in prices else None for local, price in self.tables[other]]
            known = [gap for gap in gaps if gap is not None]
            self._gaps[key] = max(known) if len(known) == len(gaps) else None
        return self._gaps[key]

    def trace(self, state: Sequence[int], stages: Sequence[tuple[Edge, Sequence[int]]]) -> Trace:
        """The leaf's own cheapest moves along a way of the centre that ends in the goal."""
        seen = [
            (edge if edge.index in self.touched_by else None, tuple([centre[var] for var in self.watches]))
            for edge, centre in stages
        ]
        key = (
            tuple([state[var] for var in self.variables]),
            tuple([state[var] for var in self.watches]),
            tuple([(-1 if edge is None else edge.index, watched) for edge, watched in seen]),
        )
        if key not in self._traces:
            self._traces[key] = self._trace(
                state, [(part, c) for (part, _), (_, c) in zip(seen, stages, strict=True)]
            )
        return self._traces[key]

    def _trace(self, state: Sequence[int], stages: Sequence[tuple[Edge | None, Sequence[int]]]) -> Trace:
        prices = {tuple(state[var] for var in self.variables): 0}
        entries: list[dict[Local, Origin]] = [{}]
        moves = [self._close(prices, state)]
        for part, centre in stages:
            entered: dict[Local, int] = {}
            entry: dict[Local, Origin] = {}
            for local in sorted(prices):
                for hope, after, found in self._through(local, part, centre):
                    if after not in entered or prices[local] + hope < entered[after]:
                        entered[after] = prices[local] + hope
                        entry[after] = Origin(local, part, found)
            prices = entered
            entries.append(entry)
            moves.append(self._close(prices, centre))
        local = min((price, local) for local, price in prices.items() if self.is_goal(local))[1]
        answer: Trace = []
        for entry, made in zip(reversed(entries), reversed(moves), strict=True):
            chain: list[tuple[Edge, Mapping[int, int]]] = []
            while local in made:
                origin = made[local]
                assert origin.edge is not None, "a leaf moves by its own operators between two stages"
                chain.append((origin.edge, origin.found))
                local = origin.source
            came = entry.get(local)
            answer.append((chain[::-1], {} if came is None else came.found))
            local = local if came is None else came.source
        return answer[::-1]

    def is_goal(self, local: Local) -> bool:
        return all(mask >> local[place] & 1 for place, mask in self.goal)

    def _through(
        self, local: Local, edge: Edge | None, centre: Sequence[int]
    ) -> list[tuple[int, Local, Mapping[int, int]]]:
        """Where the leaf is after `edge`: (weight of the hope, state, what was found)."""
        state = self._spread(local, centre)
        if edge is None:
            self._cascade(state)
            return [(0, tuple([state[var] for var in self.variables]), {})]
        if any(var in self._place and not mask >> state[var] & 1 for var, mask in edge.before):
            return []
        results: list[tuple[int, Local, Mapping[int, int]]] = []
        for hope, found in edge.choices(state, self.variables, self._seen):
            after = list(state)
            given = [(var, value) for var, value in edge.sets if var in self._place]
            given += found.items()
            for var, value in given:
                after[var] = value
            self._cascade(after)
            if all(after[var] == value for var, value in given):
                results.append((hope, tuple([after[var] for var in self.variables]), found))
        return results

    def _close(self, prices: dict[Local, int], centre: Sequence[int]) -> dict[Local, Origin]:
        """Lower the prices, in place, by the leaf's own operators; says what led to each state."""
        made: dict[Local, Origin] = {}
        own = [
            edge
            for edge in self.own
            if all(var in self._place or mask >> centre[var] & 1 for var, mask in edge.before)
        ]
        if not own:
            return made
        heap = [(price, local) for local, price in prices.items()]
        heapq.heapify(heap)
        while heap:
            price, local = heapq.heappop(heap)
            if price > prices[local]:
                continue
            for edge in own:
                for hope, after, found in self._through(local, edge, centre):
                    dearer = price + edge.weight + hope
                    if after not in prices or dearer < prices[after]:
                        prices[after] = dearer
                        made[after] = Origin(local, edge, found)
                        heapq.heappush(heap, (dearer, after))
        return made

    def _intern(self, prices: dict[Local, int]) -> tuple[int, int]:
        least = min(prices.values())
        table = tuple(sorted((local, price - least) for local, price in prices.items()))
        number = self._numbers.get(table)
        if number is None:
            number = self._numbers[table] = len(self.tables)
            self.tables.append(table)
            goals = [price for local, price in table if self.is_goal(local)]
            self.to_goal.append(min(goals, default=None))
            near = [price + self.distances[local] for local, price in table if local in self.distances]
            self.bounds.append(min(near, default=None))
        return least, number

    def _spread(self, local: Local, centre: Sequence[int]) -> list[int]:
        state = list(centre)
        for var, value in zip(self.variables, local, strict=True):
            state[var] = value
        return state

    def _cascade(self, state: list[int]) -> None:
        for var, conditions in self._forgetful:
            if state[var] and any(not mask >> state[other] & 1 for other, mask in conditions):
                state[var] = FORGOTTEN
