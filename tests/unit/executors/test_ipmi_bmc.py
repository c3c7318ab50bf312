"""How one BMC is served, on a played wire and a virtual clock."""

from __future__ import annotations

import errno

import pytest

from kraken.executors.ipmi.verbs import STATUS, Verb, verb_of
from kraken.executors.place import LoginRefused, Reach
from kraken.model.run import Outcome
from tests.unit.executors.ipmi_stage import (
    CHASSIS_CONTROL,
    CYCLE,
    LIMITS,
    OFF,
    ON,
    READ,
    RESET,
    PlayedSession,
    Stage,
)


def test_a_poll_logs_in_and_the_next_one_does_not(stage: Stage) -> None:
    first = stage.ask(wait_s=1)
    second = stage.ask(wait_s=1)

    assert first.observed == second.observed == {"phys_state": "POWER_ON"}
    assert len(stage.played.logins) == 1


def test_a_power_that_is_off_is_seen_so(stage: Stage) -> None:
    stage.played.status = b"\x20\x00\x00"

    assert stage.ask().observed == {"phys_state": "POWER_OFF"}


def test_mutations_go_before_polls_that_came_earlier(stage: Stage) -> None:
    for verb in (STATUS, STATUS, STATUS, OFF, ON):
        stage.order(verb)
    stage.clock.advance(5)

    assert [verb.name for verb, _ in stage.answers] == [
        "power status",
        "power off",
        "power on",
        "power status",
        "power status",
    ]


def test_one_command_is_in_flight_at_a_time(stage: Stage) -> None:
    stage.order(STATUS)
    stage.order(STATUS)
    stage.clock.advance(0.015)

    assert len(stage.played.sent) == 1


@pytest.mark.parametrize("verb", [CYCLE, RESET, verb_of({"power": "soft"})])
def test_what_may_not_happen_twice_is_sent_once_even_when_nobody_answers(stage: Stage, verb: Verb) -> None:
    stage.ask(READ, wait_s=1)
    stage.played.mute_to_commands = True

    answer = stage.ask(verb)

    assert stage.played.count(CHASSIS_CONTROL) == 1
    assert (answer.outcome, dict(answer.observed)) == (Outcome.TIMEOUT, {})
    assert f"did not acknowledge {verb.name} within 5 s: it may have happened" in answer.message


@pytest.mark.parametrize("verb", [ON, OFF])
def test_on_and_off_may_be_sent_again_within_their_time(stage: Stage, verb: Verb) -> None:
    stage.ask(READ, wait_s=1)
    stage.played.mute_to_commands = True

    assert stage.ask(verb).outcome is Outcome.TIMEOUT
    assert len(stage.played.logins) == 2
    assert stage.played.count(CHASSIS_CONTROL) in (2, 3), "over the kept session; the new one was not raised"


def test_no_free_slot_waits_longer_than_silence(stage: Stage) -> None:
    stage.played.refuses = LoginRefused(Reach.BUSY, "no free session slot")

    answer = stage.ask(wait_s=7)
    stage.ask(wait_s=0)

    assert (answer.outcome, answer.reach) == (Outcome.FAILED, Reach.BUSY)
    assert len(stage.played.logins) == 1


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0xD4, "privilege is too low"),
        (0xC0, "busy"),
        (0xD5, "present state"),
        (0x77, "an error of its own (0x77)"),
    ],
)
def test_a_refusal_says_what_it_means_and_what_to_do(stage: Stage, code: int, words: str) -> None:
    stage.played.codes[CHASSIS_CONTROL] = code

    answer = stage.ask(ON)

    assert answer.outcome is Outcome.FAILED
    assert "BMC 10.9.8.7:623 refused power on: " in answer.message
    assert words in answer.message


def test_a_nonsense_answer_is_not_taken_for_a_state(stage: Stage) -> None:
    stage.played.status = b"\x01"

    answer = stage.ask()

    assert (answer.outcome, dict(answer.observed)) == (Outcome.FAILED, {})
    assert "nonsense" in answer.message


