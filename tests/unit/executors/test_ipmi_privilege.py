"""What a session may do: it looks as it was let in, and is raised before anything that needs more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kraken.executors.ipmi.verbs import STATUS
from kraken.executors.place import Reach
from kraken.model.run import Outcome
from tests.unit.executors.ipmi_stage import (
    CHASSIS_CONTROL,
    CHASSIS_STATUS,
    DEVICE_ID,
    LAB,
    LIMITS,
    ON,
    READ,
    RESET,
    SET_PRIVILEGE,
    Stage,
)


def said(stage: Stage) -> list[tuple[int, int]]:
    return [(netfn, command) for netfn, command, _ in stage.played.sent]


def test_a_look_asks_for_no_more_than_every_session_may(stage: Stage) -> None:
    order = stage.order(STATUS)
    stage.clock.advance(1)

    assert said(stage) == [CHASSIS_STATUS]
    assert order.served_with is not None
    assert order.served_with.privilege == 2


def test_a_session_is_raised_once_and_stays_so(stage: Stage) -> None:
    stage.ask(wait_s=0.5)
    first = stage.order(RESET)
    stage.clock.advance(0.5)
    stage.ask(ON, wait_s=0.5)
    stage.ask(wait_s=0.5)

    assert said(stage) == [CHASSIS_STATUS, SET_PRIVILEGE, CHASSIS_CONTROL, CHASSIS_CONTROL, CHASSIS_STATUS]
    assert stage.played.sent[1][2] == (4,)
    assert first.served_with is not None
    assert first.served_with.privilege == 4


def test_what_a_person_reads_is_read_with_all_that_was_granted(stage: Stage) -> None:
    stage.ask(READ, wait_s=1)

    assert said(stage) == [SET_PRIVILEGE, DEVICE_ID]


@pytest.mark.parametrize(("privilege", "asked"), [(None, [(4,), (3,)]), (3, [(3,)])])
def test_a_user_who_may_only_operate_has_his_session_raised_so_far(
    stage: Stage, privilege: int | None, asked: list[tuple[int, ...]]
) -> None:
    stage.played.highest = 3

    assert stage.ask(ON, login=replace(LAB, privilege=privilege)).outcome is Outcome.OK
    assert [data for *command, data in stage.played.sent if tuple(command) == SET_PRIVILEGE] == asked


@pytest.mark.parametrize(("privilege", "named"), [(None, "operator"), (3, "operator"), (4, "administrator")])
def test_a_level_that_is_refused_fails_what_needs_it_and_nothing_else(
    stage: Stage, privilege: int | None, named: str
) -> None:
    stage.played.highest = 2
    login = replace(LAB, privilege=privilege)
    changed = stage.ask(RESET, login=login, wait_s=1)

    assert (changed.outcome, changed.reach) == (Outcome.FAILED, Reach.OK)
    assert changed.message == (
        f"BMC 10.9.8.7:623 refused power reset: privilege level {named} is not granted to the user (0x81): "
        "grant it in the BMC, or declare a lower bmc.privilege"
    )
    assert stage.played.count(CHASSIS_CONTROL) == 0

    assert stage.ask(login=login, wait_s=1).outcome is Outcome.OK
    assert len(stage.played.logins) == 1


def test_a_session_for_a_plain_user_is_told_that_his_privilege_is_too_low(stage: Stage) -> None:
    stage.played.highest = 2
    answer = stage.ask(ON, login=replace(LAB, privilege=2), wait_s=1)

    assert answer.outcome is Outcome.FAILED
    assert "privilege is too low (0xd4): grant it operator" in answer.message


def test_a_bmc_whose_sessions_may_not_even_look_at_first_is_asked_for_more_and_remembered(
    stage: Stage,
) -> None:
    stage.played.first_level = 1

    assert stage.ask(wait_s=1).outcome is Outcome.OK
    assert said(stage) == [CHASSIS_STATUS, SET_PRIVILEGE, CHASSIS_STATUS]

    stage.played.sent.clear()
    stage.bmc.leave()

    assert stage.ask(wait_s=1).outcome is Outcome.OK
    assert said(stage) == [SET_PRIVILEGE, CHASSIS_STATUS]


def test_a_kept_session_that_died_is_found_out_before_a_change_that_needs_more(stage: Stage) -> None:
    stage.ask(wait_s=10)
    stage.played.lost_session = True

    assert stage.ask(RESET, wait_s=LIMITS.stale_s + 1).outcome is Outcome.OK
    assert len(stage.played.logins) == 2
    assert stage.played.count(CHASSIS_CONTROL) == 1


def test_a_bmc_that_lets_us_in_and_does_not_raise_us_is_told_as_silent_and_nothing_was_changed(
    stage: Stage,
) -> None:
    stage.played.mute_to_commands = True
    answer = stage.ask(RESET)

    assert (answer.outcome, answer.reach) == (Outcome.UNREACHABLE, Reach.NO_ANSWER)
    assert "let us log in and did not answer for 5 s" in answer.message
    assert stage.played.count(CHASSIS_CONTROL) == 0


def test_a_bmc_that_is_busy_refuses_no_privilege(stage: Stage) -> None:
    stage.played.codes[SET_PRIVILEGE] = 0xC0
    answer = stage.ask(ON)

    assert (answer.outcome, answer.reach) == (Outcome.FAILED, Reach.BUSY)
    assert "refused power on: it is busy" in answer.message
