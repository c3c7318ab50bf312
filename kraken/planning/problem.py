"""A question to the planner in numbers: variables, values and operators by index.

Only what matters for one Cfg is in it, so that two nodes that differ elsewhere ask the same question.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import lcm
from types import MappingProxyType

from kraken.model.catalog import Catalog
from kraken.model.module import ANY, CFG_VALUE, Change, Condition, Discovery, Mutation
from kraken.model.update import UNKNOWN
from kraken.planning.path import DIFFERENT

FORGOTTEN = 0  # index of UNKNOWN in every domain

HOPE_BITS = 16
TIE_BITS = 10  # an operator used more than 1023 times on one path only blurs ties, never the cost
COUNT_BITS = 24


@dataclass(frozen=True, slots=True)
class Edge:
    """A mutation or discovery as the search sees it.

    Attributes:
        index: position in Problem.edges.
        weight: its cost and what breaks ties, in one integer; see `Problem`.
        before: (variable, mask of the values it may have before).
        sets: (variable, value it has after).
        observes: (variable, values it may be found to have); acts only while it is UNKNOWN.
        reads: variables whose value decides whether it is applicable.
        writes: variables it may change, those it can make forgotten included.
    """

    operator: Mutation | Discovery
    index: int
    weight: int
    before: tuple[tuple[int, int], ...]
    sets: tuple[tuple[int, int], ...]
    observes: tuple[tuple[int, tuple[int, ...]], ...]
    reads: frozenset[int]
    writes: frozenset[int]

    def choices(
        self, state: Sequence[int], among: Iterable[int], seen: Mapping[int, int] = MappingProxyType({})
    ) -> list[tuple[int, dict[int, int]]]:
        """What a discovery may find of the variables `among` in `state`: (weight of the hope, values).

        It may find any of those that are UNKNOWN now, each with any value it can report, or none.
        Hopes for values declared earlier weigh less.

        Args:
            seen: variable -> the only value it may be found to have.
        """
        wanted = set(among)
        options = [
            [
                (0, var, FORGOTTEN),
                *(
                    (rank, var, value)
                    for rank, value in enumerate(values, 1)
                    if seen.get(var, value) == value
                ),
            ]
            for var, values in self.observes
            if var in wanted and state[var] == FORGOTTEN
        ]
        return [
            (sum(rank for rank, _, _ in found), {var: value for rank, var, value in found if rank})
            for found in product(*options)
        ]


class Problem:
    """Everything that matters for one Cfg on one class of nodes.

    The weight of an edge holds, from the highest bits to the lowest: its cost (as an exact integer),
    whether it is disruptive, one step, one use of this very operator (later declared operators in
    higher bits), and what a discovery hopes for. The path of least total weight is therefore the
    cheapest; among the cheapest the one with fewest disruptive steps; then with fewest steps; then
    the one that uses the operator declared last least often, then the one declared before it, and so
    on (a module's discoveries count as declared before its mutations); then the one whose discoveries
    hope for values declared earlier. So the operators of the answer never depend on the search.

    Args:
        blind: keys of discoveries that are not used.
        wanted: of `cfg` only these must end as wished; the rest says what `$cfg` stands for. None: all.

    Attributes:
        names: the variables that matter, in order of declaration.
        values: for each, its domain: UNKNOWN first, DIFFERENT last, literals between.
        goal: for each, the mask of values it may end with; 0 when nothing would do.
        edges: the operators that can matter, in order of declaration.
        forgetful: (variable, its known_when as (variable, mask)), each after those it depends on.
    """

    def __init__(
        self,
        catalog: Catalog,
        meets: Callable[[Condition], bool],
        cfg: Mapping[str, str],
        blind: frozenset[str] = frozenset(),
        wanted: Collection[str] | None = None,
    ) -> None:
        self.catalog = catalog
        self.cfg = cfg
        self._wanted = cfg.keys() if wanted is None else wanted
        self._meets = meets
        operators = [op for op in operators_of(catalog) if self._exists(op, blind)]
        relevant, operators = self._relevant(operators)
        self.names = tuple(name for name in catalog.variables if name in relevant)
        self._index = {name: i for i, name in enumerate(self.names)}
        self.values = self._domains(operators)
        self.codes = [{value: i for i, value in enumerate(domain)} for domain in self.values]
        self.known_when = [self._conditions(catalog.variables[name].known_when) for name in self.names]
        self.forgetful = self._forgetful()
        self._dependents = self._dependents_of()
        self._scale = lcm(1, *(Fraction(str(op.cost)).denominator for op in operators))
        self._cost_shift = HOPE_BITS + TIE_BITS * len(operators) + 2 * COUNT_BITS
        self.edges: list[Edge] = []
        for rank, operator in enumerate(operators):
            edge = self._edge(operator, rank)
            if edge is not None:
                self.edges.append(edge)
        self.goal = self._goal()

    def encode(self, dsc: Mapping[str, str]) -> tuple[int, ...]:
        """The state in numbers, with what is not known forgotten."""
        state = [self._code(var, dsc.get(name, UNKNOWN)) for var, name in enumerate(self.names)]
        self.cascade(state)
        return tuple(state)

    def cascade(self, state: list[int]) -> None:
        """Forget, in place, every variable whose known_when does not hold."""
        for var, conditions in self.forgetful:
            if state[var]:
                for other, mask in conditions:
                    if not mask >> state[other] & 1:
                        state[var] = FORGOTTEN
                        break

    def cost(self, weight: int) -> float:
        """The declared cost in a weight."""
        return float(Fraction(weight >> self._cost_shift, self._scale))

    # What matters ------------------------------------------------------------------------------

    def _exists(self, operator: Mutation | Discovery, blind: frozenset[str]) -> bool:
        """Whether the node's attributes, Cfg and what was just tried leave this operator at all."""
        variables = self.catalog.variables
        if any(c.name not in variables and not self._meets(c) for c in operator.requires):
            return False
        if any(c.name not in variables and self._meets(c) for c in operator.excludes):
            return False
        if isinstance(operator, Discovery):
            return operator.key not in blind
        return all(
            change.variable in variables
            and (change.target != CFG_VALUE or change.variable in self.cfg)
            and (change.target == UNKNOWN or not self._is_dead(change.variable))
            for change in operator.changes
        )

    def _is_dead(self, name: str) -> bool:
        """Whether no state of this node ever lets the variable be known."""
        return any(
            c.name not in self.catalog.variables and not self._meets(c)
            for c in self.catalog.variables[name].known_when
        )

    def _relevant(self, operators: list[Mutation | Discovery]) -> tuple[set[str], list[Mutation | Discovery]]:
        """The variables Cfg depends on, and the operators that change one of them."""
        variables = self.catalog.variables
        changers: dict[str, list[int]] = {name: [] for name in variables}
        for i, operator in enumerate(operators):
            for name in _changed(operator):
                if name in changers:
                    changers[name].append(i)
        relevant: set[str] = set()
        used: set[int] = set()
        todo = [name for name in self.cfg if name in variables and name in self._wanted]
        while todo:
            name = todo.pop()
            if name in relevant:
                continue
            relevant.add(name)
            todo += [c.name for c in variables[name].known_when if c.name in variables]
            for i in changers[name]:
                if i in used:
                    continue
                used.add(i)
                operator = operators[i]
                todo += [c.name for c in (*operator.requires, *operator.excludes) if c.name in variables]
                if isinstance(operator, Mutation):
                    todo += _changed(operator)
        return relevant, [operator for i, operator in enumerate(operators) if i in used]

    def _domains(self, operators: list[Mutation | Discovery]) -> list[tuple[str, ...]]:
        """UNKNOWN, declared values or the literals somebody names, and DIFFERENT."""
        found: dict[str, dict[str, None]] = {name: {UNKNOWN: None} for name in self.names}
        conditions: list[Condition] = []
        for name in self.names:
            variable = self.catalog.variables[name]
            found[name].update(dict.fromkeys(variable.values or ()))
            if name in self.cfg:
                found[name][self.cfg[name]] = None
            conditions += variable.known_when
        for operator in operators:
            conditions += (*operator.requires, *operator.excludes)
            if isinstance(operator, Mutation):
                for change in operator.changes:
                    found[change.variable].update(dict.fromkeys(change.sources or ()))
                    if change.target != CFG_VALUE:
                        found[change.variable][change.target] = None
            else:
                for observes in operator.observes:
                    if observes.variable in found:
                        found[observes.variable].update(dict.fromkeys(observes.values or ()))
        for condition in conditions:
            if condition.name in found and condition.values != (ANY,):
                found[condition.name].update(dict.fromkeys(condition.values))
        return [(*found[name], DIFFERENT) for name in self.names]

    # Operators ---------------------------------------------------------------------------------

    def _edge(self, operator: Mutation | Discovery, rank: int) -> Edge | None:
        before: dict[int, int] = {}
        for var, mask in self._conditions(operator.requires):
            before[var] = before.get(var, self._all(var)) & mask
        for var, mask in self._conditions(operator.excludes):
            before[var] = before.get(var, self._all(var)) & ~mask
        sets: list[tuple[int, int]] = []
        observes: list[tuple[int, tuple[int, ...]]] = []
        if isinstance(operator, Mutation):
            for change in operator.changes:
                var = self._index[change.variable]
                before[var] = before.get(var, self._all(var)) & self._sources(change, operator.disruptive)
                target = self.cfg[change.variable] if change.target == CFG_VALUE else change.target
                sets.append((var, self.codes[var][target]))
        else:
            for seen in operator.observes:
                if seen.variable in self._index and not self._is_dead(seen.variable):
                    var = self._index[seen.variable]
                    observes.append((var, self._observable(var, seen.values)))
        if not all(before.values()) or not (sets or observes):
            return None
        touched = {var for var, _ in (*sets, *observes)}
        known = {var for var, value in sets if value} | {var for var, _ in observes}
        weight = (
            int(Fraction(str(operator.cost)) * self._scale) << self._cost_shift
            | int(isinstance(operator, Mutation) and operator.disruptive) << (self._cost_shift - COUNT_BITS)
            | 1 << (self._cost_shift - 2 * COUNT_BITS)
            | 1 << (HOPE_BITS + TIE_BITS * rank)
        )
        return Edge(
            operator=operator,
            index=len(self.edges),
            weight=weight,
            before=tuple(sorted((var, mask) for var, mask in before.items() if mask != self._all(var))),
            sets=tuple(sets),
            observes=tuple(observes),
            reads=frozenset(before) | {other for var in known for other, _ in self.known_when[var]},
            writes=frozenset(touched | {other for var in touched for other in self._dependents[var]}),
        )

    def _sources(self, change: Change, disruptive: bool) -> int:
        var = self._index[change.variable]
        if change.sources is None:
            mask = self._all(var)
        else:
            mask = self._mask(var, change.sources)
        return mask & ~1 if disruptive else mask

    def _observable(self, var: int, values: tuple[str, ...] | None) -> tuple[int, ...]:
        if values is not None:
            return tuple(self.codes[var][value] for value in values if value != UNKNOWN)
        variable = self.catalog.variables[self.names[var]]
        if variable.values is not None:
            return tuple(self.codes[var][value] for value in variable.values)
        wished = self.cfg.get(variable.name)
        first = [] if wished is None else [self.codes[var][wished]]
        return tuple(first + [code for code in range(1, len(self.values[var])) if code not in first])

    def _code(self, var: int, value: str) -> int:
        return self.codes[var].get(value, len(self.codes[var]) - 1)

    def _all(self, var: int) -> int:
        return (1 << len(self.values[var])) - 1

    def _mask(self, var: int, values: tuple[str, ...]) -> int:
        if values == (ANY,):
            return self._all(var) & ~1
        mask = 0
        for value in values:
            mask |= 1 << self.codes[var][value]
        return mask

    def _conditions(self, conditions: Iterable[Condition]) -> tuple[tuple[int, int], ...]:
        """Those on variables that matter, as (variable, mask)."""
        return tuple(
            (self._index[c.name], self._mask(self._index[c.name], c.values))
            for c in conditions
            if c.name in self._index
        )

    # Knowing and forgetting --------------------------------------------------------------------

    def _forgetful(self) -> list[tuple[int, tuple[tuple[int, int], ...]]]:
        order: list[int] = []
        placed: set[int] = set()

        def place(var: int) -> None:
            if var not in placed:
                placed.add(var)
                for other, _ in self.known_when[var]:
                    place(other)
                order.append(var)

        for var, name in enumerate(self.names):
            place(var)
            if self._is_dead(name):
                self.known_when[var] = ((var, 1), *self.known_when[var])
        return [(var, self.known_when[var]) for var in order if self.known_when[var]]

    def _dependents_of(self) -> list[set[int]]:
        """For each variable those that may be forgotten when it changes, however indirectly."""
        dependents: list[set[int]] = [set() for _ in self.names]
        for var, conditions in self.forgetful:
            for other, _ in conditions:
                if other != var:
                    dependents[other].add(var)
        for var, _ in reversed(self.forgetful):
            for reached in dependents:
                if var in reached:
                    reached |= dependents[var]
        return dependents

    def _goal(self) -> list[int]:
        """What Cfg wishes, and what must hold for it to be known."""
        goal = [
            1 << self.codes[var][self.cfg[name]] if name in self._wanted else self._all(var)
            for var, name in enumerate(self.names)
        ]
        for var, conditions in reversed(self.forgetful):
            if not goal[var] & 1:
                for other, mask in conditions:
                    goal[other] &= mask
        return goal


def operators_of(catalog: Catalog) -> list[Mutation | Discovery]:
    """All operators in the order that breaks ties: by module, its discoveries before its mutations."""
    found: list[Mutation | Discovery] = []
    for module in catalog.modules.values():
        found += module.discoveries.values()
        found += [catalog.mutations.get(m.key, m) for m in module.mutations.values()]
    return found


def seen_in(state: Sequence[int]) -> dict[int, int]:
    """What is known in a state: variable -> its value. A path from there finds it so again, or not at all."""
    return {var: value for var, value in enumerate(state) if value != FORGOTTEN}


def admits(values: tuple[str, ...], value: str) -> bool:
    """Whether a condition with these values on a variable holds while it has `value`."""
    return value != UNKNOWN if values == (ANY,) else value in values


def _changed(operator: Mutation | Discovery) -> list[str]:
    if isinstance(operator, Mutation):
        return [change.variable for change in operator.changes]
    return [observes.variable for observes in operator.observes]
