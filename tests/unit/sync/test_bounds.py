"""A child that tells more than anybody has to tell is not believed, and what it tells fits in letters."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

import pytest

from kraken.model.hold import HoldTable
from kraken.model.node import NodeTable
from kraken.model.update import VALUE_MAX, Side, Stamp, StateUpdate, Value
from kraken.sync import mirror
from kraken.sync.bounds import BELIEVED, COLLECTOR_MAX, INCARNATION_MAX, KEY, NAME_MAX, NODE_MAX, ROW, weight
from kraken.sync.events import Adopt, Event, Learn, Outgrow, Refused
from kraken.sync.letters import LETTER_BYTES_MAX, Ask, Delta, Doc, Hello, Letter, Row, Tell, encode
from kraken.sync.link import BIRTHS_MAX
from kraken.sync.registry import LINK, UP
from kraken.sync.tree import Tree


class Told:
    """A collector with a child that says what it likes, and has the node n1.

    Attributes:
        now: by the collector's clock.
    """

    def __init__(self) -> None:
        self.now = 3.0
        self.table = NodeTable()
        self.table.merge(
            [
                StateUpdate("n1", Side.ATTRIBUTE, variable, value, Stamp(1, 1), 0.0, "root")
                for variable, value in (("node", "PRESENT"), ("collectors", ["a"]))
            ]
        )
        self.tree = Tree("root", 5, self.table, HoldTable(), 0.0)
        self.tree.add_child("a", 0.0)
        self.hear(Hello("a", 1, 1_000, 0, 0, 0, -1, whole=True))
        self.tree.tick(2.0)
        self.serial = self.tree.links["a"].mirror.have = 0

        assert self.tree.placement.holder["n1"] == "a"

    def hear(self, body: Hello | Ask | Delta | Tell) -> list[Event]:
        return self.tree.hear("a", Letter(7, self.tree.links["a"].life, 1_000, body), self.now)

    def tell(self, *docs: Doc) -> list[str]:
        """What of it was not believed; the rest is known now."""
        self.serial += 1
        events = self.hear(Delta(self.serial - 1, self.serial, list(docs)))
        for event in events:
            if isinstance(event, Learn):
                self.table.learn(event.updates)
        return [event.what for event in events if isinstance(event, Refused)]

    def node(self, rows: Iterable[Row]) -> Doc:
        return Doc("n1", list(rows), self.tree.placement.epoch["n1"])


@pytest.fixture
def told() -> Told:
    return Told()


_sequence = count(1)


def row(variable: str, value: Value, *, side: str = "d", source: str = "a", life: int = 9) -> Row:
    return Row(side, variable, value, life, next(_sequence), 0, source)


def test_what_a_node_is_seen_to_be_is_believed(told: Told) -> None:
    values = [row("power", "ON"), row("image", "x" * VALUE_MAX), row("cause", "CONVERGED", side="s")]

    assert told.tell(told.node(values)) == []
    assert set(told.table["n1"].dsc) == {"power", "image"}


@pytest.mark.parametrize(
    ("odd", "what"),
    [
        (row("image", "x" * (VALUE_MAX + 1)), "a value of more than 16,384 characters"),
        (row("x" * (NAME_MAX + 1), "ON"), "a name of more than 256 characters"),
        (row("power", "ON", source="x" * (NAME_MAX + 1)), "a name of more than 256 characters"),
        (row("power", ["ON"]), "a value that is no text"),
        (row("power", None), "a value that is no text"),
        (row("reason", 7, side="s"), "a value that is no text"),
        (row("power", "ON", life=BELIEVED + 4), "a stamp that no life gives"),
        (row("reason", "", side="s", life=-1), "a stamp that no life gives"),
    ],
)
@pytest.mark.parametrize("is_known", [True, False])
def test_what_is_no_observation_is_refused_with_its_document(
    told: Told, odd: Row, what: str, is_known: bool
) -> None:
    before = [row(v, "v", side=s) for s, v in (("d", "power"), ("d", "image"), ("s", "reason")) if is_known]
    told.tell(told.node(before))

    assert told.tell(told.node([row("power", "OFF"), odd])) == [f"it tells of n1 {what}"]
    assert all(r.value == "v" for r in told.table["n1"].dsc.values())


def test_whoever_has_a_node_after_the_greatest_stamp_that_is_believed_is_believed_a_second_later(
    told: Told,
) -> None:
    assert told.tell(told.node([row("power", "ON", life=BELIEVED + 3)])) == []

    floor = told.tree.leases.given("n1").floor
    assert floor == BELIEVED + 3
    assert told.tell(told.node([row("power", "OFF", life=floor + 1)])) != []

    told.now += 1.0

    assert told.tell(told.node([row("power", "OFF", life=floor + 1)])) == []
    assert told.table["n1"].dsc["power"].stamp.incarnation == floor + 1
    assert told.table["n1"].dsc["power"].value == "OFF"


class Below:
    """A collector whose parent says what it likes."""

    def __init__(self) -> None:
        self.tree = Tree("c1", 5, NodeTable(), HoldTable(), 0.0, parent="root")
        self.hear(Hello("root", 1, 0, 1, 0, 0, -1, True, 0, -1))
        self.hear(Tell(1, 1, {"": [0] * 16}, {}))
        self.tree.links["root"].mirror.have = 0

    def hear(self, body: Hello | Ask | Delta | Tell) -> list[Event]:
        return self.tree.hear("root", Letter(7, 5, 1, body), 3.0)


def cfg(life: int) -> Row:
    return row("power", "ON", side="c", life=life)


@pytest.mark.parametrize(
    "odd",
    [
        Doc("n1", [cfg(1), cfg(INCARNATION_MAX)], 1, False, 1),
        Doc("n1", [cfg(1), cfg(-1)], 1, False, 1),
        Doc("n1", [cfg(1)], 1, False, 1, INCARNATION_MAX),
        Doc("n1", [cfg(1)], 1, False, 1, -1),
    ],
)
def test_what_nobody_could_outgrow_is_not_believed_of_a_parent_either(odd: Doc) -> None:
    last = INCARNATION_MAX - 1
    events = Below().hear(Delta(0, 1, [odd, Doc("n2", [cfg(last)], 1, False, 1, last)]))

    assert [event for event in events if isinstance(event, Refused)] == [
        Refused("root", "it tells of n1 a stamp that no life gives")
    ]
    assert [event.node for event in events if isinstance(event, Adopt)] == ["n2"]
    assert [event.incarnation for event in events if isinstance(event, Outgrow)] == [last]


def test_nor_is_it_given_back() -> None:
    below = Below()
    for name in ("n1", "n2"):
        below.tree.table.merge(
            [StateUpdate(name, Side.ATTRIBUTE, "node", "PRESENT", Stamp(1, 1), 0.0, "root")]
        )
    docs = [Doc("n1", [row("power", "ON", life=INCARNATION_MAX)]), Doc("n2", [row("power", "ON", life=9)])]
    events = below.hear(Ask(1, [], ["n1", "n2"], docs))

    assert Refused("root", "it tells of n1 a stamp that no life gives") in events
    assert [[u.node for u in event.updates] for event in events if isinstance(event, Learn)] == [["n2"]]
    assert [event.incarnation for event in events if isinstance(event, Outgrow)] == [9]


def test_however_it_is_told_a_node_stays_a_document_that_fits_in_a_letter(told: Told) -> None:
    """Many variables, and each of them then as long as is not looked at."""
    for number in range(4_000):
        told.tell(told.node([row(f"{number:x}", "x")]))
    known = list(told.table["n1"].dsc)
    for variable in known:
        told.tell(told.node([row(variable, "\U0001f419" * NAME_MAX)]))
    doc = told.tree._observed.read("n1", None, 3.0)

    assert doc is not None
    assert NODE_MAX / ROW / 2 < len(doc.rows) < 4_000
    assert len(encode(Letter(1, 1, 1, Delta(0, 1, [doc])))) < LETTER_BYTES_MAX


def test_a_thousand_values_are_told_again_and_again(told: Told) -> None:
    for _ in range(3):
        assert told.tell(told.node([row(f"v{number}", "value") for number in range(1_000)])) == []


def test_a_collector_with_five_thousand_children_says_so_in_each_of_its_lives(told: Told) -> None:
    for life in (9, 10, 11):
        links = [row(f"{LINK}n{number:05}", UP, side="s", life=life) for number in range(5_000)]

        assert told.tell(Doc("@a", links)) == []

    assert len(told.tree.registry["@a"]) == 5_000


def test_what_a_collector_says_of_itself_has_an_end(told: Told) -> None:
    values = [row(f"v{number}", "x" * VALUE_MAX, side="s") for number in range(100)]
    refused = [what for value in values for what in told.tell(Doc("@a", [value]))]

    assert set(refused) == {f"it tells of collector a more than {COLLECTOR_MAX:,} characters"}
    assert len(told.tree.registry["@a"]) == COLLECTOR_MAX // weight("v10", "x" * VALUE_MAX, "a")

    told.tell(Doc("@a", [row(v.variable, None, side="s") for v in values[:10]]))

    assert told.tell(Doc("@a", [row("version", "x" * VALUE_MAX, side="s")])) == []


def test_of_those_below_a_child_no_more_are_known_than_there_can_be(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 100 * (KEY + weight("parent", "a", "x000"))
    monkeypatch.setattr("kraken.sync.registry.BELOW_MAX", most)
    docs = [Doc(f"@x{number:03}", [row("parent", "a", side="s", source="x000")]) for number in range(200)]
    refused = told.tell(*docs)

    assert len(told.tree.registry.below("a")) == 100  # the child itself has said nothing yet
    assert len(refused) == 101
    assert refused[0] == f"it tells of collector x099 more than {most:,} characters of all below it"

    told.tree.roster.leaves("a", "@x000")

    assert told.tell(docs[199]) == []


def test_who_is_not_below_a_child_any_more_takes_nothing_of_what_it_may_tell(told: Told) -> None:
    for number in range(50):
        told.tell(Doc(f"@x{number}", [row("parent", "a", side="s")]))
    told.tree.remove_child("a", 4.0)

    assert told.tree.registry._weights_below == {}
    assert set(told.tree.registry._weights) == {"@root"}


def test_a_collector_with_a_name_without_end_is_not_known(told: Told) -> None:
    [what] = told.tell(Doc("@" + "x" * 100_000, [row("parent", "a", side="s")]))

    assert what.endswith(f"by a name of more than {NAME_MAX} characters")
    assert len(what) < 2 * NAME_MAX
    assert list(told.tree.registry.below("a")) == ["@a"]


def test_a_child_that_describes_without_end_is_asked_for_a_bounded_number(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "LACK_MAX", 1_000)
    copy = told.tree.links["a"].mirror
    copy._exchange = exchange = mirror._Exchange()
    for number in range(100):
        asked = copy.ask(3.0 + number * 100)
        if asked is None:
            break
        names = {part: {f"{part}{n}-{number}": 1 for n in range(100)} for part in asked.parts[1::2]}
        parts = {part: [number + 1] * 16 for part in asked.parts if part not in names}
        told.hear(Tell(asked.number, 9, parts, names))

        assert len(exchange.parts) + len(exchange.want) < 1_000 + 64 * 100

    assert not copy.is_comparing


def test_a_part_that_cannot_be_finer_is_not_described_by_finer_ones(told: Told) -> None:
    told.tell(told.node([row("power", "ON")]))
    copy = told.tree.links["a"].mirror
    copy._exchange = mirror._Exchange(parts=[mirror.part_of("n1")])
    asked = copy.ask(3.0)

    assert asked is not None
    assert told.hear(Tell(asked.number, 9, {asked.parts[0]: [1] * 16}, {})) == []


def test_who_begins_lives_without_end_is_counted_and_told_of(told: Told) -> None:
    def greet(life: int) -> list[str]:
        hello = Hello("a", 1, 1_000, 0, 0, 0, -1, whole=True)
        events = told.tree.hear("a", Letter(life, told.tree.links["a"].life, 0, hello), 3.0)
        return [event.what for event in events if isinstance(event, Refused)]

    said = [greet(8 + i) for i in range(200)]

    assert said[BIRTHS_MAX - 2 :] == [[], *[["it begins more than 120 lives in 60 s"]] * (201 - BIRTHS_MAX)]
    assert said.count([]) == BIRTHS_MAX - 1, "one began before"


def test_who_wants_what_is_not_there_fills_no_feed(told: Told) -> None:
    feed = told.tree.links["a"].feed
    for number in range(100):
        told.hear(Ask(number, [], [f"n{number}", f"@c{number}", "*"]))

    assert len(feed) == 2, "the node that it has, and what is declared of all"
