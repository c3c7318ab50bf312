"""What is told of a command that was acknowledged and of which nothing came. The base modules, as shipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from kraken.daemon.arrivals import Results
from kraken.engine.effects import StepEnded
from kraken.model.loading import load_all
from kraken.model.run import NodeResult, Outcome
from tests.unit.engine.conftest import Bench

BASE = Path(__file__).parents[3] / "ansible_collections/kraken/hpc/extensions/kraken"


@pytest.mark.parametrize("protocol", ["ipmi", "redfish"])
def test_a_bmc_that_acknowledges_and_does_nothing_is_told_with_what_to_do(protocol: str) -> None:
    catalog, problems = load_all([], [BASE])
    assert not problems
    bench = Bench(catalog)
    bmc = {"bmc.protocol": protocol, "bmc.address": "10.1.0.1"}
    bench.declare("n1", cfg={"phys_state": "POWER_ON"}, attributes=bmc)
    told = []
    for _ in range(600):
        for run in list(bench.runs):
            bench.runs.remove(run)
            seen = {} if run.is_mutation else {"phys_state": "POWER_OFF", "bmc.reach": "OK"}
            bench.accept(Results([NodeResult(run.id, "n1", Outcome.OK, seen)]))
        bench.wait(1.0)
        told.append((bench.cause(), bench.engine.explain("n1", bench.now).reason))

    assert told[-1][0] == "QUARANTINED"
    for cause, reason in told:
        if cause in ("BACKOFF", "QUARANTINED"):
            assert "acknowledged, but phys_state=POWER_ON was not seen within 60 s" in reason
            assert "its BMC takes the command and does not do it; look at the node's power supply" in reason


def test_a_value_that_cannot_be_is_told_to_whoever_wrote_the_tasks() -> None:
    bench = Bench()
    bench.declare("n1", cfg={"power": "ON"})
    bench.report("see_power", {"power": "Off"})

    told = bench.engine.explain("n1", bench.now)
    assert bench.cause() in ("UNKNOWN", "STALE")
    assert "it reported power='Off', which power cannot be" in f"{told.reason} {told.fact}"

    bench.wait(30.0)
    bench.report("see_power", {"power": "OFF"})
    bench.report("switch_on", {"power": "on", "pwoer": "ON"})
    for _ in range(61):
        if bench.out("see_power"):
            bench.report("see_power", {"power": "OFF"})
        bench.wait(1.0)

    (ended,) = (effect for effect in bench.told if isinstance(effect, StepEnded))
    assert "acknowledged, but power=ON was not seen within 60 s" in ended.message
    assert "it reported power='on', which power cannot be" in ended.message
    assert "it reported pwoer, which no module declares" in ended.message
