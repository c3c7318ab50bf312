"""When somebody looks, and what a look in vain means."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from kraken.daemon.arrivals import Declared, LookAt, Results
from kraken.engine.settings import Settings
from kraken.model.module import Action, Change, Discovery, Mutation, Observes, Variable
from kraken.model.run import NodeResult, Outcome
from kraken.model.update import Side, StateUpdate

from .conftest import IPMI, Bench, vocabulary


def test_a_new_node_is_looked_at_at_once_and_then_within_the_interval(bench: Bench) -> None:
    bench.declare("n1")
    bench.report("see_power", {"power": "OFF"})
    bench.wait(0.9)
    assert bench.out("see_power") == []
    bench.wait(30.0)

    assert len(bench.out("see_power")) == 1


def look_times(bench: Bench, for_s: float, *nodes: str) -> dict[str, list[float]]:
    """When each of these nodes was asked for its power; they answer OFF after 10 ms."""
    times: dict[str, list[float]] = {node: [] for node in nodes}
    end = bench.now + for_s
    while bench.now < end:
        for run in list(bench.out("see_power")):
            for node in run.nodes:
                times[node].append(run.issued_at)
            bench.runs.remove(run)
            bench.accept(
                Results([NodeResult(run.id, n, Outcome.OK, {"power": "OFF"}, "") for n in run.nodes])
            )
        at = bench.engine.next_deadline(bench.now)
        bench.now = end if at is None else min(end, max(at, bench.now + 0.01))
        bench.accept()
    return times


def test_looks_at_bmcs_are_spread_evenly_and_none_is_late() -> None:
    bench = Bench(settings=Settings(linger_s={}, gather_s={}))
    nodes = [f"n{i}" for i in range(300)]
    bench.declare(*nodes)
    times = look_times(bench, 300.0, *nodes)
    steady = {node: [at for at in found if at > 1100.0] for node, found in times.items()}

    for found in steady.values():
        assert all(later - at <= 30.0 * 1.05 for at, later in pairwise(found))
        assert 5 <= len(found) <= 8
    seconds = Counter(int(at) for found in steady.values() for at in found)
    assert max(seconds.values()) <= 3 * 300 / 30, "no second gets much more than its fair share"
    assert len(seconds) >= 190, "no second of 200 is spared"


def test_what_changes_on_a_thousand_nodes_at_once_is_no_burst_of_looks() -> None:
    bench = Bench(settings=Settings(linger_s={}, gather_s={}))
    nodes = [f"n{i}" for i in range(1000)]
    bench.declare(*nodes)
    times = look_times(bench, 130.0, *nodes)
    seconds = Counter(int(at) for found in times.values() for at in found)

    assert seconds.pop(1000) == 1000, "what nobody knows yet is looked at at once"
    assert max(seconds[second] for second in range(1001, 1030)) <= 2 * 1000 / 10
    assert max(seconds[second] for second in range(1065, 1130)) <= 2 * 1000 / 30
    assert max(seconds.values()) <= 2 * 1000 / 10, "nor where the fast looks end"


def test_a_node_whose_power_has_just_changed_is_looked_at_more_often() -> None:
    bench = Bench(settings=Settings(linger_s={}, gather_s={}))
    bench.declare("n1")
    found = look_times(bench, 120.0, "n1")["n1"]

    assert found[0] == 1000.0
    gaps = [later - at for at, later in pairwise(found)]
    assert 1.0 <= gaps[0] <= 11.0, "until its own moment"
    assert gaps[1:3] == [pytest.approx(10.0, abs=0.1)] * 2
    assert found[-1] - found[-2] == pytest.approx(30.0, abs=1.0)


def test_two_lives_of_one_seed_look_at_the_same_moments() -> None:
    lives = []
    for _ in range(2):
        bench = Bench(settings=Settings(linger_s={}, gather_s={}))
        bench.declare("n1", "n2")
        lives.append(look_times(bench, 200.0, "n1", "n2"))

    assert lives[0] == lives[1]
    assert lives[0]["n1"] != lives[0]["n2"]


def test_looks_of_ansible_stay_together() -> None:
    see = Discovery("m", "see_disk", (Observes("disk"),), Action("ansible", [], Path()), every_s=60.0)
    bench = Bench(vocabulary(Variable("m", "disk", ("FULL", "FREE")), see), Settings(linger_s={}))
    bench.declare(*(f"n{i}" for i in range(20)))
    bench.report("see_disk", {"disk": "FREE"})
    bench.wait(61.0)

    assert [len(run.nodes) for run in bench.out("see_disk")] == [20]


def test_what_does_not_answer_is_looked_at_again_soon_and_then_more_rarely(bench: Bench) -> None:
    bench.declare("n1")
    bench.report("see_power", {"power": "OFF"})
    bench.wait(200.0)
    bench.report("see_power", {"power": "OFF"})
    times = []
    for _ in range(8):
        while not bench.out("see_power"):
            bench.wait(0.5)
        times.append(bench.now)
        bench.report("see_power", outcome=Outcome.UNREACHABLE)
    gaps = [later - at for at, later in pairwise(times)]

    assert gaps[0] <= 5.0
    assert gaps[-1] == pytest.approx(30.0, abs=1.0)
    assert gaps == sorted(gaps)


def test_what_nobody_answers_for_any_more_is_not_called_converged_on_what_was_seen(bench: Bench) -> None:
    bench.declare("n1", cfg={"power": "OFF"})
    bench.report("see_power", {"power": "OFF"})
    assert bench.cause() == "CONVERGED"
    for _ in range(2):
        while not bench.out("see_power"):
            bench.wait(0.5)
        assert bench.cause() == "CONVERGED"
        bench.report("see_power", outcome=Outcome.UNREACHABLE)

    assert bench.cause() == "STALE"
    assert bench.engine.progress("n1").value("power") == "OFF", "no answer is never another value"
    assert "nobody has answered since" in bench.engine.explain("n1", bench.now).reason

    while not bench.out("see_power"):
        bench.wait(0.5)
    bench.report("see_power", {"power": "OFF"})
    assert bench.cause() == "CONVERGED"


def test_nobody_looks_where_there_is_nothing_to_see(bench: Bench) -> None:
    bench.declare("n1")
    bench.report("see_power", {"power": "OFF"})
    bench.wait(25.0)

    assert bench.out("see_os") == []


def test_a_look_that_failed_is_repeated_later_and_later_for_who_waits_for_it(bench: Bench) -> None:
    bench.declare("n1", cfg={"power": "ON"})
    times = []
    for _ in range(5):
        while not bench.out("see_power"):
            bench.wait(0.5)
        times.append(bench.now)
        bench.report("see_power", outcome=Outcome.UNREACHABLE)
    pauses = [b - a for a, b in pairwise(times)]

    assert pauses == [4.0, 8.0, 16.0, 30.0]
    assert bench.cause() == "UNKNOWN"


def test_a_look_that_found_nothing_is_no_way_forward_until_something_changes(off: Bench) -> None:
    off.declare("n1", cfg={"os": "UP"})
    off.report("switch_on", {"power": "ON"})

    assert off.cause() == "UNKNOWN"

    off.report("see_os")

    assert off.cause() == "WAITING"


def test_a_look_that_saw_one_of_two_is_blind_for_the_other() -> None:
    bench = Bench(
        vocabulary(
            Variable("m", "a", ("X", "Y")),
            Variable("m", "b", ("X", "Y")),
            Discovery("m", "see_both", (Observes("a"), Observes("b")), IPMI, every_s=30.0),
            Mutation("m", "set_b", (Change("b", ("UNKNOWN",), "Y"),), cost=50.0, action=IPMI),
        )
    )
    bench.declare("n1", cfg={"b": "Y"})

    assert bench.cause() == "UNKNOWN"

    bench.report("see_both", {"a": "X"})

    assert bench.out("set_b")


def test_discoveries_without_an_interval_look_only_when_somebody_waits() -> None:
    bench = Bench(
        vocabulary(
            Variable("m", "gas", ("LOW", "FULL")),
            Discovery("m", "see_gas", (Observes("gas"),), IPMI, every_s=None),
            Mutation("m", "fill", (Change("gas", ("LOW",), "FULL"),), timeout_s=60.0),
        )
    )
    bench.declare("n1")
    bench.wait(100.0)

    assert bench.out("see_gas") == []

    bench.declare("n1", cfg={"gas": "FULL"})
    bench.report("see_gas", {"gas": "LOW"})

    assert bench.cause() == "WAITING"

    bench.wait(5.0)
    bench.report("see_gas", {"gas": "FULL"})

    assert bench.cause() == "CONVERGED"


def test_who_asks_is_served_at_once_and_who_asks_for_a_node_unknown_harms_nobody(bench: Bench) -> None:
    bench.declare("n1")
    bench.report("see_power", {"power": "OFF"})
    bench.accept(LookAt(["n1", "gone"]))

    assert len(bench.out("see_power")) == 1


def test_a_look_that_left_before_a_node_was_declared_again_is_not_its_own(bench: Bench) -> None:
    bench.declare("n1")
    bench.delete("n1")
    bench.declare("n1")
    bench.report("see_power", {"power": "ON"})

    assert "power" not in bench.collector.table["n1"].dsc

    bench.wait(31.0)
    bench.report("see_power", {"power": "ON"})

    assert "power" in bench.collector.table["n1"].dsc


def test_a_value_in_doubt_that_a_look_no_longer_sees_is_unknown() -> None:
    bench = Bench(
        vocabulary(
            Variable("m", "disk", ("OLD", "NEW")),
            Discovery("m", "see_disk", (Observes("disk"),), IPMI, every_s=30.0),
            Mutation("m", "write", (Change("disk", ("OLD",), "NEW"),), action=IPMI),
        )
    )
    bench.declare("n1", cfg={"disk": "NEW"})
    bench.report("see_disk", {"disk": "OLD"})
    bench.report("write", outcome=Outcome.FAILED)
    bench.wait(3.0)
    bench.report("see_disk")

    assert bench.engine.progress("n1").value("disk") == "UNKNOWN"
    assert bench.cause() == "UNKNOWN"


def test_a_look_that_waits_leaves_no_more_when_what_it_requires_is_so_no_longer() -> None:
    gathers = Settings(linger_s={"ipmi": 5.0}, gather_s={"ipmi": 5.0})
    bench = Bench(settings=gathers)
    bench.declare("n1")
    bench.wait(5.0)
    bench.report("see_power", {"power": "ON"})
    assert bench.engine.progress("n1").looks["m.see_os"].queued
    bench.engine.look(["n1"], bench.now)
    bench.accept()
    update = StateUpdate("n1", Side.DSC, "power", "OFF", bench.collector.stamp(), bench.now, "m.see_power")
    bench.accept(Declared([update]))
    bench.wait(30.0)

    assert bench.out("see_os") == []
    assert not bench.engine.progress("n1").looks["m.see_os"].queued


@pytest.mark.parametrize(
    ("outcome", "asked"),
    [(Outcome.UNREACHABLE, False), (Outcome.FAILED, False), (Outcome.CANCELLED, True)],
)
def test_a_look_that_asked_nobody_is_no_silence_of_the_node(
    bench: Bench, outcome: Outcome, asked: bool
) -> None:
    """Our own queue was full, or we stopped it, or its executor repeats what it knew."""
    bench.declare("n1", cfg={"power": "OFF"})
    bench.report("see_power", {"power": "OFF"})
    seen_at = bench.now
    for _ in range(4):
        while not bench.out("see_power"):
            bench.wait(0.5)
        run = bench.out("see_power")[0]
        bench.runs.remove(run)
        bench.accept(Results([NodeResult(run.id, "n1", outcome, asked=asked)]))

        assert bench.cause() == "CONVERGED"

    bench.wait(seen_at + 91.0 - bench.now)

    assert bench.cause() == "STALE", "its age counts all the same"


def test_a_look_whose_executor_said_nothing_is_no_silence_of_the_node(bench: Bench) -> None:
    bench.declare("n1", cfg={"power": "OFF"})
    bench.report("see_power", {"power": "OFF"})
    bench.wait(85.0)
    progress = bench.engine.progress("n1")

    assert progress.looks["m.see_power"].message.startswith("no word from its executor")
    assert progress.missed == {}
