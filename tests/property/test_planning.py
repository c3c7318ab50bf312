"""Laws of planning, against a search that is as naive as can be.

The brute force below knows nothing of the planner: it walks full states, value by value, as the
module format describes them, and shares no code with `kraken.planning`.
"""

from __future__ import annotations

import heapq
from itertools import product
from pathlib import Path as FilePath
from random import Random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kraken.model.catalog import Catalog
from kraken.model.module import (
    Action,
    Change,
    Condition,
    Discovery,
    KrakenModule,
    Mutation,
    Observes,
    Variable,
)
from kraken.planning import factoring
from kraken.planning.path import DIFFERENT, NoPath, Path
from kraken.planning.planner import Planner

UNKNOWN = "UNKNOWN"
LOOK = Action("tcp", None, FilePath())

# Random domains -----------------------------------------------------------------------------------


@st.composite
def domains(draw, variables_max=5, operators_max=8):
    """(catalog, attributes, dsc, cfg, blind) with every feature of the language."""
    names = [f"v{i}" for i in range(draw(st.integers(1, variables_max)))]
    closed = {}
    for name in names:
        closed[name] = draw(st.sampled_from([("A", "B"), ("A", "B", "C"), None, ("A",)]))
    literals = {name: closed[name] or ("A", "B") for name in names}

    def values_of(name, unknown=False):
        pool = [*literals[name], *([UNKNOWN] if unknown else [])]
        return draw(st.lists(st.sampled_from(pool), min_size=1, max_size=2, unique=True).map(tuple))

    def condition(among, attributes=True):
        if attributes and draw(st.integers(0, 5)) == 0:
            return Condition(draw(st.sampled_from(["arch", "bmc"])), (draw(st.sampled_from(["x", "y"])),))
        name = draw(st.sampled_from(among))
        if draw(st.integers(0, 7)) == 0:
            return Condition(name, ("ANY",))
        return Condition(name, values_of(name, unknown=draw(st.booleans())))

    variables = {}
    for i, name in enumerate(names):
        known = ()
        if i and draw(st.integers(0, 2)) == 0:
            known = tuple(condition(names[:i]) for _ in range(draw(st.integers(1, 2))))
        variables[name] = Variable("m", name, closed[name], known_when=known)

    def some(maker, most):
        return tuple(maker() for _ in range(draw(st.integers(0, most))))

    mutations, discoveries = {}, {}
    for i in range(draw(st.integers(1, operators_max))):
        requires = some(lambda: condition(names), 2) if draw(st.booleans()) else ()
        excludes = some(lambda: condition(names), 1) if draw(st.integers(0, 2)) == 0 else ()
        cost = draw(st.sampled_from([1.0, 1.0, 2.0, 0.5, 0.1, 0.0, 7.0]))
        if draw(st.integers(0, 3)) == 0:
            seen = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
            observes = tuple(Observes(n, values_of(n) if draw(st.booleans()) else None) for n in seen)
            discoveries[f"d{i}"] = Discovery("m", f"d{i}", observes, LOOK, requires, excludes, cost=cost)
        else:
            changed = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
            changes = []
            for name in changed:
                sources = values_of(name, unknown=True) if draw(st.integers(0, 2)) else None
                targets = [*literals[name], "$cfg"] + ([UNKNOWN] if draw(st.integers(0, 5)) == 0 else [])
                changes.append(Change(name, sources, draw(st.sampled_from(targets))))
            mutations[f"o{i}"] = Mutation(
                "m",
                f"o{i}",
                tuple(changes),
                requires,
                excludes,
                cost=cost,
                disruptive=draw(st.booleans()),
                fails_to={changed[0]: literals[changed[0]][0]},
            )
    catalog = Catalog(
        [
            KrakenModule(
                "m",
                "",
                FilePath("m.yml"),
                variables=variables,
                mutations=mutations,
                discoveries=discoveries,
            )
        ]
    )
    attributes = {}
    for name in ("arch", "bmc"):
        value = draw(st.sampled_from(["x", "x", "y", ["x", "y"], None]))
        if value is not None:
            attributes[name] = value

    def concrete(name):
        return draw(st.sampled_from([*literals[name], *(["W", "Z"] if closed[name] is None else [])]))

    dsc = {name: concrete(name) for name in names if draw(st.integers(0, 3))}
    wished = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
    cfg = {name: concrete(name) for name in sorted(wished)}
    blind = frozenset(d.key for d in discoveries.values() if draw(st.integers(0, 4)) == 0)
    return catalog, attributes, catalog.known(dsc, attributes), cfg, blind


