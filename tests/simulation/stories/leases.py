"""Stories of who may run mutations on a node, and when another may."""

from __future__ import annotations

from collections.abc import Callable

from kraken.sync.lease import LEASE_S
from kraken.sync.letters import Check, Checked, Delta, Hello
from kraken.sync.link import DEAD_S, HELLO_S
from kraken.sync.tree import CHECK_S
from tests.simulation.stories.stage import (
    Shape,
    a_node_stays_with_b_while_its_mutation_runs,
    declare,
    move,
    of_kind,
    owners,
    run_everywhere,
    the_last,
    tree,
)


def the_last_hello_comes_late() -> None:
    """Its lease is over when its parent thinks so, though it heard of it half a minute later."""
    forest = tree({"root": None, "a": "root", "b": "root"}, ["n1"], "a", "b", settled_s=60.0)
    forest.network.rule = the_last("root", "a", lambda body: isinstance(body, Hello), 30.0)
    run_everywhere(forest, "n1", 120)

    assert forest.root.tree.placement.holder["n1"] == "b"


def a_collector_that_is_not_heard_hears_of_its_lease_still() -> None:
    """What was written to it may have come, whether or not it is thought to live."""
    forest = tree({"root": None, "a": "root", "b": "root"}, ["n1"], "a", "b", settled_s=60.0)
    forest.network.muted.add(("a", "root"))
    for _ in range(240):
        forest.run_for(0.5)
        forest.try_runs("n1", 3.0)

    assert forest.root.tree.placement.holder["n1"] == "b"

    forest.network.muted.clear()
    forest.settle(60.0)

    assert owners(forest, "n1") == ["a"]


def a_lease_comes_before_the_word_that_the_node_is_gone() -> None:
    forest = tree({"root": None, "a": "root", "b": "root"}, ["n1"], "a", "b", settled_s=60.0)
    forest.network.cut.add(frozenset(("root", "a")))
    forest.run_for(20.0)
    declare(forest, "n1", "b", "a")
    forest.run_for(2 * DEAD_S)

    assert forest.root.tree.placement.holder["n1"] == "b"

    forest.network.rule = of_kind(Delta, "root", "a", [])
    forest.network.cut.clear()
    run_everywhere(forest, "n1", 30)
    forest.network.rule = None
    forest.settle(60.0)

    assert owners(forest, "n1") == ["b"]


def a_node_is_given_to_a_child_shortly_before_the_lease_of_its_parent_ends() -> None:
    """The child has a lease of that parent's own, for another node, which would outlast it."""
    shape: Shape = {"root": None, "m": "root", "b": "root", "c": "m", "d": "m"}
    forest = tree(shape, ["n0"], "c", "d")
    forest.members["c"].crash()
    forest.run_for(2 * DEAD_S)
    declare(forest, "n1", "c", "m", "b")
    forest.run_for(2 * DEAD_S)
    m = forest.members["m"]
    forest.network.rule = lambda sender, receiver, data: [] if (sender, receiver) == ("m", "root") else None
    forest.run_for(20.0)

    assert forest.try_runs("n1", m.tree.leases.tenure.ends_at - m.clock() - 1.0) == ["m"]

    forest.restart("c")
    for _ in range(100):
        forest.run_for(0.5)
        forest.try_runs("n1", 20.0)

    assert forest.root.tree.placement.holder["n1"] == "b"

    forest.network.rule = None
    forest.settle(2 * DEAD_S)

    assert owners(forest, "n0") == owners(forest, "n1") == ["c"]


def what_was_let_go_is_asked_for_and_the_question_is_lost() -> None:
    forest = tree({"root": None, "a": "root", "b": "root"}, ["n1"], "a")
    forest.network.rule = of_kind(Check, "root", "a", [], once=True)
    declare(forest, "n1", "b")
    forest.settle(60.0)

    assert owners(forest, "n1") == ["b"]


def a_collector_moves_and_takes_its_nodes_with_it() -> None:
    forest = tree({"root": None, "a": "root", "b": "root", "c": "a"}, ["n1"], "c")
    move(forest, "c", "b")
    forest.settle(60.0)

    assert owners(forest, "n1") == ["c"]

    declare(forest, "n1", "c", wish="OFF")
    forest.run_for(1.0)

    assert forest.members["c"].table["n1"].cfg["wish"].value == "OFF"


