"""docs/protocol.md describes the wire: who knows that page alone speaks with Kraken."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kraken.model.hold import Hold
from kraken.sync.events import Answered, Called, Event
from kraken.sync.letters import Call, Reply
from kraken.testing.tree.member import Member
from tests.contract.stranger import Stranger, record_print


class Told(Member):
    """Keeps what the tree asks of its daemon."""

    def __init__(self, *question: Any, **more: Any) -> None:
        super().__init__(*question, **more)
        self.events: list[Event] = []

    def _apply(self, events: list[Event], now: float) -> None:
        self.events += events
        super()._apply(events, now)


class Meeting:
    """Kraken at one end, a stranger at the other, each with a clock of its own.

    Attributes:
        lost: kinds of letters that do not come through.
    """

    def __init__(self, *, stranger_is_parent: bool) -> None:
        self.now = 1_000.0
        self.lost: set[str] = set()
        self._post: list[bytes] = []
        here, there = ("c1", "root") if stranger_is_parent else ("root", "c1")
        self.kraken = Told(
            here,
            there if stranger_is_parent else None,
            [] if stranger_is_parent else [there],
            lambda: self.now,
            lambda me, neighbour, data: self._post.append(data),
            skew_s=5_000.0,
        )
        self.kraken.start()
        self.stranger = Stranger(there, 77, is_parent=stranger_is_parent)

    @property
    def stranger_ms(self) -> int:
        return int(self.now * 1000) - 400_000

    def run(self, seconds: float = 15.0) -> None:
        until = self.now + seconds
        while self.now < until:
            for data in self.stranger.write(self.stranger_ms):
                if msgspec.msgpack.decode(data[1:])[3][0] not in self.lost:
                    self.kraken.receive(self.stranger.name, data)
            self.kraken.turn()
            letters, self._post = self._post, []
            for data in letters:
                if msgspec.msgpack.decode(data[1:])[3][0] not in self.lost:
                    self.stranger.hear(data, self.stranger_ms)
            self.now += 0.1

        assert self.kraken.refused == []


def rows_of(doc: list[Any]) -> dict[str, Any]:
    return {row[1]: row[2] for row in doc[1]}


def declared(wish: str, sequence: int) -> list[list[Any]]:
    return [["a", "node", "PRESENT", 1, 1, 0, "root"], ["c", "wish", wish, 1, sequence, 0, "root"]]


@pytest.fixture
def below() -> Meeting:
    """The stranger is a child of Kraken's root, and has met it."""
    meeting = Meeting(stranger_is_parent=False)
    meeting.stranger.tell("@c1", [["s", "parent", "root", 77, 1, 0, "c1"]])
    meeting.kraken.declare("n1", node="PRESENT", collectors=["c1"], wish="ON")
    meeting.run()
    return meeting


@pytest.fixture
def above() -> Meeting:
    """The stranger is the parent of a collector of Kraken."""
    meeting = Meeting(stranger_is_parent=True)
    meeting.stranger.tell("*", [])
    meeting.stranger.tell("n1", declared("ON", 1), 77, False, 77, 9)
    meeting.run()
    return meeting


def test_a_record_has_the_fingerprint_of_the_example() -> None:
    assert record_print("n1", "d", "phys_state", 3, 7) == 0xCDCABD8F4EC5ED2B


# -- as a child -----------------------------------------------------------------------------------


def test_a_child_holds_what_is_declared_within_three_hellos(below: Meeting) -> None:
    child = below.stranger

    assert rows_of(child.held["n1"]) == {"node": "PRESENT", "collectors": ["c1"], "wish": "ON"}
    assert child.hellos <= 3


def test_a_child_reckons_the_digest_that_its_parent_says(below: Meeting) -> None:
    below.kraken.hold(Hold("7", "n1", "ann", "disks", below.kraken.clock(), None))
    below.kraken.hold(Hold("8", "*", "ben", "", below.kraken.clock(), below.kraken.clock() + 60.0))
    below.run()

    assert below.stranger.held["n1"][1][-1][:3] == ["h", "7", ["ann", "disks", ""]]
    assert 40_000 < int(rows_of(below.stranger.held["*"])["8"][2]) <= 60_000
    assert tuple(below.stranger.hello[4:6]) == below.stranger.digest(mine=False)


