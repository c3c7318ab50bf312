"""Laws of the analysis of modules: against a naive walk of whole states, and of itself.

The walk is that of naive.py: full states, value by value, and no code of `kraken.planning`.
"""

from __future__ import annotations

from collections import deque
from itertools import product

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kraken.model.module import Mutation
from kraken.planning.analysis.analyse import analyse
from kraken.planning.analysis.policy import Policy, backward
from kraken.planning.analysis.reaching import examine
from kraken.planning.analysis.relaxed import Relaxed
from kraken.planning.analysis.slices import slices_of
from kraken.planning.analysis.space import Kind, Space, TooLarge
from kraken.planning.path import DIFFERENT, NoPath
from kraken.planning.planner import WISHED, Planner
from tests.property import naive
from tests.property.domains import domains, long_domain

thorough = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
STATES_MAX = 400


def walked(catalog, attributes, values):
    """Every state a node may be seen in, by brute force, and the operators that start somewhere.

    Args:
        values: of each variable, those to tell apart; any other is DIFFERENT.
    """
    first = naive.full(catalog, {})
    seen = {tuple(first.values())}
    todo = deque([first])
    started = set()
    while todo:
        state = todo.popleft()
        for operator in naive.operators(catalog):
            for after in afters(catalog, operator, state, attributes, values):
                started.add(operator.key)
                told = {n: v if v in (*values[n], "UNKNOWN") else DIFFERENT for n, v in after.items()}
                key = tuple(told.values())
                if key not in seen:
                    seen.add(key)
                    todo.append(told)
                if len(seen) > STATES_MAX:
                    return None, None
    return [dict(zip(catalog.variables, values, strict=True)) for values in seen], started


def afters(catalog, operator, state, attributes, values):
    """Where the operator leads, as planned and otherwise: a time-out, another value seen."""
    if not naive.applicable(catalog, operator, state, attributes):
        return
    if not isinstance(operator, Mutation):
        reported = {seen.variable: seen.values or values[seen.variable] for seen in operator.observes}
        unknown = [name for name in reported if state[name] == "UNKNOWN"]
        looks = product(*([(name, v) for v in ("UNKNOWN", *reported[name])] for name in unknown))
        sights = [((name, v),) for name in reported if name not in unknown for v in reported[name]]
        for look in (*looks, *sights):
            seen = {name: value for name, value in look if value != "UNKNOWN"}
            after = naive.forget(catalog, {**state, **seen}, attributes)
            if seen and all(after[name] == value for name, value in seen.items()):
                yield after
        return
    if any(
        (c.sources is not None and state[c.variable] not in c.sources)
        or (operator.disruptive and state[c.variable] == "UNKNOWN")
        for c in operator.changes
    ):
        return
    choices = [
        [v for v in values[c.variable] if v != DIFFERENT] if c.target == "$cfg" else [c.target]
        for c in operator.changes
    ]
    for targets in product(*choices):
        wanted = {c.variable: target for c, target in zip(operator.changes, targets, strict=True)}
        after = naive.forget(catalog, {**state, **wanted}, attributes)
        if all(after[name] == value for name, value in wanted.items()):
            yield after
            yield naive.forget(catalog, {**state, **operator.fails_to}, attributes)


def slices(catalog, attributes):
    return slices_of(catalog, lambda condition: catalog.meets(condition, {}, attributes))


@thorough
@given(domains(variables_max=4))
def test_what_a_space_of_states_says_is_what_a_naive_walk_finds(domain):
    catalog, attributes = domain[:2]
    live, starting = set(), set()
    for slice_ in slices(catalog, attributes):
        names = slice_.problem.names
        values = {
            name: variable.values or ("A", "B", WISHED, DIFFERENT)
            for name, variable in catalog.variables.items()
        }
        values |= {
            name: domain[1:]
            for name, domain in zip(names, slice_.problem.values, strict=True)
            if catalog.variables[name].values is None
        }
        states, started = walked(catalog, attributes, values)
        if states is None:
            continue
        space = Space(slice_, STATES_MAX)
        found = examine(slice_, Relaxed(slice_), space)

        assert {tuple(state[name] for name in names) for state in states} == {
            tuple(slice_.fact(var, value)[1] for var, value in enumerate(state)) for state in space.states
        }
        live |= found.live
        starting |= {act.edge.operator.key for act in slice_.acts} & started
    assert live == starting