def long_domain(seed: int):
    """As `domains`, from a seed and with longer paths: chains of mutations that need one another."""
    random = Random(seed)
    names = [f"v{i}" for i in range(random.randint(3, 6))]
    closed = {
        name: None if random.random() < 0.15 else tuple("ABCD"[: random.randint(2, 3)]) for name in names
    }
    literals = {name: closed[name] or ("A", "B") for name in names}

    def some_of(name, most=2):
        return tuple(random.sample(literals[name], random.randint(1, min(most, len(literals[name])))))

    def others(name, count):
        picked = random.sample([n for n in names if n != name], random.randint(0, count))
        return tuple(Condition(n, some_of(n)) for n in picked)

    variables = {}
    for i, name in enumerate(names):
        known = ()
        if i and random.random() < 0.4:
            on = random.choice(names[:i])
            known = (Condition(on, some_of(on)),)
        variables[name] = Variable("m", name, closed[name], known_when=known)
    mutations, discoveries = {}, {}

    def cost():
        return random.choice([0.0, 0.5, 1.0, 1.0, 1.0, 2.0, 3.0])

    for name in names:
        targets = [*literals[name], *(["$cfg"] if closed[name] is None or random.random() < 0.1 else [])]
        for target in targets:
            for _ in range(random.choice([1, 1, 1, 2, 0])):
                sources = (
                    None if random.random() < 0.3 else (*some_of(name), *random.choice([(), ("UNKNOWN",)]))
                )
                changes = [Change(name, sources, target)]
                if random.random() < 0.25:
                    other = random.choice([n for n in names if n != name])
                    changes.append(Change(other, None, random.choice(["UNKNOWN", *literals[other]])))
                key = f"o{len(mutations)}"
                mutations[key] = Mutation(
                    "m",
                    key,
                    tuple(changes),
                    others(name, 2) if random.random() < 0.6 else (),
                    others(name, 1) if random.random() < 0.25 else (),
                    cost=cost(),
                    disruptive=random.random() < 0.3,
                )
    for i in range(random.randint(0, 3)):
        seen = random.sample(names, random.randint(1, 3))
        observes = tuple(Observes(n, some_of(n) if random.random() < 0.4 else None) for n in seen)
        needs = others(seen[0], 1)
        discoveries[f"d{i}"] = Discovery("m", f"d{i}", observes, LOOK, needs, cost=cost())
    module = KrakenModule(
        "m", "", FilePath("m.yml"), variables=variables, mutations=mutations, discoveries=discoveries
    )
    catalog = Catalog([module])
    dsc = {name: random.choice([*literals[name], "UNKNOWN"]) for name in names}
    wished = [name for name in names if random.random() < 0.7] or names[:1]
    cfg = {
        name: random.choice([*literals[name], *(["W"] if closed[name] is None else [])]) for name in wished
    }
    return catalog, {}, catalog.known(dsc, {}), cfg, frozenset()


# Brute force --------------------------------------------------------------------------------------


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


# Laws ---------------------------------------------------------------------------------------------

thorough = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@thorough
@given(domains())
def test_a_path_is_as_cheap_as_brute_force_finds_and_none_exists_only_where_it_finds_none(domain):
    catalog, attributes, dsc, cfg, blind = domain

    answer = Planner(catalog).find_path(attributes, dsc, cfg, blind=blind)

    cost = cheapest(catalog, attributes, dsc, cfg, blind)
    if isinstance(answer, NoPath):
        assert cost is None
        assert answer.variables
        assert set(answer.variables) <= set(cfg)
        assert len(answer.reasons) == len(answer.variables)
    else:
        assert cost is not None
        assert abs(answer.cost - cost) < 1e-9
        assert abs(answer.cost - sum(step.operator.cost for step in answer.steps)) < 1e-9
        assert not any(step.operator.key in blind for step in answer.steps)