def test_each_finds_what_it_lacks_among_many_by_their_digests(below: Meeting) -> None:
    nodes = {f"n{i}": f"W{i}" for i in range(200)}
    for name, wish in nodes.items():
        below.kraken.declare(name, node="PRESENT", collectors=["c1"], wish=wish)
    below.run(1.0)
    child = below.stranger
    for name, doc in child.held.items():
        child.tell(name, [["d", "power", "ON", 5, 1, 0, "c1"]], doc[2])
    below.run(1.0)

    again = below.stranger = Stranger("c1", 78, is_parent=False)
    again.tell("@c1", [["s", "parent", "root", 78, 1, 0, "c1"]])
    again.held = child.held | {"n500": ["n500", [], 5, False, 5, 0]}
    del again.held["n7"]
    for name in nodes:
        number = 2 if name == "n8" else 1
        again.tell(name, [["d", "power", f"V{number}", 5, number, 0, "c1"]], child.held[name][2])
    again._changed.clear()
    below.run(50.0)  # a parent without a memory tells nobody within 40 s of its start what is gone
    seen = {name: node.dsc["power"].value for name, node in below.kraken.table.items()}

    assert {key: rows_of(doc)["wish"] for key, doc in again.held.items()} == nodes
    assert seen == dict.fromkeys(nodes, "ON") | {"n8": "V2"}  # what has the stamp of before is not told again


def test_a_child_hears_changes_and_that_a_node_is_gone(below: Meeting) -> None:
    below.kraken.declare("n1", wish="OFF")
    below.run(1.0)

    assert rows_of(below.stranger.held["n1"])["wish"] == "OFF"

    epoch = below.stranger.held["n1"][2]
    below.kraken.declare("n1", node=None)
    below.run(6.0)

    assert below.stranger.held == {}
    assert below.stranger.heard[-1][0] == "check"
    assert below.stranger.heard[-1][2] == {"n1": epoch}

    below.stranger.say("checked", {"n1": epoch}, {})
    below.run(1.0)

    assert below.kraken.tree.placement.leaving("c1") == {}


def test_what_a_child_sees_is_believed_under_the_number_of_its_lease(below: Meeting) -> None:
    epoch = below.stranger.held["n1"][2]
    below.stranger.tell("n1", [["d", "power", "OFF", 5, 1, 2_000, "c1"]], epoch - 1)
    below.run(1.0)

    assert "power" not in below.kraken.table["n1"].dsc

    below.stranger.tell("n1", [["d", "power", "ON", 5, 2, 2_000, "c1"]], epoch)
    below.run(0.3)
    record = below.kraken.table["n1"].dsc["power"]

    assert record.value == "ON"
    assert 2.0 <= below.kraken.clock() - record.seen_at < 2.5

    below.run(30.0)
    below.stranger.say("touch", {"n1": {"power": [1_000, 5, 2]}})
    below.run(0.3)
    again = below.kraken.table["n1"].dsc["power"]

    assert 1.0 <= below.kraken.clock() - again.seen_at < 1.5


def test_a_child_has_a_shared_node_for_as_long_as_its_lease_says(below: Meeting) -> None:
    below.kraken.declare("n1", collectors=["c1", "root"])
    below.run(1.0)
    _, _, epoch, shared, taken, _ = below.stranger.held["n1"]

    assert shared
    assert taken < epoch

    check = below.stranger.heard[-1]

    assert check[:1] + check[3:] == ["check", {"n1": epoch}]
    assert check[1] <= below.stranger.have

    below.stranger.say("checked", {}, {"n1": epoch})
    below.run(20.0)

    assert below.kraken.tree.placement.alone == set()
    assert 25_000 < below.stranger.lease_until - below.stranger.now <= 40_000

    below.stranger.say("reserve", 1, {"n1": epoch}, 55_000)
    below.run(1.0)

    assert below.stranger.heard[-1] == ["reserved", 1, ["n1"]]

    below.stranger.say("reserve", 2, {"n1": epoch}, 0)
    below.run(1.0)

    assert below.stranger.heard[-1] == ["reserved", 2, ["n1"]]


