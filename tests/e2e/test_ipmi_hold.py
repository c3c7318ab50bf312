"""Whoever holds a node finds the slot of its BMC free: seen at a BMC that has only one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kraken.testing.demo import Demo
from kraken.testing.herd import Herd
from kraken.testing.ipmi import FakeBmc
from kraken.testing.ipmi.chassis import CHASSIS_STATUS
from tests.e2e.conftest import Site
from tests.e2e.test_ipmi_faults import ipmipower_sees

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("ipmipower") is None, reason="needs Debian's freeipmi-tools"),
]


class Pair:
    """Two nodes whose BMCs have one slot each, in the shape the demo's daemon wants."""

    def __init__(self, directory: Path) -> None:
        self.bmcs = {
            name: FakeBmc(f"127.7.4.{number}", slots=1) for number, name in enumerate(("n1", "n2"), 1)
        }
        self.nodes = [SimpleNamespace(name=name) for name in self.bmcs]
        self.credentials_file = directory / "credentials.yaml"
        self.credentials_file.write_text("lab: {username: admin, password: secret}\n")
        self.credentials_file.chmod(0o600)

    def inventory(self) -> dict[str, Any]:
        return {
            name: {
                "attributes": {
                    "bmc.protocol": "ipmi",
                    "bmc.address": bmc.address,
                    "bmc.port": bmc.port,
                    "bmc.credential": "lab",
                }
            }
            for name, bmc in self.bmcs.items()
        }


@pytest.fixture
def pair() -> Iterator[tuple[Pair, Herd[FakeBmc]]]:
    directory = Path(tempfile.mkdtemp(prefix="kraken-hold-"))
    made = Pair(directory)
    try:
        with Herd(made.bmcs.values()) as herd:
            yield made, herd
    finally:
        shutil.rmtree(directory)


def test_a_hold_gives_the_only_slot_of_a_bmc_to_whoever_works_there(pair: tuple[Pair, Herd[FakeBmc]]) -> None:
    made, herd = pair
    held, other = made.bmcs["n1"], made.bmcs["n2"]
    demo = Demo(cast(Any, made))
    with demo:
        site = Site(demo)
        site.apply({"phys_state": "POWER_ON"})
        site.converged("n1", "n2")
        for bmc in (held, other):
            site.until(lambda b=bmc: b.desk.open_sessions == 1 and b.count(CHASSIS_STATUS) > 0, "looked at")
        site.kraken("hold", "n1", "--reason", "a new fan")
        looks = herd.do(lambda: held.count(CHASSIS_STATUS))
        site.until(lambda: held.desk.open_sessions == 0, "the slot is given back")

        assert herd.do(lambda: held.count(CHASSIS_STATUS)) == looks, "at the hold, not at the next look"
        assert ipmipower_sees(held) == ["on"]
        assert other.desk.open_sessions == 1
