from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from kraken.model.hold import EVERY_NODE, Hold, HoldTable
from kraken.model.node import NodeTable, Record
from kraken.model.update import PRESENCE, Side, Stamp, StateUpdate
from kraken.sync.lease import Lease
from kraken.sync.letters import Delta, Doc, Letter, Row, decode, encode
from kraken.sync.shelf import DECLARED, OBSERVED, Declared, Observed, age_ms, holds_of, updates_of

NOW = 1_000.0
LEASE = Lease(epoch=7, shared=True, taken=5, floor=3)


def table(*updates: StateUpdate) -> NodeTable:
    found = NodeTable()
    found.merge([StateUpdate("n1", Side.ATTRIBUTE, PRESENCE, "PRESENT", Stamp(1, 1), 0.0, "root"), *updates])
    return found


def update(side: Side, variable: str, value: str, sequence: int = 2, seen_at: float = 990.0) -> StateUpdate:
    return StateUpdate("n1", side, variable, value, Stamp(1, sequence), seen_at, "me")


@given(st.floats(0.0, 1e9), st.floats(0.0, 1e6))
def test_an_age_is_never_told_as_less_than_it_is(seen_at: float, age_s: float) -> None:
    told = age_ms(seen_at, seen_at + age_s)

    assert told >= 0
    assert told >= ((seen_at + age_s) - seen_at) * 1000 - 1e-3
    assert told <= math.ceil(((seen_at + age_s) - seen_at) * 1000 + 1e-3)


def test_what_was_seen_in_the_future_has_no_age() -> None:
    assert age_ms(NOW + 5.0, NOW) == 0


def test_what_goes_down_is_what_is_declared_with_its_lease() -> None:
    nodes = table(update(Side.CFG, "power", "ON"), update(Side.DSC, "power", "OFF"))
    doc = Declared(nodes, HoldTable([]), lambda key: LEASE).read("n1", {("d", "power")}, NOW)

    assert doc is not None
    assert {(row.side, row.variable) for row in doc.rows} == {("a", PRESENCE), ("c", "power")}
    assert (doc.epoch, doc.shared, doc.taken, doc.floor) == LEASE
    assert Declared(nodes, HoldTable([]), lambda key: LEASE).read("n2", None, NOW) is None


def test_what_goes_up_is_what_is_seen_all_of_it_or_some_fields() -> None:
    nodes = table(
        update(Side.CFG, "power", "ON"),
        update(Side.DSC, "power", "OFF"),
        update(Side.SUMMARY, "cause", "HELD"),
    )
    observed = Observed(nodes, {"@me": {}}, lambda key: 7)
    some = observed.read("n1", {("d", "power"), ("d", "run"), ("s", "power")}, NOW)
    whole = observed.read("n1", None, NOW)

    assert some == Doc("n1", [Row("d", "power", "OFF", 1, 2, 10_000, "me")], 7)
    assert whole is not None
    assert {(row.side, row.variable) for row in whole.rows} == {("d", "power"), ("s", "cause")}
    assert observed.read("n2", None, NOW) is None
    assert observed.read("@other", None, NOW) is None


def test_what_a_collector_says_of_itself_goes_up_under_its_own_key() -> None:
    record = Record("root", Stamp(9, 1), 990.0, "me", 990.0)
    observed = Observed(NodeTable(), {"@me": {"parent": record}}, lambda key: 0)

    assert observed.read("@me", None, NOW) == Doc("@me", [Row("s", "parent", "root", 9, 1, 10_000, "me")])
    assert observed.print("@me") != 0


@given(
    st.lists(
        st.tuples(st.sampled_from(["power", "run"]), st.sampled_from(["ON", "OFF"]), st.integers(2, 9)),
        unique_by=lambda row: row[0],
    ),
    st.floats(0.0, 100.0),
    st.floats(0.0, 40.0),
    st.floats(-1e6, 1e6),
)
def test_what_is_told_comes_as_it_was_and_never_younger(
    rows: list[tuple[str, str, int]], age_s: float, lag_s: float, other_clock: float
) -> None:
    """Over any wire, to whatever clock; a few milliseconds older at most."""
    nodes = table(*(update(Side.DSC, v, value, n, NOW - age_s) for v, value, n in rows))
    doc = Observed(nodes, {}, lambda key: 7).read("n1", None, NOW)
    assert doc is not None
    [told] = over_the_wire(doc)
    found = updates_of(told, other_clock, lag_s, OBSERVED)

    assert {(u.variable, u.value, u.stamp) for u in found} == {(v, x, Stamp(1, n)) for v, x, n in rows}
    for one in found:
        assert age_s + lag_s - 1e-3 <= other_clock - one.seen_at <= age_s + lag_s + 0.002


