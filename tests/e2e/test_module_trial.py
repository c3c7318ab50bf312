"""`kraken module test --nodes`: the tasks themselves, over ssh, on nodes that are gone afterwards."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kraken.testing.cluster import processes
from kraken.testing.process import kraken_command

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.getuid() != 0, reason="virtual nodes with file systems of their own need root"),
]
ROOT = Path(__file__).resolve().parents[2]


def kraken(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*kraken_command(), *words],
        env={**os.environ, "TMPDIR": str(place)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_a_mutation_that_does_other_than_it_declares_is_found(programs: None, tmp_path: Path) -> None:
    place = tmp_path / "t"
    place.mkdir()
    collection = tmp_path / "ansible_collections/acme/site"
    collection.mkdir(parents=True)
    (collection / "galaxy.yml").write_text("namespace: acme\nname: site\nversion: 1.0.0\n")
    assert kraken(place, "module", "new", "trial_probe", str(collection)).returncode == 0
    file = collection / "extensions/kraken/trial_probe.yml"
    # Removing is done to another file, and reported as it was meant, by nobody's looking.
    text = file.read_text()
    head, remove = text.split("  remove_trial_probe:")
    remove = remove.replace("path: /etc/trial_probe.conf", "path: /etc/other.conf").replace(
        "      - *look\n", ""
    )
    file.write_text(f"{head}  remove_trial_probe:{remove}")

    tried = kraken(place, "module", "test", str(collection), "--with", str(ROOT), "--nodes", "2")

    lines = {line.split()[1]: line for line in tried.stdout.splitlines() if not line[0].isdigit()}
    assert lines["trial_probe.add_trial_probe"].startswith("OK"), tried.stdout + tried.stderr
    found = "trial_probe_status sees trial_probe=PRESENT on n000[12], not ABSENT"  # whichever was ready first
    assert re.search(found, tried.stdout), tried.stdout
    assert tried.returncode == 1
    assert not Path("/etc/trial_probe.conf").exists(), "nothing is done to this machine"
    assert list(place.iterdir()) == []
    assert processes.marked("TMPDIR", str(place)) == set()


SEALED = """\
kraken_module: 1
name: sealed
summary: A file with a secret in it.
variables:
  sealed: {{values: [ABSENT, PRESENT], fresh_for: 5m}}
mutations:
  put:
    mutates: {{sealed: [ANY, PRESENT]}}
    timeout: 60s
    asserts: true
    vars:
      one: !vault |
{one}
    tasks:
      - name: See that both are open
        ansible.builtin.assert: {{that: ["one == 'first'", "two == 'second'"]}}
        no_log: true
"""


def test_secrets_of_tasks_are_opened_with_the_passwords_that_are_named(
    programs: None, tmp_path: Path
) -> None:
    place, password, variables = tmp_path / "t", tmp_path / "password", tmp_path / "vars.yml"
    place.mkdir()
    password.touch(mode=0o600)
    password.write_text("sesame\n")
    variables.write_text("two: second\n")
    vault = Path(sys.executable).with_name("ansible-vault")

    def sealed(*words: str) -> str:
        command = [vault, *words, "--vault-id", f"site@{password}", "--encrypt-vault-id", "site"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    sealed("encrypt", str(variables))
    one = sealed("encrypt_string", "first").partition("\n")[2]
    collection = tmp_path / "ansible_collections/acme/site"
    (collection / "extensions/kraken").mkdir(parents=True)
    (collection / "galaxy.yml").write_text("namespace: acme\nname: site\nversion: 1.0.0\n")
    (collection / "extensions/kraken/sealed.yml").write_text(SEALED.format(one=one.rstrip()))
    words = ["module", "test", str(collection), "--with", str(ROOT), "--nodes", "1"]

    tried = kraken(place, *words, "--vault-id", f"site@{password}", "--vault-file", str(variables))

    assert tried.returncode == 0, tried.stdout + tried.stderr
    assert "OK       sealed.put" in tried.stdout
