"""What the tasks of the base modules report, run by real ansible-playbook against this machine."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from kraken.executors.ansible import AnsibleExecutor
from kraken.model.loading import load_all
from kraken.model.module import Discovery, Mutation
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run
from kraken.model.update import Value

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
CATALOG, _ = load_all([ROOT])

# A SysV script whose state is the file beside it: the code that `status` answers.
SCRIPT = """#!/bin/sh
code=$(cat "$0.code")
case "$1" in
status) echo "no sentence of mine may be believed: not running, stopped, running"; exit "$code" ;;
start) [ "$code" != 4 ] || exit 1; echo 0 >"$0.code" ;;
stop) echo 3 >"$0.code" ;;
esac
"""


async def perform(
    operator: Mutation | Discovery, nodes: Mapping[str, dict[str, Value]]
) -> dict[str, NodeResult]:
    here: dict[str, Value] = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    facts = {name: NodeFacts(name, attributes=here | given) for name, given in nodes.items()}
    executor = AnsibleExecutor()
    results: dict[str, NodeResult] = {}
    try:
        run = Run("1", operator, tuple(nodes), time.time(), 120.0)
        await executor.run(run, facts, lambda found: results.update({r.node: r for r in found}))
    finally:
        await executor.close()
    return results


def scripts(directory: Path, codes: Mapping[str, int]) -> dict[str, dict[str, Value]]:
    """Nodes, each with a service of its own that answers this code."""
    nodes: dict[str, dict[str, Value]] = {}
    for name, code in codes.items():
        script = directory / name
        script.write_text(SCRIPT)
        script.chmod(0o755)
        (directory / f"{name}.code").write_text(f"{code}\n")
        nodes[name] = {"service.unit": str(script), "service.manager": "sysvinit"}
    return nodes


def with_program(directory: Path, name: str, body: str) -> str:
    """A Python to run modules with, for which this program comes first on the path."""
    directory.mkdir()
    program, python = directory / name, directory / "python"
    program.write_text(f"#!/bin/sh\n{body}\n")
    python.write_text(f'#!/bin/sh\nPATH={directory}:$PATH exec {sys.executable} "$@"\n')
    program.chmod(0o755)
    python.chmod(0o755)
    return str(python)


async def test_a_service_is_what_the_exit_code_of_its_status_says(tmp_path: Path) -> None:
    nodes = scripts(tmp_path, {"running": 0, "dead": 1, "stopped": 3, "lost": 4})
    nodes["gone"] = {"service.unit": str(tmp_path / "nothing"), "service.manager": "sysvinit"}

    results = await perform(CATALOG.discoveries["service.service_status"], nodes)

    seen = {name: dict(result.observed) for name, result in results.items()}
    assert seen == {
        "running": {"service": "RUNNING"},
        "dead": {"service": "FAILED"},
        "stopped": {"service": "STOPPED"},
        "lost": {"service": "FAILED"},
        "gone": {},
    }
    assert results["gone"].outcome is Outcome.FAILED


async def test_a_systemd_unit_is_what_systemctl_says(tmp_path: Path) -> None:
    words = {"active": "RUNNING", "reloading": "RUNNING", "inactive": "STOPPED", "failed": "FAILED"}
    nodes: dict[str, dict[str, Value]] = {}
    for word in (*words, "nothing"):
        answer = "" if word == "nothing" else f"echo {word}; [ {word} = active ]"
        python = with_program(tmp_path / word, "systemctl", answer)
        nodes[word] = {
            "service.unit": "x",
            "service.manager": "systemd",
            "ansible_python_interpreter": python,
        }

    results = await perform(CATALOG.discoveries["service.service_status"], nodes)

    assert {name: results[name].observed["service"] for name in words} == words
    assert results["nothing"].observed == {}


async def test_starting_reports_the_service_as_seen_afterwards(tmp_path: Path) -> None:
    nodes = scripts(tmp_path, {"stopped": 3, "broken": 4})

    results = await perform(CATALOG.mutations["service.start_service"], nodes)

    assert results["stopped"].outcome is Outcome.OK
    assert results["stopped"].observed == {"service": "RUNNING"}
    assert results["broken"].outcome is Outcome.FAILED
    assert "RUNNING" not in results["broken"].observed.values()


async def test_a_failed_service_can_be_made_a_stopped_one(tmp_path: Path) -> None:
    results = await perform(CATALOG.mutations["service.clear_service"], scripts(tmp_path, {"dead": 1}))

    assert results["dead"].observed == {"service": "STOPPED"}


async def test_a_node_is_fit_or_says_why_not(tmp_path: Path) -> None:
    nodes: dict[str, dict[str, Value]] = {"fit": {}, "full": {}, "late": {}}
    full = with_program(tmp_path / "full", "df", "echo Filesystem; echo root 9000 9000 0 100% /")
    late = with_program(tmp_path / "late", "date", "echo 1000000000")
    nodes["full"]["ansible_python_interpreter"] = full
    nodes["late"]["ansible_python_interpreter"] = late

    for operator in (CATALOG.mutations["boot.fit"], CATALOG.discoveries["boot.fitness"]):
        results = await perform(operator, nodes)

        seen = {name: (result.outcome, dict(result.observed)) for name, result in results.items()}
        assert seen == {
            "fit": (Outcome.OK, {"run_state": "SYNC"}),
            "full": (Outcome.FAILED, {"run_state": "ERROR"}),
            "late": (Outcome.FAILED, {"run_state": "ERROR"}),
        }
        assert "its root file system is full" in results["full"].message
        assert "its clock is -" in results["late"].message
