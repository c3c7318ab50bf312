"""A collector that cannot do a thing: one node tries it now and then, the others wait, nobody is blamed."""

from __future__ import annotations

from itertools import pairwise

import pytest

from kraken.daemon.arrivals import LookAt, Results
from kraken.engine.cause import Cause
from kraken.engine.effects import Start
from kraken.engine.faults import FORGOTTEN_S, PASSES_S, Faults, lead
from kraken.engine.settings import Settings
from kraken.model.catalog import Catalog
from kraken.model.run import NodeResult, Outcome, Run
from kraken.planning.planner import Planner
from tests.unit.engine.conftest import Bench, vocabulary

SETTINGS = Settings(backoff_s=2.0)
NODES = tuple(f"n{number}" for number in range(1, 11))


def cannot(
    bench: Bench,
    name: str = "switch_on",
    why: str = "the vault is shut",
    outcome: Outcome = Outcome.WITHDRAWN,
) -> Run:
    """The oldest run of this name that is out came to nothing, for no fault of its nodes."""
    run = bench.out(name)[0]
    bench.runs.remove(run)
    bench.accept(
        Results(
            [
                NodeResult(run.id, node, outcome, {}, why, outcome is not Outcome.WITHDRAWN, True)
                for node in run.nodes
            ]
        )
    )
    return run


@pytest.fixture
def shut(bench: Bench) -> Bench:
    """Ten nodes are to be switched on, and their collector could not do it."""
    bench.declare(*NODES, cfg={"power": "ON"})
    while looks := bench.out("see_power"):
        bench.report("see_power", {"power": "OFF"})
        assert looks, "each look is reported"
    cannot(bench)
    return bench


def tries(bench: Bench, seconds: float) -> list[Run]:
    """What is begun in this time, each run in vain as before."""
    before = len(bench.told)
    end = bench.now + seconds
    while bench.now < end:
        bench.wait(0.5)
        while bench.out("see_power"):
            bench.report("see_power", {"power": "OFF"})
        while bench.out("switch_on"):
            cannot(bench)
    return [
        effect.run
        for effect in bench.told[before:]
        if isinstance(effect, Start) and effect.run.operator.name == "switch_on"
    ]


def test_nodes_wait_and_are_told_why(shut: Bench) -> None:
    for node in NODES:
        told = shut.engine.explain(node, shut.now)

        assert told.cause is Cause.BACKOFF
        assert told.reason == "its collector cannot do m.switch_on: the vault is shut"
        assert told.next == "tries again"


def test_one_node_tries_at_a_time_at_pauses_that_grow(shut: Bench) -> None:
    begun = tries(shut, 3600.0)

    assert {len(run.nodes) for run in begun} == {1}
    gaps = [later.issued_at - sooner.issued_at for sooner, later in pairwise(begun)]
    assert gaps == sorted(gaps)
    assert 60.0 <= gaps[-1] <= 62.0
    assert len(begun) < 3600.0 / 50.0


def test_it_is_held_against_no_node_however_long_it_lasts(shut: Bench) -> None:
    tries(shut, 86400.0)

    for node in NODES:
        progress = shut.engine.progress(node)
        assert shut.cause(node) == "BACKOFF"
        assert not progress.trouble
        assert (progress.effort.steps, progress.effort.begun) == (0.0, ())


def test_what_was_done_before_it_could_not_go_on_is_no_failure_and_counts_as_a_step(bench: Bench) -> None:
    """So it is looked at again, and does not go on for ever where the tasks change something each time."""
    bench.declare("n1", cfg={"power": "ON"})
    bench.report("see_power", {"power": "OFF"})
    cannot(bench, outcome=Outcome.FAILED)
    progress = bench.engine.progress("n1")
    assert bench.cause() == "STALE", "what was done to it is looked at"

    told: set[str] = set()
    for _ in range(2000):
        while bench.out("see_power"):
            bench.report("see_power", {"power": "OFF"})
        while bench.out("switch_on"):
            cannot(bench, outcome=Outcome.FAILED)
        if bench.cause() == "QUARANTINED":
            break
        assert not progress.trouble.failures
        told.add(bench.engine.explain("n1", bench.now).topic)
        bench.wait(10.0)
    assert "its collector cannot do m.switch_on: the vault is shut" in told
    assert bench.cause() == "QUARANTINED"
    assert "without staying converged" in bench.engine.explain("n1", bench.now).reason


def test_all_go_on_by_themselves_once_it_can_be_done(shut: Bench) -> None:
    tries(shut, 600.0)
    while not shut.out("switch_on"):
        shut.wait(1.0)
        while shut.out("see_power"):
            shut.report("see_power", {"power": "OFF"})
    [tried] = shut.out("switch_on")[0].nodes
    shut.report("switch_on", {"power": "ON"})
    shut.wait(0.1)

    assert shut.cause(tried) == "CONVERGED"
    assert not shut.engine.batches.faults.standing(shut.now)
    [run] = shut.out("switch_on")
    assert set(run.nodes) == set(NODES) - {tried}


