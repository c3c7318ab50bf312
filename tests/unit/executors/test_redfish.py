"""The Redfish executor against services that do as they should, and as they should not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from kraken.errors import ExecutorError
from kraken.executors.credentials import Credentials
from kraken.executors.place import Place, Resolver
from kraken.executors.redfish import RedfishExecutor, RedfishLimits
from kraken.model.module import Action, Discovery, Mutation
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run
from kraken.testing.redfish import FakeBmc, make_certificate
from kraken.testing.redfish.bmc import SESSIONS, SYSTEMS

QUICK = RedfishLimits(connect_s=1.0, request_s=0.4, back_off_s=(0.02, 0.05), busy_s=0.05, goodbye_s=0.4)

CREDENTIALS = """
lab: {username: admin, password: secret}
wrong: {username: admin, password: wr0ng-one}
"""


class Site:
    """An executor, and BMCs to ask: n0, n1, ... in the order they were added."""

    def __init__(self, directory: Path, limits: RedfishLimits = QUICK) -> None:
        file = directory / "credentials.yaml"
        file.write_text(CREDENTIALS)
        file.chmod(0o600)
        self.file = file
        self.directory = directory
        self.credentials = Credentials(file)
        self.executor = RedfishExecutor(self.credentials, limits)
        self.bmcs: list[FakeBmc] = []
        self.attributes: dict[str, dict[str, Any]] = {}
        self._runs = 0

    async def add(self, bmc: FakeBmc | None = None, **attributes: str) -> FakeBmc:
        bmc = bmc or FakeBmc()
        await bmc.start()
        self.attributes[f"n{len(self.bmcs)}"] = {
            "bmc.address": bmc.address,
            "bmc.port": bmc.port,
            "bmc.credential": "lab",
            **({"bmc.scheme": "http"} if bmc.certificate is None else {}),
            **{f"bmc.{key}": value for key, value in attributes.items()},
        }
        self.bmcs.append(bmc)
        return bmc

    async def ask(self, spec: Any, *nodes: str, timeout_s: float = 5.0) -> dict[str, NodeResult]:
        """Do it on these nodes (none named: all); node -> its result."""
        self._runs += 1
        action = Action("redfish", spec, Path("/"))
        operator: Mutation | Discovery = Mutation("m", "change", (), action=action)
        if spec == "power_status":
            operator = Discovery("m", "look", (), action)
        names = nodes or tuple(self.attributes)
        run = Run(f"1-{self._runs}", operator, names, 0.0, timeout_s)
        facts = {name: NodeFacts(name, self.attributes[name]) for name in names}
        found: dict[str, NodeResult] = {}

        def report(results: Any) -> None:
            for result in results:
                assert result.node not in found, "each node is reported once"
                found[result.node] = result

        work = self.executor.run if run.is_mutation else self.executor.discover
        await work(run, facts, report)
        return found

    async def one(self, spec: Any, timeout_s: float = 5.0) -> NodeResult:
        """Do it on n0."""
        return (await self.ask(spec, "n0", timeout_s=timeout_s))["n0"]

    async def close(self) -> None:
        await self.executor.close()
        for bmc in self.bmcs:
            await bmc.stop()


def seen(power: str | None = None, reach: str = "OK") -> dict[str, str]:
    """What is observed of a node whose BMC was asked."""
    return {"bmc.reach": reach} if power is None else {"phys_state": power, "bmc.reach": reach}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(tmp_path)
    yield made
    await made.close()


# What is asked.


async def test_the_power_is_seen_as_it_is(site: Site) -> None:
    bmc = await site.add()
    off = await site.one("power_status")
    bmc.power = "On"
    on = await site.one("power_status")

    assert (off.outcome, dict(off.observed)) == (Outcome.OK, seen("POWER_OFF"))
    assert (on.outcome, dict(on.observed)) == (Outcome.OK, seen("POWER_ON"))


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("on", "On"),
        ("off", "ForceOff"),
        ("cycle", "PowerCycle"),
        ("reset", "ForceRestart"),
        ("soft", "GracefulShutdown"),
    ],
)
async def test_each_power_word_is_one_reset_and_no_observation(site: Site, word: str, kind: str) -> None:
    bmc = await site.add()

    result = await site.one({"power": word})

    assert (result.outcome, result.observed, bmc.resets) == (Outcome.OK, seen(), [kind])


async def test_no_other_reset_stands_in_for_one_the_bmc_does_not_offer(site: Site) -> None:
    bmc = await site.add()
    bmc.reset_types = ["On", "ForceOff", "FullPowerCycle", "PushPowerButton"]

    results = [await site.one({"power": word}) for word in ("cycle", "soft")]

    assert [result.outcome for result in results] == [Outcome.FAILED, Outcome.FAILED]
    assert "it offers On, ForceOff, FullPowerCycle, PushPowerButton, not PowerCycle" in results[0].message
    assert bmc.resets == []


async def test_what_already_is_as_wished_is_no_failure_whatever_the_bmc_calls_it(site: Site) -> None:
    bmc = await site.add()
    bmc.power = "On"

    result = await site.one({"power": "on"})

    assert (result.outcome, bmc.count("POST", SYSTEMS)) == (Outcome.OK, 1)


@pytest.mark.parametrize(
    ("spec", "boot"),
    [
        ({"boot_device": "pxe"}, ("Once", "Pxe", None)),
        ({"boot_device": "disk", "persistent": True, "uefi": True}, ("Continuous", "Hdd", "UEFI")),
        ({"boot_device": "cdrom", "uefi": False}, ("Once", "Cd", "Legacy")),
        ({"boot_device": "default"}, ("Disabled", "None", None)),
    ],
)
async def test_a_boot_device_is_asked_for_with_its_persistence_and_mode(
    site: Site, spec: Mapping[str, Any], boot: tuple[str, str, str | None]
) -> None:
    bmc = await site.add()
    bmc.wants_if_match = True

    result = await site.one(spec)

    keys = ("Enabled", "Target", "Mode")
    assert result.outcome is Outcome.OK
    assert tuple(bmc.boot.get(f"BootSourceOverride{key}") for key in keys) == boot


async def test_the_light_is_that_of_the_chassis_where_the_system_has_none(site: Site) -> None:
    bmc = await site.add()

    assert (await site.one({"identify": "on"})).outcome is Outcome.OK
    assert bmc.light
    assert (await site.one({"identify": "off"})).outcome is Outcome.OK
    assert not bmc.light


async def test_of_several_systems_the_node_s_is_asked_and_none_is_guessed(site: Site) -> None:
    await site.add(FakeBmc(systems=("Node0", "Node1")))
    await site.add(FakeBmc(systems=("Node0", "Node1")), system="Node1")
    await site.add(FakeBmc(systems=("Node0",)), system="Node7")

    found = await site.ask({"power": "on"})

    assert "several systems (Node0, Node1): name the node's in bmc.system" in found["n0"].message
    assert site.bmcs[0].resets == site.bmcs[2].resets == []
    assert site.bmcs[1].count("POST", f"{SYSTEMS}/Node1/") == 1
    assert "has no system 'Node7' but Node0" in found["n2"].message


async def test_what_is_done_otherwise_or_not_at_all_is_refused(site: Site) -> None:
    await site.add()

    with pytest.raises(ExecutorError, match="no verb for"):
        await site.ask({"power": "melt"})
    run = Run("1-1", Discovery("m", "look", (), Action("ipmi", "power_status", Path("/"))), ("n0",), 0.0, 1.0)
    with pytest.raises(ExecutorError, match="not done over Redfish"):
        await site.executor.discover(run, {}, lambda results: None)


# Sessions and connections.


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


# Faults; each costs only itself, and says what to do.


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

    assert "not tried again for" in poll.message
    assert poll.outcome is Outcome.UNREACHABLE
    assert change.outcome is Outcome.OK


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
    assert "not tried again for" in second.message
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
    liar.ignores, late.delay_s = True, 0.1
    acknowledged = await site.ask({"power": "on"})
    seen = await site.ask("power_status")
    await asyncio.sleep(0.15)
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


# ETags.


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


# Certificates.


async def test_a_certificate_is_known_by_its_authority_or_its_fingerprint(site: Site, tmp_path: Path) -> None:
    made = make_certificate(tmp_path, "bmc", "127.0.0.1")
    await site.add(FakeBmc(certificate=made), ca=str(made.certificate))
    await site.add(FakeBmc(certificate=made), fingerprint=f"sha256:{made.fingerprint}")
    found = await site.ask("power_status")

    assert {result.outcome for result in found.values()} == {Outcome.OK}


async def test_a_bmc_declared_by_name_is_known_by_that_name(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named, other = (make_certificate(tmp_path, f"{name}.cluster") for name in ("n0-bmc", "n9-bmc"))
    await site.add(FakeBmc(certificate=named), ca=str(named.certificate), address="n0-bmc.cluster")
    await site.add(FakeBmc(certificate=other), ca=str(other.certificate), address="n1-bmc.cluster")

    async def find(_: object, host: str, port: int) -> Place:
        return Place(socket.AF_INET, ("127.0.0.1", port))

    monkeypatch.setattr(Resolver, "find", find)
    found = await site.ask("power_status")

    assert found["n0"].observed == seen("POWER_OFF")
    assert "nobody vouches for" in found["n1"].message
    assert "n1-bmc.cluster" in found["n1"].message


async def test_an_ipv6_address_is_asked_as_any_other(site: Site) -> None:
    await site.add(FakeBmc("::1"))

    assert (await site.one("power_status")).outcome is Outcome.OK


async def test_a_stranger_is_told_nothing_and_its_fingerprint_is_shown(site: Site, tmp_path: Path) -> None:
    made, other = (make_certificate(tmp_path, name, "127.0.0.1") for name in ("bmc", "other"))
    elsewhere = make_certificate(tmp_path, "elsewhere", "127.0.0.9")
    nobody_s = await site.add(FakeBmc(certificate=made))
    changed = await site.add(FakeBmc(certificate=other), fingerprint=made.fingerprint)
    named = await site.add(FakeBmc(certificate=elsewhere), ca=str(elsewhere.certificate))
    found = await site.ask({"power": "off"})

    assert {result.outcome for result in found.values()} == {Outcome.FAILED}
    assert "shows a certificate nobody vouches for" in found["n0"].message
    assert made.fingerprint in found["n0"].message
    assert "another certificate than it should (it is not the one in bmc.fingerprint)" in found["n1"].message
    assert other.fingerprint in found["n1"].message
    assert elsewhere.fingerprint in found["n2"].message
    assert nobody_s.asked == changed.asked == named.asked == []


async def test_a_certificate_that_changes_under_a_session_ends_the_trust(site: Site, tmp_path: Path) -> None:
    made, other = (make_certificate(tmp_path, name, "127.0.0.1") for name in ("bmc", "other"))
    bmc = await site.add(FakeBmc(certificate=made), fingerprint=made.fingerprint)
    await site.one("power_status")
    await bmc.stop()
    bmc.certificate = other
    await bmc.start()
    asked = len(bmc.asked)
    result = await site.one("power_status")

    assert "shows another certificate than it should" in result.message
    assert len(bmc.asked) == asked, "the session was not offered to a stranger"

    site.attributes["n0"]["bmc.fingerprint"] = other.fingerprint

    assert (await site.one({"power": "on"})).outcome is Outcome.OK


async def test_a_ca_file_that_cannot_be_used_is_named(site: Site, tmp_path: Path) -> None:
    made = make_certificate(tmp_path, "bmc", "127.0.0.1")
    (tmp_path / "empty.pem").write_text("nothing\n")
    await site.add(FakeBmc(certificate=made), ca=str(tmp_path / "none.pem"))
    await site.add(FakeBmc(certificate=made), ca=str(tmp_path / "empty.pem"))
    found = await site.ask("power_status")

    assert "none.pem No such file or directory" in found["n0"].message
    assert "empty.pem holds no certificates in PEM" in found["n1"].message


async def test_https_asked_of_plain_http_is_named(site: Site) -> None:
    await site.add()
    del site.attributes["n0"]["bmc.scheme"]

    assert "is it HTTPS that listens there?" in (await site.one("power_status")).message


# Safety.


async def test_two_nodes_with_one_bmc_are_both_left_alone(site: Site) -> None:
    bmc = await site.add()
    site.attributes["n1"] = dict(site.attributes["n0"])
    found = await site.ask({"power": "on"})

    assert {result.outcome for result in found.values()} == {Outcome.FAILED}
    assert "is also that of n1" in found["n0"].message
    assert bmc.asked == []


@pytest.mark.parametrize(
    ("attribute", "value", "told"),
    [
        ("bmc.address", None, "no attribute bmc.address"),
        ("bmc.address", "0.0.0.0", "unspecified address"),
        ("bmc.credential", None, "no attribute bmc.credential"),
        ("bmc.credential", "lap", "did you mean 'lab'?"),
        ("bmc.fingerprint", "beef", "not a SHA-256"),
    ],
)
async def test_what_cannot_be_asked_is_refused_with_the_reason(
    site: Site, attribute: str, value: str | None, told: str
) -> None:
    await site.add()
    del site.attributes["n0"]["bmc.scheme"]
    site.attributes["n0"][attribute] = value
    if value is None:
        del site.attributes["n0"][attribute]
    result = await site.one("power_status")

    assert result.outcome is Outcome.FAILED
    assert told in result.message


async def test_no_secret_reaches_a_message_or_a_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    refused = await site.add(credential="wrong")
    echoing = await site.add()
    await site.ask("power_status")
    token = next(iter(echoing.sessions))
    body = b'{"error": {"message": "You sent secret and %s."}}' % token.encode()
    echoing.say("POST", SYSTEMS, 400, body=body)
    refused.say("POST", SESSIONS, 500, body=body)
    found = await site.ask({"power": "reset"})
    told = " ".join(result.message for result in found.values()) + caplog.text

    assert "refused power reset" in told
    assert not any(secret in told for secret in ("secret", "wr0ng-one", token))


async def test_a_cancelled_run_reports_nothing_more_and_leaves_the_bmc_usable(site: Site) -> None:
    bmc = await site.add()
    bmc.mute = True
    asking = asyncio.create_task(site.ask("power_status"))
    await until(lambda: bmc.connections)
    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking
    bmc.mute = False

    assert (await site.one("power_status")).outcome is Outcome.OK


async def until(holds: Callable[[], object]) -> None:
    """Wait until it holds, for a few seconds."""
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come to pass")