def a_parent_restarts_and_hears_the_next_candidate_first() -> None:
    """The node stays where it is; if that one does not come, the next has it."""
    forest = tree({"root": None, "a": "root", "b": "root"}, ["n1"], "a", "b", settled_s=60.0)
    taken = forest.members["a"].tree.leases.told("n1").taken
    forest.network.rule = of_kind(Hello, "a", "root", [5.0])
    forest.restart("root")
    forest.run_for(30.0)

    assert owners(forest, "n1") == ["a"]
    assert forest.members["a"].tree.leases.told("n1").taken == taken, "it was never taken away"

    forest.network.rule = None
    forest.network.cut.add(frozenset(("root", "a")))
    forest.restart("root")
    forest.run_for(4 * DEAD_S + LEASE_S)

    assert forest.root.tree.placement.holder["n1"] == "b"


def a_question_overtakes_the_word_that_the_node_is_given_and_taken() -> None:
    """Who answers it knows of neither yet, and would come to have the node when it is another's."""
    forest = tree({"root": None, "a": "root", "b": "root"}, settled_s=60.0)
    forest.network.rule = of_kind(Delta, "root", "a", [12.0])
    declare(forest, "n1", "a")
    forest.run_for(0.5)
    declare(forest, "n1", "b")
    for _ in range(300):
        forest.run_for(0.1)
        forest.try_runs("n1", 0.5)
    forest.network.rule = None
    forest.settle(60.0)

    assert owners(forest, "n1") == ["b"]


def what_was_let_go_before_is_told_late() -> None:
    """The node came back meanwhile, and is taken away again while a mutation runs."""
    forest = tree({"root": None, "a": "root", "b": "root"}, ["n1"], "a", settled_s=60.0)
    forest.network.rule = of_kind(Checked, "a", "root", [0.01, 30.0])
    declare(forest, "n1", "b")
    forest.run_for(10.0)

    assert owners(forest, "n1") == ["b"]

    forest.network.rule = None
    declare(forest, "n1", "a")
    forest.run_for(10.0)

    assert forest.try_runs("n1", 50.0) == ["a"]

    declare(forest, "n1", "b")
    run_everywhere(forest, "n1", 80)

    assert owners(forest, "n1") == ["b"]


def what_was_bound_before_is_told_late() -> None:
    """Nobody else was to have the node meanwhile, and a mutation was begun without a lease."""
    forest = tree({"root": None, "a": "root", "b": "root"}, ["n1"], "a", settled_s=60.0)
    forest.network.rule = of_kind(Checked, "a", "root", [0.01, 30.0])
    declare(forest, "n1", "a", "b")
    forest.run_for(10.0)
    forest.network.rule = None

    assert "n1" not in forest.root.tree.placement.alone

    declare(forest, "n1", "a")
    forest.run_for(5.0)

    assert forest.try_runs("n1", 250.0) == ["a"]

    declare(forest, "n1", "a", "b")
    forest.run_for(25.0)
    forest.network.cut.add(frozenset(("root", "a")))
    run_everywhere(forest, "n1", 250)
    forest.network.cut.clear()
    forest.settle(60.0)

    assert owners(forest, "n1") == ["a"]


def a_parent_restarts_while_a_holder_thinks_that_it_is_alone() -> None:
    """It is cut off, and cannot know that others may have the node since: only its own word frees it."""
    forest = tree({"root": None, "a": "root", "b": "root"}, ["n1"], "a", settled_s=60.0)
    forest.network.cut.add(frozenset(("root", "a")))
    declare(forest, "n1", "a", "b")
    forest.run_for(5.0)
    forest.restart("root")
    run_everywhere(forest, "n1", 240)

    assert owners(forest, "n1") == ["a"]

    forest.network.cut.clear()
    forest.settle(60.0)

    assert owners(forest, "n1") == ["a"]


def a_collector_is_revoked_and_let_in_again_while_its_daemon_runs() -> None:
    """It knows of no restart on either side, and what it had was given to another meanwhile."""
    forest = tree({"root": None, "a": "root", "b": "root"}, ["n1"], "a", "b", settled_s=60.0)
    for _ in range(20):
        declare(forest, "n1", "a", "b")  # much was told before
        forest.run_for(0.1)
    forest.root.revoke("a")
    run_everywhere(forest, "n1", int(LEASE_S + DEAD_S))

    assert owners(forest, "n1") == ["a", "b"], "a is not told that it has no node any more"

    forest.root.take_in("a")
    declare(forest, "n1", "b", "a")
    run_everywhere(forest, "n1", 60)
    forest.settle(60.0)

    assert owners(forest, "n1") == ["b"]


def a_person_vouches_for_a_collector_that_was_revoked_before() -> None:
    """It was cut off, and thinks that nobody else may have the node: only its own word would free that."""
    forest = tree({"root": None, "a": "root", "b": "root"}, ["n1"], "a", settled_s=60.0)
    forest.members["a"].crash()
    declare(forest, "n1", "b")
    forest.root.revoke("a")
    run_everywhere(forest, "n1", 200)

    assert forest.root.tree.placement.holder.get("n1") is None

    forest.root.revoke("a", fenced=True)
    forest._wake(forest.root)
    forest.run_for(1.0)

    assert owners(forest, "n1") == ["a", "b"], "a, which does not run"


