"""A node that shows another host key than the one that is known: installed anew, or somebody else."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable

import pytest

from tests.e2e.conftest import Site

pytestmark = pytest.mark.e2e


def test_a_node_with_another_host_key_is_refused_until_somebody_accepts_it(
    make_site: Callable[[int], Site],
) -> None:
    site = make_site(2)
    site.apply()
    site.converged()
    cluster = site.demo.cluster
    node, other = cluster.nodes
    key = cluster.directory / "nodes" / node.name / "host_key"

    key.unlink()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    subprocess.run(node.bmc.ipmitool("chassis", "power", "off"), check=True, capture_output=True)
    site.kraken("discover", node.name)
    site.until(lambda: site.cause(node.name) == "QUARANTINED", "it is no longer tried")
    reason = str(site.explanation(node.name)["reason"])

    assert "its host key changed" in reason
    assert not node.service_running(), "nothing is done to who shows a wrong key"
    assert [name for name, _ in site.issues(node.name)].count("power_on") == 2, "nor is it power-cycled"
    assert site.cause(other.name) == "CONVERGED"

    forget = re.search(r"ssh-keygen [^)]+", reason)
    assert forget is not None, reason
    subprocess.run(shlex.split(forget.group()), check=True, capture_output=True)
    scan = ["ssh-keyscan", "-t", "ed25519", "-p", str(node.ssh_port), node.ssh_address]
    shown = subprocess.run(scan, check=True, capture_output=True, text=True).stdout
    assert key.with_suffix(".pub").read_text().split()[1] in shown, "what the operator compares"
    with (cluster.directory / "known_hosts").open("a") as known:
        known.write(shown)
    site.kraken("retry", node.name)
    site.converged()

    assert node.service_running()
