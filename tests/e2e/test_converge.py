"""Kraken on real parts: BMC simulators, sshd, ansible-playbook. What a user is promised."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kraken.testing.cluster import processes
from tests.e2e.conftest import Site

pytestmark = pytest.mark.e2e

Make = Callable[[int], Site]


def test_a_cluster_goes_from_cold_to_in_service_and_is_kept_there(make_site: Make) -> None:
    site = make_site(3)
    cluster = site.demo.cluster
    site.apply()

    site.converged()

    assert all(node.power() == "on" and node.service_running() for node in cluster.nodes)
    for name in site.nodes:
        assert site.issues(name) == [("power_on", "OK"), ("fit", "OK"), ("start_service", "OK")]

    # Behind Kraken's back: one loses its power, another its service.
    dark, idle, calm = cluster.nodes
    subprocess.run(dark.bmc.ipmitool("chassis", "power", "off"), check=True, capture_output=True)
    assert idle.kill_service()
    site.until(lambda: site.cause(dark.name) != "CONVERGED", "the lost power is noticed")
    site.until(lambda: dark.power() == "on", "the power comes back")
    site.until(idle.service_running, "the service comes back")
    site.converged()

    assert dark.service_running()
    assert site.issues(calm.name) == [("power_on", "OK"), ("fit", "OK"), ("start_service", "OK")]


def test_kill_9_in_the_middle_loses_nothing_and_repeats_nothing(make_site: Make) -> None:
    site = make_site(4)
    site.apply()
    for moment in ("power_on", "fit"):
        site.until(
            lambda moment=moment: any(moment == name for n in site.nodes for name, _ in site.issues(n)),
            f"{moment} begins",
        )
        site.demo.stop_daemon(signal.SIGKILL)
        site.demo.start_daemon()

    site.converged()

    for name in site.nodes:
        issues = site.issues(name)
        seen = [mutation for mutation, outcome in issues if outcome == "OK"]
        assert len(seen) == len(set(seen)), f"done twice on {name}: {issues}"
        assert {outcome for _, outcome in issues} <= {"OK", "INTERRUPTED"}, issues
        cfg = site.demo.get(f"/v1/nodes/{name}")["cfg"]
        assert cfg == {"phys_state": "POWER_ON", "run_state": "SYNC", "service": "RUNNING"}


def test_bad_bmcs_are_explained_truly_and_cost_only_themselves(make_site: Make) -> None:
    site = make_site(5)
    mute, locked, liar, *good = site.demo.cluster.nodes
    mute.bmc.pause()
    locked.bmc.set_password("another1")
    liar.bmc.ignore_commands(True)
    site.apply({"phys_state": "POWER_ON"})

    site.converged(*(node.name for node in good))
    site.until(lambda: "does not answer" in site.explanation(mute.name)["reason"], "silence is named")
    site.until(lambda: "password" in site.explanation(locked.name)["reason"], "the password is named")
    site.until(lambda: "not seen" in site.explanation(liar.name)["reason"], "the lie is named")

    reach = {
        node.name: site.demo.get(f"/v1/nodes/{node.name}")["dsc"]["bmc.reach"] for node in (mute, locked)
    }
    assert reach == {mute.name: "NO_ANSWER", locked.name: "BAD_CREDENTIALS"}
    assert site.demo.get(f"/v1/nodes/{liar.name}")["dsc"]["bmc.reach"] == "OK"
    assert site.explanation(mute.name)["cause"] == "UNKNOWN"
    assert site.explanation(locked.name)["cause"] == "UNKNOWN"
    assert mute.power() == locked.power() == liar.power() == "off"
    assert site.issues(mute.name) == site.issues(locked.name) == []

    mute.bmc.resume()
    site.converged(mute.name)


def test_failures_end_in_quarantine_until_released(make_site: Make) -> None:
    site = make_site(1)
    node = site.demo.cluster.nodes[0]
    site.demo.stop_daemon()
    with site.demo.config_file.open("a") as config:
        config.write("engine: {quarantine_after: 2, backoff_s: 0.1}\n")
    site.demo.start_daemon()
    site.apply({"phys_state": "POWER_ON"})
    site.converged()
    site.kraken("set", node.name, "service=RUNNING", "run_state=SYNC")
    site.converged()

    subprocess.run(node.ssh("chmod -x /etc/init.d/demo; service demo stop"), capture_output=True, check=False)
    script = "mv /etc/init.d/demo /etc/init.d/demo.away && pkill -f demo-service; true"
    subprocess.run(node.ssh(script), capture_output=True, check=False)
    node.kill_service()
    site.kraken("discover", node.name)
    site.until(lambda: site.cause(node.name) == "QUARANTINED", "quarantine")
    assert "failed 2 times" in site.explanation(node.name)["reason"]

    site.demo.stop_daemon(signal.SIGKILL)
    site.demo.start_daemon()
    assert site.cause(node.name) == "QUARANTINED"

    restore = "mv /etc/init.d/demo.away /etc/init.d/demo; chmod +x /etc/init.d/demo"
    subprocess.run(node.ssh(restore), capture_output=True, check=False)
    site.kraken("retry", node.name)
    site.converged()


def test_a_held_node_is_left_alone_until_released(make_site: Make) -> None:
    site = make_site(2)
    held, free = site.nodes
    site.apply({})
    site.kraken("hold", held, "--reason", "replacing a fan")
    site.kraken("set", f"{held},{free}", "phys_state=POWER_ON")
    site.converged(free)

    assert site.explanation(held)["cause"] == "HELD"
    assert "replacing a fan" in site.explanation(held)["reason"]
    assert site.demo.cluster[held].power() == "off"

    site.kraken("release", held)
    site.converged(held)

    site.kraken("freeze", "--reason", "power work")
    site.kraken("set", held, "phys_state=POWER_OFF")
    site.until(lambda: site.cause(held) == "HELD", "the freeze holds")
    site.kraken("thaw")
    site.converged(held)
    assert site.demo.cluster[held].power() == "off"


def test_what_no_path_reaches_is_refused_with_the_reason(make_site: Make) -> None:
    site = make_site(1)
    site.apply({})
    node = site.nodes[0]

    told = site.kraken("set", node, "phys_state=POWER_OFF", "run_state=SYNC", code=3)

    assert "run_state=SYNC" in told
    assert site.demo.get(f"/v1/nodes/{node}")["cfg"] == {}
    site.kraken("set", "--allow-unreachable", node, "phys_state=POWER_OFF", "run_state=SYNC")
    site.until(lambda: site.cause(node) == "NO_PATH", "no path")


def test_the_demo_program_leaves_nothing_behind(programs: None, tmp_path: Path) -> None:
    demo = subprocess.run(
        [sys.executable, "-m", "kraken.testing.demo", "--nodes", "2", "--exit"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )

    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "2 nodes from cold to in service" in demo.stdout
    assert list(tmp_path.iterdir()) == []
    assert processes.marked("TMPDIR", str(tmp_path)) == set()
