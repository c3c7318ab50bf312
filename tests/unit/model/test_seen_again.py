"""A value that is merely seen again."""

from __future__ import annotations

from kraken.model.node import NodeTable
from kraken.model.update import PRESENCE, PRESENT, SeenAgain, Side, Stamp, StateUpdate


def table() -> NodeTable:
    found = NodeTable()
    found.merge(
        [
            StateUpdate("n1", Side.ATTRIBUTE, PRESENCE, PRESENT, Stamp(1, 1), 5.0, "ann"),
            StateUpdate("n1", Side.DSC, "power", "ON", Stamp(1, 2), 10.0, "look"),
        ]
    )
    return found


def test_a_value_seen_again_is_younger_and_stands_since_the_same_time() -> None:
    nodes = table()

    assert nodes.see_again("n1", 12.5, {"power": SeenAgain(500, 1, 2)}) == ["power"]
    record = nodes["n1"].dsc["power"]
    assert (record.value, record.stamp, record.seen_at, record.since) == ("ON", Stamp(1, 2), 12.0, 10.0)


def test_what_was_seen_before_or_of_another_value_says_nothing() -> None:
    nodes = table()
    told = [
        nodes.see_again("n1", 12.0, {"power": SeenAgain(2000, 1, 2)}),
        nodes.see_again("n1", 12.0, {"power": SeenAgain(0, 1, 1)}),
        nodes.see_again("n1", 12.0, {"power": SeenAgain(0, 1, 3), "image": SeenAgain(0, 1, 2)}),
        nodes.see_again("n1", 12.0, {"power": SeenAgain(0, 2, 2)}),
        nodes.see_again("n2", 12.0, {"power": SeenAgain(0, 1, 2)}),
    ]

    assert told == [[]] * 5
    assert nodes["n1"].dsc["power"].seen_at == 10.0
