"""No node is worked on for ever: every loop ends, in Cfg or in quarantine, within N mutations.

docs/convergence.md says what N is, and why.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kraken.engine.cause import Cause
from kraken.engine.settings import Settings
from kraken.executors.fake import Behaviour
from kraken.model.catalog import Catalog
from kraken.model.module import Change, Condition, Discovery, Mutation, Variable
from kraken.testing.simulation.domains import ANSIBLE, IPMI, Domain, base, look, module, services
from kraken.testing.simulation.simulation import Simulation

pytestmark = pytest.mark.simulation

IN_SERVICE = {"phys_state": "POWER_ON", "run_state": "SYNC", "service": "RUNNING"}
ROUNDS = Settings().rounds


def most(longest: int) -> int:
    """N of a node whose longest path has so many steps."""
    return ROUNDS * (longest + 1) - 1


def booting() -> Domain:
    """What boots into ERROR can only be booted again; a look tells it from what is UP."""
    on = Condition("power", ("ON",))
    parts: list[Variable | Discovery | Mutation] = [
        Variable("node", "power", ("OFF", "ON"), fresh_for_s=90.0),
        Variable("node", "os", ("UP", "ERROR"), known_when=(on,)),
        look("node", "see_power", "power"),
        look("node", "see_os", "os", every_s=5.0, requires=(on,)),
        Mutation(
            "node", "power_on", (Change("power", ("OFF",), "ON"),), timeout_s=60.0, cost=5.0, action=IPMI
        ),
        Mutation(
            "node",
            "power_off",
            (Change("power", ("ON",), "OFF"),),
            timeout_s=60.0,
            cost=5.0,
            disruptive=True,
            action=IPMI,
        ),
        Mutation(
            "node",
            "boot",
            (Change("os", ("UNKNOWN",), "UP"),),
            requires=(on,),
            timeout_s=180.0,
            cost=60.0,
            fails_to={"os": "ERROR"},
        ),
    ]
    return Domain(
        "booting",
        Catalog([module("node", parts)]),
        wishes={"power": ("ON",), "os": ("UP",)},
        truths=({"power": "OFF"},),
        drifts={},
        settles={"os": {"UP": "ERROR"}},
    )


def one_node(domain: Domain, truth: dict[str, str], cfg: dict[str, str]) -> Simulation:
    simulation = Simulation(domain, truth={"n1": truth})
    simulation.declare("n1", cfg, domain.attributes_of(1))
    simulation.start()
    return simulation


def cause(simulation: Simulation) -> Cause:
    assert simulation.collector is not None
    return simulation.collector.engine.cause("n1")


def told(simulation: Simulation) -> str:
    assert simulation.collector is not None
    return simulation.collector.engine.explain("n1", simulation.clock()).reason


def every(simulation: Simulation, seconds: float, does: Callable[[], None]) -> None:
    def again() -> None:
        does()
        simulation.at(seconds, again)

    simulation.at(seconds, again)


def die_when_converged(simulation: Simulation) -> None:
    if simulation.collector is not None and cause(simulation) is Cause.CONVERGED:
        simulation.drift("n1", {"phys_state": "POWER_OFF"})


def test_the_boot_loop_of_sixty_steps_ends_in_quarantine_and_says_what_was_repeated() -> None:
    """The ancestor power-cycled a node whose boot ends in ERROR without end: no single mutation fails.

    Every power_off and power_on succeeds, and the boot is cut short by what a look sees.
    """
    simulation = one_node(booting(), {"power": "OFF"}, {"power": "ON", "os": "UP"})
    simulation.run_for(3600)

    assert cause(simulation) is Cause.QUARANTINED
    assert "mutations without staying converged: node.power_on " in told(simulation)
    assert "node.boot" in told(simulation)
    assert len(simulation.issued()) <= most(longest=3)

    before = len(simulation.issued())
    simulation.run_for(3600)

    assert len(simulation.issued()) == before


def test_a_boot_that_is_waited_for_in_vain_is_not_power_cycled_more_often_than_it_may_fail() -> None:
    simulation = one_node(booting(), {"power": "OFF"}, {"power": "ON", "os": "UP"})
    simulation.behave = lambda node, operator: Behaviour(effect=operator.name != "boot")
    simulation.run_for(2 * 3600)

    assert cause(simulation) is Cause.QUARANTINED
    assert "node.boot failed 5 times in a row" in told(simulation)
    assert len(simulation.issued("power_on")) <= simulation.settings.quarantine_after


def test_a_node_that_converges_and_dies_every_minute_is_put_in_quarantine() -> None:
    """Each time it converged, its failures were forgotten: it had none."""
    simulation = one_node(base(), {"phys_state": "POWER_OFF"}, IN_SERVICE)
    every(simulation, 60.0, lambda: die_when_converged(simulation))
    simulation.run_for(6 * 3600)

    assert cause(simulation) is Cause.QUARANTINED
    assert "boot.fit" in told(simulation)

    before = len(simulation.issued())
    simulation.retry("n1")
    simulation.run_for(300)

    assert len(simulation.issued()) > before


def test_a_crash_of_the_daemon_every_ten_minutes_does_not_hide_a_node_that_dies_every_minute() -> None:
    simulation = one_node(base(), {"phys_state": "POWER_OFF"}, IN_SERVICE)
    every(simulation, 60.0, lambda: die_when_converged(simulation))
    every(simulation, 600.0, simulation.restart)
    simulation.run_for(6 * 3600)

    assert cause(simulation) is Cause.QUARANTINED
    assert "without staying converged" in told(simulation)


def test_two_mutations_that_undo_one_another_are_not_played_against_each_other_for_ever() -> None:
    """Each succeeds, each time, and ends what the other was for."""
    wish = {"os": "UP", "web": "RUNNING", "db": "RUNNING", "log": "RUNNING"}
    simulation = one_node(services(), {**wish, "log": "STOPPED"}, wish)
    other = {"start_log": "web", "start_web": "log"}

    def behave(node: str, operator: Mutation | Discovery) -> Behaviour:
        if operator.name in other:
            simulation.at(4.0, lambda: simulation.drift("n1", {other[operator.name]: "STOPPED"}))
        return Behaviour()

    simulation.behave = behave
    simulation.run_for(2 * 3600)

    assert cause(simulation) is Cause.QUARANTINED
    assert "side.start_web" in told(simulation)
    assert "side.start_log" in told(simulation)


def test_a_node_that_needs_a_repair_every_few_hours_is_repaired() -> None:
    """Time spent as wished is worth more than the repair costs."""
    wish = {"power": "ON"}
    parts: list[Variable | Discovery | Mutation] = [
        Variable("node", "power", ("OFF", "ON")),
        look("node", "see_power", "power", every_s=600.0),
        Mutation("node", "power_on", (Change("power", ("OFF",), "ON"),), timeout_s=60.0, action=ANSIBLE),
    ]
    domain = Domain("plain", Catalog([module("node", parts)]), {"power": ("ON",)}, ({"power": "OFF"},), {})
    simulation = one_node(domain, {"power": "OFF"}, wish)
    every(simulation, 4 * 3600.0, lambda: simulation.drift("n1", {"power": "OFF"}))
    simulation.run_for(3 * 86400.0)

    assert len(simulation.issued()) > most(longest=2)
    assert cause(simulation) is Cause.CONVERGED


def test_another_wish_is_another_count() -> None:
    simulation = one_node(booting(), {"power": "OFF"}, {"power": "ON"})
    for _ in range(4 * ROUNDS):
        simulation.declare("n1", {"power": "OFF"})
        simulation.run_for(90)
        simulation.declare("n1", {"power": "ON"})
        simulation.run_for(90)

    assert len(simulation.issued("power_on")) > most(longest=1)
    assert cause(simulation) is Cause.CONVERGED
