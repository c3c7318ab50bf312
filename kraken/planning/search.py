"""The cheapest way through one component: A* over the centre of a star, its leaves priced aside.

Source: star-topology decoupled search (Gnad, Hoffmann 2018). See ADR 4.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from kraken.planning.bound import distances
from kraken.planning.factoring import star
from kraken.planning.leaf import Leaf
from kraken.planning.plan import Move
from kraken.planning.problem import Edge, Problem

VERTICES_MAX = 100_000
"""Vertices one question may look at before it is given up: 5 to 15 s of CPU. A cold boot with 60
services looks at 30. What needs more is a knot of variables that all require one another."""

Centre = tuple[int, ...]
"""Values of all variables of the problem; those outside the centre are always 0."""


@dataclass(frozen=True, slots=True)
class _Vertex:
    """A state of the centre with a price list for each leaf.

    Attributes:
        parent: number of the vertex before; -1 at the start.
        edge, found: how it was reached from there; None at the start.
        spent: weight so far: the centre's moves and the cheapest state of each leaf.
    """

    parent: int
    edge: Edge | None
    found: Mapping[int, int]
    centre: Centre
    tables: tuple[int, ...]
    spent: int


class TooHardError(Exception):
    """A question was given up after so many states, not answered; stays within planning."""

    def __init__(self, states: int) -> None:
        super().__init__(f"given up after {states} states")
        self.states = states


class Patience:
    """How much more may be looked at; shared by questions that belong together."""

    def __init__(self) -> None:
        self.left = VERTICES_MAX

    def spend(self) -> None:
        """Look at one vertex.

        Raises:
            TooHardError: it is too much.
        """
        self.left -= 1
        if self.left < 0:
            raise TooHardError(VERTICES_MAX)


class Search:
    """One component of a problem; what it learns serves every later question about it."""

    def __init__(self, problem: Problem, variables: tuple[int, ...], edges: tuple[Edge, ...]) -> None:
        self.variables = variables
        self.expanded = 0  # vertices expanded so far, over all questions
        self.problem = problem
        parts = star(problem, variables, edges)
        self.centre = parts.centre
        self.inside = frozenset(parts.centre)
        self.forgetful = [(var, known) for var, known in problem.forgetful if var in self.inside]
        self.leaves = [Leaf(problem, members, own, parts.shared) for members, own in parts.leaves]
        self.edges = [
            (edge, [(var, mask) for var, mask in edge.before if var in self.inside]) for edge in parts.shared
        ]
        self.touches = {
            edge.index: [i for i, leaf in enumerate(self.leaves) if edge.index in leaf.touched_by]
            for edge in parts.shared
        }
        self.watchers: dict[int, list[int]] = {var: [] for var in parts.centre}
        for i, leaf in enumerate(self.leaves):
            for var in leaf.watches:
                self.watchers[var].append(i)
        self.bounds = self._share_out(edges)

    def _share_out(self, edges: Sequence[Edge]) -> list[tuple[int, list[int | None]]]:
        """Distances of each variable of the centre, and of each leaf, adding up to a lower bound."""
        problem = self.problem
        writers: dict[int, list[Edge]] = {var: [] for var in self.variables}
        for edge in edges:
            for var in sorted(edge.writes):
                writers[var].append(edge)
        remaining = [edge.weight for edge in problem.edges]
        bounds: list[tuple[int, list[int | None]]] = []
        for var in self.centre:
            size = len(problem.values[var])
            if problem.goal[var] != (1 << size) - 1:
                found = distances(problem, (var,), writers[var], remaining)
                bounds.append((var, [found.get((value,)) for value in range(size)]))
        for leaf in self.leaves:
            touching = {edge.index: edge for var in leaf.variables for edge in writers[var]}
            leaf.distances = distances(problem, leaf.variables, list(touching.values()), remaining)
        return bounds

    def cheapest(
        self, state: Sequence[int], patience: Patience, seen: Mapping[int, int] = MappingProxyType({})
    ) -> list[Move] | None:
        """The moves of least total weight from `state` to the goal; None when there are none.

        Args:
            seen: variable -> the only value a discovery may find it to have.

        Raises:
            TooHardError: neither was found with this patience.
        """
        return _Walk(self, state, patience, seen).cheapest()


class _Walk:
    """One question to a Search."""

    def __init__(
        self, search: Search, state: Sequence[int], patience: Patience, seen: Mapping[int, int]
    ) -> None:
        self._search = search
        self._patience = patience
        self._problem = search.problem
        self._start = state
        self._seen = seen
        self._leaves = [leaf.seeing(seen) for leaf in search.leaves]
        self._vertices: list[_Vertex] = []
        self._alive: dict[Centre, list[int]] = {}
        self._heap: list[
            tuple[int, int, int, bool]
        ] = []  # bound, what of it is guessed, vertex, is it an end

    def cheapest(self) -> list[Move] | None:
        self._consider(self._first())
        while self._heap:
            _, _, number, is_end = heapq.heappop(self._heap)
            vertex = self._vertices[number]
            if is_end:
                return self._moves(number)
            if number not in self._alive[vertex.centre]:
                continue  # a better one came later
            self._search.expanded += 1
            for after in self._successors(number, vertex):
                self._consider(after)
        return None

    def _consider(self, vertex: _Vertex) -> None:
        self._patience.spend()
        guess = self._guess(vertex)
        if guess is None or self._is_dominated(vertex):
            return
        number = len(self._vertices)
        self._vertices.append(vertex)
        self._alive.setdefault(vertex.centre, []).append(number)
        heapq.heappush(self._heap, (vertex.spent + guess, guess, number, False))
        rest = self._rest(vertex)
        if rest is not None:
            heapq.heappush(self._heap, (vertex.spent + rest, 0, number, True))

    def _first(self) -> _Vertex:
        inside = self._search.inside
        centre = tuple([value if var in inside else 0 for var, value in enumerate(self._start)])
        return _Vertex(-1, None, {}, centre, tuple([leaf.start(self._start) for leaf in self._leaves]), 0)

    def _guess(self, vertex: _Vertex) -> int | None:
        """A lower bound of what is still to be paid; None when the goal is out of reach."""
        total = 0
        for var, bounds in self._search.bounds:
            bound = bounds[vertex.centre[var]]
            if bound is None:
                return None
            total += bound
        for leaf, table in zip(self._leaves, vertex.tables, strict=True):
            bound = leaf.bounds[table]
            if bound is None:
                return None
            total += bound
        return total

    def _rest(self, vertex: _Vertex) -> int | None:
        """What the leaves' own moves to the goal cost, if the centre can stay where it is."""
        goal = self._problem.goal
        for var in self._search.centre:
            if not goal[var] >> vertex.centre[var] & 1:
                return None
        total = 0
        for leaf, table in zip(self._leaves, vertex.tables, strict=True):
            price = leaf.to_goal[table]
            if price is None:
                return None
            total += price
        return total

    def _is_dominated(self, vertex: _Vertex) -> bool:
        """Whether another vertex of this centre is as good in everything; ends those it outdoes."""
        vertices = self._vertices
        others = self._alive.get(vertex.centre)
        if not others:
            return False
        for number in others:
            if self._outdoes(vertices[number], vertex):
                return True
        self._alive[vertex.centre] = [n for n in others if not self._outdoes(vertex, vertices[n])]
        return False

    def _outdoes(self, vertex: _Vertex, other: _Vertex) -> bool:
        slack = other.spent - vertex.spent
        if slack < 0:
            return False  # tables are normalised: its cheapest state is dearer
        if vertex.tables == other.tables:
            return True
        for leaf, table, against in zip(self._leaves, vertex.tables, other.tables, strict=True):
            if table != against:
                gap = leaf.gap(table, against)
                if gap is None:
                    return False
                slack -= gap
        return slack >= 0

    def _successors(self, number: int, vertex: _Vertex) -> list[_Vertex]:
        afters: list[_Vertex] = []
        centre = vertex.centre
        for edge, before in self._search.edges:
            if not all(mask >> centre[var] & 1 for var, mask in before):
                continue
            for hope, found in edge.choices(centre, self._search.centre, self._seen):
                moved = self._move(centre, edge, found)
                if moved is None:
                    continue
                touched = set(self._search.touches[edge.index])
                if moved != centre:
                    for var in self._search.centre:
                        if moved[var] != centre[var]:
                            touched.update(self._search.watchers[var])
                elif not touched:
                    continue
                tables = list(vertex.tables)
                spent = vertex.spent + edge.weight + hope
                for i in sorted(touched):
                    leaf = self._leaves[i]
                    part = edge if edge.index in leaf.touched_by else None
                    step = leaf.advance(tables[i], part, moved)
                    if step is None:
                        break
                    spent += step[0]
                    tables[i] = step[1]
                else:
                    afters.append(_Vertex(number, edge, found, moved, tuple(tables), spent))
        return afters

    def _move(self, centre: Centre, edge: Edge, found: Mapping[int, int]) -> Centre | None:
        """The centre after the edge; None when a value it gives cannot be known there."""
        state = list(centre)
        given = [(var, value) for var, value in edge.sets if var in self._search.inside]
        given += found.items()
        for var, value in given:
            state[var] = value
        for var, conditions in self._search.forgetful:
            if state[var] and any(not mask >> state[other] & 1 for other, mask in conditions):
                state[var] = 0
        if any(state[var] != value for var, value in given):
            return None
        return tuple(state)

    def _moves(self, number: int) -> list[Move]:
        """The whole way to a vertex and, by the leaves' own moves, on to the goal."""
        way: list[_Vertex] = []
        while number >= 0:
            way.append(self._vertices[number])
            number = self._vertices[number].parent
        way.reverse()
        stages = [(vertex.edge, vertex.centre) for vertex in way if vertex.edge is not None]
        traces = [leaf.trace(self._start, stages) for leaf in self._leaves]
        moves: list[Move] = []
        for i, vertex in enumerate(way):
            if vertex.edge is not None:
                found = dict(vertex.found)
                for trace in traces:
                    found |= trace[i][1]
                moves.append((vertex.edge, found))
            for trace in traces:
                moves += trace[i][0]
        return moves
