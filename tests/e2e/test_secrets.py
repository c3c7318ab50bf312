"""Where secrets are not: passwords of BMCs, looked for on a real cluster; what tasks of Ansible hide."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from kraken.executors.ansible.keeper import descendants
from kraken.testing.process import DaemonProcess, kraken_command
from tests.e2e.conftest import Site
from tests.e2e.lookout import Lookout

pytestmark = pytest.mark.e2e

Make = Callable[[int], Site]


def test_no_secret_of_a_bmc_is_anywhere_but_in_its_file(make_site: Make) -> None:
    site = make_site(2)
    credentials = yaml.safe_load(site.demo.cluster.credentials_file.read_text())
    secret = next(iter(credentials.values()))["password"]
    lookout = Lookout(secret.encode())
    lookout.start()
    site.apply()
    site.converged()
    site.kraken("credentials", "check", "--all")
    lookout.end()

    assert lookout.seen, "children of Ansible were looked at"
    assert not lookout.found
    for path in ("/v1/nodes", "/v1/history", "/v1/runs", "/v1/health"):
        assert secret not in str(site.demo.get(path)), path
    for path in ("/v1/explain", "/v1/credentials", "/v1/power"):
        assert secret not in str(site.demo.get(path, all="true")), path
    for name in site.nodes:
        assert secret not in str(site.demo.get(f"/v1/nodes/{name}"))
    for file in [site.demo.log, *site.demo.log.parent.rglob("kraken.db*")]:
        assert secret.encode() not in file.read_bytes(), file


def test_a_password_is_changed_in_bmcs_and_is_nowhere_but_in_its_file(make_site: Make) -> None:
    site = make_site(3)
    file = site.demo.cluster.credentials_file
    content = yaml.safe_load(file.read_text())
    [(name, entry)] = content.items()
    old, new = entry["password"], "another-password"
    site.apply()
    held = sorted(site.nodes)[2]
    site.kraken("hold", held, "--reason", "memory")
    entry.update(password=new, previous=old)
    file.write_text(yaml.safe_dump(content))
    lookout = Lookout(new.encode())
    lookout.start()

    assert "has the previous" in site.kraken("credentials", "rotate", name, "--all", "--dry-run", code=1)
    told = site.kraken("credentials", "rotate", name, "--all", code=4)
    assert ("changed" in told, f"held             {held}" in told) == (True, True)
    site.kraken("credentials", "rotate", name, "--all", "--held")
    lookout.end()

    del entry["previous"]
    file.write_text(yaml.safe_dump(content))
    site.kraken("credentials", "check", "--all")

    assert not lookout.found
    for secret in (old, new):
        assert secret not in str(site.demo.get("/v1/history"))
        for kept in [site.demo.log, *site.demo.log.parent.rglob("kraken.db*")]:
            assert secret.encode() not in kept.read_bytes(), kept


def test_a_daemon_leaves_no_core(make_site: Make) -> None:
    site = make_site(1)
    limits = Path(f"/proc/{site.demo.daemon_pid()}/limits").read_text()
    [core] = [line for line in limits.splitlines() if line.startswith("Max core file size")]

    assert core.split()[4:6] == ["0", "0"]


def test_credentials_check_says_who_is_let_in(make_site: Make) -> None:
    site = make_site(3)
    locked, mute, _ = site.demo.cluster.nodes
    site.apply({})
    locked.bmc.set_password("another1")
    mute.bmc.pause()

    def told() -> dict[str, str]:
        text = site.kraken("credentials", "check", "--all", code=4)
        return {line.split()[0]: line.split()[1] for line in text.splitlines() if line[:1].isupper()}

    everybody = {"BAD_CREDENTIALS": locked.name, "NO_ANSWER": mute.name, "OK": site.nodes[2]}
    site.until(
        lambda: told() == everybody, "the check says who is let in, once the BMC is back"
    )  # it restarts
    mute.bmc.resume()


VAULTED = """\
kraken_module: 1
name: vaulted
summary: Tasks that need secrets and say no_log.
variables:
  key: {values: [ABSENT, PUT]}
  door: {values: [SHUT, OPEN]}
