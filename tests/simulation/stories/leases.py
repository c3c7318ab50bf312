"""Stories of who may run mutations on a node, and when another may."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

from kraken.sync.lease import LEASE_S
from kraken.sync.letters import Check, Checked, Delta, Hello, Reserve, Reserved, Tell
from kraken.sync.link import DEAD_S, HELLO_S
from kraken.sync.tree import CHECK_S
from kraken.testing.tree.forest import Forest
from tests.simulation.stories.stage import (
    Shape,
    declare,
    known,
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


def _a_node_stays_with_b_while_its_mutation_runs(forest: Forest) -> None:
    """Whatever somebody else remembers of n1."""
    for _ in range(500):
        forest.try_runs("n1", 0.05)
        forest.run_for(0.1)
    forest.settle(60.0)

    assert owners(forest, "n1") == ["b"]


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
    _a_node_stays_with_b_while_its_mutation_runs(forest)


def a_collector_gets_a_disk_back_from_before_its_node_was_taken_away() -> None:
    forest = tree({"root": None, "a": "root", "b": "root"}, ["n1"], "a", settled_s=60.0)
    a = forest.members["a"]
    backup = deepcopy(a.disk)
    declare(forest, "n1", "b")
    forest.settle(60.0)

    assert forest.try_runs("n1", 300.0) == ["b"]

    assert backup is not None

    forest.put_back("a", backup)
    _a_node_stays_with_b_while_its_mutation_runs(forest)


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
    a_question_overtakes_the_word_that_the_node_is_given_and_taken,
    what_was_let_go_before_is_told_late,
    what_was_bound_before_is_told_late,
    a_parent_restarts_while_a_holder_thinks_that_it_is_alone,
    a_collector_is_revoked_and_let_in_again_while_its_daemon_runs,
    a_person_vouches_for_a_collector_that_was_revoked_before,
    a_parent_loses_its_disk_after_it_revoked_a_child,
    a_person_vouches_for_a_collector_that_is_let_in_again,
    a_collector_gets_a_disk_back_from_before_its_node_was_taken_away,
    a_root_gets_a_disk_back_from_before_it_gave_a_node_away,
    a_parent_gets_a_disk_back_from_before_it_gave_a_node_away,
    a_collector_starts_while_its_parent_is_away,
    a_parent_ends_when_a_child_was_revoked_and_that_is_not_kept_beside_who_has_which_node,
    a_mutation_ends_before_its_time_when_its_node_was_taken_away,
    a_mutation_ends_before_its_time_when_its_node_was_given_to_a_child,
    a_mutation_ends_before_its_time_two_levels_below_who_gives_its_node_away,
    a_longer_lease_is_over_by_the_clock_that_goes_slower,
    a_longer_lease_is_over_by_the_clock_that_goes_slower_two_levels_below,
    a_parent_restarts_while_a_child_has_a_longer_lease,
    a_parent_restarts_with_other_modules_while_a_child_has_a_longer_lease,
    a_parent_restarts_and_hears_the_next_candidate_first,
    the_last_hello_comes_late,
    a_collector_that_is_not_heard_hears_of_its_lease_still,
    a_lease_comes_before_the_word_that_the_node_is_gone,
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
    a_node_is_given_to_a_child_shortly_before_the_lease_of_its_parent_ends,
    a_node_is_taken_from_a_collector_that_loses_its_disk_while_it_is_down,
    a_parent_that_lost_its_disk_takes_nothing_from_who_remembers,
    what_was_let_go_is_asked_for_and_the_question_is_lost,
    a_collector_moves_and_takes_its_nodes_with_it,
    a_mutation_begun_without_a_lease_is_over_before_another_gets_the_node,
    what_a_child_was_promised_before_is_over_too,
]
