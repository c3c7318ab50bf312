"""What a member of the tree makes of a letter, and of what a former life remembers."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from kraken.model.bmc import ADDRESS
from kraken.model.hold import HoldTable
from kraken.model.node import NodeTable
from kraken.model.update import PRESENCE, PRESENT, SeenAgain, Side, Stamp, StateUpdate, Value
from kraken.sync.events import Again, Called, Memory, PutBack
from kraken.sync.lease import SKEW
from kraken.sync.letters import Call, Hello, Letter, Touch
from kraken.sync.tree import Tree


def table_of(**nodes: dict[str, Value]) -> NodeTable:
    table = NodeTable()
    for name, attributes in nodes.items():
        said = {PRESENCE: PRESENT} | attributes
        table.merge(
            StateUpdate(name, Side.ATTRIBUTE, variable, value, Stamp(1, 1), 0.0, "root")
            for variable, value in said.items()
        )
    return table


def hello(name: str) -> Hello:
    return Hello(name, 1, 1_000, 0, 0, 0, -1, whole=True)


def test_that_a_value_was_seen_again_is_believed_of_who_has_the_node() -> None:
    """Another who knows its stamp could keep fresh what nobody looks at any more."""
    tree = Tree("root", 5, table_of(n1={"collectors": ["a"]}, n2={"collectors": ["b"]}), HoldTable(), 0.0)
    for child in ("a", "b"):
        tree.add_child(child, 0.0)
        tree.hear(child, Letter(7, 5, 1_000, hello(child)), 1.0)
    tree.tick(2.0)
    tree.links["a"].mirror.have = 0
    seen = {"power": SeenAgain(100, 9, 1)}

    assert tree.placement.holder == {"n1": "a", "n2": "b"}

    (again,) = tree.hear("a", Letter(7, 5, 2_500, Touch({"n1": seen, "n2": seen})), 3.0)

    assert isinstance(again, Again)
    assert again.seen == {"n1": seen}


@pytest.mark.parametrize("under_way_s", [0.0, 2.0])
def test_a_call_is_begun_until_the_slower_of_two_clocks_says_that_its_asker_waits(under_way_s: float) -> None:
    tree = Tree("a", 5, NodeTable(), HoldTable(), 0.0, parent="root")
    tree.hear("root", Letter(7, 5, 1_000, hello("root")), 1.0)
    call = Call("7f", "a", "run", b"", 10_000)
    (called,) = tree.hear("root", Letter(7, 5, 20_000, call), 20.0 + under_way_s)

    assert isinstance(called, Called)
    assert called.until == pytest.approx(20.0 + 10.0 * (1 - SKEW))


def test_a_node_that_was_deleted_when_its_holder_could_not_be_told_gives_its_bmc_back() -> None:
    """The deletion was kept, and the daemon ended before it was kept that the node was taken away."""
    placed = {"n1": ("a", 5, 5, True, False)}
    memory = Memory(placed, {}, {}, {"@a": "a"}, (), bmcs={"n1": "10.0.0.1"})
    table = table_of(n2={"collectors": ["b"], ADDRESS: "10.0.0.1"})
    tree = Tree("root", 9, table, HoldTable(), 1_000.0, memory=memory, longest_s=60.0)
    for child in ("a", "b"):
        tree.add_child(child, 1_000.0, known=True)
    tree.hear("b", Letter(7, 9, 1_000_000, hello("b")), 1_000.0)
    tree.tick(1_001.0)

    assert tree.placement.holder == {}
    assert tree.placement.former("n1") == ("a", 5)

    tree.placement.let_go("a", "n1", 5, 1_002.0)
    tree.placing.hurry()
    tree.tick(1_002.0)

    assert tree.placement.holder == {"n2": "b"}


def test_a_lease_that_only_a_child_knows_of_shows_a_disk_that_was_put_back() -> None:
    """Said to this life: what was written to a former one may be of when the child was our parent."""
    memory = Memory({}, {}, {}, {"@a": "a"}, (), number=5)
    tree = Tree("root", 9, NodeTable(), HoldTable(), 1_000.0, memory=memory, longest_s=60.0)
    tree.add_child("a", 1_000.0, known=True)
    knows = replace(hello("a"), given=7)

    assert PutBack("a") not in tree.hear("a", Letter(7, 6, 0, knows), 1_000.0)
    assert PutBack("a") in tree.hear("a", Letter(7, 9, 1_001_000, knows), 1_001.0)
    assert PutBack("a") not in tree.hear("a", Letter(7, 9, 1_002_000, knows), 1_002.0), "told once"
