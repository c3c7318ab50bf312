"""The playbooks and the inventory of this checkout, run by the real ansible-playbook on a real cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Site

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


def test_a_playbook_declares_and_the_inventory_shows_what_came_of_it(
    make_site: Callable[[int], Site],
) -> None:
    site = make_site(2)
    site.apply({})
    nodeset = ",".join(site.nodes)

    declare = ("ansible-playbook", "playbooks/declare.yml", "-e", f"declare_nodes={nodeset}")
    check = _ansible(site, *declare, "--check")
    assert "changed=1" in check
    assert all(node.power() == "off" for node in site.demo.cluster.nodes)

    _ansible(site, *declare)

    assert all(node.service_running() for node in site.demo.cluster.nodes)
    again = _ansible(site, *declare)
    assert "changed=0" in again

    inventory = json.loads(_ansible(site, "ansible-inventory", "--list"))
    assert sorted(inventory["kraken_cause_converged"]["hosts"]) == sorted(site.nodes)
    assert sorted(inventory["compute"]["hosts"]) == sorted(site.nodes)

    report = _ansible(site, "ansible-playbook", "playbooks/report.yml")
    assert "CONVERGED" in report
    maintained = _ansible(
        site, "ansible-playbook", "playbooks/maintain.yml", "-e", "maintain_command=hostname"
    )
    assert all(f"{name} " in maintained for name in site.nodes)
    _ansible(site, "ansible-playbook", "playbooks/declare_from_inventory.yml")
    site.converged()


def _ansible(site: Site, program: str, *words: str) -> str:
    """Run it in the checkout, as the documents say; its output."""
    done = subprocess.run(
        [str(BIN / program), *words],
        cwd=ROOT,
        env={**site.demo.environ, "PATH": f"{BIN}:/usr/bin:/bin", "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, f"{program} {' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout
