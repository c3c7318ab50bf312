"""A plan: what would be done, to which nodes, and on what that rests. Pure over the collector it is given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kraken.daemon.collector import Collector
from kraken.daemon.fingerprint import fingerprint
from kraken.daemon.othermodules import OtherModules
from kraken.model.module import Mutation
from kraken.model.node import Node
from kraken.model.update import UNKNOWN, Stamp
from kraken.planning.path import NoPath, Path

FORMAT = 1
"""The number in `kraken_plan`."""

Answer = Path | NoPath
Wished = Mapping[str, str | None]
"""Wishes: variable -> value, None withdraws it."""


class Generation(NamedTuple):
    """What a plan was made on.

    Attributes:
        declared: the newest stamp at that time: what was declared later has a greater one.
        modules: fingerprint of everything the Kraken modules declare.
    """

    declared: Stamp
    modules: str


class Planned(NamedTuple):
    """One step, as far as it matters whether it is the same.

    Attributes:
        key: of its mutation or discovery.
        after: positions of the steps it waits for.
    """

    key: str
    effects: tuple[tuple[str, str], ...]
    disruptive: bool
    after: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PlanGroup:
    """Nodes with one and the same path.

    Attributes:
        start: variables the path changes -> the values they have before, UNKNOWN included.
    """

    nodes: tuple[str, ...]
    answer: Answer
    start: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done, and on what that rests.

    Attributes:
        mutations: key of each mutation and discovery on a path -> fingerprint of how it is done.
        undeclared: what the change withdraws, and no node had.
        others: nodes for which it may not be the plan that is followed.
    """

    made_at: float
    generation: Generation
    change: Wished
    groups: tuple[PlanGroup, ...]
    mutations: Mapping[str, str]
    undeclared: tuple[str, ...] = ()
    others: tuple[OtherModules, ...] = ()


class Folding:
    """Nodes of equal path put together, as they are asked for one after the other.

    `undeclared`: what the change withdraws, and none of the nodes had.
    """

    def __init__(self, collector: Collector, change: Wished) -> None:
        self._collector = collector
        self._change = change
        self.undeclared = {variable for variable, value in change.items() if value is None}
        self._same: dict[int, tuple[Answer, list[str]]] = {}  # the planner gives equal nodes one answer
        self._start: dict[int, dict[str, dict[str, None]]] = {}

    def add(self, name: str) -> None:
        """Plan for this node; one that is not declared (any more) is left out."""
        collector, table = self._collector, self._collector.table
        if name not in table:
            return
        if self.undeclared:
            self.undeclared.difference_update(table[name].cfg)
        answer = collector.path(name, wished(table[name], self._change))
        if isinstance(answer, NoPath):
            answer = answer.on(collector.progress(name).attributes)
        found = self._same.get(id(answer))
        if found is None:
            found = self._same[id(answer)] = (answer, [])
            self._start[id(answer)] = {variable: {} for variable in _changed_by(answer)}
        found[1].append(name)
        state = collector.progress(name).state
        for variable, values in self._start[id(answer)].items():
            values[state.get(variable, UNKNOWN)] = None

    def groups(self) -> tuple[PlanGroup, ...]:
        shapes: dict[tuple[Any, ...], tuple[Answer, list[str], dict[str, dict[str, None]]]] = {}
        for key, (answer, names) in self._same.items():
            shape = _shape(answer)
            if shape not in shapes:
                shapes[shape] = (answer, [], {})
            _, members, start = shapes[shape]
            members += names
            for variable, values in self._start[key].items():
                start.setdefault(variable, {}).update(values)
        return tuple(
            PlanGroup(tuple(names), answer, {variable: tuple(sorted(v)) for variable, v in start.items()})
            for answer, names, start in shapes.values()
        )


def wished(node: Node, change: Wished) -> dict[str, str]:
    """The node's Cfg, with the change made."""
    cfg: dict[str, str | None] = {**node.cfg_values(), **change}
    return {variable: value for variable, value in cfg.items() if value is not None}


def steps_of(path: Path) -> tuple[Planned, ...]:
    """The steps of a path, as far as it matters whether they are the same."""
    return tuple(
        Planned(
            step.operator.key,
            tuple(sorted(step.effects.items())),
            isinstance(step.operator, Mutation) and step.operator.disruptive,
            step.after,
        )
        for step in path.steps
    )


def fingerprints(groups: Iterable[PlanGroup]) -> dict[str, str]:
    """Key -> fingerprint of every mutation and discovery on the paths, in order of first use."""
    operators = {
        step.operator.key: step.operator
        for group in groups
        if isinstance(group.answer, Path)
        for step in group.answer.steps
    }
    return {key: fingerprint(operator) for key, operator in operators.items()}


def _changed_by(answer: Answer) -> tuple[str, ...]:
    if isinstance(answer, NoPath):
        return ()
    return tuple(dict.fromkeys(variable for step in answer.steps for variable in sorted(step.effects)))


def _shape(answer: Answer) -> tuple[Any, ...]:
    if isinstance(answer, NoPath):
        return ("no path", answer.variables, answer.reasons, answer.unmet, tuple(answer.reachable.items()))
    return steps_of(answer)
