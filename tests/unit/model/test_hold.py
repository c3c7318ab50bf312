from __future__ import annotations

from kraken.model.hold import EVERY_NODE, Hold, HoldTable, standing


def hold(id: str, node: str = "n1", created_at: float = 0.0, until: float | None = None) -> Hold:
    return Hold(id, node, "ada", "disk swap", created_at, until)


def ids(holds: list[Hold]) -> list[str]:
    return [one.id for one in holds]


def test_a_hold_stands_until_its_time_and_one_without_stands_for_ever() -> None:
    assert hold("a", until=10.0).stands(9.9)
    assert not hold("a", until=10.0).stands(10.0)
    assert hold("a").stands(1e12)


def test_standing_holds_come_oldest_first() -> None:
    holds = [hold("c", created_at=2.0), hold("b", created_at=1.0), hold("a", created_at=1.0, until=5.0)]

    assert ids(standing(holds, 3.0)) == ["a", "b", "c"]
    assert ids(standing(holds, 6.0)) == ["b", "c"]


def test_holds_stack_and_a_node_is_free_when_its_last_is_gone() -> None:
    table = HoldTable([hold("a"), hold("b", created_at=1.0)])
    assert ids(table.on("n1", 5.0)) == ["a", "b"]

    table.drop(hold("a"))
    assert ids(table.on("n1", 5.0)) == ["b"]

    table.drop(hold("b"))
    assert table.on("n1", 5.0) == []
    assert len(table) == 0


def test_a_freeze_holds_every_node_and_only_itself_lifts_it() -> None:
    table = HoldTable([hold("f", EVERY_NODE), hold("a", created_at=1.0)])

    assert ids(table.on("n2", 5.0)) == ["f"]
    assert ids(table.on("n1", 5.0)) == ["f", "a"]
    assert ids(table.of(EVERY_NODE)) == ["f"]
    assert ids(table.of("n1")) == ["a"]

    table.drop(hold("f", EVERY_NODE))
    assert table.on("n2", 5.0) == []


def test_lifting_a_hold_that_is_gone_changes_nothing() -> None:
    table = HoldTable([hold("a")])

    table.drop(hold("b"))
    table.drop(hold("a", node="n2"))

    assert ids(list(table)) == ["a"]


def test_a_hold_of_the_same_id_replaces_the_former() -> None:
    table = HoldTable([hold("a", until=10.0), hold("a", until=20.0)])

    assert [one.until for one in table] == [20.0]