mutations:
  put:
    mutates: {key: [ANY, PUT]}
    timeout: 60s
    asserts: true
    tasks:
      - name: Take the key
        ansible.builtin.command: {cmd: cat, stdin: '{{ first_secret }}'}
        no_log: true
        register: taken
      - name: See that it came through
        ansible.builtin.assert: {that: "taken.stdout | length == 24"}
        no_log: true
  open:
    mutates: {door: [ANY, OPEN]}
    timeout: 60s
    asserts: true
    tasks:
      - name: Open the door
        ansible.builtin.command: "sh -c 'echo $1 >&2; exit 3' sh {{ item }}"
        loop: ['{{ second_secret }}']
        no_log: true
"""


LASTING = """\
kraken_module: 1
name: lasting
summary: A task that has a secret for as long as it is let.
variables:
  key: {{values: [ABSENT, PUT]}}
mutations:
  put:
    mutates: {{key: [ANY, PUT]}}
    timeout: 10m
    asserts: true
    tasks:
      - name: Take the key
        ansible.builtin.command: {{cmd: cat, stdin: '{{{{ the_secret }}}}'}}
        no_log: true
        register: taken
      - name: Stay
        ansible.builtin.shell:
          cmd: "touch {began}; while [ ! -e {go} ]; do sleep 0.05; done"
          stdin: '{{{{ taken.stdout }}}}'
        no_log: true
