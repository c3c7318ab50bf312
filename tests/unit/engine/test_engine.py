"""One cause for every node, and what moves it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kraken.daemon.arrivals import HoldLifted, HoldSet, Released
from kraken.engine.effects import StepEnded
from kraken.engine.settings import Settings
from kraken.model.hold import EVERY_NODE, Hold
from kraken.model.module import Change, Condition, Discovery, Mutation, Observes, Variable
from kraken.model.run import Outcome

from .conftest import IPMI, Bench, vocabulary


def hold(bench: Bench, name: str = "n1", until_s: float | None = None, number: int = 1) -> Hold:
    until = None if until_s is None else bench.now + until_s
    return Hold(f"h{number}", name, "ann", "new memory", bench.now, until)


def test_a_held_node_is_left_alone_and_says_who_wants_it_so(bench: Bench) -> None:
    bench.declare("n1", cfg={"power": "ON"})
    standing = hold(bench)
    bench.accept(HoldSet(standing))
    bench.report("see_power", {"power": "OFF"})

    assert bench.cause() == "HELD"
    assert bench.out("switch_on") == []
    assert bench.engine.explain("n1", bench.now).reason == "new memory (ann)"

    bench.accept(HoldLifted(standing))

    assert bench.cause() == "RUNNING"


def test_of_two_holds_the_last_to_end_frees_the_node(bench: Bench) -> None:
    bench.declare("n1", cfg={"power": "ON"})
    bench.report("see_power", {"power": "OFF"})
    bench.report("switch_on", outcome=Outcome.CANCELLED)
    bench.accept(HoldSet(hold(bench, until_s=10.0)), HoldSet(hold(bench, EVERY_NODE, 20.0, 2)))
    began = bench.now

    assert bench.engine.explain("n1", bench.now).next_at == began + 20.0

    bench.wait(15.0)

    assert bench.cause() == "HELD"
    assert bench.engine.explain("n1", bench.now).reason == "frozen: new memory (ann)"

    bench.wait(6.0)

    assert bench.cause() != "HELD"


def test_a_freeze_drops_what_waits_for_its_turn() -> None:
    bench = Bench(settings=Settings(linger_s={}, runs_max={"ipmi": 1}, batch_max=1))
    bench.declare("n1", "n2", cfg={"power": "ON"})
    for _ in range(2):
        bench.report("see_power", {"power": "OFF"})

    assert (bench.cause("n1"), bench.cause("n2")) == ("RUNNING", "BUDGET")

    bench.accept(HoldSet(hold(bench, EVERY_NODE)))
    bench.report("switch_on")

    assert (bench.cause("n1"), bench.cause("n2")) == ("HELD", "HELD")
    assert bench.out("switch_on") == []


def test_what_waits_for_its_turn_until_its_ground_is_stale_is_looked_at_first() -> None:
    long = Mutation("m", "long", (Change("level", ("UNKNOWN",), "HIGH"),), timeout_s=1000.0, action=IPMI)
    bench = Bench(
        vocabulary(Variable("m", "level", ("HIGH",)), long),
        Settings(linger_s={}, runs_max={"ipmi": 1}),
    )
    bench.declare("n2", cfg={"level": "HIGH"})  # takes the only place
    bench.report("see_power", {"power": "ON"})
    bench.declare("n1", cfg={"power": "OFF"})
    for name in ("see_os", "see_power"):
        if bench.out(name):
            bench.report(name, {"power": "ON"} if name == "see_power" else {"os": "UP"})

    assert bench.cause("n1") == "BUDGET"

    for _ in range(100):  # nobody answers, so what was seen grows old while it waits
        bench.wait(1.0)
        for name in ("see_power", "see_os"):
            if bench.out(name):
                bench.report(name, outcome=Outcome.UNREACHABLE)

    assert bench.cause("n1") == "STALE"
    assert bench.engine.batches.place("m.switch_off", "n1") == (0, 0)


def test_a_wish_for_what_no_module_declares_is_never_called_converged(bench: Bench) -> None:
    bench.declare("n1", cfg={"power": "OFF", "colour": "RED"})
    bench.report("see_power", {"power": "OFF"})

    assert bench.cause() == "NO_PATH"
    assert "no loaded module declares the variable colour" in bench.engine.explain("n1", bench.now).reason


def test_modules_that_are_loaded_anew_change_the_next_run_not_the_one_that_is_out(off: Bench) -> None:
    catalog = vocabulary()
    anew = replace(catalog.mutations["m.switch_on"], timeout_s=99.0)
    module = catalog.modules["m"]
    mutations = {**module.mutations, "switch_on": anew}
    off.collector.adopt(type(catalog)([replace(module, mutations=mutations)]))
    off.accept()

    assert off.cause() == "RUNNING"

    off.report("switch_on", {"power": "OFF"}, Outcome.FAILED)
    off.wait(3.0)

    assert off.out("switch_on")[0].timeout_s == 99.0


def test_a_variable_its_module_took_along_is_no_path_any_more(off: Bench) -> None:
    off.declare("n1", cfg={"power": "OFF"})
    off.report("switch_on", {"power": "OFF"}, Outcome.FAILED)

    assert off.cause() == "CONVERGED"

    off.collector.adopt(type(vocabulary())([]))
    off.accept()

    assert off.cause() == "NO_PATH"


def test_a_mutation_whose_module_was_removed_under_way_ends_as_its_executor_says(off: Bench) -> None:
    (run,) = off.out("switch_on")
    off.collector.adopt(type(vocabulary())([]))
    off.accept()

    assert off.cause() == "RUNNING"

    off.report("switch_on", {"power": "ON"})

    assert off.engine.progress("n1").underway == {}
    assert off.engine.progress("n1").trouble.failures == {}
    assert [(end.run_id, end.outcome) for end in off.told if isinstance(end, StepEnded)] == [
        (run.id, Outcome.OK)
    ]


def test_an_attribute_that_is_missing_is_named(bench: Bench) -> None:
    catalog = vocabulary()
    module = catalog.modules["m"]
    needs = (Condition("bmc", ("ipmi",)),)
    mutations = {k: replace(m, requires=(*m.requires, *needs)) for k, m in module.mutations.items()}
    bench.collector.adopt(type(catalog)([replace(module, mutations=mutations)]))
    bench.declare("n1", cfg={"power": "ON"})
    bench.report("see_power", {"power": "OFF"})

    assert bench.cause() == "REQUIRES_UNMET"
    assert "bmc=ipmi" in bench.engine.explain("n1", bench.now).reason

    bench.declare("n1", attributes={"bmc": "ipmi"})

    assert bench.cause() == "RUNNING"


def test_deleting_a_node_forgets_what_it_waits_for(off: Bench) -> None:
    off.delete("n1")
    off.report("switch_on", {"power": "ON"})

    assert "n1" not in off.collector.table
    assert off.engine.next_deadline(off.now) is None or off.engine.next_deadline(off.now) > off.now


def test_failures_pause_a_little_longer_each_time_and_a_new_wish_ends_the_pause(off: Bench) -> None:
    off.report("switch_on", {"power": "OFF"}, Outcome.FAILED)
    told = off.engine.explain("n1", off.now)

    assert off.cause() == "BACKOFF"
    assert told.next_at is not None
    assert off.now < told.next_at < off.now + 3.0

    off.declare("n1", cfg={"os": "UP"})

    assert off.cause() == "RUNNING"


def test_a_restart_remembers_failures_and_their_pause(bench: Bench) -> None:
    bench.declare("n1", cfg={"power": "ON"})
    bench.engine.former.restore_trouble("n1", {"m.switch_on": 4}, None, bench.now)
    bench.report("see_power", {"power": "OFF"})

    assert bench.cause() == "BACKOFF"

    bench.accept(Released(["n1", "gone"]))

    assert bench.cause() == "RUNNING"


def test_what_was_under_way_at_the_end_of_a_former_life_is_looked_for_first(bench: Bench) -> None:
    bench.declare("n1", cfg={"power": "OFF"})
    bench.report("see_power", {"power": "OFF"})
    switch_on = bench.collector.catalog.mutations["m.switch_on"]
    bench.declare("n1", cfg={"power": "ON"})
    bench.runs.clear()
    bench.engine.former.interrupted("n1", replace(switch_on, action=IPMI), bench.now, unfinished=True)

    assert "power" in bench.engine.progress("n1").unsettled


@pytest.mark.parametrize("age_s", [89.0, 91.0])
def test_converged_holds_while_what_was_seen_is_fresh(age_s: float) -> None:
    # Nobody looks by himself: two looks without an answer would be a doubt of their own.
    see = Discovery("m", "see_power", (Observes("power", ("OFF", "ON")),), IPMI, every_s=None)
    bench = Bench(vocabulary(see))
    bench.declare("n1", cfg={"power": "OFF"})
    bench.report("see_power", {"power": "OFF"})
    bench.wait(age_s)

    assert bench.cause() == ("CONVERGED" if age_s < 90.0 else "STALE")


def test_no_alarm_is_asked_for_in_the_past(off: Bench) -> None:
    off.wait(300.0)
    deadline = off.engine.next_deadline(off.now)

    assert deadline is None or deadline > off.now


def test_there_is_no_path_only_from_what_was_seen() -> None:
    """A time-out asserted a value that nothing leads out of; a look found another."""
    module = vocabulary().modules["m"]
    dead_end = {name: m for name, m in module.mutations.items() if name != "switch_off"}
    looks = {**module.discoveries, "see_power": replace(module.discoveries["see_power"], every_s=None)}
    bench = Bench(type(vocabulary())([replace(module, mutations=dead_end, discoveries=looks)]))
    bench.declare("n1", cfg={"power": "ON"})
    bench.report("see_power", {"power": "OFF"})
    bench.report("switch_on", outcome=Outcome.TIMEOUT)

    assert bench.collector.table["n1"].dsc["power"].value == "HUNG"
    assert bench.cause() == "STALE"

    bench.wait(5.0)
    bench.report("see_power", {"power": "ON"})

    assert bench.cause() == "CONVERGED"


def test_another_address_is_looked_at_at_once_whatever_the_old_one_said(off: Bench) -> None:
    for _ in range(4):
        off.wait(30.0)
        off.report("see_power", outcome=Outcome.UNREACHABLE)

    off.declare("n1", attributes={"bmc.address": "10.0.0.7"})

    assert [run.nodes for run in off.out("see_power")] == [("n1",)]


def test_what_could_not_be_begun_for_half_of_its_time_is_not_begun(off: Bench) -> None:
    [run] = off.out("switch_on")

    assert off.collector.may_begin(run, "n1", off.now + 30.0)
    assert not off.collector.may_begin(run, "n1", off.now + 30.1)


@pytest.mark.parametrize("whom", ["n1", EVERY_NODE])
def test_what_was_decided_on_is_not_begun_when_somebody_holds_the_node_by_then(off: Bench, whom: str) -> None:
    """A disk that is slow, or full, keeps a run from beginning while a hold comes in."""
    [run] = off.out("switch_on")
    standing = hold(off, whom)
    off.accept(HoldSet(standing))

    assert not off.collector.may_begin(run, "n1", off.now)

    off.accept(HoldLifted(standing))

    assert off.collector.may_begin(run, "n1", off.now)


def test_a_held_node_says_what_is_under_way_on_it_still(off: Bench) -> None:
    off.accept(HoldSet(hold(off)))
    told = off.engine.explain("n1", off.now)

    assert (told.cause, told.topic) == ("HELD", "new memory (ann)")
    assert told.reason == "new memory (ann): m.switch_on was begun before, and is under way still"

    off.report("switch_on", {"power": "ON"})

    assert off.engine.explain("n1", off.now).reason == "new memory (ann)"
