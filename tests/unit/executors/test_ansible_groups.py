"""Runs in cgroups of their own: real ones where this machine has a tree to make them in."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kraken.executors.ansible import AnsibleExecutor, Limits
from kraken.executors.ansible.groups import TREES, Group, Groups, is_delegated, own_group, size
from kraken.model.run import Outcome, Run
from tests.unit.executors.ansible_stage import (
    Told,
    make_ready,
    mutation,
    node,
    perform,
    processes_below,
    until,
)

TREE = next((place for place in TREES if (place / "cgroup.procs").exists()), None)
HAS_TREE = TREE is not None and os.access(TREE, os.W_OK) and os.geteuid() == 0
needs_tree = pytest.mark.skipif(not HAS_TREE, reason="needs root and a tree of cgroups of version 2")


@pytest.fixture
def own(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A cgroup that is left to us, as systemd marks one."""
    assert TREE is not None
    own = TREE / f"kraken-test-{os.getpid()}-{time.monotonic_ns()}"
    own.mkdir()
    os.setxattr(own, "user.delegate", b"1")
    yield own
    for group in (*sorted(own.rglob("*/"), reverse=True), own):
        with contextlib.suppress(OSError):
            (group / "cgroup.kill").write_text("1")
        while group.exists():
            with contextlib.suppress(OSError):
                group.rmdir()


@pytest.fixture(params=["started", "forked"])
def limited(own: Path, directory: Path, request: pytest.FixtureRequest) -> AnsibleExecutor:
    """An executor whose runs have cgroups within that one."""
    executor = AnsibleExecutor(work_directory=directory, forkserver=request.param == "forked")
    executor.workspace.groups = Groups.open(Limits(), own)
    return executor


def members(group: Path) -> list[int]:
    return [int(word) for word in (group / "cgroup.procs").read_text().split()]


HOPS = "import os\nfor _ in range(5):\n    os.fork()\nwhile not os.fork() or os._exit(0):\n    os.setsid()\n"
"""Processes, each of which is another one, in another session, at every moment."""
ESCAPES = "setsid env -i sleep 641 & (setsid sleep 642 &); exec sleep 643"


@needs_tree
@pytest.mark.parametrize("script", [ESCAPES, f"exec '{sys.executable}' -c \"$HOPS\""])
async def test_all_of_a_run_is_in_its_cgroup_and_ends_with_it(
    limited: AnsibleExecutor, own: Path, let_pass: Callable[[float], None], script: str
) -> None:
    if limited.forkserver:
        await make_ready(limited)
    told = Told()
    shell = {"name": "Go", "ansible.builtin.shell": script, "environment": {"HOPS": HOPS}}
    facts = {"n1": node("n1")}
    flying = asyncio.create_task(
        limited.run(Run("r1", mutation([shell]), ("n1",), time.time(), 600.0), facts, told)
    )
    groups = await until(lambda: list((own / "runs").glob("run-*/")))
    await until(lambda: any("sleep 64" in title or "os.fork" in title for title in titles(groups[0])))
    assert os.getpid() not in members(groups[0])
    let_pass(600.0)
    await flying
    await limited.close()

    assert told.results["n1"].outcome is Outcome.TIMEOUT
    assert list((own / "runs").glob("run-*/")) == []
    assert members(own / "left") == []


def titles(group: Path) -> list[str]:
    found = []
    for pid in members(group):
        with contextlib.suppress(OSError):
            found.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "))
    return found


@needs_tree
async def test_what_a_task_leaves_running_goes_on_without_the_limits_of_its_run(
    limited: AnsibleExecutor, own: Path
) -> None:
    results = await perform(
        limited,
        [{"name": "Start", "ansible.builtin.shell": "setsid sleep 644 >/dev/null 2>&1 </dev/null &"}],
        node("n1"),
    )
    await limited.close()

    assert results["n1"].outcome is Outcome.OK
    assert list((own / "runs").glob("run-*/")) == []
    assert [title for title in titles(own / "left") if title.startswith("sleep 644")]


