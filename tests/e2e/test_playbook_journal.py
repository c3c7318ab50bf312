"""An ordinary playbook, with the callback switched on: the real daemon's history tells who touched a node."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e.test_collection import BIN, Head, Site, daemon, environment, installed

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("collection")]
FIXTURES = (daemon, installed)

PLAY = {
    "name": "Patch",
    "hosts": "all",
    "gather_facts": False,
    "tasks": [
        {"name": "Change something", "ansible.builtin.command": "true"},
        {
            "name": "Start slurmd",
            "ansible.builtin.fail": {"msg": "no such unit"},
            "when": "inventory_hostname == 'n2'",
        },
    ],
}


def history(head: Head, *words: str) -> str:
    done = subprocess.run(
        [BIN / "kraken", "--socket", head.socket, "history", *words],
        env=environment(COLUMNS="160"),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_who_touched_a_node_is_in_its_history(tmp_path: Path, installed: Path, daemon: Head) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    site = Site(folder, installed, daemon)
    (folder / "site.yml").write_text(json.dumps([PLAY]))
    (folder / "others.ini").write_text("stranger ansible_connection=local\n")
    words = ("ansible-playbook", "-i", str(site.inventory), "-i", str(folder / "others.ini"))
    callback = {"ANSIBLE_CALLBACKS_ENABLED": "kraken.hpc.journal", "LOGNAME": "ada"}
    done = site.run(*words, str(folder / "site.yml"), "-vv", **callback)
    entries = json.loads(history(daemon, "n2", "-o", "json"))["entries"]
    (entry,) = [entry for entry in entries if entry["kind"] == "playbook"]
    shown = history(daemon)

    assert done.returncode == 2, done.stdout + done.stderr
    assert "kraken.hpc.journal: kept of 3 nodes, 1 hosts are none" in done.stdout
    assert entry["source"] == "ada"
    assert entry["text"] == "site.yml (Patch): ok 1, changed 1, failed 1; 'Start slurmd': no such unit"
    assert entry["data"]["failure"]["task"] == "Start slurmd"
    (line,) = [line for line in shown.splitlines() if "n[1,3]" in line]
    assert "site.yml (Patch): ok 1, changed 1, skipped 1" in line
    assert line.rstrip().endswith("ada")
