"""Collectors further down than our children: that their parent hears them no more is told above it, once."""

from __future__ import annotations

import pytest

from kraken.daemon.deeper import GATHER_S, DeeperChanged
from kraken.sync.link import DEAD_S, HELLO_S
from kraken.sync.registry import DOWN, TWINS, UP
from tests.unit.daemon.grove import Grove


class Wood(Grove):
    """A root, row1 below it, rack1 below that, and agents below rack1."""

    def __init__(self, *agents: str) -> None:
        super().__init__("row1")
        self.grow("row1", "rack1")
        for agent in agents:
            self.grow("rack1", agent)
        self.wait(15.0)

    def grow(self, parent: str, child: str) -> None:
        branch = self.collectors[parent].branch
        assert branch is not None
        branch.tree.add_child(child, self.now)
        self.start(child, parent)

    def told(self, by: str = "root") -> list[tuple[str, dict[str, int], str, str]]:
        """What it told since it was last asked."""
        ours = [one for who, one in self.deeper if who == by]
        found = [(one.parent, dict(one.collectors), one.was, one.how) for one in ours]
        self.deeper = [(who, one) for who, one in self.deeper if who != by]
        return found


def test_one_that_falls_silent_is_told_once_at_each_level_above_its_parent_and_so_is_its_return() -> None:
    wood = Wood("a1", "a2")
    wood.cut.add("a1")
    wood.wait(3 * DEAD_S)
    down = ("rack1", {"a1": 0}, UP, DOWN)

    assert (wood.told(), wood.told("row1"), wood.told("rack1")) == ([down], [down], [])

    wood.cut.clear()
    wood.wait(2 * HELLO_S)

    assert wood.told() == [("rack1", {"a1": 0}, DOWN, UP)]


def test_it_is_told_since_when_it_was_not_heard() -> None:
    wood = Wood("a1")
    wood.cut.add("a1")
    silent_at = wood.now
    wood.wait(DEAD_S + HELLO_S)
    ((_, told),) = (one for one in wood.deeper if one[0] == "root")

    assert told.since == pytest.approx(silent_at, abs=HELLO_S + 1.0)


def test_many_of_one_parent_are_told_together() -> None:
    agents = [f"a{i}" for i in range(1, 9)]
    wood = Wood(*agents)
    wood.cut |= set(agents)
    wood.wait(2 * DEAD_S)

    assert wood.told() == [("rack1", dict.fromkeys(agents, 0), UP, DOWN)]


def test_those_below_one_that_is_silent_are_not_told_of() -> None:
    """What becomes of them nobody above it can know. When it is heard again, what it says counts."""
    wood = Wood("a1", "a2")
    wood.cut.add("rack1")
    wood.wait(2 * DEAD_S)
    wood.cut.add("a2")

    assert wood.told() == [("row1", {"rack1": 0}, UP, DOWN)]

    wood.cut.remove("rack1")
    wood.wait(2 * DEAD_S)

    assert wood.told() == [("row1", {"rack1": 0}, DOWN, UP), ("rack1", {"a2": 0}, UP, DOWN)]


def test_a_parent_that_begins_anew_has_not_lost_whom_it_did_not_hear_yet() -> None:
    wood = Wood("a1", "a2")
    wood.cut.add("a2")
    wood.start("rack1", "row1", "a1", "a2", known=True)
    wood.wait(DEAD_S - HELLO_S)

    assert wood.told() == [], "it says DOWN of both until it hears them"

    wood.wait(2 * HELLO_S)

    assert wood.told() == [("rack1", {"a2": 0}, UP, DOWN)]


def test_how_they_are_when_we_meet_them_is_no_news() -> None:
    """Else a root that starts told of ten thousand agents."""
    wood = Wood("a1", "a2")
    wood.cut.add("a2")
    wood.wait(2 * DEAD_S)
    wood.told()
    wood.start("root", None, "row1", known=True)
    wood.wait(2 * DEAD_S)

    assert wood.told() == []

    wood.cut.clear()
    wood.wait(2 * HELLO_S)

    assert wood.told() == [("rack1", {"a2": 0}, DOWN, UP)]


def test_the_nodes_of_whoever_is_below_it_are_counted_with_its_own() -> None:
    wood = Wood("a1")
    wood.grow("row1", "rack2")
    for node, collector in (("n1", "rack1"), ("n2", "rack1"), ("n3", "a1"), ("n4", "rack2")):
        wood.declare(node, [collector])
    wood.wait(15.0)
    wood.told()
    wood.cut.add("rack1")
    wood.wait(2 * DEAD_S)

    assert wood.told() == [("row1", {"rack1": 3}, UP, DOWN)]


def test_one_that_was_revoked_is_not_told_to_be_silent() -> None:
    wood = Wood("a1")
    branch = wood.collectors["rack1"].branch
    assert branch is not None
    branch.tree.remove_child("a1", wood.now)
    wood.wait(2 * DEAD_S)

    assert wood.told() == []


def test_two_daemons_under_one_name_are_told_above_too() -> None:
    wood = Wood("a1")
    branch = wood.collectors["rack1"].branch
    assert branch is not None
    for how in (TWINS, UP):
        branch.tree.roster.say("link:a1", how, wood.now)
        wood.wait(3.0)

    assert wood.told() == [("rack1", {"a1": 0}, UP, TWINS), ("rack1", {"a1": 0}, TWINS, UP)]


def test_nothing_is_waited_for_where_nothing_has_become_another() -> None:
    wood = Wood("a1")
    branch = wood.collectors["root"].branch
    assert branch is not None
    assert branch.deeper.next_at is None

    rack = wood.collectors["rack1"].branch
    assert rack is not None
    rack.tree.roster.say("link:a1", TWINS, wood.now)
    wood.wait(0.5)

    assert branch.deeper.next_at is not None
    assert branch.next_at(wood.now) <= wood.now + GATHER_S
    wood.wait(5.0)
    assert [one for who, one in wood.deeper if who == "root" and isinstance(one, DeeperChanged)]
    assert branch.deeper.next_at is None
