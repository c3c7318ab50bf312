"""Faults of the ancestor and of other systems that must be impossible here, each by name."""

from __future__ import annotations

from collections import Counter

import pytest

from kraken.engine.cause import Cause
from kraken.executors.fake import Behaviour
from kraken.model.run import NodeResult, Outcome
from kraken.testing.simulation.delivery import Delivery
from kraken.testing.simulation.domains import base, images, services, unseen
from kraken.testing.simulation.simulation import Simulation

pytestmark = pytest.mark.simulation

UP = {"phys_state": "POWER_ON", "run_state": "SYNC", "service": "RUNNING"}
IN_SERVICE = dict(UP)


def cluster(count: int, truth: dict[str, str], cfg: dict[str, str] | None = None) -> Simulation:
    """So many nodes of the base modules, declared with this Cfg and truly in this state."""
    domain = base()
    names = [f"n{i}" for i in range(1, count + 1)]
    simulation = Simulation(domain, truth=dict.fromkeys(names, truth))
    for number, name in enumerate(names, 1):
        simulation.declare(name, IN_SERVICE if cfg is None else cfg, domain.attributes_of(number))
    simulation.start()
    return simulation


def causes(simulation: Simulation) -> set[Cause]:
    assert simulation.collector is not None
    return {simulation.collector.engine.cause(name) for name in simulation.collector.table}


def cause(simulation: Simulation, node: str = "n1") -> Cause:
    assert simulation.collector is not None
    return simulation.collector.engine.cause(node)


def lose_dsc(simulation: Simulation) -> None:
    """The collector starts again and knows nothing but what was declared."""
    simulation.crash()
    for node in simulation.durable.table.values():
        node.dsc.clear()
    simulation.start()


def test_a_restart_that_remembers_no_dsc_touches_none_of_a_hundred_healthy_nodes() -> None:
    """The ancestor power-cycled all of them."""
    simulation = cluster(100, UP)
    simulation.run_for(300)

    assert causes(simulation) == {Cause.CONVERGED}

    lose_dsc(simulation)
    simulation.run_for(600)

    assert causes(simulation) == {Cause.CONVERGED}
    # To log in and find the node fit is a mutation in name; it changes nothing.
    assert {mutation for mutation, _ in simulation.issued()} == {"fit"}


def test_where_everything_can_be_seen_a_restart_without_dsc_issues_nothing_at_all() -> None:
    wish = {"os": "UP", "web": "RUNNING", "db": "RUNNING", "log": "RUNNING"}
    simulation = Simulation(services(), truth=dict.fromkeys(["n1", "n2", "n3"], wish))
    for name in ("n1", "n2", "n3"):
        simulation.declare(name, wish)
    simulation.start()
    simulation.run_for(300)
    lose_dsc(simulation)
    simulation.run_for(600)

    assert causes(simulation) == {Cause.CONVERGED}
    assert simulation.issued() == []


def test_switching_ten_nodes_off_and_on_takes_exactly_the_mutations_it_needs() -> None:
    """The ancestor fired 92 where 60 were needed."""
    simulation = cluster(10, UP)
    simulation.run_for(120)
    before = Counter(simulation.issued())
    for name in [f"n{i}" for i in range(1, 11)]:
        simulation.declare(name, {"phys_state": "POWER_OFF", "run_state": None, "service": None})
    simulation.run_for(300)
    for name in [f"n{i}" for i in range(1, 11)]:
        simulation.declare(name, IN_SERVICE)
    simulation.run_for(600)

    assert causes(simulation) == {Cause.CONVERGED}
    issued = Counter(mutation for mutation, _ in (Counter(simulation.issued()) - before).elements())
    assert issued == dict.fromkeys(("power_off", "power_on", "fit", "start_service"), 10)


def test_what_changed_during_a_freeze_is_repaired_after_the_thaw_and_so_is_what_comes_later() -> None:
    """The ancestor ignored every later loss of power."""
    simulation = cluster(3, UP)
    simulation.run_for(120)
    freeze, before = simulation.freeze(), simulation.issued()
    simulation.drift("n1", {"phys_state": "POWER_OFF"})
    simulation.run_for(300)

    assert causes(simulation) == {Cause.HELD}
    assert simulation.issued() == before

    simulation.lift(freeze)
    simulation.run_for(400)
    simulation.drift("n2", {"phys_state": "POWER_OFF"})
    simulation.run_for(400)

    assert causes(simulation) == {Cause.CONVERGED}
    assert simulation.issued("power_on") == [("power_on", "n1"), ("power_on", "n2")]


