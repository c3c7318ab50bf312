"""However a run of Ansible ends, nothing of it is left, and what became of each node is told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kraken.errors import ExecutorError
from kraken.executors.ansible import AnsibleExecutor
from kraken.executors.ansible.account import Account
from kraken.executors.ansible.keeper import descendants
from kraken.executors.ansible.reasons import NO_ROOM
from kraken.model.run import NodeResult, Outcome, Run
from tests.unit.executors.ansible_stage import (
    Told,
    below,
    both,
    make_ready,
    mutation,
    node,
    perform,
    processes_below,
    until,
    wait_until_it_is_over,
)


@both
async def test_a_hung_host_costs_only_itself(
    executor: AnsibleExecutor, directory: Path, let_pass: Callable[[float], None]
) -> None:
    told = Told()
    tasks = [{"name": "Think", "ansible.builtin.command": "sleep 610", "when": "kraken.name == 'n2'"}]
    facts = {name: node(name) for name in ("n1", "n2", "n3")}
    run = Run("r1", mutation(tasks), tuple(facts), time.time(), timeout_s=600.0)
    flying = asyncio.create_task(executor.run(run, facts, told))
    await told.has("n1")
    await told.has("n3")

    assert not flying.done()
    assert told.results["n1"].outcome is told.results["n3"].outcome is Outcome.OK

    await until(lambda: any(s.startswith("sleep 610") for s in processes_below(directory).values()))
    let_pass(600.0)
    await flying

    assert told.results["n2"].outcome is Outcome.TIMEOUT
    assert told.results["n2"].message == "not through after 600 s, in 'Think'; what it did is not known"
    assert processes_below(directory) == {}


async def test_a_host_whose_turn_never_came_is_told_apart(
    directory: Path, let_pass: Callable[[float], None]
) -> None:
    executor = AnsibleExecutor(work_directory=directory, forks=1)
    told = Told()
    tasks = [{"name": "Think", "ansible.builtin.command": "sleep 609"}]
    facts = {name: node(name) for name in ("n1", "n2")}
    run = Run("r1", mutation(tasks), tuple(facts), time.time(), timeout_s=600.0)
    flying = asyncio.create_task(executor.run(run, facts, told))
    await until(lambda: any(s.startswith("sleep 609") for s in processes_below(directory).values()))
    let_pass(600.0)
    await flying
    await executor.close()

    assert told.results["n1"].outcome is Outcome.TIMEOUT
    assert told.results["n2"].outcome is Outcome.CANCELLED
    assert told.results["n2"].message == "its turn did not come within 600 s; nothing was done"


@both
async def test_cancel_leaves_no_process_no_file_and_reports_nothing_more(
    executor: AnsibleExecutor, directory: Path
) -> None:
    told = Told()
    script = "sh -c 'setsid sleep 611 & env -i setsid sleep 612 & wait'"
    tasks = [{"ansible.builtin.command": script, "when": "kraken.name != 'n1'"}]
    facts = {name: node(name) for name in ("n1", "n2", "n3")}
    run = Run("r1", mutation(tasks), tuple(facts), time.time(), timeout_s=600.0)
    flying = asyncio.create_task(executor.run(run, facts, told))
    await told.has("n1")
    sleeping = re.compile("sleep 61[12]")
    await until(
        lambda: sum(map(bool, map(sleeping.match, processes_below(directory, "sleep 61").values()))) >= 4
    )
    flying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flying

    assert processes_below(directory, "sleep 61") == {}
    assert below(directory, "*/run-*") == []
    assert list(told.results) == ["n1"]


@both
async def test_cancel_before_anything_began_leaves_nothing(
    executor: AnsibleExecutor, directory: Path
) -> None:
    for patience in (0.0, 0.005, 0.02, 0.1):
        run = Run("r1", mutation([{"ansible.builtin.ping": {}}]), ("n1",), time.time(), timeout_s=600.0)
        flying = asyncio.create_task(executor.run(run, {"n1": node("n1")}, Told()))
        await asyncio.sleep(patience)
        flying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flying

        assert processes_below(directory) == {}
        assert below(directory, "*/run-*") == []


async def test_closing_stops_what_is_under_way_and_says_so(directory: Path) -> None:
    executor = AnsibleExecutor(work_directory=directory)
    told = Told()
    run = Run("r1", mutation([{"ansible.builtin.command": "sleep 613"}]), ("n1",), time.time(), 600.0)
    flying = asyncio.create_task(executor.run(run, {"n1": node("n1")}, told))
    await until(lambda: any("sleep 613" in command for command in processes_below(directory).values()))
    await executor.close()
    await executor.close()
    await flying

    assert told.results["n1"].outcome is Outcome.CANCELLED
    assert told.results["n1"].message == "stopped by Kraken; what it did is not known"
    assert (processes_below(directory), below(directory)) == ({}, [])
    with pytest.raises(ExecutorError, match="closed"):
        await executor.run(run, {"n1": node("n1")}, told)


DAEMON = """
import asyncio, sys
from pathlib import Path
from kraken.executors.ansible import AnsibleExecutor
from kraken.model.module import Action, Change, Mutation
from kraken.model.run import NodeFacts, Run

