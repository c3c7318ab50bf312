"""Equal work leaves together, and nobody waits for stragglers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kraken.engine.batches import Batches
from kraken.engine.settings import Settings
from kraken.model.module import Change, Mutation

from .conftest import IPMI, vocabulary

ON = vocabulary().mutations["m.switch_on"]
OFF = vocabulary().mutations["m.switch_off"]
LOOK = vocabulary().discoveries["m.see_power"]
SETTINGS = Settings(linger_s={}, gather_s={"ipmi": 10.0}, batch_max=4, runs_max={"ipmi": 2})


@pytest.fixture
def batches() -> Batches:
    return Batches(SETTINGS, 7)


def fill(batches: Batches, operator: Mutation, *nodes: str, now: float = 0.0) -> list[tuple[str, ...]]:
    for node in nodes:
        batches.add(operator, node, now)
    return [run.nodes for run in batches.leave(now)]


def test_the_first_leaves_at_once_and_the_next_gather(batches: Batches) -> None:
    assert fill(batches, ON, "n1", "n2") == [("n1", "n2")]
    assert fill(batches, ON, "n3", now=1.0) == []
    assert batches.next_at(1.0) == 10.0
    assert fill(batches, ON, "n4", now=10.0) == [("n3", "n4")]


def test_a_full_batch_does_not_wait(batches: Batches) -> None:
    fill(batches, ON, "n1")

    assert fill(batches, ON, "a", "b", "c", "d", "e", now=1.0) == [("a", "b", "c", "d")]


def test_stragglers_hold_nobody(batches: Batches) -> None:
    fill(batches, ON, "n1", "n2")
    run_id = next(iter(batches.active))
    batches.reported(run_id, "n1")

    assert fill(batches, ON, "n3", now=1.0) == [("n3",)]


def test_no_more_runs_of_a_kind_than_places(batches: Batches) -> None:
    fill(batches, ON, "n1")
    fill(batches, OFF, "n2")
    other = replace(ON, name="other")

    assert fill(batches, other, "n3") == []
    assert batches.busy(other) == (2, 2)

    for run_id, node in [(a.run.id, a.run.nodes[0]) for a in batches.active.values()]:
        batches.reported(run_id, node)

    assert [run.nodes for run in batches.leave(1.0)] == [("n3",)]


def test_mutations_leave_before_looks_and_the_longest_waiting_operator_before_the_others() -> None:
    batches = Batches(replace(SETTINGS, runs_max={"ipmi": 1}), 1)
    batches.add(LOOK, "n1", 0.0)
    batches.add(ON, "n1", 0.0)

    assert [run.operator for run in batches.leave(0.0)] == [ON, LOOK]

    batches.add(ON, "n2", 20.0)
    batches.add(OFF, "n2", 20.0)
    batches.reported("1-1", "n1")

    assert [run.operator for run in batches.leave(20.0)] == [OFF]


def test_a_node_reports_once(batches: Batches) -> None:
    fill(batches, ON, "n1", "n2")
    run_id = next(iter(batches.active))

    assert batches.reported(run_id, "n1") is not None
    assert batches.reported(run_id, "n1") is None
    assert batches.reported("no such run", "n1") is None


def test_a_silent_run_is_given_up_with_the_nodes_it_owes(batches: Batches) -> None:
    fill(batches, ON, "n1", "n2")
    run = next(iter(batches.active.values())).run
    batches.reported(run.id, "n2")
    gives_up_at = run.timeout_s + SETTINGS.grace_s

    assert batches.overdue(gives_up_at - 0.1) == []
    assert batches.next_at(0.0) == gives_up_at
    assert batches.overdue(gives_up_at) == [(run, ["n1"])]
    assert not batches.active


def test_what_waits_takes_the_operator_of_the_modules_of_now(batches: Batches) -> None:
    fill(batches, ON, "n1")
    batches.add(ON, "n2", 1.0)
    batches.add(OFF, "n3", 1.0)
    anew = replace(ON, changes=(Change("power", None, "ON"),), action=IPMI)
    batches.adopt([anew])

    assert [run.operator for run in batches.leave(20.0)] == [anew]
    assert batches.place(OFF.key, "n3") == (0, 0)


def test_the_place_in_the_queue_is_told(batches: Batches) -> None:
    fill(batches, ON, "n0")
    batches.add(ON, "n1", 1.0)
    batches.add(ON, "n2", 1.0)

    assert batches.place(ON.key, "n2") == (2, 2)

    batches.drop(ON.key, "n1")

    assert batches.place(ON.key, "n2") == (1, 1)


ALONE = Settings(linger_s={"ipmi": 0.5}, linger_alone_s=0.05, gather_s={"ipmi": 2.0})


def test_one_node_hardly_waits_while_no_mutation_is_under_way_that_could_bring_another() -> None:
    batches = Batches(ALONE, 1)
    batches.add(LOOK, "n9", 0.0)
    assert [run.nodes for run in batches.leave(0.05)] == [("n9",)]

    batches.add(ON, "n1", 1.0)
    assert batches.leave(1.04) == []
    assert batches.next_at(1.04) == pytest.approx(1.05)
    assert [run.nodes for run in batches.leave(1.05)] == [("n1",)]


def test_what_a_mutation_under_way_may_bring_is_waited_for_a_little_longer() -> None:
    batches = Batches(ALONE, 1)
    batches.add(OFF, "n1", 0.0)
    batches.add(OFF, "n2", 0.0)
    assert len(batches.leave(0.05)) == 1

    batches.add(ON, "n1", 1.0)
    assert batches.leave(1.05) == []

    batches.add(ON, "n2", 1.3)
    assert [run.nodes for run in batches.leave(1.8)] == [("n1", "n2")]


def test_a_batch_gathers_longer_while_as_many_are_worked_on_as_can_be() -> None:
    batches = Batches(replace(ALONE, at_once={"ipmi": 3}, gather_full_s=10.0), 1)
    for node in ("n1", "n2", "n3", "n4"):
        batches.add(OFF, node, 0.0)
    (run,) = batches.leave(0.05)
    batches.reported(run.id, "n1")
    for moment in range(4):  # three are under way still
        batches.add(ON, f"m{moment}", 1.0 + moment * 2.0)
        assert batches.leave(2.9 + moment * 2.0) == []

    batches.reported(run.id, "n2")

    assert [len(left.nodes) for left in batches.leave(9.0)] == [4]


def test_nodes_that_hang_make_nobody_gather_for_ever() -> None:
    batches = Batches(replace(ALONE, at_once={"ipmi": 1}, gather_full_s=10.0), 1)
    batches.add(OFF, "n1", 0.0)
    assert len(batches.leave(0.05)) == 1
    for moment in range(23):
        batches.add(ON, f"m{moment}", 1.0 + moment * 0.4)

    assert batches.leave(10.0) == []
    assert batches.next_at(10.0) == pytest.approx(10.05)
    assert [len(run.nodes) for run in batches.leave(10.3)] == [23]


def test_a_run_that_left_long_ago_has_no_hands_of_those_that_count() -> None:
    batches = Batches(replace(ALONE, at_once={"ipmi": 2}, gather_full_s=10.0), 1)
    for node in ("n1", "n2", "n3"):
        batches.add(OFF, node, 0.0)
    (run,) = batches.leave(0.05)
    batches.reported(run.id, "n3")
    batches.add(ON, "n3", 12.0)

    assert batches.leave(12.4) == []
    assert [left.nodes for left in batches.leave(12.5)] == [("n3",)]
