"""The simulation itself: each promise, broken on purpose, is noticed by some seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from kraken.daemon.collector import Collector
from kraken.daemon.recorder import Recorder
from kraken.engine import command as command_module
from kraken.engine import deciding as deciding_module
from kraken.engine import engine as engine_module
from kraken.engine import explain as explain_module
from kraken.engine import former as former_module
from kraken.engine import steps as steps_module
from kraken.engine.cause import Explanation, Fact
from kraken.engine.engine import Engine
from kraken.engine.limit import Limit
from kraken.engine.limits import Limits
from kraken.engine.looks import Looks
from kraken.engine.progress import Progress
from kraken.engine.settings import Settings
from kraken.engine.steps import Steps
from kraken.executors.fake import Behaviour
from kraken.model.effort import NOTHING
from kraken.model.hold import HoldTable
from kraken.model.module import Mutation
from kraken.model.run import NodeResult
from kraken.planning.plan import Plan
from kraken.testing.simulation import simulation as simulation_module
from kraken.testing.simulation.chaos import Chaos
from kraken.testing.simulation.simulation import Simulation
from tests.simulation.test_convergence import booting

SEEDS = 60

Breaks = Callable[[pytest.MonkeyPatch], None]


def replaces(owner: Any, name: str, does: Callable[..., Any]) -> Breaks:
    return lambda monkeypatch: monkeypatch.setattr(owner, name, does)


def admits_everything(engine: Engine, result: NodeResult) -> dict[str, str]:
    return dict(result.observed)


def forgets_what_is_due(looks: Looks, progress: Any, now: float) -> tuple[list[Any], None]:
    return [], None


def forgets_the_effort(progress: Any, settings: Any, now: float) -> None:
    if progress.calm_since is not None:
        progress.effort = NOTHING


def tells_the_time(*question: Any) -> Explanation:
    return replace(explain_module.explain(*question), since=question[-1])


def blames_nobody(progress: Progress, variable: str, wanted: str, now: float) -> Fact:
    return Fact(variable, progress.value(variable), wanted, "nobody", 0.0)


def draws_nothing_more(limits: Limits, place: Any, now: float) -> None:
    for pool, draw in zip(place.lane, place.draws or (), strict=False):
        if draw.watts:
            count = limits.count(pool, now)
            count.watts, count.drawing = count.watts - draw.watts, count.drawing - 1


TAKE_UP = command_module.Commands.take_up


def commands_again(commands: command_module.Commands, progress: Progress, *more: Any) -> Any:
    command = progress.command
    if command is not None and command.outcome is not None:
        progress.command = replace(command, run_id=None, outcome=None)
    return TAKE_UP(commands, progress, *more)


BREAKAGES: dict[str, Breaks] = {
    "values are never doubted": replaces(deciding_module, "doubt", lambda *args, **kwargs: None),
    "holds are ignored": replaces(HoldTable, "on", lambda *args: []),
    "what was touched counts as seen": replaces(Steps, "touch", lambda *args, **kwargs: None),
    "conflicts are not seen": replaces(Steps, "conflicts", lambda *args: False),
    "no pause after a failure": replaces(
        steps_module,
        "note_failure",
        lambda trouble, settings, key, *rest: trouble.failures.update(
            {key: trouble.failures.get(key, 0) + 1}
        ),
    ),
    "a restart remembers no runs": replaces(simulation_module, "remembered", lambda *args: ([], [])),
    "executors are believed everything": replaces(Engine, "admit", admits_everything),
    "nothing is forgotten": replaces(Recorder, "_forgotten", lambda *args: []),
    "silent executors are waited for": replaces(engine_module.Batches, "overdue", lambda *args: []),
    "nobody looks by himself": replaces(Looks, "due", forgets_what_is_due),
    "hopes for the better by forgetting": replaces(Plan, "hopes", lambda *args: False),
    "news of Cfg is not read": replaces(Collector, "_held", lambda *args: []),
    "nobody counts what a node costs": replaces(deciding_module, "is_spent", lambda *args: False),
    "nodes are given up too early": replaces(
        deciding_module, "is_spent", lambda progress, *args: progress.effort.steps > 3
    ),
    "what a node cost is forgotten at a restart": replaces(former_module, "resume", lambda *args: None),
    "what a node cost is forgotten as soon as it converges": replaces(
        engine_module, "recover", forgets_the_effort
    ),
    "waits never end": replaces(Steps, "ends_by", lambda *args: float("inf")),
    "what was said of another time is told": replaces(explain_module, "_outdated", lambda *args: False),
    "what is told is so since just now": replaces(engine_module, "explain", tells_the_time),
    "limits count nothing": replaces(Limits, "refusing", lambda *args: []),
    "what is under way is never given back": replaces(Limits, "ended", lambda *args: None),
    "a draw ends with the command": replaces(Limits, "_time", draws_nothing_more),
    "a restart forgets nothing": replaces(Steps, "forget", lambda *args: None),
    "what was cut off is tried again where nothing can look": replaces(Steps, "lose", lambda *args: []),
    "commands are given again and again": replaces(command_module.Commands, "take_up", commands_again),
    "a command does not go before all else": replaces(command_module.Commands, "take_up", lambda *args: None),
    "facts come from nobody": replaces(explain_module, "_value", blames_nobody),
}


@pytest.mark.simulation
@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_promise_is_noticed(breakage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BREAKAGES[breakage](monkeypatch)

    assert any(breaks(seed) for seed in range(SEEDS)), f"{breakage}, and nobody noticed"


def breaks(seed: int) -> bool:
    """Whether this life goes wrong; a crash of the engine is noticed, too."""
    try:
        Chaos(seed).run()
    except (AssertionError, KeyError):
        return True
    return False


def restarted_under_a_limit() -> None:
    """Two nodes, one at a time: the daemon crashes while the first is switched on, and nobody sees what came
    of it for a while.
    """
    domain = booting()
    (wish,) = (m.key for m in domain.catalog.mutations.values() if m.name == "power_on")
    settings = Settings(limits=(Limit("feed", (wish,), in_flight=1),))
    truth = {name: {"power": "OFF"} for name in ("n1", "n2")}
    simulation = Simulation(domain, settings=settings, truth=truth)
    simulation.behave = lambda node, operator: Behaviour(
        delay_s=20.0 if isinstance(operator, Mutation) else 5.0 if simulation.started else 0.1
    )
    for number, name in enumerate(truth, 1):
        simulation.declare(name, {"power": "ON"}, domain.attributes_of(number))
    simulation.start()
    simulation.run_for(10.0)
    assert len(simulation.started) == 1
    simulation.restart()
    simulation.run_for(300.0)
    assert {run.nodes for run in simulation.started} == {("n1",), ("n2",)}


def test_a_restart_gives_nobody_the_place_of_what_is_under_way() -> None:
    restarted_under_a_limit()


def test_a_restart_that_forgets_what_is_under_way_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Limits, "resume", lambda *args: None)

    with pytest.raises(AssertionError, match="exceeds the limit feed"):
        restarted_under_a_limit()


def restarted_while_one_draws() -> None:
    """Two nodes that draw all there is for a minute each: the daemon crashes when the first is on."""
    domain = booting()
    (wish,) = (m.key for m in domain.catalog.mutations.values() if m.name == "power_on")
    settings = Settings(limits=(Limit("feed", (wish,), watts=100.0, watts_each=100.0, seconds=60.0),))
    truth = {name: {"power": "OFF"} for name in ("n1", "n2")}
    simulation = Simulation(domain, settings=settings, truth=truth)
    simulation.behave = lambda node, operator: Behaviour(2.0 if isinstance(operator, Mutation) else 0.1)
    for number, name in enumerate(truth, 1):
        simulation.declare(name, {"power": "ON"}, domain.attributes_of(number))
    simulation.start()
    simulation.run_for(20.0)
    assert len(simulation.started) == 1
    simulation.restart()
    simulation.run_for(300.0)
    assert {run.nodes for run in simulation.started} == {("n1",), ("n2",)}


def test_a_restart_knows_who_draws() -> None:
    restarted_while_one_draws()


def test_a_restart_that_forgets_what_nodes_draw_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Limits, "remember_draw", lambda *args: None)

    with pytest.raises(AssertionError, match="exceeds the limit feed"):
        restarted_while_one_draws()
