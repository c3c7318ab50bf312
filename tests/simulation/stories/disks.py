"""Stories of who lost its disk, or got a former one back, and does not know who may run mutations."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

from kraken.sync.letters import Tell
from kraken.sync.link import HELLO_S
from kraken.testing.tree.forest import Forest
from tests.simulation.stories.stage import (
    Shape,
    a_node_stays_with_b_while_its_mutation_runs,
    declare,
    known,
    of_kind,
    owners,
    run_everywhere,
    tree,
)


def a_parent_loses_its_disk_while_a_mutation_runs() -> None:
    forest = tree({"root": None, "m": "root", "a": "m", "b": "m"}, ["n1"], "a", "b", settled_s=60.0)

    assert forest.try_runs("n1", 30.0) == ["a"]

    forest.members["m"].crash(lose_disk=True)
    declare(forest, "n1", "b", "a")
    forest.restart("m")
    run_everywhere(forest, "n1", 120)

    assert owners(forest, "n1") == ["b"], "what was waited for comes in the end"


def a_parent_and_its_child_lose_their_disks_while_a_mutation_runs() -> None:
    forest = tree({"root": None, "m": "root", "a": "m", "b": "m"}, ["n1"], "a", "b")
    forest.run_for(60.0)

    assert forest.try_runs("n1", 20.0) == ["a"]

    for name in ("a", "m"):
        forest.members[name].crash(lose_disk=True)
    declare(forest, "n1", "b", "a")
    for name in ("m", "a"):
        forest.restart(name)
    run_everywhere(forest, "n1", 120)

    assert owners(forest, "n1") == ["b"], "what was waited for comes in the end"


def a_collector_loses_its_disk_while_its_own_mutation_runs() -> None:
    """It does not know of it any more, and still gives the node to nobody until it must be over."""
    forest = tree({"root": None, "m": "root", "a": "m"}, ["n1"], "m", "a", settled_s=60.0)

    assert forest.try_runs("n1", 50.0) == ["m"]

    forest.members["m"].crash(lose_disk=True)
    declare(forest, "n1", "a", "m")
    forest.restart("m")
    run_everywhere(forest, "n1", 120)

    assert owners(forest, "n1") == ["a"], "what was waited for comes in the end"


def a_collector_loses_its_disk_while_its_mutation_runs_on_a_node_that_lists_it_no_more() -> None:
    """The node is its child's alone since: whom it lists now says nothing of who began something."""
    forest = tree({"root": None, "m": "root", "a": "m"}, ["n1"], "m", settled_s=60.0)

    assert forest.try_runs("n1", 50.0) == ["m"]

    declare(forest, "n1", "a")
    forest.members["m"].crash(lose_disk=True)
    forest.restart("m")
    run_everywhere(forest, "n1", 120)

    assert owners(forest, "n1") == ["a"], "what was waited for comes in the end"


def a_collector_that_lost_its_disk_begins_nothing_beside_what_it_does_not_remember() -> None:
    """Its own former mutation is at work, and nobody else may have the node."""
    forest = tree({"root": None, "a": "root"}, ["n1"], "a", settled_s=60.0)

    assert forest.try_runs("n1", 50.0) == ["a"]

    forest.restart("a", lose_disk=True)
    run_everywhere(forest, "n1", 61)
    forest.run_for(1.0)

    assert forest.try_runs("n1", 0.5) == ["a"], "what was waited for comes in the end"


def a_child_goes_on_while_its_parent_waits_for_what_it_may_have_begun() -> None:
    """It hears that it has nothing when nobody can say otherwise, or never: here nothing was begun."""
    forest = tree({"root": None, "m": "root", "a": "m"}, ["n1", "n2"], "a", settled_s=60.0)
    forest.restart("m", lose_disk=True)
    for _ in range(120):
        forest.run_for(1.0)

        assert forest.try_runs("n1", 0.5) == ["a"]

    declare(forest, "n2", "a", wish="OFF")
    forest.run_for(2.0)

    assert forest.members["a"].table["n2"].cfg["wish"].value == "OFF"


def a_parent_loses_its_disk_and_a_child_is_not_heard_until_long_after() -> None:
    """It may have a node that nobody else might: it has no lease that ends, whatever its parent forgot."""
    forest = tree({"root": None, "m": "root", "a": "m", "b": "m"}, ["n1"], "a", settled_s=60.0)
    forest.network.cut.add(frozenset(("m", "a")))
    forest.members["m"].crash(lose_disk=True)
    declare(forest, "n1", "b")
    forest.restart("m")
    run_everywhere(forest, "n1", 180)

    assert "n1" in forest.members["a"].table

    forest.network.cut.clear()
    run_everywhere(forest, "n1", 90)

    assert owners(forest, "n1") == ["b"], "what was waited for comes in the end"


