"""Which password a BMC is told, how often, and what is kept of it."""

from __future__ import annotations

from kraken.executors.ipmi.words import Login
from kraken.executors.place import LoginRefused, Reach
from kraken.model.run import Outcome
from tests.unit.executors.ipmi_stage import LIMITS, ON, Stage


def test_a_wrong_password_is_not_tried_again_until_its_time_or_another_password(stage: Stage) -> None:
    stage.played.refuses = LoginRefused(Reach.BAD_CREDENTIALS, "wrong user or password")
    first = stage.ask(wait_s=100)
    again = stage.ask(ON, wait_s=100)
    assert len(stage.played.logins) == 1
    stage.ask(login=Login("lab", b"admin", b"rotated"), wait_s=0.1)
    assert len(stage.played.logins) == 2
    stage.clock.advance(LIMITS.locked_s)
    stage.ask(wait_s=1)

    assert len(stage.played.logins) == 3
    assert "refused: wrong user or password (credential 'lab')" in first.message
    assert (again.outcome, again.reach) == (Outcome.FAILED, Reach.BAD_CREDENTIALS)
    assert "not tried again for 200 s or when the credential changes" in again.message
    assert "secret" not in first.message + again.message


ROTATED = Login("lab", b"admin", b"new", previous=Login("lab", b"admin", b"old"))


def passwords(stage: Stage) -> list[bytes]:
    return [login.password for login in stage.played.logins]


def test_a_bmc_that_has_the_previous_password_is_let_in_with_it_and_that_is_remembered(
    stage: Stage,
) -> None:
    stage.played.takes = b"old"
    first = stage.ask(login=ROTATED, wait_s=1)
    stage.ask(ON, login=ROTATED, wait_s=1)
    stage.bmc.leave()
    again = stage.ask(login=ROTATED, wait_s=1)

    assert first.outcome is again.outcome is Outcome.OK
    assert passwords(stage) == [b"new", b"old", b"old"]
    assert stage.played.open_sessions == 1


def test_a_bmc_that_was_given_the_new_password_is_let_in_with_it_from_then_on(stage: Stage) -> None:
    stage.played.takes = b"old"
    stage.ask(login=ROTATED, wait_s=1)
    stage.bmc.leave()
    stage.played.takes = b"new"
    stage.ask(login=ROTATED, wait_s=1)
    stage.bmc.leave()
    stage.ask(login=ROTATED, wait_s=1)

    assert passwords(stage) == [b"new", b"old", b"old", b"new", b"new"]


def test_a_bmc_that_takes_neither_password_is_tried_with_each_once(stage: Stage) -> None:
    stage.played.takes = b"another"
    answer = stage.ask(login=ROTATED, wait_s=100)
    stage.ask(ON, login=ROTATED, wait_s=100)

    assert sorted(passwords(stage)) == [b"new", b"old"]
    assert answer.reach is Reach.BAD_CREDENTIALS
    assert "(credential 'lab', password and previous)" in answer.message
    assert stage.played.open_sessions == 0


def test_another_credential_opens_another_session_and_closes_the_first(stage: Stage) -> None:
    stage.ask(wait_s=1)

    stage.ask(login=Login("lab", b"admin", b"rotated"), wait_s=1)

    assert [login.password for login in stage.played.logins] == [b"secret", b"rotated"]
    assert stage.played.open_sessions == 1


def test_secrets_are_not_in_the_repr_of_a_login() -> None:
    assert "secret" not in repr(Login("lab", b"admin", b"secret", b"secret-too"))
