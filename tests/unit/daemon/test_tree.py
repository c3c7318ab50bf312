"""Collectors in a tree: each node is run by one of them, and seen by those above it."""

from __future__ import annotations

import pytest

from kraken.daemon.arrivals import HoldLifted, HoldSet
from kraken.daemon.collector import Collector
from kraken.engine.settings import Settings
from kraken.model.hold import EVERY_NODE, Hold
from kraken.model.update import PRESENCE, PRESENT, Side, Stamp, StateUpdate
from kraken.sync.tree import Tree
from tests.unit.daemon.grove import CATALOG, Grove


def test_what_is_declared_at_the_root_converges_at_the_child_and_is_seen_at_the_root() -> None:
    grove = Grove("c1")
    grove.world["n1", "os"] = "DOWN"
    grove.declare("n1", ["c1"], os="UP")
    grove.wait(60.0)

    assert {name for name, _, _ in grove.ran} == {"c1"}
    assert grove.collectors["c1"].engine.cause("n1") == "CONVERGED"
    assert grove.collectors["root"].table["n1"].dsc_values()["os"] == "UP"

    told = grove.collectors["root"].explain("n1", grove.now)

    assert told.cause == "CONVERGED"
    assert "as collector c1 says, " in told.reason


def test_who_runs_a_node_learns_once_that_it_is_held_and_leaves_its_bmc() -> None:
    grove = Grove("c1", "c2")
    grove.declare("n1", ["c1"], os="UP")
    grove.wait(30.0)
    for number in (1, 2):
        grove.accept("root", HoldSet(Hold(f"h{number}", "n1", "ann", "a new fan", grove.now)))
        grove.wait(5.0)

    assert [name for name in grove.held if name[0] != "root"] == [("c1", "n1")] * 2

    grove.accept("root", HoldLifted(Hold("h1", "n1", "ann", "a new fan", grove.now)))
    grove.accept("root", HoldSet(Hold("h3", EVERY_NODE, "ann", "power works", grove.now)))
    grove.wait(60.0)

    assert len([name for name in grove.held if name[0] != "root"]) == 2


def test_a_node_that_nobody_could_look_at_is_told_above_as_unknown_with_the_reason() -> None:
    """Its first cause is UNKNOWN, which changes nothing here, and is news above."""
    grove = Grove("c1")
    grove.declare("n1", ["c1"], os="UP")
    grove.wait(60.0)
    below = grove.collectors["c1"].explain("n1", grove.now)
    told = grove.collectors["root"].explain("n1", grove.now)

    assert below.cause == told.cause == "UNKNOWN"
    assert "as collector c1 says" in told.reason
    assert grove.collectors["root"].table["n1"].summary["cause"].source == "c1"


def test_that_the_reason_of_a_node_became_another_is_told_above_though_its_cause_did_not() -> None:
    """One of two tries, the other waits for what that one finds: BACKOFF, for the one reason or the other."""
    grove = Grove("c1")
    nodes = ("n1", "n2")
    for node in nodes:
        grove.world[node, "os"] = "DOWN"
        grove.declare(node, ["c1"], os="UP")
    reasons: dict[str, list[str]] = {node: [] for node in nodes}
    for fault in ("the vault is shut", "no such key in the vault"):
        grove.fault = fault
        grove.wait(90.0)
        for node in nodes:
            told = grove.collectors["root"].table[node].summary
            reasons[node].append(str(told["reason"].value))

            assert grove.collectors["c1"].cause(node) == told["cause"].value == "BACKOFF"

    for told_of in reasons.values():
        assert told_of == [
            "its collector cannot do side.raise: the vault is shut",
            "its collector cannot do side.raise: no such key in the vault",
        ]


def test_a_reason_that_stays_is_told_above_once_however_long_the_node_waits() -> None:
    grove = Grove("c1")
    grove.fault = "the vault is shut"
    for node in ("n1", "n2"):
        grove.world[node, "os"] = "DOWN"
        grove.declare(node, ["c1"], os="UP")
    grove.wait(200.0)
    told: set[Stamp] = set()
    for _ in range(600):
        grove.wait(0.5)
        told.add(grove.collectors["root"].table["n1"].summary["reason"].stamp)

    assert len(told) <= 300.0 / 60.0 + 1, "once for each try"


def test_what_a_former_life_said_of_a_node_that_is_unknown_now_does_not_stand() -> None:
    one = Collector(CATALOG, Settings(), incarnation=2)
    records = [
        (Side.ATTRIBUTE, PRESENCE, PRESENT),
        (Side.CFG, "os", "UP"),
        (Side.SUMMARY, "cause", "CONVERGED"),
    ]
    one.restore([StateUpdate("n1", s, k, v, Stamp(1, 1), 990.0, "root") for s, k, v in records], [], 1000.0)
    one.join(Tree("root", 2, one.table, one.holds, 1000.0), 1000.0)
    one.accept([], 1000.0)

    assert one.cause("n1") == "UNKNOWN"
    assert one.table["n1"].summary["cause"].value == "UNKNOWN"


