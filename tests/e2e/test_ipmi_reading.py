"""What BMC simulators say (Debian's ipmi_sim), read by Kraken and by ipmitool."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pytest

from kraken.executors.credentials import Credentials
from kraken.executors.ipmi import IpmiExecutor
from kraken.executors.place import Reach
from kraken.executors.reading import BmcInfo, Health, LogEntry, Reading, Topic
from kraken.model.run import NodeFacts, Outcome
from kraken.testing.cluster import packages
from kraken.testing.herd import Herd
from kraken.testing.ipmi import FakeBmc
from kraken.testing.ipmi.farm import PASSWORD, USER, Farm

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("ipmi_reading")]

TEMPERATURE = "0 0 2 0x10 0x32 0x54 0x65 0x20 0 4 1 0x30 0x01 0x59 0xff 0xff"
"""A system event: temperature sensor 0x30 went high, critical (IPMI 2.0, table 32-1)."""


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    packages.install_missing()
    with Farm(3, network=93) as made:
        yield made


@pytest.fixture
async def executor(tmp_path: Path) -> AsyncIterator[IpmiExecutor]:
    file = tmp_path / "credentials.yaml"
    file.touch(mode=0o600)
    file.write_text(f"lab: {{username: {USER}, password: {PASSWORD}}}\n")
    made = IpmiExecutor(Credentials(file))
    yield made
    await made.close()


def ipmitool(farm: Farm, number: int, words: str) -> str:
    where = f"-I lanplus -C 3 -H {farm.addresses[number]} -p {farm.port} -U {USER} -P {PASSWORD}"
    command = ["ipmitool", *where.split(), *words.split()]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TZ": "UTC"})
    assert done.returncode == 0, done.stderr
    return done.stdout


def facts(farm: Farm) -> dict[str, NodeFacts]:
    return {
        f"n{i}": NodeFacts(
            f"n{i}", {"bmc.address": address, "bmc.port": farm.port, "bmc.credential": "lab"}, held=i == 1
        )
        for i, address in enumerate(farm.addresses)
    }


async def read(
    executor: IpmiExecutor, topic: Topic, nodes: Mapping[str, NodeFacts], timeout_s: float = 60.0
) -> dict[str, Reading]:
    readings: list[Reading] = []
    await executor.read(topic, nodes, timeout_s, readings.extend)
    assert sorted(reading.node for reading in readings) == sorted(nodes)
    return {reading.node: reading for reading in readings}


async def test_a_bmc_is_who_ipmitool_says_it_is(farm: Farm, executor: IpmiExecutor) -> None:
    told = ipmitool(farm, 0, "mc info")
    theirs = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in told.splitlines())
    }
    data = (await read(executor, Topic.INFO, facts(farm)))["n0"].data

    assert isinstance(data, BmcInfo)
    assert [(one.name, one.version) for one in data.firmware] == [("BMC", theirs["Firmware Revision"])]
    assert data.manufacturer == f"IANA {theirs['Manufacturer ID']}"
    assert data.product == f"product {theirs['Product ID'].split()[0]}"
    power = ipmitool(farm, 0, "chassis power status").strip()
    assert {"POWER_OFF": "Chassis Power is off", "POWER_ON": "Chassis Power is on"}[str(data.power)] == power


async def test_the_event_log_is_what_ipmitool_lists(farm: Farm, executor: IpmiExecutor) -> None:
    ipmitool(farm, 2, f"raw 0x0a 0x44 {TEMPERATURE}")
    ipmitool(farm, 2, "raw 0x0a 0x49 0x10 0x32 0x54 0x65")  # its clock is set: 2023-11-15
    for _ in range(2):
        ipmitool(farm, 2, f"raw 0x0a 0x44 {TEMPERATURE}")
    listed = [line.split("|") for line in ipmitool(farm, 2, "sel list").splitlines()]
    readings = await read(executor, Topic.SEL, facts(farm))
    data = readings["n2"].data

    assert len(listed) == 3
    assert isinstance(data, tuple)
    assert [int(entry.id) for entry in data if isinstance(entry, LogEntry)] == [
        int(line[0], 16) for line in listed
    ]
    for entry, line in zip(data, listed, strict=True):
        assert isinstance(entry, LogEntry)
        at = "Pre-Init" if entry.at is None else time.strftime("%m/%d/%y|%H:%M:%S", time.gmtime(entry.at))
        assert at in "|".join(field.strip() for field in line)
        assert "Temperature" in "".join(line)
        assert entry.sensor.startswith("Temperature")
        assert "Upper Critical" in "".join(line)
        assert (entry.severity, entry.message) == (Health.CRITICAL, "Upper critical")
    assert [entry.at is None for entry in data if isinstance(entry, LogEntry)] == [True, False, False]
    assert readings["n0"].data == ()


async def test_one_that_hangs_is_told_so_and_keeps_nobody_else_waiting(
    farm: Farm, executor: IpmiExecutor
) -> None:
    nodes = facts(farm)
    nodes["gone"] = NodeFacts("gone", {**nodes["n0"].attributes, "bmc.address": "127.93.9.9"})
    order: list[str] = []
    await executor.read(Topic.SENSORS, nodes, 60.0, lambda new: order.extend(r.node for r in new))
    gone = (await read(executor, Topic.SENSORS, {"gone": nodes["gone"]}))["gone"]

    assert order[-1] == "gone"
    assert (gone.outcome, gone.reach) == (Outcome.UNREACHABLE, Reach.NO_ANSWER)


async def test_a_light_that_is_lit_is_told(executor: IpmiExecutor) -> None:
    bmc = FakeBmc()
    with Herd([bmc]):
        attributes = {"bmc.address": bmc.address, "bmc.port": bmc.port, "bmc.credential": "lab"}
        nodes = {"n0": NodeFacts("n0", attributes)}
        told = []
        for bmc.chassis.light in (False, True):
            data = (await read(executor, Topic.INFO, nodes))["n0"].data
            assert isinstance(data, BmcInfo)
            told.append(data.light)

    assert told == [False, True]
