"""A hundred machines with sensors (Debian's ipmi_sim), read by what a person types."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kraken.testing.cluster import packages
from kraken.testing.demo import Demo
from kraken.testing.ipmi.farm import PASSWORD, USER, Farm
from kraken.testing.ipmi.machine import AILING, SERVER
from tests.e2e.conftest import Site

pytestmark = pytest.mark.e2e


class Cluster:
    """99 nodes that are well, one that is not, and one whose BMC is nowhere."""

    def __init__(self, directory: Path, well: Farm, ailing: Farm) -> None:
        self.directory = directory
        self.credentials_file = directory / "credentials.yaml"
        self.credentials_file.write_text(f"lab: {{username: {USER}, password: {PASSWORD}}}\n")
        self.credentials_file.chmod(0o600)
        places = [(address, farm.port) for farm in (well, ailing) for address in farm.addresses]
        self.places = {f"n{n:04}": place for n, place in enumerate([*places, ("127.88.9.9", well.port)], 1)}
        self.nodes = [SimpleNamespace(name=name) for name in self.places]

    def inventory(self) -> dict[str, Any]:
        known = {"bmc.protocol": "ipmi", "bmc.credential": "lab"}
        return {
            name: {"attributes": {**known, "bmc.address": address, "bmc.port": port}}
            for name, (address, port) in self.places.items()
        }


@pytest.fixture
def site() -> Iterator[Site]:
    packages.install_missing()
    directory = Path(tempfile.mkdtemp(prefix="kraken-machines-"))
    try:
        with (
            Farm(99, network=88, machine=SERVER) as well,
            Farm(1, network=89, machine=AILING) as ailing,
            Demo(cast(Any, Cluster(directory, well, ailing))) as demo,
        ):
            made = Site(demo)
            made.apply({})
            yield made
    finally:
        shutil.rmtree(directory)


def test_a_hundred_machines_fold_and_the_one_that_ails_stands_out(site: Site) -> None:
    bad = site.kraken("bmc", "sensors", "--all", "--bad", code=4)
    well, ailing, silent = bad.split("\n\n")
    assert well.splitlines() == ["n[0001-0099]", "  no sensor says WARNING or CRITICAL"]
    assert ailing.splitlines()[0] == "n0100"
    assert [line.split("  ")[0] for line in ailing.splitlines()[2:]] == ["CPU2 Temp", "FAN2", "PSU2"]
    assert "upper non-critical 85, upper critical 95, upper non-recoverable 100" in ailing
    assert "n0101  BMC 127.88.9.9" in silent

    shown = site.kraken("bmc", "show", "n[0001-0100]")
    assert shown.startswith("n[0001-0100]\n")
    assert "session        cipher suite 3, administrator" in shown

    lines = site.kraken("bmc", "sel", "n[0098-0100]", "-o", "ndjson").splitlines()
    logs = {told["node"]: [entry["sensor"] for entry in told["data"]] for told in map(json.loads, lines)}
    assert logs == {"n0098": [], "n0099": [], "n0100": ["Temperature CPU2 Temp", "Power Supply PSU2"]}