def test_a_retry_tries_at_once(shut: Bench) -> None:
    tries(shut, 600.0)
    shut.collector.engine.release(["n7"])
    shut.accept()

    assert [run.nodes for run in shut.out("switch_on")] == [("n7",)]


def test_other_modules_are_tried_at_once(shut: Bench) -> None:
    tries(shut, 600.0)
    catalog: Catalog = vocabulary()
    shut.engine.adopt(catalog, Planner(catalog))
    shut.accept()

    assert len(shut.out("switch_on")) == 1
    assert set(shut.out("switch_on")[0].nodes) == set(NODES)


def test_a_look_that_cannot_be_made_is_told_of_too(bench: Bench) -> None:
    bench.declare("n1", cfg={"power": "ON"})
    cannot(bench, "see_power")

    assert bench.cause() == "UNKNOWN"
    assert "the vault is shut" in bench.engine.explain("n1", bench.now).reason
    assert list(bench.engine.batches.faults.standing(bench.now)) == ["m.see_power"]


def test_who_waits_for_the_same_leaves_no_more() -> None:
    """Of a batch that had not left when the first came back with nothing, none leaves."""
    bench = Bench(settings=Settings(linger_s={}, batch_max=2, runs_max={"ipmi": 1}))
    bench.declare(*NODES, cfg={"power": "ON"})
    while bench.out("see_power"):
        bench.report("see_power", {"power": "OFF"})
    cannot(bench)

    assert not bench.out("switch_on")
    assert {bench.cause(node) for node in NODES} == {"BACKOFF"}


def test_the_node_that_tried_last_lets_others_go_first() -> None:
    """So that one node with which it cannot be done does not keep the others from it."""
    faults = Faults(SETTINGS)
    faults.note("m.a", "n1", "no", 1, 100.0)

    assert faults.refused("m.a", "n1", 102.0) is None
    faults.note("m.a", "n1", "no", 2, 102.0)
    waits = faults.refused("m.a", "n1", 106.0)
    assert waits is not None
    assert waits.detail == f"{lead('m.a')}no"
    assert waits.cannot == "m.a"
    assert waits.next_at == 106.0 + PASSES_S
    assert faults.refused("m.a", "n2", 106.0) is None


def test_what_left_before_is_no_sign_that_it_is_mended() -> None:
    faults = Faults(SETTINGS)
    faults.note("m.a", "n1", "no", 7, 100.0)
    faults.refused("m.a", "n2", 100.5)

    assert list(faults.over("m.a", 7)) == []
    assert list(faults.over("m.a", 8)) == ["n2"]


def test_what_nobody_wants_any_more_is_forgotten() -> None:
    faults = Faults(SETTINGS)
    faults.note("m.a", "n1", "no", 1, 100.0)

    assert list(faults.standing(100.0 + FORGOTTEN_S - 1.0)) == ["m.a"]
    assert not faults.standing(100.0 + FORGOTTEN_S)


@pytest.fixture
def unseen(bench: Bench) -> Bench:
    """A node is to be switched on, and its collector could not look at its power."""
    bench.declare("n1", cfg={"power": "ON"})
    cannot(bench, "see_power")
    return bench


def test_a_look_that_its_collector_cannot_do_is_told_of_it_and_once(unseen: Bench) -> None:
    told, verdict = unseen.engine.explain("n1", unseen.now), unseen.engine.progress("n1").verdict

    assert told.cause is Cause.UNKNOWN
    assert told.reason == told.topic
    assert told.reason.endswith(": its collector cannot do m.see_power: the vault is shut")
    assert told.reason.count("the vault is shut") == 1
    assert (verdict.cannot, verdict.detail) == ("m.see_power", told.reason)


def test_a_look_that_can_be_done_again_is_told_of_no_more(unseen: Bench) -> None:
    unseen.wait(60.0)
    unseen.report("see_power", {"power": "OFF"})

    assert unseen.engine.progress("n1").verdict.cannot == ""
    assert unseen.out("switch_on")


def test_a_value_that_grew_old_while_its_collector_cannot_look_says_why(bench: Bench) -> None:
    bench.declare("n1", cfg={"power": "ON"})
    bench.report("see_power", {"power": "ON"})
    assert bench.cause() == "CONVERGED"
    for _ in range(300):
        bench.wait(1.0)
        while bench.out("see_power"):
            cannot(bench, "see_power")
    told = bench.engine.explain("n1", bench.now)

    assert told.cause is Cause.STALE
    assert "its collector cannot do m.see_power: the vault is shut" in told.reason
    assert told.reason.count("the vault is shut") == 1


def test_nodes_that_wait_for_a_look_are_decided_upon_when_one_of_them_could(bench: Bench) -> None:
    bench.declare(*NODES, cfg={"power": "ON"})
    while bench.out("see_power"):
        cannot(bench, "see_power")
    assert {bench.engine.progress(node).verdict.cannot for node in NODES} == {"m.see_power"}
    bench.accept(LookAt(["n1"]))
    bench.report("see_power", {"power": "OFF"})

    assert {bench.engine.progress(node).verdict.cannot for node in NODES} == {""}
