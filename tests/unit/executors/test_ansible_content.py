"""What ansible-playbook is given holds what it needs and nothing else."""

from __future__ import annotations

import datetime
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from kraken.executors.ansible import SshSettings, VaultSettings
from kraken.executors.ansible.content import (
    DONE_MARK,
    REFUSED_MARK,
    connection_key,
    environment,
    host_names,
    inventory,
    link_beside,
    playbook,
    secrets_of,
    trust,
)
from kraken.model.module import Action
from kraken.model.run import NodeFacts


def tasks_of(*tasks: Any) -> list[Any]:
    (play,) = yaml.safe_load(playbook(Action("ansible", list(tasks), Path()), "web: start", None))
    (block,) = play["tasks"]
    assert [task["name"] for task in block["rescue"]] == [REFUSED_MARK]
    done: list[Any] = block["block"]
    return done


def test_a_last_task_that_always_answers_is_marked_itself() -> None:
    assert [t["name"] for t in tasks_of({"name": "A", "ping": {}}, {"name": "B", "ping": {}})] == [
        "A",
        f"B{DONE_MARK}",
    ]
    assert (
        tasks_of({"register": "x", "ansible.builtin.ping": {}})[0]["name"]
        == f"ansible.builtin.ping{DONE_MARK}"
    )


def test_keywords_are_of_the_play_but_those_that_only_a_block_takes() -> None:
    keywords = {"vars": {"port": 80}, "become": True, "become_user": "web", "check_mode": True, "throttle": 2}
    action = Action("ansible", [{"ping": {}}], Path(), keywords)
    (play,) = yaml.safe_load(playbook(action, "web: start", None))
    (block,) = play.pop("tasks")

    assert {key: play[key] for key in keywords if key in play} == {
        key: value for key, value in keywords.items() if key != "throttle"
    }
    assert block["throttle"] == 2


@pytest.mark.parametrize(
    "last",
    [
        {"block": []},
        {"ansible.builtin.include_tasks": "x.yml"},
        {"import_role": {"name": "x"}},
        {"ansible.builtin.meta": "end_host"},
        {"ping": {}, "ignore_unreachable": True},
        {"action": "meta end_host"},
        "no task at all",
    ],
)
def test_after_a_last_task_that_may_not_answer_a_mark_is_added(last: Any) -> None:
    added = tasks_of(last)

    assert added[0] == last
    assert added[1]["name"].endswith(DONE_MARK)


def test_tasks_reach_ansible_as_they_were_written() -> None:
    written = {
        "name": "A",
        "x.y.z": {"on": datetime.date(2026, 1, 2), 1: "{{ a }}", "t": ["ü", None, "on", "0x1"]},
    }

    assert tasks_of(written, {"ping": {}})[0] == written


def test_the_module_keeps_its_tasks() -> None:
    task = {"name": "A", "ping": {}}
    tasks_of(task)

    assert task == {"name": "A", "ping": {}}


def test_an_inventory_holds_just_these_hosts_with_every_text_unsafe() -> None:
    facts = NodeFacts(
        "n1", {"ansible_port": 22, "ansible_user": "root", "note": "x"}, ("g",), {"v": "A"}, {"v": "B"}
    )
    hosts = json.loads(inventory({"n1": "n1"}, {"n1": facts, "n2": NodeFacts("n2")}, {"n1": "key"}))["all"][
        "hosts"
    ]

    assert hosts == {
        "n1": {
            "ansible_port": 22,
            "ansible_user": {"__ansible_unsafe": "root"},
            "ansible_control_path": "%(directory)s/key-%%r",
            "kraken": {
                "name": {"__ansible_unsafe": "n1"},
                "attributes": {"note": {"__ansible_unsafe": "x"}},
                "cfg": {"v": {"__ansible_unsafe": "A"}},
                "dsc": {"v": {"__ansible_unsafe": "B"}},
                "groups": [{"__ansible_unsafe": "g"}],
            },
        }
    }