action = Action("ansible", [{"ansible.builtin.shell": sys.argv[2]}], Path("/nowhere"))
run = Run("r1", Mutation("web", "start", (Change("v", None, "A"),), action=action), ("n1",), 0.0, 600.0)
attributes = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
executor = AnsibleExecutor(work_directory=Path(sys.argv[1]))
asyncio.run(executor.run(run, {"n1": NodeFacts("n1", attributes)}, print))
"""


async def test_a_killed_daemon_leaves_no_process_and_the_next_one_sweeps_its_files(
    executor: AnsibleExecutor, directory: Path
) -> None:
    daemon = await asyncio.create_subprocess_exec(sys.executable, "-c", DAEMON, str(directory), "sleep 618")
    try:
        await until(lambda: any(s.startswith("sleep 618") for s in processes_below(directory).values()))
        (left,) = below(directory)
    finally:
        daemon.kill()
        await daemon.wait()
    await until(lambda: not processes_below(directory, "sleep 618"))

    assert below(directory) == [left]

    await perform(executor, [], node("n1"))

    assert left not in below(directory)


@both
@pytest.mark.parametrize("whom", ["keeper.py", "entry.py"])
async def test_a_killed_keeper_leaves_no_process_and_is_told_of(
    executor: AnsibleExecutor, directory: Path, whom: str
) -> None:
    """Nor does it matter who is killed where two stand between the daemon and the playbook."""
    told = Told()
    tasks = [{"name": "Think", "ansible.builtin.shell": "setsid sleep 664 & sleep 665; true"}]
    run = Run("r1", mutation(tasks), ("n1",), time.time(), timeout_s=600.0)
    flying = asyncio.create_task(executor.run(run, {"n1": node("n1")}, told))
    await until(lambda: sum("sleep 66" in s for s in processes_below(directory, "sleep 66").values()) >= 2)
    os.kill(keeper_of(executor, directory, whom), signal.SIGKILL)
    await flying

    assert processes_below(directory, "sleep 66") == {}
    assert below(directory, "*/run-*") == []
    assert told.results["n1"].outcome is Outcome.INTERRUPTED
    assert told.results["n1"].message == (
        "the process that keeps ansible-playbook was killed; what it did is not known"
    )


def keeper_of(executor: AnsibleExecutor, directory: Path, whom: str) -> int:
    """The process that keeps the only run; where it was forked, that, or who asked for it."""
    (noted,) = below(directory, "*/run-*/keeper.pid")
    starter = executor.workspace.starter
    if whom == "entry.py" or starter is None or starter.pid is None:
        return int(noted.read_text())
    return min(descendants(starter.pid))


async def test_who_starts_after_daemon_and_keeper_were_killed_ends_what_is_left(
    executor: AnsibleExecutor, directory: Path
) -> None:
    script = "trap '' TERM HUP; setsid sleep 671 & sleep 672; true"
    daemon = await asyncio.create_subprocess_exec(sys.executable, "-c", DAEMON, str(directory), script)
    try:
        await until(lambda: any(s.startswith("sleep 672") for s in processes_below(directory).values()))
        (keeper,) = below(directory, "*/run-*/keeper.pid")
        daemon.send_signal(signal.SIGSTOP)
        os.kill(int(keeper.read_text()), signal.SIGKILL)
    finally:
        daemon.kill()
        await daemon.wait()

    assert any("sleep 671" in s for s in processes_below(directory).values())

    await perform(executor, [], node("n1"))

    assert processes_below(directory, "sleep 67") == {}


@both
async def test_a_disk_that_becomes_full_is_told_as_such_and_the_next_run_has_what_is_free_again(
    small_disk: Path, tmp_path: Path, executor: AnsibleExecutor
) -> None:
    go, ballast = tmp_path / "go", small_disk / "ballast"
    wait = f"while [ ! -e {go} ]; do sleep 0.05; done; true"
    elsewhere = {"environment": {"TMPDIR": str(tmp_path)}}  # as on a node, which has a disk of its own
    tasks = [{"ansible.builtin.shell": wait, **elsewhere}, {"ansible.builtin.command": "true", **elsewhere}]
    flying = asyncio.create_task(perform(executor, tasks, node("n1"), node("n2")))
    await until(
        lambda: sum(s.startswith("/bin/sh -c while") for s in processes_below(small_disk).values()) > 1
    )
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    go.touch()
    results = await flying
    ballast.unlink()
    after = await perform(executor, [{"ansible.builtin.ping": {}}], node("n1"))

    assert [result.outcome for result in results.values()] == [Outcome.INTERRUPTED] * 2
    assert all(NO_ROOM in result.message for result in results.values())
    assert below(small_disk, "*/run-*") == []
    assert processes_below(small_disk) == {}
    assert after["n1"].outcome is Outcome.OK


@pytest.fixture
def small_disk(directory: Path) -> Iterator[Path]:
    """The directory of the executor, on a file system of its own."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if os.getuid() != 0 or mount is None or umount is None:
        pytest.skip("needs root to make a small file system")
    argv = [mount, "-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", str(directory)]
    if subprocess.run(argv, check=False, capture_output=True, timeout=60).returncode != 0:
        pytest.skip("file systems cannot be mounted here")
    yield directory
    subprocess.run([umount, "-l", str(directory)], check=True, timeout=60)


