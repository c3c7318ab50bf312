"""Programs nobody here wrote hold the fake BMC for a real one: that is what makes it a measure of ours."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from kraken.testing.herd import Herd
from kraken.testing.ipmi import FakeBmc

pytestmark = pytest.mark.e2e

KG = "a-bmc-key"


@pytest.fixture
def bmcs() -> Iterator[tuple[Herd[FakeBmc], FakeBmc, FakeBmc]]:
    plain, two_key = FakeBmc(), FakeBmc(kg=KG)
    with Herd([plain, two_key]) as herd:
        yield herd, plain, two_key


def run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def ipmitool(bmc: FakeBmc, suite: int, *words: str) -> str:
    key = ["-k", KG] if bmc.desk.kg else []
    login = ["-U", "admin", "-P", "secret", "-C", str(suite), *key]
    return run("ipmitool", "-I", "lanplus", "-H", bmc.address, "-p", str(bmc.port), *login, *words)


def ipmipower(bmc: FakeBmc, suite: int, *words: str) -> str:
    key = ["-k", KG] if bmc.desk.kg else []
    login = ["-u", "admin", "-p", "secret", "-l", "ADMIN", "-I", str(suite), *key]
    return run("ipmipower", "-D", "LAN_2_0", "-h", f"{bmc.address}:{bmc.port}", *login, *words)


@pytest.mark.skipif(shutil.which("ipmitool") is None, reason="needs Debian's ipmitool")
@pytest.mark.parametrize("suite", [0, 1, 2, 3, 17])
def test_ipmitool_logs_in_reads_and_sets(bmcs: tuple[Herd[FakeBmc], FakeBmc, FakeBmc], suite: int) -> None:
    for bmc in bmcs[1:]:
        assert ipmitool(bmc, suite, "power", "status") == "Chassis Power is off"
        ipmitool(bmc, suite, "power", "on")
        assert ipmitool(bmc, suite, "power", "status") == "Chassis Power is on"
        ipmitool(bmc, suite, "chassis", "bootdev", "pxe")
        assert "Force PXE" in ipmitool(bmc, suite, "chassis", "bootparam", "get", "5")

        assert (bmc.chassis.asked, set(bmc.desk.logins)) == (["on"], {suite})
        assert bmc.desk.open_sessions == 0


@pytest.mark.skipif(shutil.which("ipmipower") is None, reason="needs Debian's freeipmi-tools")
@pytest.mark.parametrize("suite", [0, 1, 2, 3, 17])
def test_ipmipower_logs_in_reads_and_sets(bmcs: tuple[Herd[FakeBmc], FakeBmc, FakeBmc], suite: int) -> None:
    for bmc in bmcs[1:]:
        assert ipmipower(bmc, suite, "--stat").endswith(": off")
        assert ipmipower(bmc, suite, "--on").endswith(": ok")
        assert ipmipower(bmc, suite, "--stat").endswith(": on")

        assert (bmc.chassis.asked, set(bmc.desk.logins)) == (["on"], {suite})


@pytest.mark.skipif(shutil.which("ipmitool") is None, reason="needs Debian's ipmitool")
def test_ipmitool_chooses_the_strongest_suite_of_those_offered(
    bmcs: tuple[Herd[FakeBmc], FakeBmc, FakeBmc],
) -> None:
    bmc = bmcs[1]
    login = ["-U", "admin", "-P", "secret"]

    run("ipmitool", "-I", "lanplus", "-H", bmc.address, "-p", str(bmc.port), *login, "power", "status")

    assert bmc.desk.logins == [17]
