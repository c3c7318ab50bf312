"""The playbooks and the inventory of this checkout, run by the real ansible-playbook on a real cluster."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

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

    bring_up = ("ansible-playbook", "playbooks/bring_up.yml", "-e", f"bring_up_nodes={nodeset}")
    assert "power_on" in _ansible(site, *bring_up, "--check")
    assert all(node.power() == "off" for node in site.demo.cluster.nodes)
    _ansible(site, *bring_up)

    assert all(node.service_running() for node in site.demo.cluster.nodes)
    again = _ansible(site, *declare)
    assert "changed=0" in again

    inventory = json.loads(_ansible(site, "ansible-inventory", "--list"))
    assert sorted(inventory["kraken_cause_converged"]["hosts"]) == sorted(site.nodes)
    assert sorted(inventory["compute"]["hosts"]) == sorted(site.nodes)

    report = _ansible(site, "ansible-playbook", "playbooks/report.yml")
    assert re.search(r'"msg": "\S+ \(2\): CONVERGED: ', report), "equal nodes in one line"
    maintained = _ansible(
        site, "ansible-playbook", "playbooks/maintain.yml", "-e", "maintain_command=hostname"
    )
    assert all(f"{name} " in maintained for name in site.nodes)
    _ansible(site, "ansible-playbook", "playbooks/declare_from_inventory.yml")
    site.converged()


def test_a_change_is_rolled_through_nodes_and_nodes_are_drained_and_given_back(
    make_site: Callable[[int], Site],
) -> None:
    site = make_site(2)
    site.apply()
    site.converged()
    nodeset, (first, second) = ",".join(site.nodes), site.nodes

    def roll(service: str, *words: str, code: int = 0) -> str:
        choice = {"roll_nodes": nodeset, "roll_cfg": {"service": service}, "roll_ask_every": 1}
        return _ansible(
            site, "ansible-playbook", "playbooks/roll.yml", "-e", json.dumps(choice), *words, code=code
        )

    assert "changed=1" in roll("STOPPED", "--check")
    assert all(node.service_running() for node in site.demo.cluster.nodes)
    rolled = roll("STOPPED")
    assert rolled.count("Change the next ones") == 2
    assert not any(node.service_running() for node in site.demo.cluster.nodes)
    stops = [run["name"].endswith("stop_service") for run in site.demo.get("/v1/runs", limit="1000")["runs"]]
    assert sum(stops) == 2, "one node after the other"
    assert "changed=0" in roll("STOPPED")

    drain = ("ansible-playbook", "playbooks/drain.yml", "-e", f"drain_nodes={first}")
    assert "drain_reason" in _ansible(site, *drain, code=2)
    reason = ("-e", json.dumps({"drain_reason": "fans", "drain_cfg": {"service": "STOPPED"}}))
    _ansible(site, *drain, *reason)
    assert site.cause(first) == "HELD"
    assert "changed=0" in _ansible(site, *drain, *reason)

    stuck = roll("RUNNING", "-e", "roll_wait_timeout=1", code=2)
    assert f"{first} HELD" in stuck
    assert not any(node.service_running() for node in site.demo.cluster.nodes)

    roll("RUNNING", "-e", "roll_at_once=2")
    assert site.demo.cluster[second].service_running()
    assert not site.demo.cluster[first].service_running()

    back = json.dumps({"return_nodes": first, "return_reason": "fans", "return_cfg": {"service": "RUNNING"}})
    _ansible(site, "ansible-playbook", "playbooks/return_to_service.yml", "-e", back)
    site.converged()
    assert site.demo.cluster[first].service_running()


def test_an_image_is_rolled_node_by_node_and_one_that_does_not_work_stays_with_the_first(
    make_site: Callable[[int], Site], tmp_path: Path
) -> None:
    site = make_site(3)
    (tmp_path / "image.yml").write_text(IMAGE)
    config = yaml.safe_load(site.demo.config_file.read_text())
    site.demo.stop_daemon()
    site.demo.config_file.write_text(yaml.safe_dump({**config, "module_dirs": [str(tmp_path)]}))
    site.demo.start_daemon()
    site.apply()
    site.converged()
    first = sorted(site.nodes)[0]

    def roll(image: str, *words: str, code: int = 0) -> str:
        choice = {"roll_nodes": ",".join(site.nodes), "roll_cfg": {"image": image}, "roll_ask_every": 1}
        return _ansible(
            site, "ansible-playbook", "playbooks/roll.yml", "-e", json.dumps(choice), *words, code=code
        )

    def images() -> dict[str, str]:
        nodes = site.demo.get("/v1/nodes", view="full")["nodes"]
        return {node["name"]: node["dsc"].get("image", "") for node in nodes}

    def steps() -> list[tuple[str, str]]:
        runs = site.demo.get("/v1/runs", limit="1000")["runs"][::-1]
        rolled = ("stop_service", "write_image", "start_service")
        return [(run["nodeset"], run["name"]) for run in runs if run["name"] in rolled]

    assert "changed=1" in roll("rocky9.4", "--check", "--diff")
    before = len(steps())
    roll("rocky9.4")

    assert images() == dict.fromkeys(site.nodes, "rocky9.4")
    assert steps()[before:] == [
        (name, step)
        for name in sorted(site.nodes)
        for step in ("stop_service", "write_image", "start_service")
    ], "each is in again before the next one is out"
    assert "changed=0" in roll("rocky9.4")

    stuck = roll("broken", "-e", "roll_wait_timeout=5", code=2)

    assert f"{first} " in stuck
    assert ("write_image", "FAILED") in site.issues(first)
    site.until(lambda: "the image is broken" in site.explanation(first)["reason"], "it says why")
    assert images() == dict.fromkeys(site.nodes, "rocky9.4")
    assert {name for name in site.nodes if site.cause(name) == "CONVERGED"} == {*site.nodes} - {first}

    roll("rocky9.4")  # nobody else is left to change, so it does not wait for this one to be in
    site.converged()


IMAGE = """\
kraken_module: 1
name: image
summary: The image of a node, written where nothing runs.
variables:
  image: {values: any, fresh_for: 1m, known_when: {run_state: SYNC}}
