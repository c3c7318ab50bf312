"""A new password for BMC simulators (Debian's ipmi_sim), seen by ipmitool before and after."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from kraken.executors.accounts import Rotated, Stand
from kraken.executors.credentials import Credentials
from kraken.executors.ipmi import IpmiExecutor
from kraken.model.run import NodeFacts
from kraken.testing.cluster import packages
from kraken.testing.ipmi.farm import PASSWORD, USER, Farm

pytestmark = pytest.mark.e2e


@pytest.fixture
def farm() -> Iterator[Farm]:
    packages.install_missing()
    with Farm(2, network=94) as made:
        yield made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "credentials.yaml"
    file.touch(mode=0o600)
    return file


@pytest.fixture
async def executor(file: Path) -> AsyncIterator[IpmiExecutor]:
    made = IpmiExecutor(Credentials(file))
    yield made
    await made.close()


def lets_in(farm: Farm, number: int, password: str) -> bool:
    where = f"-I lanplus -C 3 -R 1 -N 2 -H {farm.addresses[number]} -p {farm.port} -U {USER} -P {password}"
    words = ["ipmitool", *where.split(), "chassis", "power", "status"]
    return subprocess.run(words, capture_output=True, timeout=60).returncode == 0


def set_by_hand(farm: Farm, number: int, password: str) -> None:
    where = f"-I lanplus -C 3 -H {farm.addresses[number]} -p {farm.port} -U {USER} -P {PASSWORD}"
    words = ["ipmitool", *where.split(), "user", "set", "password", "2", password]
    subprocess.run(words, check=True, capture_output=True, timeout=60)


def write(file: Path, password: str) -> None:
    file.write_text(f"lab: {{username: {USER}, password: '{password}', previous: {PASSWORD}}}\n")


async def rotate(executor: IpmiExecutor, farm: Farm, *, change: bool = True) -> list[tuple[str, Stand]]:
    facts = {
        f"n{i}": NodeFacts(f"n{i}", {"bmc.address": address, "bmc.port": farm.port, "bmc.credential": "lab"})
        for i, address in enumerate(farm.addresses)
    }
    told: list[Rotated] = []
    await executor.rotate(facts, 30.0, told.extend, change=change)
    for one in told:
        assert "new-one" not in one.message
        assert PASSWORD not in one.message
    return sorted((one.node, one.stand) for one in told)


@pytest.mark.parametrize("password", ["new-one", "new-one-16-bytes"])
async def test_the_new_password_is_given_proved_and_given_once(
    executor: IpmiExecutor, farm: Farm, file: Path, password: str
) -> None:
    write(file, password)

    looked = await rotate(executor, farm, change=False)
    assert looked == [("n0", Stand.PREVIOUS), ("n1", Stand.PREVIOUS)]
    assert lets_in(farm, 0, PASSWORD)

    assert await rotate(executor, farm) == [("n0", Stand.CHANGED), ("n1", Stand.CHANGED)]
    assert lets_in(farm, 0, password)
    assert not lets_in(farm, 0, PASSWORD)

    assert await rotate(executor, farm) == [("n0", Stand.CURRENT), ("n1", Stand.CURRENT)]


async def test_a_bmc_that_takes_neither_is_told_and_the_other_is_changed(
    executor: IpmiExecutor, farm: Farm, file: Path
) -> None:
    set_by_hand(farm, 0, "a-third")
    write(file, "new-one")

    assert await rotate(executor, farm) == [("n0", Stand.FAILED), ("n1", Stand.CHANGED)]


async def test_a_bmc_that_keeps_16_of_20_bytes_is_not_lost(
    executor: IpmiExecutor, farm: Farm, file: Path
) -> None:
    """As ipmi_sim does: it acknowledges 20 bytes, and then takes the first 16 of them alone."""
    write(file, "new-one-of-20-bytes!")

    assert await rotate(executor, farm) == [("n0", Stand.FAILED), ("n1", Stand.FAILED)]
    assert lets_in(farm, 0, PASSWORD)
    assert await rotate(executor, farm, change=False) == [("n0", Stand.PREVIOUS), ("n1", Stand.PREVIOUS)]
