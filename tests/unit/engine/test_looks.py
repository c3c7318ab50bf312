"""When somebody looks, and what a look in vain means."""

from __future__ import annotations

from itertools import pairwise

from kraken.daemon.collector import LookAt
from kraken.model.module import Change, Discovery, Mutation, Observes, Variable
from kraken.model.run import Outcome

from .conftest import IPMI, Bench, vocabulary


def test_a_new_node_is_looked_at_at_once_and_then_by_interval(bench: Bench) -> None:
    bench.declare("n1")
    bench.report("see_power", {"power": "OFF"})
    bench.wait(29.0)

    assert bench.out("see_power") == []

    bench.wait(2.0)

    assert len(bench.out("see_power")) == 1


def test_nobody_looks_where_there_is_nothing_to_see(bench: Bench) -> None:
    bench.declare("n1")
    bench.report("see_power", {"power": "OFF"})
    bench.wait(25.0)

    assert bench.out("see_os") == []


def test_a_look_that_failed_is_repeated_later_and_later_for_who_waits_for_it(bench: Bench) -> None:
    bench.declare("n1", cfg={"power": "ON"})
    times = []
    for _ in range(5):
        while not bench.out("see_power"):
            bench.wait(0.5)
        times.append(bench.now)
        bench.report("see_power", outcome=Outcome.UNREACHABLE)
    pauses = [b - a for a, b in pairwise(times)]

    assert pauses == [4.0, 8.0, 16.0, 30.0]
    assert bench.cause() == "UNKNOWN"


def test_a_look_that_found_nothing_is_no_way_forward_until_something_changes(off: Bench) -> None:
    off.declare("n1", cfg={"os": "UP"})
    off.report("switch_on", {"power": "ON"})

    assert off.cause() == "UNKNOWN"

    off.report("see_os")

    assert off.cause() == "WAITING"


def test_a_look_that_saw_one_of_two_is_blind_for_the_other() -> None:
    bench = Bench(
        vocabulary(
            Variable("m", "a", ("X", "Y")),
            Variable("m", "b", ("X", "Y")),
            Discovery("m", "see_both", (Observes("a"), Observes("b")), IPMI, every_s=30.0),
            Mutation("m", "set_b", (Change("b", ("UNKNOWN",), "Y"),), cost=50.0, action=IPMI),
        )
    )
    bench.declare("n1", cfg={"b": "Y"})

    assert bench.cause() == "UNKNOWN"

    bench.report("see_both", {"a": "X"})

    assert bench.out("set_b")


def test_discoveries_without_an_interval_look_only_when_somebody_waits() -> None:
    bench = Bench(
        vocabulary(
            Variable("m", "gas", ("LOW", "FULL")),
            Discovery("m", "see_gas", (Observes("gas"),), IPMI, every_s=None),
            Mutation("m", "fill", (Change("gas", ("LOW",), "FULL"),), timeout_s=60.0),
        )
    )
    bench.declare("n1")
    bench.wait(100.0)

    assert bench.out("see_gas") == []

    bench.declare("n1", cfg={"gas": "FULL"})
    bench.report("see_gas", {"gas": "LOW"})

    assert bench.cause() == "WAITING"

    bench.wait(5.0)
    bench.report("see_gas", {"gas": "FULL"})

    assert bench.cause() == "CONVERGED"


def test_who_asks_is_served_at_once_and_who_asks_for_a_node_unknown_harms_nobody(bench: Bench) -> None:
    bench.declare("n1")
    bench.report("see_power", {"power": "OFF"})
    bench.accept(LookAt(["n1", "gone"]))

    assert len(bench.out("see_power")) == 1


def test_a_look_that_left_before_a_node_was_declared_again_is_not_its_own(bench: Bench) -> None:
    bench.declare("n1")
    bench.delete("n1")
    bench.declare("n1")
    bench.report("see_power", {"power": "ON"})

    assert "power" not in bench.collector.table["n1"].dsc

    bench.wait(31.0)
    bench.report("see_power", {"power": "ON"})

    assert "power" in bench.collector.table["n1"].dsc


def test_a_value_in_doubt_that_a_look_no_longer_sees_is_unknown() -> None:
    bench = Bench(
        vocabulary(
            Variable("m", "disk", ("OLD", "NEW")),
            Discovery("m", "see_disk", (Observes("disk"),), IPMI, every_s=30.0),
            Mutation("m", "write", (Change("disk", ("OLD",), "NEW"),), action=IPMI),
        )
    )
    bench.declare("n1", cfg={"disk": "NEW"})
    bench.report("see_disk", {"disk": "OLD"})
    bench.report("write", outcome=Outcome.FAILED)
    bench.wait(3.0)
    bench.report("see_disk")

    assert bench.engine.progress("n1").value("disk") == "UNKNOWN"
    assert bench.cause() == "UNKNOWN"
