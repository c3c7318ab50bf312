"""The tasks of the example for Slurm against a scontrol that answers as Slurm does: without root or Slurm.

With a real one: tests/e2e/test_example_slurm.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kraken.executors.ansible import AnsibleExecutor
from kraken.model.catalog import Catalog
from kraken.model.loading import load_all
from kraken.model.run import NodeResult, Outcome
from tests.unit.executors.ansible_stage import node, perform

ROOT = Path(__file__).resolve().parents[2]

SCONTROL = """\
#!/bin/sh
echo "$@" >>{directory}/asked
case "$*" in
  *state=drain*) echo IDLE+DRAIN 'Reason=kraken [root@2026-11-28T09:00:00]' >{directory}/state ;;
  *state=resume*) echo IDLE >{directory}/state ;;
esac
[ -e {directory}/away ] && {{ echo 'slurm_load_node error: Unable to contact slurm controller' >&2; exit 1; }}
read -r state reason <{directory}/state
echo "NodeName=n1 Arch=x86_64 CPUAlloc=0 State=$state ThreadsPerCore=1 Weight=1 Partitions=all $reason"
"""

Slurm = Callable[[str], None]


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    """What Slurm says of the node from now on."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "scontrol").write_text(SCONTROL.format(directory=tmp_path))
    (tmp_path / "bin" / "scontrol").chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")

    def say(state: str) -> None:
        (tmp_path / "state").write_text(f"{state}\n")

    say("IDLE")
    return say


@pytest.fixture
def catalog() -> Catalog:
    found, problems = load_all([ROOT, ROOT / "examples/04-slurm"], [])
    assert not problems
    return found


async def done(tmp_path: Path, catalog: Catalog, name: str) -> NodeResult:
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    executor = AnsibleExecutor(work_directory=work)
    module = catalog.modules["slurm"]
    operator = {**module.discoveries, **module.mutations}[name]
    facts = node("rack1-n1", **{"slurm.controller": "localhost", "slurm.name": "n1"})
    results = await perform(executor, operator, facts)
    await executor.close()
    return results["rack1-n1"]


@pytest.mark.parametrize(
    ("said", "state", "jobs"),
    [
        ("IDLE", "UP", "NONE"),
        ("MIXED", "UP", "RUNNING"),
        ("ALLOCATED+DRAIN Reason=kraken [root@x]", "DRAIN", "RUNNING"),
        ("IDLE+DRAIN Reason=bad fan [ann@x]", "DRAIN_BY_OTHERS", "NONE"),
        ("IDLE*+COMPLETING+DRAIN Reason=kraken [root@x]", "DRAIN", "RUNNING"),
        ("DOWN*", "DOWN", "NONE"),
    ],
)
async def test_what_slurm_says_is_seen(
    slurm: Slurm, catalog: Catalog, tmp_path: Path, said: str, state: str, jobs: str
) -> None:
    slurm(said)
    result = await done(tmp_path, catalog, "slurm_look")

    assert (result.outcome, result.observed) == (Outcome.OK, {"slurm_state": state, "slurm_jobs": jobs})


async def test_a_node_is_drained_and_resumed_under_the_name_that_slurm_has_for_it(
    slurm: Slurm, catalog: Catalog, tmp_path: Path
) -> None:
    drained = await done(tmp_path, catalog, "drain")
    resumed = await done(tmp_path, catalog, "resume")

    assert (drained.observed["slurm_state"], resumed.observed["slurm_state"]) == ("DRAIN", "UP")
    assert (tmp_path / "asked").read_text().splitlines() == [
        "update nodename=n1 state=drain reason=kraken",
        "--oneliner show node n1",
        "update nodename=n1 state=resume",
        "--oneliner show node n1",
    ]


async def test_a_controller_that_is_away_is_told_and_says_nothing_of_the_node(
    slurm: Slurm, catalog: Catalog, tmp_path: Path
) -> None:
    (tmp_path / "away").touch()
    result = await done(tmp_path, catalog, "slurm_look")

    assert (result.outcome, result.observed) == (Outcome.FAILED, {})
    assert "Unable to contact slurm controller" in result.message