def a_parent_restarts_and_its_child_loses_its_disk_while_a_mutation_runs() -> None:
    """The parent remembers whose the node was, and not for how long it was promised."""
    forest = tree({"root": None, "m": "root", "a": "m", "b": "m"}, ["n1"], "a", "b", settled_s=60.0)
    if not forest.try_runs("n1", 55.0):  # it asked for as long a lease
        forest.run_for(1.0)

        assert forest.try_runs("n1", 53.0) == ["a"]

    forest.run_for(1.0)
    forest.members["a"].crash(lose_disk=True)
    forest.members["m"].crash()
    declare(forest, "n1", "b", "a")
    for name in ("m", "a"):
        forest.restart(name)
    run_everywhere(forest, "n1", 180)

    assert owners(forest, "n1") == ["b"], "what was waited for comes in the end"


def a_collector_that_lost_its_disk_restarts_again_while_its_mutation_runs() -> None:
    """What one life knew that it does not know, the next one knows."""
    forest = tree({"root": None, "a": "root", "b": "root"}, ["n1"], "a", "b", settled_s=60.0)

    assert forest.try_runs("n1", 30.0) == ["a"]

    forest.restart("a", lose_disk=True)
    forest.run_for(3.0)
    forest.restart("a")
    declare(forest, "n1", "b", "a")
    run_everywhere(forest, "n1", 120)

    assert owners(forest, "n1") == ["b"], "what was waited for comes in the end"


def a_collector_has_joined_and_its_parent_restarts_before_it_is_heard() -> None:
    """It is met for the first time, so it waits for nothing that it might have forgotten."""
    forest = Forest({"root": None, "a": "root"})
    forest.restart("root")
    declare(forest, "n1", "a")
    forest.run_for(HELLO_S)
    forest.restart("root")
    forest.restart("a")
    forest.run_for(2 * HELLO_S)

    assert forest.try_runs("n1", 50.0) == ["a"]


def a_collector_that_lost_its_disk_is_revoked_and_comes_back_under_its_name() -> None:
    """For its parent it is met for the first time, and that is no word on what its former self began."""
    forest = tree({"root": None, "a": "root", "b": "root"}, ["n1"], "a", settled_s=60.0)

    assert forest.try_runs("n1", 50.0) == ["a"]

    forest.members["a"].crash(lose_disk=True)
    forest.root.revoke("a")
    declare(forest, "n1", "b")
    forest.run_for(2.0)
    forest.root.take_in("a")
    forest.restart("a")
    run_everywhere(forest, "n1", 120)

    assert owners(forest, "n1") == ["b"], "what was waited for comes in the end"


def a_child_loses_its_disk_long_after_its_parent_did() -> None:
    """What it began last, cut off, is over long after whatever its parent waits for itself."""
    _both_lose_their_disks(revoked=False)


def a_collector_is_revoked_by_a_parent_that_forgot_and_comes_back_under_its_name() -> None:
    """The same, and who comes back is no first life, though its parent met no other."""
    _both_lose_their_disks(revoked=True)


def _both_lose_their_disks(*, revoked: bool) -> None:
    forest = tree({"root": None, "m": "root", "a": "m", "b": "m"}, ["n1"], "a", settled_s=60.0)
    forest.network.cut.add(frozenset(("m", "a")))
    forest.members["m"].crash(lose_disk=True)
    declare(forest, "n1", "b")
    forest.restart("m")
    forest.run_for(50.0)

    assert forest.try_runs("n1", 55.0) == ["a"]

    forest.members["a"].crash(lose_disk=True)
    if revoked:
        forest.members["m"].revoke("a")
    forest.run_for(15.0)
    if revoked:
        forest.members["m"].take_in("a")
    forest.network.cut.clear()
    forest.restart("a")
    run_everywhere(forest, "n1", 180)

    assert owners(forest, "n1") == ["b"], "what was waited for comes in the end"


def a_node_is_taken_from_a_collector_that_loses_its_disk_while_it_is_down() -> None:
    forest = tree({"root": None, "m": "root", "a": "m", "b": "root"}, ["n1"], "a", settled_s=60.0)

    assert forest.try_runs("n1", 50.0) == ["a"]

    forest.members["a"].crash(lose_disk=True)
    declare(forest, "n1", "b")
    forest.run_for(15.0)
    forest.restart("a")
    run_everywhere(forest, "n1", 120)

    assert owners(forest, "n1") == ["b"], "what was waited for comes in the end"


