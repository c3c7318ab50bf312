"""What keeps a collector from running Ansible is said of the collector, and held against no node."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kraken.testing.process import DaemonProcess

pytestmark = pytest.mark.e2e

MODULE = """\
kraken_module: 1
name: key
summary: A key that is in a vault.
variables:
  key: {values: [ABSENT, PUT]}
mutations:
  put:
    mutates: {key: [ANY, PUT]}
    timeout: 60s
    asserts: true
    tasks:
      - name: Take the key
        ansible.builtin.assert: {that: "the_secret == 'sesame'"}
        no_log: true
"""
NODES = "n[1-3]"
PASSWORD = "what opens it\n"
WHOLE, SINGLE = "a file that is encrypted whole", "a value that is encrypted"


def vault(password: Path, *words: str) -> str:
    program = Path(sys.executable).with_name("ansible-vault")
    done = subprocess.run(
        [program, words[0], "--vault-password-file", password, *words[1:]],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


@contextmanager
def running(place: Path, settings: dict[str, Any], module: str = MODULE) -> Iterator[DaemonProcess]:
    """A daemon with three nodes on this machine, all of which are to have the key."""
    (place / "modules").mkdir()
    (place / "modules" / "key.yml").write_text(module)
    daemon = DaemonProcess(
        place,
        "kraken",
        {
            "module_dirs": [str(place / "modules")],
            "collections_paths": [str(place / "none")],
            "engine": {"backoff_s": 0.5, "backoff_s_max": 2},
            **settings,
        },
    )
    daemon.configure()
    daemon.start()
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    try:
        daemon.post("/v1/apply", {"document": {"nodes": {NODES: {"attributes": local}}}})
        assert daemon.kraken("set", NODES, "key=PUT").returncode == 0
        yield daemon
    finally:
        daemon.stop()


def until(what: Callable[[], bool], daemon: DaemonProcess) -> None:
    deadline = time.monotonic() + 200.0
    while not what():
        assert time.monotonic() < deadline, daemon.kraken("explain", "--all").stdout + daemon.log.read_text()
        time.sleep(0.2)


def tried(daemon: DaemonProcess) -> int:
    return len(daemon.get("/v1/runs", limit="1000")["runs"])


def goes_on_once(daemon: DaemonProcess, told: str, mend: Callable[[], None]) -> None:
    """It says what it cannot do, blames no node for longer than failures may last, and goes on by itself."""
    until(lambda: tried(daemon) > 7 and bool(daemon.get("/v1/health")["faults"]), daemon)
    [fault] = daemon.get("/v1/health")["faults"]
    nodes = [daemon.get(f"/v1/nodes/n{number}") for number in (1, 2, 3)]
    status, explained = daemon.kraken("status").stdout, daemon.kraken("explain", NODES).stdout
    mend()

    assert fault["name"] == "key.put"
    assert told in fault["reason"]
    assert [node["quarantined"] for node in nodes] == [None] * 3
    assert [node["failures"] for node in nodes] == [0] * 3
    assert "This collector cannot do" in status
    assert "its collector cannot do key.put" in explained
    until(lambda: daemon.get("/v1/health")["causes"] == {"CONVERGED": 3}, daemon)
    assert daemon.get("/v1/health")["faults"] == []


@pytest.mark.parametrize(
    ("sealed", "told"), [(WHOLE, "cannot decrypt "), (SINGLE, "a variable cannot be decrypted")]
)
def test_a_vault_whose_password_is_wrong(tmp_path: Path, sealed: str, told: str) -> None:
    password, variables = tmp_path / "password", tmp_path / "vars.yml"
    password.touch(mode=0o600)
    password.write_text(PASSWORD)
    if sealed == WHOLE:
        variables.write_text("the_secret: sesame\n")
        vault(password, "encrypt", str(variables))
    else:
        variables.write_text(vault(password, "encrypt_string", "--name", "the_secret", "sesame"))
    password.write_text("something else\n")
    settings = {"vault_password_file": str(password), "ansible": {"vault_files": [str(variables)]}}

    with running(tmp_path, settings) as daemon:
        goes_on_once(daemon, told, lambda: _write(password, PASSWORD))


def test_a_value_that_no_password_opens_after_a_task_that_was_done(tmp_path: Path) -> None:
    password, variables, begun = tmp_path / "password", tmp_path / "vars.yml", tmp_path / "begun"
    password.touch(mode=0o600)
    password.write_text(PASSWORD)
    variables.write_text(vault(password, "encrypt_string", "--name", "the_secret", "sesame"))
    password.write_text("something else\n")
    settings = {"vault_password_file": str(password), "ansible": {"vault_files": [str(variables)]}}
    begun.mkdir()
    before = f"""\
    tasks:
      - name: Begin
        ansible.builtin.copy: {{dest: "{begun}/{{{{ inventory_hostname }}}}", content: begun, mode: "0600"}}
"""

    with running(tmp_path, settings, MODULE.replace("    tasks:\n", before)) as daemon:
        goes_on_once(daemon, "a variable cannot be decrypted", lambda: _write(password, PASSWORD))

        assert sorted(file.name for file in begun.iterdir()) == ["n1", "n2", "n3"]


def test_a_vault_whose_password_is_missing(tmp_path: Path) -> None:
    password = tmp_path / "password"
    module = MODULE.replace("the_secret", "'sesame'")

    with running(tmp_path, {"vault_password_file": str(password)}, module) as daemon:
        goes_on_once(daemon, f"password file {password} was not found", lambda: _write(password, PASSWORD))


def test_tasks_that_ansible_cannot_read(tmp_path: Path) -> None:
    with running(tmp_path, {}, MODULE.replace("ansible.builtin.assert", "acme.site.absent")) as daemon:

        def mend() -> None:
            (tmp_path / "modules" / "key.yml").write_text(MODULE.replace("the_secret", "'sesame'"))
            assert daemon.kraken("module", "reload").returncode == 0

        goes_on_once(daemon, "acme.site.absent", mend)


def _write(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text)
