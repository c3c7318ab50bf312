"""The kinds of nodes that a set of modules tells apart, by the attributes their conditions name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from math import prod

from kraken.model.catalog import Catalog
from kraken.model.module import ANY, Condition, Discovery, Mutation
from kraken.model.update import Value
from kraken.planning.problem import operators_of

GROUPS = "groups"  # the one attribute that is a list on every node
OTHER = "(other)"
"""A value no condition names."""


@dataclass(frozen=True, slots=True)
class NodeClass:
    """Nodes that meet the same conditions on attributes.

    Attributes:
        words: the conditions met, as one would type them.
        imagined: it has every value of an attribute at once, as a list may; a node like it may not
            exist, so it can only show that something is possible.
    """

    attributes: Mapping[str, Value]
    words: str
    imagined: bool = False


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes to examine, those with most conditions met first, and how many there are."""

    examined: tuple[NodeClass, ...]
    possible: int


def classes_of(catalog: Catalog, classes_max: int) -> Classes:
    """The classes of nodes the catalog's conditions tell apart, at most `classes_max` of them.

    When there are more, each mutation and discovery still has one in which its own conditions hold.
    """
    conditions = conditions_on_attributes(catalog)
    options = {
        name: _options(catalog, name, [c for c in conditions if c.name == name])
        for name in dict.fromkeys(c.name for c in conditions)
    }
    possible = prod(len(choice) for choice in options.values())
    assignments: Iterator[Sequence[Value | None]] = product(*options.values())
    chosen: dict[tuple[bool, ...], NodeClass] = {}

    def add(values: Mapping[str, Value | None], imagined: bool = False) -> None:
        attributes = {name: value for name, value in values.items() if value is not None}
        met = tuple(catalog.meets(c, {}, attributes) for c in conditions)
        chosen.setdefault(met, NodeClass(attributes, _words(conditions, met), imagined))

    if possible > classes_max:
        for values in islice(_wanted(catalog, options), classes_max):
            add(values)
    for combination in assignments:
        if len(chosen) >= classes_max:
            break
        add(dict(zip(options, combination, strict=True)))
    literals = {name: _literals([c for c in conditions if c.name == name]) for name in options}
    if any(len(values) > 1 for name, values in literals.items() if name != GROUPS):
        add({name: list(values) or OTHER for name, values in literals.items()}, imagined=True)
    return Classes(tuple(chosen.values()), max(possible, 1))


def conditions_on_attributes(catalog: Catalog) -> tuple[Condition, ...]:
    """Every distinct condition on an attribute, in order of declaration."""
    found: dict[Condition, None] = {}
    for operator in operators_of(catalog):
        found.update(dict.fromkeys((*operator.requires, *operator.excludes)))
    for variable in catalog.variables.values():
        found.update(dict.fromkeys(variable.known_when))
    return tuple(condition for condition in found if condition.name not in catalog.variables)


def _options(catalog: Catalog, name: str, conditions: Sequence[Condition]) -> list[Value | None]:
    """Values of one attribute that differ in the conditions they meet; None: it is not declared."""
    literals = _literals(conditions)
    candidates: list[Value | None] = [*literals, OTHER, None]
    if name == GROUPS and len(literals) > 1:
        candidates.insert(0, list(literals))
    told: dict[tuple[bool, ...], Value | None] = {}
    for value in candidates:
        attributes = {} if value is None else {name: value}
        told.setdefault(tuple(catalog.meets(c, {}, attributes) for c in conditions), value)
    return list(told.values())


def _literals(conditions: Sequence[Condition]) -> list[str]:
    return list(dict.fromkeys(v for c in conditions if c.values != (ANY,) for v in c.values))


def _wanted(
    catalog: Catalog, options: Mapping[str, Sequence[Value | None]]
) -> Iterator[Mapping[str, Value | None]]:
    """For each operator, attributes that meet its conditions, as far as single ones can."""
    for operator in operators_of(catalog):
        values = {name: choice[0] for name, choice in options.items()}
        for name, choice in options.items():
            fitting = [value for value in choice if _fits(catalog, operator, name, value)]
            if fitting:
                values[name] = fitting[0]
        yield values


def _fits(catalog: Catalog, operator: Mutation | Discovery, name: str, value: Value | None) -> bool:
    attributes = {} if value is None else {name: value}
    return all(catalog.meets(c, {}, attributes) for c in operator.requires if c.name == name) and not any(
        catalog.meets(c, {}, attributes) for c in operator.excludes if c.name == name
    )


def _words(conditions: Sequence[Condition], met: Sequence[bool]) -> str:
    holding = [c for c, holds in zip(conditions, met, strict=True) if holds]
    named = {c.name for c in holding if c.values != (ANY,)}
    shown = [str(c) for c in holding if c.values != (ANY,) or c.name not in named]
    return " ".join(shown) or "no attributes"
