"""kraken.hpc.journal tells Kraken what real playbooks came to, and never stands in their way."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent
SECRET = "hunter2-of-the-lab"
DEBUG = {"ansible.builtin.debug": {"msg": "fine"}}
FAIL = "ansible.builtin.fail"

Play = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def play(socket: str, tmp_path: Path) -> Play:
    """Run playbooks (name -> plays) on hosts, in one ansible-playbook that reports to the scripted Kraken."""
    unreachable = tmp_path / "no-ssh"
    unreachable.write_text("#!/bin/sh\nexit 255\n")
    unreachable.chmod(0o755)
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    away = {"ansible_connection": "ssh", "ansible_ssh_executable": str(unreachable), "ansible_ssh_retries": 0}

    def run(
        playbooks: dict[str, list[Any]],
        *words: str,
        hosts: tuple[str, ...] = ("n1",),
        program: str = "ansible-playbook",
        settings: dict[str, Any] | None = None,
        **environment: str,
    ) -> subprocess.CompletedProcess[str]:
        inventory = {"all": {"hosts": {name: away if name == "gone" else local for name in hosts}}}
        (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory))
        ours = {"socket": socket, **(settings or {})}
        lines = ["[callback_kraken_journal]", *(f"{k} = {v}" for k, v in ours.items() if v is not None)]
        (tmp_path / "ansible.cfg").write_text("\n".join(lines) + "\n")
        for name, plays in playbooks.items():
            (tmp_path / name).write_text(yaml.safe_dump(plays))
        names = [str(tmp_path / name) for name in playbooks]
        return subprocess.run(
            [BIN / program, "-i", tmp_path / "hosts.yml", *words, *names],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            cwd=tmp_path,
            timeout=300,
            env={
                **{
                    key: value
                    for key, value in os.environ.items()
                    if not key.startswith(("ANSIBLE", "KRAKEN"))
                },
                "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
                "ANSIBLE_COLLECTIONS_PATH": str(ROOT),
                "ANSIBLE_CALLBACKS_ENABLED": "kraken.hpc.journal",
                "ANSIBLE_HOME": str(tmp_path / "home"),
                "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local"),
                "LANG": "C.UTF-8",
                **environment,
            },
        )

    return run


def on_all(*tasks: dict[str, Any], name: str = "Patch", **more: Any) -> dict[str, Any]:
    return {"name": name, "hosts": "all", "gather_facts": False, "tasks": list(tasks), **more}


def told(kraken: Any) -> list[dict[str, Any]]:
    return [asked.body for asked in kraken.asked if asked.path == "/v1/playbooks"]


def of_host(body: dict[str, Any], host: str) -> dict[str, Any]:
    (row,) = [row for row in body["results"] if host in row["hosts"]]
    return {key: value for key, value in row.items() if value not in (0, None, []) and key != "hosts"}


def test_each_host_is_told_of_as_in_the_recap(kraken: Any, play: Play) -> None:
    mended = {"name": "Try", "block": [{"name": "Break", FAIL: {"msg": "mended"}}], "rescue": [DEBUG]}
    tasks = [
        {"name": "Ignored", FAIL: {"msg": "of no matter"}, "ignore_errors": True},
        {"name": "Change", "ansible.builtin.command": "true"},
        {**mended, "when": "inventory_hostname == 'n3'"},
        {"name": "Stop {{ x }}", FAIL: {"msg": "no such unit"}, "when": "inventory_hostname == 'n3'"},
    ]
    done = play(
        {"site.yml": [on_all(*tasks, vars={"x": "slurmd"}), on_all(DEBUG, name="After")]},
        hosts=("n1", "n2", "n3", "gone"),
    )
    (body,) = told(kraken)
    common = {"ok": 3, "changed": 1, "skipped": 2, "ignored": 1, "plays": ["Patch", "After"]}

    assert done.returncode == 4, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
    assert of_host(body, "n1") == common
    assert sorted(len(row["hosts"]) for row in body["results"]) == [1, 1, 2], (
        "hosts that fared alike are one row"
    )
    failed = of_host(body, "n3")
    assert (failed["failed"], failed["rescued"], failed["plays"]) == (1, 1, ["Patch"])
    assert failed["failure"] == {"play": "Patch", "task": "Stop slurmd", "message": "no such unit"}
    gone = of_host(body, "gone")
    assert gone["unreachable"] == 1
    assert gone["failure"]["task"] == "Change"
    assert (body["playbook"], body["check"]) == ("site.yml", False)
    assert 0 < body["started_at"] <= body["ended_at"]
    assert body["user"]
    assert body["controller"]


def test_nothing_of_a_task_with_no_log_is_told(kraken: Any, play: Play) -> None:
    secret = {"msg": f"wrong password {SECRET}"}
    loop = {FAIL: {"msg": "{{ item }}"}, "loop": [SECRET], "no_log": True}
    tasks = [
        {"name": "Log in", FAIL: secret, "no_log": True, "when": "inventory_hostname == 'n1'"},
        {"name": "Each", **loop, "when": "inventory_hostname == 'n2'"},
        {"name": "Say", "ansible.builtin.command": f"echo {SECRET}", "no_log": True},
        {"name": "Reach", "ansible.builtin.ping": {"data": SECRET}, "no_log": True},
        {"name": "Out", "ansible.builtin.shell": f"echo {SECRET}; exit 3"},
    ]
    play({"site.yml": [on_all(*tasks)]}, hosts=("n1", "n2", "n3", "gone"))
    (body,) = told(kraken)

    assert of_host(body, "n1")["failure"] == {
        "play": "Patch",
        "task": "Log in",
        "message": "hidden by no_log",
    }
    assert of_host(body, "n2")["failure"]["message"] == "hidden by no_log"
    assert of_host(body, "n3")["failure"]["message"] == "non-zero return code"
    assert SECRET not in json.dumps(body)


def test_of_a_loop_the_first_item_that_failed_speaks(kraken: Any, play: Play) -> None:
    loop = {"loop": ["one", "two"], "failed_when": "item == 'two'", "name": "Each"}
    play({"site.yml": [on_all({"ansible.builtin.debug": {"msg": "it was {{ item }}"}, **loop})]})
    (body,) = told(kraken)

    assert of_host(body, "n1")["failure"]["message"] == "it was two"


def test_each_of_several_playbooks_tells_its_own_part(kraken: Any, play: Play) -> None:
    once = {"name": "Change", "ansible.builtin.command": "true", "when": "inventory_hostname == 'n1'"}
    first, second = [on_all(DEBUG, once)], [on_all(DEBUG, name="More", hosts="n1")]
    play({"one.yml": first, "two.yml": second}, hosts=("n1", "n2"))
    one, two = told(kraken)

    assert (one["playbook"], two["playbook"]) == ("one.yml", "two.yml")
    assert of_host(one, "n1") == {"ok": 2, "changed": 1, "plays": ["Patch"]}
    assert [row["hosts"] for row in two["results"]] == [["n1"]]
    assert of_host(two, "n1") == {"ok": 1, "plays": ["More"]}
    assert one["ended_at"] <= two["started_at"]


def test_a_playbook_in_check_mode_says_so_and_quiet_hosts_can_be_left_out(kraken: Any, play: Play) -> None:
    only = {"name": "C", "ansible.builtin.copy": {"content": "x", "dest": "/tmp/never/x"}, "check_mode": True}
    task = {**only, "when": "inventory_hostname == 'n2'", "ignore_errors": True, "changed_when": True}
    play({"site.yml": [on_all(DEBUG, task)]}, "--check", hosts=("n1", "n2"), settings={"unchanged": "false"})
    (body,) = told(kraken)

    assert body["check"] is True
    assert [row["hosts"] for row in body["results"]] == [["n2"]]


def test_one_run_can_be_left_out(kraken: Any, play: Play) -> None:
    assert play({"site.yml": [on_all(DEBUG)]}, KRAKEN_REPORT="False").returncode == 0
    assert told(kraken) == []


def test_orders_without_a_playbook_are_told_where_ansible_is_asked_to(kraken: Any, play: Play) -> None:
    words = ("n1", "-m", "ansible.builtin.command", "-a", "true")
    done = play({}, *words, program="ansible", ANSIBLE_LOAD_CALLBACK_PLUGINS="1")
    (body,) = told(kraken)

    assert done.returncode == 0, done.stderr
    assert body["playbook"] == "ad hoc"
    assert of_host(body, "n1")["changed"] == 1


@pytest.mark.parametrize("way", ["away", "hangs", "refuses", "no Kraken"])
def test_whatever_is_wrong_with_kraken_is_one_warning(
    kraken: Any, fake_api: Any, play: Play, tmp_path: Path, way: str
) -> None:
    settings: dict[str, Any] = {"timeout": 0.3 if way == "hangs" else 60}
    if way == "away":
        settings["socket"] = tmp_path / "nobody.sock"
    elif way == "hangs":
        kraken.raw.append((30, "hang", b""))
    elif way == "refuses":
        kraken.refusals["POST", "/v1/playbooks"] = fake_api.Refusal("store", "the disk is full")
    else:
        kraken.raw.append((200, "text/html", b"<html>"))
    done = play({"site.yml": [on_all(DEBUG)]}, settings=settings)
    says = {
        "away": "cannot reach Kraken at",
        "hangs": "did not answer within 0.3 s",
        "refuses": "the disk is full",
        "no Kraken": "is not JSON; is that Kraken?",
    }
    warned = " ".join((done.stdout + done.stderr).split())

    assert done.returncode == 0
    assert warned.count("[WARNING]") == 1
    assert "kraken.hpc.journal: Kraken was not told of site.yml" in warned
    assert says[way] in warned


def test_over_tcp_the_token_is_sent_and_who_started_it_is_told(
    kraken: Any, fake_api: Any, play: Play, tmp_path: Path
) -> None:
    kraken.token = "t" * 32
    (tmp_path / "token").write_text(kraken.token)
    (tmp_path / "token").chmod(0o600)
    with fake_api.serving(kraken, ("127.0.0.1", 0)) as (host, port):
        where = {"socket": None, "url": f"http://{host}:{port}", "token_file": tmp_path / "token"}
        done = play({"site.yml": [on_all(DEBUG)]}, settings=where, LOGNAME="ada")
    (body,) = told(kraken)

    assert done.returncode == 0
    assert body["user"] == "ada"
    assert kraken.token not in done.stdout + done.stderr


@pytest.fixture
def module() -> Any:
    return importlib.import_module("ansible_collections.kraken.hpc.plugins.callback.journal")


@pytest.mark.parametrize("sizes", [[10_000], [1] * 5_000, [1_999, 2, 1], [2_000, 2_000], [3_000, 1, 2_500]])
def test_many_hosts_go_in_parts_none_lost_and_none_twice(module: Any, sizes: list[int]) -> None:
    names = iter(range(sum(sizes)))
    rows = [
        {"ok": place, "hosts": [f"n{next(names)}" for _ in range(size)]} for place, size in enumerate(sizes)
    ]
    parts = list(module.portions(rows))
    lengths = [sum(len(row["hosts"]) for row in part) for part in parts]
    hosts = [(row["ok"], host) for part in parts for row in part for host in row["hosts"]]

    assert hosts == [(row["ok"], host) for row in rows for host in row["hosts"]]
    assert all(length == module.HOSTS_MAX for length in lengths[:-1])
    assert 0 < lengths[-1] <= module.HOSTS_MAX
    assert all(row["hosts"] for part in parts for row in part)


def test_text_is_bounded_and_always_json(module: Any) -> None:
    assert module._text("a\udc80b", 10) == "a?b"
    assert len(module._text("x" * 1_000, 500)) == 500
    assert module._text("x" * 500, 500) == "x" * 500
