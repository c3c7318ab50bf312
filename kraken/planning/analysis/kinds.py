"""Classes of nodes that differ in nothing a slice could notice: examined once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from kraken.model.catalog import Catalog
from kraken.model.module import Condition, Discovery, Mutation
from kraken.model.update import UNKNOWN
from kraken.planning.analysis.classes import NodeClass
from kraken.planning.problem import operators_of


@dataclass(frozen=True)
class Kind:
    """Classes of nodes with the same mutations and discoveries.

    Attributes:
        words: of each class.
        meets: whether these nodes meet a condition on an attribute.
        operators: what they have.
        imagined: see `NodeClass`.
    """

    words: tuple[str, ...]
    meets: Callable[[Condition], bool]
    operators: list[Mutation | Discovery]
    imagined: bool


def kinds_of(catalog: Catalog, classes: Iterable[NodeClass]) -> list[Kind]:
    kinds: dict[tuple[frozenset[str], frozenset[str]], Kind] = {}
    for node_class in classes:
        meets = _meets(catalog, node_class)
        knowable = frozenset(
            name
            for name, variable in catalog.variables.items()
            if all(c.name in catalog.variables or meets(c) for c in variable.known_when)
        )
        operators = [o for o in operators_of(catalog) if _exists(catalog, o, meets, knowable)]
        key = (frozenset(o.key for o in operators), knowable)
        kind = kinds.get(key)
        if kind is None:
            kinds[key] = Kind((node_class.words,), meets, operators, node_class.imagined)
        elif not node_class.imagined:
            words = node_class.words if kind.imagined else (*kind.words, node_class.words)
            kinds[key] = replace(kind, words=(words,) if isinstance(words, str) else words, imagined=False)
    return list(kinds.values())


def _meets(catalog: Catalog, node_class: NodeClass) -> Callable[[Condition], bool]:
    return lambda condition: catalog.meets(condition, {}, node_class.attributes)


def _exists(
    catalog: Catalog,
    operator: Mutation | Discovery,
    meets: Callable[[Condition], bool],
    knowable: frozenset[str],
) -> bool:
    """Whether nodes of a class have this mutation or discovery at all."""
    variables = catalog.variables
    if any(c.name not in variables and not meets(c) for c in operator.requires):
        return False
    if any(c.name not in variables and meets(c) for c in operator.excludes):
        return False
    if isinstance(operator, Discovery):
        return any(seen.variable in knowable for seen in operator.observes)
    return all(change.variable in knowable or change.target == UNKNOWN for change in operator.changes)
