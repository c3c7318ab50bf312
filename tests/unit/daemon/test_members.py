"""What a parent sees of the collectors below it, at any depth: trees that exchange letters, on one clock."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from kraken.daemon.members import Member, members
from kraken.model.hold import HoldTable
from kraken.model.node import NodeTable
from kraken.sync.events import Event, Learn, Send
from kraken.sync.link import DEAD_S, HELLO_S
from kraken.sync.tree import Tree


class Forest:
    """Collectors by name, and a network between them that takes `way_s` for each letter."""

    def __init__(self, *names: str) -> None:
        self.now = 1000.0
        self.way_s = 0.0
        self.trees: dict[str, Tree] = {}
        self.cut: set[str] = set()
        self.twin: Tree | None = None  # another daemon of the name that it has
        self._under_way: list[tuple[float, str, str, Send]] = []
        self._names = names
        parent = None
        for life, name in enumerate(names, 1):
            self.trees[name] = Tree(name, life, NodeTable(), HoldTable(), self.now, parent=parent)
            if parent is not None:
                self.trees[parent].add_child(name, self.now)
            parent = name

    def run(self, seconds: float, step_s: float = 0.05) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += step_s
            due = [one for one in self._under_way if one[0] <= self.now]
            self._under_way = [one for one in self._under_way if one[0] > self.now]
            for _, sender, to, event in due:
                if not {sender, to} & self.cut:
                    for tree in self._of(to):
                        self._take(to, tree.hear(sender, event.letter, self.now))
            for name in self.trees:
                for tree in self._of(name):
                    self._take(name, tree.tick(self.now))

    def _of(self, name: str) -> list[Tree]:
        twins = [self.twin] if self.twin is not None and self.twin.me == name else []
        return [self.trees[name], *twins]

    def restart(self, name: str) -> None:
        """Its daemon ends and begins another life, which knows its children."""
        place = self._names.index(name)
        parent, below = self._names[place - 1], self._names[place + 1 : place + 2]
        life = int(self.now)
        tree = self.trees[name] = Tree(name, life, NodeTable(), HoldTable(), self.now, parent=parent)
        for child in below:
            tree.add_child(child, self.now, known=True)

    def seen(self, name: str) -> dict[str, Member]:
        return {member.name: member for member in members(self.trees[name], self.now)}

    def _take(self, name: str, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, Send):
                self._under_way.append((self.now + self.way_s, name, event.neighbour, event))
            else:
                assert not isinstance(event, Learn), "there are no nodes here"


def test_collectors_at_any_depth_are_seen_below_the_one_they_hang_from() -> None:
    forest = Forest("root", "row", "rack", "agent")
    forest.run(5.0)
    seen = forest.seen("root")

    assert {name: (member.parent, member.is_up) for name, member in seen.items()} == {
        "row": ("root", True),
        "rack": ("row", True),
        "agent": ("rack", True),
    }
    assert forest.seen("agent") == {}
    assert list(forest.seen("rack")) == ["agent"]


def test_of_children_it_is_told_when_they_were_heard_and_how_long_letters_take() -> None:
    forest = Forest("root", "row", "rack")
    forest.way_s = 0.5
    forest.run(30.0)
    seen = forest.seen("root")

    assert seen["row"].heard_s is not None
    assert 0.0 <= seen["row"].heard_s <= 11.0
    assert seen["row"].lag_s == pytest.approx(1.0, abs=0.3)
    assert (seen["rack"].heard_s, seen["rack"].lag_s) == (None, None)


def test_who_was_never_heard_is_there_and_down() -> None:
    forest = Forest("root", "row")
    forest.cut = {"row"}
    forest.run(1.0)

    assert forest.seen("root") == {"row": Member("row", "root", False, pytest.approx(1000.0), None, None)}


def test_who_falls_silent_is_down_with_all_below_it_since_it_was_last_heard() -> None:
    forest = Forest("root", "row", "rack", "agent")
    forest.run(30.0)
    forest.cut = {"row"}
    silent_at = forest.now
    forest.run(DEAD_S + 15.0)
    seen = forest.seen("root")

    assert [member.is_up for member in seen.values()] == [False, False, False]
    assert seen["row"].heard_s == pytest.approx(forest.now - silent_at, abs=11.0)
    for name in ("rack", "agent"):
        assert seen[name].since == pytest.approx(silent_at, abs=11.0)


def test_one_that_its_own_parent_does_not_hear_is_down_and_those_beside_it_are_not() -> None:
    forest = Forest("root", "row", "rack", "agent")
    forest.run(30.0)
    forest.cut = {"rack"}
    forest.run(DEAD_S + 15.0)

    assert {name: member.is_up for name, member in forest.seen("root").items()} == {
        "row": True,
        "rack": False,
        "agent": False,
    }


def test_one_that_a_new_life_of_its_parent_does_not_hear_is_not_forgotten() -> None:
    """Nothing of what it said itself is known then to its parent, nor above."""
    forest = Forest("root", "row", "rack", "agent")
    forest.run(30.0)
    forest.cut = {"agent"}
    forest.restart("rack")
    forest.run(2 * DEAD_S)
    seen = forest.seen("root")

    assert list(seen) == ["row", "rack", "agent"]
    assert (seen["agent"].parent, seen["agent"].is_up) == ("rack", False)

    forest.cut = set()
    forest.run(2 * HELLO_S)

    assert [(name, member.is_up) for name, member in forest.seen("root").items()] == [
        ("row", True), ("rack", True), ("agent", True),
    ]  # fmt: skip


def test_one_that_was_revoked_is_gone_with_all_below_it() -> None:
    forest = Forest("root", "row", "rack")
    forest.run(5.0)
    forest.trees["root"].remove_child("row", forest.now)

    assert forest.seen("root") == {}


def test_since_when_a_collector_is_silent_is_told_alike_at_every_level() -> None:
    """Since its last letter, not since somebody noticed that there was none for as long as that takes."""
    forest = Forest("root", "row", "rack")
    forest.run(15.0)
    cut_at = forest.now
    forest.cut.add("rack")
    forest.run(DEAD_S + 15.0, 0.5)
    told = [forest.seen(name)["rack"].since for name in ("row", "root")]

    assert told[0] is not None
    assert cut_at - HELLO_S <= told[0] <= cut_at
    assert told[1] == pytest.approx(told[0], abs=2.0), "an age, reckoned anew by another clock"
    assert forest.trees["root"].registry.broken("rack") is not None


def test_a_collector_that_was_restarted_is_heard_since_then_at_every_level() -> None:
    """So nobody takes one that dies and comes back every minute for one that has run for weeks."""
    forest = Forest("root", "row", "rack", "agent")
    forest.run(30.0)
    began_at = forest.now
    forest.restart("rack")
    forest.run(DEAD_S)

    for name in ("row", "root"):
        seen = forest.seen(name)
        assert seen["rack"].is_up
        assert seen["rack"].since == pytest.approx(began_at, abs=2.0)
        assert seen["agent"].since == pytest.approx(began_at, abs=2.0), "rack hears it since it began"
    assert forest.seen("root")["row"].since == pytest.approx(1000.0, abs=2.0)


def test_letters_that_are_lost_for_less_than_the_dead_time_make_nobody_new() -> None:
    forest = Forest("root", "row", "rack")
    forest.run(15.0)
    forest.cut = {"rack"}
    forest.run(DEAD_S - 2 * HELLO_S)
    forest.cut = set()
    forest.run(15.0)

    for name in ("row", "root"):
        assert forest.seen(name)["rack"].since == pytest.approx(1000.0, abs=2.0)


def test_two_that_speak_under_one_name_do_so_since_that_was_noticed() -> None:
    """Also where one of them was restarted since."""
    forest = Forest("root", "row", "rack")
    forest.run(30.0)
    since: dict[str, set[float | None]] = {"root": set(), "row": set()}
    for life in (7, 8):
        forest.twin = Tree("rack", life, NodeTable(), HoldTable(), forest.now, parent="row")
        for _ in range(30):
            forest.run(1.0)
            for name, told in since.items():
                if forest.seen(name)["rack"].twins:
                    told.add(forest.seen(name)["rack"].since)

    for told in since.values():
        assert len(told) == 1
