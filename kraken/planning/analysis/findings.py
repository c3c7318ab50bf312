"""What an analysis finds: each with a stable code, where it is declared, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kraken.model.catalog import Catalog
from kraken.model.module import Discovery, Mutation
from kraken.model.update import UNKNOWN
from kraken.planning.path import DIFFERENT
from kraken.planning.planner import WISHED

CODES: Final = {
    "dead-mutation": "no node in any state can ever start it",
    "dead-discovery": "no node in any state can ever be looked at by it",
    "unreached-value": "nothing leads to a declared value",
    "trap": "a state from which no path leads back to values that could be had before",
    "never-discovered": "a variable that is mutated, and that no discovery observes",
    "undo-loop": "mutations that undo each other again and again, each of them succeeding",
    "fails-to-loop": "where a mutation ends when it fails, the cheapest path leads into it again",
    "equal-paths": "two cheapest paths, told apart by the order of declaration only",
    "shadowed-attribute": "a variable with the name of an attribute that is read elsewhere",
    "never-confirmed": "a disruptive mutation whose start is only ever asserted, never seen",
}
"""Every code and what it means. Codes are stable: who ignores one can rely on it."""


class Severity(StrEnum):
    """ERROR: it cannot work as declared. WARNING: it will hurt somebody. NOTE: good to know."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is declared: a module's name, and the keys that lead there in its file."""

    module: str
    key: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    Attributes:
        code: one of CODES.
        name: what it is about (`module.mutation`, a variable, `variable=VALUE`); with the code, it
            is what one ignores.
        places: where it is declared; the first is the one to look at.
        classes: the nodes it is true for, in words; empty: all for which it is a question.
        what: one sentence, what is wrong. todo: one, what to do.
    """

    code: str
    severity: Severity
    name: str
    places: tuple[Place, ...]
    classes: tuple[str, ...]
    what: str
    todo: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the question was answered.

    Attributes:
        classes: kinds of nodes examined; `possible`: that the conditions on attributes tell apart.
        exact: variables whose every state, with all it depends on, was walked.
        conservative: variables of which only what is surely out of reach was told.
        skipped: variables not examined at all.
        states: states walked.
    """

    classes: int
    possible: int
    exact: tuple[str, ...]
    conservative: tuple[str, ...]
    skipped: tuple[str, ...]
    states: int


@dataclass(frozen=True, slots=True)
class Report:
    """All findings, the worst first, and how they came about."""

    findings: tuple[Finding, ...]
    coverage: Coverage


def place_of(operator: Mutation | Discovery) -> Place:
    """Where a mutation or discovery is declared."""
    section = "mutations" if isinstance(operator, Mutation) else "discoveries"
    return Place(operator.module, (section, operator.name))


def places_of(catalog: Catalog, variable: str) -> tuple[Place, ...]:
    """Every declaration of a variable; several modules may declare it alike."""
    return tuple(
        Place(module.name, ("variables", variable))
        for module in catalog.modules.values()
        if variable in module.variables
    )


def value_text(value: str) -> str:
    """A value of a problem as the module's author would write it."""
    return {WISHED: "$cfg", DIFFERENT: "another value", UNKNOWN: UNKNOWN}.get(value, value)


def listed(parts: list[str], most: int = 4) -> str:
    """`a, b and 3 more`."""
    if len(parts) <= most:
        return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]
    return f"{', '.join(parts[: most - 1])} and {len(parts) - most + 1} more"
