"""What a task does to its own run is told of its node, and harms neither others nor the collector."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kraken.executors.ansible import AnsibleExecutor
from kraken.model.run import NodeResult, Outcome, Run
from tests.unit.executors.ansible_stage import (
    Told,
    both,
    mutation,
    node,
    perform,
    processes_below,
    until,
)

MODULES = {
    "closes": "import os\nos.close(1)\nos.close(2)\n",
    "dies": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n",
    "babbles": "print('no JSON at all')\n",
    "lies": 'print(\'{"changed": false, "kraken_dsc": {"service": \')\n',
}


def at_n2(task: dict[str, Any]) -> list[Any]:
    return [{"name": "Misbehave", **task, "when": "kraken.name == 'n2'"}]


@pytest.mark.parametrize("name", MODULES)
async def test_a_module_that_gives_no_result_has_failed_on_its_node_alone(
    executor: AnsibleExecutor, tmp_path: Path, name: str
) -> None:
    (tmp_path / "beside" / "library").mkdir(parents=True)
    (tmp_path / "beside" / "library" / f"{name}.py").write_text("#!/usr/bin/python3\n" + MODULES[name])
    task = mutation(at_n2({name: {}}), tmp_path / "beside")
    results = await perform(executor, task, node("n1"), node("n2"))

    assert results["n1"].outcome is Outcome.OK
    assert results["n2"].outcome is Outcome.FAILED
    assert results["n2"].message.startswith("Misbehave: ")
    assert results["n2"].observed == {}


@both
async def test_what_ignores_the_request_to_end_is_ended(
    executor: AnsibleExecutor, directory: Path, let_pass: Callable[[float], None]
) -> None:
    told = Told()
    tasks = at_n2({"ansible.builtin.shell": "trap '' TERM HUP INT; sleep 617 & wait; sleep 618"})
    facts = {name: node(name) for name in ("n1", "n2")}
    flying = asyncio.create_task(
        executor.run(Run("r1", mutation(tasks), tuple(facts), time.time(), 600.0), facts, told)
    )
    await told.has("n1")
    await until(lambda: any(s.startswith("sleep 617") for s in processes_below(directory).values()))
    let_pass(600.0)
    await flying

    assert told.results["n2"].outcome is Outcome.TIMEOUT
    assert processes_below(directory) == {}


@pytest.mark.parametrize("end", ["exit 3", "exit 0"])
async def test_a_line_of_many_megabytes_does_not_pass_through_the_collector(
    directory: Path, end: str
) -> None:
    """Less may be written by the whole run than this task gives on one line."""
    executor = AnsibleExecutor(work_directory=directory, output_max=1_000_000)
    shell = f"head -c 12000000 /dev/zero | tr '\\0' x; {end}"
    results = await perform(executor, at_n2({"ansible.builtin.shell": shell}), node("n1"), node("n2"))
    await executor.close()

    assert results["n1"].outcome is Outcome.OK
    assert results["n2"].outcome is (Outcome.OK if end == "exit 0" else Outcome.FAILED)
    assert len(results["n2"].message) < 100


async def test_a_playbook_that_is_killed_leaves_doubt_of_those_it_had_in_hand_and_nothing_else(
    executor: AnsibleExecutor, directory: Path
) -> None:
    """As where the kernel kills it because memory has run out."""
    told = Told()
    tasks = at_n2({"ansible.builtin.command": "sleep 619"})
    facts = {name: node(name) for name in ("n1", "n2")}
    flying = asyncio.create_task(
        executor.run(Run("r1", mutation(tasks), tuple(facts), time.time(), 600.0), facts, told)
    )
    first = await told.has("n1")
    await until(lambda: any(s.startswith("sleep 619") for s in processes_below(directory).values()))
    for pid, shown in processes_below(directory).items():
        title = shown.partition("HOME=")[0]
        if "ansible-playbook" in title and "keeper.py" not in title:
            os.kill(pid, signal.SIGKILL)
    await flying
    second: NodeResult = told.results["n2"]

    assert first.outcome is Outcome.OK
    assert second.outcome is Outcome.INTERRUPTED
    assert "not known" in second.message
    assert processes_below(directory) == {}
