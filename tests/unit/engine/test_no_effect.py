"""What is told of a command that was acknowledged and of which nothing came. The base modules, as shipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from kraken.daemon.arrivals import Results
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
