"""A life that forgets waits for what it may have begun; a first one, which forgot nothing, does not."""

from __future__ import annotations

import pytest

from kraken.model.hold import HoldTable
from kraken.model.node import NodeTable
from kraken.model.update import PRESENCE, PRESENT, Side, Stamp, StateUpdate
from kraken.sync.events import Memory, Send
from kraken.sync.letters import NONE_BEFORE, Hello, Letter
from kraken.sync.link import DEAD_S
from kraken.sync.tree import Tree

LONGEST_S = 100.0


def tree(me: str, parent: str | None = None, memory: Memory | None = None, *nodes: str) -> Tree:
    table = NodeTable()
    table.merge(
        StateUpdate(node, Side.ATTRIBUTE, PRESENCE, PRESENT, Stamp(1, 0), 0.0, "ann") for node in nodes
    )
    return Tree(me, 7, table, HoldTable(), 0.0, parent=parent, longest_s=LONGEST_S, memory=memory)


def hello(tree: Tree, neighbour: str, life: int = 5, has: int = 0, now: float = 1.0) -> list[int]:
    """The neighbour says hello; what the answers say they have."""
    events = tree.hear(
        neighbour, Letter(life, tree.life, 0, Hello(neighbour, 1, 0, 0, 0, 0, -1, True, 0, has)), now
    )
    tree.links[neighbour].greet_now(now)
    events = [*events, *tree.tick(now)]
    said = [e.letter.body for e in events if isinstance(e, Send) and e.neighbour == neighbour]
    return [body.has for body in said if isinstance(body, Hello)]


def test_a_child_met_in_this_life_is_told_that_none_was_before_until_a_second_comes() -> None:
    root = tree("root")
    root.add_child("c1", 0.0)

    assert hello(root, "c1", life=5) == [NONE_BEFORE]
    assert hello(root, "c1", life=6) == [0]
    assert hello(root, "c1", life=6) == [0]


def test_a_child_of_a_former_life_is_told_no_such_thing() -> None:
    root = tree("root")
    root.add_child("c1", 0.0, known=True)

    assert hello(root, "c1") == [0]


@pytest.mark.parametrize(("told", "says"), [(NONE_BEFORE, 0), (0, -1)])
def test_a_child_that_is_told_so_says_that_nothing_of_its_runs(told: int, says: int) -> None:
    child = tree("c1", "root")
    hello(child, "root", has=told)

    assert hello(child, "root", has=0, now=2.0) == [says]
    assert hello(child, "root", has=0, now=1.0 + LONGEST_S) == [0]


def test_a_child_with_children_of_before_believes_its_own_doubt() -> None:
    child = tree("c1", "root")
    child.add_child("c2", 0.0, known=True)
    hello(child, "root", has=NONE_BEFORE)

    assert hello(child, "root", has=NONE_BEFORE, now=2.0) == [1], "c2 may have nodes of it"


@pytest.mark.parametrize(("known", "waits_s"), [(False, 0.0), (True, LONGEST_S)])
def test_a_root_gives_up_its_own_node_at_once_if_nobody_was_below_it_before(
    known: bool, waits_s: float
) -> None:
    root = tree("root", None, None, "n1")
    root.add_child("c1", 0.0, known=known)
    root.leases.placement.take("n1", root.placement.OURS, shared=False)
    root.placement.release("n1", root.leases.busy_until("n1"))

    assert root.placement.is_left("n1", waits_s)
    assert root.placement.is_left("n1", 0.0) is (not known)


def listed(root: Tree, *nodes: str) -> None:
    """These are declared for c1."""
    root.table.merge(
        StateUpdate(node, Side.ATTRIBUTE, "collectors", ["c1"], Stamp(2, 0), 0.0, "ann") for node in nodes
    )
    root.declared(nodes, 1.0)


@pytest.mark.parametrize(("known", "waits_s"), [(False, 0.0), (True, LONGEST_S)])
def test_a_root_that_forgot_gives_no_node_to_a_child_until_what_it_may_have_begun_is_over(
    known: bool, waits_s: float
) -> None:
    root = tree("root", None, None, "n1")
    root.add_child("c1", 0.0, known=known)
    listed(root, "n1")
    hello(root, "c1")

    assert root.leases.may_have_begun("n1", 1.0) is known
    assert ("n1" in root.placement.holder) is not known

    root.tick(waits_s + 2.0)

    assert root.placement.holder["n1"] == "c1"


@pytest.mark.parametrize(("told", "has_it"), [(NONE_BEFORE, True), (0, False)])
def test_who_is_vouched_for_gives_its_nodes_to_children_at_once(told: int, has_it: bool) -> None:
    middle = tree("m", "root", None, "n1")
    middle.add_child("c1", 0.0)
    hello(middle, "root", has=told)
    hello(middle, "c1")
    listed(middle, "n1")

    assert ("n1" in middle.placement.holder) is has_it


@pytest.mark.parametrize(("says", "until"), [(1, LONGEST_S), (0, 0.0), (-1, 0.0)])
def test_a_child_that_remembers_is_not_told_that_it_has_nothing_while_its_parent_waits(
    says: int, until: float
) -> None:
    root = tree("root", None, None, "n1")
    root.add_child("c1", 0.0, known=True)
    hello(root, "c1")
    letter = Letter(5, root.life, 0, Hello("c1", 1, 0, 0, 0, 0, -1, True, 0, says))
    root.hear("c1", letter, 1.0)

    assert root._greeting("c1", 1.0).whole is (says <= 0)
    assert root._greeting("c1", DEAD_S + 1.0).whole is (says <= 0), (
        "others may all be here, and it waits still"
    )
    assert root._greeting("c1", until).whole


def test_what_a_life_itself_began_is_waited_for_all_the_same() -> None:
    busy = Tree("root", 7, NodeTable(), HoldTable(), 0.0, longest_s=LONGEST_S, busy=lambda node: 30.0)

    assert busy.leases.busy_until("n1") == 30.0
