"""The collection, built and installed into an empty directory, used as an administrator uses it.

`head` is a scripted Kraken: another that answers at a socket and has the same nodes can take its
place. What the nodes are told is asked over HTTP, of whoever answers.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
import yaml

from kraken.testing.demo import WISHES
from tests.e2e.conftest import Site as Cluster

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "ansible_collections" / "kraken" / "hpc"
BIN = Path(sys.executable).parent
UP = {"phys_state": "POWER_ON", "run_state": "SYNC", "service": "RUNNING"}

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("collection")]


PAPER = {
    "kraken_module": 1,
    "name": "paper",
    "summary": "States of machines that exist on paper only.",
    "variables": {
        "phys_state": {"values": ["POWER_OFF", "POWER_ON"]},
        "service": {"values": ["STOPPED", "RUNNING"]},
    },
    "mutations": {
        name: {
            "mutates": {variable: ["ANY", value]},
            "requires": requires,
            "timeout": "60s",
            "asserts": True,
            "disruptive": False,
            "tasks": [{"name": "Note it", "ansible.builtin.debug": {"msg": value}}],
        }
        for name, variable, value, requires in (
            ("power_on", "phys_state", "POWER_ON", {}),
            ("start", "service", "RUNNING", {"phys_state": "POWER_ON"}),
        )
    },
}


@dataclass
class Head:
    """A Kraken with nodes n[1-4] in group compute and login1 in none; n4 is quarantined."""

    socket: str

    def http(self) -> httpx.Client:
        return httpx.Client(
            transport=httpx.HTTPTransport(uds=self.socket, verify=False), base_url="http://kraken"
        )

    def node(self, name: str) -> dict[str, Any]:
        with self.http() as http:
            nodes = http.get("/v1/nodes", params={"nodeset": name, "view": "full"}).json()["nodes"]
        assert len(nodes) == 1
        return dict(nodes[0])

    def cfg(self, name: str) -> dict[str, str]:
        return dict(self.node(name)["cfg"])


@pytest.fixture
def head(tmp_path: Path) -> Iterator[Head]:
    fake_api = load("kraken_fake_api", ROOT / "tests" / "unit" / "collection" / "fake_api.py")
    kraken = fake_api.FakeKraken(
        variables={
            "phys_state": ["POWER_OFF", "POWER_ON"],
            "run_state": ["INIT", "SYNC", "ERROR"],
            "service": ["STOPPED", "RUNNING", "FAILED"],
        }
    )
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    kraken.add("n[1-4]", groups=["compute"], attributes={**local, "bmc.protocol": "ipmi", "rack": "{name}"})
    kraken.add("login1", attributes=local)
    kraken.become("n4", "QUARANTINED", "power_on failed 3 times")
    kraken.add("slow1", attributes=local)
    settle = kraken._set

    def set_and_converge(name: str, changes: dict[str, Any], changed: bool) -> None:
        settle(name, changes, changed)
        if name == "slow1":
            kraken.become(name, "RUNNING", "power_on is under way")
        elif name != "n4":
            kraken.converge(name)
        else:
            kraken.become("n4", "QUARANTINED", "power_on failed 3 times")

    kraken._set = set_and_converge
    with fake_api.serving(kraken, tmp_path / "kraken.sock") as path:
        yield Head(str(path))


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Head]:
    """A real daemon that knows module `paper` and nodes n[1-3]."""
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "paper.yml").write_text(json.dumps(PAPER))
    config = tmp_path / "kraken.yaml"
    config.write_text(json.dumps({"module_dirs": [str(modules)]}))
    head = Head(str(tmp_path / "kraken.sock"))
    command = [BIN / "kraken", "daemon", "--config", config, "--state-dir", tmp_path / "state"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--socket", head.socket], cwd=tmp_path, stdout=log, stderr=log, env=environment()
        )
    try:
        wait_for(process, head, tmp_path / "log")
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        with head.http() as http:
            done = http.post("/v1/apply", json={"document": {"nodes": {"n[1-3]": {"attributes": local}}}})
        assert done.is_success, done.text
        yield head
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that holds the collection as ansible-galaxy installs it, and nothing else."""
    folder = tmp_path_factory.mktemp("collection")
    (folder / "ansible.cfg").touch()  # no other counts
    built = ansible("ansible-galaxy", "collection", "build", str(SOURCE), cwd=folder)
    assert built.returncode == 0, built.stderr
    (tarball,) = folder.glob("kraken-hpc-*.tar.gz")
    place = folder / "installed"
    install = ("ansible-galaxy", "collection", "install", str(tarball), "--offline")
    done = ansible(*install, "--collections-path", str(place), cwd=folder)
    assert done.returncode == 0, done.stderr
    return place