@needs_tree
def test_a_daemon_leaves_the_cgroup_that_it_divides_and_ends_what_the_last_one_left(own: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom kraken.executors.ansible.groups import *\n"
        "own = Path(sys.argv[1])\n(own / 'cgroup.procs').write_text('0')\n"
        "first, second = Groups.open(Limits(), own_group()), Groups.open(Limits(), own_group())\n"
        "assert first.own == second.own == own\n"
        "print(Path('/proc/self/cgroup').read_text(), end='')\n"
    )
    stray = own / "runs" / "run-x"
    stray.mkdir(parents=True)
    with subprocess.Popen(["sleep", "645"]) as sleeping:
        (stray / "cgroup.procs").write_text(str(sleeping.pid))
        words = [sys.executable, "-c", script, str(own)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert f"0::/{own.name}/daemon\n" in done.stdout
    assert sleeping.returncode == -9
    assert not stray.exists()


@needs_tree
def test_only_what_is_marked_as_ours_is_divided(own: Path, tmp_path: Path) -> None:
    (tmp_path / "ours").write_text(f"5:pids:/x\n0::/{own.name}\n")
    (tmp_path / "divided").write_text(f"0::/{own.name}/daemon\n")
    (tmp_path / "others").write_text("0::/\n")
    (tmp_path / "old").write_text("5:pids:/x\n")

    assert own_group(TREE, tmp_path / "ours") == own
    assert own_group(TREE, tmp_path / "divided") == own / "daemon"
    assert own_group(TREE, tmp_path / "others") is None
    assert own_group(TREE, tmp_path / "old") is None
    os.removexattr(own, "user.delegate")
    assert not is_delegated(own)
    assert own_group(TREE, tmp_path / "ours") is None


@pytest.fixture
def like_a_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What looks like a cgroup with both controllers, where a new group has their files."""
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    make = Path.mkdir

    def mkdir(path: Path, *words: Any, **more: Any) -> None:
        make(path, *words, **more)
        for file in ("cgroup.procs", "memory.max", "memory.swap.max", "pids.max", "pids.events"):
            (path / file).write_text("")

    monkeypatch.setattr(Path, "mkdir", mkdir)
    (tmp_path / "cgroup.procs").write_text("")
    return tmp_path


def test_a_run_has_the_limits_that_are_configured(like_a_tree: Path) -> None:
    groups = Groups.open(Limits(99, "2G"), like_a_tree)
    assert groups is not None
    group = groups.make("run-1")
    assert group is not None

    assert (group.place / "pids.max").read_text() == "99"
    assert (group.place / "memory.max").read_text() == str(2 << 30)
    assert (group.place / "memory.swap.max").read_text() == "0"
    for place in (like_a_tree, like_a_tree / "runs"):
        assert (place / "cgroup.subtree_control").read_text() == "+pids", "both, one after the other"


def test_the_limit_that_a_run_came_to_is_told_in_the_words_of_the_configuration(tmp_path: Path) -> None:
    group = Group(tmp_path, Limits(99, "2G"))
    assert group.reached() == ""
    (tmp_path / "pids.events").write_text("max 0\n")
    (tmp_path / "memory.events").write_text("low 0\nhigh 0\nmax 7\noom 1\noom_kill 0\n")
    assert group.reached() == ""
    (tmp_path / "pids.events").write_text("max 3\n")
    assert group.reached() == "its run had all the processes it may, ansible.processes_max: 99"
    (tmp_path / "memory.events").write_text("oom 1\noom_kill 1\n")
    assert group.reached() == "its run used all the memory it may, ansible.memory_max: 2G"


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("4096", 4096), ("3K", 3072), ("8G", 8 << 30), ("1T", 1 << 40), ("50%", 1024 * 500), ("100%", 1024000)],
)
def test_a_size_is_in_bytes_or_of_the_machine(tmp_path: Path, text: str, bytes_: int) -> None:
    (tmp_path / "meminfo").write_text("MemFree:  7 kB\nMemTotal:    1000 kB\n")

    assert size(text, tmp_path / "meminfo") == bytes_


async def test_a_failure_of_a_run_that_came_to_a_limit_says_so(
    executor: AnsibleExecutor,
    like_a_tree: Path,
    monkeypatch: pytest.MonkeyPatch,
    let_pass: Callable[[float], None],
) -> None:
    """Whether the kernel says so, too, no test can try where it does not limit."""
    monkeypatch.setattr(Group, "reached", lambda self: "its run had all")
    monkeypatch.setattr(Group, "close", lambda self: None)
    executor.workspace.groups = Groups.open(Limits(), like_a_tree)
    results = await perform(executor, [{"name": "Fail", "ansible.builtin.command": "false"}], node("n1"))

    assert results["n1"].outcome is Outcome.FAILED
    assert results["n1"].message.endswith("(its run had all)")

    told, facts = Told(), {"n1": node("n1")}
    endless = mutation([{"name": "Wait", "ansible.builtin.command": "sleep 646"}])
    flying = asyncio.create_task(executor.run(Run("r2", endless, ("n1",), time.time(), 600.0), facts, told))
    await until(
        lambda: any("sleep 646" in title for title in processes_below(executor_directory(executor)).values())
    )
    let_pass(600.0)
    await flying

    assert told.results["n1"].outcome is Outcome.TIMEOUT
    assert told.results["n1"].message.endswith("(its run had all)")


def executor_directory(executor: AnsibleExecutor) -> Path:
    root = executor.workspace.root
    assert root is not None
    return root
