"""Trees in trouble, told one by one: what an administrator counts on when a collector falls silent."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from kraken.sync.lease import LEASE_S
from kraken.sync.link import DEAD_S
from kraken.testing.tree.forest import Forest

pytestmark = pytest.mark.simulation


def tree(shape: dict[str, str | None], nodes: Iterable[str] = (), *collectors: str) -> Forest:
    """A tree that has settled, with these nodes; they list these collectors."""
    forest = Forest(shape)
    forest.start()
    forest.run_for(15.0)
    for node in nodes:
        declare(forest, node, *collectors)
    forest.settle(30.0)
    return forest


def declare(forest: Forest, node: str, *collectors: str, wish: str = "ON") -> None:
    forest.root.declare(node, node="PRESENT", collectors=list(collectors) or None, wish=wish)
    forest._wake(forest.root)


def owners(forest: Forest, node: str) -> list[str]:
    return [name for name, m in forest.members.items() if node in m.table and m.tree.has(node)]


def known(forest: Forest, name: str, node: str) -> object:
    """What this member knows of the power of the node."""
    record = forest.members[name].table[node].dsc.get("power")
    return None if record is None else record.value


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


def test_what_a_child_that_lost_its_disk_had_started_is_waited_for_by_a_parent_that_lost_its_own() -> None:
    forest = tree({"root": None, "m": "root", "a": "m", "b": "m"}, ["n1"], "a", "b")
    forest.run_for(60.0)

    assert forest.try_runs("n1", 20.0) == ["a"]

    for name in ("a", "m"):
        forest.members[name].crash(lose_disk=True)
    declare(forest, "n1", "b", "a")
    for name in ("m", "a"):
        forest.restart(name)
    for _ in range(120):  # a mutation of b beside the one of a would break a promise of the forest
        forest.run_for(1.0)
        forest.try_runs("n1", 0.5)

    assert owners(forest, "n1") == ["b"], "what was waited for comes in the end"


def cut_off_while_a_long_mutation_runs(shape: dict[str, str | None], *collectors: str) -> Forest:
    """The first of these begins one while nobody beside them may have the node; then b may, and the network
    between the root and a fails.
    """
    forest = tree(shape, ["n1"], *collectors)
    forest.run_for(130.0)
    starters = forest.try_runs("n1", 190.0)
    if not starters:  # it asked for as long a lease
        forest.run_for(0.1)
        starters = forest.try_runs("n1", 189.0)

    assert starters == [collectors[0]]

    declare(forest, "n1", *collectors, "b")
    forest.run_for(20.0)
    forest.network.cut.add(frozenset(("root", "a")))
    for _ in range(180):  # a mutation of b meanwhile would break a promise of the forest
        forest.run_for(1.0)
        forest.try_runs("n1", 0.5)
    return forest


def test_a_mutation_begun_without_a_lease_is_over_before_another_gets_the_node() -> None:
    forest = cut_off_while_a_long_mutation_runs({"root": None, "a": "root", "b": "root"}, "a")
    forest.network.cut.clear()
    forest.settle(60.0)
    forest.network.cut.add(frozenset(("root", "a")))
    forest.run_for(2 * DEAD_S + LEASE_S)

    assert forest.root.tree.placement.holder["n1"] == "b", "a knows by now that it is not alone"


def test_what_a_child_was_promised_before_is_over_too() -> None:
    shape = {"root": None, "a": "root", "b": "root", "c": "a", "d": "a"}
    forest = cut_off_while_a_long_mutation_runs(shape, "c", "d")
    forest.network.cut.clear()
    forest.settle(60.0)
    forest.network.cut.add(frozenset(("root", "a")))
    forest.run_for(2 * DEAD_S + LEASE_S)

    assert forest.root.tree.placement.holder["n1"] == "b"
