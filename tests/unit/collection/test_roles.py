"""What the roles make of their variables, templated by a real ansible-playbook."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
ROLES = ROOT / "ansible_collections/kraken/hpc/roles"
BIN = Path(sys.executable).parent
CHECKED = {"kraken_memory_max", "kraken_tasks_max", "kraken_site_variables"}
CHECK = {
    "name": "Check the variables",
    "ansible.builtin.include_role": {"name": "kraken.hpc.kraken", "tasks_from": "check", "public": True},
}
UNIT = {
    "name": "Write the unit",
    "ansible.builtin.template": {
        "src": str(ROLES / "kraken/templates/kraken.service.j2"),
        "dest": "{{ inventory_dir }}/{{ inventory_hostname }}.service",
    },
}

Play = Callable[..., str]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Check the variables of hosts (name -> variables), then do these tasks; the output.

    Another exit code than `code` fails.
    """

    def run(hosts: dict[str, dict[str, Any]], *tasks: dict[str, Any], code: int = 0, **typed: object) -> str:
        here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        inventory = {"all": {"hosts": {name: {**here, **given} for name, given in hosts.items()}}}
        (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory))
        book = [{"name": "Try", "hosts": "all", "gather_facts": False, "tasks": [CHECK, *tasks]}]
        (tmp_path / "site.yml").write_text(yaml.safe_dump(book))
        done = subprocess.run(
            [BIN / "ansible-playbook", "-i", "hosts.yml", "site.yml", "-e", json.dumps(typed)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=tmp_path,
            timeout=300,
            env={
                **{name: text for name, text in os.environ.items() if not name.startswith("ANSIBLE")},
                "ANSIBLE_COLLECTIONS_PATH": str(ROOT),
                "ANSIBLE_HOME": str(tmp_path / "home"),
                "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local"),
                "ANSIBLE_NOCOLOR": "1",
                "LANG": "C.UTF-8",
            },
            check=False,
        )
        assert done.returncode == code, done.stdout
        return " ".join(done.stdout.split())

    return run


def options(role: str) -> dict[str, Any]:
    specs = yaml.safe_load((ROLES / role / "meta/argument_specs.yml").read_text())
    return dict(specs["argument_specs"]["main"]["options"])


def test_a_mistyped_variable_of_any_role_is_refused_with_the_one_that_is_meant(play: Play) -> None:
    hosts: dict[str, dict[str, Any]] = {
        "h1": {"kraken_memorymax": "8G", "kraken_role": "head"},
        "h2": {"agent_parents": "rack7"},
        "h3": {"kraken_fleet": "mine", "kraken_token": "x", "kraken_site_variables": ["kraken_token"]},
    }
    told = play(hosts, code=2, kraken_versoin="0.1.0")
    again = play({"h3": hosts["h3"]})

    assert "kraken_memorymax is no variable of the role kraken.hpc.head; is kraken_memory_max meant?" in told
    assert "agent_parents is no variable of the role kraken.hpc.kraken; is agent_parent meant?" in told
    assert all(f"fatal: [{name}]" in told for name in hosts)
    assert "kraken_versoin is no variable of the role kraken.hpc.kraken; is kraken_version meant?" in told
    assert "kraken_fleet" not in told, "it is the site's own"
    assert "kraken_token is" not in told, "the site says that it is its own"
    assert "failed=0" in again


def test_no_variable_of_a_role_nor_of_the_inventory_plugin_is_taken_for_mistyped(play: Play) -> None:
    """Nor what the roles register: they may be there twice in a play."""
    known = {name for role in ("agent", "collector", "head", "kraken") for name in options(role)}
    registered = {
        name
        for path in ROLES.glob("*/tasks/*.yml")
        for name in re.findall(r"register: (\w+)", path.read_text())
    }
    told_of_nodes = set(
        re.findall(r"\bkraken_[a-z_]+", (ROLES.parent / "plugins/inventory/nodes.py").read_text())
    )
    values = {name: [] for name in registered | told_of_nodes}

    assert "kraken_groups" in told_of_nodes
    play({"h1": {**values, **dict.fromkeys(known - CHECKED, "/opt/kraken")}})


