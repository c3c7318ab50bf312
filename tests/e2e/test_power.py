"""Power by hand on real BMC simulators: refused where it fights, kept where held, seen where done."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from kraken.testing.cluster import VirtualNode
from tests.e2e.conftest import Site

pytestmark = pytest.mark.e2e

Make = Callable[[int], Site]


def ipmitool_says(node: VirtualNode) -> str:
    asked = subprocess.run(
        node.bmc.ipmitool("chassis", "power", "status"), check=True, capture_output=True, text=True
    )
    return asked.stdout.strip()


def test_power_by_hand_is_refused_where_kraken_would_undo_it_and_stays_where_it_is_held(
    make_site: Make,
) -> None:
    site = make_site(2)
    node, other = site.demo.cluster.nodes
    site.apply({"phys_state": "POWER_ON"})
    site.converged()

    refused = site.kraken("power", node.name, "off", "--yes", code=3)
    assert "it would power_on, for phys_state=POWER_ON is declared" in refused
    assert ipmitool_says(node) == "Chassis Power is on"

    told = site.kraken("power", node.name, "off", "--hold", "memory exchange")
    assert f"POWER_OFF   {node.name}" in told
    assert ipmitool_says(node) == "Chassis Power is off"
    assert "memory exchange" in site.explanation(node.name)["reason"]

    site.kraken("discover", node.name)  # Kraken knows, and leaves it alone all the same
    assert site.issues(node.name)[-1] == ("power_off", "OK")
    told = site.kraken("power", "--all", "status")
    assert f"POWER_OFF   {node.name}" in told
    assert f"POWER_ON    {other.name}" in told

    site.kraken("release", node.name)
    site.until(lambda: node.power() == "on", "what is declared comes back")
    assert site.issues(other.name) == [("power_on", "OK")]


def test_a_cycle_by_hand_makes_kraken_see_the_boot(make_site: Make) -> None:
    site = make_site(1)
    (node,) = site.demo.cluster.nodes
    site.apply({"phys_state": "POWER_ON", "run_state": "SYNC"})
    site.converged()

    assert "--yes" in site.kraken("power", node.name, "cycle", code=3)
    site.kraken("power", node.name, "cycle", "--yes")
    site.converged()

    issues = [issue for issue in site.issues(node.name) if issue[0] != "boot"]
    assert issues == [("power_on", "OK"), ("fit", "OK"), ("power_cycle", "OK"), ("fit", "OK")]
    assert ipmitool_says(node) == "Chassis Power is on"


def test_a_mute_bmc_is_named_and_the_others_are_done(make_site: Make) -> None:
    site = make_site(2)
    mute, good = site.demo.cluster.nodes
    site.apply({})
    site.kraken("power", "--all", "status")
    mute.bmc.pause()

    told = site.kraken("power", "--all", "on", code=4)

    assert f"POWER_ON    {good.name}" in told
    assert f"failed: {mute.name}" in told
    assert "UNREACHABLE" in told  # its session was for looks: it fell silent before it was told to switch
    assert ipmitool_says(good) == "Chassis Power is on"
    assert f"did not tell: {mute.name}" in site.kraken("power", "--all", "status", code=4)


def test_declaring_power_switches_it_and_withdraws_what_cannot_be_had_with_it(make_site: Make) -> None:
    site = make_site(1)
    (node,) = site.demo.cluster.nodes
    site.apply({"phys_state": "POWER_ON", "run_state": "SYNC"})
    site.converged()

    assert "run_state would be wished no more" in site.kraken("power", node.name, "off", "--declare", code=3)
    site.kraken("power", node.name, "off", "--declare", "--yes")

    assert node.power() == "off"
    assert site.demo.get(f"/v1/nodes/{node.name}")["cfg"] == {"phys_state": "POWER_OFF"}
