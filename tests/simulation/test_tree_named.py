"""Trees in trouble, told one by one: what an administrator counts on when a collector falls silent."""

from __future__ import annotations

import pytest

from kraken.sync.lease import LEASE_S
from kraken.sync.letters import Reserve, decode
from kraken.sync.link import DEAD_S
from kraken.testing.tree.chaos import Chaos
from kraken.testing.tree.forest import Forest
from tests.simulation.stories.stage import declare, known, owners, tree

pytestmark = pytest.mark.simulation


def test_a_parent_that_restarts_without_dsc_gets_it_back_and_starts_nothing() -> None:
    nodes = [f"n{i}" for i in range(100)]
    forest = tree({"root": None, "a": "root"}, nodes, "a")
    for node in nodes:
        forest.see(node, "power", "POWER_ON")
    forest.settle(10.0)
    forest.restart("root")

    assert {known(forest, "root", node) for node in nodes} == {None}

    for _ in range(60):
        forest.run_for(1.0)

        assert [node for node in nodes if forest.root.try_run(node, 10.0) is not None] == []

    assert {known(forest, "root", node) for node in nodes} == {"POWER_ON"}


def test_a_node_deleted_while_it_is_told_is_gone_everywhere() -> None:
    forest = tree({"root": None, "a": "root", "b": "a"})
    for step_s in (0.0, 0.001, 0.003, 0.01, 0.1):
        declare(forest, "n1", "b")
        forest.run_for(step_s)
        forest.root.declare("n1", node=None)
        forest.settle(120.0)

        assert [name for name, member in forest.members.items() if "n1" in member.table] == []


def test_a_change_while_the_parent_was_frozen_is_known_after_it_thaws() -> None:
    forest = tree({"root": None, "a": "root"}, ["n1"], "a")
    forest.pause("root")
    forest.run_for(DEAD_S / 2)
    forest.see("n1", "power", "POWER_OFF")
    forest.run_for(3 * DEAD_S)

    assert known(forest, "root", "n1") is None

    forest.resume("root")
    forest.settle(60.0)

    assert known(forest, "root", "n1") == "POWER_OFF"


def test_a_child_that_was_silent_has_a_way_back() -> None:
    forest = tree({"root": None, "a": "root"}, ["n1"], "a")
    forest.network.cut.add(frozenset(("root", "a")))
    forest.run_for(10 * DEAD_S)
    forest.see("n1", "power", "POWER_OFF")

    assert not forest.root.tree.links["a"].is_up

    forest.network.cut.clear()
    forest.settle(60.0)

    assert forest.root.tree.links["a"].is_up
    assert known(forest, "root", "n1") == "POWER_OFF"


def test_who_joins_late_hears_everything() -> None:
    forest = Forest({"root": None, "a": "root"})
    forest.members["root"].start()
    forest._wake(forest.root)
    for number in range(300):
        declare(forest, f"n{number}", "a")
    forest.run_for(300.0)
    forest.restart("a")
    forest.settle(60.0)

    assert len(forest.members["a"].table) == 300


def test_a_node_moves_to_another_collector_and_back() -> None:
    forest = tree({"root": None, "a": "root", "b": "root"}, ["n1"], "a")
    for name, value in (("b", "POWER_OFF"), ("a", "POWER_ON")):
        declare(forest, "n1", name)
        forest.settle(120.0)

        assert owners(forest, "n1") == [name]
        assert forest.see("n1", "power", value) == [name]

        forest.settle(10.0)

        assert known(forest, "root", "n1") == value


def test_four_levels_carry_both_ways_in_three_letters_and_their_acknowledgements() -> None:
    forest = tree({"root": None, "a": "root", "b": "a", "c": "b"}, ["n1"], "c")
    forest.see("n1", "power", "POWER_ON")
    forest.settle(10.0)
    forest.run_for(1.0)
    before = forest.network.letters
    forest.see("n1", "power", "POWER_OFF")
    forest.run_for(0.1)
    letters = forest.network.letters - before

    assert known(forest, "root", "n1") == "POWER_OFF"
    assert letters <= 6 + 6, "a delta and its acknowledgement per level, and hellos that were due"


def test_the_next_collector_takes_over_when_the_lease_is_over_and_gives_back() -> None:
    forest = tree({"root": None, "a": "root", "b": "root"}, ["n1"], "a", "b")
    forest.settle(60.0)

    assert owners(forest, "n1") == ["a"]

    forest.network.cut.add(frozenset(("root", "a")))
    forest.run_for(DEAD_S - 15.0)

    assert forest.root.tree.placement.holder.get("n1") != "b"

    for _ in range(int(LEASE_S) + 35):
        forest.run_for(1.0)
        forest.try_runs("n1", 0.5)

    assert forest.root.tree.placement.holder["n1"] == "b"

    forest.network.cut.clear()
    forest.settle(120.0)

    assert owners(forest, "n1") == ["a"]


def test_a_first_start_is_bound_by_no_promise_of_a_life_before() -> None:
    """Ten minutes is the longest mutation of the base modules: fail-over once took as long after a start."""
    forest = Forest({"root": None, "a": "root", "b": "root"})
    for member in forest.members.values():
        member.longest_s = 600.0
    forest.start()
    forest.run_for(15.0)
    declare(forest, "n1", "a", "b")
    forest.settle(60.0)

    assert owners(forest, "n1") == ["a"]

    forest.members["a"].crash()
    forest.run_for(DEAD_S + LEASE_S + 10.0)

    assert forest.root.tree.placement.holder["n1"] == "b"


def test_a_neighbour_that_comes_back_unchanged_costs_next_to_nothing() -> None:
    nodes = [f"n{i}" for i in range(2_000)]
    forest = tree({"root": None, "a": "root"}, nodes, "a")
    for node in nodes:
        forest.see(node, "power", "POWER_ON")
    forest.settle(30.0)
    forest.network.cut.add(frozenset(("root", "a")))
    forest.run_for(2 * DEAD_S)
    forest.network.cut.clear()
    before = forest.network.bytes
    forest.settle(30.0)

    spent = forest.network.bytes - before

    assert spent < 5_000


def test_who_was_cut_off_and_wanted_leases_all_the_while_asks_for_none_of_before() -> None:
    forest = tree({"root": None, "a": "root"}, ["n1"], "a", "root")
    asked = []

    def counts(a: str, b: str, data: bytes) -> None:
        if isinstance(decode(data).body, Reserve):
            asked.append(a)

    forest.network.rule = counts
    forest.try_runs("n1", 50.0)
    forest.run_for(1.0)

    assert asked == ["a"]

    forest.network.cut.add(frozenset(("root", "a")))
    forest.run_for(2 * DEAD_S)
    asked.clear()
    for _ in range(100):
        forest.run_for(1.0)

        assert forest.members["a"].try_run("n1", 50.0) is None

    forest.network.cut.clear()
    forest.run_for(30.0)

    assert asked == []


def test_a_parent_that_was_asleep_buries_none_of_its_children() -> None:
    children = [f"c{i}" for i in range(500)]
    forest = Forest({"root": None} | dict.fromkeys(children, "root"))
    forest.start()
    forest.run_for(20.0)
    for _ in range(4):
        forest.pause("root")
        forest.run_for(35.0)
        forest.resume("root")
        forest.run_for(1.0)

    assert [name for _, name, is_up in forest.root.link_changes if not is_up] == []


def test_2500_children_of_a_parent_that_cannot_keep_up_are_not_buried_while_they_send() -> None:
    """Each letter costs it 20 ms: what came in 10 s takes it 50 s, and it reads nothing meanwhile."""
    children = [f"c{i}" for i in range(2_500)]
    forest = Forest({"root": None} | dict.fromkeys(children, "root"))
    forest.start()
    root = forest.root
    for turn in range(4):
        forest.pause("root")
        forest.run_for(50.0)

        assert root.waiting_letters >= 2_500

        forest.resume("root")
        forest.run_for(0.001)

        assert turn < 2 or all(root.tree.links[name].is_up for name in children)

    assert [name for _, name, is_up in root.link_changes if not is_up] == []


def test_what_a_collector_sees_is_newer_than_what_it_is_given_back() -> None:
    """While ba was cut off, a ran its node; a's values came back to ba before the new lease did."""
    Chaos(1920).run()
