"""What is secret in a run of Ansible: where it is not, and who opens it."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kraken.executors.ansible import AnsibleExecutor, VaultSettings
from kraken.model.run import Run
from tests.unit.executors.ansible_stage import Told, below, both, mutation, node, perform, processes_below


@pytest.fixture
def secret_in_the_daemon() -> Iterator[str]:
    os.environ["KRAKEN_TOKEN"] = "token-of-the-daemon"
    yield "token-of-the-daemon"
    del os.environ["KRAKEN_TOKEN"]


@both
async def test_no_secret_shows_while_running_nor_in_what_is_told(
    executor: AnsibleExecutor, directory: Path, secret_in_the_daemon: str
) -> None:
    secrets = ["hunter2-become", "hunter2-note", secret_in_the_daemon]
    told = Told()
    tasks = [
        {"name": "Wait", "ansible.builtin.command": "sleep 619", "when": "kraken.name == 'n1'"},
        {"name": "Blab", "ansible.builtin.fail": {"msg": "it is {{ ansible_become_password }}"}},
    ]
    facts = {
        name: node(name, ansible_become_password=secrets[0], note=secrets[1]) for name in ("n1", "n2", "n3")
    }
    run = Run("r1", mutation(tasks), tuple(facts), time.time(), timeout_s=600.0)
    flying = asyncio.create_task(executor.run(run, facts, told))
    await told.has("n2")
    running = processes_below(directory)
    shown = " ".join(running.values())
    modes = {stat.S_IMODE(path.stat().st_mode) for path in below(directory, "*/run-*")}
    roots = {stat.S_IMODE(path.stat().st_mode) for path in below(directory)}
    holding = [
        p.name for p in below(directory, "**/*") if p.is_file() and secrets[0].encode() in p.read_bytes()
    ]
    flying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flying

    assert len(running) >= 3, "keeper, ansible-playbook, worker"
    assert [secret for secret in secrets if secret in shown] == []
    assert (modes, roots) == ({0o700}, {0o700})
    assert holding == ["inventory.json"]
    assert told.results["n2"].message == "Blab: it is ********"


async def test_what_no_log_hides_stays_hidden(executor: AnsibleExecutor) -> None:
    hidden = {"name": "Log in", "no_log": True}
    tasks = [
        {**hidden, "ansible.builtin.fail": {"msg": "it was hunter2"}, "when": "kraken.name == 'n1'"},
        {**hidden, "ansible.builtin.fail": {"msg": "it was {{ item }}"}, "loop": ["hunter2"]},
    ]
    results = await perform(executor, tasks, node("n1"), node("n2"))

    assert results["n1"].message == results["n2"].message == "Log in: its output is hidden by no_log"


async def test_vaulted_files_are_opened_by_a_client_and_never_by_us(directory: Path, tmp_path: Path) -> None:
    key, secrets = tmp_path / "key", tmp_path / "secrets.yml"
    key.write_text("open sesame\n")
    secrets.write_text("cluster_secret: treasure\n")
    vault = Path(AnsibleExecutor().find_playbook_command()).with_name("ansible-vault")
    encrypting = await asyncio.create_subprocess_exec(
        str(vault), "encrypt", "--vault-id", f"kraken@{key}", str(secrets), stderr=asyncio.subprocess.DEVNULL
    )
    assert await encrypting.wait() == 0
    executor = AnsibleExecutor(work_directory=directory, vault=VaultSettings((f"kraken@{key}",), (secrets,)))
    tasks = [
        {"ansible.builtin.set_fact": {"kraken_dsc": {"length": "{{ cluster_secret | length | string }}"}}}
    ]
    results = await perform(executor, tasks, node("n1"))
    await executor.close()

    assert results["n1"].observed == {"length": "8"}
