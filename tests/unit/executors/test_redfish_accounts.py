"""A new password over Redfish: given to who has the previous one, proved, and shown to nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kraken.executors.accounts import Rotated, Stand
from kraken.executors.credentials import Credentials
from kraken.executors.redfish import RedfishExecutor
from kraken.model.run import NodeFacts
from kraken.testing.redfish import FakeBmc
from kraken.testing.redfish.bmc import ACCOUNTS, SESSIONS

LAB = "lab: {username: admin, password: rotated, previous: secret}\n"


@pytest.fixture
async def bmc() -> AsyncIterator[FakeBmc]:
    made = FakeBmc()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def executor(tmp_path: Path) -> AsyncIterator[RedfishExecutor]:
    file = tmp_path / "credentials.yaml"
    file.touch(mode=0o600)
    file.write_text(LAB)
    made = RedfishExecutor(Credentials(file))
    yield made
    await made.close()


async def rotate(executor: RedfishExecutor, bmc: FakeBmc, *, change: bool = True) -> Rotated:
    attributes = {
        "bmc.address": bmc.address,
        "bmc.port": bmc.port,
        "bmc.scheme": "http",
        "bmc.credential": "lab",
    }
    told: list[Rotated] = []
    await executor.rotate({"n1": NodeFacts("n1", attributes)}, 10.0, told.extend, change=change)

    [one] = told
    assert "rotated" not in one.message
    assert "secret" not in one.message
    return one


@pytest.mark.parametrize("offers_sessions", [True, False])
async def test_the_new_password_is_given_proved_and_given_once(
    executor: RedfishExecutor, bmc: FakeBmc, offers_sessions: bool
) -> None:
    bmc.offers_sessions = offers_sessions
    bmc.wants_if_match = True
    assert await rotate(executor, bmc, change=False) == Rotated("n1", Stand.PREVIOUS)
    assert bmc.password == "secret"

    assert await rotate(executor, bmc) == Rotated("n1", Stand.CHANGED)
    assert bmc.password == "rotated"
    assert await rotate(executor, bmc) == Rotated("n1", Stand.CURRENT)
    assert bmc.count("PATCH", ACCOUNTS) == 1


async def test_a_bmc_whose_rules_refuse_the_password_keeps_the_previous(
    executor: RedfishExecutor, bmc: FakeBmc
) -> None:
    bmc.say("PATCH", ACCOUNTS, 400, body=b'{"error": {"message": "rotated is too short"}}')
    told = await rotate(executor, bmc)

    assert told.stand is Stand.FAILED
    assert "refused the new password" in told.message
    assert "It keeps the previous one" in told.message
    assert (await rotate(executor, bmc)).stand is Stand.CHANGED


async def test_a_bmc_that_acknowledges_and_does_nothing_is_found_out(
    executor: RedfishExecutor, bmc: FakeBmc
) -> None:
    bmc.ignores = True
    told = await rotate(executor, bmc)

    assert told.stand is Stand.FAILED
    assert "takes the previous one all the same" in told.message


async def test_a_bmc_that_takes_neither_is_told_and_not_asked_for_ever(
    executor: RedfishExecutor, bmc: FakeBmc
) -> None:
    bmc.password = "a-third"
    told = await rotate(executor, bmc)
    await rotate(executor, bmc)

    assert told.stand is Stand.FAILED
    assert "wrong user or password" in told.message
    assert bmc.count("POST", SESSIONS) == 2


async def test_an_account_that_is_not_shown_is_named_by_its_credential(
    executor: RedfishExecutor, bmc: FakeBmc
) -> None:
    bmc.resources[f"{ACCOUNTS}/2"] = {"UserName": "somebody"}
    told = await rotate(executor, bmc)

    assert "shows no account with the name of credential 'lab'" in told.message
    assert bmc.password == "secret"
