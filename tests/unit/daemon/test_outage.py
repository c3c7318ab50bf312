"""When most children of a collector fall silent together it says so, once; and nothing else follows."""

from __future__ import annotations

import pytest

from kraken.daemon.arrivals import ChildRemoved, Declared
from kraken.daemon.condition import HEALTH_MAX, ailments, said, say
from kraken.daemon.outage import Outage
from kraken.model.update import AGENT, PRESENCE, PRESENT, Side, StateUpdate
from kraken.sync.link import DEAD_S, HELLO_S
from tests.unit.daemon.grove import Grove

KNOWN_S = DEAD_S + 2 * HELLO_S + 1.0  # until it is known that somebody fell silent, and with whom


def standing(grove: Grove, name: str = "root") -> Outage | None:
    branch = grove.collectors[name].branch
    assert branch is not None
    return branch.outages.outage


def names(count: int) -> list[str]:
    return [f"a{number}" for number in range(1, count + 1)]


def settled(count: int) -> Grove:
    """A root with so many children, all heard."""
    grove = Grove(*names(count))
    grove.wait(60.0)
    return grove


def test_that_most_fell_silent_is_told_once_and_that_it_is_over_too() -> None:
    grove = settled(10)
    cut_at = grove.now
    grove.cut |= set(names(8))
    grove.wait(KNOWN_S + 200.0)
    ((name, outage, is_over),) = grove.outages

    assert (name, is_over, outage) == ("root", False, standing(grove))
    assert (outage.silent, outage.of) == (tuple(names(8)), 10)
    assert outage.since == pytest.approx(cut_at, abs=HELLO_S)
    assert outage.within_s <= HELLO_S

    grove.cut.clear()
    grove.wait(60.0)

    assert grove.outages == [("root", outage, False), ("root", outage, True)]
    assert standing(grove) is None


@pytest.mark.parametrize(("children", "cut"), [(10, 5), (3, 2), (2, 2), (1, 1)])
def test_half_of_them_or_two_are_no_outage(children: int, cut: int) -> None:
    grove = settled(children)
    grove.cut |= set(names(cut))
    grove.wait(KNOWN_S)

    assert grove.outages == []


def test_three_of_three_are() -> None:
    grove = settled(3)
    grove.cut |= set(names(3))
    grove.wait(KNOWN_S)

    assert [outage.silent for _, outage, _ in grove.outages] == [tuple(names(3))]


def test_those_who_fall_silent_one_after_another_are_none() -> None:
    grove = settled(5)
    for name in names(5):
        grove.cut.add(name)
        grove.wait(30.0)
    grove.wait(KNOWN_S)

    assert grove.outages == []


def test_who_was_silent_before_does_not_count() -> None:
    """Four machines are long gone, and nobody revoked them: three of the other four are most."""
    grove = settled(8)
    for name in names(4):
        grove.cut.add(name)
        grove.wait(DEAD_S + HELLO_S)
    grove.cut |= {"a5", "a6", "a7"}
    grove.wait(KNOWN_S)

    assert [(outage.silent, outage.of) for _, outage, _ in grove.outages] == [(("a5", "a6", "a7"), 4)]


def test_who_was_never_heard_in_this_life_says_nothing_of_the_network() -> None:
    grove = settled(4)
    grove.cut |= set(names(4))
    grove.start("root", None, *names(4), known=True)
    grove.wait(KNOWN_S)

    assert grove.outages == []


def test_it_is_what_it_was_at_its_worst_until_most_are_heard_again() -> None:
    grove = settled(10)
    grove.cut |= set(names(6))
    grove.wait(20.0)
    grove.cut |= {"a7"}
    grove.wait(KNOWN_S)
    outage = standing(grove)

    assert outage is not None
    assert len(outage.silent) == 7

    grove.cut -= {"a7"}
    grove.wait(60.0)

    assert standing(grove) == outage

    grove.cut -= {"a6"}
    grove.wait(60.0)

    assert standing(grove) is None
    assert [is_over for _, _, is_over in grove.outages] == [False, True]


def test_a_revoked_child_counts_no_more() -> None:
    grove = settled(3)
    grove.cut |= set(names(3))
    grove.wait(KNOWN_S)
    branch = grove.collectors["root"].branch
    assert branch is not None
    assert standing(grove) is not None
    grove.accept("root", ChildRemoved("a1"))
    grove.wait(2 * HELLO_S)

    assert standing(grove) is None


@pytest.mark.parametrize("minutes_before", [0, 1])
def test_agents_of_nodes_that_go_down_are_no_outage_but_what_was_done_before_counts_for_nothing(
    minutes_before: int,
) -> None:
    """Whoever switches a rack off knows why it is silent; and what is done to all may end their network."""
    grove = settled(4)
    for name in names(4):
        grove.world[name, "os"] = "UP"
        grove.declare(name, os="UP")
    grove.wait(120.0)
    for name in names(3):
        grove.declare(name, os="DOWN")
    grove.wait(60.0 * minutes_before)
    grove.cut |= set(names(3))
    grove.wait(KNOWN_S)

    assert sorted(node for _, node, _ in grove.ran) == names(3)
    assert len(grove.outages) == minutes_before