@thorough
@given(domains(), st.integers(0, 2**32))
def test_a_path_replayed_in_any_order_its_waits_allow_is_applicable_and_ends_in_cfg(domain, seed):
    catalog, attributes, dsc, cfg, blind = domain
    answer = Planner(catalog).find_path(attributes, dsc, cfg, blind=blind)
    if isinstance(answer, NoPath):
        return
    random = Random(seed)

    orders = [list(range(len(answer.steps))), *(any_order(answer, random) for _ in range(3))]
    for order in orders:
        end = replay(catalog, attributes, dsc, cfg, [answer.steps[i] for i in order])

        assert {name: end[name] for name in cfg} == cfg


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32))
@example(1000093)  # a step that forgets what is not known yet must not go before the one that knows it
def test_long_paths_are_cheapest_and_the_same_however_the_variables_are_divided(seed):
    catalog, attributes, dsc, cfg, blind = domain = long_domain(seed)
    cost = cheapest(*domain)
    answers = []
    for leaf_states_max in (1, 5, 20, 64):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(factoring, "LEAF_STATES_MAX", leaf_states_max)
            answers.append(Planner(catalog).find_path(attributes, dsc, cfg, blind=blind))

    answer = answers[0]
    assert (cost is None) == isinstance(answer, NoPath)
    if isinstance(answer, Path):
        assert all(abs(other.cost - cost) < 1e-9 for other in answers)
        used = [sorted(step.operator.name for step in other.steps) for other in answers]
        assert used == [used[0]] * len(used)
        for other in answers:
            for order in (range(len(other.steps)), any_order(other, Random(seed))):
                end = replay(catalog, attributes, dsc, cfg, [other.steps[i] for i in order])
                assert {name: end[name] for name in cfg} == cfg


def any_order(path: Path, random: Random) -> list[int]:
    done: list[int] = []
    while len(done) < len(path.steps):
        ready = [
            i for i, step in enumerate(path.steps) if i not in done and all(j in done for j in step.after)
        ]
        done.append(random.choice(ready))
    return done


@settings(thorough, max_examples=150)
@given(domains())
def test_the_rest_of_a_path_is_no_dearer_when_planned_from_there(domain):
    catalog, attributes, dsc, cfg, blind = domain
    planner = Planner(catalog)
    answer = planner.find_path(attributes, dsc, cfg, blind=blind)
    if isinstance(answer, NoPath) or not answer.steps:
        return
    after = replay(catalog, attributes, dsc, cfg, answer.steps[:1])

    rest = planner.find_path(attributes, after, cfg, blind=blind)
    fresh = Planner(catalog).find_path(attributes, after, cfg, blind=blind)

    assert isinstance(rest, Path)
    assert rest == fresh
    # It may even be cheaper: what the step forgot may be found to be anything.
    assert rest.cost <= answer.cost - answer.steps[0].operator.cost + 1e-9


@settings(thorough, max_examples=150)
@given(domains())
def test_attributes_that_would_open_a_path_do(domain):
    catalog, attributes, dsc, cfg, blind = domain
    answer = Planner(catalog).find_path(attributes, dsc, cfg, blind=blind)
    if isinstance(answer, Path) or len(answer.variables) > 1 or not answer.unmet:
        return
    values = {}
    for condition in answer.unmet:
        values.setdefault(condition.name, []).extend(condition.values)
    alone = {name: cfg[name] for name in answer.variables}

    met = {**attributes, **{name: [*as_list(attributes.get(name)), *v] for name, v in values.items()}}

    # More values can also meet an `excludes`; then the promise is void.
    if any(c.name in values for op in operators(catalog) for c in op.excludes):
        return
    assert isinstance(Planner(catalog).find_path(met, dsc, alone, blind=blind), Path)


@settings(thorough, max_examples=150)
@given(domains())
def test_what_is_said_to_be_reachable_instead_is_and_nothing_else(domain):
    catalog, attributes, dsc, cfg, _ = domain
    none = frozenset()
    answer = Planner(catalog).find_path(attributes, dsc, cfg)
    if isinstance(answer, Path):
        return
    rest = {name: value for name, value in cfg.items() if name not in answer.variables}
    if cheapest(catalog, attributes, dsc, rest, none) is None:
        rest = {}

    assert list(answer.reachable) == list(answer.variables)
    for name in answer.variables:
        values = catalog.variables[name].values or ((dsc[name],) if name in dsc else ())
        others = [value for value in values if value != cfg[name]]
        truly = [v for v in others if cheapest(catalog, attributes, dsc, {**rest, name: v}, none) is not None]

        assert list(answer.reachable[name]) == truly


def as_list(value):
    return value if isinstance(value, list) else [] if value is None else [value]
