"""Stories of two daemons under one name: a disk was copied, or a machine that was replaced is back."""

from __future__ import annotations

from collections.abc import Callable

from kraken.sync.letters import Tell
from kraken.sync.link import DEAD_S, HELLO_S
from kraken.testing.tree.forest import Forest
from tests.simulation.stories.stage import declare, of_kind, owners, run_everywhere, tree

TOLD_S = 2 * HELLO_S + 1.0
"""Until both of two have been told, in good weather: each has spoken after the other had."""
LONGEST_S = 60.0  # of a mutation, of members of the simulation


def grove() -> Forest:
    """n1 is for a alone, n2 for a and then b."""
    forest = tree({"root": None, "a": "root", "b": "root"}, ["n1"], "a")
    declare(forest, "n2", "a", "b")
    forest.settle(30.0)

    assert owners(forest, "n1") == owners(forest, "n2") == ["a"]

    return forest


def starters(forest: Forest, node: str) -> list[str]:
    """Who begins a short mutation now."""
    forest.run_for(1.0)
    return forest.try_runs(node, 0.5)


def two_speak_and_neither_begins_anything_until_one_is_silent() -> None:
    forest = grove()
    twin = forest.copy("a")
    forest.run_for(TOLD_S)
    for _ in range(100):
        assert starters(forest, "n1") == [], "nobody knows which of the two is meant to be"

    assert starters(forest, "n2") == ["b"], "as if a were silent"

    forest.remove(twin)
    run_everywhere(forest, "n1", int(DEAD_S + LONGEST_S) + 20)

    assert starters(forest, "n1") == ["a"]

    forest.settle(60.0)

    assert owners(forest, "n2") == ["a"]


def two_go_on_from_one_snapshot_of_memory() -> None:
    """They have one life, and are two all the same."""
    forest = grove()
    twin = forest.copy("a", forest.members["a"].life)
    forest.run_for(TOLD_S)
    for _ in range(100):
        assert starters(forest, "n1") == [], "nobody knows which of the two is meant to be"

    assert starters(forest, "n2") == ["b"], "as if a were silent"

    forest.remove(twin)
    run_everywhere(forest, "n1", int(2 * DEAD_S + LONGEST_S) + 20)

    assert starters(forest, "n1") == ["a"]

    forest.settle(60.0)

    assert owners(forest, "n2") == ["a"]


def the_original_is_switched_off_and_its_copy_goes_on() -> None:
    """Whichever stays has the nodes: here the later life; where the original started again, the earlier."""
    for again in (False, True):
        forest = grove()
        twin = forest.copy("a")
        forest.run_for(15.0)
        if again:
            forest.restart("a")
        forest.run_for(100.0)
        forest.remove("a")
        run_everywhere(forest, "n1", int(2 * DEAD_S + LONGEST_S) + 20)

        assert starters(forest, "n1") == [twin]


def one_of_two_is_cut_off_when_it_was_told_and_starts_again() -> None:
    forest = grove()
    twin = forest.copy("a")
    forest.run_for(TOLD_S)
    forest.network.cut.add(frozenset((twin, "root")))
    forest.restart(twin)
    run_everywhere(forest, "n1", 300)

    assert starters(forest, "n1") == ["a"], "the other was told that it is alone; this one never is"


def one_of_two_is_switched_off_while_its_mutation_runs() -> None:
    """The other may begin another one only when that is over."""
    forest = grove()
    for name in ("root", "a"):
        forest.members[name].longest_s = 200.0
        forest.restart(name)
    forest.settle(60.0)
    twin = forest.copy("a")
    began = forest.members["a"].try_run("n1", 190.0)

    assert began is not None

    forest.busy["n1"] = (began, "a")
    forest.run_for(TOLD_S)
    forest.remove("a")
    run_everywhere(forest, "n1", 300)

    assert starters(forest, "n1") == [twin]


def a_node_is_taken_from_two_while_a_mutation_of_one_runs() -> None:
    """The one that is heard lets it go; the other has not, and says nothing that anybody hears."""
    forest = grove()
    forest.copy("a")
    began = forest.members["a"].try_run("n1", 55.0)

    assert began is not None

    forest.busy["n1"] = (began, "a")
    forest.run_for(TOLD_S)
    declare(forest, "n1", "b")
    run_everywhere(forest, "n1", 100)

    assert starters(forest, "n1") == []

    forest.remove("a")
    run_everywhere(forest, "n1", int(DEAD_S + LONGEST_S) + 20)

    assert starters(forest, "n1") == ["b"]


def a_node_is_taken_from_the_other_while_one_is_cut_off() -> None:
    """When it is back, and is alone, it knows of that before it begins anything."""
    forest = grove()
    twin = forest.copy("a")
    forest.run_for(TOLD_S)
    forest.network.cut.add(frozenset(("a", "root")))
    run_everywhere(forest, "n1", int(DEAD_S + LONGEST_S) + 20)
    declare(forest, "n1", "b")
    run_everywhere(forest, "n1", 30)

    assert starters(forest, "n1") == ["b"]

    forest.remove(twin)
    forest.run_for(DEAD_S)
    forest.network.rule = of_kind(Tell, "root", "a", [])
    forest.network.cut.clear()
    for _ in range(90):
        forest.run_for(1.0)
        forest.try_runs("n1", 30.0)
    forest.network.rule = None
    forest.settle(60.0)

    assert owners(forest, "n1") == ["b"]


def children_of_two_are_given_nothing() -> None:
    """A lease that one of two gives could be on what the other runs."""
    forest = tree({"root": None, "a": "root", "c": "a", "d": "a"}, ["n1"], "c", "d")
    forest.copy("a")
    forest.run_for(TOLD_S + DEAD_S)

    assert starters(forest, "n1") == []


STORIES: list[Callable[[], None]] = [
    two_speak_and_neither_begins_anything_until_one_is_silent,
    two_go_on_from_one_snapshot_of_memory,
    the_original_is_switched_off_and_its_copy_goes_on,
    one_of_two_is_cut_off_when_it_was_told_and_starts_again,
    one_of_two_is_switched_off_while_its_mutation_runs,
    a_node_is_taken_from_two_while_a_mutation_of_one_runs,
    a_node_is_taken_from_the_other_while_one_is_cut_off,
    children_of_two_are_given_nothing,
]
