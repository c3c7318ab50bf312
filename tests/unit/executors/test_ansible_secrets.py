"""What is secret in a run of Ansible: where it is not, and who opens it."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from textwrap import indent

import pytest

from kraken.executors.ansible import AnsibleExecutor, VaultSettings
from kraken.model.loading import load_file
from kraken.model.module import KrakenModule
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


SEALED = """\
kraken_module: 1
name: sealed
mutations:
  by_variable:
    mutates: {v: [A, B]}
    timeout: 60s
    vars:
      variable_secret: !vault |
%s
    tasks:
      - name: Use it
        ansible.builtin.command: {cmd: cat, stdin: "{{ variable_secret }}"}
        no_log: true
        register: used
      - name: Tell its length
        ansible.builtin.set_fact: {kraken_dsc: {length: "{{ used.stdout | length | string }}"}}
  by_file: {mutates: {v: [A, B]}, timeout: 60s, tasks_from: tasks/sealed.yml}
  by_role: {mutates: {v: [A, B]}, timeout: 60s, role: sealed}
"""
TELL = '- {ansible.builtin.set_fact: {kraken_dsc: {length: "{{ %s | length | string }}"}}}\n'


class TestVaults:
    """What is encrypted in a module, beside it and in its roles, each with a password of its own."""

    @pytest.fixture
    def passwords(self, tmp_path: Path) -> dict[str, Path]:
        """Label of a vault -> the file of its password."""
        found = {label: tmp_path / f"{label}-password" for label in ("variables", "files")}
        for label, file in found.items():
            file.touch(mode=0o600)
            file.write_text(f"sesame {label}\n")
        return found

    @pytest.fixture
    def sealed(self, passwords: dict[str, Path], tmp_path: Path) -> KrakenModule:
        """A module that needs them."""
        modules = tmp_path / "modules"
        module, tasks, role = modules / "sealed.yml", modules / "tasks", modules / "roles"
        for place in (tasks, role / "sealed/tasks", role / "sealed/vars"):
            place.mkdir(parents=True)
        (tasks / "sealed.yml").write_text(TELL % "'a file of tasks'")
        (role / "sealed/tasks/main.yml").write_text(TELL % "role_secret")
        (role / "sealed/vars/main.yml").write_text("role_secret: for the role\n")
        self.vault("encrypt", "files", passwords, tasks / "sealed.yml", role / "sealed/vars/main.yml")
        text = self.vault("encrypt_string", "variables", passwords, "hunter2").partition("\n")[2]
        module.write_text(SEALED % indent(text.replace(" ", ""), 8 * " "))
        return load_file(module)

    @staticmethod
    def vault(command: str, label: str, passwords: dict[str, Path], *words: str | Path) -> str:
        program = Path(AnsibleExecutor().find_playbook_command()).with_name("ansible-vault")
        which = ("--vault-id", f"{label}@{passwords[label]}", "--encrypt-vault-id", label)
        done = subprocess.run([program, command, *which, *words], capture_output=True, text=True, check=True)
        return done.stdout

    @pytest.fixture
    async def opening(self, directory: Path, passwords: dict[str, Path]) -> AsyncIterator[AnsibleExecutor]:
        ids = tuple(f"{label}@{file}" for label, file in passwords.items())
        executor = AnsibleExecutor(work_directory=directory, vault=VaultSettings(ids))
        yield executor
        await executor.close()

    async def test_each_is_opened_by_its_own(self, opening: AnsibleExecutor, sealed: KrakenModule) -> None:
        lengths = {}
        for name, operator in sealed.mutations.items():
            lengths[name] = (await perform(opening, operator, node("n1")))["n1"].observed["length"]

        assert lengths == {"by_variable": "7", "by_file": "15", "by_role": "12"}

    @pytest.mark.parametrize(
        ("name", "label", "said"),
        [
            ("by_variable", "variables", ["Use it: its output is hidden by no_log"]),
            ("by_file", "files", ["cannot decrypt tasks/sealed.yml: no password"]),
            ("by_role", "files", ["cannot decrypt ", "roles/sealed/vars/main.yml: no password"]),
        ],
    )
    async def test_a_wrong_password_is_told_with_what_it_does_not_open(
        self,
        opening: AnsibleExecutor,
        sealed: KrakenModule,
        passwords: dict[str, Path],
        name: str,
        label: str,
        said: list[str],
    ) -> None:
        passwords[label].write_text("mellon\n")
        message = (await perform(opening, sealed.mutations[name], node("n1")))["n1"].message

        assert [text for text in said if text not in message] == [], message
        assert "hunter2" not in message

    async def test_a_password_that_is_not_there_is_told_by_its_file(
        self, opening: AnsibleExecutor, sealed: KrakenModule, passwords: dict[str, Path]
    ) -> None:
        passwords["files"].unlink()
        message = (await perform(opening, sealed.mutations["by_role"], node("n1")))["n1"].message

        assert f"{passwords['files']} was not found" in message
