"""The Redfish executor against services that do as they should, and as they should not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kraken.errors import ExecutorError
from kraken.model.module import Action, Discovery
from kraken.model.run import Outcome, Run
from kraken.testing.redfish import FakeBmc
from kraken.testing.redfish.bmc import SYSTEMS
from tests.unit.executors.redfish_site import Site, seen


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