"""


@pytest.mark.parametrize("starter", ["process", "forkserver"])
def test_what_tasks_hide_is_nowhere_while_they_run(tmp_path: Path, starter: str) -> None:
    secret, began, go = "seen-by-nobody-meanwhile", tmp_path / "began", tmp_path / "go"
    password, variables, modules = tmp_path / "password", tmp_path / "vars.yml", tmp_path / "modules"
    modules.mkdir()
    (modules / "lasting.yml").write_text(LASTING.format(began=began, go=go))
    password.touch(mode=0o600)
    password.write_text("sesame\n")
    variables.write_text(f"the_secret: {secret}\n")
    vault = Path(sys.executable).with_name("ansible-vault")
    lock = [vault, "encrypt", "--vault-password-file", password, variables]
    subprocess.run(lock, check=True, capture_output=True)
    daemon = DaemonProcess(
        tmp_path,
        "kraken",
        {
            "module_dirs": [str(modules)],
            "collections_paths": [str(tmp_path / "none")],
            "vault_password_file": str(password),
            "ansible": {"vault_files": [str(variables)], "starter": starter},
        },
    )
    daemon.configure()
    events, lookout, watching = tmp_path / "events", Lookout(secret.encode()), None
    lookout.start()
    daemon.start()
    try:
        with events.open("wb") as told:
            watch = [*kraken_command(), "watch", "-o", "json"]
            watching = subprocess.Popen(watch, env=daemon.environ, stdout=told, stderr=told)
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        daemon.post("/v1/apply", {"document": {"nodes": {"n1": {"attributes": local}}}})
        assert daemon.kraken("set", "n1", "key=PUT").returncode == 0
        deadline = time.monotonic() + 100.0
        while not (began.exists() and b"run-started" in events.read_bytes()):
            assert time.monotonic() < deadline, daemon.log.read_text()
            time.sleep(0.05)
        [run] = daemon.get("/v1/runs", limit="10")["runs"]
        answers = [daemon.get(f"/v1/runs/{run['id']}")]
        answers += [daemon.get(path) for path in ("/v1/history", "/v1/nodes", "/v1/health")]
        answers += [daemon.get("/v1/explain", all="true")]
        files = files_of_runs(daemon.pid)
        holding = [file for file in files if secret.encode() in file.read_bytes()]
        kept = [events, daemon.log, *daemon.state.rglob("kraken.db*")]
        holding += [file for file in kept if secret.encode() in file.read_bytes()]
        go.touch()
        done = daemon.kraken("wait", "n1", "--timeout", "100s")
    finally:
        go.touch()
        lookout.end()
        if watching is not None:
            watching.terminate()
            watching.wait()
        daemon.stop()

    assert run["out"] == 1, "it was looked at while the task ran"
    assert "inventory.json" in {file.name for file in files}
    assert holding == []
    assert secret not in str(answers)
    assert lookout.seen, "processes of Ansible were looked at"
    assert not lookout.found
    assert done.returncode == 0, done.stdout + done.stderr


def files_of_runs(daemon: int) -> list[Path]:
    """The files of what runs of Ansible under way at this daemon work with."""
    inventories = set()
    for pid in descendants(daemon):
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        except (FileNotFoundError, ProcessLookupError):  # it has ended since
            continue
        inventories |= {Path(word) for word in arguments if word.endswith("/inventory.json")}
    roots = {inventory.parent.parent for inventory in inventories}
    return [path for root in roots for path in root.rglob("*") if path.is_file()]


def test_what_tasks_hide_is_nowhere_and_each_vault_has_its_password(tmp_path: Path) -> None:
    secrets = {"first": "only-tasks-may-know-this", "second": "nobody-hears-why-it-fails"}
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "vaulted.yml").write_text(VAULTED)
    files, ids = [], []
    for name, secret in secrets.items():
        password, file = tmp_path / f"{name}-password", tmp_path / f"{name}.yml"
        password.touch(mode=0o600)
        password.write_text(f"sesame {name}\n")
        file.write_text(f"{name}_secret: {secret}\n")
        ids.append(f"{name}@{password}")
        vault = Path(sys.executable).with_name("ansible-vault")
        subprocess.run([vault, "encrypt", "--vault-id", ids[-1], file], check=True, capture_output=True)
        files.append(str(file))
    daemon = DaemonProcess(
        tmp_path,
        "kraken",
        {
            "module_dirs": [str(tmp_path / "modules")],
            "collections_paths": [str(tmp_path / "none")],
            "vault_ids": ", ".join(ids),
            "ansible": {"vault_files": files, "starter": "process"},
        },
    )
    daemon.configure()
    events = tmp_path / "events"
    daemon.start()
    watching = None
    try:
        with events.open("wb") as told:
            watching = subprocess.Popen(
                [*kraken_command(), "watch", "-o", "json"], env=daemon.environ, stdout=told, stderr=told
            )
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        daemon.post("/v1/apply", {"document": {"nodes": {"n1": {"attributes": local}}}})
        assert daemon.kraken("set", "n1", "key=PUT").returncode == 0
        done = daemon.kraken("wait", "n1", "--timeout", "100s")
        assert done.returncode == 0, done.stdout + done.stderr + daemon.log.read_text()
        assert daemon.kraken("set", "n1", "door=OPEN").returncode == 0
        deadline = time.monotonic() + 100.0
        while "hidden by no_log" not in (said := daemon.kraken("explain", "n1").stdout):
            assert time.monotonic() < deadline, said
            time.sleep(0.2)
        runs = daemon.get("/v1/runs", limit="1000")["runs"]
        answers = [daemon.get(f"/v1/runs/{run['id']}") for run in runs]
        answers += [daemon.get(path) for path in ("/v1/history", "/v1/nodes", "/v1/health")]
        answers += [daemon.get("/v1/explain", all="true")]
    finally:
        if watching is not None:
            watching.terminate()
            watching.wait()
        daemon.stop()

    assert len(runs) >= 2
    assert b"vaulted" in events.read_bytes() or b"door" in events.read_bytes()
    for secret in secrets.values():
        assert secret not in str(answers)
        assert secret not in said
        for kept in (events, daemon.log, *daemon.state.rglob("kraken.db*")):
            assert secret.encode() not in kept.read_bytes(), kept