def a_person_vouches_for_a_collector_that_is_let_in_again() -> None:
    """It ran nothing, as was said, and when it starts it remembers a node that is another's by then."""
    forest = tree({"root": None, "a": "root", "b": "root"}, ["n1"], "a", settled_s=60.0)
    forest.members["a"].crash()
    declare(forest, "n1", "b")
    forest.root.revoke("a", fenced=True)
    forest._wake(forest.root)
    forest.run_for(1.0)

    assert forest.try_runs("n1", 300.0) == ["b"]

    forest.root.take_in("a")
    forest.restart("a")
    a_node_stays_with_b_while_its_mutation_runs(forest)


def a_collector_starts_while_its_parent_is_away() -> None:
    """Nobody tells it that a node is not its own any more: it goes on with what it remembers."""
    forest = tree({"root": None, "a": "root", "b": "root"}, ["n1"], "a", settled_s=60.0)
    forest.network.cut.add(frozenset(("root", "a")))
    forest.restart("a")
    forest.run_for(DEAD_S - 1.0)

    assert forest.try_runs("n1", 0.5) == []

    forest.run_for(2.0 + HELLO_S)

    assert forest.try_runs("n1", 0.5) == ["a"]


def a_parent_ends_when_a_child_was_revoked_and_that_is_not_kept_beside_who_has_which_node() -> None:
    """Who has a node is none of its neighbours in its next life."""
    forest = tree({"root": None, "a": "root", "b": "root"}, ["n1"], "a", "b", settled_s=60.0)
    forest.root.crash()
    forest.root.children.remove("a")
    forest.restart("root")
    declare(forest, "n1", "a", "b")
    run_everywhere(forest, "n1", 120)

    assert forest.root.tree.placement.holder["n1"] == "b"


def _a_mutation_ends_after_its_node_was_taken_away(shape: Shape, later: str) -> None:
    """Nobody waits for the time that it might have taken."""
    forest = tree(shape, ["n1"], "a", settled_s=60.0)

    assert forest.try_runs("n1", 600.0) == ["a"], "without a lease, since nobody else may have the node"

    declare(forest, "n1", later, "a")
    forest.run_for(20.0)

    assert owners(forest, "n1") == []
    assert forest.end_run("n1") == "a"

    run_everywhere(forest, "n1", 3 * int(CHECK_S))

    assert owners(forest, "n1") == [later]


def a_mutation_ends_before_its_time_when_its_node_was_taken_away() -> None:
    _a_mutation_ends_after_its_node_was_taken_away({"root": None, "a": "root", "b": "root"}, "b")


def a_mutation_ends_before_its_time_when_its_node_was_given_to_a_child() -> None:
    _a_mutation_ends_after_its_node_was_taken_away({"root": None, "a": "root", "b": "a"}, "b")


def a_mutation_ends_before_its_time_two_levels_below_who_gives_its_node_away() -> None:
    _a_mutation_ends_after_its_node_was_taken_away({"root": None, "m": "root", "a": "m", "b": "root"}, "b")


STORIES: list[Callable[[], None]] = [
    a_question_overtakes_the_word_that_the_node_is_given_and_taken,
    what_was_let_go_before_is_told_late,
    what_was_bound_before_is_told_late,
    a_parent_restarts_while_a_holder_thinks_that_it_is_alone,
    a_collector_is_revoked_and_let_in_again_while_its_daemon_runs,
    a_person_vouches_for_a_collector_that_was_revoked_before,
    a_person_vouches_for_a_collector_that_is_let_in_again,
    a_collector_starts_while_its_parent_is_away,
    a_parent_ends_when_a_child_was_revoked_and_that_is_not_kept_beside_who_has_which_node,
    a_mutation_ends_before_its_time_when_its_node_was_taken_away,
    a_mutation_ends_before_its_time_when_its_node_was_given_to_a_child,
    a_mutation_ends_before_its_time_two_levels_below_who_gives_its_node_away,
    a_parent_restarts_and_hears_the_next_candidate_first,
    the_last_hello_comes_late,
    a_collector_that_is_not_heard_hears_of_its_lease_still,
    a_lease_comes_before_the_word_that_the_node_is_gone,
    a_node_is_given_to_a_child_shortly_before_the_lease_of_its_parent_ends,
    what_was_let_go_is_asked_for_and_the_question_is_lost,
    a_collector_moves_and_takes_its_nodes_with_it,
]
