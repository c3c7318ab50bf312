"""Stories of leases that are longer than the common one, for mutations that are."""

from __future__ import annotations

from collections.abc import Callable

from kraken.sync.lease import LEASE_S
from kraken.sync.letters import Reserve, Reserved
from kraken.sync.link import DEAD_S
from kraken.testing.tree.forest import Forest
from tests.simulation.stories.stage import (
    Shape,
    declare,
    of_kind,
    run_everywhere,
    tree,
)


def _cut_off_while_a_long_mutation_runs(shape: Shape, *collectors: str) -> None:
    """The first of these begins one while nobody beside them may have the node; then b may, and the network
    between the root and a fails. Later, all is known, and b gets it.
    """
    forest = tree(shape, ["n1"], *collectors)
    for member in forest.members.values():
        member.tree.leases.longest_s = 200.0
    forest.run_for(130.0)
    starters = forest.try_runs("n1", 190.0)
    if not starters:  # it asked for as long a lease
        forest.run_for(0.1)
        starters = forest.try_runs("n1", 189.0)

    assert starters == [collectors[0]]

    declare(forest, "n1", *collectors, "b")
    forest.run_for(20.0)
    forest.network.cut.add(frozenset(("root", "a")))
    run_everywhere(forest, "n1", 180)
    forest.network.cut.clear()
    forest.settle(60.0)
    forest.network.cut.add(frozenset(("root", "a")))
    forest.run_for(2 * DEAD_S + LEASE_S)

    assert forest.root.tree.placement.holder["n1"] == "b", "a knows by now that it is not alone"


def a_mutation_begun_without_a_lease_is_over_before_another_gets_the_node() -> None:
    _cut_off_while_a_long_mutation_runs({"root": None, "a": "root", "b": "root"}, "a")


def what_a_child_was_promised_before_is_over_too() -> None:
    shape: Shape = {"root": None, "a": "root", "b": "root", "c": "a", "d": "a"}
    _cut_off_while_a_long_mutation_runs(shape, "c", "d")


def a_parent_restarts_while_a_child_has_a_longer_lease(longest_s: float = 200.0) -> None:
    """It does not remember how long, and waits for the longest there is before another gets the node.

    The child is heard first: where another is, that one is given the node, and the child has it under a
    lease of which it says nothing before its mutation is over.
    """
    forest = tree({"root": None, "a": "root", "b": "root"}, ["n1"], "a", "b", settled_s=60.0)
    for member in forest.members.values():
        member.longest_s = member.tree.leases.longest_s = 200.0
    forest.try_runs("n1", 190.0)  # it asks for as long a lease
    forest.run_for(0.1)

    assert forest.try_runs("n1", 189.0) == ["a"]

    forest.root.longest_s = longest_s
    forest.network.cut.add(frozenset(("root", "b")))
    forest.restart("root")
    forest.run_for(1.0)
    forest.network.cut.clear()
    forest.run_for(1.0)

    assert forest.members["root"].tree.links["a"].is_up

    forest.network.cut.add(frozenset(("root", "a")))
    run_everywhere(forest, "n1", 250)

    assert forest.root.tree.placement.holder["n1"] == "b", "what was waited for comes in the end"


def a_parent_restarts_with_other_modules_while_a_child_has_a_longer_lease() -> None:
    """Longer than any mutation that it knows now."""
    a_parent_restarts_while_a_child_has_a_longer_lease(60.0)


def _with_a_long_mutation(shape: Shape, asked_s: float = 190.0, *, times: int = 1) -> Forest:
    """It is under way on n1, which a has and b may have, under a lease that was asked for."""
    forest = tree(shape, ["n1"], "a", "b", settled_s=60.0)
    for member in forest.members.values():
        member.longest_s = member.tree.leases.longest_s = 200.0
    forest.run_for(LEASE_S)
    _begin_a_long_one(forest, asked_s, times=times)
    return forest


def _begin_a_long_one(forest: Forest, asked_s: float = 190.0, *, times: int = 1) -> None:
    for _ in range(times):
        forest.try_runs("n1", asked_s)  # it asks for as long a lease
    forest.run_for(0.1)

    assert forest.try_runs("n1", asked_s - 1.0) == ["a"]


def _cut_off_a(forest: Forest, child: str, seconds: float) -> None:
    """For so long; in the end b has the node."""
    forest.network.cut.add(frozenset(("root", child)))
    run_everywhere(forest, "n1", int(seconds))

    assert forest.root.tree.placement.holder["n1"] == "b"


