"""A lease is not promised for longer than a life that forgets it would respect it."""

from __future__ import annotations

from kraken.model.hold import HoldTable
from kraken.model.node import NodeTable
from kraken.model.update import PRESENCE, PRESENT, Side, Stamp, StateUpdate
from kraken.sync.events import Event, Refused, Send
from kraken.sync.letters import Hello, Letter, Reserve, Reserved
from kraken.sync.tree import Tree


def parent() -> Tree:
    """Of c1, which has n1; the longest mutation it knows takes 100 s."""
    table = NodeTable()
    said = {PRESENCE: PRESENT, "collectors": ["c1"]}
    table.merge(
        StateUpdate("n1", Side.ATTRIBUTE, variable, value, Stamp(1, number), 0.0, "ann")
        for number, (variable, value) in enumerate(said.items())
    )
    tree = Tree("root", 7, table, HoldTable(), 0.0, longest_s=100.0)
    tree.add_child("c1", 0.0)
    say(tree, Hello("c1", 0, 0, 0, 0, 0, 0, whole=True))
    tree.tick(1.0)
    assert tree.placement.holder["n1"] == "c1"
    return tree


def say(tree: Tree, body: Hello | Reserve) -> list[Event]:
    events = tree.hear("c1", Letter(5, 7, 0, body), 1.0)
    return [*events, *tree.tick(1.0)]


def asked(tree: Tree, seconds: float) -> list[Event]:
    return say(tree, Reserve(1, {"n1": tree.placement.epoch["n1"]}, int(seconds * 1000) + 1))


def test_as_long_as_the_longest_mutation_is_promised() -> None:
    events = asked(parent(), 100.0)

    assert not any(isinstance(event, Refused) for event in events)
    answers = [event.letter.body for event in events if isinstance(event, Send)]
    assert Reserved(1, ["n1"]) in answers


def test_longer_is_refused_and_the_reason_told() -> None:
    tree = parent()
    events = asked(tree, 200.0)

    assert [event.what for event in events if isinstance(event, Refused)] == [
        "it asks for a lease of 200 s, longer than any mutation here (100 s): install its Kraken modules "
        "here, too"
    ]
    assert not any(isinstance(e.letter.body, Reserved) for e in events if isinstance(e, Send))
    assert tree.placement.promise_to("c1").binds("n1") < 150.0
