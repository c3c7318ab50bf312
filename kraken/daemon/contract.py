"""A plan that was written down, held to: whether what would be done is still what it says.

Pure over the collector it is given. `Operations.apply_plan` has it checked in the same turn of the loop
in which its wishes are let in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from kraken.daemon.collector import Collector
from kraken.daemon.fingerprint import fingerprint
from kraken.daemon.othermodules import Others
from kraken.daemon.plan import (
    Answer,
    Generation,
    Planned,
    Wished,
    steps_of,
    wished,
)
from kraken.daemon.wishes import read_cfg
from kraken.errors import DocumentError, RefusedError
from kraken.model.catalog import Catalog
from kraken.model.module import Discovery, Mutation
from kraken.model.node import Node
from kraken.model.nodeset import fold
from kraken.model.update import PRESENCE, UNKNOWN, Side, StateUpdate
from kraken.planning.path import NoPath, Path


@dataclass(frozen=True, slots=True)
class Promise:
    """Nodes of a plan that was written down, and their path."""

    nodes: tuple[str, ...]
    steps: tuple[Planned, ...]
    start: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Contract:
    """A plan that was written down, as it is read again."""

    generation: Generation
    change: Wished
    promises: tuple[Promise, ...]
    mutations: Mapping[str, str]

    @property
    def nodes(self) -> list[str]:
        return [name for promise in self.promises for name in promise.nodes]

    def places(self) -> Iterator[tuple[int, str]]:
        """Every node, with the position of its promise."""
        for position, promise in enumerate(self.promises):
            for name in promise.nodes:
                yield position, name


@dataclass(frozen=True, slots=True)
class Difference:
    """Nodes that are no longer as planned, for one and the same reason.

    Attributes:
        planned, now: keys of the steps; now None: no path, or no such node.
    """

    nodes: tuple[str, ...]
    reason: str
    planned: tuple[str, ...] = ()
    now: tuple[str, ...] | None = None


class Left(NamedTuple):
    """How far a node is on its planned path: steps it has behind it, and before it."""

    done: int
    left: int


class PlanChangedError(RefusedError):
    """A plan no longer holds; `differences` says for whom, and why."""

    def __init__(self, differences: Sequence[Difference], total: int) -> None:
        names = [name for difference in differences for name in difference.nodes]
        super().__init__(
            f"the plan no longer holds for {len(names)} of {total} nodes ({fold(names)}); nothing was done",
            part=fold(names),
            hint="look at the difference, and make a new plan",
        )
        self.differences = list(differences)


class Check:
    """Whether a contract still holds; nodes are looked at one after the other, by `look`.

    Nothing holds for a node that was declared anew, of which somebody has since declared one of the
    plan's own variables, that a collector with other Kraken modules runs, or whose path is another now.
    But who has nothing left to declare may be further on the planned path: that is the plan being
    performed. So a plan that is applied again holds, and declares nothing, as long as what it says is
    what goes on.
    """

    def __init__(self, contract: Contract, collector: Collector, *, stands: bool) -> None:
        """
        Args:
            stands: everything it declares is declared already, on every node of it.
        """
        self._contract = contract
        self._collector = collector
        self._stands = stands
        self._same_modules = collector.modules == contract.generation.modules
        self._redone = _redone(contract, collector.catalog)
        self._others = Others(collector)
        self._compared: dict[tuple[int, int], tuple[Answer, Left | None]] = {}
        self._found: dict[tuple[int, str, tuple[str, ...] | None], list[str]] = {}
        self.left: dict[str, Left] = {}

    def look(self, place: tuple[int, str]) -> None:
        """Look at a node, given with the position of its promise."""
        position, name = place
        promise, table = self._contract.promises[position], self._collector.table
        if name not in table:
            self._differs(position, name, "is not declared", None)
            return
        elsewhere = self._others.why(name)
        if elsewhere:
            self._differs(position, name, elsewhere, None)
            return
        later = table.declared_since(name, self._contract.generation.declared)
        stale = self._stale(later)
        node = table[name]
        answer = self._collector.path(name, wished(node, self._contract.change))
        now = None if isinstance(answer, NoPath) else tuple(step.operator.key for step in answer.steps)
        if stale:
            self._differs(position, name, stale, now)
            return
        left = self._compare(position, promise, answer)
        if left is not None and (left.done == 0 or _stands(node, self._contract.change)):
            self.left[name] = left
            return
        self._differs(position, name, self._why(name, promise, answer, later), now)

    def insist(self) -> None:
        """Raise what was found.

        Raises:
            PlanChangedError: anything is not as planned.
        """
        found = self.differences()
        if found:
            raise PlanChangedError(found, len(self._contract.nodes))

    def differences(self) -> list[Difference]:
        """What was found to be another, most nodes first."""
        found = [
            Difference(tuple(names), reason, _keys(self._contract.promises[position].steps), now)
            for (position, reason, now), names in self._found.items()
        ]
        return sorted(found, key=lambda difference: -len(difference.nodes))

    def _compare(self, position: int, promise: Promise, answer: Answer) -> Left | None:
        known = self._compared.get((position, id(answer)))
        if known is None:
            left = None
            if isinstance(answer, Path) and not any(
                step.operator.key in self._redone for step in answer.steps
            ):
                left = rest(promise.steps, steps_of(answer))
            known = self._compared[position, id(answer)] = (answer, left)  # kept alive: its id is the key
        return known[1]

    def _stale(self, later: Sequence[StateUpdate]) -> str:
        """Why no plan made before may touch this node; "" when one may."""
        for update in later:
            if update.side is Side.ATTRIBUTE and update.variable == PRESENCE:
                return f"was declared anew by {update.source} after the plan was made"
        change = self._contract.change
        newer = [update for update in later if update.side is Side.CFG and update.variable in change]
        if self._stands or not newer:
            return ""
        update = next((u for u in newer if u.value != change[u.variable]), newer[0])
        what = "withdrawn" if update.value is None else f"declared as {update.value}"
        return f"{update.variable} was {what} by {update.source} after the plan was made"

    def _why(self, name: str, promise: Promise, answer: Answer, later: Sequence[StateUpdate]) -> str:
        """What has changed, as far as it can be told."""
        state = self._collector.progress(name).state
        why = [
            f"{variable} is {state.get(variable, UNKNOWN)}, was {' or '.join(values)}"
            for variable, values in promise.start.items()
            if state.get(variable, UNKNOWN) not in values
        ]
        why += [f"{update.variable} was declared by {update.source}" for update in later]
        if not self._same_modules:
            why.append("the Kraken modules have changed")
        if isinstance(answer, NoPath):
            return "; ".join(["no path any more", *answer.reasons, *why])
        others = dict.fromkeys(v for step in answer.steps for v in sorted(step.effects))
        why += [f"{v} is {state.get(v, UNKNOWN)}" for v in others if v not in promise.start]
        redone = [step.operator.key for step in answer.steps if step.operator.key in self._redone]
        if redone:
            why.append(f"{', '.join(dict.fromkeys(redone))} is done in another way")
        planned = {step.key for step in promise.steps}
        new = [s.key for s in steps_of(answer) if s.disruptive and s.key not in planned]
        if new:
            why.append(f"DISRUPTIVE and not planned: {', '.join(dict.fromkeys(new))}")
        return "; ".join(why) or "another way is the best now"

    def _differs(self, position: int, name: str, reason: str, now: tuple[str, ...] | None) -> None:
        self._found.setdefault((position, reason, now), []).append(name)


def rest(planned: Sequence[Planned], now: Sequence[Planned]) -> Left | None:
    """How far along the planned path who has the steps `now` before them are; None: on another path.

    What is missing of the plan must be its beginning: nothing that is left was to come before it.
    What is left must be the same steps, waiting for the same ones.
    """
    places: dict[tuple[Any, ...], list[int]] = {}
    for i, step in enumerate(planned):
        places.setdefault(step[:3], []).append(i)
    match: list[int] = []
    for step in reversed(now):  # of equal steps the last ones are left
        candidates = places.get(step[:3])
        if not candidates:
            return None
        match.append(candidates.pop())
    match.reverse()
    left = set(match)
    for i, step in enumerate(planned):
        if i not in left and left & set(step.after):
            return None
    for step, i in zip(now, match, strict=True):
        if {match[j] for j in step.after} != left & set(planned[i].after):
            return None
    return Left(len(planned) - len(now), len(now))


def wishes_of(contract: Contract, collector: Collector) -> Wished:
    """What a plan declares, if this daemon can have made it, and its modules still allow it.

    Raises:
        RefusedError: not so.
        DocumentError: nobody's plan says so: somebody has edited it.
    """
    if contract.generation.declared > collector.generation:
        raise RefusedError(
            "the plan was made by another daemon, or before this one lost its state; nothing was done",
            part="generation.declared",
            hint="make a new plan",
        )
    set_ = {name: value for name, value in contract.change.items() if value is not None}
    try:
        return {**dict.fromkeys(contract.change), **read_cfg(set_, collector.catalog)}
    except DocumentError as error:
        if collector.modules == contract.generation.modules:
            raise
        raise RefusedError(
            f"the Kraken modules have changed since the plan was made: {error.message}; nothing was done",
            part=error.key,
            hint="make a new plan",
        ) from error


def stands(contract: Contract, collector: Collector) -> bool:
    """Whether everything the contract declares is declared already."""
    table = collector.table
    return all(name in table and _stands(table[name], contract.change) for name in contract.nodes)


def _stands(node: Node, change: Wished) -> bool:
    return all(
        (None if variable not in node.cfg else str(node.cfg[variable].value)) == value
        for variable, value in change.items()
    )


def _redone(contract: Contract, catalog: Catalog) -> frozenset[str]:
    """Steps of the contract that are done in another way now."""
    now: dict[str, Mutation | Discovery] = {**catalog.mutations, **catalog.discoveries}
    return frozenset(
        key for key, print_ in contract.mutations.items() if key in now and fingerprint(now[key]) != print_
    )


def _keys(steps: Iterable[Planned]) -> tuple[str, ...]:
    return tuple(step.key for step in steps)
