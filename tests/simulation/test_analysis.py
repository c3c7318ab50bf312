"""What the analysis of modules says the engine would do, it does."""

from __future__ import annotations

from pathlib import Path

import pytest

from kraken.model.catalog import Catalog
from kraken.model.module import Action, Change, Condition, Discovery, Mutation, Observes, Variable
from kraken.planning.analysis.analyse import analyse
from kraken.testing.simulation.domains import Domain, module
from kraken.testing.simulation.simulation import Simulation

pytestmark = pytest.mark.simulation

IPMI = Action("ipmi", {"power": "on"}, Path())
TASKS = Action("ansible", [], Path())
ON = (Condition("power", ("ON",)),)


def healing(*sources: str) -> Domain:
    """Health that is BAD again after each power cycle, and a mutation that mends it from `sources`."""
    parts = [
        Variable("m", "power", ("OFF", "ON")),
        Variable("m", "health", ("GOOD", "BAD"), known_when=ON),
        Discovery("m", "see_power", (Observes("power"),), IPMI, every_s=30.0),
        Discovery("m", "ask", (Observes("health"),), IPMI, ON, every_s=5.0),
        Mutation("m", "switch_on", (Change("power", ("OFF",), "ON"),), timeout_s=60.0, action=IPMI),
        Mutation(
            "m",
            "switch_off",
            (Change("power", ("ON",), "OFF"),),
            timeout_s=60.0,
            action=IPMI,
            disruptive=True,
        ),
        Mutation(
            "m", "set_up", (Change("health", sources, "GOOD"),), ON, timeout_s=60.0, cost=9.0, action=TASKS
        ),
    ]
    return Domain(
        "healing",
        Catalog([module("m", parts)]),
        wishes={"health": ("GOOD",)},
        truths=({"power": "ON", "health": "BAD"},),
        drifts={},
        initial={"health": "BAD"},
    )


def lived(domain: Domain) -> list[str]:
    """The mutations an hour brings to a node whose health is BAD and to be GOOD."""
    simulation = Simulation(domain, truth={"n1": domain.truths[0]})
    simulation.declare("n1", {"health": "GOOD"}, {})
    simulation.start()
    simulation.run_for(3600)
    return [run.operator.key for run in simulation.started]


def test_a_loop_of_mutations_that_all_succeed_is_followed_by_the_engine() -> None:
    domain = healing("UNKNOWN")
    (loop,) = (finding for finding in analyse(domain.catalog).findings if finding.code == "undo-loop")
    done = lived(domain)

    assert loop.name == "m.switch_off+m.switch_on"
    assert set(done) == {"m.switch_off", "m.switch_on"}
    assert done.count("m.switch_off") > 3


def test_where_the_analysis_finds_no_loop_the_engine_mends_the_node() -> None:
    domain = healing("UNKNOWN", "BAD")

    assert [f.code for f in analyse(domain.catalog).findings if f.code == "undo-loop"] == []
    assert lived(domain) == ["m.set_up"]