def _is_given_back(shape: Shape, child: str) -> None:
    forest = _with_a_long_mutation(shape)
    forest.run_for(10.0)
    forest.network.rule = of_kind(Reserve, child, "root", [], once=True)

    assert forest.end_run("n1") == "a"

    forest.run_for(20.0)
    _cut_off_a(forest, child, DEAD_S + LEASE_S + 10.0)


def a_longer_lease_is_given_back_and_that_is_lost() -> None:
    _is_given_back({"root": None, "a": "root", "b": "root"}, "a")


def a_longer_lease_is_given_back_at_each_level() -> None:
    _is_given_back({"root": None, "m": "root", "a": "m", "b": "root"}, "m")


def _try_to_give_back(forest: Forest, name: str) -> None:
    member = forest.members[name]
    member.give_back("n1")
    forest._wake(member)
    forest.run_for(1.0)


def a_longer_lease_is_not_given_back_while_its_mutation_runs() -> None:
    forest = _with_a_long_mutation({"root": None, "a": "root", "b": "root"})
    _try_to_give_back(forest, "a")
    _cut_off_a(forest, "a", 250.0)


def a_longer_lease_is_not_given_back_while_a_child_needs_it() -> None:
    forest = _with_a_long_mutation({"root": None, "m": "root", "a": "m", "b": "root"})
    _try_to_give_back(forest, "m")
    _cut_off_a(forest, "m", 250.0)


def a_longer_lease_is_asked_for_anew_before_it_comes_that_the_former_was_given_back() -> None:
    forest = _with_a_long_mutation({"root": None, "a": "root", "b": "root"})
    forest.network.rule = of_kind(Reserve, "a", "root", [10.0], once=True)
    forest.end_run("n1")
    forest.run_for(0.1)
    forest.network.rule = None
    _begin_a_long_one(forest)
    forest.run_for(12.0)
    _cut_off_a(forest, "a", 250.0)


def _a_slow_clock_has_a_longer_lease(shape: Shape, child: str) -> None:
    """What it begins ends with that lease, by its own clock, and it is cut off meanwhile."""
    forest = Forest(shape)
    for member in forest.members.values():
        member.rate, member.longest_s = (0.9996 if member.name == "a" else 1.0005), 3000.0
    forest.start()
    forest.run_for(15.0)
    declare(forest, "n1", "a", "b")
    forest.settle(LEASE_S + 60.0)
    forest.try_runs("n1", 2900.0)
    forest.run_for(0.1)

    assert forest.try_runs("n1", 2899.8) == ["a"]

    forest.network.cut.add(frozenset(("root", child)))
    forest.run_for(2890.0)
    for _ in range(400):
        forest.run_for(0.1)
        forest.try_runs("n1", 0.05)

    assert forest.root.tree.placement.holder["n1"] == "b"


def a_longer_lease_is_over_by_the_clock_that_goes_slower() -> None:
    _a_slow_clock_has_a_longer_lease({"root": None, "a": "root", "b": "root"}, "a")


def a_longer_lease_is_over_by_the_clock_that_goes_slower_two_levels_below() -> None:
    _a_slow_clock_has_a_longer_lease({"root": None, "m": "root", "a": "m", "b": "root"}, "m")


def a_longer_lease_is_granted_after_it_was_given_back() -> None:
    """It was asked for twice, and the second answer is late."""
    shape: Shape = {"root": None, "a": "root", "b": "root"}
    forest = _with_a_long_mutation(shape)
    forest.end_run("n1")
    forest.run_for(10.0)
    forest.network.rule = of_kind(Reserved, "root", "a", [15.0], once=True)
    _begin_a_long_one(forest, times=2)
    forest.end_run("n1")
    forest.run_for(20.0)
    _cut_off_a(forest, "a", DEAD_S + LEASE_S + 10.0)


STORIES: list[Callable[[], None]] = [
    a_longer_lease_is_given_back_and_that_is_lost,
    a_longer_lease_is_given_back_at_each_level,
    a_longer_lease_is_not_given_back_while_its_mutation_runs,
    a_longer_lease_is_not_given_back_while_a_child_needs_it,
    a_longer_lease_is_asked_for_anew_before_it_comes_that_the_former_was_given_back,
    a_longer_lease_is_granted_after_it_was_given_back,
    a_longer_lease_is_over_by_the_clock_that_goes_slower,
    a_longer_lease_is_over_by_the_clock_that_goes_slower_two_levels_below,
    a_parent_restarts_while_a_child_has_a_longer_lease,
    a_parent_restarts_with_other_modules_while_a_child_has_a_longer_lease,
    a_mutation_begun_without_a_lease_is_over_before_another_gets_the_node,
    what_a_child_was_promised_before_is_over_too,
]
