"""A variable with everything it depends on: small questions that together are the whole one.

What is not in a slice cannot matter for it, so what is exact for a slice is exact. A cold boot with
60 services is one slice per service, each of a few dozen states, and not their product.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from itertools import product
from math import prod

from kraken.model.catalog import Catalog
from kraken.model.module import CFG_VALUE, Condition, Mutation
from kraken.planning.planner import WISHED
from kraken.planning.problem import Edge, Problem

Fact = tuple[str, str]
"""A variable and a value of it."""

OUTCOMES_MAX = 256  # wishes one mutation can fulfil; more are not told apart


@dataclass(frozen=True, slots=True, eq=False)
class Act:
    """An edge of a problem for one choice of wishes. Each is equal to itself only.

    Attributes:
        wishes: (variable, value) that Cfg must name for it, where the mutation says `$cfg`.
    """

    edge: Edge
    wishes: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Slice:
    """Some variables with all that matters for them, on one class of nodes.

    Attributes:
        problem: over these variables; its goal means nothing.
        acts: its edges, a mutation to `$cfg` once for each wish. None: they are too many.
    """

    problem: Problem
    acts: tuple[Act, ...] | None

    def key(self) -> Hashable:
        """Slices of one catalog with equal keys are alike: on other nodes, the same in everything."""
        problem = self.problem
        operators = tuple(edge.operator.key for edge in problem.edges)
        return problem.names, operators, tuple(problem.values), tuple(map(tuple, problem.known_when))

    def fact(self, var: int, value: int) -> Fact:
        """The names of a variable and of a value of it."""
        return self.problem.names[var], self.problem.values[var][value]

    def code(self, var: int, value: str) -> int:
        """The number of a value; one that no module names elsewhere counts as any other."""
        return self.problem.codes[var].get(value, len(self.problem.values[var]) - 1)


def slices_of(catalog: Catalog, meets: Callable[[Condition], bool]) -> list[Slice]:
    """The slices of all variables; one that is part of another is left out."""
    found: list[Problem] = []
    for name in catalog.variables:
        if not any(name in problem.names for problem in found):
            found.append(_closed(catalog, meets, name))
    largest = [
        problem
        for problem in found
        if not any(set(problem.names) < set(other.names) for other in found if other is not problem)
    ]
    return [Slice(problem, _acts(problem)) for problem in largest]


def _closed(catalog: Catalog, meets: Callable[[Condition], bool], name: str) -> Problem:
    """The problem of a variable in which every variable may be wished for, and may time out."""
    names = {name}
    while True:
        wishes = {
            name: WISHED if variable.values is None else variable.values[0]
            for name, variable in catalog.variables.items()
            if name in names
        }
        problem = Problem(catalog, meets, wishes)
        wider = set(problem.names)
        for mutation in catalog.mutations.values():
            changed = {change.variable for change in mutation.changes}
            if not wider.isdisjoint(mutation.fails_to) or (
                not wider.isdisjoint(changed) and any(c.target == CFG_VALUE for c in mutation.changes)
            ):
                wider |= changed  # it can time out; it exists only where all its wishes are wished
        if names == wider:
            return problem
        names = wider


def _acts(problem: Problem) -> tuple[Act, ...] | None:
    acts: list[Act] = []
    for edge in problem.edges:
        free = _wished(problem, edge)
        choices = [range(1, len(problem.values[var]) - 1) for var in free]
        if prod(len(choice) for choice in choices) > OUTCOMES_MAX:
            return None
        for values in product(*choices):
            wishes = dict(zip(free, values, strict=True))
            sets = tuple((var, wishes.get(var, value)) for var, value in edge.sets)
            acts.append(Act(replace(edge, sets=sets), tuple(wishes.items())))
    return tuple(acts)


def _wished(problem: Problem, edge: Edge) -> list[int]:
    if not isinstance(edge.operator, Mutation):
        return []
    wished = {change.variable for change in edge.operator.changes if change.target == CFG_VALUE}
    return [var for var, _ in edge.sets if problem.names[var] in wished]