def over_the_wire(*docs: Doc) -> list[Doc]:
    body = decode(encode(Letter(1, 1, 0, Delta(0, 1, list(docs))))).body
    assert isinstance(body, Delta)
    return body.docs


def test_of_a_document_only_the_sides_that_its_writer_may_tell_are_read() -> None:
    doc = Doc("n1", [Row(side, "power", "ON", 1, 1, 0, "a") for side in "acdshx"])

    assert [u.side for u in updates_of(doc, NOW, 0.0, DECLARED)] == [Side.ATTRIBUTE, Side.CFG]
    assert [u.side for u in updates_of(doc, NOW, 0.0, OBSERVED)] == [Side.DSC, Side.SUMMARY]


def test_holds_come_with_the_time_that_is_left_of_them_by_any_clock() -> None:
    held = [
        Hold("h1", "n1", "ann", "memory", NOW - 60.0, NOW + 90.0),
        Hold("h2", "n1", "bob", "fan", NOW - 5.0),
    ]
    doc = Declared(table(), HoldTable(held), lambda key: LEASE).read("n1", None, NOW)
    assert doc is not None
    [told] = over_the_wire(doc)
    later = 500_000.0

    assert holds_of(told, later) == [
        Hold("h1", "n1", "ann", "memory", later - 60.0, later + 90.0),
        Hold("h2", "n1", "bob", "fan", later - 5.0),
    ]


def test_a_hold_that_is_over_comes_as_over_and_not_as_endless() -> None:
    held = Hold("h1", "n1", "ann", "memory", NOW - 60.0, NOW - 1.0)
    doc = Declared(table(), HoldTable([held]), lambda key: LEASE).read("n1", None, NOW)
    assert doc is not None
    [hold] = holds_of(doc, NOW)

    assert not hold.stands(NOW)


def test_a_freeze_of_every_node_is_a_document_of_its_own() -> None:
    freeze = Hold("h1", EVERY_NODE, "ann", "storm", NOW)
    declared = Declared(NodeTable(), HoldTable([freeze]), lambda key: Lease())
    doc = declared.read(EVERY_NODE, None, NOW)

    assert doc is not None
    assert holds_of(doc, NOW) == [freeze]
    assert declared.print(EVERY_NODE) != 0
    assert Declared(NodeTable(), HoldTable([]), lambda key: Lease()).print(EVERY_NODE) == 0


def test_a_fingerprint_changes_with_the_stamp_the_lease_and_the_holds_and_with_nothing_else() -> None:
    def mark(sequence: int = 2, lease: Lease = LEASE, holds: int = 0, seen_at: float = 990.0) -> int:
        held = HoldTable([Hold(f"h{i}", "n1", "ann", "why", NOW) for i in range(holds)])
        nodes = table(update(Side.CFG, "power", "ON", sequence, seen_at))
        return Declared(nodes, held, lambda key: lease).print("n1")

    others = [mark(3), mark(lease=Lease(8, True, 5, 3)), mark(lease=Lease(7, False, 5, 3)), mark(holds=1)]

    assert mark() == mark(seen_at=5.0), "an age is no difference"
    assert mark() == mark(lease=Lease(7, True, 6, 4)), "they are new only with a new number"
    assert len({mark(), *others}) == 5


def test_what_is_declared_is_no_part_of_the_fingerprint_of_what_is_seen() -> None:
    before = Observed(table(), {}, lambda key: 7)
    after = Observed(table(update(Side.CFG, "power", "ON")), {}, lambda key: 8)

    assert before.print("n1") == after.print("n1") == 0
