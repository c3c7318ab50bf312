"""The tasks with which a role has a machine join: once, and to the end where they were cut off."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kraken.testing.grove import free_port
from kraken.testing.process import DaemonProcess

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("runuser") is None, reason="another user's command needs root"
    ),
]

ROOT = Path(__file__).resolve().parents[2]
KILLED = """
import os, signal
from kraken.transport.keyring import Keyring
Keyring.take_joining = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
"""
"""Of `kraken join`: it is ended when the parent has its key, and its own disk not that it has a parent."""


class Site:
    """A parent that runs, a machine that is to join, and the playbook of whoever has them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "child-state"
        self.state.mkdir(mode=0o700)
        (folder / "child.yaml").write_text(yaml.safe_dump({"state_dir": str(self.state)}))
        tree = {"name": "head1", "listen": f"127.0.0.1:{free_port()}"}
        self.parent = DaemonProcess(folder, "head1", {"tree": tree})
        self.parent.configure()
        self.command()

    def command(self, before: str = "") -> None:
        """Have the `kraken` of the machine do this first."""
        program = self.folder / "venv/bin/kraken"
        program.parent.mkdir(parents=True, exist_ok=True)
        config = self.folder / "child.yaml"
        path = f"PYTHONPATH={os.environ.get('PYTHONPATH', '')}"
        words = f"{path} exec {sys.executable} {self.folder / 'start.py'}"
        program.write_text(f'#!/bin/sh\nset -- "$@" --config {config}\n{words} "$@"\n')
        (self.folder / "start.py").write_text(
            f"{before}\nimport sys\nfrom kraken.cli import main\nsys.exit(main())\n"
        )
        program.chmod(0o755)

    def play(self, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run the tasks."""
        given = {
            "kraken_name": "rack7",
            "kraken_parent": "head",
            "kraken_parent_socket": str(self.parent.socket),
            "kraken_parent_addresses": [],
            "kraken_state_dir": str(self.state),
            "kraken_user": "root",
            "kraken_group": "root",
            "__kraken_venv": str(self.folder / "venv"),
        }
        here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        hosts = {"hosts": {"head": here, "rack7": here}}
        (self.folder / "hosts.yml").write_text(yaml.safe_dump({"all": hosts}))
        role = {"name": "kraken.hpc.kraken", "tasks_from": "join"}
        tasks = [{"name": "Join", "ansible.builtin.include_role": role}]
        play = {"name": "Join", "hosts": "rack7", "gather_facts": False, "tasks": tasks}
        (self.folder / "site.yml").write_text(yaml.safe_dump([play]))
        return subprocess.run(
            [
                *(
                    str(Path(sys.executable).parent / "ansible-playbook"),
                    "-i",
                    str(self.folder / "hosts.yml"),
                ),
                *("-e", json.dumps({**given, **more}), str(self.folder / "site.yml")),
            ],
            env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT), "ANSIBLE_NOCOLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def joined(self) -> bool:
        """Whether the machine knows of its parent."""
        return (self.state / "tree/parent.json").exists()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    found = Site(tmp_path)
    found.parent.start()
    yield found
    found.parent.stop()


def test_a_machine_joins_once_and_keeps_no_token(site: Site) -> None:
    first, second = site.play(), site.play()

    assert first.returncode == 0, first.stdout
    assert site.joined
    assert not (site.state / "invitation").exists()
    assert second.returncode == 0, second.stdout
    assert "changed=0" in second.stdout


def test_a_join_that_was_cut_off_goes_on_by_itself(site: Site) -> None:
    """Its parent has its key: for any other it would have to be told that it takes a place."""
    site.command(KILLED)
    cut_off = site.play()
    token = site.state / "invitation"

    assert "did not join" in cut_off.stdout
    assert not site.joined
    assert token.stat().st_mode & 0o777 == 0o600
    assert "KRK1-" in token.read_text()
    assert "KRK1-" not in cut_off.stdout + cut_off.stderr

    site.command()
    again = site.play()

    assert again.returncode == 0, again.stdout
    assert site.joined
    assert not token.exists()


def test_a_token_that_is_good_no_more_makes_room_for_another(site: Site) -> None:
    site.command("import sys; sys.exit(1)")
    site.play()
    invited = site.parent.kraken("collector", "invite", "rack7")
    assert invited.returncode == 0
    site.command()
    again = site.play()

    assert again.returncode == 0, again.stdout
    assert site.joined


def test_a_machine_without_its_keys_takes_no_place_unasked(site: Site) -> None:
    site.play()
    shutil.rmtree(site.state / "tree")
    refused, replaced = site.play(), site.play(kraken_replace=True)

    assert "set kraken_replace: true for it" in refused.stdout
    assert replaced.returncode == 0, replaced.stdout
    assert site.joined