def a_parent_that_lost_its_disk_takes_nothing_from_who_remembers() -> None:
    forest = tree({"root": None, "m": "root", "a": "m", "c": "a"}, ["n1"], "c")
    forest.see("n1", "power", "POWER_ON")
    forest.run_for(60.0)
    forest.network.rule = of_kind(Tell, "a", "m", [])  # m does not come to know yet who is below a
    forest.restart("m", lose_disk=True)
    forest.at(20.0, lambda: setattr(forest.network, "rule", None))
    for _ in range(240):
        forest.run_for(0.5)

        assert "n1" in forest.members["c"].table

    assert owners(forest, "n1") == ["c"]
    assert known(forest, "root", "n1") == "POWER_ON"


def a_parent_loses_its_disk_after_it_revoked_a_child() -> None:
    """That one thinks that nobody else may have the node: the next life of its parent waits for it, too,
    or for a person who vouches for it; that is then kept.
    """
    forest = tree({"root": None, "m": "root", "a": "m", "b": "m"}, ["n1"], "a", settled_s=60.0)
    m = forest.members["m"]
    m.revoke("a")
    declare(forest, "n1", "b")
    m.crash(lose_disk=True)
    forest.restart("m")
    run_everywhere(forest, "n1", 200)

    assert owners(forest, "n1") == ["a"], "which hears nobody"

    m.revoke("a", fenced=True)
    forest.members["a"].crash()
    m.crash(lose_disk=True)
    forest.restart("m")
    run_everywhere(forest, "n1", 200)

    assert owners(forest, "n1") == ["a", "b"], "a, which does not run"


def a_collector_gets_a_disk_back_from_before_its_node_was_taken_away() -> None:
    forest = tree({"root": None, "a": "root", "b": "root"}, ["n1"], "a", settled_s=60.0)
    a = forest.members["a"]
    backup = deepcopy(a.disk)
    declare(forest, "n1", "b")
    forest.settle(60.0)

    assert forest.try_runs("n1", 300.0) == ["b"]

    assert backup is not None

    forest.put_back("a", backup)
    a_node_stays_with_b_while_its_mutation_runs(forest)


def _gets_an_old_disk_back(shape: Shape, name: str) -> None:
    """Who gave the node from a to b does not know that any more, and both candidates are there."""
    forest = tree(shape, ["n1"], "a", settled_s=60.0)
    member = forest.members[name]
    backup = deepcopy(member.disk)
    declare(forest, "n1", "b", "a")
    forest.settle(60.0)

    assert forest.try_runs("n1", 25.0) == ["b"]

    assert backup is not None

    forest.put_back(name, backup)
    for _ in range(1200):
        forest.try_runs("n1", 0.05)
        forest.run_for(0.1)
    if member is forest.root:
        declare(forest, "n1", "b", "a")  # what was declared since is lost with the disk
    forest.settle(240.0)

    assert owners(forest, "n1") == ["b"]


def a_root_gets_a_disk_back_from_before_it_gave_a_node_away() -> None:
    _gets_an_old_disk_back({"root": None, "a": "root", "b": "root"}, "root")


def a_parent_gets_a_disk_back_from_before_it_gave_a_node_away() -> None:
    _gets_an_old_disk_back({"root": None, "m": "root", "a": "m", "b": "m"}, "m")


STORIES: list[Callable[[], None]] = [
    a_parent_loses_its_disk_after_it_revoked_a_child,
    a_collector_gets_a_disk_back_from_before_its_node_was_taken_away,
    a_root_gets_a_disk_back_from_before_it_gave_a_node_away,
    a_parent_gets_a_disk_back_from_before_it_gave_a_node_away,
    a_parent_loses_its_disk_while_a_mutation_runs,
    a_parent_and_its_child_lose_their_disks_while_a_mutation_runs,
    a_collector_loses_its_disk_while_its_own_mutation_runs,
    a_collector_loses_its_disk_while_its_mutation_runs_on_a_node_that_lists_it_no_more,
    a_collector_that_lost_its_disk_begins_nothing_beside_what_it_does_not_remember,
    a_child_goes_on_while_its_parent_waits_for_what_it_may_have_begun,
    a_parent_loses_its_disk_and_a_child_is_not_heard_until_long_after,
    a_parent_restarts_and_its_child_loses_its_disk_while_a_mutation_runs,
    a_collector_that_lost_its_disk_restarts_again_while_its_mutation_runs,
    a_collector_has_joined_and_its_parent_restarts_before_it_is_heard,
    a_collector_that_lost_its_disk_is_revoked_and_comes_back_under_its_name,
    a_collector_is_revoked_by_a_parent_that_forgot_and_comes_back_under_its_name,
    a_child_loses_its_disk_long_after_its_parent_did,
    a_node_is_taken_from_a_collector_that_loses_its_disk_while_it_is_down,
    a_parent_that_lost_its_disk_takes_nothing_from_who_remembers,
]
