"""What is silent is doubted, and nothing is done to it on a guess. The base modules, as they are shipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from kraken.daemon.arrivals import Results
from kraken.model.catalog import Catalog
from kraken.model.loading import load_all
from kraken.model.run import NodeResult, Outcome
from tests.unit.engine.conftest import Bench

BASE = Path(__file__).parents[3] / "ansible_collections/kraken/hpc/extensions/kraken"
BMC = {"bmc.protocol": "ipmi", "bmc.address": "10.1.0.1"}
UP = {"phys_state": "POWER_ON", "run_state": "SYNC"}
ON = {"phys_state": "POWER_ON", "bmc.reach": "OK"}
MUTE = {"bmc.reach": "NO_ANSWER"}


@pytest.fixture
def up() -> Bench:
    """n1 is in service, as declared."""
    catalog, problems = load_all([], [BASE])
    assert not problems
    return in_service(catalog)


def in_service(catalog: Catalog) -> Bench:
    bench = Bench(catalog)
    bench.declare("n1", cfg=UP, attributes=BMC)
    bench.report("power_status", ON)
    bench.wait(6)
    bench.report("ssh_answers", {"run_state": "INIT"})
    bench.report("fit", {"run_state": "SYNC"})
    bench.wait(1)
    assert bench.cause() == "CONVERGED"
    return bench


def live(bench: Bench, for_s: float, *, bmc: bool, system: bool) -> list[tuple[float, str]]:
    """Let time pass; what leaves is answered within a second by what is alive. Returns the causes, and
    how many seconds after the beginning each of them came.
    """
    begin, causes = bench.now, [(0.0, bench.cause())]
    while bench.now < begin + for_s:
        bench.wait(1.0)
        for run in list(bench.runs):
            bench.runs.remove(run)
            if run.operator.name == "power_status":
                outcome, seen = (Outcome.OK, ON) if bmc else (Outcome.UNREACHABLE, MUTE)
            else:
                assert not run.is_mutation or run.operator.name in ("boot", "fit"), run.operator.name
                outcome, seen = (Outcome.OK, {"run_state": "SYNC"}) if system else (Outcome.UNREACHABLE, {})
            bench.accept(Results([NodeResult(run.id, "n1", outcome, seen, "")]))
        if bench.cause() != causes[-1][1]:
            causes.append((bench.now - begin, bench.cause()))
    return causes


def test_a_system_that_died_under_a_living_chassis_is_doubted_and_never_power_cycled(up: Bench) -> None:
    causes = live(up, 3600.0, bmc=True, system=False)

    since, cause = causes[1]
    assert cause == "STALE"
    assert since <= 360.0, "as docs/decisions/0023 promises"
    assert "CONVERGED" not in {cause for _, cause in causes[1:]}
    assert up.engine.progress("n1").value("phys_state") == "POWER_ON"

    back = live(up, 301.0, bmc=True, system=True)

    assert back[-1][1] == "CONVERGED"


def test_a_bmc_that_falls_silent_is_told_at_once_and_its_node_left_alone(up: Bench) -> None:
    seen_at = up.collector.table["n1"].dsc["phys_state"].seen_at
    causes = live(up, 90.0, bmc=False, system=True)
    known = up.collector.table["n1"].dsc

    since, cause = causes[1]
    assert cause == "STALE"
    assert since <= 40.0, "as docs/decisions/0023 promises"
    assert known["bmc.reach"].value == "NO_ANSWER"
    assert (known["phys_state"].value, known["phys_state"].seen_at) == ("POWER_ON", seen_at)

    back = live(up, 31.0, bmc=True, system=True)

    assert back[-1][1] == "CONVERGED"


def test_a_disruptive_wish_waits_until_the_bmc_answers_again(up: Bench) -> None:
    live(up, 90.0, bmc=False, system=True)
    up.declare("n1", cfg={"phys_state": "POWER_OFF", "run_state": None})
    causes = live(up, 600.0, bmc=False, system=True)

    assert {cause for _, cause in causes} <= {"STALE", "UNKNOWN"}