def test_agents_of_nodes_that_are_as_they_were_are() -> None:
    grove = settled(4)
    for name in names(4):
        grove.world[name, "os"] = "UP"
        grove.declare(name, os="UP")
    grove.wait(120.0)
    grove.cut |= set(names(3))
    grove.wait(KNOWN_S)

    assert [outage.silent for _, outage, _ in grove.outages] == [tuple(names(3))]
    assert grove.ran == [], "nothing is begun because somebody is silent"


def test_what_a_former_life_saw_last_is_no_change() -> None:
    grove = settled(4)
    grove.start("root", None, *names(4), known=True)
    seen = [(Side.ATTRIBUTE, PRESENCE, PRESENT), (Side.DSC, "os", "UP")]
    stamp = grove.collectors["root"].stamp
    remembered = [
        StateUpdate(n, s, k, v, stamp(), grove.now - 1.0, "ann") for n in names(4) for s, k, v in seen
    ]
    grove.collectors["root"].restore(remembered, [], grove.now)
    grove.wait(12.0)
    grove.cut |= set(names(3))
    grove.wait(KNOWN_S)

    assert [outage.silent for _, outage, _ in grove.outages] == [tuple(names(3))]


def test_what_an_agent_told_with_its_last_word_is_no_change_after_it() -> None:
    grove = settled(4)
    grove.cut |= set(names(3))
    grove.accept("root")
    branch = grove.collectors["root"].branch
    assert branch is not None
    for name in names(3):
        grove.declare(name)
        heard_at = branch.tree.links[name].heard_at
        assert heard_at is not None
        stamp = grove.collectors["root"].stamp()
        grove.accept(
            "root", Declared([StateUpdate(name, Side.DSC, "os", "UP", stamp, heard_at + 0.5, "ann")])
        )
    grove.wait(KNOWN_S)

    assert [outage.silent for _, outage, _ in grove.outages] == [tuple(names(3))]


def test_an_agent_of_another_name_is_that_of_its_node() -> None:
    grove = settled(3)
    for name in names(3):
        node = f"n{name}"
        grove.world[node, "os"] = "UP"
        grove.declare(node, os="UP")
        root = grove.collectors["root"]
        agent = StateUpdate(node, Side.ATTRIBUTE, AGENT, name, root.stamp(), grove.now, "ann")
        grove.accept("root", Declared([agent]))
    grove.wait(120.0)
    for name in names(3):
        grove.declare(f"n{name}", os="DOWN")
    grove.cut |= set(names(3))
    grove.wait(KNOWN_S)

    assert grove.outages == []


def test_nodes_of_collectors_that_fell_silent_together_have_that_for_their_reason() -> None:
    grove = settled(4)
    for number, name in enumerate(names(4)):
        grove.world[f"n{number}", "os"] = "UP"
        grove.declare(f"n{number}", [name], os="UP")
    grove.wait(60.0)
    grove.cut |= set(names(3))
    grove.wait(KNOWN_S)
    told = [grove.collectors["root"].explain(f"n{number}", grove.now) for number in range(4)]

    assert [one.cause for one in told] == ["STALE"] * 3 + ["CONVERGED"]
    outage = standing(grove)
    assert outage is not None
    assert {one.topic for one in told[:3]} == {f"root is not well: {outage.text}"}, "they fold to one row"
    assert told[0].reason.startswith("collector a1 not heard for ")
    assert told[0].reason.endswith(f" s; root is not well: {outage.text}")
    assert "not well" not in told[3].reason


def test_who_fell_silent_alone_is_not_of_it() -> None:
    grove = settled(6)
    grove.declare("n1", ["a1"], os="UP")
    grove.wait(30.0)
    grove.cut.add("a1")
    grove.wait(2 * KNOWN_S)
    grove.cut |= {"a2", "a3", "a4"}
    grove.wait(KNOWN_S)

    assert standing(grove) is not None
    assert grove.collectors["root"].explain("n1", grove.now).topic == "collector a1 is not heard"


def test_those_above_tell_it_of_nodes_of_collectors_below_the_one_who_noticed() -> None:
    grove = Grove("row")
    racks = names(3)
    grove.start("row", "root", *racks)
    for rack in racks:
        grove.start(rack, "row")
    grove.wait(60.0)
    grove.world["n1", "os"] = "UP"
    grove.declare("n1", ["a1"], os="UP")
    grove.wait(60.0)
    grove.cut |= set(racks)
    grove.wait(KNOWN_S)
    row, outage = grove.collectors["row"], standing(grove, "row")
    assert outage is not None
    say(row, ailments(writes=True, refused=0, outage=outage, lacks=[]), grove.now)
    grove.wait(5.0)
    record, told = said(grove.collectors["root"], "row"), grove.collectors["root"].explain("n1", grove.now)

    assert record is not None
    assert record.value == outage.text
    assert told.topic == f"row is not well: {outage.text}"
    assert [name for name, _, _ in grove.outages] == ["row"]


def test_however_many_they_are_it_is_said_whole() -> None:
    outage = Outage(tuple(names(123_456)), 234_567, 1.0, 40.0)

    assert len(outage.text) <= HEALTH_MAX
