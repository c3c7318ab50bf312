"""Which variables the search must walk through together, and which can be priced on the side.

A star: the centre is searched state by state; each leaf is a small group of variables that, between
two steps of the centre, moves by operators of its own. Leaves never multiply: each costs a sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kraken.planning.problem import Edge, Problem

LEAF_STATES_MAX = 64  # three variables of four values; the benchmark tells no difference from 16 to 256


@dataclass(frozen=True, slots=True)
class Star:
    """How the variables of one component are divided.

    Attributes:
        centre: variables searched state by state, sorted.
        leaves: (variables of the leaf, its own operators), in order of their first variable.
        shared: operators that change the centre or several leaves: what the search branches on.
    """

    centre: tuple[int, ...]
    leaves: tuple[tuple[tuple[int, ...], tuple[Edge, ...]], ...]
    shared: tuple[Edge, ...]


def components(problem: Problem) -> list[tuple[tuple[int, ...], tuple[Edge, ...]]]:
    """The variables, divided into groups that no operator and no known_when connects."""
    groups = _Groups(range(len(problem.names)))
    for edge in problem.edges:
        groups.join(edge.reads | edge.writes)
    for var, conditions in problem.forgetful:
        groups.join([var, *(other for other, _ in conditions)])
    edges: dict[int, list[Edge]] = {}
    for edge in problem.edges:
        edges.setdefault(groups.of(min(edge.writes)), []).append(edge)
    return [(members, tuple(edges.get(groups.of(members[0]), ()))) for members in groups.members()]


def star(problem: Problem, variables: Sequence[int], edges: Sequence[Edge]) -> Star:
    """Move the variables most others depend on into the centre until every leaf is small."""
    centre: set[int] = set()
    neighbours: dict[int, set[int]] = {var: set() for var in variables}
    for edge in edges:
        for var in {var for var, _ in (*edge.sets, *edge.observes)}:
            neighbours[var] |= edge.reads | edge.writes
            for other in edge.reads | edge.writes:
                neighbours[other].add(var)
    while True:
        groups = _leaves(problem, variables, edges, centre)
        large = [members for members in groups.members() if _size(problem, members) > LEAF_STATES_MAX]
        if not large:
            break
        candidates = [var for members in large for var in members]
        moved = max(candidates, key=lambda var: (len(neighbours[var] - centre), -var))
        _move(problem, moved, centre)
    own: dict[int, list[Edge]] = {}
    shared: list[Edge] = []
    for edge in edges:
        places = {groups.of(var) for var in edge.reads | edge.writes if var not in centre}
        if edge.writes & centre or len(places) != 1:
            shared.append(edge)
        else:
            own.setdefault(places.pop(), []).append(edge)
    leaves = tuple((members, tuple(own.get(groups.of(members[0]), ()))) for members in groups.members())
    return Star(tuple(sorted(centre)), leaves, tuple(shared))


def _leaves(problem: Problem, variables: Sequence[int], edges: Sequence[Edge], centre: set[int]) -> _Groups:
    groups = _Groups(var for var in variables if var not in centre)
    for edge in edges:
        if edge.writes & centre or len(edge.observes) > 1:
            continue  # the search branches on it anyway
        groups.join(var for var in edge.reads | edge.writes if var not in centre)
    for var, conditions in problem.forgetful:
        if var not in centre and var in groups:
            groups.join([var, *(other for other, _ in conditions if other not in centre)])
    return groups


def _move(problem: Problem, var: int, centre: set[int]) -> None:
    """Into the centre, with what decides whether it is known: the centre forgets by itself."""
    if var not in centre:
        centre.add(var)
        for other, _ in problem.known_when[var]:
            _move(problem, other, centre)


def _size(problem: Problem, members: Iterable[int]) -> int:
    size = 1
    for var in members:
        size *= len(problem.values[var])
    return size


class _Groups:
    """Disjoint sets (union-find), each named by its smallest member."""

    def __init__(self, items: Iterable[int]) -> None:
        self._parent = {item: item for item in items}

    def __contains__(self, item: int) -> bool:
        return item in self._parent

    def of(self, item: int) -> int:
        while self._parent[item] != item:
            self._parent[item] = item = self._parent[self._parent[item]]
        return item

    def join(self, items: Iterable[int]) -> None:
        roots = {self.of(item) for item in items}
        if roots:
            first = min(roots)
            for root in roots:
                self._parent[root] = first

    def members(self) -> list[tuple[int, ...]]:
        found: dict[int, list[int]] = {}
        for item in sorted(self._parent):
            found.setdefault(self.of(item), []).append(item)
        return [tuple(members) for members in found.values()]