def test_an_address_that_may_not_be_commanded_gets_no_packet() -> None:
    stage = Stage(check=LoginRefused(Reach.REFUSED, "10.9.8.7 is an address of this machine"))

    answer = stage.ask(RESET)

    assert answer.outcome is Outcome.FAILED
    assert "address of this machine" in answer.message
    assert stage.played.logins == []


def test_a_second_node_with_this_bmc_is_refused_and_the_first_is_not(stage: Stage) -> None:
    assert stage.ask(node="n1", wait_s=1).outcome is Outcome.OK

    answer = stage.ask(OFF, node="n2", wait_s=1)

    assert answer.outcome is Outcome.FAILED
    assert "is also the BMC of node n1" in answer.message
    assert stage.played.count(CHASSIS_CONTROL) == 0


def test_what_waits_behind_a_silent_login_is_told_at_once_when_it_fails(stage: Stage) -> None:
    stage.played.mute_to_logins = True
    for verb in (STATUS, STATUS, ON):
        stage.order(verb)
    stage.clock.advance(LIMITS.login_s + 0.01)

    assert [answer.outcome for _, answer in stage.answers] == [Outcome.UNREACHABLE] * 3
    assert len(stage.played.logins) == 1


def test_an_order_nobody_waits_for_is_not_sent(stage: Stage) -> None:
    order = stage.order(RESET)
    order.wanted = False
    stage.clock.advance(10)

    assert stage.played.count(CHASSIS_CONTROL) == 0
    assert stage.answers == []
    assert stage.ask().outcome is Outcome.OK


def test_an_order_whose_time_is_over_is_answered_by_what_holds_it_up(stage: Stage) -> None:
    stage.played.mute_to_logins = True
    first, second = stage.order(), stage.order(ON)
    stage.clock.advance(3)
    stage.bmc.expire(first, 3.0)
    stage.bmc.expire(second, 3.0)

    assert "does not answer (3 login requests in 3 s)" in stage.answers[0][1].message
    assert "an earlier request is still out" in stage.answers[1][1].message


@pytest.mark.parametrize("is_kept", [False, True], ids=["logging in", "over a kept session"])
def test_who_stood_still_switches_nothing_when_the_time_for_it_is_over(stage: Stage, is_kept: bool) -> None:
    """What the BMC answered meanwhile is read before the timers ring; and it may be another's to switch."""
    if is_kept:
        stage.ask()
        stage.clock.advance(LIMITS.quiet_s + 1.0)  # so that it is tried with a probe first
    stage.order(ON, within_s=20.0)
    stage.clock.stand_still(21.0)
    stage.clock.advance(10.0)

    assert stage.played.count(CHASSIS_CONTROL) == 0
    assert "stood still" in stage.answers[-1][1].message
    assert stage.ask().outcome is Outcome.OK


def test_an_expired_mutation_that_was_sent_says_so(stage: Stage) -> None:
    stage.ask(READ, wait_s=1)
    stage.played.mute_to_commands = True
    order = stage.order(RESET)
    stage.clock.advance(0.5)
    stage.bmc.expire(order, 0.5)

    assert stage.answers[-1][1].outcome is Outcome.TIMEOUT


def test_what_to_mend_is_said_of_the_part_that_is_wrong(stage: Stage) -> None:
    stage.played.refuses = LoginRefused(Reach.BAD_CREDENTIALS, "wrong K_G key", mend="correct its kg")

    assert stage.ask().message.endswith("refused: wrong K_G key (credential 'lab'): correct its kg")


def test_a_daemon_without_descriptors_says_so_and_nothing_of_the_bmc(stage: Stage) -> None:
    def full(*_: object) -> PlayedSession:
        raise OSError(errno.EMFILE, "Too many open files")

    stage.played.open = full  # type: ignore[method-assign]
    answer = stage.ask()

    assert "was not asked: Too many open files in the daemon: raise its LimitNOFILE" in answer.message
    assert dict(answer.seen) == {}
