"""The planner's answers: a Path of Steps, or NoPath and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kraken.model.module import Condition, Discovery, Mutation

DIFFERENT: Final = "(different)"
"""In the effects of a discovery: a value of an open domain that is neither the one Cfg wishes nor
any that a module names."""


@dataclass(frozen=True, slots=True)
class Step:
    """One mutation to perform, or one discovery to make in the hope of what it finds.

    Attributes:
        effects: every variable that changes, forgetting included, with its value after: UNKNOWN
            when forgotten, the wished value for `$cfg`. Variables that do not matter for the Cfg
            asked about are left out.
        after: indexes of the earlier steps that must have ended before this one starts; empty:
            it can start now. Steps that do not wait for one another may run side by side, in any
            order.
    """

    operator: Mutation | Discovery
    effects: Mapping[str, str]
    after: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Path:
    """A cheapest chain of steps; empty when everything is already as wished.

    Attributes:
        steps: in an order in which they can be performed one after another.
        cost: sum of the costs of the steps, as declared.
    """

    steps: tuple[Step, ...] = ()
    cost: float = 0.0

    @property
    def next_steps(self) -> tuple[Step, ...]:
        """The steps that wait for no other: what can start now."""
        return tuple(step for step in self.steps if not step.after)


@dataclass(frozen=True, slots=True)
class NoPath:
    """No chain of steps leads from here to Cfg.

    Attributes:
        variables: the variables of Cfg that are out of reach, in order of declaration.
        reasons: for each of `variables`, one sentence for a person.
        unmet: requirements on attributes that would open a path if they were met; empty when no
            attribute would.
    """

    variables: tuple[str, ...]
    reasons: tuple[str, ...]
    unmet: tuple[Condition, ...] = ()
