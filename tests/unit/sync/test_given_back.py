"""A longer lease goes back when what it was for is over, at the child that asked for it."""

from __future__ import annotations

from kraken.model.hold import HoldTable
from kraken.model.node import NodeTable
from kraken.model.update import PRESENCE, PRESENT
from kraken.sync.events import Adopt, Event, Granted, Send
from kraken.sync.letters import Body, Delta, Doc, Hello, Letter, Reserve, Reserved, Row, Tell
from kraken.sync.longer import GIVE_BACK_S
from kraken.sync.tree import Tree


class Child:
    """c1, which has n1 of its parent; others may come to have it.

    Attributes:
        busy_until: when what it runs there is over.
    """

    def __init__(self) -> None:
        self.now = 1.0
        self.busy_until = float("-inf")
        self.table = NodeTable()
        self.tree = Tree(
            "c1", 5, self.table, HoldTable(), 0.0, parent="root", busy=lambda node: self.busy_until
        )
        self.hears(Hello("root", 1, 0, 1, 0, 0, -1, True, 0, -1))
        self.hears(Tell(1, 1, {"": [0] * 16}, {}))
        self.holds(epoch=9)

    def hears(self, body: Body) -> list[Event]:
        events = self.tree.hear("root", Letter(7, 5, 1, body), self.now)
        for event in events:
            if isinstance(event, Adopt):
                self.table.replace(event.node, event.updates)
                self.tree.declared([event.node], self.now)
        return events

    def holds(self, epoch: int) -> None:
        """It is given n1 under the lease of this number."""
        have = self.tree.links["root"].mirror.have
        rows = [
            Row("a", PRESENCE, PRESENT, 1, 1, 0, "ann"),
            Row("a", "collectors", ["c1"], 1, 2, 0, "ann"),
        ]
        self.hears(Delta(have, have + 1, [Doc("n1", rows, epoch, True, epoch)], []))
        self.said()

        assert self.tree.has("n1")

    def said(self) -> list[Reserve]:
        """What it says of longer leases now."""
        sends = [event for event in self.tree.tick(self.now) if isinstance(event, Send)]
        return [s.letter.body for s in sends if isinstance(s.letter.body, Reserve)]

    def asks(self) -> int:
        """It asks for 300 s; under which number."""
        self.tree.leases.longer.reserve(["n1"], self.now + 300.0, self.now)
        (asking,) = self.said()
        assert asking.for_ms > 0
        return asking.number

    def is_granted(self, number: int) -> bool:
        """An answer comes; whether it counts."""
        told = [e for e in self.hears(Reserved(number, ["n1"])) if isinstance(e, Granted)]
        return any("n1" in granted.nodes for granted in told)

    def may_take(self, seconds: float) -> bool:
        return self.tree.leases.may_run("n1", self.now + seconds)

    def gives_back(self) -> list[Reserve]:
        self.tree.leases.longer.give_back(["n1"], self.now)
        return self.said()


def test_what_was_asked_for_goes_back_and_nothing_long_is_begun_any_more() -> None:
    child = Child()

    assert child.is_granted(child.asks())
    assert child.may_take(299.0)
    assert child.gives_back() == [Reserve(2, {"n1": 9}, 0)]
    assert not child.may_take(299.0)


def test_what_was_never_asked_for_is_not_given_back() -> None:
    assert Child().gives_back() == []


def test_nothing_goes_back_while_a_mutation_needs_it() -> None:
    child = Child()
    child.is_granted(child.asks())
    child.busy_until = child.now + 100.0

    assert child.gives_back() == []
    assert child.may_take(299.0)

    child.busy_until = child.now

    assert child.gives_back()


def test_it_is_said_again_until_the_parent_knows() -> None:
    child = Child()
    child.is_granted(child.asks())
    child.gives_back()
    child.now += GIVE_BACK_S

    (again,) = child.said()

    assert again.for_ms == 0

    child.hears(Reserved(again.number, ["n1"]))
    child.now += GIVE_BACK_S

    assert child.said() == []


def test_it_is_not_said_again_after_a_new_asking() -> None:
    child = Child()
    child.is_granted(child.asks())
    child.gives_back()
    number = child.asks()
    child.now += GIVE_BACK_S

    assert child.said() == []
    assert child.is_granted(number)
    assert child.may_take(200.0)


def test_an_answer_to_what_was_asked_for_before_does_not_count_and_goes_back() -> None:
    child = Child()
    first, second = child.asks(), child.asks()
    child.is_granted(first)
    (back,) = child.gives_back()
    child.hears(Reserved(back.number, ["n1"]))

    assert not child.is_granted(second)
    assert not child.may_take(299.0)

    child.now += GIVE_BACK_S

    assert [body.for_ms for body in child.said()] == [0], "the parent may have heard the asking later"


def test_an_answer_under_a_former_lease_does_not_count() -> None:
    child = Child()
    number = child.asks()
    child.holds(epoch=10)

    assert not child.is_granted(number)
    assert not child.may_take(299.0)
