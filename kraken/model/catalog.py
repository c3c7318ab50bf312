"""Everything the loaded Kraken modules declare, linked: the vocabulary of one daemon."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from kraken.errors import DocumentError
from kraken.model.module import (
    ANY,
    Condition,
    Discovery,
    Guard,
    KrakenModule,
    Mutation,
    State,
    Variable,
    as_text,
)
from kraken.model.update import UNKNOWN, VALUE_MAX, Value


class Catalog:
    """The variables, discoveries and mutations of a set of modules that fit together.

    Order is that of the modules, then of the declarations in each file; the planner breaks ties
    by it. `kraken.model.loading.link` builds a Catalog and refuses modules that do not fit.

    Attributes:
        variables: name -> Variable; a variable that several modules declare alike appears once.
        mutations: `module.name` -> Mutation, with the conditions of all guards that stand before it.
        discoveries: `module.name` -> Discovery.
        guards: all of them; what they ask for is in the mutations already.
    """

    def __init__(self, modules: Iterable[KrakenModule] = ()) -> None:
        self.modules: dict[str, KrakenModule] = {module.name: module for module in modules}
        self.variables: dict[str, Variable] = {}
        self.mutations: dict[str, Mutation] = {}
        self.discoveries: dict[str, Discovery] = {}
        for module in self.modules.values():
            for variable in module.variables.values():
                self.variables.setdefault(variable.name, variable)
            for mutation in module.mutations.values():
                self.mutations[mutation.key] = mutation
            for discovery in module.discoveries.values():
                self.discoveries[discovery.key] = discovery
        self.guards = [guard for module in self.modules.values() for guard in module.guards.values()]
        for guard in self.guards:
            for key, mutation in self.mutations.items():
                if guard.concerns(mutation):
                    self.mutations[key] = guard.applied(mutation)

    @cached_property
    def attributes(self) -> tuple[str, ...]:
        """Names that conditions use and no module declares as a variable, sorted."""
        operators: list[Mutation | Discovery] = [*self.mutations.values(), *self.discoveries.values()]
        conditions = [c for operator in operators for c in (*operator.requires, *operator.excludes)]
        conditions += [c for variable in self.variables.values() for c in variable.known_when]
        return tuple(sorted({c.name for c in conditions} - set(self.variables)))

    @cached_property
    def _forgetful(self) -> tuple[Variable, ...]:
        """Variables with a known_when, each after those its own depends on."""
        order: list[Variable] = []
        placed: set[str] = set()

        def place(variable: Variable) -> None:
            if variable.name in placed:
                return
            placed.add(variable.name)
            for condition in variable.known_when:
                if condition.name in self.variables:
                    place(self.variables[condition.name])
            if variable.known_when:
                order.append(variable)

        for variable in self.variables.values():
            place(variable)
        return tuple(order)

    @cached_property
    def forgettable(self) -> frozenset[str]:
        """Variables that can be forgotten, and those whose change can make one forgotten."""
        names = {variable.name for variable in self._forgetful}
        return frozenset(names | {c.name for v in self._forgetful for c in v.known_when})

    @cached_property
    def changeable(self) -> frozenset[str]:
        """Variables that a mutation brings to some value; the others are only looked at."""
        return frozenset(c.variable for mutation in self.mutations.values() for c in mutation.changes)

    def known(self, dsc: State, attributes: Mapping[str, Value]) -> dict[str, str]:
        """What still counts of what was seen: UNKNOWN values dropped, `known_when` cascaded."""
        state = {name: value for name, value in dsc.items() if value != UNKNOWN}
        for variable in self._forgetful:
            if variable.name in state and not self.holds(variable.known_when, state, attributes):
                del state[variable.name]
        return state

    def holds(self, conditions: Iterable[Condition], state: State, attributes: Mapping[str, Value]) -> bool:
        """Whether every condition holds; a variable not in `state` is UNKNOWN."""
        return all(self.meets(condition, state, attributes) for condition in conditions)

    def meets(self, condition: Condition, state: State, attributes: Mapping[str, Value]) -> bool:
        """Whether this one condition holds."""
        present = condition.values == (ANY,)
        if condition.name in self.variables:
            value_now = state.get(condition.name, UNKNOWN)
            return value_now != UNKNOWN if present else value_now in condition.values
        value = attributes.get(condition.name)
        if present:
            return value is not None and as_text(value) != ""
        if isinstance(value, list):
            return any(item in condition.values for item in value)
        return value is not None and as_text(value) in condition.values

    def applies(self, operator: Mutation | Discovery, state: State, attributes: Mapping[str, Value]) -> bool:
        """Whether `requires` holds and no `excludes` does."""
        return self.holds(operator.requires, state, attributes) and not any(
            self.meets(condition, state, attributes) for condition in operator.excludes
        )

    def unmet(self, guard: Guard, state: State, attributes: Mapping[str, Value]) -> list[str]:
        """What of a node a guard does not let pass, as `slurm_jobs=RUNNING`; empty: it holds.

        What nobody knows, though it could be known of such a node, does not pass either.
        """

        def is_dark(name: str) -> bool:
            variable = self.variables.get(name)
            if variable is None or name in state:
                return False
            return self.holds(variable.known_when, state, attributes)

        wrong = [c.name for c in guard.requires if not self.meets(c, state, attributes)]
        wrong += [c.name for c in guard.excludes if self.meets(c, state, attributes) or is_dark(c.name)]
        known = {**attributes, **dict.fromkeys(self.variables, UNKNOWN), **state}
        return [f"{name}={as_text(known.get(name, 'nothing'))}" for name in dict.fromkeys(wrong)]

    def check_cfg(self, cfg: Mapping[str, Any]) -> dict[str, str]:
        """The Cfg as given, if every variable is declared and every value in its domain.

        Raises:
            DocumentError: unknown variable, value outside the domain, or UNKNOWN wished for; its
                key is the variable.
        """
        checked: dict[str, str] = {}
        for name, value in cfg.items():
            variable = self.variables.get(name)
            if variable is None:
                raise DocumentError(f"unknown variable {name!r}", key=name, hint=self.did_you_mean(name))
            if isinstance(value, bool):
                raise DocumentError(
                    f"{name} cannot be {as_text(value)!r}",
                    key=name,
                    hint="YAML reads on, off, yes and no as booleans: " + _one_of(variable),
                )
            text = "" if value is None else str(value)
            if text == UNKNOWN or not text:
                raise DocumentError(
                    f"{name} cannot be wished {text or 'empty'}", key=name, hint=_one_of(variable)
                )
            if len(text) > VALUE_MAX:
                raise DocumentError(
                    f"a value of {len(text):,} characters", key=name, hint=f"{VALUE_MAX:,} at most"
                )
            if not variable.accepts(text):
                raise DocumentError(f"{name} cannot be {text!r}", key=name, hint=_one_of(variable))
            checked[name] = text
        return checked

    def did_you_mean(self, name: str) -> str:
        """A hint for a name that is no variable."""
        close = difflib.get_close_matches(name, self.variables, n=1)
        lead = f"did you mean {close[0]}? " if close else ""
        return f"{lead}declared are: {', '.join(sorted(self.variables)) or 'none'}"


def _one_of(variable: Variable) -> str:
    return f"one of {', '.join(variable.values)}" if variable.values is not None else "any text"