def test_a_node_that_another_below_the_same_child_took_over_is_seen_as_that_one_says() -> None:
    """Two levels up, it is not stale for as long as the preferred one is away."""
    grove = Grove("m")
    grove.start("m", "root", "a", "b")
    grove.start("a", "m")
    grove.start("b", "m")
    grove.world["n1", "os"] = "UP"
    grove.declare("n1", ["a", "b"], os="UP")
    grove.wait(60.0)
    root = grove.collectors["root"]

    assert (root.cause("n1"), root.runner("n1")) == ("CONVERGED", "a")

    grove.cut.add("a")
    grove.wait(50.0)
    silent = root.explain("n1", grove.now)

    assert silent.cause == "STALE"
    assert "collector a not heard" in silent.reason

    grove.wait(300.0)

    assert (root.cause("n1"), root.runner("n1")) == ("CONVERGED", "b")
    assert "as collector b says" in root.explain("n1", grove.now).reason

    grove.cut.add("b")
    grove.wait(60.0)

    assert "collector b not heard" in root.explain("n1", grove.now).reason


def test_a_node_without_collectors_is_run_by_the_root() -> None:
    grove = Grove("c1")
    grove.world["n2", "os"] = "DOWN"
    grove.declare("n2", os="UP")
    grove.wait(30.0)

    assert {name for name, _, _ in grove.ran} == {"root"}
    assert "n2" not in grove.collectors["c1"].table


def test_a_node_that_went_to_another_and_came_back_is_doubted_as_before() -> None:
    grove = Grove("c1")
    grove.world["n1", "os"] = "DOWN"
    grove.declare("n1", os="UP")
    grove.wait(30.0)
    engine = grove.collectors["root"].engine
    engine.progress("n1").unsettled.add("web")
    engine.progress("n1").trouble.quarantined = "a person must look"
    grove.is_mute = True
    for here in (["c1"], []):
        grove.declare("n1", here)
        grove.wait(120.0)

    assert grove.collectors["root"].runs("n1")
    assert "web" in engine.progress("n1").unsettled
    assert engine.progress("n1").trouble.quarantined == "a person must look"


def test_what_another_collector_saw_is_looked_at_before_anything_is_done_on_it() -> None:
    grove = Grove("c1")
    grove.world["n1", "os"] = "DOWN"
    grove.declare("n1", ["c1"])
    grove.wait(30.0)
    grove.is_mute = True
    grove.declare("n1", [], os="UP")
    while not grove.collectors["root"].runs("n1"):
        grove.wait(0.5)
    grove.wait(1.0)

    assert grove.ran == []
    assert grove.collectors["root"].table["n1"].dsc_values()["os"] == "DOWN"
    assert grove.collectors["root"].explain("n1", grove.now).cause == "STALE"

    grove.is_mute = False
    grove.wait(60.0)

    assert {name for name, _, _ in grove.ran} == {"root"}


def test_what_comes_back_from_above_to_a_collector_without_its_disk_is_looked_at_first() -> None:
    grove = Grove("c1")
    grove.world["n1", "os"] = "DOWN"
    grove.declare("n1", ["c1"])
    grove.wait(30.0)
    grove.are_out = True
    grove.start("c1", "root")
    while "os" not in grove.dsc("c1", "n1"):
        grove.wait(0.5)
    grove.declare("n1", os="UP")
    grove.wait(2.0)

    assert grove.ran == []
    assert grove.collectors["c1"].explain("n1", grove.now).reason == (
        "os is known by what another collector saw, or another BMC told, and was not looked at since"
    )


def test_later_lives_are_above_the_stamps_that_outgrew_those_of_another() -> None:
    """Else a daemon that starts again, its clock behind the other's, gives the same stamps anew."""
    grove = Grove("c1", "c2")
    grove.wait(30.0)
    grove.start("c2", "root")
    grove.wait(700.0)  # what its life before may have begun is over
    grove.world["n1", "os"] = "UP"
    grove.declare("n1", ["c2"], os="UP")
    grove.wait(30.0)
    grove.declare("n1", ["c1"])
    grove.wait(60.0)
    c1 = grove.collectors["c1"]

    assert c1.runs("n1")
    assert grove.outgrown["c1"] == c1.incarnation > grove.collectors["c2"].incarnation


def test_who_gets_a_node_back_for_a_child_of_its_own_decides_no_more_for_it() -> None:
    """It was told in one letter that the node is gone and here again, went on with it beside the child, and
    said of it what it saw last, for good where its stamps were the greater ones.
    """
    grove = Grove("a", "b")
    grove.start("a", "root", "aa")
    grove.start("aa", "a")
    grove.world["n1", "os"] = "UP"
    grove.declare("n1", ["a", "b"], os="UP")
    grove.wait(60.0)

    assert grove.collectors["a"].runs("n1")

    grove.cut.add("a")
    grove.wait(300.0)

    assert grove.collectors["b"].runs("n1")

    grove.declare("n1", ["aa", "a"])
    grove.wait(60.0)
    grove.cut.clear()
    grove.wait(1000.0)

    assert grove.collectors["aa"].runs("n1")
    assert [grove.collectors[name].cause("n1") for name in ("aa", "a", "root")] == ["CONVERGED"] * 3
    with pytest.raises(KeyError):
        grove.collectors["a"].engine.cause("n1")
