"""Services that do what no good one would; each costs only itself, and is told with what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from kraken.executors.accounts import Rotated
from kraken.executors.place import Answer
from kraken.executors.reading import Reading, Topic
from kraken.executors.redfish import RedfishExecutor, RedfishLimits
from kraken.executors.redfish.bmc import Bmc
from kraken.executors.redfish.words import Order
from kraken.model.run import NodeFacts, Outcome
from kraken.testing.redfish import FakeBmc
from kraken.testing.redfish.bmc import SESSIONS, SYSTEMS
from tests.unit.executors.redfish_site import Site, seen, until


async def test_no_answer_is_never_off(site: Site) -> None:
    mute = await site.add()
    mute.mute = True
    gone = await site.add()
    await gone.stop()
    good = await site.add()

    found = await site.ask("power_status")

    assert [found[n].outcome for n in ("n0", "n1")] == [Outcome.UNREACHABLE] * 2
    assert found["n0"].observed == found["n1"].observed == seen(reach="NO_ANSWER")
    assert "did not answer a request within 0.4 s" in found["n0"].message
    assert "refuses the connection: check its cable" in found["n1"].message
    assert found["n2"].observed == seen("POWER_OFF")
    assert good.power == "Off"


async def test_a_bmc_that_hangs_in_tls_costs_only_itself(site: Site, tmp_path: Path) -> None:
    hung = FakeBmc()
    hung.hung = True
    await site.add(hung)
    del site.attributes["n0"]["bmc.scheme"]
    await site.add()

    found = await site.ask("power_status")

    assert found["n0"].outcome is Outcome.UNREACHABLE
    assert found["n1"].outcome is Outcome.OK


async def test_a_login_that_meets_silence_keeps_nobody_from_logging_in(site: Site) -> None:
    site.executor = RedfishExecutor(site.credentials, RedfishLimits(request_s=1.6, logins_at_once=1))
    (await site.add()).mute = True
    await site.add()
    await site.add()
    found = await site.ask("power_status")

    assert list(found) == ["n1", "n2", "n0"]
    assert [result.outcome for result in found.values()] == [Outcome.OK, Outcome.OK, Outcome.UNREACHABLE]


async def test_a_silent_bmc_is_left_alone_by_polls_but_not_by_mutations(site: Site) -> None:
    bmc = await site.add()
    site.executor = RedfishExecutor(site.credentials, RedfishLimits(request_s=0.2, back_off_s=(30.0, 60.0)))
    bmc.mute = True
    await site.one("power_status")
    bmc.mute = False
    poll = await site.one("power_status")
    change = await site.one({"power": "on"})

    assert "not polled again for" in poll.message
    assert poll.outcome is Outcome.UNREACHABLE
    assert change.outcome is Outcome.OK


async def _read(site: Site) -> str:
    found: list[Reading] = []
    await site.executor.read(Topic.INFO, _facts(site), 5.0, found.extend)
    return found[0].message


async def _rotate(site: Site) -> str:
    found: list[Rotated] = []
    await site.executor.rotate(_facts(site), 5.0, found.extend, change=False)
    return found[0].message


async def _look(site: Site) -> str:
    site.executor.insist(["n0"])
    return (await site.one("power_status")).message


def _facts(site: Site) -> dict[str, NodeFacts]:
    return {"n0": NodeFacts("n0", site.attributes["n0"])}


@pytest.mark.parametrize("ask", [_read, _rotate, _look])
async def test_a_bmc_that_fell_silent_is_tried_at_once_for_a_person(
    site: Site, ask: Callable[[Site], Awaitable[str]]
) -> None:
    bmc = await site.add()
    site.executor = RedfishExecutor(site.credentials, RedfishLimits(request_s=0.2, back_off_s=(30.0, 60.0)))
    bmc.mute = True
    await site.one("power_status")
    still_silent = await ask(site)
    poll = await site.one("power_status")

    assert "did not answer a request within 0.2 s" in still_silent
    assert "not polled again" not in still_silent, "it was asked"
    assert "not polled again for" in poll.message, "polls leave it alone again"


async def test_a_refused_password_is_not_tried_again_for_who_insists(site: Site) -> None:
    bmc = await site.add(credential="wrong")
    await site.one("power_status")
    site.executor.insist(["n0"])
    again = await site.one("power_status")

    assert "or when the credential changes" in again.message
    assert bmc.count("POST", SESSIONS) == 1


async def test_a_mutation_without_an_answer_may_have_happened_and_is_not_repeated(site: Site) -> None:
    bmc = await site.add()
    await site.one("power_status")
    bmc.say("POST", SYSTEMS, 0)
    result = await site.one({"power": "cycle"})

    assert result.outcome is Outcome.TIMEOUT
    assert "did not acknowledge power cycle: it may have happened" in result.message
    assert bmc.count("POST", SYSTEMS) == 1


async def test_busy_with_something_else_is_said_and_nothing_happened(site: Site) -> None:
    bmc = await site.add()
    bmc.say("POST", SYSTEMS, 409, body=b'{"error": {"message": "Firmware is being updated."}}')

    result = await site.one({"power": "reset"})

    assert result.outcome is Outcome.FAILED
    assert "busy with something else (409: Firmware is being updated): asked again later" in result.message


async def test_asked_to_wait_it_waits_and_does_it_once(site: Site) -> None:
    bmc = await site.add()
    bmc.say("POST", SYSTEMS, 503, {"Retry-After": "0"}, times=2)

    result = await site.one({"power": "cycle"})

    assert (result.outcome, bmc.resets) == (Outcome.OK, ["PowerCycle"])


@pytest.mark.parametrize("when", ["Wed, 21 Oct 2015 07:28:00 GMT", "soon", "-5", "", "9" * 400])
async def test_whatever_the_wait_is_written_as_it_ends(site: Site, when: str) -> None:
    bmc = await site.add()
    bmc.say("GET", f"{SYSTEMS}/1", 503, {"Retry-After": when})
    result = await site.one("power_status", timeout_s=1.0)

    assert result.outcome is Outcome.OK or "asks to be left alone for 3600 s" in result.message


async def test_asked_to_wait_too_long_it_says_so_and_keeps_away(site: Site) -> None:
    bmc = await site.add()
    bmc.say("GET", SYSTEMS, 503, {"Retry-After": "120"}, times=None)
    first = await site.one("power_status")
    asked = len(bmc.asked)
    second = await site.one("power_status")

    assert first.outcome is Outcome.UNREACHABLE
    assert "asks to be left alone for 120 s (503)" in first.message
    assert first.observed == {"bmc.reach": "BUSY"}
    assert "not polled again for" in second.message
    assert second.observed == {}, "nothing new was seen"
    assert len(bmc.asked) == asked


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"PowerState": "On"', "answered nonsense to power status: it is no JSON"),
        (b"[]", "it is no JSON object"),
        (b"\xff\xfe", "it is no JSON"),
        (b'{"PowerState": "Purple"}', "has the PowerState 'Purple', which is none of On, Off"),
        (b'{"PowerState": {"a": 1}}', "which is none of On, Off"),
        (b"{}", "has the PowerState nothing"),
        (b'{"PowerState": "PoweringOn"}', "is switching on: looked at again"),
    ],
)
async def test_nonsense_is_no_observation(site: Site, body: bytes, told: str) -> None:
    bmc = await site.add()
    bmc.say("GET", f"{SYSTEMS}/1", 200, body=body)
    result = await site.one("power_status")

    assert result.outcome is Outcome.FAILED
    assert "phys_state" not in result.observed
    assert told in result.message
    assert (await site.one("power_status")).outcome is Outcome.OK


async def test_only_this_service_is_followed_where_it_sends_us(site: Site) -> None:
    bmc, other = await site.add(), await site.add()
    bmc.say("GET", f"{SYSTEMS}/1", 308, {"Location": f"{SYSTEMS}/1/"})
    bmc.say("GET", f"{SYSTEMS}/1/", 200, body=b'{"PowerState": "On"}')
    followed = await site.one("power_status")
    bmc.say("GET", f"{SYSTEMS}/1", 302, {"Location": f"http://127.0.0.1:{other.port}{SYSTEMS}/1"}, times=None)
    led_away = await site.one("power_status")

    assert followed.observed == seen("POWER_ON")
    assert led_away.outcome is Outcome.FAILED
    assert f"sent us on to 'http://127.0.0.1:{other.port}', which is not this service" in led_away.message
    assert other.asked == []


async def test_a_circle_of_redirects_ends(site: Site) -> None:
    bmc = await site.add()
    bmc.say("GET", f"{SYSTEMS}/1", 307, {"Location": f"{SYSTEMS}/1"}, times=None)

    assert "sends us round in circles" in (await site.one("power_status")).message


async def test_a_task_is_followed_to_its_end_and_looks_are_answered_meanwhile(site: Site) -> None:
    bmc = await site.add()
    bmc.task_s = 0.3
    change = asyncio.create_task(site.ask({"power": "on"}))
    await until(lambda: bmc.resets)
    meanwhile = await site.one("power_status")
    done = (await change)["n0"]

    assert meanwhile.observed == seen("POWER_OFF")
    assert (done.outcome, bmc.power) == (Outcome.OK, "On")


async def test_a_task_that_fails_or_does_not_end_says_which(site: Site) -> None:
    bmc = await site.add()
    bmc.task_s, bmc.task_ends = 0.01, "Exception"
    failed = await site.one({"power": "on"})
    bmc.task_s = 60.0
    slow = await site.one({"power": "cycle"}, timeout_s=0.8)

    assert failed.outcome is Outcome.FAILED
    assert "gave up power on (task Exception: The power supply does not answer)" in failed.message
    assert slow.outcome is Outcome.TIMEOUT
    assert "has accepted power cycle and not finished it in time: it may still happen" in slow.message


async def test_acknowledged_is_not_seen(site: Site) -> None:
    liar, late = await site.add(), await site.add()
    liar.ignores, late.delay_s = True, 3600.0
    acknowledged = await site.ask({"power": "on"})
    seen = await site.ask("power_status")
    late.power = "On"
    later = await site.ask("power_status")

    assert {result.outcome for result in acknowledged.values()} == {Outcome.OK}
    assert {result.observed["phys_state"] for result in seen.values()} == {"POWER_OFF"}
    assert [later[n].observed["phys_state"] for n in ("n0", "n1")] == ["POWER_OFF", "POWER_ON"]


async def test_a_system_that_has_moved_is_found_again(site: Site) -> None:
    bmc = await site.add()
    await site.one("power_status")
    bmc.systems = ("Self",)

    assert (await site.one("power_status")).outcome is Outcome.OK


async def test_a_bmc_that_restarted_is_asked_anew(site: Site) -> None:
    bmc = await site.add()
    await site.one("power_status")
    await bmc.stop()
    bmc.sessions.clear()
    await bmc.start()

    assert (await site.one("power_status")).outcome is Outcome.OK


async def test_a_mistake_of_ours_leaves_doubt_about_that_bmc_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    perform = Bmc.perform

    async def stumble(bmc: Bmc, order: Order) -> Answer:
        if order.node == "n0":
            raise KeyError("a bug of ours")
        return await perform(bmc, order)

    monkeypatch.setattr(Bmc, "perform", stumble)
    await site.add()
    await site.add()
    found = await site.ask({"power": "on"})

    assert found["n0"].outcome is Outcome.INTERRUPTED
    assert found["n1"].outcome is Outcome.OK
