"""A BMC with sensors, an inventory and a log (Debian's ipmi_sim): Kraken reads of it what ipmitool reads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from kraken.executors.credentials import Credentials
from kraken.executors.ipmi import IpmiExecutor
from kraken.executors.reading import BmcInfo, Health, LogEntry, Sensor, Topic
from kraken.testing.cluster import packages
from kraken.testing.ipmi.farm import PASSWORD, USER, Farm
from kraken.testing.ipmi.machine import AILING
from tests.e2e.test_ipmi_reading import facts, ipmitool, read

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("ipmi_machine")]

UNITS = {"°C": "degrees C", "V": "Volts"}
WORDS = {"Presence detected": "Present", "Failure detected": "Failure"}
COLUMNS = [
    f"{side} {grade}"
    for side, grades in (
        ("lower", ("non-recoverable", "critical", "non-critical")),
        ("upper", ("non-critical", "critical", "non-recoverable")),
    )
    for grade in grades
]
HEALTH = {"ok": Health.OK, "lnc": Health.WARNING, "ucr": Health.CRITICAL}


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    packages.install_missing()
    with Farm(2, network=95, machine=AILING) as made:
        yield made


@pytest.fixture
async def executor(tmp_path: Path) -> AsyncIterator[IpmiExecutor]:
    file = tmp_path / "credentials.yaml"
    file.touch(mode=0o600)
    file.write_text(f"lab: {{username: {USER}, password: {PASSWORD}}}\n")
    made = IpmiExecutor(Credentials(file))
    yield made
    await made.close()


async def sensors(executor: IpmiExecutor, farm: Farm) -> list[Sensor]:
    data = (await read(executor, Topic.SENSORS, facts(farm)))["n0"].data
    assert isinstance(data, tuple)
    return [one for one in data if isinstance(one, Sensor)]


async def test_sensors_say_what_ipmitool_reads(farm: Farm, executor: IpmiExecutor) -> None:
    listed = [[f.strip() for f in line.split("|")] for line in ipmitool(farm, 0, "sdr elist").splitlines()]
    ours = await sensors(executor, farm)

    assert len(listed) == len(AILING.sensors)
    assert [one.name for one in ours] == [fields[0] for fields in listed]
    for one, (_, _, state, _, said) in zip(ours, listed, strict=True):
        if one.value is None:
            assert list(one.states) == [WORDS[word.strip()] for word in said.split(",")]
        else:
            number, unit = said.split(" ", 1)
            assert (one.value, UNITS.get(one.unit, one.unit)) == (
                pytest.approx(float(number), rel=1e-3),
                unit,
            )
            assert one.health is HEALTH[state]


async def test_thresholds_are_those_that_ipmitool_reads(farm: Farm, executor: IpmiExecutor) -> None:
    listed = [[f.strip() for f in line.split("|")] for line in ipmitool(farm, 0, "sensor").splitlines()]
    theirs = {fields[0]: dict(zip(COLUMNS, fields[4:], strict=True)) for fields in listed}
    found = {one.name: one for one in await sensors(executor, farm)}

    for name in ("CPU2 Temp", "FAN2"):
        ours = {one.name: one.value for one in found[name].thresholds}
        assert ours == {column: float(said) for column, said in theirs[name].items() if said != "na"}


async def test_a_power_supply_that_failed_is_critical(farm: Farm, executor: IpmiExecutor) -> None:
    found = {one.name: one for one in await sensors(executor, farm)}

    assert (found["PSU1"].health, found["PSU2"].health) == (Health.OK, Health.CRITICAL)


async def test_the_inventory_and_the_guid_are_what_ipmitool_prints(
    farm: Farm, executor: IpmiExecutor
) -> None:
    printed = [line.partition(":") for line in ipmitool(farm, 0, "fru print").splitlines()]
    theirs = {key.strip(): value.strip() for key, _, value in printed}
    guid = next(line for line in ipmitool(farm, 0, "mc guid").splitlines() if line.startswith("System GUID"))
    data = (await read(executor, Topic.INFO, facts(farm)))["n0"].data

    assert isinstance(data, BmcInfo)
    assert data.guid == guid.partition(":")[2].strip()
    assert (data.manufacturer, data.product) == (theirs["Product Manufacturer"], theirs["Product Name"])
    assert data.serial == theirs["Product Serial"]
    assert (data.cipher_suite, data.privilege) == (3, "administrator")
    parts = {part.name: part for part in data.parts}
    assert parts["Product"].part_number == theirs["Product Part Number"]
    board = parts["Board"]
    assert [board.manufacturer, board.product, board.serial, board.part_number] == [
        theirs[f"Board {field}"] for field in ("Mfg", "Product", "Serial", "Part Number")
    ]


async def test_the_log_names_the_sensors_as_ipmitool_does(farm: Farm, executor: IpmiExecutor) -> None:
    listed = [[f.strip() for f in line.split("|")] for line in ipmitool(farm, 0, "sel elist").splitlines()]
    data = (await read(executor, Topic.SEL, facts(farm)))["n0"].data

    assert isinstance(data, tuple)
    entries = [entry for entry in data if isinstance(entry, LogEntry)]
    assert len(listed) == len(AILING.events)
    for entry, (number, _, _, sensor, event, *_) in zip(entries, listed, strict=True):
        assert int(entry.id) == int(number, 16)
        assert sensor.endswith(entry.sensor.split(maxsplit=1)[-1])
        assert entry.sensor
        assert event.split()[0].casefold() in entry.message.casefold()
