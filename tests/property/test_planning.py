"""Laws of planning, against a search that is as naive as can be (naive.py)."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kraken.planning import factoring
from kraken.planning.path import NoPath, Path
from kraken.planning.planner import Planner
from tests.property.domains import domains, long_domain
from tests.property.naive import cheapest, operators, replay

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
    # What may be set for the sake of another wish only, may lie on the way; alone, or with that one.
    found = [Planner(catalog).find_path(met, dsc, wishes, blind=blind) for wishes in (alone, cfg)]
    together = found[1]
    collide = isinstance(together, NoPath) and any("had together" in why for why in together.reasons)
    assert collide or any(isinstance(one, Path) for one in found), found


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
