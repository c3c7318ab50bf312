"""A daemon loads what it does, and not what it could do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast

import pytest

from kraken.daemon.assembly import build_credentials, build_executors
from kraken.daemon.config import Ansible, Config
from kraken.errors import ExecutorError
from kraken.executors import Report
from kraken.executors.ansible import AnsibleExecutor, Limits
from kraken.executors.deferred import Deferred, DeferredBmc
from kraken.model.module import Mutation
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run

HEAVY = {
    "aiohttp",
    "ansible",
    "ansible_runner",
    "click",
    "cryptography",
    "httpx",
    "litestar",
    "networkx",
    "prometheus_client",
    "pyghmi",
    "rich",
    "uvicorn",
}
RUN = Run("1-1", Mutation("m", "go", (), timeout_s=1.0), ("n1",), 0.0, 1.0)
FACTS = {"n1": NodeFacts("n1", {})}


class Hand:
    """Says yes to everything."""

    def __init__(self) -> None:
        self.closed = False

    async def run(self, run: Run, nodes: Mapping[str, NodeFacts], report: Report) -> None:
        report([NodeResult(run.id, node, Outcome.OK) for node in nodes])

    discover = run

    async def close(self) -> None:
        self.closed = True


def test_a_daemon_that_was_asked_for_nothing_has_loaded_no_heavy_library(tmp_path: Path) -> None:
    script = (
        "import os, sys\nfrom pathlib import Path\nimport kraken.api.server\n"
        "from kraken.daemon.assembly import build_credentials, build_executors, open_store\n"
        "from kraken.daemon.config import Config\n"
        "config = Config(state_dir=Path(sys.argv[1]))\n"
        "kinds = build_executors(config, os.environ, build_credentials(config))\n"
        "open_store(config)[0].close()\nprint(*kinds)\nprint(*sys.modules)"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    kinds, loaded = (set(line.split()) for line in done.stdout.splitlines())

    assert kinds == {"ansible", "ipmi", "redfish", "tcp"}
    assert loaded & (HEAVY | {"sqlalchemy"}) == set()
    assert loaded & {"kraken.daemon.operations", "kraken.daemon.power", "kraken.api.answers"} == set()


def test_the_interface_is_loaded_without_what_draws_and_counts() -> None:
    """An agent is asked how its node is, and hardly ever for a picture or for numbers."""
    script = "import sys\nimport kraken.api.app\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert set(done.stdout.split()) & {"networkx", "prometheus_client"} == set()


@pytest.mark.parametrize(
    ("starter", "is_leaf", "forks", "forks_here"),
    [
        ("auto", False, True, True),
        ("auto", True, True, False),
        ("forkserver", True, True, True),
        ("process", False, False, True),
    ],
)
async def test_an_agent_starts_what_runs_on_its_own_node_as_programs(
    starter: Literal["auto", "forkserver", "process"], *, is_leaf: bool, forks: bool, forks_here: bool
) -> None:
    config = Config(ansible=Ansible(starter=starter))
    hands = build_executors(config, {}, build_credentials(config), is_leaf=is_leaf)
    ansible = cast(Deferred[AnsibleExecutor], hands["ansible"])
    await ansible.run(replace(RUN, nodes=()), {}, lambda results: None)
    made = ansible.made
    await ansible.close()

    assert made is not None
    assert (made.forkserver, made.forkserver and made.forks_here) == (forks, forks and forks_here)


async def test_runs_of_ansible_have_the_limits_that_are_configured() -> None:
    config = Config(ansible=Ansible(processes_max=99, memory_max="8G"))
    hands = build_executors(config, {}, build_credentials(config), is_leaf=False)
    ansible = cast(Deferred[AnsibleExecutor], hands["ansible"])
    await ansible.run(replace(RUN, nodes=()), {}, lambda results: None)
    made = ansible.made
    await ansible.close()

    assert made is not None
    assert made.workspace.limits == Limits(99, "8G")


async def test_an_executor_is_made_once_with_the_first_run_and_closed_with_its_deferral() -> None:
    made: list[Hand] = []

    def make() -> Hand:
        made.append(Hand())
        return made[-1]

    deferred, results = Deferred("kraken.executors", make), list[NodeResult]()
    before = list(made)
    for _ in range(2):
        await deferred.run(RUN, FACTS, results.extend)
    await deferred.close()

    assert before == []
    assert [result.outcome for result in results] == [Outcome.OK, Outcome.OK]
    assert [hand.closed for hand in made] == [True]
    with pytest.raises(ExecutorError, match="closed"):
        await deferred.discover(RUN, FACTS, results.extend)


async def test_a_library_that_is_missing_is_named_and_no_node_is_touched() -> None:
    deferred = Deferred("kraken.executors.nonesuch", Hand)
    with pytest.raises(ExecutorError, match=r"nonesuch.*no node was touched .install Kraken anew"):
        await deferred.run(RUN, FACTS, lambda results: None)


async def test_what_was_never_made_keeps_nothing_and_is_closed_for_nothing() -> None:
    deferred = DeferredBmc("kraken.executors.nonesuch", lambda: pytest.fail("it was made"))
    deferred.leave(["n1"])
    deferred.insist(["n1"])
    await deferred.close()

    assert deferred.streams == 0
