"""What a child may do on a node that is on lease to its parent ends with the lease of that parent."""

from __future__ import annotations

from kraken.model.hold import HoldTable
from kraken.model.node import NodeTable
from kraken.model.update import PRESENCE, PRESENT, Side, Stamp, StateUpdate, Value
from kraken.sync.events import Send
from kraken.sync.lease import LEASE_S, Lease
from kraken.sync.letters import Hello, Letter
from kraken.sync.tree import Tree


def middle(**nodes: tuple[list[str], bool]) -> Tree:
    """Of the children c1 and c2, with nodes of its parent: the collectors that each lists, and whether others
    than we may come to have it.
    """
    table = NodeTable()
    for name, (listed, _) in nodes.items():
        said: dict[str, Value] = {PRESENCE: PRESENT, "collectors": listed}
        table.merge(
            StateUpdate(name, Side.ATTRIBUTE, variable, value, Stamp(1, number), 0.0, "ann")
            for number, (variable, value) in enumerate(said.items())
        )
    tree = Tree("m", 7, table, HoldTable(), 0.0, parent="root", longest_s=100.0)
    tree.leases.is_first(0.0)
    tree.leases._told.update({name: Lease(1, shared, 1) for name, (_, shared) in nodes.items()})
    tree.leases.tenure.granted(0.0, 30.0)
    for child in ("c1", "c2"):
        tree.add_child(child, 0.0)
    return tree


def leases(tree: Tree, child: str, now: float) -> list[int]:
    """Those of the hellos to this child when it says hello."""
    events = tree.hear(child, Letter(5, 7, 0, Hello(child, 1, 0, 0, 0, 0, -1, True)), now)
    tree.links[child].greet_now(now)
    events = [*events, *tree.tick(now)]
    said = [event.letter.body for event in events if isinstance(event, Send) and event.neighbour == child]
    return [body.lease_ms for body in said if isinstance(body, Hello)]


def test_a_child_that_needs_no_lease_gets_none_that_outlasts_ours() -> None:
    tree = middle()

    assert leases(tree, "c1", 1.0) == [28970]
    assert leases(tree, "c1", 31.0) == [0]


def test_a_child_that_has_what_we_alone_give_gets_a_whole_lease() -> None:
    tree = middle(n1=(["c1", "c2"], False))
    leases(tree, "c1", 0.0)

    assert leases(tree, "c1", 1.0) == [int(LEASE_S * 1000)]


def test_a_node_on_lease_to_us_waits_until_the_lease_of_who_gets_it_ends_within_ours() -> None:
    tree = middle(n1=(["c1", "c2"], False), n2=(["c1"], True))
    tree.placement.take("n1", "c1", shared=True)
    tree.placement.promise_to("c1").grant(LEASE_S)
    leases(tree, "c1", 1.0)

    assert tree.placing.waiting == {"n2": None}
    assert "n2" not in tree.placement.holder

    tree.leases.tenure.granted(2.0, LEASE_S + 1.0)
    tree.placing.hurry()
    tree.tick(3.0)

    assert tree.placement.holder["n2"] == "c1"


def test_the_next_lease_of_who_waits_for_such_a_node_ends_within_ours() -> None:
    tree = middle(n1=(["c1", "c2"], False), n2=(["c1"], True))
    tree.placement.take("n1", "c1", shared=True)
    tree.placement.promise_to("c1").grant(LEASE_S)

    assert leases(tree, "c1", 1.0) == [28970]