def test_a_node_that_falls_silent_can_still_be_switched_off_and_comes_back() -> None:
    """For the ancestor there was no path from ERROR to anything, not even off."""
    simulation = cluster(1, UP)
    simulation.run_for(120)
    simulation.drift("n1", {"run_state": "ERROR"})
    simulation.run_for(400)
    simulation.declare("n1", {"phys_state": "POWER_OFF", "run_state": None, "service": None})
    simulation.run_for(120)

    assert simulation.world.truth["n1"] == {"phys_state": "POWER_OFF"}
    assert cause(simulation) is Cause.CONVERGED

    simulation.retry("n1")
    simulation.declare("n1", IN_SERVICE)
    simulation.run_for(600)

    assert cause(simulation) is Cause.CONVERGED


def test_a_node_that_dies_in_every_boot_ends_in_quarantine() -> None:
    """The ancestor's chain of mutations grew without end."""
    simulation = cluster(1, {"phys_state": "POWER_OFF"})

    def die() -> None:
        if simulation.world.truth["n1"] == {"phys_state": "POWER_ON"}:
            simulation.drift("n1", {"phys_state": "POWER_OFF"})
        simulation.at(1.0, die)

    simulation.at(1.0, die)
    simulation.run_for(3 * 3600)

    assert cause(simulation) is Cause.QUARANTINED
    assert len(simulation.issued("power_on")) <= simulation.settings.quarantine_after + 1


def test_a_node_that_never_comes_up_is_not_power_cycled_for_it() -> None:
    simulation = cluster(1, {"phys_state": "POWER_OFF"})
    simulation.behave = lambda node, operator: Behaviour(effect=operator.name not in ("boot", "fit"))
    simulation.run_for(3 * 3600)

    assert simulation.issued("power_off") == []
    assert len(simulation.issued("power_on")) == 1


def test_deleting_a_node_whose_run_is_out_harms_nobody() -> None:
    """A DELETE crashed the ancestor."""
    simulation = cluster(2, {"phys_state": "POWER_OFF"})
    simulation.run_for(2.5)

    assert simulation.issued() == [("power_on", "n1"), ("power_on", "n2")]

    simulation.delete("n1")
    simulation.run_for(600)

    assert cause(simulation, "n2") is Cause.CONVERGED


def test_a_node_declared_again_while_its_old_run_is_out_waits_for_its_end() -> None:
    """Otherwise two executors would command one BMC."""
    simulation = cluster(1, {"phys_state": "POWER_OFF"})
    simulation.behave = lambda node, operator: Behaviour(30.0 if operator.name == "power_on" else None)
    simulation.run_for(3.0)
    simulation.delete("n1")
    simulation.declare("n1", IN_SERVICE, base().attributes_of(1))
    simulation.run_for(20.0)

    assert cause(simulation) is Cause.RUNNING
    assert len(simulation.issued("power_on")) == 1

    simulation.run_for(600)

    assert cause(simulation) is Cause.CONVERGED


def test_one_mute_bmc_costs_only_itself() -> None:
    simulation = cluster(8, {"phys_state": "POWER_OFF"})
    simulation.behave = lambda node, operator: (
        Behaviour(15.0, Outcome.UNREACHABLE, False, "nobody answers") if node == "n3" else Behaviour()
    )
    simulation.run_for(600)

    assert [name for name in simulation.durable.table if cause(simulation, name) is not Cause.CONVERGED] == [
        "n3"
    ]
    assert cause(simulation, "n3") is Cause.UNKNOWN


def test_a_bmc_that_acknowledges_and_does_nothing_ends_in_quarantine() -> None:
    simulation = cluster(1, {"phys_state": "POWER_OFF"})
    simulation.behave = lambda node, operator: Behaviour(effect=False)
    simulation.run_for(2 * 3600)

    assert cause(simulation) is Cause.QUARANTINED
    assert len(simulation.issued()) <= 2 * simulation.settings.quarantine_after


