"""What ansible-playbook tells of a run, with Kraken's callback plugin over that of ansible-runner."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from ansible_runner.utils import get_callback_dir

from kraken.executors.ansible import AnsibleExecutor
from kraken.executors.ansible.account import Account
from kraken.executors.ansible.playrun import CALLBACKS
from kraken.model.module import Action, Change, Mutation
from kraken.model.run import NodeFacts, NodeResult, Run

LOADED = """
from ansible.utils.display import Display
before = {name: getattr(Display, name) for name in ("debug", "verbose", "warning")}
from ansible.plugins.loader import callback_loader
plugin = callback_loader.get("kraken_events")
print(*[name for name, method in before.items() if getattr(Display, name) is not method])
"""


async def test_each_host_begins_and_ends_a_task_and_no_more_is_told_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: Counter[str] = Counter()
    take = Account.take

    def listen(self: Account, event: Any) -> list[NodeResult]:
        told[event["event"]] += 1
        return take(self, event)

    monkeypatch.setattr(Account, "take", listen)
    tasks = [{"ansible.builtin.debug": {"msg": "one"}}, {"ansible.builtin.debug": {"msg": "two"}}]
    names = ("n1", "n2", "n3")
    operator = Mutation("web", "start", (Change("s", None, "UP"),), action=Action("ansible", tasks, tmp_path))
    run = Run("r1", operator, names, time.time(), 600.0)
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    executor = AnsibleExecutor(work_directory=tmp_path)
    try:
        await executor.run(run, {name: NodeFacts(name, local) for name in names}, lambda _: None)
    finally:
        await executor.close()

    assert told == {
        "playbook_on_start": 1,
        "playbook_on_play_start": 1,
        "runner_on_start": 6,
        "runner_on_ok": 6,
        "playbook_on_stats": 1,
    }


def test_what_is_said_only_by_verbose_runs_costs_nothing_where_nobody_is_verbose() -> None:
    places = f"{CALLBACKS}{os.pathsep}{get_callback_dir()}"
    environment = {**os.environ, "ANSIBLE_CALLBACK_PLUGINS": places}
    done = subprocess.run(
        [sys.executable, "-c", LOADED], env=environment, capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == ["warning"], "warnings are told as such, and nothing else is replaced"
