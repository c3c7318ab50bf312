"""BMCs of both protocols, read by what a person types."""

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
from kraken.testing.ipmi import FakeBmc as IpmiBmc
from kraken.testing.redfish import Certificate, FakeBmc, make_certificate
from kraken.testing.redfish.inventory import ENTRIES, equip
from tests.e2e.conftest import Site

pytestmark = pytest.mark.e2e

REDFISH = ("rf1", "rf2", "rf3")


class Cluster:
    """Three nodes over Redfish, two over IPMI, in the shape the demo's daemon wants."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.certificate: Certificate = make_certificate(directory, "bmc", "127.0.0.1")
        self.redfish = {name: FakeBmc(certificate=self.certificate) for name in REDFISH}
        self.ipmi = {name: IpmiBmc() for name in ("ip1", "ip2")}
        self.credentials_file = directory / "credentials.yaml"
        self.credentials_file.write_text("lab: {username: admin, password: secret}\n")
        self.credentials_file.chmod(0o600)
        self.nodes = [SimpleNamespace(name=name) for name in (*self.redfish, *self.ipmi)]

    def inventory(self) -> dict[str, Any]:
        known: dict[str, Any] = {"bmc.address": "127.0.0.1", "bmc.credential": "lab"}
        over = {"bmc.protocol": "redfish", "bmc.fingerprint": self.certificate.fingerprint}
        return {
            **{
                name: {"attributes": {**known, **over, "bmc.port": bmc.port}}
                for name, bmc in self.redfish.items()
            },
            **{
                name: {"attributes": {**known, "bmc.protocol": "ipmi", "bmc.port": bmc.port}}
                for name, bmc in self.ipmi.items()
            },
        }


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    directory = Path(tempfile.mkdtemp(prefix="kraken-reading-"))
    made = Cluster(directory)
    try:
        with Herd(made.redfish.values()), Herd(made.ipmi.values()):
            for bmc in made.redfish.values():
                equip(bmc)
            yield made
    finally:
        shutil.rmtree(directory)


def test_bmcs_of_both_protocols_are_read_together(cluster: Cluster) -> None:
    demo = Demo(cast(Any, cluster))
    with demo:
        site = Site(demo)
        site.apply({})

        told = site.kraken("bmc", "show", "--all")
        one = json.loads(site.kraken("bmc", "show", "rf1", "-o", "json"))["nodes"][0]["data"]
        assert "rf[1-3]\n" in told, "BMCs that say the same are told of together"
        assert "ip[1-2]\n" in told
        assert f"  {'power':<{len('firmware Network adapter')}} POWER_OFF\n" in told, "in one column"
        assert told.count("Contoso") == 2, "its manufacturer and its part, once for all three"
        assert one["serial"] == f"S-{cluster.redfish['rf1'].port}"
        assert {"name": "BIOS", "version": "P79 v1.45"} in one["firmware"]

        warm = site.kraken("bmc", "sensors", "rf[1-3]")
        assert warm.count("CPU 0") == 1
        assert "41.5" in warm

        log = site.kraken("bmc", "sel", "rf[1-2]", "--last", "2")
        assert "Temperature rose, 1" not in log
        assert log.index("Temperature rose, 2") < log.index("Temperature rose, 3")

        assert "light on    ip[1-2],rf[1-3]\n" in site.kraken("bmc", "identify", "--all", "on", "--yes")
        assert all(bmc.light for bmc in cluster.redfish.values())


def test_a_bmc_that_does_not_tell_is_named_and_the_others_are_told_of(cluster: Cluster) -> None:
    cluster.redfish["rf1"].say("GET", ENTRIES, 200, body=b'{"Members": [', times=None)
    cluster.redfish["rf2"].say("GET", ENTRIES, 302, {"Location": "https://198.51.100.7/x"}, times=None)
    demo = Demo(cast(Any, cluster))
    with demo:
        site = Site(demo)
        site.apply({})
        told = site.kraken("bmc", "sel", "rf[1-3]", code=4)

    assert "rf3\n" in told
    assert "answered nonsense to its log: it is no JSON" in told
    assert "sent us on to 'https://198.51.100.7', which is not this service: nothing was said there" in told
    assert "2 of 3 nodes did not tell: rf[1-2]" in told


def test_of_each_bmc_is_shown_whether_its_events_are_heard_and_why_not(cluster: Cluster) -> None:
    cluster.redfish["rf1"].events.offered = True
    cluster.redfish["rf2"].events.offered, cluster.redfish["rf2"].offers_sessions = True, False
    with Demo(cast(Any, cluster)) as demo:
        site = Site(demo)
        site.apply({})
        site.until(
            lambda: "a stream has stood since" in site.kraken("bmc", "show", "rf1"), "its stream stands"
        )

        assert "no stream: the BMC has no sessions" in site.kraken("bmc", "show", "rf2")
        assert "no stream: the BMC offers none\n" in site.kraken("bmc", "show", "rf3")
        assert "events" not in site.kraken("bmc", "show", "ip1"), "over IPMI there is no such thing"

        site.kraken("hold", "rf1", "--reason", "a new fan")

        assert "no stream: the node is held\n" in site.kraken("bmc", "show", "rf1")
