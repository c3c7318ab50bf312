"""The watch on N: what is counted, what is forgotten, and what a person is told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kraken.daemon.arrivals import Released
from kraken.engine.cause import Cause, Verdict
from kraken.engine.effects import TroubleChanged
from kraken.engine.effort import begin, is_spent, recover, rest, resume, steps_max
from kraken.engine.progress import Progress
from kraken.engine.settings import Settings
from kraken.model.effort import NOTHING, Effort
from kraken.model.node import Node

from .conftest import Bench, vocabulary

DAY_S = 86400.0
SETTINGS = Settings(rounds=5, refill_s=DAY_S, linger_s={})


def a_node(longest: int) -> Progress:
    progress = Progress(Node("n1"), 0.0)
    progress.effort = NOTHING.facing(longest)
    return progress


def judge(progress: Progress, cause: Cause, now: float) -> bool:
    """As the engine does at every decision; gives back whether the store is to forget."""
    recover(progress, SETTINGS, now)
    forget = rest(progress, cause, now)
    progress.verdict = Verdict(cause)
    return forget


def test_a_node_may_cost_five_times_its_longest_path_and_a_step_each_time_it_goes_wrong() -> None:
    assert steps_max(SETTINGS, 4) == 4 + 4 * (4 + 1)


def test_failures_in_a_row_lead_to_quarantine_by_themselves_before_n_is_reached() -> None:
    for after in range(1, 12):
        settings = Settings(quarantine_after=after)

        # Each of four steps fails as often as it may, and then succeeds.
        assert 4 * after <= steps_max(settings, 4)


@given(
    longest=st.integers(1, 30),
    pauses_s=st.lists(st.floats(0.0, DAY_S), min_size=1, max_size=60),
)
def test_never_more_than_n_between_two_refills(longest: int, pauses_s: list[float]) -> None:
    progress, now, begun = a_node(longest), 0.0, 0
    for pause_s in pauses_s:
        while not is_spent(progress, SETTINGS):
            begin(progress, "m.on", now)
            begun += 1
        judge(progress, Cause.CONVERGED, now)
        now += pause_s
        judge(progress, Cause.STALE, now)
        progress.effort = progress.effort.facing(longest)
        most = steps_max(SETTINGS, longest)

        assert begun <= most * (1.0 + now / DAY_S) + 1e-6


@given(
    longest=st.integers(1, 30),
    repairs=st.lists(st.tuples(st.integers(1, 30), st.floats(DAY_S, 300 * DAY_S)), max_size=80),
)
def test_a_node_repaired_once_a_day_or_seldomer_is_never_given_up(
    longest: int, repairs: list[tuple[int, float]]
) -> None:
    progress, now = a_node(longest), 0.0
    for steps, pause_s in repairs:
        for _ in range(min(steps, longest)):
            assert not is_spent(progress, SETTINGS)

            begin(progress, "m.on", now)
        judge(progress, Cause.CONVERGED, now)
        now += pause_s
        judge(progress, Cause.STALE, now)
        progress.effort = progress.effort.facing(longest)


def test_time_in_which_nobody_knows_the_node_is_not_time_in_which_it_stayed() -> None:
    progress = a_node(4)
    begin(progress, "m.on", 0.0)
    judge(progress, Cause.STALE, 10.0)
    judge(progress, Cause.STALE, DAY_S)
    judge(progress, Cause.CONVERGED, DAY_S)

    assert progress.effort.steps == 1.0


def test_a_clock_that_goes_back_earns_nothing_and_costs_nothing() -> None:
    progress = a_node(4)
    begin(progress, "m.on", 1000.0)
    judge(progress, Cause.CONVERGED, 1000.0)
    judge(progress, Cause.STALE, 10.0)

    assert progress.effort.steps == 1.0


def test_one_way_is_not_worth_keeping_and_what_is_kept_is_dropped_when_it_is_forgotten() -> None:
    progress = a_node(2)

    assert not begin(progress, "m.on", 0.0)
    assert not begin(progress, "m.on", 1.0)
    assert begin(progress, "m.on", 2.0)

    assert not judge(progress, Cause.CONVERGED, 3.0)
    assert not judge(progress, Cause.CONVERGED, 4.0)
    assert judge(progress, Cause.CONVERGED, 2 * DAY_S)
    assert progress.effort == NOTHING


def test_after_a_restart_the_rest_began_with_the_last_mutation() -> None:
    progress = a_node(0)
    resume(progress, Effort(14.0, 4, (("m.on", 14),), at=1000.0))
    judge(progress, Cause.STALE, 1000.0 + DAY_S / 2)
    judge(progress, Cause.CONVERGED, 1000.0 + DAY_S / 2)
    judge(progress, Cause.CONVERGED, 1000.0 + DAY_S / 2)

    assert progress.effort.steps == 14.0 - steps_max(SETTINGS, 4) / 2


def undo(bench: Bench, times: int) -> None:
    """n1 is switched on, and somebody switches it off."""
    for _ in range(times):
        if not bench.out("switch_on"):
            return
        bench.report("switch_on", {"power": "ON"})
        bench.wait(5.0)
        for _ in range(len(bench.out("see_power"))):
            bench.report("see_power", {"power": "ON"})
        assert bench.cause() == "CONVERGED"

        bench.wait(30.0)
        bench.report("see_power", {"power": "OFF"})


def restless(bench: Bench) -> Bench:
    bench.declare("n1", cfg={"power": "ON"})
    bench.report("see_power", {"power": "OFF"})
    undo(bench, 100)
    return bench


def test_a_node_that_is_switched_off_behind_our_back_again_and_again_is_given_up(bench: Bench) -> None:
    restless(bench)
    told = bench.engine.explain("n1", bench.now)

    assert bench.cause() == "QUARANTINED"
    assert told.topic == "9 mutations without staying converged"
    assert told.reason == "9 mutations without staying converged: m.switch_on 9 times"


def test_only_a_person_ends_it_and_then_it_is_tried_again_as_often(bench: Bench) -> None:
    restless(bench)
    bench.declare("n1", cfg={"os": "UP"})

    assert bench.cause() == "QUARANTINED"

    bench.declare("n1", cfg={"os": None})
    bench.accept(Released(["n1"]))

    assert bench.cause() == "RUNNING"

    undo(bench, 100)

    assert bench.cause() == "QUARANTINED"


def test_another_wish_or_attribute_starts_the_count_anew(bench: Bench) -> None:
    bench.declare("n1", cfg={"power": "ON"})
    bench.report("see_power", {"power": "OFF"})
    undo(bench, 8)
    bench.declare("n1", attributes={"rack": "r1"})

    assert bench.engine.progress("n1").effort.steps == 0.0

    undo(bench, 8)

    assert bench.cause() == "RUNNING"


def test_what_was_done_in_vain_survives_a_restart(bench: Bench) -> None:
    bench.declare("n1", cfg={"power": "ON"})
    bench.report("see_power", {"power": "OFF"})
    undo(bench, 6)
    kept = [effect for effect in bench.told if isinstance(effect, TroubleChanged)][-1]

    assert kept.effort is not None
    assert kept.effort.begun == (("m.switch_on", 7),)

    after = Bench(vocabulary(), SETTINGS)
    after.now = bench.now - 600.0
    after.declare("n1", cfg={"power": "ON"})
    after.now = bench.now
    after.engine.former.restore_trouble("n1", kept.failures, kept.quarantined, kept.since, kept.effort)
    after.report("see_power", {"power": "OFF"})
    undo(after, 100)

    assert after.cause() == "QUARANTINED"
    assert after.engine.explain("n1", after.now).reason.endswith("m.switch_on 9 times")


def test_what_was_wished_after_the_last_mutation_is_not_held_against_the_node(bench: Bench) -> None:
    bench.declare("n1", cfg={"power": "ON"})
    bench.engine.former.restore_trouble(
        "n1", {}, None, 0.0, Effort(9.0, 1, (("m.switch_on", 9),), bench.now - 1.0)
    )
    bench.report("see_power", {"power": "OFF"})

    assert bench.cause() == "RUNNING"


def test_what_was_not_begun_after_all_is_not_counted() -> None:
    before = NOTHING.facing(3).plus("m.on", 10.0)

    assert before.plus("m.off", 20.0).minus("m.off").begun == before.begun
    assert before.plus("m.on", 20.0).minus("m.on").begun == (("m.on", 1),)
    assert before.minus("m.on").steps == 0.0
    assert before.minus("m.on").longest == 3
