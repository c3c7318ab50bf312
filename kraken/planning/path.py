"""The planner's answers: a Path of Steps, or NoPath and why."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from kraken.model.module import ANY, Condition, Discovery, Mutation, as_text
from kraken.model.update import Value

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
        reasons: for each of `variables`, one sentence for a person: what is missing, and the mutation
            nearest to giving it. It holds for every node of the class; `on` makes it a node's own.
        unmet: requirements on attributes that would open a path if they were met; empty when no
            attribute would.
        reachable: for each of `variables` the values it can be given from here, with the rest of Cfg
            that is within reach; its present value is one of them. Empty where a look that found
            nothing just now is all that is missing.
    """

    variables: tuple[str, ...]
    reasons: tuple[str, ...]
    unmet: tuple[Condition, ...] = ()
    reachable: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)

    def on(self, attributes: Mapping[str, Value]) -> NoPath:
        """The same, said of the one node that has these attributes: with their values."""
        told = tuple(_THEIRS.sub(lambda found: _own(found[1], attributes), text) for text in self.reasons)
        return self if told == self.reasons else replace(self, reasons=told)

    @property
    def instead(self) -> str:
        """What is reachable, in words; "" when nothing is."""
        return ", ".join(f"{name}={'|'.join(values)}" for name, values in self.reachable.items() if values)


def named(condition: Condition) -> str:
    """A requirement on an attribute, as a person would declare it: only its name when any value will do."""
    return condition.name if condition.values == (ANY,) else str(condition)


def theirs(attribute: str) -> str:
    """How a reason speaks of a value that nodes of one class need not share."""
    return f"this node's {attribute}"


_THEIRS = re.compile(r"\bthis node's ([A-Za-z_][A-Za-z0-9_.-]*)")
VALUE_LENGTH_MAX = 80


def _own(attribute: str, attributes: Mapping[str, Value]) -> str:
    value = attributes.get(attribute)
    if value is None:
        return theirs(attribute)
    text = as_text(value)
    short = text if len(text) <= VALUE_LENGTH_MAX else f"{text[:VALUE_LENGTH_MAX]}..."
    return f"{attribute}={short}" if text else f"an empty {attribute}"