@thorough
@given(domains(variables_max=4) | st.integers(0, 2**32).map(long_domain))
def test_what_is_called_dead_unreached_or_a_trap_conservatively_is_so_exactly(domain):
    catalog, attributes = domain[:2]
    for slice_ in slices(catalog, attributes):
        relaxed = Relaxed(slice_)
        try:
            space = Space(slice_, STATES_MAX)
        except TooLarge:
            continue
        exact, conservative = examine(slice_, relaxed, space), examine(slice_, relaxed, None)

        assert set(conservative.dead) <= set(exact.dead)
        assert exact.values <= conservative.values
        made = {
            slice_.fact(*fact)
            for i in space.planned
            for move in space.moves[i]
            if move.kind is Kind.MUTATION
            for fact in move.act.edge.sets
        }
        for trap in conservative.traps:
            here = [
                i
                for i, state in enumerate(space.states)
                if all(slice_.fact(v, x) in trap.where for v, x in enumerate(state) if is_of(slice_, trap, v))
            ]
            for i in here:
                values = {slice_.fact(v, x) for j in space.reached(i) for v, x in enumerate(space.states[j])}
                assert not values & set(trap.lost) & made
                if trap.stuck:
                    assert {fact for fact in values if fact[0] == trap.where[0][0]} == set(trap.where)


def is_of(slice_, trap, var):
    return slice_.problem.names[var] in {name for name, _ in trap.where}


@thorough
@given(domains(variables_max=4))
def test_the_planner_has_no_path_out_of_a_trap(domain):
    catalog, attributes = domain[:2]
    planner = Planner(catalog)
    for slice_ in slices(catalog, attributes):
        try:
            space = Space(slice_, STATES_MAX)
        except TooLarge:
            continue
        for trap in examine(slice_, Relaxed(slice_), space).traps[:3]:
            state = next(
                named
                for named in (dict(slice_.fact(v, x) for v, x in enumerate(state)) for state in space.states)
                if all(named[name] == value for name, value in trap.where)
            )
            dsc = {name: value for name, value in state.items() if value != "UNKNOWN"}
            for name, value in trap.lost:
                if WISHED in (value, *dsc.values()) or DIFFERENT in (value, *dsc.values()):
                    continue

                assert isinstance(planner.find_path(attributes, dsc, {name: value}), NoPath)


@thorough
@given(domains())
def test_an_analysis_ends_and_says_how_it_came_about(domain):
    catalog = domain[0]
    report = analyse(catalog, states_max=100)

    coverage = report.coverage
    assert sorted([*coverage.exact, *coverage.conservative, *coverage.skipped]) == sorted(catalog.variables)
    assert coverage.classes <= coverage.possible
    assert len({(finding.code, finding.name) for finding in report.findings}) == len(report.findings)
    assert all(finding.what and finding.todo and finding.places for finding in report.findings)


@thorough
@given(domains(variables_max=3))
def test_what_the_engine_is_thought_to_do_is_what_the_planner_answers(domain):
    catalog, attributes = domain[:2]
    planner = Planner(catalog)
    for slice_ in slices(catalog, attributes):
        try:
            space = Space(slice_, 60)
        except TooLarge:
            continue
        links = backward(space)
        for var, name in enumerate(slice_.problem.names):
            for value in catalog.variables[name].values or ():
                policy = Policy(space, {var: slice_.problem.codes[var][value]}, links)
                for i, state in enumerate(space.states):
                    dsc = dict(slice_.fact(v, x) for v, x in enumerate(state) if x)
                    if {WISHED, DIFFERENT} & set(dsc.values()):
                        continue
                    answer = planner.find_path(attributes, dsc, {name: value})
                    steps = () if isinstance(answer, NoPath) else answer.steps

                    assert [move.act.edge.operator.key for _, move in policy.path(i)] == [
                        step.operator.key for step in steps
                    ]