def test_a_call_reaches_a_child_and_its_answer_comes_back(below: Meeting) -> None:
    now = below.kraken.clock()
    call = Call("7f", "c1", "explain", b"n1", 0)
    below.kraken.tree.calls.call(call, None, now + 5.0, now)
    below.run(0.3)
    *told, left_ms = below.stranger.heard[-1]

    assert told == ["call", "7f", "c1", "explain", b"n1"]
    assert 4_000 < left_ms <= 5_000

    below.stranger.say("reply", "7f", 200, b"why", True)
    below.run(0.3)

    assert Answered(Reply("7f", 200, b"why")) in below.kraken.events


def test_a_parent_takes_no_call(below: Meeting) -> None:
    below.stranger.say("call", "7f", "root", "explain", b"", 5_000)
    below.run(0.3)

    assert below.stranger.heard[-1][:3] == ["reply", "7f", 403]


# -- as a parent ----------------------------------------------------------------------------------


def test_a_parent_is_told_what_was_seen(above: Meeting) -> None:
    above.kraken.see("n1", "power", "ON")
    above.run(1.0)
    key, rows, epoch, *_ = above.stranger.held["n1"]

    assert (key, epoch) == ("n1", 77)
    assert [row[:3] for row in rows] == [["d", "power", "ON"]]
    assert rows[0][3] > 9

    assert rows_of(above.stranger.held["@c1"])["parent"] == "root"

    above.run(20.0)

    assert tuple(above.stranger.hello[4:6]) == above.stranger.digest(mine=False)


def test_a_parent_gives_back_what_was_seen_before(above: Meeting) -> None:
    rows = [["d", "power", "OFF", 30, 1, 500, "c1"]]
    above.stranger.say("ask", 9, [], ["n1"], [["n1", rows, 77, False, 0, 0]])
    above.run(1.0)
    above.kraken.see("n1", "power", "ON")
    above.run(1.0)

    assert rows_of(above.stranger.held["n1"]) == {"power": "ON"}
    assert above.stranger.held["n1"][1][0][3] > 30


def test_a_parent_declares_and_takes_away(above: Meeting) -> None:
    above.stranger.tell("n1", declared("OFF", 2), 77, False, 77, 9)
    above.run(1.0)

    assert above.kraken.table["n1"].cfg["wish"].value == "OFF"

    above.stranger.withdraw("n1")
    above.run(1.0)

    assert "n1" not in above.kraken.table

    above.stranger.say("check", above.stranger.upto, {"n1": 77}, {})
    above.run(1.0)

    assert above.stranger.heard[-1] == ["checked", {"n1": 77}, {}]


def test_a_parent_leases_a_shared_node(above: Meeting) -> None:
    may_run = above.kraken.tree.leases.may_run
    above.stranger.tell("n1", declared("ON", 1), 78, True, 77, 9)
    above.run(15.0)
    now = above.kraken.clock()

    assert may_run("n1", now + 20.0)
    assert not may_run("n1", now + 50.0)

    above.kraken.tree.leases.longer.reserve(["n1"], now + 50.0, now)
    above.run(0.3)
    kind, number, keys, for_ms = above.stranger.heard[-1]

    assert (kind, keys) == ("reserve", {"n1": 78})
    assert 50_000 < for_ms < 50_200

    above.stranger.say("reserved", number, ["n1"])
    above.run(0.3)

    assert may_run("n1", now + 50.0)


def test_a_call_of_a_parent_is_read(above: Meeting) -> None:
    above.stranger.say("call", "7f", "c1", "explain", b"n1", 5_000)
    above.run(0.3)
    (called,) = [event for event in above.kraken.events if isinstance(event, Called)]

    assert (called.call.verb, called.call.body) == ("explain", b"n1")

    above.stranger.say("call", "80", "c9", "explain", b"n1", 5_000)
    above.run(0.3)

    assert above.stranger.heard[-1][:3] == ["reply", "80", 503]