def test_defaults_and_specifications_name_the_same_variables() -> None:
    for role in ("agent", "collector", "head", "kraken"):
        defaults = yaml.safe_load((ROLES / role / "defaults/main.yml").read_text())

        assert set(defaults) <= set(options(role)), role


@pytest.mark.parametrize("value", ["8 GB", "lots", "-1", "50 %"])
def test_a_limit_that_systemd_would_pass_over_is_refused(play: Play, value: str) -> None:
    told = play({"h1": {"kraken_tasks_max": value}}, code=2)

    assert f"kraken_tasks_max is {value}, and has to be a number" in told


def test_limits_stand_in_the_unit_where_they_are_given(play: Play, tmp_path: Path) -> None:
    hosts: dict[str, dict[str, Any]] = {
        "with": {"kraken_memory_max": "50%", "kraken_tasks_max": 20000},
        "without": {},
    }
    play(hosts, UNIT)
    limited, free = ((tmp_path / f"{name}.service").read_text().splitlines() for name in hosts)

    assert sorted(set(limited) - set(free)) == ["MemoryMax=50%", "TasksMax=20000"]
    assert set(free) < set(limited)
    if shutil.which("systemd-analyze"):
        words = ("systemd-analyze", "verify", str(tmp_path / "with.service"))
        said = subprocess.run(words, capture_output=True, text=True, check=False).stderr
        assert "Unknown" not in said
        assert "Failed to parse" not in said


def test_the_daemon_may_divide_its_cgroup_and_a_confined_one_no_other(play: Play, tmp_path: Path) -> None:
    play({"head": {}, "agent": {"kraken_confined": False}}, UNIT)
    head, agent = ((tmp_path / f"{name}.service").read_text().splitlines() for name in ("head", "agent"))

    assert "Delegate=cpu memory pids" in head
    assert "Delegate=cpu memory pids" in agent
    assert "ProtectControlGroups=true" in head
    assert "ReadWritePaths=-/sys/fs/cgroup/system.slice/kraken.service" in head


SYSTEMS = {
    "debian 12": ("Debian", "Debian", "12", "python3-venv", "/usr/bin/python3"),
    "ubuntu 24": ("Debian", "Ubuntu", "24", "python3-venv", "/usr/bin/python3"),
    "rocky 9": ("RedHat", "Rocky", "9", "python3.11", "/usr/bin/python3.11"),
    "alma 10": ("RedHat", "AlmaLinux", "10", "python3", "/usr/bin/python3"),
    "fedora 43": ("RedHat", "Fedora", "43", "python3", "/usr/bin/python3"),
    "leap 15": ("Suse", "openSUSE Leap", "15", "python311", "/usr/bin/python3.11"),
    "sles 16": ("Suse", "SLES", "16", "python313", "/usr/bin/python3.13"),
    "another": ("Archlinux", "Archlinux", "NA", "", "/usr/bin/python3"),
}


def test_each_system_brings_a_python_that_kraken_runs_with(play: Play, tmp_path: Path) -> None:
    facts = {
        "name": "Be this system",
        "ansible.builtin.set_fact": {
            "cacheable": True,
            "os_family": "{{ its[0] }}",
            "distribution": "{{ its[1] }}",
            "distribution_major_version": "{{ its[2] }}",
        },
    }
    note = {
        "name": "Note what is chosen",
        "ansible.builtin.copy": {
            "dest": str(tmp_path / "{{ inventory_hostname }}.json"),
            "content": "{{ {'packages': kraken_os_packages, 'python': kraken_python} | to_json }}",
        },
    }
    play({name.replace(" ", ""): {"its": list(its)} for name, its in SYSTEMS.items()}, facts, note)
    found = {name: json.loads((tmp_path / f"{name.replace(' ', '')}.json").read_text()) for name in SYSTEMS}

    for name, (*_, package, python) in SYSTEMS.items():
        assert found[name]["python"] == python, name
        assert found[name]["packages"][:1] == ([package] if package else []), name
        assert [word for word in found[name]["packages"] if "ssh" in word] or not package, name
