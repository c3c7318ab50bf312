"""What became of a variable that was acted on is known only by what was truly seen afterwards."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kraken.daemon.arrivals import Commanded, LookAt, Observed
from kraken.daemon.remembering import remembered
from kraken.engine.doubt import doubt
from kraken.model.byhand import power_by_hand
from kraken.model.catalog import Catalog
from kraken.model.module import Change, Condition, Discovery, Mutation, Observes, Variable
from kraken.model.run import Outcome
from kraken.store.records import Memory, Touch

from .conftest import IPMI, ON, Bench, vocabulary

INSTALL = Mutation(
    "m", "install", (Change("image", ("UNKNOWN",), "NEW"),), requires=ON, timeout_s=60.0, action=IPMI
)


OFF_OR_HUNG = Mutation(
    "m",
    "turn_off",
    (Change("power", ("ON",), "OFF"),),
    timeout_s=60.0,
    cost=1.0,
    fails_to={"power": "HUNG"},
    action=IPMI,
)


def imaged(*more: Mutation | Discovery | Variable) -> Catalog:
    """An image that is known only while the power is on, and is written where no look tells of it."""
    return vocabulary(
        Variable("m", "image", ("OLD", "NEW"), known_when=ON),
        Discovery("m", "see_image", (Observes("image"),), IPMI, requires=ON, every_s=20.0),
        INSTALL,
        *more,
    )


@pytest.fixture
def lost() -> Bench:
    """The power of n1 is being looked at since before the end of an install that nobody can tell."""
    bench = Bench(imaged(OFF_OR_HUNG))
    bench.declare("n1", cfg={"power": "ON", "image": "NEW"})
    bench.report("see_power", {"power": "ON"})
    bench.report("see_image")  # it answers, and has none
    bench.accept(LookAt(["n1"]))
    bench.report("install", outcome=Outcome.UNREACHABLE)
    return bench


def switch_on_again(bench: Bench) -> None:
    """The node is found to be off, is switched on, and whoever looks at its image gets no answer."""
    bench.report("switch_on", {"power": "ON"})
    for _ in range(20):
        bench.wait(2.0)
        for name, seen in (("see_power", {"power": "ON"}), ("see_image", None)):
            while bench.out(name):
                bench.report(name, seen, Outcome.OK if seen else Outcome.TIMEOUT)


def test_a_look_sent_before_the_end_tells_of_no_ground_of_today(lost: Bench) -> None:
    lost.report("see_power", {"power": "OFF"})
    switch_on_again(lost)

    assert lost.out("install") == []
    assert lost.cause() == "STALE"

    lost.wait(60.0)
    lost.report("see_image", {"image": "NEW"})

    assert lost.cause() == "CONVERGED"


def test_a_look_sent_afterwards_ends_the_doubt_with_the_ground(lost: Bench) -> None:
    lost.report("see_power", {"power": "ON"})
    lost.accept(LookAt(["n1"]))
    lost.report("see_power", {"power": "OFF"})
    switch_on_again(lost)

    assert len(lost.out("install")) == 1


@pytest.mark.parametrize(("is_so_now", "installs"), [(True, 1), (False, 0)])
def test_what_others_report_ends_it_when_it_is_so_now(lost: Bench, is_so_now: bool, installs: int) -> None:
    lost.accept(Observed("n1", {"power": "OFF"}, "reported by ann", lost.now, is_so_now))
    lost.report("see_power", {"power": "OFF"})
    switch_on_again(lost)

    assert len(lost.out("install")) == installs


def test_a_ground_that_was_asserted_and_not_seen_ends_nothing(lost: Bench) -> None:
    lost.report("see_power", {"power": "ON"})
    lost.report("see_image", outcome=Outcome.TIMEOUT)
    lost.declare("n1", cfg={"power": "OFF", "image": None})
    lost.accept(LookAt(["n1"]))
    lost.report("see_power", {"power": "ON"})
    lost.report("turn_off", outcome=Outcome.TIMEOUT)

    assert lost.engine.progress("n1").value("power") == "HUNG"
    assert {"power", "image"} <= lost.engine.progress("n1").unsettled


def test_nor_does_a_restart_that_may_not_have_been() -> None:
    up = (Condition("phys_state", ("POWER_ON",)),)
    bench = Bench(
        vocabulary(
            Variable("m", "phys_state", ("POWER_OFF", "POWER_ON")),
            Variable("m", "image", ("OLD", "NEW"), known_when=up),
            Discovery("m", "see_chassis", (Observes("phys_state"),), IPMI, every_s=30.0),
            Discovery("m", "see_image", (Observes("image"),), IPMI, requires=up, every_s=20.0),
            replace(INSTALL, requires=up),
        )
    )
    bench.declare("n1", cfg={"image": "NEW"})
    bench.report("see_chassis", {"phys_state": "POWER_ON"})
    bench.report("see_image")
    bench.report("install", outcome=Outcome.UNREACHABLE)
    cycle = power_by_hand("cycle", {"bmc.protocol": "ipmi"})
    assert cycle is not None
    bench.accept(Commanded("c1", "ann", {"n1": cycle}))
    bench.report("power_cycle", outcome=Outcome.UNREACHABLE)

    assert "image" in bench.engine.progress("n1").unsettled


def test_a_ground_that_nobody_looks_at_by_himself_is_looked_at_for_it() -> None:
    see_power = replace(imaged().discoveries["m.see_power"], every_s=None)
    mark = Mutation(
        "m",
        "mark",
        (Change("label", None, "DONE"),),
        excludes=(Condition("image", ("OLD",)),),
        timeout_s=60.0,
        action=IPMI,
    )
    bench = Bench(imaged(see_power, Variable("m", "label", ("DONE",)), mark))
    bench.declare("n1", cfg={"image": "NEW"})
    bench.accept(LookAt(["n1"]))
    bench.report("see_power", {"power": "ON"})
    bench.report("see_image")
    bench.accept(LookAt(["n1"]))
    bench.report("install", outcome=Outcome.UNREACHABLE)
    bench.declare("n1", cfg={"image": None, "label": "DONE"})
    bench.report("see_image", outcome=Outcome.TIMEOUT)
    bench.report("see_power", {"power": "OFF"})

    assert bench.out("mark") == []
    assert bench.cause() == "STALE"

    bench.wait(5.0)
    bench.report("see_power", {"power": "OFF"})

    assert len(bench.out("mark")) == 1


def test_while_its_attributes_leave_it_no_value_a_doubt_hinders_nothing_and_stands_again_afterwards() -> None:
    image = replace(imaged().variables["image"], known_when=(*ON, Condition("arch", ("x86",))))
    bench = Bench(imaged(image))
    bench.declare("n1", cfg={"image": "NEW"}, attributes={"arch": "x86"})
    bench.report("see_power", {"power": "ON"})
    bench.report("see_image")
    bench.report("install", outcome=Outcome.UNREACHABLE)
    catalog, progress = bench.collector.catalog, bench.engine.progress("n1")
    bench.declare("n1", attributes={"arch": "arm"})

    assert doubt(catalog, progress, "image", bench.now, disruptive=False) is None

    bench.declare("n1", attributes={"arch": "x86"})

    assert doubt(catalog, progress, "image", bench.now, disruptive=False) is not None


def test_a_start_does_not_take_what_was_forgotten_for_what_was_seen() -> None:
    rewrite = replace(INSTALL, name="rewrite", changes=(Change("image", ("OLD",), "NEW"),))
    bench = Bench(imaged(rewrite))
    bench.declare("n1", cfg={"image": "NEW"})
    bench.report("see_power", {"power": "ON"})
    bench.report("see_image", {"image": "OLD"})
    bench.accept(LookAt(["n1"]))
    bench.report("rewrite", outcome=Outcome.UNREACHABLE)
    ended_at = bench.now
    bench.wait(1.0)
    bench.report("see_power", {"power": "OFF"})
    again = Bench(bench.collector.catalog)
    again.collector.restore(bench.collector.table.records(), (), bench.now)
    remembered(again.collector, Memory(touched=(Touch("n1", rewrite.key, ended_at),)), bench.now)

    assert bench.collector.table["n1"].dsc["image"].source == "forgotten"
    assert "image" in again.engine.progress("n1").unsettled


def test_what_ended_on_a_node_while_another_had_it_is_in_doubt_when_it_comes_back(off: Bench) -> None:
    off.engine.disown("n1", off.now)
    off.report("switch_on", outcome=Outcome.UNREACHABLE)
    off.engine.know("n1", off.now)
    off.accept()

    assert off.out("switch_on") == []
    assert off.cause() == "STALE"
    assert "power" in off.engine.progress("n1").unsettled


@pytest.mark.parametrize(("ended_s_ago", "is_bound"), [(20.0, True), (300.0, False), (-3600.0, True)])
def test_what_ended_in_doubt_shortly_before_a_start_binds_its_node_still(
    lost: Bench, ended_s_ago: float, is_bound: bool
) -> None:
    again = Bench(lost.collector.catalog)
    again.collector.restore(lost.collector.table.records(), (), lost.now)
    touch = Touch("n1", INSTALL.key, lost.now - ended_s_ago)  # by a clock that may have been set since
    remembered(again.collector, Memory(touched=(touch,)), lost.now)

    assert (again.collector.busy_until("n1") >= lost.now + INSTALL.timeout_s) is is_bound
