"""What Kraken modules name: conditions on attributes, and values of variables whose domain is open.

The planner tells nodes and Cfgs apart by these only.
"""

from __future__ import annotations

from kraken.model.catalog import Catalog
from kraken.model.module import ANY, CFG_VALUE, Condition, Mutation
from kraken.model.update import UNKNOWN
from kraken.planning.problem import operators_of


def attribute_conditions(catalog: Catalog) -> tuple[Condition, ...]:
    """Every distinct condition on an attribute, in order of declaration."""
    found: dict[Condition, None] = {}
    for operator in operators_of(catalog):
        found.update(dict.fromkeys((*operator.requires, *operator.excludes)))
    for variable in catalog.variables.values():
        found.update(dict.fromkeys(variable.known_when))
    return tuple(condition for condition in found if condition.name not in catalog.variables)


def literals(catalog: Catalog) -> dict[str, set[str]]:
    """For each variable with an open domain the values some module names."""
    found: dict[str, set[str]] = {
        variable.name: {UNKNOWN} for variable in catalog.variables.values() if variable.values is None
    }
    conditions = [c for variable in catalog.variables.values() for c in variable.known_when]
    for operator in operators_of(catalog):
        conditions += (*operator.requires, *operator.excludes)
        if isinstance(operator, Mutation):
            for change in operator.changes:
                if change.variable in found:
                    found[change.variable].update(change.sources or ())
                    if change.target != CFG_VALUE:
                        found[change.variable].add(change.target)
        else:
            for observes in operator.observes:
                if observes.variable in found:
                    found[observes.variable].update(observes.values or ())
    for condition in conditions:
        if condition.name in found and condition.values != (ANY,):
            found[condition.name].update(condition.values)
    return found
