from __future__ import annotations

import pytest

from kraken.model.hold import HoldTable
from kraken.model.node import NodeTable
from kraken.sync.events import Refused
from kraken.sync.letters import Doc, Row
from kraken.sync.registry import LINK, UP
from kraken.sync.tree import Tree


@pytest.fixture
def middle() -> Tree:
    """A collector below the root, with the children a and b."""
    tree = Tree("m", 3, NodeTable(), HoldTable(), 0.0, parent="root")
    for child in ("a", "b"):
        tree.add_child(child, 0.0)
    return tree


def words(name: str, life: int, **said: str) -> Doc:
    """What a collector says of itself in this life."""
    rows = [
        Row("s", v.replace("_", ":"), value, life, n, 0, name) for n, (v, value) in enumerate(said.items())
    ]
    return Doc(f"@{name}", rows)


def test_what_we_say_of_ourselves_is_to_be_told_above(middle: Tree) -> None:
    middle.roster.say("version", "2", 1.0)

    assert middle.registry["@m"]["version"].value == "2"
    assert "@m" in middle.links["root"].feed


def test_what_is_said_below_is_to_be_told_above(middle: Tree) -> None:
    assert middle.roster.hear("a", words("a", 5, link_aa=UP), 1.0, 0.0) == []
    assert middle.registry["@a"][LINK + "aa"].value == UP
    assert "@a" in middle.links["root"].feed


def test_a_child_does_not_speak_for_another(middle: Tree) -> None:
    assert middle.roster.hear("a", words("b", 9, version="9"), 1.0, 0.0) == [
        Refused("a", "it speaks of collector b, which it does not have")
    ]
    assert "@b" not in middle.registry


def test_a_collector_leaves_by_the_word_of_whom_it_was_below(middle: Tree) -> None:
    middle.roster.hear("a", words("aa", 5, version="2"), 1.0, 0.0)
    middle.roster.leaves("b", "@aa")

    assert "@aa" in middle.registry

    middle.roster.leaves("a", "@aa")

    assert "@aa" not in middle.registry
