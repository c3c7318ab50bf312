"""Runs that are forked from a process with Ansible in it: when they are, and that nobody notices."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kraken.executors.ansible import AnsibleExecutor
from kraken.executors.ansible.keeper import descendants
from kraken.model.run import NodeFacts, Outcome, Run
from tests.unit.executors.ansible_stage import (
    Told,
    below,
    make_ready,
    mutation,
    node,
    perform,
    processes_below,
    until,
)

PYTHON = """\
#!/bin/sh
case "$*" in */forkserver.py*) {instead} ;; esac
exec {python} "$@"
"""


def playbook_command_under(directory: Path, *, instead: str) -> str:
    """An ansible-playbook whose Python does something else `instead` of being a fork server."""
    python, program = directory / "python", directory / "ansible-playbook"
    python.write_text(PYTHON.format(instead=instead, python=sys.executable))
    program.write_text(f"#!{python}\nfrom ansible.cli.playbook import main\nmain()\n")
    for file in (python, program):
        file.chmod(0o755)
    return str(program)


async def test_the_first_run_waits_for_the_process_it_is_forked_from(directory: Path, tmp_path: Path) -> None:
    executor, stop = AnsibleExecutor(work_directory=directory, forkserver=True), tmp_path / "stop"
    tasks = [{"ansible.builtin.shell": f"while [ ! -e {stop} ]; do sleep 0.05; done"}]
    flying = asyncio.create_task(perform(executor, tasks, node("n1")))
    await until(lambda: executor.workspace.starter is not None and executor.workspace.starter.pid)
    starter = executor.workspace.starter
    assert starter is not None
    pid = starter.pid
    assert pid is not None
    await until(lambda: len(descendants(pid)) > 2)
    stop.touch()
    results = await flying
    await executor.close()

    assert results["n1"].outcome is Outcome.OK, results["n1"].message


async def test_runs_that_wait_for_a_process_that_fails_go_their_own_way(
    directory: Path, tmp_path: Path
) -> None:
    broken = playbook_command_under(tmp_path, instead="sleep 1; exit 3")
    executor = AnsibleExecutor(work_directory=directory, playbook_command=broken, forkserver=True)
    tasks = [{"ansible.builtin.ping": {}}]
    together = await asyncio.gather(*(perform(executor, tasks, node("n1")) for _ in range(2)))
    later = await perform(executor, tasks, node("n1"))
    starter = executor.workspace.starter
    assert starter is not None
    pid = starter.pid
    await executor.close()

    assert [r["n1"].outcome for r in (*together, later)] == [Outcome.OK] * 3
    assert pid is None


async def test_a_run_that_waits_to_be_forked_can_be_stopped(directory: Path, tmp_path: Path) -> None:
    stuck = playbook_command_under(tmp_path, instead="exec sleep 623")
    executor = AnsibleExecutor(work_directory=directory, playbook_command=stuck, forkserver=True)
    began = tmp_path / "began"
    run = Run(
        "r1",
        mutation([{"ansible.builtin.file": {"path": str(began), "state": "touch"}}]),
        ("n1",),
        time.time(),
        600.0,
    )
    flying = asyncio.create_task(executor.run(run, {"n1": node("n1")}, Told()))
    await until(lambda: any("entry.py" in title for title in processes_below(directory).values()))
    flying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flying
    left = [title for title in processes_below(directory).values() if "sleep 623" not in title]
    await executor.close()

    assert left == []
    assert processes_below(directory) == {}
    assert not began.exists()


async def test_a_run_is_forked_and_outlives_the_process_it_was_forked_from(
    directory: Path, tmp_path: Path
) -> None:
    executor = AnsibleExecutor(work_directory=directory, forkserver=True)
    await make_ready(executor)
    starter, told = executor.workspace.starter, Told()
    assert starter is not None
    first = starter.pid
    assert first is not None
    stop = tmp_path / "stop"
    tasks = [{"ansible.builtin.shell": f"while [ ! -e {stop} ]; do sleep 0.05; done"}]
    run = Run("r1", mutation(tasks), ("n1",), time.time(), 600.0)
    flying = asyncio.create_task(executor.run(run, {"n1": node("n1")}, told))
    await until(lambda: len(descendants(first)) > 2)
    os.kill(first, signal.SIGKILL)
    stop.touch()
    await flying
    again = await perform(executor, [{"ansible.builtin.ping": {}}], node("n1"))
    second = starter.pid
    await executor.close()

    assert told.results["n1"].outcome is Outcome.OK, told.results["n1"].message
    assert again["n1"].outcome is Outcome.OK
    assert second not in (None, first)
    assert starter.pid is None
    assert (processes_below(directory), below(directory)) == ({}, [])


async def test_runs_on_this_machine_alone_are_forked_only_where_that_is_wanted(directory: Path) -> None:
    """An agent's node is not to lose the memory of a process that waits for the next run."""
    executor = AnsibleExecutor(work_directory=directory, forkserver=True, forks_here=False)
    there = NodeFacts("n2", {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_connection": "ssh"})
    here = await perform(executor, [{"ansible.builtin.ping": {}}], node("n1"))
    starter = executor.workspace.starter
    assert starter is not None
    before = starter.pid
    await perform(executor, [{"ansible.builtin.ping": {}}], node("n1"), there)
    after = starter.pid
    await executor.close()

    assert here["n1"].outcome is Outcome.OK
    assert before is None
    assert after is not None


async def test_another_ansible_cfg_is_honoured_by_the_next_run(directory: Path, tmp_path: Path) -> None:
    config = tmp_path / "ansible.cfg"
    config.write_text("[defaults]\nremote_user = before\n")
    executor = AnsibleExecutor(work_directory=directory, config=config, forkserver=True)
    await make_ready(executor)
    tasks = [
        {"ansible.builtin.set_fact": {"kraken_dsc": {"v": "{{ lookup('config', 'DEFAULT_REMOTE_USER') }}"}}}
    ]
    seen = [(await perform(executor, tasks, node("n1")))["n1"].observed]
    config.write_text("[defaults]\nremote_user = afterwards\n")
    seen.append((await perform(executor, tasks, node("n1")))["n1"].observed)
    await executor.close()

    assert seen == [{"v": "before"}, {"v": "afterwards"}]


OTHER_DEBUG = """\
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        return {"changed": False, "kraken_dsc": {"by": "the site's own"}}
"""


@pytest.mark.parametrize("where", ["configured", "beside the module", "in a role"])
async def test_a_plugin_of_the_site_comes_before_ansibles_own(
    directory: Path, tmp_path: Path, where: str
) -> None:
    """Also when it is put there while there is a process with Ansible's own in it."""
    here = tmp_path / "module"
    config = tmp_path / "ansible.cfg"
    places = {
        "configured": tmp_path / "plugins",
        "beside the module": here / "action_plugins",
        "in a role": here / "roles" / "one" / "action_plugins",
    }
    config.write_text(f"[defaults]\naction_plugins = {tmp_path / 'plugins'}\n")
    tasks: list[Any] = [{"ansible.legacy.debug": {"msg": "x"}}]
    if where == "in a role":
        (here / "roles" / "one" / "tasks").mkdir(parents=True)
        (here / "roles" / "one" / "tasks" / "main.yml").write_text("- ansible.legacy.debug: {msg: x}\n")
        tasks = [{"ansible.builtin.import_role": {"name": "one"}}]
    here.mkdir(exist_ok=True)
    executor = AnsibleExecutor(work_directory=directory, config=config, forkserver=True)
    before = await perform(executor, mutation(tasks, here), node("n1"))
    places[where].mkdir()
    (places[where] / "debug.py").write_text(OTHER_DEBUG)
    after = await perform(executor, mutation(tasks, here), node("n1"))
    await executor.close()

    assert (before["n1"].outcome, before["n1"].observed) == (Outcome.OK, {})
    assert after["n1"].observed == {"by": "the site's own"}, after["n1"].message


OTHER_PING = """\
from ansible.module_utils.basic import AnsibleModule

AnsibleModule({}).exit_json(changed=False, kraken_dsc={"by": "the site's own"})
"""


async def test_what_one_run_built_of_ansibles_modules_the_next_sends(directory: Path) -> None:
    executor = AnsibleExecutor(work_directory=directory, forkserver=True)
    first = await perform(executor, [{"ansible.builtin.ping": {}}], node("n1"))
    control = executor.workspace.control
    assert control is not None
    (kept,) = control.glob("modules-*/ansible.modules.ping-*")
    kept.write_bytes(b"no payload any more")
    second = await perform(executor, [{"ansible.builtin.ping": {}}], node("n1"))
    kept.unlink()
    third = await perform(executor, [{"ansible.builtin.ping": {}}], node("n1"))
    await executor.close()

    assert [result["n1"].outcome for result in (first, second, third)] == [
        Outcome.OK,
        Outcome.FAILED,
        Outcome.OK,
    ]
    assert not control.exists()


@pytest.mark.parametrize("where", ["configured", "beside the module", "in a role"])
async def test_a_module_of_the_site_comes_before_ansibles_own(
    directory: Path, tmp_path: Path, where: str
) -> None:
    """Also when it is put there after a run has sent Ansible's own."""
    here = tmp_path / "module"
    config = tmp_path / "ansible.cfg"
    places = {
        "configured": tmp_path / "library",
        "beside the module": here / "library",
        "in a role": here / "roles" / "one" / "library",
    }
    config.write_text(f"[defaults]\nlibrary = {tmp_path / 'library'}\n")
    tasks: list[Any] = [{"ansible.legacy.ping": {}}]
    if where == "in a role":
        (here / "roles" / "one" / "tasks").mkdir(parents=True)
        (here / "roles" / "one" / "tasks" / "main.yml").write_text("- ansible.legacy.ping: {}\n")
        tasks = [{"ansible.builtin.import_role": {"name": "one"}}]
    here.mkdir(exist_ok=True)
    executor = AnsibleExecutor(work_directory=directory, config=config, forkserver=True)
    before = [await perform(executor, mutation(tasks, here), node("n1")) for _ in range(2)]
    places[where].mkdir()
    (places[where] / "ping.py").write_text(OTHER_PING)
    after = [await perform(executor, mutation(tasks, here), node("n1")) for _ in range(2)]
    await executor.close()

    assert [result["n1"].observed for result in before] == [{}, {}]
    assert [result["n1"].observed for result in after] == [{"by": "the site's own"}] * 2


async def test_a_playbook_command_of_another_kind_is_started_as_a_program(
    directory: Path, tmp_path: Path
) -> None:
    wrapper = tmp_path / "ansible-playbook"
    wrapper.write_text(f'#!/bin/sh\nexec "{Path(sys.executable).with_name("ansible-playbook")}" "$@"\n')
    wrapper.chmod(0o755)
    executor = AnsibleExecutor(work_directory=directory, playbook_command=str(wrapper), forkserver=True)
    result = (await perform(executor, [{"ansible.builtin.ping": {}}], node("n1")))["n1"]
    starter = executor.workspace.starter
    assert starter is not None
    pid = starter.pid
    await executor.close()

    assert result.outcome is Outcome.OK
    assert pid is None
