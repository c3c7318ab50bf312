"""A planner as naive as can be: Dijkstra over full states, value by value, as the module format has them.

It shares nothing with `kraken.planning` but its word for a value that is neither wished nor named.
"""

from __future__ import annotations

import heapq
from itertools import product

from kraken.model.module import Mutation
from kraken.planning.path import DIFFERENT

UNKNOWN = "UNKNOWN"


def holds(catalog, condition, state, attributes):
    if condition.values == ("ANY",) and condition.name in catalog.variables:
        return state[condition.name] != UNKNOWN
    if condition.name in catalog.variables:
        return state[condition.name] in condition.values
    value = attributes.get(condition.name)
    return any(v in condition.values for v in (value if isinstance(value, list) else [value]))


def forget(catalog, state, attributes):
    changed = True
    state = dict(state)
    while changed:  # variables know only of those declared before them, so this ends
        changed = False
        for name, variable in catalog.variables.items():
            if state[name] != UNKNOWN and not all(
                holds(catalog, c, state, attributes) for c in variable.known_when
            ):
                state[name] = UNKNOWN
                changed = True
                break
    return state


def applicable(catalog, operator, state, attributes):
    return all(holds(catalog, c, state, attributes) for c in operator.requires) and not any(
        holds(catalog, c, state, attributes) for c in operator.excludes
    )


def outcomes(catalog, operator, state, attributes, cfg, known):
    """Every state the operator may lead to from here.

    What is `known` at the start of the path is not found otherwise by a discovery.
    """
    if not applicable(catalog, operator, state, attributes):
        return
    if isinstance(operator, Mutation):
        given = {}
        for change in operator.changes:
            value = state[change.variable]
            if change.sources is not None and value not in change.sources:
                return
            if operator.disruptive and value == UNKNOWN:
                return
            if change.target == "$cfg" and change.variable not in cfg:
                return
            given[change.variable] = cfg[change.variable] if change.target == "$cfg" else change.target
        hopes = [given]
    else:
        options = []
        for seen in operator.observes:
            if state[seen.variable] == UNKNOWN:
                values = seen.values or everything(catalog, seen.variable, cfg)
                if seen.variable in known:
                    values = [v for v in values if v == known[seen.variable]]
                options.append([(seen.variable, value) for value in (UNKNOWN, *values)])
        hopes = [{n: v for n, v in hope if v != UNKNOWN} for hope in product(*options)]
    for given in hopes:
        after = forget(catalog, {**state, **given}, attributes)
        if after != state and all(after[name] == value for name, value in given.items()):
            yield after


def everything(catalog, name, cfg):
    variable = catalog.variables[name]
    if variable.values is not None:
        return variable.values
    return tuple(dict.fromkeys([*([cfg[name]] if name in cfg else []), "A", "B", DIFFERENT]))


def known_at_start(catalog, dsc, attributes, cfg):
    """What the start knows, in the values that `everything` has."""
    known = {n: v for n, v in forget(catalog, full(catalog, dsc), attributes).items() if v != UNKNOWN}
    return {
        n: v if v in (*everything(catalog, n, cfg), *named(catalog, n)) else DIFFERENT
        for n, v in known.items()
    }


def named(catalog, name):
    """Values of the variable that discoveries name."""
    return [
        value
        for discovery in catalog.discoveries.values()
        for seen in discovery.observes
        if seen.variable == name
        for value in seen.values or ()
    ]


def full(catalog, dsc):
    return {name: dsc.get(name, UNKNOWN) for name in catalog.variables}


def operators(catalog):
    return [*catalog.mutations.values(), *catalog.discoveries.values()]


def cheapest(catalog, attributes, dsc, cfg, blind):
    """The least cost from dsc to cfg, or None: Dijkstra on full states."""
    start = full(catalog, dsc)
    known = known_at_start(catalog, dsc, attributes, cfg)
    best = {tuple(start.values()): 0.0}
    heap = [(0.0, tuple(start.values()))]
    while heap:
        cost, values = heapq.heappop(heap)
        if cost > best[values]:
            continue
        state = dict(zip(catalog.variables, values, strict=True))
        if all(state[name] == value for name, value in cfg.items()):
            return cost
        for operator in operators(catalog):
            if operator.key in blind:
                continue
            for after in outcomes(catalog, operator, state, attributes, cfg, known):
                key = tuple(after.values())
                if cost + operator.cost < best.get(key, float("inf")):
                    best[key] = cost + operator.cost
                    heapq.heappush(heap, (best[key], key))
    return None


def replay(catalog, attributes, dsc, cfg, steps):
    """Perform the steps one after another, each checked; the state they end in."""
    state = full(catalog, dsc)
    known = known_at_start(catalog, dsc, attributes, cfg)
    for step in steps:
        expected = {**state, **step.effects}
        matching = [
            after
            for after in outcomes(catalog, step.operator, state, attributes, cfg, known)
            if all(after[name] == value for name, value in step.effects.items())
        ]

        assert matching, f"{step.operator.name} is not applicable, or does not do {step.effects}"
        # Variables that do not matter for cfg are not in effects; they follow the declaration. Of
        # what a discovery may find, the least is taken.
        state = min(matching, key=lambda after: sum(after[n] != expected[n] for n in after))
    return state
