"""A whole daemon over BMCs behind a network that loses half of all packets, each way."""

from __future__ import annotations

import json
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
from kraken.testing.ipmi.relay import Relay, Weather, front
from tests.e2e.conftest import Site

pytestmark = pytest.mark.e2e

PORT = 6230
SIZE = 12
BAD = Weather(loss=0.5, double=0.1, jitter_s=0.05)


class Cluster:
    """Nodes whose BMCs are asked through a relay, in the shape the demo's daemon wants."""

    def __init__(self, directory: Path) -> None:
        self.bmcs = {f"n{number:02}": FakeBmc(f"127.7.4.{number}") for number in range(1, SIZE + 1)}
        for bmc in self.bmcs.values():
            bmc.port = PORT
        self.credentials_file = directory / "credentials.yaml"
        self.credentials_file.write_text("lab: {username: admin, password: secret}\n")
        self.credentials_file.chmod(0o600)
        self.nodes = [SimpleNamespace(name=name) for name in self.bmcs]

    def inventory(self) -> dict[str, Any]:
        return {
            name: {
                "attributes": {
                    "bmc.protocol": "ipmi",
                    "bmc.address": front(bmc.address),
                    "bmc.port": PORT,
                    "bmc.credential": "lab",
                }
            }
            for name, bmc in self.bmcs.items()
        }


@pytest.fixture
def cluster() -> Iterator[tuple[Cluster, Relay]]:
    directory = Path(tempfile.mkdtemp(prefix="kraken-loss-"))
    made = Cluster(directory)
    try:
        with Herd(made.bmcs.values()), Relay([b.address for b in made.bmcs.values()], PORT, seed=4) as relay:
            yield made, relay
    finally:
        shutil.rmtree(directory)


def test_where_half_the_packets_are_lost_all_converge_and_nothing_happens_twice(
    cluster: tuple[Cluster, Relay],
) -> None:
    made, relay = cluster
    relay.weather(BAD)
    with Demo(cast(Any, made)) as demo:
        site = Site(demo)
        site.apply({"phys_state": "POWER_ON"})
        site.converged()
        for name, bmc in made.bmcs.items():
            assert bmc.chassis.power
            assert set(bmc.chassis.asked) == {"on"}, name  # said again as it may be: on twice is on

        # What a second time would do harm is said once, whether or not its answer came.
        told = demo.kraken("power", "--all", "reset", "--yes", "-o", "json", "--timeout", "40s")
        assert told.returncode in (0, 4), told.stderr
        for bmc in made.bmcs.values():
            assert bmc.chassis.asked.count("reset") <= 1
            bmc.chassis.asked.clear()
        answers = json.loads(told.stdout)["nodes"]
        assert len(answers) == SIZE

        relay.weather(Weather())
        site.converged()
        assert all(set(bmc.chassis.asked) <= {"on"} for bmc in made.bmcs.values())
