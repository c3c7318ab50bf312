"""Runs of Ansible on local connections, as the tests of its executor want them."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kraken.executors.ansible import AnsibleExecutor
from kraken.model.module import Action, Change, Discovery, Mutation
from kraken.model.run import NodeFacts, NodeResult, Run
from kraken.model.update import Value

LOCAL: dict[str, Value] = {
    "ansible_connection": "local",
    "ansible_python_interpreter": sys.executable,
}


def node(name: str, cfg: dict[str, str] | None = None, **attributes: Value) -> NodeFacts:
    return NodeFacts(name, {**LOCAL, **attributes}, groups=("rack1",), cfg=cfg or {})


def mutation(tasks: list[Any], directory: Path = Path("/nowhere"), **more: Any) -> Mutation:
    changes = more.pop("changes", (Change("service", None, "RUNNING"),))
    return Mutation("web", "start", changes, action=Action("ansible", tasks, directory), **more)


class Told:
    """A report that remembers, and lets a test wait for a node."""

    def __init__(self) -> None:
        self.results: dict[str, NodeResult] = {}
        self.order: list[str] = []
        self.news = asyncio.Event()

    def __call__(self, results: Any) -> None:
        for result in results:
            assert result.node not in self.results, "each node is reported once"
            self.results[result.node] = result
            self.order.append(result.node)
        self.news.set()

    async def has(self, name: str) -> NodeResult:
        while name not in self.results:
            self.news.clear()
            await self.news.wait()
        return self.results[name]


FORKED = "forked"


both = pytest.mark.parametrize("executor", ["started", FORKED], indirect=True)
"""For what must hold however runs start."""


async def make_ready(executor: AnsibleExecutor) -> None:
    """Have its fork server started, by a first run, which was forked from it."""
    await perform(executor, [], node("first"))
    starter = executor.workspace.starter
    assert starter is not None
    assert starter.pid is not None


def wait_until_it_is_over(directory: Path) -> set[int]:
    """Stand still, with the loop, until a run has begun and nothing of it is left; its processes."""
    ran: set[int] = set()
    while not ran or processes_below(directory):
        ran |= processes_below(directory).keys()
        time.sleep(0.1)
    return ran


async def perform(
    executor: AnsibleExecutor,
    tasks: list[Any] | Mutation | Discovery,
    *nodes: NodeFacts,
    timeout_s: float = 600,
) -> dict[str, NodeResult]:
    told = Told()
    operator = mutation(tasks) if isinstance(tasks, list) else tasks
    run = Run("r1", operator, tuple(facts.name for facts in nodes), time.time(), timeout_s)
    await executor.run(run, {facts.name: facts for facts in nodes}, told)

    assert sorted(told.results) == sorted(run.nodes), "every node is reported"
    return told.results


def below(directory: Path, pattern: str = "*") -> list[Path]:
    return sorted(directory.glob(pattern))


def processes_below(directory: Path, command: str = "") -> dict[int, str]:
    """Living processes that name the directory (or run this command) -> command line and environment."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                title = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                shown = title + (entry / "environ").read_bytes()
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:  # it has ended
                continue
            if b"forkserver.py" in title and parent == os.getpid():
                continue  # it is of no run, and ends with its executor; what it forked is
            if os.fsencode(directory) in shown or (command and title.startswith(command.encode())):
                found[int(entry.name)] = shown.decode(errors="replace")
    return found


async def until(happens: Callable[[], Any]) -> Any:
    """Wait for something the outside world does; the test's own timeout is the limit."""
    for _ in range(12000):
        value = happens()
        if value:
            return value
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen within two minutes")
