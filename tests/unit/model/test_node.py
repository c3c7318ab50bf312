from __future__ import annotations

import pytest

from kraken.errors import UnknownNodeError
from kraken.model.node import NodeTable
from kraken.model.update import GROUPS, PRESENCE, PRESENT, Side, Stamp, StateUpdate, Value


def update(
    side: Side, variable: str, value: Value, at: int, node: str = "n1", seen_at: float = 0.0
) -> StateUpdate:
    return StateUpdate(node, side, variable, value, Stamp(1, at), seen_at or float(at), "test")


def here(at: int, node: str = "n1") -> StateUpdate:
    return update(Side.ATTRIBUTE, PRESENCE, PRESENT, at, node)


def gone(at: int) -> StateUpdate:
    return update(Side.ATTRIBUTE, PRESENCE, None, at)


def cfg(value: Value, at: int) -> StateUpdate:
    return update(Side.CFG, "x", value, at)


def dsc(value: Value, at: int, seen_at: float = 0.0) -> StateUpdate:
    return update(Side.DSC, "x", value, at, seen_at=seen_at)


@pytest.fixture
def table() -> NodeTable:
    nodes = NodeTable()
    nodes.merge([here(1)])
    return nodes


def test_a_newer_record_replaces_an_older_and_is_given_back(table: NodeTable) -> None:
    assert table.merge([cfg("A", 2), cfg("B", 3)]) == [cfg("A", 2), cfg("B", 3)]
    assert table["n1"].cfg_values() == {"x": "B"}


def test_an_older_record_changes_nothing_and_is_not_given_back(table: NodeTable) -> None:
    table.merge([cfg("B", 3)])

    assert table.merge([cfg("A", 2), cfg("B", 3)]) == []
    assert table["n1"].cfg_values() == {"x": "B"}


def test_a_withdrawn_record_does_not_come_back_late(table: NodeTable) -> None:
    table.merge([cfg("A", 2), cfg(None, 4)])

    assert table.merge([cfg("B", 3)]) == []
    assert table["n1"].cfg_values() == {}
    assert table.merge([cfg("C", 5)]) == [cfg("C", 5)]
    assert table["n1"].cfg_values() == {"x": "C"}


def test_since_is_when_the_value_was_first_seen_and_seen_at_when_it_was_last(table: NodeTable) -> None:
    table.merge([dsc("A", 2, seen_at=100.0), dsc("A", 3, seen_at=110.0)])
    assert (table["n1"].dsc["x"].since, table["n1"].dsc["x"].seen_at) == (100.0, 110.0)

    table.merge([dsc("B", 4, seen_at=120.0)])
    assert (table["n1"].dsc["x"].since, table["n1"].dsc["x"].seen_at) == (120.0, 120.0)


def test_deleting_a_node_drops_its_cfg_attributes_and_dsc(table: NodeTable) -> None:
    table.merge([cfg("A", 2), update(Side.ATTRIBUTE, "rack", 7, 3), dsc("A", 4)])

    assert table.merge([gone(5)]) == [gone(5)]
    assert "n1" not in table

    table.merge([here(6)])
    assert table["n1"].cfg_values() == {}
    assert table["n1"].attribute_values() == {}
    assert table["n1"].dsc_values() == {}


def test_a_late_record_of_a_deleted_node_does_not_outlive_its_deletion(table: NodeTable) -> None:
    table.merge([gone(5)])
    table.merge([cfg("A", 2), here(4)])
    assert "n1" not in table

    table.merge([here(6), cfg("B", 3)])
    assert table["n1"].cfg_values() == {}


def test_dsc_of_a_node_nobody_declared_is_dropped() -> None:
    table = NodeTable()

    assert table.merge([dsc("A", 1), here(2)]) == [here(2)]
    assert table["n1"].dsc_values() == {}


def test_cfg_that_comes_before_its_node_waits_and_is_given_back_with_it() -> None:
    table = NodeTable()

    assert table.merge([cfg("A", 2)]) == []
    assert table.merge([here(1)]) == [here(1), cfg("A", 2)]
    assert table["n1"].cfg_values() == {"x": "A"}


def test_a_deletion_that_comes_late_withdraws_what_was_declared_before_it(table: NodeTable) -> None:
    table.merge([cfg("A", 2), here(4), update(Side.CFG, "y", "B", 5)])

    assert table.merge([gone(3)]) == [cfg(None, 3)]
    assert table["n1"].cfg_values() == {"y": "B"}


def test_a_copy_that_is_offered_everything_learns_of_deletions_too(table: NodeTable) -> None:
    copy = NodeTable()
    copy.merge([here(1), cfg("A", 2)])
    table.merge([cfg("A", 2), gone(3), here(4)])

    copy.merge(list(table.records()))

    assert copy["n1"].cfg_values() == table["n1"].cfg_values() == {}


def test_nodes_come_in_the_order_of_their_declaration_and_know_their_groups(table: NodeTable) -> None:
    table.merge([here(2, "n0"), update(Side.ATTRIBUTE, GROUPS, ["login", "gpu"], 3, "n0")])
    table.merge([update(Side.ATTRIBUTE, GROUPS, ["login"], 4)])

    assert list(table) == ["n1", "n0"]
    assert table["n0"].groups == ("login", "gpu")
    assert table.groups() == {"login": ["n1", "n0"], "gpu": ["n0"]}
    assert table["n0"].attribute_values() == {}


def test_names_that_are_not_declared_are_all_named_folded(table: NodeTable) -> None:
    assert [node.name for node in table.require(["n1"])] == ["n1"]

    with pytest.raises(UnknownNodeError, match=r"unknown nodes n\[7-9\]; nothing was done") as caught:
        table.require(["n1", "n7", "n8", "n9"])

    assert caught.value.part == "n[7-9]"
