"""A collector that is not heard: what is known of its nodes, and that nothing is begun because of it."""

from __future__ import annotations

import re

import pytest

from tests.unit.daemon.grove import Grove


def test_nobody_runs_anything_because_a_child_is_silent() -> None:
    grove = Grove("c1")
    grove.world["n1", "os"] = "UP"
    grove.declare("n1", ["c1"], os="UP")
    grove.wait(30.0)
    grove.ran.clear()
    grove.cut.add("c1")
    grove.world["n1", "os"] = "UP"
    grove.wait(300.0)
    told = grove.collectors["root"].explain("n1", grove.now)

    assert grove.ran == []
    assert told.cause == "STALE"
    assert grove.collectors["root"].is_silent("n1")
    assert told.reason in (f"collector c1 not heard for {age} s" for age in range(299, 312))


def test_who_is_silent_for_longer_than_is_declared_knows_nothing_of_its_nodes_any_more() -> None:
    grove = Grove("c1")
    grove.world["n1", "os"] = "UP"
    grove.declare("n1", ["c1"], os="UP")
    grove.wait(30.0)
    grove.ran.clear()
    root = grove.collectors["root"]
    root.unknown_after_s = 600.0
    grove.cut.add("c1")
    grove.wait(500.0)
    before = root.cause("n1"), root.explain("n1", grove.now).cause
    grove.wait(200.0)
    told = root.explain("n1", grove.now)

    assert before == ("STALE", "STALE")
    assert (root.cause("n1"), told.cause) == ("UNKNOWN", "UNKNOWN")
    assert re.fullmatch(r"collector c1 not heard for (69\d|70\d|71\d) s", told.reason)
    assert grove.ran == [], "nothing is begun because of that either"

    grove.cut.clear()
    grove.wait(60.0)
    assert root.cause("n1") == "CONVERGED"
    assert grove.ran == []


@pytest.fixture
def three_levels() -> Grove:
    """Root, m below it, c1 and c2 below that; c1 has forty nodes, c2 ten, and all is as it should be."""
    grove = Grove()
    grove.start("root", None, "m")
    grove.start("m", "root", "c1", "c2")
    for name in ("c1", "c2"):
        grove.start(name, "m")
    for number in range(50):
        grove.world[f"n{number}", "os"] = "UP"
        grove.declare(f"n{number}", ["c1" if number < 40 else "c2"], os="UP")
    grove.wait(60.0)
    grove.ran.clear()
    return grove


def causes(grove: Grove, name: str, nodes: range) -> set[str]:
    collector = grove.collectors[name]
    return {str(collector.explain(f"n{number}", grove.now).cause) for number in nodes}


def test_most_of_a_subtree_vanishes_with_its_collector_and_nobody_above_runs_anything(
    three_levels: Grove,
) -> None:
    """At the collector in the middle and at the root alike, while it is away, and when it is back."""
    grove = three_levels
    grove.cut.add("c1")
    grove.wait(300.0)
    for name in ("root", "m"):
        told = grove.collectors[name].explain("n1", grove.now)

        assert causes(grove, name, range(40)) == {"STALE"}
        assert causes(grove, name, range(40, 50)) == {"CONVERGED"}
        assert re.fullmatch(r"collector c1 not heard for (29\d|30\d|31\d) s", told.reason)

    assert grove.ran == []

    grove.cut.clear()
    grove.wait(60.0)

    assert [causes(grove, name, range(50)) for name in ("root", "m")] == [{"CONVERGED"}] * 2
    assert grove.ran == []


def test_a_collector_in_the_middle_vanishes_with_all_below_it_and_those_go_on(three_levels: Grove) -> None:
    grove = three_levels
    grove.cut.add("m")
    grove.wait(100.0)
    grove.world["n1", "os"] = "DOWN"
    grove.wait(200.0)
    told = grove.collectors["root"].explain("n1", grove.now)

    assert causes(grove, "root", range(50)) == {"STALE"}
    assert told.reason.startswith("collector m not heard for ")
    assert {(who, node) for who, node, _ in grove.ran} == {("c1", "n1")}, "its own collector, and nobody else"

    grove.ran.clear()
    grove.cut.clear()
    grove.wait(90.0)

    assert causes(grove, "root", range(50)) == {"CONVERGED"}
    assert grove.ran == []


def test_nor_does_anybody_when_the_wish_for_a_node_of_a_silent_collector_changes(three_levels: Grove) -> None:
    """What was seen of it has long been too old to plan on, and it is somebody else's to look at."""
    grove = three_levels
    grove.cut.add("c1")
    root = grove.collectors["root"]
    grove.wait(900.0)
    grove.declare("n1", os="DOWN")
    grove.wait(100.0)

    assert root.explain("n1", grove.now).cause == "STALE"
    assert grove.dsc("root", "n1")["os"] == "UP", "as it was last told"
    assert grove.ran == []
