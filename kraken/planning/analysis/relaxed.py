"""What is surely out of reach: answers for slices of any size, from `kraken.planning.reach`.

It lets every value that was once there stay at hand, so it calls too much reachable and never too
little: a value it does not reach, an act it never starts, no order of moves ever will.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import replace

from kraken.model.module import Discovery, Mutation
from kraken.planning.analysis.slices import Slice
from kraken.planning.problem import FORGOTTEN, Edge
from kraken.planning.reach import reachable


class Relaxed:
    """The masks of values that may be reached in a slice.

    Attributes:
        planned: by the planner's own moves, from a node of which nothing is known.
        possible: by what may happen besides: time-outs, and values seen to be otherwise.
        reported: also by whatever the tasks of a mutation may report of what it changes.
    """

    def __init__(self, slice_: Slice) -> None:
        assert slice_.acts is not None, "a slice with too many acts is not examined"
        self.slice = slice_
        self.edges = [act.edge for act in slice_.acts]
        nothing = [FORGOTTEN] * len(slice_.problem.names)
        failing = [edge for own in self.edges for edge in self._failing(own)]
        reporting = [edge for own in self.edges for edge in self._reporting(own)]
        self.planned = self._masks(nothing, self.edges)
        self.possible = self._masks(nothing, [*self.edges, *failing])
        self.reported = self._masks(nothing, [*self.edges, *failing, *reporting])

    def from_value(self, var: int, value: int) -> list[int]:
        """What may be planned from the states that have this value, whatever the others are."""
        edges: list[Edge] = []
        for edge in self.edges:
            observes = tuple((v, values if v != var else (value,)) for v, values in edge.observes)
            edges.append(replace(edge, observes=observes) if edge.observes else edge)
        for other in range(len(self.possible)):
            if other != var:
                mask = self.possible[other]
                edges += [
                    self._given(other, code) for code in range(1, mask.bit_length()) if mask >> code & 1
                ]
        start = [FORGOTTEN] * len(self.possible)
        start[var] = value
        return self._masks(start, edges)

    def starts(self, edge: Edge, masks: Sequence[int]) -> bool:
        """Whether the edge may be applicable where these values may be; no is certain."""
        return not self.lacks(edge, masks)

    def lacks(self, edge: Edge, masks: Sequence[int]) -> list[tuple[int, int, bool]]:
        """What keeps the edge from starting: (variable, mask it needs, whether to be known after)."""
        found = [(var, mask, False) for var, mask in edge.before if not masks[var] & mask]
        after = list(masks)
        for var, value in edge.sets:
            after[var] = 1 << value
        known = [var for var, value in edge.sets if value]
        for var in known:
            for other, mask in self.slice.problem.known_when[var]:
                if not after[other] & mask:
                    found.append((other, mask, True))
        if edge.observes and not any(
            all(masks[other] & mask for other, mask in self.slice.problem.known_when[var])
            for var, _ in edge.observes
        ):
            var = edge.observes[0][0]
            found += [
                (other, mask, True)
                for other, mask in self.slice.problem.known_when[var]
                if not masks[other] & mask
            ]
        return found

    def _masks(self, start: Sequence[int], edges: Sequence[Edge]) -> list[int]:
        problem = copy(self.slice.problem)
        problem.edges = list(edges)
        return reachable(problem, start)

    def _given(self, var: int, value: int, like: Edge | None = None) -> Edge:
        """An edge that gives one value; applicable as another, else always."""
        model = like or self.edges[0]
        before = model.before if like else ()
        return replace(model, before=before, sets=((var, value),), observes=(), writes=frozenset((var,)))

    def _failing(self, edge: Edge) -> Iterable[Edge]:
        if isinstance(edge.operator, Discovery):
            return
        names = self.slice.problem.names
        for name, value in edge.operator.fails_to.items():
            if name in names:
                var = names.index(name)
                yield self._given(var, self.slice.code(var, value), like=edge)

    def _reporting(self, edge: Edge) -> Iterable[Edge]:
        operator = edge.operator
        if not isinstance(operator, Mutation) or operator.action is None or operator.action.kind != "ansible":
            return
        for var, _ in edge.sets:
            for value in range(1, len(self.slice.problem.values[var])):
                yield self._given(var, value, like=edge)