class Site:
    """An administrator's directory: the installed collection, an inventory file, and a Kraken."""

    def __init__(self, folder: Path, installed: Path, head: Head) -> None:
        self.folder = folder
        self.inventory = folder / "kraken.yml"
        self.inventory.write_text("plugin: kraken.hpc.nodes\n")
        (folder / "ansible.cfg").write_text("[inventory]\nany_unparsed_is_failed = true\n")
        self.env = {"ANSIBLE_COLLECTIONS_PATH": str(installed), "KRAKEN_SOCKET": head.socket}

    def run(self, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
        return ansible(*command, cwd=self.folder, **{**self.env, **env})

    def play(self, playbook: Path, *args: str) -> subprocess.CompletedProcess[str]:
        return self.run("ansible-playbook", "-i", str(self.inventory), str(playbook), *args)

    def state(self, *args: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Play one task of kraken.hpc.state."""
        playbook = self.folder / "state.yml"
        task = {"name": "Declare", "kraken.hpc.state": options}
        play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task]}
        playbook.write_text(json.dumps([play]))
        return self.play(playbook, *args)


@pytest.fixture
def site(tmp_path: Path, installed: Path, head: Head) -> Site:
    folder = tmp_path / "site"
    folder.mkdir()
    return Site(folder, installed, head)


def test_the_collection_carries_its_kraken_modules_and_no_litter(installed: Path) -> None:
    place = installed / "ansible_collections" / "kraken" / "hpc"
    found = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
    kraken_modules = {
        str(path.relative_to(SOURCE)) for path in (SOURCE / "extensions").rglob("*") if path.suffix == ".yml"
    }

    assert {"plugins/modules/state.py", "plugins/inventory/nodes.py", "meta/runtime.yml", "LICENSE"} <= found
    assert kraken_modules <= found
    assert not [name for name in found if "__pycache__" in name or name.endswith((".pyc", ".tar.gz"))]


@pytest.mark.parametrize(
    ("kind", "name"), [("module", "kraken.hpc.state"), ("inventory", "kraken.hpc.nodes")]
)
def test_the_documentation_shows_every_option(site: Site, kind: str, name: str) -> None:
    shown = site.run("ansible-doc", "-t", kind, name, "--json")
    document = json.loads(shown.stdout)[name]

    assert {"socket", "url", "token_file", "ca_path", "timeout"} <= set(document["doc"]["options"])
    assert document["examples"]


def test_ansible_inventory_lists_nodes_groups_and_causes(site: Site) -> None:
    listed = site.run("ansible-inventory", "-i", str(site.inventory), "--list")
    inventory = json.loads(listed.stdout, object_hook=unmarked)

    assert inventory["compute"]["hosts"] == ["n1", "n2", "n3", "n4"]
    assert inventory["kraken_cause_quarantined"]["hosts"] == ["n4"]
    assert inventory["_meta"]["hostvars"]["n1"]["kraken_attributes"]["bmc.protocol"] == "ipmi"
    assert listed.stderr == ""


def test_a_kraken_that_is_away_ends_the_run_with_the_reason(site: Site) -> None:
    away = str(site.folder / "none.sock")
    listed = site.run("ansible-inventory", "-i", str(site.inventory), "--list", KRAKEN_SOCKET=away)

    assert listed.returncode != 0
    assert squeezed(f"cannot reach Kraken at {away}") in squeezed(listed.stderr)


def test_check_and_diff_show_the_change_and_make_none(site: Site, head: Head) -> None:
    before = head.cfg("n1")
    checked = site.state("--check", "--diff", nodes="@compute", cfg=UP)

    assert checked.returncode == 0, checked.stdout
    assert "+++ after: Cfg of n[1-4]" in checked.stdout
    assert '"phys_state": "POWER_ON"' in checked.stdout
    assert recap(checked, "localhost")["changed"] == 1
    assert head.cfg("n1") == before


def test_a_declaration_is_made_once(site: Site, head: Head) -> None:
    first = site.state(nodes="n[1-3]", cfg=UP, wait=True, wait_timeout=60)
    second = site.state(nodes="n[1-3]", cfg=UP, wait=True, wait_timeout=60)

    assert (recap(first, "localhost")["changed"], recap(second, "localhost")["changed"]) == (1, 0)
    assert head.cfg("n3") == UP


def test_a_wait_that_cannot_end_tells_the_administrator_why(site: Site) -> None:
    failed = site.state(nodes="@compute", cfg=UP, wait=True, wait_timeout=600)

    assert failed.returncode == 2
    said = squeezed(failed.stdout, failed.stderr)
    assert squeezed("1 of 4 nodes remain: n4 QUARANTINED: power_on failed 3 times") in said


def test_a_wait_shows_meanwhile_who_remains(site: Site, head: Head) -> None:
    """On standard error, so that standard output is what the callback writes there."""
    late = site.state(nodes=["n1", "slow1"], cfg=UP, wait=True, wait_timeout=8)

    line = "kraken.hpc.state waits for 5 s: 1 of 2 nodes remain: slow1 RUNNING: power_on is under way"
    assert line in late.stderr
    assert "waits for" not in late.stdout
    said = squeezed(late.stdout, late.stderr)
    assert squeezed("not converged within 8 s: 1 of 2 nodes remain: slow1 RUNNING") in said
    assert recap(late, "localhost")["failed"] == 1


def test_an_unknown_node_is_named_and_nothing_is_done(site: Site, head: Head) -> None:
    failed = site.state(nodes="n[1-9]", cfg=UP)

    assert failed.returncode == 2
    assert squeezed("unknown node n[5-9]; nothing was done") in squeezed(failed.stdout, failed.stderr)
    assert head.cfg("n1") == {}


def test_module_defaults_reach_the_module_through_its_action_group(site: Site, head: Head) -> None:
    playbook = site.folder / "defaults.yml"
    task = {"name": "Declare", "kraken.hpc.state": {"nodes": "n1", "cfg": UP}}
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "module_defaults": {"group/kraken.hpc.kraken": {"socket": head.socket}},
        "tasks": [task],
    }
    playbook.write_text(json.dumps([play]))
    done = site.run("ansible-playbook", str(playbook), KRAKEN_SOCKET="/nowhere")

    assert done.returncode == 0, done.stdout + done.stderr
    assert head.cfg("n1") == UP


def test_declare_yml_declares_and_waits(site: Site, head: Head) -> None:
    done = site.play(ROOT / "playbooks" / "declare.yml", "-e", "declare_nodes=n[1-2]")

    assert done.returncode == 0, done.stdout
    assert head.cfg("n2") == UP


def test_declare_yml_never_assumes_which_nodes(site: Site, head: Head) -> None:
    failed = site.play(ROOT / "playbooks" / "declare.yml")

    assert failed.returncode == 2
    assert squeezed("Say which nodes") in squeezed(failed.stdout, failed.stderr)


def test_declare_from_inventory_yml_calls_once_for_each_distinct_cfg(site: Site, head: Head) -> None:
    for kind, name, cfg in (
        ("group_vars", "compute", UP),
        ("host_vars", "n3", {"phys_state": "POWER_OFF"}),
        ("host_vars", "n2", dict(reversed(UP.items()))),
    ):
        path = site.folder / kind / f"{name}.yml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"kraken_desired": cfg}))
    done = site.play(ROOT / "playbooks" / "declare_from_inventory.yml")

    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"^changed: \[localhost\]", done.stdout, re.M)) == 2
    assert [head.cfg(f"n{number}") for number in (1, 2, 3, 4)] == [UP, UP, {"phys_state": "POWER_OFF"}, UP]
    assert head.cfg("login1") == {}


def test_declare_from_inventory_yml_declares_all_of_it_or_nothing(site: Site, head: Head) -> None:
    for kind, name, cfg in (
        ("group_vars", "compute", UP),
        ("host_vars", "n3", {"phys_state": "POWERON"}),
    ):
        path = site.folder / kind / f"{name}.yml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"kraken_desired": cfg}))
    done = site.play(ROOT / "playbooks" / "declare_from_inventory.yml")

    assert done.returncode == 2, done.stdout + done.stderr
    assert squeezed("cfg.phys_state: no variable") in squeezed(done.stdout, done.stderr)
    assert 'n3: {"phys_state": "POWERON"}' in done.stdout
    assert [head.cfg(f"n{number}") for number in (1, 2, 3, 4)] == [{}, {}, {}, {}]


def test_report_yml_tells_each_nodes_cause_and_reason(site: Site) -> None:
    told = site.play(ROOT / "playbooks" / "report.yml")

    assert told.returncode == 0, told.stdout + told.stderr
    assert "n4 (1): QUARANTINED: power_on failed 3 times" in told.stdout


def test_a_checkout_works_as_it_is(head: Head) -> None:
    done = ansible(
        *("ansible-playbook", "playbooks/declare_from_inventory.yml", "--check"),
        cwd=ROOT,
        KRAKEN_SOCKET=head.socket,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "n[1-4]: {" in done.stdout


def test_the_real_daemon_converges_what_a_playbook_declares(
    tmp_path: Path, installed: Path, daemon: Head
) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    site = Site(folder, installed, daemon)
    wish = {"phys_state": "POWER_ON", "service": "RUNNING"}
    choice = ("-e", "declare_nodes=n[1-3]", "-e", json.dumps({"declare_cfg": wish}))
    playbook = ROOT / "playbooks" / "declare.yml"
    checked = site.play(playbook, *choice, "--check", "--diff")
    before = daemon.cfg("n1")
    first = site.play(playbook, *choice)
    second = site.play(playbook, *choice)
    listed = site.run("ansible-inventory", "-i", str(site.inventory), "--list")

    assert "+++ after: Cfg of n[1-3]" in checked.stdout
    assert before == {}
    assert first.returncode == 0, first.stdout + first.stderr
    assert (recap(first, "localhost")["changed"], recap(second, "localhost")["changed"]) == (1, 0)
    assert daemon.node("n3")["dsc"] == wish
    inventory = json.loads(listed.stdout, object_hook=unmarked)
    assert inventory["kraken_cause_converged"]["hosts"] == ["n1", "n2", "n3"]
    assert inventory["_meta"]["hostvars"]["n2"]["kraken_dsc"] == wish


def test_what_the_real_daemon_refuses_is_told(tmp_path: Path, installed: Path, daemon: Head) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    site = Site(folder, installed, daemon)
    unknown = site.state(nodes="n[1-9]", cfg={"phys_state": "POWER_ON"})
    unreachable = site.state(nodes="n1", cfg={"phys_state": "POWER_OFF"})
    hopeless = site.state(
        nodes="n1", cfg={"phys_state": "POWER_OFF"}, allow_unreachable=True, wait=True, wait_timeout=120
    )

    assert squeezed("unknown nodes n[4-9]; nothing was done") in squeezed(unknown.stdout, unknown.stderr)
    said = squeezed(unreachable.stdout, unreachable.stderr)
    assert squeezed("(allow_unreachable: true declares it all the same)") in said
    said = squeezed(hopeless.stdout, hopeless.stderr)
    assert squeezed("cannot converge: 1 of 1 nodes remain: n1 NO_PATH") in said


def test_one_playbook_uses_every_module_on_real_bmcs(
    tmp_path: Path, installed: Path, make_site: Callable[[int], Cluster], unused_tcp_port: int
) -> None:
    cluster = make_site(2)
    demo = cluster.demo
    demo.stop_daemon()
    config = yaml.safe_load(demo.config_file.read_text())
    demo.config_file.write_text(
        yaml.safe_dump({**config, "tree": {"listen": f"127.0.0.1:{unused_tcp_port}"}})
    )
    demo.start_daemon()
    folder = tmp_path / "site"
    folder.mkdir()
    site = Site(folder, installed, Head(str(demo.socket)))
    declared = {name: fields["attributes"] for name, fields in demo.document()["nodes"].items()}
    shared = demo.document()["groups"]["compute"].get("attributes", {})
    values = {
        "names": cluster.nodes,
        "first": cluster.nodes[0],
        "declared": {name: {**shared, **attributes} for name, attributes in declared.items()},
        "wishes": WISHES,
        "token": str(folder / "rack7.token"),
    }
    tasks = yaml.safe_load(EVERY_MODULE)
    used = {key.rpartition(".")[2] for task in tasks for key in task if key.startswith("kraken.hpc.")}
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": values,
        "tasks": tasks,
    }
    playbook = folder / "every_module.yml"
    playbook.write_text(json.dumps([play]))
    done = site.run("ansible-playbook", str(playbook))

    assert used == {path.stem for path in (SOURCE / "plugins" / "modules").glob("*.py")}
    assert done.returncode == 0, done.stdout + done.stderr
    assert "KRK1-" not in done.stdout
    assert demo.get("/v1/nodes")["nodes"] == []
    assert cluster.demo.cluster.nodes[0].power() == "off"


EVERY_MODULE = """
- name: Declare the nodes
  kraken.hpc.node: {per_node: "{{ declared }}", nodes: "{{ names }}", groups: [compute]}
  register: made
- name: Ask for them
  kraken.hpc.node_info: {nodes: "@compute"}
  register: found
- name: Wait until each was looked at
  kraken.hpc.state_info: {nodes: "@compute"}
  register: known
  until: known.nodes.values() | rejectattr('dsc.phys_state', 'defined') | list == []
  retries: 60
  delay: 1
- name: Plan
  kraken.hpc.plan: {nodes: "@compute", cfg: "{{ wishes }}"}
  register: planned
- name: Do what was planned
  kraken.hpc.plan: {state: applied, plan: "{{ planned.plan }}", wait: true, wait_timeout: 240}
  register: applied
- name: Declare the same by hand
  kraken.hpc.state: {nodes: "@compute", cfg: "{{ wishes }}", wait: true, wait_timeout: 240}
  register: stated
- name: Ask why they are so
  kraken.hpc.explain: {nodes: "@compute"}
  register: explained
- name: Tell what is seen
  kraken.hpc.discovery: {nodes: "@compute", dsc: {service: RUNNING}}
  register: seen
- name: Tell in check mode what is not
  kraken.hpc.discovery: {nodes: "@compute", dsc: {service: FAILED}}
  register: unseen
  check_mode: true
- name: Have them left alone
  kraken.hpc.hold: {nodes: "@compute", reason: a test, duration: 1h}
  register: held
- name: Wish nothing of them any more
  kraken.hpc.state: {nodes: "@compute", unset: "{{ wishes | list }}"}
- name: Switch them off
  kraken.hpc.power: {nodes: "@compute", command: "off", confirm: true}
  register: downed
- name: Release them
  kraken.hpc.hold: {nodes: "@compute", state: absent}
  register: released
- name: Invite a collector
  kraken.hpc.collector: {name: rack7, dest: "{{ token }}"}
  register: invited
- name: Revoke it
  kraken.hpc.collector: {name: rack7, state: absent}
  register: revoked
- name: Look at all of it
  ansible.builtin.assert:
    that:
      - made is changed
      - found.nodes | length == 2
      - known.nodes[first].dsc.phys_state == 'POWER_OFF'
      - planned is not changed and planned.would_change and planned.unreachable_nodes == ''
      - applied is changed and applied.causes.keys() | list == ['CONVERGED']
      - stated is not changed
      - explained.causes.keys() | list == ['CONVERGED']
      - seen is not changed
      - unseen is changed
      - held.holds | map(attribute='reason') | list == ['a test']
      - downed.failed_nodes == ''
      - released is changed and released.holds == []
      - invited is changed and revoked is changed
- name: Have them forgotten
  kraken.hpc.node: {nodes: "{{ names }}", state: absent}
- name: And again
  kraken.hpc.node: {nodes: "{{ names }}", state: absent}
  register: again
  failed_when: again is changed
"""


def ansible(*command: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command of this Ansible in a directory; the environment says nothing but what is given."""
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=cwd,
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def environment(**env: str) -> dict[str, str]:
    """This environment, with nothing in it about Ansible, Kraken or Python but what is given."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("ANSIBLE_", "KRAKEN_", "PYTHON"))}
    return {**clean, "PATH": f"{BIN}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1", **env}


def wait_for(process: subprocess.Popen[bytes], head: Head, log: Path) -> None:
    """Until the daemon answers; fails with its log when it ended or stays silent."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.TransportError), head.http() as http:
            http.get("/v1/health").raise_for_status()
            return
        time.sleep(0.1)
    pytest.fail(f"the daemon did not answer; exit {process.poll()}:\n{log.read_text()}")


def recap(done: subprocess.CompletedProcess[str], host: str) -> dict[str, int]:
    """The counts of a host in the play recap; empty when it took no part."""
    line = re.search(rf"^{host} +: (.*)$", done.stdout, re.M)
    return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", line[1])} if line else {}


def unmarked(document: dict[str, Any]) -> Any:
    """What ansible-inventory prints, without its mark on text that must not be rendered."""
    return document["__ansible_unsafe"] if set(document) == {"__ansible_unsafe"} else document


def squeezed(*texts: str) -> str:
    """The texts without white space: Ansible breaks long lines, at hyphens too."""
    return "".join("".join(texts).split())


def load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
