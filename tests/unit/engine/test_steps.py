"""The life of one mutation on one node."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from kraken.daemon.arrivals import LookAt, Released, Results
from kraken.engine.effects import Start, StepEnded, TroubleChanged
from kraken.model.module import Action, Change, Mutation, Variable
from kraken.model.run import NodeResult, Outcome
from kraken.testing.ipmi import Chassis
from kraken.testing.ipmi.chassis import CHASSIS_CONTROL

from .conftest import IPMI, Bench, vocabulary


def dsc(bench: Bench, variable: str, node: str = "n1") -> tuple[str, str]:
    record = bench.collector.table[node].dsc[variable]
    return str(record.value), record.source


def ends(bench: Bench) -> list[tuple[str, Outcome]]:
    return [(told.mutation.name, told.outcome) for told in bench.told if isinstance(told, StepEnded)]


def test_an_acknowledged_step_is_done_only_when_its_effect_is_seen(off: Bench) -> None:
    off.report("switch_on")

    assert off.cause() == "RUNNING"
    assert ends(off) == []

    off.wait(1.0)
    off.report("see_power", {"power": "ON"})

    assert off.cause() == "CONVERGED"
    assert ends(off) == [("switch_on", Outcome.OK)]


def test_its_effect_is_looked_for_again_and_again_until_it_is_seen(off: Bench) -> None:
    off.report("switch_on")
    for _ in range(4):
        off.wait(6.0)
        off.report("see_power", {"power": "OFF"})

    assert off.cause() == "RUNNING"
    assert off.out("switch_on") == []


def test_a_step_that_never_shows_its_effect_is_asserted_to_have_failed_until_somebody_looks(
    off: Bench,
) -> None:
    off.report("switch_on")
    off.wait(61.0)

    assert dsc(off, "power") == ("HUNG", "timeout")
    assert ends(off) == [("switch_on", Outcome.TIMEOUT)]

    off.report("see_power", {"power": "OFF"})  # it left before the time-out
    off.wait(5.0)
    off.report("see_power", {"power": "OFF"})

    assert dsc(off, "power") == ("OFF", "m.see_power")


def test_a_node_that_does_as_told_after_90_s_is_told_again_only_when_its_time_is_over(off: Bench) -> None:
    due: list[tuple[float, Callable[[], object]]] = []
    chassis = Chassis(lambda delay_s, what: due.append((off.now + delay_s, what)))
    chassis.delay_s = 90.0
    told_at = []
    for _ in range(130):
        for what in [what for at_s, what in due if at_s <= off.now]:
            what()
        for _ in off.out("switch_on"):
            told_at.append(off.now)
            chassis.perform(*CHASSIS_CONTROL, b"\x01")
            off.report("switch_on")
        for _ in off.out("see_power"):
            off.report("see_power", {"power": "ON" if chassis.power else "OFF"})
        off.wait(1.0)

    assert off.cause() == "CONVERGED"
    assert chassis.asked == ["on", "on"]
    assert told_at[1] - told_at[0] >= 60.0
    assert {name for name, _ in ends(off)} == {"switch_on"}


def test_nothing_disruptive_follows_from_an_asserted_value(off: Bench) -> None:
    off.report("switch_on")
    off.wait(61.0)

    assert off.out("switch_off") == []
    assert off.cause() in ("STALE", "UNKNOWN")


def test_what_the_executor_saw_at_a_time_out_is_not_hidden_by_what_is_asserted(off: Bench) -> None:
    off.report("switch_on", {"power": "OFF"}, Outcome.TIMEOUT)

    assert dsc(off, "power") == ("OFF", "m.switch_on")
    assert off.cause() == "BACKOFF"


def test_a_changed_wish_does_not_end_a_step_that_is_out(off: Bench) -> None:
    off.declare("n1", cfg={"power": "OFF"})

    assert off.cause() == "RUNNING"
    assert off.out("switch_off") == []

    off.declare("n1", cfg={"power": "ON"})

    assert len(off.out("switch_on")) == 1


def test_a_wait_is_dropped_when_nobody_wants_it_any_more(off: Bench) -> None:
    off.declare("n1", cfg={"os": "UP"})
    off.report("switch_on", {"power": "ON"})
    off.report("see_os")

    assert off.cause() == "WAITING"

    off.declare("n1", cfg={"os": None})

    assert off.cause() == "CONVERGED"
    assert ends(off)[-1] == ("boot", Outcome.CANCELLED)


def test_a_wait_whose_ground_is_lost_has_failed(off: Bench) -> None:
    off.declare("n1", cfg={"os": "UP"})
    off.report("switch_on", {"power": "ON"})
    off.report("see_os")
    off.accept(LookAt(["n1"]))
    off.report("see_power", {"power": "OFF"})

    assert ("boot", Outcome.FAILED) in ends(off)
    assert off.engine.progress("n1").trouble.failures == {"m.boot": 1}


def test_a_look_that_left_before_a_step_ended_says_nothing_of_its_outcome(off: Bench) -> None:
    off.accept(LookAt(["n1"]))
    off.report("switch_on", {"power": "ON"})
    off.report("see_power", {"power": "OFF"})

    assert dsc(off, "power") == ("ON", "m.switch_on")


def test_an_executor_that_never_reports_is_given_up_after_a_grace(off: Bench) -> None:
    off.wait(69.0)

    assert off.cause() == "RUNNING"
    assert off.out("switch_on")

    off.wait(2.0)

    assert ends(off) == [("switch_on", Outcome.TIMEOUT)]
    assert off.out("switch_on") == []


def test_a_result_that_comes_after_the_end_is_not_heard(off: Bench) -> None:
    late = off.out("switch_on")[0]
    off.wait(75.0)
    off.accept(Results([NodeResult(late.id, "n1", Outcome.OK, {"power": "ON"})]))

    assert dsc(off, "power") == ("HUNG", "timeout")


def test_a_cancelled_step_is_no_failure_but_is_looked_for(off: Bench) -> None:
    off.report("switch_on", outcome=Outcome.CANCELLED)

    assert not off.engine.progress("n1").trouble
    assert off.cause() == "STALE"
    assert off.out("switch_on") == []


def test_a_step_that_ended_in_a_way_nobody_knows_is_a_failure_and_is_looked_for(off: Bench) -> None:
    off.report("switch_on", outcome=Outcome.INTERRUPTED)

    assert off.engine.progress("n1").trouble.failures == {"m.switch_on": 1}
    assert "power" in off.engine.progress("n1").unsettled


def test_where_nothing_can_look_for_it_a_person_must() -> None:
    label = Variable("m", "label", ("DONE",))
    bench = Bench(vocabulary(label, Mutation("m", "mark", (Change("label", None, "DONE"),), action=IPMI)))
    bench.declare("n1", cfg={"label": "DONE"})
    bench.report("mark", outcome=Outcome.INTERRUPTED)
    bench.wait(600.0)

    assert bench.cause() == "QUARANTINED"
    assert "nothing observes label: look at the node" in bench.engine.explain("n1", bench.now).reason


def test_pauses_end_in_quarantine_and_quarantine_with_a_release(off: Bench) -> None:
    for _ in range(off.engine.settings.quarantine_after):
        off.report("switch_on", outcome=Outcome.FAILED)
        for _ in range(40):
            if off.out("switch_on") or off.cause() == "QUARANTINED":
                break
            off.wait(10.0)
            if off.out("see_power"):
                off.report("see_power", {"power": "OFF"})

    assert off.cause() == "QUARANTINED"

    off.accept(LookAt(["n1"]))
    off.report("see_power", {"power": "ON"})

    assert off.cause() == "CONVERGED"
    assert off.engine.progress("n1").trouble.quarantined is not None

    off.accept(Released(["n1"]))

    assert [told for told in off.told if isinstance(told, TroubleChanged)][-1].quarantined is None


def test_a_step_of_two_variables_one_of_which_is_so_already_is_seen_to_succeed() -> None:
    both = Mutation(
        "m", "both", (Change("power", None, "ON"), Change("os", ("UNKNOWN",), "UP")), cost=1.0, action=IPMI
    )
    bench = Bench(vocabulary(both))
    bench.declare("n1", cfg={"power": "ON", "os": "UP"})
    bench.report("see_power", {"power": "ON"})
    bench.report("see_os")
    bench.report("both", {"power": "ON", "os": "UP"})

    assert bench.cause() == "CONVERGED"
    assert ends(bench) == [("both", Outcome.OK)]


def test_garbage_of_an_executor_neither_reaches_dsc_nor_settles_anything(off: Bench) -> None:
    off.report("switch_on", {"power": "PURPLE", "no_such": "X"}, Outcome.FAILED)

    assert dsc(off, "power") == ("OFF", "m.see_power")
    assert "power" in off.engine.progress("n1").unsettled


def test_what_disturbs_a_step_under_way_does_not_start_after_a_change_of_mind() -> None:
    stop = Mutation("m", "crash_os", (Change("os", ("UP",), "UNKNOWN"),), action=IPMI)
    bench = Bench(vocabulary(stop))
    bench.declare("n1", cfg={"power": "OFF"})
    bench.report("see_power", {"power": "ON"})
    switch_off = bench.out("switch_off")
    mutation = bench.collector.catalog.mutations["m.crash_os"]

    assert len(switch_off) == 1
    assert bench.engine._steps.conflicts(bench.engine.progress("n1"), mutation)


def test_a_transition_that_takes_minutes_is_looked_for_less_and_less_often() -> None:
    slow = Mutation("m", "soft", (Change("power", ("ON",), "OFF"),), timeout_s=600.0, action=IPMI)
    catalog = vocabulary(slow)
    del catalog.mutations["m.switch_off"]
    bench = Bench(catalog)
    bench.declare("n1", cfg={"power": "OFF"})
    bench.report("see_power", {"power": "ON"})
    bench.report("soft")
    times: list[float] = []
    while bench.now < 1500.0:
        bench.wait(0.5)
        for run in list(bench.out("see_power")):
            times.append(run.issued_at)
            bench.report("see_power", {"power": "ON"})
    early = [at for at in times if at < 1030.0]
    late = [later - at for at, later in pairwise(times) if at > 1350.0]

    assert len(early) >= 8, "at first every few seconds"
    assert all(25.0 <= gap <= 31.0 for gap in late), late
    started = [
        told.run for told in bench.told if isinstance(told, Start) and told.run.operator.name == "soft"
    ]
    assert len(started) == 1, "and it is not commanded again"


def test_a_dry_run_is_done_once_and_then_a_person_decides() -> None:
    dry = Action("ansible", [{"ansible.builtin.ping": {}}], Path(), {"check_mode": True})
    bench = Bench(
        vocabulary(Mutation("m", "rename", (Change("power", ("OFF",), "HUNG"),), timeout_s=60.0, action=dry))
    )
    bench.declare("n1", cfg={"power": "HUNG"})
    bench.report("see_power", {"power": "OFF"})
    (run,) = bench.out("rename")
    told = "dry run: it would change by 'Rename'"
    bench.accept(Results([NodeResult(run.id, "n1", Outcome.FAILED, {}, told)]))
    bench.wait(3600.0)

    assert bench.cause() == "QUARANTINED"
    assert bench.engine.progress("n1").verdict.detail == f"m.rename has check_mode: {told}"
    assert bench.out("rename") == []
    assert ends(bench) == [("rename", Outcome.FAILED)]