def test_a_dear_image_is_written_and_not_hoped_for_by_power_cycling() -> None:
    """Seed 8: off, on and a look cost less than the image, so it was looked for again, for ever."""
    simulation = Simulation(images(), truth={"n1": {"power": "ON", "image": "centos7", "kernel": "OLD"}})
    simulation.declare("n1", {"power": "ON", "image": "rocky9"})
    simulation.start()
    simulation.run_for(400)

    assert simulation.issued() == [("write", "n1")]
    assert cause(simulation) is Cause.CONVERGED


def test_an_older_look_never_hides_what_the_executor_saw_at_the_end() -> None:
    """Seed 27: a slow look at three services brought back the value one of them had before."""
    simulation = Simulation(
        services(), truth={"n1": {"os": "UP", "web": "STOPPED", "db": "RUNNING", "log": "STOPPED"}}
    )
    simulation.declare("n1", {"os": "UP", "web": "STOPPED", "db": "RUNNING", "log": "STOPPED"})
    simulation.start()
    simulation.run_for(35.0)

    def slow_looks(result: NodeResult) -> Delivery:
        return Delivery(8.0 if "web" in result.observed and len(result.observed) > 1 else 0.0)

    simulation.deliver = slow_looks
    simulation.look("n1")
    simulation.run_for(2.5)
    simulation.declare("n1", {"web": "RUNNING"})
    simulation.run_for(300.0)

    assert simulation.issued() == [("start_web", "n1")]


def test_a_mutation_nobody_can_observe_is_not_repeated_after_a_crash() -> None:
    """Seed 143: what it did is not known, so a person must look."""
    simulation = Simulation(unseen(), truth={"n1": {"heat": "COLD"}})
    simulation.declare("n1", {"seal": "SHUT"})
    simulation.start()
    simulation.run_for(0.5)
    simulation.restart()
    simulation.run_for(600.0)

    assert simulation.issued() == [("shut", "n1")]
    assert cause(simulation) is Cause.QUARANTINED

    simulation.retry("n1")
    simulation.run_for(60.0)

    assert cause(simulation) is Cause.CONVERGED


def test_an_executor_that_never_reports_is_given_up_and_the_node_goes_on() -> None:
    """Seed 58: a look whose result was lost was never repeated."""
    simulation = cluster(1, UP)
    lost: list[str] = []

    def lose_the_first(result: NodeResult) -> Delivery:
        lost.append(result.run_id)
        return Delivery(None if len(lost) == 1 else 0.0)

    simulation.deliver = lose_the_first
    simulation.run_for(300)

    assert cause(simulation) is Cause.CONVERGED


def test_a_steady_state_costs_the_same_tomorrow() -> None:
    """No alarm, table or queue of the engine grows while nothing changes."""
    simulation = cluster(5, UP)
    simulation.run_for(1800)
    assert simulation.collector is not None
    engine = simulation.collector.engine
    sizes = []
    for _ in range(2):
        simulation.run_for(6 * 3600)
        sizes.append((len(engine._wakes), len(engine.batches.active)))

    assert sizes[1][0] <= sizes[0][0] + 5
    assert sizes[1][0] <= 20 * 5
    assert causes(simulation) == {Cause.CONVERGED}


def test_a_wish_that_turns_back_while_its_step_is_out_issues_nothing_twice() -> None:
    simulation = cluster(1, {"phys_state": "POWER_OFF"}, {"phys_state": "POWER_ON"})
    slow = {"power_on": 10.0}
    simulation.behave = lambda node, operator: Behaviour(slow.get(operator.name))
    simulation.run_for(3.0)
    for value in ("POWER_OFF", "POWER_ON", "POWER_OFF", "POWER_ON"):
        simulation.declare("n1", {"phys_state": value})
        simulation.run_for(1.0)
    simulation.run_for(120)

    assert simulation.issued() == [("power_on", "n1")]
    assert cause(simulation) is Cause.CONVERGED


def test_a_clock_that_stands_still_and_jumps_an_hour_acts_on_nothing_stale() -> None:
    simulation = cluster(3, UP)
    simulation.run_for(120)
    before = simulation.issued()
    simulation.agenda.stop_clock()
    simulation.run_for(3600)
    simulation.declare("n1", {"phys_state": "POWER_OFF", "run_state": None, "service": None})
    simulation.start_clock()
    simulation.run_for(120)

    assert simulation.issued() == [*before, ("power_off", "n1")]