discoveries:
  read_image:
    observes: [image]
    requires: {run_state: SYNC}
    every: 20s
    timeout: 20s
    tasks:
      - &read
        name: Read the image
        ansible.builtin.command: cat /etc/image
        register: image_read
        changed_when: false
        failed_when: false
      - &report
        name: Report it
        ansible.builtin.set_fact:
          kraken_dsc: {image: "{{ image_read.stdout | trim | default('NONE', true) }}"}
mutations:
  write_image:
    mutates: {image: [ANY, $cfg]}
    requires: {run_state: SYNC, service: STOPPED}
    timeout: 60s
    disruptive: true
    tasks:
      - name: Try it
        ansible.builtin.assert:
          that: kraken.cfg.image != 'broken'
          fail_msg: the image is broken
      - name: Write it
        ansible.builtin.copy: {dest: /etc/image, content: "{{ kraken.cfg.image }}", mode: "0644"}
      - *read
      - *report
"""


def test_nodes_are_maintained_a_few_at_a_time_and_stay_held_where_that_fails(
    make_site: Callable[[int], Site], tmp_path: Path
) -> None:
    site = make_site(3)
    site.apply()
    site.converged()
    first, second, third = (site.demo.cluster[name] for name in site.nodes)

    def maintain(*words: str, code: int = 0, **values: object) -> str:
        choice = {"maintain_at_once": 1, "maintain_cfg": {"service": "STOPPED"}, "maintain_wait_timeout": 120}
        more = json.dumps({**choice, "maintain_reason": "new kernel", **values})
        return _ansible(site, "ansible-playbook", "playbooks/maintain.yml", "-e", more, *words, code=code)

    def done(name: str) -> list[str]:
        stops = {"stop_service": "stop", "start_service": "start"}
        return [stops[what] for what, outcome in site.issues(name) if what in stops and outcome == "OK"]

    assert "Say what to run" in maintain(code=2)
    maintain("--check", maintain_command="true")
    before = {name: done(name) for name in site.nodes}
    (tmp_path / "tasks.yml").write_text(TASKS)

    told = maintain(
        maintain_tasks=str(tmp_path / "tasks.yml"), maintain_failed_max=1, broken=first.name, code=2
    )

    assert f"{first.name} failed and stays held: no screwdriver" in told
    assert told.count("nothing runs, and new kernel is why it is held") == 3
    assert [site.cause(name) for name in site.nodes] == ["HELD", "CONVERGED", "CONVERGED"]
    assert [node.service_running() for node in (first, second, third)] == [False, True, True]
    assert {name: done(name)[len(steps) :] for name, steps in before.items()} == {
        first.name: ["stop"],
        second.name: ["stop", "start"],
        third.name: ["stop", "start"],
    }
    told_of = [
        run["nodeset"]
        for run in site.demo.get("/v1/runs", limit="1000")["runs"]
        if run["name"].endswith(("stop_service", "start_service"))
    ][:4]
    assert told_of == [third.name, third.name, second.name, second.name], "one node after the other"

    stopped = maintain(maintain_command="/bin/false", code=2)

    assert (
        f"{second.name} failed and stays held (new kernel); 0 may fail, so the rest was left alone" in stopped
    )
    assert [site.cause(name) for name in site.nodes] == ["HELD", "HELD", "CONVERGED"]
    assert done(third.name) == [*before[third.name], "stop", "start"], "the rest was left alone"
    assert re.search(rf"^{second.name} +: ok=", stopped, re.MULTILINE)
    assert not re.search(rf"^{first.name} +: ok=", stopped, re.MULTILINE), "only the converged are"
    assert f"{first.name} have not converged and are left alone" in stopped

    stuck = maintain(maintain_cfg={"phys_state": "POWER_OFF"}, maintain_command="true", code=2)

    assert f"{third.name} did not drain, and is as before" in stuck
    assert site.cause(third.name) == "CONVERGED"

    back = json.dumps({"return_nodes": f"{first.name},{second.name}", "return_reason": "new kernel"})
    _ansible(site, "ansible-playbook", "playbooks/return_to_service.yml", "-e", back)

    assert [node.service_running() for node in (first, second, third)] == [True, True, True]

    begun = {"nodes": third.name, "cfg": {"service": "STOPPED"}, "remember": True, "wait": True}
    _ansible(site, "ansible", "localhost", "-m", "kraken.hpc.state", "-a", json.dumps(begun))
    assert not third.service_running()
    maintain(maintain_command="hostname")

    assert third.service_running(), "one that was broken off while nodes drained, and done again"


TASKS = """\
- name: See that nothing runs here, and that Kraken knows why
  ansible.builtin.command: service demo status
  register: demo_service
  changed_when: false
  failed_when: demo_service.rc == 0
- name: Ask Kraken
  kraken.hpc.node_info:
    nodes: "{{ inventory_hostname }}"
  delegate_to: localhost
  register: held
- name: Tell it
  ansible.builtin.debug:
    msg: "nothing runs, and {{ (held.nodes.values() | first).holds[0].reason }} is why it is held"
- name: Work
  ansible.builtin.assert:
    that: inventory_hostname != broken
    fail_msg: no screwdriver
"""


def _ansible(site: Site, program: str, *words: str, code: int = 0) -> str:
    """Run it in the checkout, as the documents say; its output. Another exit code than `code` fails."""
    done = subprocess.run(
        [str(BIN / program), *words],
        cwd=ROOT,
        env={**site.demo.environ, "PATH": f"{BIN}:/usr/bin:/bin", "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == code, f"{program} {' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout if code == 0 else done.stdout + done.stderr