def test_a_name_ansible_would_read_more_into_goes_under_another() -> None:
    names = host_names(["n1", "all", "n2:22", "rack-1.a_b"])

    assert list(names.values()) == ["n1", "all", "n2:22", "rack-1.a_b"]
    assert [host for host, node in names.items() if host == node] == ["n1", "rack-1.a_b"]


def test_connections_are_told_apart_by_all_that_makes_them() -> None:
    def key(salt: bytes = b"s", name: str = "n1", **attributes: Any) -> str:
        return connection_key(NodeFacts(name, attributes), salt)

    assert key(note="a") == key(note="b")
    assert len({key(), key(name="n2"), key(ansible_port=1), key(ansible_user="a"), key(salt=b"t")}) == 5


def test_secrets_are_passwords_and_not_the_paths_of_keys() -> None:
    attributes = {
        "ansible_password": "a",
        "ansible_become_pass": "b",
        "ansible_winrm_secret": "c",
        "ansible_ssh_private_key_file": "/path",
        "ansible_user": "root",
        "password": "an attribute like any other",
    }

    assert secrets_of(NodeFacts("n1", attributes)) == ("a", "b", "c")


def test_the_environment_is_ours_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KRAKEN_TOKEN", "ANSIBLE_STRATEGY", "PYTHONPATH", "LD_PRELOAD", "SSH_ASKPASS"):
        monkeypatch.setenv(name, "x")
    monkeypatch.delenv("HOME", raising=False)
    made = environment(
        ssh=SshSettings(persist_s=7, common_args="-4"),
        vault=VaultSettings(("a@/key",)),
        config=Path("/c.cfg"),
        control=Path("/c"),
        scratch=Path("/s"),
        collections=[Path("/one"), Path("/two")],
    )

    assert made["KRAKEN_REPORT"] == "False", "what a run did is in the journal already"
    assert not {"KRAKEN_TOKEN", "ANSIBLE_STRATEGY", "PYTHONPATH", "LD_PRELOAD", "SSH_ASKPASS"} & set(made)
    assert made["ANSIBLE_HOST_KEY_CHECKING"] == "True"
    assert made["ANSIBLE_COLLECTIONS_PATH"] == "/one:/two"
    assert made["ANSIBLE_VAULT_IDENTITY_LIST"] == "a@/key"
    assert "ControlPersist=7s" in made["ANSIBLE_SSH_ARGS"]
    assert made["ANSIBLE_SSH_COMMON_ARGS"] == "-4"
    assert made["HOME"].startswith("/")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (SshSettings(), ["StrictHostKeyChecking=yes"]),
        (
            SshSettings(known_hosts=Path("/a b/known")),
            ["StrictHostKeyChecking=yes", 'UserKnownHostsFile="/a b/known"'],
        ),
        (
            SshSettings(pins=Path("/s/pins"), known_hosts=Path("/k%d")),
            ["StrictHostKeyChecking=accept-new", 'UserKnownHostsFile="/s/pins" "/k%%d"'],
        ),
        (
            SshSettings(pins=Path("/p")),
            [
                "StrictHostKeyChecking=accept-new",
                'UserKnownHostsFile="/p" ~/.ssh/known_hosts ~/.ssh/known_hosts2',
            ],
        ),
        (SshSettings(private_key=Path("/k")), ["StrictHostKeyChecking=yes", "IdentitiesOnly=yes"]),
    ],
)
def test_which_hosts_are_believed_is_said_for_every_connection(
    settings: SshSettings, told: list[str]
) -> None:
    assert [word for word in shlex.split(trust(settings)) if word != "-o"] == told


def test_files_are_linked_without_touching_their_home(tmp_path: Path) -> None:
    home, project = tmp_path / "home", tmp_path / "project"
    for directory in (home, project):
        directory.mkdir()
    for name in ("a.j2", "play.yml", ".git"):
        (home / name).write_text(name)
    link_beside(home, project, leave_out="play.yml")
    link_beside(tmp_path / "missing", project, leave_out="")

    assert {path.name: path.read_text() for path in project.iterdir()} == {"a.j2": "a.j2"}
