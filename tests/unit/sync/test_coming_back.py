"""What it takes until a collector that begins a new life and its parent have heard each other."""

from __future__ import annotations

from collections import Counter

from kraken.model.hold import HoldTable
from kraken.model.node import NodeTable
from kraken.sync.events import Send
from kraken.sync.letters import Ack, Hello, Letter
from kraken.sync.link import ANSWER_S
from kraken.sync.tree import Tree


class Pair:
    """A root and one child of its without nodes, on one clock.

    Attributes:
        letters: kind -> how many were written, by "root" and "c1".
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.root = Tree("root", 7, NodeTable(), HoldTable(), self.now)
        self.root.add_child("c1", self.now)
        self.letters: Counter[tuple[str, str]] = Counter()
        self.written(self.root)  # to nobody: there is no connection yet
        self.begin(5)

    def begin(self, life: int) -> None:
        """A life of the child."""
        self.child = Tree("c1", life, NodeTable(), HoldTable(), self.now, parent="root")

    def connect(self) -> None:
        self.root.reached("c1", self.now)
        self.child.reached("root", self.now)

    def written(self, by: Tree) -> list[Letter]:
        letters = [event.letter for event in by.tick(self.now) if isinstance(event, Send)]
        self.letters.update((by.me, type(letter.body).__name__) for letter in letters)
        return letters

    def talk(self) -> None:
        """Until nobody has anything to say."""
        while True:
            sent = [(self.child, "root", letter) for letter in self.written(self.root)]
            sent += [(self.root, "c1", letter) for letter in self.written(self.child)]
            if not sent:
                return
            for to, by, letter in sent:
                to.hear(by, letter, self.now)


def came_back() -> Pair:
    """Both have heard each other, in the child's second life."""
    pair = Pair()
    pair.connect()
    pair.talk()
    pair.now += 3.0
    pair.begin(6)
    pair.letters.clear()
    pair.connect()
    return pair


def test_a_child_that_comes_back_and_its_parent_write_five_letters_each() -> None:
    pair = came_back()
    pair.talk()

    assert pair.root.links["c1"].is_up
    assert pair.root.registry["@c1"]["parent"].stamp.incarnation == 6
    assert pair.letters == {
        ("c1", "Hello"): 2,
        ("root", "Hello"): 2,
        ("c1", "Ack"): 1,
        ("root", "Ask"): 1,
        ("c1", "Tell"): 1,
        ("root", "Ack"): 2,
        ("c1", "Delta"): 1,
    }


def test_the_parent_speaks_first_half_a_second_later_when_the_childs_first_word_is_lost() -> None:
    pair = came_back()
    assert [type(letter.body) for letter in pair.written(pair.child)] == [Hello]  # which nobody hears
    assert pair.written(pair.root) == []

    pair.now += ANSWER_S
    pair.talk()

    assert pair.root.links["c1"].is_up
    assert pair.root.registry["@c1"]["parent"].stamp.incarnation == 6


def test_a_child_that_only_lost_its_connection_is_asked_nothing() -> None:
    pair = Pair()
    pair.connect()
    pair.talk()
    pair.letters.clear()
    pair.now += 3.0

    pair.connect()
    pair.talk()
    pair.now += ANSWER_S
    pair.talk()

    assert {kind for _, kind in pair.letters} <= {Hello.__name__, Ack.__name__}
    assert pair.letters["c1", "Hello"] == pair.letters["root", "Hello"] == 1
