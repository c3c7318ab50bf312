"""What is made of a BMC over IPMI that says nothing, or less than it should."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from kraken.executors.ipmi.words import Login
from kraken.executors.place import LoginRefused, Place, Reach
from kraken.model.run import Outcome
from tests.unit.executors.ipmi_stage import (
    CHASSIS_CONTROL,
    CHASSIS_STATUS,
    CYCLE,
    LIMITS,
    ON,
    READ,
    PlayedSession,
    Stage,
)


def test_a_silent_bmc_is_given_up_after_the_login_limit_and_named(stage: Stage) -> None:
    stage.played.mute_to_logins = True
    stage.order()
    stage.clock.advance(LIMITS.login_s - 0.01)
    assert stage.answers == []

    stage.clock.advance(0.02)

    answer = stage.answers[0][1]
    assert (answer.outcome, answer.reach, dict(answer.observed)) == (
        Outcome.UNREACHABLE,
        Reach.NO_ANSWER,
        {},
    )
    assert "BMC 10.9.8.7:623 does not answer (3 login requests in 7 s)" in answer.message
    assert stage.played.open_sessions == 0


def test_polls_of_a_silent_bmc_are_answered_without_trying_while_it_is_left_alone(stage: Stage) -> None:
    stage.played.mute_to_logins = True
    stage.ask(wait_s=8.1)

    answer = stage.ask(wait_s=0)

    assert answer.outcome is Outcome.UNREACHABLE
    assert "not polled again for" in answer.message
    assert len(stage.played.logins) == 1


def test_who_insists_is_tried_for_once_and_the_next_pause_is_longer_all_the_same(stage: Stage) -> None:
    stage.played.mute_to_logins = True
    stage.ask(wait_s=LIMITS.login_s + 0.1)
    stage.bmc.insist()
    first = stage.ask(wait_s=LIMITS.login_s + 0.1)
    second = stage.ask(wait_s=0)

    assert len(stage.played.logins) == 2
    assert first.is_news, "it was asked"
    assert second.message.endswith(("not polled again for 3 s", "not polled again for 4 s")), "not 2 s"


def test_who_insists_gets_no_refused_password_tried_again(stage: Stage) -> None:
    stage.played.takes = b"another"
    stage.ask()
    stage.bmc.insist()

    assert stage.ask(wait_s=0).reach is Reach.BAD_CREDENTIALS
    assert len(stage.played.logins) == 1


def test_the_pauses_between_tries_grow_to_their_limit(stage: Stage) -> None:
    stage.played.mute_to_logins = True
    tried_at = []
    for _ in range(4000):
        before = len(stage.played.logins)
        stage.order()
        stage.clock.advance(0.1)
        if len(stage.played.logins) > before:
            tried_at.append(stage.clock.now)
    pauses = [b - a - LIMITS.login_s for a, b in itertools.pairwise(tried_at)]

    assert 1.5 < pauses[0] < 2.3
    assert 47 < max(pauses) < 60.3


def test_the_first_answer_ends_the_growing_of_pauses(stage: Stage) -> None:
    stage.played.mute_to_logins = True
    for _ in range(4):
        stage.ask(wait_s=80)
    stage.played.mute_to_logins = False
    stage.ask()
    stage.played.lost_session = stage.played.mute_to_logins = True
    stage.ask(wait_s=9)
    stage.played.mute_to_logins = False
    stage.clock.advance(2)

    assert stage.ask(wait_s=1).outcome is Outcome.OK


def test_a_mutation_is_tried_also_while_a_silent_bmc_is_left_alone(stage: Stage) -> None:
    stage.played.mute_to_logins = True
    stage.ask(wait_s=8.1)
    stage.played.mute_to_logins = False

    assert stage.ask(ON, wait_s=1).outcome is Outcome.OK


def test_a_lost_answer_to_a_poll_is_fetched_again(stage: Stage) -> None:
    stage.ask(wait_s=1)
    stage.played.mute_to_commands = True
    stage.order()
    stage.clock.advance(0.4)
    stage.played.mute_to_commands = False
    stage.clock.advance(1)

    assert stage.answers[-1][1].outcome is Outcome.OK
    assert len(stage.played.logins) == 1


def test_a_stale_session_and_a_silent_login_together_cost_no_more_than_a_login(stage: Stage) -> None:
    stage.ask(wait_s=1)
    stage.played.lost_session = stage.played.mute_to_logins = True
    stage.order()
    stage.clock.advance(LIMITS.login_s + 0.01)

    assert stage.answers[-1][1].outcome is Outcome.UNREACHABLE


def test_a_bmc_that_lets_us_in_and_says_no_more_is_not_asked_for_ever(stage: Stage) -> None:
    stage.played.mute_to_commands = True

    answer = stage.ask()

    assert "let us log in and did not answer for 5 s" in answer.message
    assert len(stage.played.logins) == 1
    assert stage.played.open_sessions == 0


def test_a_later_login_that_gets_stuck_is_not_told_as_one_that_stood(stage: Stage) -> None:
    stage.ask()
    stage.played.mute_to_logins = True
    opened = stage.played.open

    def stuck(place: Place, login: Login, on_login: Callable[[LoginRefused | None], None]) -> PlayedSession:
        session = opened(place, login, on_login)
        session.heard_at = stage.clock.now
        return session

    stage.played.open = stuck  # type: ignore[method-assign]
    answer = stage.ask(login=Login("other", b"admin", b"other"), wait_s=LIMITS.login_s + 1)

    assert "answered and did not let us log in within 7 s" in answer.message


def test_a_bmc_that_answers_from_another_port_is_told_so(stage: Stage) -> None:
    stage.played.mute_to_logins = True
    opened = stage.played.open

    def elsewhere(
        place: Place, login: Login, on_login: Callable[[LoginRefused | None], None]
    ) -> PlayedSession:
        session = opened(place, login, on_login)
        session.strange_port = 40000
        return session

    stage.played.open = elsewhere  # type: ignore[method-assign]
    answer = stage.ask(wait_s=LIMITS.login_s + 1)

    assert (answer.reach, answer.outcome) == (Reach.NO_ANSWER, Outcome.UNREACHABLE)
    assert "from port 40000, which is not where it was asked: correct bmc.port" in answer.message


def test_where_packets_get_lost_a_poll_is_asked_often_over_the_session_that_stands(stage: Stage) -> None:
    stage.played.loses = True
    stage.ask(wait_s=1)
    stage.played.mute_to_commands = True
    before = stage.played.count(CHASSIS_STATUS)
    stage.order()
    stage.clock.advance(4.0)

    assert stage.played.count(CHASSIS_STATUS) - before >= 12
    assert len(stage.played.logins) == 1, "a login has five steps that may be lost"

    stage.played.mute_to_commands = False
    stage.clock.advance(0.4)

    assert stage.answers[-1][1].reach is Reach.OK


def test_where_packets_get_lost_what_may_not_happen_twice_is_sent_once_all_the_same(stage: Stage) -> None:
    stage.played.loses = True
    stage.ask(READ, wait_s=1)
    stage.played.mute_to_commands = True
    answer = stage.ask(CYCLE)

    assert stage.played.count(CHASSIS_CONTROL) == 1
    assert "did not acknowledge power cycle within 5 s: it may have happened; look" in answer.message


def test_where_packets_get_lost_a_session_that_died_is_replaced_within_the_poll_all_the_same(
    stage: Stage,
) -> None:
    stage.played.loses = True
    stage.ask(wait_s=1)
    stage.played.lost_session = True
    answer = stage.ask(wait_s=6)

    assert answer.reach is Reach.OK
    assert len(stage.played.logins) == 2


def test_silence_where_packets_get_lost_is_told_as_loss_with_its_count(stage: Stage) -> None:
    stage.played.loses = True
    stage.ask(wait_s=1)
    stage.played.mute_to_commands = True
    answer = stage.ask()

    assert answer.reach is Reach.NO_ANSWER
    assert "did not answer for 5 s, and 6 login requests got 3 answers: packets are lost" in answer.message


def test_a_login_whose_steps_are_answered_gets_more_time_and_not_for_ever(stage: Stage) -> None:
    stage.played.mute_to_logins = True
    stage.order()
    stage.clock.advance(6.0)
    session = stage.bmc._session
    assert isinstance(session, PlayedSession)
    session.handshake.ended(stage.clock.now)
    stage.clock.advance(6.9)
    assert stage.answers == []
    session.handshake.ended(stage.clock.now)
    stage.clock.advance(17.4 - 12.9)
    assert stage.answers == []
    stage.clock.advance(0.2)

    assert stage.answers[0][1].reach is Reach.NO_ANSWER
