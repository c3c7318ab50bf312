"""The session with a BMC over IPMI that is kept: for how long, and when it is given back."""

from __future__ import annotations

from kraken.executors.ipmi.users import set_password
from kraken.executors.ipmi.verbs import STATUS
from kraken.executors.ipmi.words import Order
from kraken.executors.place import Answer, LoginRefused, Reach
from kraken.model.run import Outcome
from tests.unit.executors.ipmi_stage import (
    CHASSIS_CONTROL,
    DEVICE_ID,
    LAB,
    LIMITS,
    ON,
    PLACE,
    READ,
    RESET,
    Stage,
)


def test_a_session_that_died_is_found_out_and_replaced_within_the_poll(stage: Stage) -> None:
    stage.ask(wait_s=1)
    stage.played.lost_session = True

    assert stage.ask(wait_s=3).outcome is Outcome.OK
    assert len(stage.played.logins) == 2
    assert stage.played.open_sessions == 1


def test_a_session_that_was_quiet_is_tried_with_a_probe_before_a_mutation(stage: Stage) -> None:
    stage.ask(READ, wait_s=10)
    stage.played.lost_session = True

    assert stage.ask(RESET, wait_s=5).outcome is Outcome.OK
    assert stage.played.sent[-1][:2] == CHASSIS_CONTROL
    assert stage.played.count(CHASSIS_CONTROL) == 1
    assert stage.played.count(DEVICE_ID) >= 2


def test_a_session_that_was_quiet_is_not_tried_before_what_may_be_said_twice(stage: Stage) -> None:
    stage.ask(READ, wait_s=10)
    stage.played.sent.clear()

    assert stage.ask(ON, wait_s=1).outcome is Outcome.OK
    assert [sent[:2] for sent in stage.played.sent] == [CHASSIS_CONTROL]


def test_a_session_that_died_is_replaced_within_a_change_that_may_be_said_twice(stage: Stage) -> None:
    stage.ask(READ, wait_s=10)
    stage.played.lost_session = True

    assert stage.ask(ON, wait_s=2 * LIMITS.stale_s + 1).outcome is Outcome.OK
    assert len(stage.played.logins) == 2
    assert stage.played.open_sessions == 1


def test_a_change_that_was_sent_over_a_session_that_died_may_have_happened_though_no_login_stands(
    stage: Stage,
) -> None:
    stage.ask(READ, wait_s=10)
    stage.played.mute_to_commands = stage.played.mute_to_logins = True
    answer = stage.ask(ON)

    assert (answer.outcome, answer.reach) == (Outcome.TIMEOUT, Reach.NO_ANSWER)
    assert "did not acknowledge power on within" in answer.message
    assert "it may have happened" in answer.message


def test_a_change_that_was_sent_over_a_session_that_died_may_have_happened_though_the_next_is_refused(
    stage: Stage,
) -> None:
    stage.ask(READ, wait_s=10)
    stage.played.lost_session = True
    stage.played.refuses = LoginRefused(Reach.BUSY, "no free session slot")
    answer = stage.ask(ON, wait_s=2 * LIMITS.stale_s + 1)

    assert (answer.outcome, answer.reach) == (Outcome.TIMEOUT, Reach.BUSY)
    assert "no free session slot; power on was sent before, and may have happened" in answer.message
    assert "no free session slot" in stage.ask(wait_s=0.0).message, (
        "what stood in its way then, it does still"
    )


def test_a_new_password_is_preceded_by_a_probe_of_a_session_that_was_quiet(stage: Stage) -> None:
    stage.ask(READ, wait_s=10)
    stage.played.lost_session = True
    probes = stage.played.count(DEVICE_ID)

    assert stage.ask(set_password(2, b"new"), wait_s=LIMITS.stale_s + 1).outcome is Outcome.OK
    assert stage.played.count(DEVICE_ID) > probes
    assert len(stage.played.logins) == 2
    assert stage.played.count((0x06, 0x47)) == 1


def test_a_kept_session_is_refreshed_while_used_and_given_back_when_not(stage: Stage) -> None:
    stage.ask(wait_s=0.1)
    for _ in range(55):
        assert stage.bmc.tick()
        stage.clock.advance(1)
    refreshed = stage.played.count(DEVICE_ID)
    assert stage.played.open_sessions == 1

    for _ in range(10):
        stage.bmc.tick()
        stage.clock.advance(1)

    assert refreshed == 2
    assert stage.played.open_sessions == 0
    assert not stage.bmc.tick()


def test_the_session_with_the_bmc_of_a_held_node_ends_with_the_last_answer(stage: Stage) -> None:
    said: list[Answer] = []
    for _ in range(2):
        stage.bmc.submit(
            Order("n1", PLACE, LAB, STATUS, lambda _, answer: said.append(answer), gives_back=True)
        )
    stage.clock.advance(1.0)

    assert [answer.outcome for answer in said] == [Outcome.OK, Outcome.OK]
    assert len(stage.played.logins) == 1
    assert not stage.bmc.has_session
    assert stage.played.open_sessions == 0


def test_the_session_is_given_back_at_the_moment_of_the_hold(stage: Stage) -> None:
    stage.ask(wait_s=1.0)

    assert stage.played.open_sessions == 1
    stage.bmc.leave()

    assert (stage.played.open_sessions, stage.bmc.has_session) == (0, False)


def test_a_hold_in_the_middle_of_a_command_waits_for_its_answer(stage: Stage) -> None:
    stage.ask(wait_s=1.0)
    stage.order(ON)
    stage.order(STATUS)
    stage.bmc.leave()

    assert stage.played.open_sessions == 1
    stage.clock.advance(1.0)

    assert [answer.outcome for _, answer in stage.answers] == [Outcome.OK] * 3
    assert (stage.played.open_sessions, len(stage.played.logins)) == (0, 1)


def test_a_keep_alive_that_finds_the_session_dead_drops_it_without_a_login(stage: Stage) -> None:
    stage.ask(wait_s=0.1)
    stage.played.lost_session = True
    for _ in range(30):
        stage.bmc.tick()
        stage.clock.advance(1)

    assert (stage.played.open_sessions, len(stage.played.logins)) == (0, 1)


def test_closing_answers_what_is_out_and_gives_the_session_back(stage: Stage) -> None:
    stage.ask(wait_s=1)
    stage.played.mute_to_commands = True
    stage.order(ON)
    stage.order(STATUS)
    stage.bmc.close()

    assert [answer.outcome for _, answer in stage.answers[1:]] == [Outcome.CANCELLED] * 2
    assert stage.played.open_sessions == 0
