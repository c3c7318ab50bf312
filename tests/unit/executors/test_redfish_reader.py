"""What BMCs tell over Redfish, and what becomes of those that tell it badly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kraken.executors.place import Reach
from kraken.executors.reading import (
    BmcInfo,
    BmcReader,
    Firmware,
    Health,
    Listening,
    LogEntry,
    Part,
    Reading,
    Sensor,
    Threshold,
    Topic,
)
from kraken.executors.redfish.logs import ENTRIES_MAX
from kraken.model.run import NodeFacts, Outcome
from kraken.testing.redfish import FakeBmc
from kraken.testing.redfish.bmc import CHASSIS, ROOT, SYSTEMS
from kraken.testing.redfish.inventory import (
    ENTRIES,
    EXPANDED,
    FIRMWARE,
    LOGS,
    MANAGER,
    SENSORS,
    TEMPERATURE,
    entry,
    equip,
    show_list,
)
from tests.unit.executors.redfish_site import Site, until

UNHEARD = Listening(why="redfish.events is false in the configuration")
CPU = Sensor("CPU 0", "Temperature", 41.5, "Cel", (), Health.OK, (Threshold("UpperCritical", 95.0),))


class Readings(Site):
    """BMCs to read from."""

    async def equipped(self, *, expands: bool = True) -> FakeBmc:
        bmc = await self.add()
        equip(bmc, expands=expands)
        return bmc

    async def read(self, topic: Topic, timeout_s: float = 5.0, *, held: bool = False) -> dict[str, Reading]:
        facts = {name: NodeFacts(name, of, held=held) for name, of in self.attributes.items()}
        found: list[Reading] = []
        await self.executor.read(topic, facts, timeout_s, found.extend)
        assert sorted(reading.node for reading in found) == sorted(facts), "each node is reported once"
        return {reading.node: reading for reading in found}

    async def told(self, topic: Topic) -> Any:
        """What n0 tells."""
        reading = (await self.read(topic))["n0"]
        assert reading.outcome is Outcome.OK, reading.message
        return reading.data

    async def refused(self, topic: Topic, timeout_s: float = 5.0) -> Reading:
        """Why n0 does not tell."""
        reading = (await self.read(topic, timeout_s))["n0"]
        assert reading.outcome is not Outcome.OK
        return reading


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Readings]:
    made = Readings(tmp_path)
    yield made
    await made.close()


async def test_the_executor_reads(site: Readings) -> None:
    assert isinstance(site.executor, BmcReader)


async def test_who_the_bmc_and_its_node_are(site: Readings) -> None:
    bmc = await site.equipped()
    bmc.power, bmc.light = "On", True
    bmc.boot = {"BootSourceOverrideEnabled": "Once", "BootSourceOverrideTarget": "Pxe"}

    assert await site.told(Topic.INFO) == BmcInfo(
        manufacturer="Contoso",
        product="3500",
        serial=f"S-{bmc.port}",
        guid="38947555-7742-3448-3784-823347823834",
        firmware=(
            Firmware("BMC", "4.4.6"),
            Firmware("BIOS", "P79 v1.45"),
            Firmware("Network adapter", "22.31"),
        ),
        parts=(
            Part("System", "Contoso", "3500", "", f"S-{bmc.port}"),
            Part("BMC", "", "Joo Janta 200"),
        ),
        power="POWER_ON",
        light=True,
        boot_device="pxe",
        events=UNHEARD,
    )


async def test_what_a_bmc_does_not_say_is_empty(site: Readings) -> None:
    bmc = await site.add()
    bmc.shows = "PoweringOn"

    assert await site.told(Topic.INFO) == BmcInfo(light=False, boot_device="default", events=UNHEARD)
    assert await site.told(Topic.SENSORS) == ()
    assert await site.told(Topic.SEL) == ()


async def test_firmware_that_does_not_run_is_left_out(site: Readings) -> None:
    bmc = await site.equipped()
    images = [
        {"Id": "Installed-1", "Name": "RAID", "Version": "2"},
        {"Id": "Previous-1", "Name": "RAID", "Version": "1"},
        {"Id": "odd", "Name": 7, "Version": ["x"]},
    ]
    show_list(bmc, FIRMWARE, images, expands=True)
    told = await site.told(Topic.INFO)

    assert told.firmware[2:] == (Firmware("RAID", "2"),)


@pytest.mark.parametrize("expands", [True, False])
async def test_sensors_come_in_one_answer_where_the_bmc_can_do_that(site: Readings, expands: bool) -> None:
    bmc = await site.equipped(expands=expands)

    assert await site.told(Topic.SENSORS) == (
        CPU,
        Sensor("Fan 1", "Rotational", 900.0, "RPM", (), Health.WARNING),
    )
    assert bmc.count("GET", f"{SENSORS}/") == (0 if expands else 2)


async def test_a_bmc_that_cannot_expand_as_it_says_is_asked_one_by_one(site: Readings) -> None:
    bmc = await site.equipped()
    bmc.say("GET", SENSORS + EXPANDED, 400, times=None)

    assert len(await site.told(Topic.SENSORS)) == 2


async def test_an_expanded_list_that_is_too_long_is_asked_for_one_by_one(site: Readings) -> None:
    bmc = await site.equipped()
    bmc.say("GET", SENSORS + EXPANDED, 200, body=b" " * (1024 * 1024 + 1), times=None)

    assert len(await site.told(Topic.SENSORS)) == 2


async def test_sensors_of_older_services(site: Readings) -> None:
    bmc = await site.add()
    bmc.resources[CHASSIS] = {
        "Thermal": {"@odata.id": f"{CHASSIS}/Thermal"},
        "Power": {"@odata.id": f"{CHASSIS}/Power"},
    }
    bmc.resources[f"{CHASSIS}/Thermal"] = {
        "Temperatures": [
            {"Name": "Inlet", "ReadingCelsius": 21, "UpperThresholdCritical": 42, "Status": {"Health": "OK"}},
            {"Name": "CPU 2", "ReadingCelsius": 0, "Status": {"State": "Absent"}},
        ],
        "Fans": [{"FanName": "Fan 1", "Reading": 30, "ReadingUnits": "Percent"}],
    }
    bmc.resources[f"{CHASSIS}/Power"] = {
        "Voltages": [{"Name": "12V", "ReadingVolts": 12.0625}],
        "PowerControl": [{"Name": "Chassis", "PowerConsumedWatts": 344}],
        "PowerSupplies": [{"Name": "PSU 1", "Status": {"State": "UnavailableOffline", "Health": "Critical"}}],
    }

    assert await site.told(Topic.SENSORS) == (
        Sensor(
            "Inlet", "Temperature", 21.0, "Cel", (), Health.OK, (Threshold("UpperThresholdCritical", 42.0),)
        ),
        Sensor("Fan 1", "Fan", 30.0, "Percent"),
        Sensor("12V", "Voltage", 12.062, "V"),
        Sensor("Chassis", "Power", 344.0, "W"),
        Sensor("PSU 1", "PowerSupply", states=("UnavailableOffline",), health=Health.CRITICAL),
    )


async def test_sensors_of_services_with_subsystems(site: Readings) -> None:
    bmc = await site.add()
    thermal, power = f"{CHASSIS}/ThermalSubsystem", f"{CHASSIS}/PowerSubsystem"
    bmc.resources[CHASSIS] = {
        "ThermalSubsystem": {"@odata.id": thermal},
        "PowerSubsystem": {"@odata.id": power},
    }
    bmc.resources[thermal] = {
        "ThermalMetrics": {"@odata.id": f"{thermal}/Metrics"},
        "Fans": {"@odata.id": f"{thermal}/Fans"},
    }
    bmc.resources[f"{thermal}/Metrics"] = {
        "TemperatureReadingsCelsius": [{"DeviceName": "Inlet", "Reading": 20.5}]
    }
    bmc.resources[power] = {"PowerSupplies": {"@odata.id": f"{power}/PowerSupplies"}}
    show_list(bmc, f"{thermal}/Fans", [{"Id": "1", "Name": "Fan 1", "SpeedPercent": {"Reading": 45}}])
    show_list(bmc, f"{power}/PowerSupplies", [{"Id": "1", "Name": "PSU 1", "Status": {"Health": "OK"}}])

    assert await site.told(Topic.SENSORS) == (
        Sensor("Inlet", "Temperature", 20.5, "Cel"),
        Sensor("Fan 1", "Fan", 45.0, "%"),
        Sensor("PSU 1", "PowerSupply", health=Health.OK),
    )


@pytest.mark.parametrize(
    ("member", "seen"),
    [
        ({**TEMPERATURE, "Reading": "hot"}, replace(CPU, value=None, unit="")),
        ({**TEMPERATURE, "Reading": True}, replace(CPU, value=None, unit="")),
        ({**TEMPERATURE, "Thresholds": [1]}, replace(CPU, thresholds=())),
        ({**TEMPERATURE, "Status": "fine"}, replace(CPU, health=Health.UNKNOWN)),
        (
            {**TEMPERATURE, "Status": {"State": "Enabled", "Health": "Purple"}},
            replace(CPU, health=Health.UNKNOWN),
        ),
        ({**TEMPERATURE, "Name": None}, replace(CPU, name="cpu0")),
    ],
)
async def test_nonsense_in_a_property_costs_that_property(
    site: Readings, member: dict[str, Any], seen: Sensor
) -> None:
    show_list(await site.equipped(), SENSORS, [member], expands=True)

    assert await site.told(Topic.SENSORS) == (seen,)


async def test_the_log_is_told_from_the_oldest_to_the_newest_over_all_its_pages(site: Readings) -> None:
    bmc = await site.equipped()
    bmc.resources[ENTRIES]["Members"].reverse()
    told = await site.told(Topic.SEL)

    assert [one.id for one in told] == ["1", "2", "3"]
    assert told[0] == LogEntry("1", 1772359260.0, Health.CRITICAL, "Temperature", "Temperature rose, 1")


async def test_of_a_long_log_the_newest_are_told(site: Readings) -> None:
    bmc = await site.equipped()
    per_page, pages = 1000, ENTRIES_MAX // 1000 + 2
    for page in range(pages):
        where = ENTRIES if not page else f"{ENTRIES}?$skip={page}"
        bmc.resources[where] = {
            "Members": [{"Id": str(page * per_page + n), "Message": "m"} for n in range(per_page)]
        }
        if page + 1 < pages:
            bmc.resources[where]["Members@odata.nextLink"] = f"{ENTRIES}?$skip={page + 1}"
    told = await site.told(Topic.SEL)

    assert len(told) == ENTRIES_MAX
    assert told[-1].id == str(pages * per_page - 1)


async def test_a_time_from_before_the_clock_was_set_is_none(site: Readings) -> None:
    bmc = await site.equipped()
    times = ["1970-01-01T00:04:00Z", "yesterday", 7, "2026-03-01T12:00:00+02:00", "2026-03-01T10:00:00"]
    bmc.resources[ENTRIES] = {"Members": [{**entry(n), "Created": at} for n, at in enumerate(times)]}

    assert [one.at for one in await site.told(Topic.SEL)] == [None, None, None, 1772359200.0, 1772359200.0]


async def test_logs_of_the_system_and_its_bmc_are_put_together_and_those_of_no_events_left_out(
    site: Readings,
) -> None:
    bmc = await site.equipped()
    theirs = f"{SYSTEMS}/1/LogServices"
    bmc.more["LogServices"] = {"@odata.id": theirs}
    names = ("IML", "PostCodes")
    services = [{"Id": name, "Entries": {"@odata.id": f"{theirs}/{name}/Entries"}} for name in names]
    show_list(bmc, theirs, services)
    show_list(bmc, LOGS, [{"Id": "IEL", "Entries": {"@odata.id": ENTRIES}}], expands=True)
    show_list(bmc, f"{theirs}/IML/Entries", [entry(9)])
    told = await site.told(Topic.SEL)

    assert [one.id for one in told] == ["IEL/1", "IEL/2", "IEL/3", "IML/9"]
    assert bmc.count("GET", f"{theirs}/PostCodes/") == 0


async def test_pages_that_lead_in_a_circle_are_named(site: Readings) -> None:
    bmc = await site.equipped()
    bmc.resources[f"{ENTRIES}?$skip=2"]["Members@odata.nextLink"] = ENTRIES
    refused = await site.refused(Topic.SEL)

    assert "lists its log in a circle" in refused.message
    assert refused.reach is Reach.REFUSED


@pytest.mark.parametrize("link", ["https://198.51.100.7/redfish/v1/x", "//198.51.100.7/x", "x", 7])
async def test_a_link_that_leads_off_the_bmc_is_not_followed(site: Readings, link: object) -> None:
    bmc = await site.equipped()
    bmc.resources[CHASSIS] = {"Sensors": {"@odata.id": link}}
    refused = await site.refused(Topic.SENSORS)

    assert "as a resource, which is no path" in refused.message


async def test_a_next_page_elsewhere_is_not_followed(site: Readings) -> None:
    bmc = await site.equipped()
    bmc.resources[ENTRIES]["Members@odata.nextLink"] = "https://198.51.100.7/redfish/v1/x"

    assert "'https://198.51.100.7', which is not this service" in (await site.refused(Topic.SEL)).message


async def test_a_list_without_an_end_is_given_up(site: Readings) -> None:
    bmc = await site.equipped(expands=False)
    bmc.resources[SENSORS] = {"Members": [{"Name": str(n), "Reading": n} for n in range(2001)]}

    assert "lists more than 2,000 of its sensors" in (await site.refused(Topic.SENSORS)).message


async def test_a_bmc_that_does_not_let_us_see_says_so(site: Readings) -> None:
    bmc = await site.equipped()
    bmc.say("GET", MANAGER, 403, times=None)
    refused = await site.refused(Topic.INFO)

    assert "refused what it says of itself: the user's privilege is too low (403)" in refused.message
    assert refused.outcome is Outcome.FAILED


async def test_garbled_documents_are_half_an_answer_and_so_none(site: Readings) -> None:
    bmc = await site.equipped()
    bmc.say("GET", MANAGER, 200, body=b'{"Model": "Jo', times=None)

    assert (
        "answered nonsense to what it says of itself: it is no JSON"
        in (await site.refused(Topic.INFO)).message
    )


async def test_a_silent_bmc_costs_only_itself(site: Readings) -> None:
    (await site.add()).mute = True
    await site.equipped()
    readings = await site.read(Topic.SENSORS)

    assert (readings["n0"].reach, readings["n0"].outcome) == (Reach.NO_ANSWER, Outcome.UNREACHABLE)
    assert readings["n1"].outcome is Outcome.OK


async def test_a_node_without_an_address_or_with_a_wrong_password_is_told_why(site: Readings) -> None:
    await site.add(credential="wrong")
    await site.add()
    del site.attributes["n1"]["bmc.address"]
    readings = await site.read(Topic.INFO)

    assert readings["n0"].reach is Reach.BAD_CREDENTIALS
    assert readings["n1"].reach is None
    assert "has no attribute bmc.address" in readings["n1"].message


async def test_what_takes_longer_than_there_is_time_is_no_silence_of_the_bmc(site: Readings) -> None:
    bmc = await site.equipped()
    await site.told(Topic.INFO)
    bmc.mute = True
    refused = await site.refused(Topic.SENSORS, timeout_s=0.1)
    bmc.mute = False

    assert refused.outcome is Outcome.TIMEOUT
    assert "had not told its sensors within 0.1 s: give it longer" in refused.message
    assert (await site.one("power_status")).outcome is Outcome.OK, "it is not backed off from"


async def test_a_mutation_has_its_turn_before_a_reading_has_ended(site: Readings) -> None:
    bmc = await site.equipped(expands=False)
    many = [{"Id": str(n), "Name": str(n), "Reading": n} for n in range(50)]
    show_list(bmc, SENSORS, many)
    reading = asyncio.create_task(site.read(Topic.SENSORS))
    await until(lambda: bmc.count("GET", f"{SENSORS}/"))
    await site.one({"power": "on"})
    paths = [path for _, path, _ in bmc.asked]
    await reading

    assert bmc.resets == ["On"]
    assert sum(path.startswith(f"{SENSORS}/") for path in paths) < len(many)


async def test_the_session_with_a_held_node_is_given_back(site: Readings) -> None:
    bmc = await site.equipped()
    await site.read(Topic.INFO, held=True)
    await site.executor.close()

    assert not bmc.sessions


async def test_one_log_in_serves_a_whole_reading(site: Readings) -> None:
    bmc = await site.equipped(expands=False)
    await site.told(Topic.INFO)
    await site.told(Topic.SENSORS)

    assert bmc.count("POST") == 1
    assert bmc.count("GET", ROOT) > 10