@both
async def test_a_run_ends_in_time_though_the_daemon_stands_still(
    executor: AnsibleExecutor, directory: Path
) -> None:
    """Somebody else may have its node by then."""
    told = Told()
    tasks = [{"ansible.builtin.command": "sleep 638"}]
    run = Run("r1", mutation(tasks), ("n1",), time.time(), timeout_s=5.0)
    flying = asyncio.create_task(executor.run(run, {"n1": node("n1")}, told))
    await asyncio.sleep(0)
    ran = wait_until_it_is_over(directory)
    await flying

    assert ran
    assert told.results["n1"].outcome in (Outcome.INTERRUPTED, Outcome.TIMEOUT), "nobody knows how it ended"


@both
async def test_an_exception_while_listening_orphans_nothing(
    executor: AnsibleExecutor,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def burst(self: Account, event: Any) -> list[NodeResult]:
        raise KeyError("a bug of ours")

    monkeypatch.setattr(Account, "take", burst)
    results = await perform(executor, [{"ansible.builtin.command": "sleep 614"}], node("n1"))

    assert results["n1"].outcome is Outcome.INTERRUPTED
    assert "Kraken could not follow ansible-playbook: KeyError" in results["n1"].message
    assert processes_below(directory) == {}
    assert "a bug of ours" in caplog.text


async def test_an_exception_inside_ansible_runner_orphans_nothing(
    executor: AnsibleExecutor, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ansible_runner import Runner

    def burst(self: Runner, event: Any) -> None:
        raise RuntimeError("a bug of theirs")

    monkeypatch.setattr(Runner, "event_callback", burst)
    results = await perform(executor, [{"ansible.builtin.command": "sleep 615"}], node("n1"))

    assert results["n1"].outcome is Outcome.INTERRUPTED
    assert processes_below(directory) == {}


@both
async def test_an_exception_of_the_listener_stops_the_run_and_is_raised(
    executor: AnsibleExecutor, directory: Path
) -> None:
    def burst(results: Any) -> None:
        raise ValueError("a bug of the daemon")

    tasks = [{"ansible.builtin.command": "sleep 616", "when": "kraken.name == 'n1'"}]
    run = Run("r1", mutation(tasks), ("n1", "n2"), time.time(), 600.0)
    with pytest.raises(ValueError, match="a bug of the daemon"):
        await executor.run(run, {name: node(name) for name in run.nodes}, burst)

    assert processes_below(directory) == {}


@pytest.mark.parametrize("forkserver", [False, True])
async def test_output_without_end_is_contained(directory: Path, tmp_path: Path, *, forkserver: bool) -> None:
    plugins, config = tmp_path / "plugins", tmp_path / "ansible.cfg"
    plugins.mkdir()
    config.write_text(f"[defaults]\naction_plugins = {plugins}\nlibrary = {tmp_path / 'library'}\n")
    (plugins / "flood.py").write_text(
        "import os\nfrom ansible.plugins.action import ActionBase\n"
        "from ansible.utils.display import Display\n"
        "class ActionModule(ActionBase):\n"
        "    def run(self, tmp=None, task_vars=None):\n"
        "        while True:\n"
        "            Display().display('x' * 1000)\n"
    )
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "flood.py").write_text("#!/usr/bin/python3\n")
    executor = AnsibleExecutor(
        work_directory=directory, output_max=1_000_000, forkserver=forkserver, config=config
    )
    if forkserver:
        await make_ready(executor)
    results = await perform(executor, mutation([{"flood": {}}]), node("n1"))
    await executor.close()

    assert results["n1"].outcome is Outcome.INTERRUPTED
    assert results["n1"].message == TOO_MUCH


TOO_MUCH = "its run wrote more than 1 MB of output, and was stopped; what it did is not known"


async def test_output_without_end_is_told_as_such_where_it_is_shown_beside_results(directory: Path) -> None:
    """A loop shows each item that fails, before ansible-playbook says anything else."""
    executor = AnsibleExecutor(work_directory=directory, output_max=1_000_000)
    items = ["x" * 30_000] * 100
    tasks = [{"ansible.builtin.fail": {"msg": "no"}, "loop": items, "ignore_errors": True}]
    results = await perform(executor, tasks, node("n1"))
    await executor.close()

    assert results["n1"].outcome is Outcome.INTERRUPTED
    assert results["n1"].message == TOO_MUCH
