"""Who hears of which record."""

from __future__ import annotations

from kraken.model.update import Side, Stamp, StateUpdate
from kraken.sync.spread import Neighbours, Send, spread


def update(node: str, side: Side, variable: str = "power") -> StateUpdate:
    return StateUpdate(node, side, variable, "ON", Stamp(1, 1), 10.0, "test")


MIDDLE = Neighbours("root", {"left": {"n1", "n2"}, "right": {"n3"}})


def test_dsc_climbs_to_the_parent() -> None:
    record = update("n1", Side.DSC)

    assert spread([record], MIDDLE) == [Send("root", (record,))]


def test_the_root_has_nobody_above_it() -> None:
    assert spread([update("n1", Side.DSC)], Neighbours(None, {"left": {"n1"}})) == []


def test_cfg_and_attributes_go_down_to_the_child_that_has_the_node() -> None:
    cfg, attribute = update("n1", Side.CFG), update("n3", Side.ATTRIBUTE)

    assert spread([cfg, attribute], MIDDLE) == [Send("left", (cfg,)), Send("right", (attribute,))]


def test_nothing_returns_to_where_it_came_from() -> None:
    assert spread([update("n1", Side.DSC)], MIDDLE, "root") == []
    assert spread([update("n1", Side.CFG)], MIDDLE, "left") == []


def test_each_neighbour_gets_one_letter_with_its_records_in_order() -> None:
    first, second = update("n1", Side.CFG, "a"), update("n2", Side.CFG, "b")

    assert spread([first, second], MIDDLE) == [Send("left", (first, second))]
