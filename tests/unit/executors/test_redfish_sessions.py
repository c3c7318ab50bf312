"""Sessions, connections and ETags of the Redfish executor, against fake services."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kraken.executors.redfish import RedfishExecutor, RedfishLimits
from kraken.executors.redfish.words import Trouble
from kraken.model.run import Outcome
from kraken.testing.redfish import FakeBmc, make_certificate
from kraken.testing.redfish.bmc import SESSIONS, SYSTEMS
from tests.unit.executors.redfish_site import CREDENTIALS, Site, seen, until


async def test_one_login_and_one_connection_serve_all_requests(site: Site) -> None:
    bmc = await site.add()
    for _ in range(5):
        await site.one("power_status")
    await site.one({"power": "on"})

    assert (bmc.count("POST", SESSIONS), bmc.connections) == (1, 1)


async def test_the_session_is_given_back_when_the_executor_closes(site: Site) -> None:
    bmc = await site.add()
    await site.one("power_status")
    assert len(bmc.sessions) == 1
    await site.executor.close()
    await site.executor.close()

    assert bmc.sessions == {}


async def test_the_session_is_given_back_at_the_moment_of_the_hold(site: Site) -> None:
    bmc = await site.add()
    await site.one("power_status")
    site.executor.leave(["another"])
    await asyncio.sleep(0)

    assert len(bmc.sessions) == 1
    site.executor.leave(["n0"])
    await until(lambda: not bmc.sessions)

    assert (await site.one("power_status")).outcome is Outcome.OK


async def test_a_node_that_gets_another_fingerprint_is_asked_anew_and_nothing_is_left_behind(
    site: Site, tmp_path: Path
) -> None:
    made = make_certificate(tmp_path, "bmc", "127.0.0.1")
    bmc = await site.add(FakeBmc(certificate=made), ca=str(made.certificate))
    await site.one("power_status")
    bmc.say("GET", f"{SYSTEMS}/1", 503, {"Retry-After": "0"}, times=2)
    asking = asyncio.create_task(site.one("power_status"))
    await asyncio.sleep(0.05)
    site.attributes["n0"]["bmc.fingerprint"] = made.fingerprint
    found = [await site.one("power_status"), await asking]

    assert [result.outcome for result in found] == [Outcome.OK, Outcome.OK]
    await until(lambda: len(bmc.sessions) == 1)


async def test_an_expired_session_is_renewed_within_the_request(site: Site) -> None:
    bmc = await site.add()
    await site.one("power_status")
    bmc.sessions.clear()
    look = await site.one("power_status")
    bmc.sessions.clear()
    change = await site.one({"power": "cycle"})

    assert (look.outcome, change.outcome, bmc.resets) == (Outcome.OK, Outcome.OK, ["PowerCycle"])


async def test_without_a_session_service_each_request_says_who_asks(site: Site) -> None:
    bmc = await site.add()
    bmc.offers_sessions = False

    assert (await site.one({"power": "on"})).outcome is Outcome.OK
    assert (await site.one("power_status")).observed == seen("POWER_ON")
    assert bmc.count("POST", SESSIONS) == 0


async def test_a_session_nobody_uses_is_given_back_and_opened_again(site: Site) -> None:
    bmc = await site.add()
    site.executor = RedfishExecutor(site.credentials, RedfishLimits(idle_s=0.01))
    await site.one("power_status")
    await until(lambda: not bmc.sessions)

    assert (await site.one("power_status")).outcome is Outcome.OK
    assert bmc.count("POST", SESSIONS) == 2


async def test_a_wrong_password_is_tried_once_and_again_when_the_credential_changes(site: Site) -> None:
    bmc = await site.add(credential="wrong")
    first = await site.one("power_status")
    second = await site.one({"power": "on"})

    assert first.outcome is second.outcome is Outcome.FAILED
    assert "wrong user or password (credential 'wrong')" in first.message
    assert "not tried again for 300 s or when the credential changes" in second.message
    assert bmc.count("POST", SESSIONS) == 1

    site.file.write_text(CREDENTIALS.replace("wr0ng-one", "secret"))

    assert (await site.one("power_status")).outcome is Outcome.OK


async def test_a_rotated_password_ends_the_session_of_the_old_one(site: Site) -> None:
    bmc = await site.add()
    await site.one("power_status")
    bmc.password = "rotated"
    site.file.write_text(CREDENTIALS.replace("password: secret", "password: rotated"))
    result = await site.one("power_status")

    assert (result.outcome, len(bmc.sessions)) == (Outcome.OK, 1)


async def test_a_bmc_that_has_the_previous_password_yet_is_let_in_with_it(site: Site) -> None:
    bmc = await site.add()
    site.file.write_text(CREDENTIALS.replace("password: secret", "password: rotated, previous: secret"))
    results = [await site.one("power_status"), await site.one("power_status")]

    assert [result.outcome for result in results] == [Outcome.OK, Outcome.OK]
    assert (bmc.count("POST", SESSIONS), len(bmc.sessions)) == (2, 1)


async def test_a_bmc_that_takes_neither_password_is_tried_with_each_once(site: Site) -> None:
    bmc = await site.add()
    site.file.write_text(CREDENTIALS.replace("password: secret", "password: rotated, previous: before"))
    results = [await site.one("power_status"), await site.one("power_status")]

    assert [result.outcome for result in results] == [Outcome.FAILED, Outcome.FAILED]
    assert bmc.count("POST", SESSIONS) == 2


async def test_no_free_session_is_busy_and_names_the_way_out(site: Site) -> None:
    bmc = await site.add()
    bmc.session_limit = 0
    result = await site.one("power_status")

    assert result.outcome is Outcome.UNREACHABLE
    assert "has no free session" in result.message


async def test_what_is_not_modified_is_not_sent_again(site: Site) -> None:
    bmc = await site.add()
    first = await site.one("power_status")
    second = await site.one("power_status")

    assert first.observed == second.observed
    assert bmc.asked[-1] == ("GET", f"{SYSTEMS}/1", 304)


async def test_an_etag_that_does_not_change_with_the_power_is_not_believed_for_long(site: Site) -> None:
    bmc = await site.add()
    bmc.etag_of_power = False
    site.executor = RedfishExecutor(site.credentials, RedfishLimits(unchanged_s=0.05))
    await site.one("power_status")
    bmc.power = "On"
    await asyncio.sleep(0.06)
    after = await site.one("power_status")
    bmc.power = "Off"
    at_once = await site.one("power_status")

    assert after.observed == seen("POWER_ON")
    assert at_once.observed == seen("POWER_OFF")


async def test_after_a_mutation_the_power_is_asked_for_anew(site: Site) -> None:
    bmc = await site.add()
    bmc.etag_of_power = False
    await site.one("power_status")
    await site.one({"power": "on"})

    assert (await site.one("power_status")).observed == seen("POWER_ON")


async def test_nothing_is_said_when_the_time_for_it_is_over(site: Site) -> None:
    """Over a connection that is kept it would be on its way before any timer rings."""
    bmc = await site.add()
    await site.one("power_status")
    ends_at = asyncio.get_running_loop().time()
    (known,) = site.executor._bmcs.values()
    path = f"{SYSTEMS}/1/Actions/ComputerSystem.Reset"
    token = {"X-Auth-Token": next(iter(bmc.sessions))}
    with pytest.raises(Trouble) as caught:
        await site.executor._wire.ask(known.server, "POST", path, token, {"ResetType": "On"}, ends_at)
    await site.one("power_status")

    assert not caught.value.unsure
    assert bmc.count("POST", path) == 0
