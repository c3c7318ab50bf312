"""What boot devices and lights asked for over IPMI come to: what ipmitool reads back, and what is lit."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from kraken.executors.credentials import Credentials
from kraken.executors.ipmi import IpmiExecutor
from kraken.model.module import Action, Mutation
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run
from kraken.testing.herd import Herd
from kraken.testing.ipmi import FakeBmc

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("ipmitool") is None, reason="needs Debian's ipmitool"),
]


@pytest.fixture
def bmc() -> Iterator[FakeBmc]:
    fake = FakeBmc()
    with Herd([fake]):
        yield fake


@pytest.fixture
async def executor(tmp_path: Path) -> AsyncIterator[IpmiExecutor]:
    file = tmp_path / "credentials.yaml"
    file.touch(mode=0o600)
    file.write_text("lab: {username: admin, password: secret}\n")
    made = IpmiExecutor(Credentials(file))
    yield made
    await made.close()


async def ask(executor: IpmiExecutor, bmc: FakeBmc, spec: dict[str, object]) -> None:
    operator = Mutation("power_ipmi", "change", (), action=Action("ipmi", spec, Path()))
    attributes = {"bmc.address": bmc.address, "bmc.port": bmc.port, "bmc.credential": "lab"}
    results: list[NodeResult] = []
    run = Run("1", operator, ("n1",), time.time(), 20.0)

    await executor.run(run, {"n1": NodeFacts("n1", attributes)}, results.extend)

    assert [(r.outcome, r.message) for r in results] == [(Outcome.OK, "")]


def read_back(bmc: FakeBmc) -> list[str]:
    """The lines that ipmitool has for the boot flags, without its indentation."""
    login = ["-U", "admin", "-P", "secret", "-C", "3", "-H", bmc.address, "-p", str(bmc.port)]
    words = ["ipmitool", "-I", "lanplus", *login, "chassis", "bootparam", "get", "5"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    return [re.sub(r"^[\s-]+", "", line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(("persistent", "once"), [(False, True), (True, False)])
@pytest.mark.parametrize(
    ("uefi", "firmware"), [(False, "BIOS PC Compatible (legacy) boot"), (True, "BIOS EFI boot")]
)
async def test_a_boot_device_is_for_once_or_for_good_and_of_the_firmware_asked_for(
    executor: IpmiExecutor, bmc: FakeBmc, persistent: bool, once: bool, uefi: bool, firmware: str
) -> None:
    await ask(executor, bmc, {"boot_device": "pxe", "persistent": persistent, "uefi": uefi})

    said = "\n".join(read_back(bmc))

    assert "Boot Flag Valid" in said
    assert ("only next boot" in said) is once
    assert firmware in said
    assert "Force PXE" in said


async def test_default_takes_back_what_was_asked_for_before(executor: IpmiExecutor, bmc: FakeBmc) -> None:
    await ask(executor, bmc, {"boot_device": "pxe", "persistent": True})
    await ask(executor, bmc, {"boot_device": "default"})

    said = "\n".join(read_back(bmc))

    assert "Boot Flag Invalid" in said
    assert "No override" in said


async def test_the_light_stays_on_until_told_otherwise_and_nothing_else_changes(
    executor: IpmiExecutor, bmc: FakeBmc
) -> None:
    seen = []
    for word in ("on", "on", "off"):
        await ask(executor, bmc, {"identify": word})
        seen.append(bmc.chassis.light)

    assert (seen, bmc.chassis.power, bmc.chassis.asked) == ([True, True, False], False, [])
