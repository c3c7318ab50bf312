"""The fake world keeps its promises: truth, delays, and misbehaviour by name."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from kraken.executors.fake import Behaviour, FakeExecutor, FakeWorld, by_name
from kraken.model.catalog import Catalog
from kraken.model.module import (
    Action,
    Change,
    Condition,
    Discovery,
    KrakenModule,
    Mutation,
    Observes,
    Variable,
)
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run

ACTION = Action("ansible", [], Path("/nowhere"))
POWER_ON = Mutation("power", "on", (Change("power", ("OFF",), "ON"),), action=ACTION)
POWER_OFF = Mutation("power", "off", (Change("power", None, "OFF"),), action=ACTION)
IMAGE = Mutation("image", "set", (Change("image", None, "$cfg"),), action=ACTION)
LOOK = Discovery("power", "look", (Observes("power", ("ON", "OFF")),), ACTION)
BOOT = Mutation(
    "power", "boot", (Change("os", ("UNKNOWN",), "UP"),), requires=(Condition("power", ("ON",)),), cost=30.0
)
OS = Variable("power", "os", ("UP",), known_when=(Condition("power", ("ON",)),))
POWER = Variable("power", "power", ("OFF", "ON"))
CATALOG = Catalog(
    [
        KrakenModule(
            "power",
            "",
            Path("power.yml"),
            variables={"power": POWER, "os": OS},
            discoveries={"look": LOOK},
            mutations={"on": POWER_ON, "off": POWER_OFF, "boot": BOOT},
        )
    ]
)


def facts(*names: str, **cfg: str) -> dict[str, NodeFacts]:
    return {name: NodeFacts(name, cfg=cfg) for name in names}


def run_of(operator: Mutation | Discovery, *names: str, timeout_s: float = 60.0) -> Run:
    return Run("r1", operator, names, 0.0, timeout_s)


def play(world: FakeWorld, run: Run, now: float = 0.0, **cfg: str) -> dict[str, tuple[float, NodeResult]]:
    """Drive the world through a run on a clock of our own; node -> (when, result)."""
    waiting = world.perform(run, facts(*run.nodes, **cfg), now)
    told = {}
    while waiting:
        waiting.sort(key=lambda happening: happening.at)
        happening = waiting.pop(0)
        result, more = world.conclude(happening)
        waiting += more
        if result.run_id:
            told[result.node] = (happening.at, result)
    return told


def test_a_mutation_sets_its_changes_after_the_delay_and_not_before() -> None:
    world = FakeWorld({"n1": {"power": "OFF"}}, delay_s=5)
    (happening,) = world.perform(run_of(POWER_ON, "n1"), facts("n1"), 100.0)

    assert (happening.at, world.truth["n1"]) == (105.0, {"power": "OFF"})

    world.conclude(happening)

    assert world.truth["n1"] == {"power": "ON"}


def test_a_discovery_reports_the_truth_at_its_end_and_only_values_it_can_see() -> None:
    world = FakeWorld({"n1": {"power": "OFF", "os": "UP"}, "n2": {"power": "BURNT"}}, delay_s=1)
    first, second = world.perform(run_of(LOOK, "n1", "n2"), facts("n1", "n2"), 0.0)
    world.truth["n1"]["power"] = "ON"

    assert world.conclude(first)[0].observed == {"power": "ON"}
    assert world.conclude(second)[0].observed == {}


def test_cfg_as_a_target_is_what_the_node_wishes_and_nothing_without_a_wish() -> None:
    world = FakeWorld()
    play(world, run_of(IMAGE, "n1"), image="rocky9")
    play(world, run_of(IMAGE, "n2"))

    assert world.truth["n1"] == {"image": "rocky9"}
    assert not world.truth.get("n2")


@pytest.mark.parametrize(
    ("name", "outcome", "power", "at"),
    [
        ("n1", Outcome.OK, "ON", 2.0),
        ("mute1", Outcome.UNREACHABLE, "OFF", 2.0),
        ("slow1", Outcome.OK, "ON", 20.0),
        ("liar1", Outcome.OK, "OFF", 2.0),
        ("refuse1", Outcome.FAILED, "OFF", 2.0),
    ],
)
def test_names_choose_behaviours(name: str, outcome: Outcome, power: str, at: float) -> None:
    world = FakeWorld({name: {"power": "OFF"}}, delay_s=2)
    when, result = play(world, run_of(POWER_ON, name))[name]

    assert (result.outcome, world.truth[name]["power"], when) == (outcome, power, at)


def test_a_success_that_asserts_observes_the_effect_even_from_a_liar() -> None:
    world = FakeWorld({"liar": {"power": "OFF"}})
    _, result = play(world, run_of(replace(POWER_ON, asserts=True), "liar"))["liar"]

    assert result.observed == {"power": "ON"}
    assert world.truth["liar"] == {"power": "OFF"}


def test_a_late_answer_is_a_timeout_and_its_effect_still_comes() -> None:
    world = FakeWorld({"slow": {"power": "OFF"}}, delay_s=10)
    answer, effect = world.perform(run_of(POWER_ON, "slow", timeout_s=60), facts("slow"), 0.0)

    assert (answer.at, answer.result.outcome, answer.changes) == (60.0, Outcome.TIMEOUT, {})
    assert (effect.at, effect.result.run_id, effect.changes) == (100.0, "", {"power": "ON"})


def test_who_never_answers_times_out_and_nothing_comes_after() -> None:
    world = FakeWorld(behave=lambda node, operator: Behaviour(float("inf")))
    (only,) = world.perform(run_of(POWER_ON, "n1", timeout_s=60), facts("n1"), 0.0)

    assert (only.at, only.result.outcome) == (60.0, Outcome.TIMEOUT)


def test_the_world_boots_what_is_powered_on_and_forgets_when_power_goes() -> None:
    world = FakeWorld({"n1": {"power": "OFF"}}, catalog=CATALOG)
    (on,) = world.perform(run_of(POWER_ON, "n1"), facts("n1"), 0.0)
    _, (boot,) = world.conclude(on)

    assert boot.at == 30.0

    world.conclude(boot)

    assert world.truth["n1"] == {"power": "ON", "os": "UP"}

    play(world, run_of(POWER_OFF, "n1"), now=40.0)

    assert world.truth["n1"] == {"power": "OFF"}


def test_a_boot_that_lost_its_power_does_not_happen() -> None:
    world = FakeWorld({"n1": {"power": "OFF"}}, catalog=CATALOG)
    (on,) = world.perform(run_of(POWER_ON, "n1"), facts("n1"), 0.0)
    _, (boot,) = world.conclude(on)
    world.stir("n1", 10.0, {"power": "OFF"})
    world.conclude(boot)

    assert world.truth["n1"] == {"power": "OFF"}


def test_two_sayings_of_power_on_make_one_boot() -> None:
    world = FakeWorld({"n1": {"power": "OFF"}}, catalog=CATALOG)
    boots = []
    for _ in range(2):
        (on,) = world.perform(run_of(POWER_ON, "n1"), facts("n1"), 0.0)
        boots += world.conclude(on)[1]

    assert len(boots) == 1


async def test_the_executor_reports_each_node_once_and_equal_times_together() -> None:
    world = FakeWorld({"n1": {"power": "OFF"}, "n2": {"power": "OFF"}, "mute": {}})
    batches: list[list[str]] = []
    run = run_of(POWER_ON, "n1", "n2", "mute")
    await FakeExecutor(world).run(
        run, facts(*run.nodes), lambda results: batches.append([r.node for r in results])
    )

    assert batches == [["n1", "n2", "mute"]]
    assert world.truth["n1"] == world.truth["n2"] == {"power": "ON"}
    assert world.runs == [run]


async def test_a_slow_node_holds_nobody_else() -> None:
    world = FakeWorld(behave=by_name(0.001))
    order: list[str] = []
    run = run_of(LOOK, "slow", "n1")
    await FakeExecutor(world).discover(run, facts(*run.nodes), lambda rs: order.extend(r.node for r in rs))

    assert order == ["n1", "slow"]


async def test_a_cancelled_run_reports_and_changes_nothing_more() -> None:
    world = FakeWorld({"n1": {"power": "OFF"}}, delay_s=30)
    told: list[NodeResult] = []
    executor = FakeExecutor(world)
    flying = asyncio.create_task(executor.run(run_of(POWER_ON, "n1"), facts("n1"), told.extend))
    await asyncio.sleep(0)
    flying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flying

    assert (told, world.truth["n1"]) == ([], {"power": "OFF"})


async def test_the_world_goes_on_by_itself_until_closed() -> None:
    instant = replace(BOOT, cost=0.0)
    module = replace(CATALOG.modules["power"], mutations={"on": POWER_ON, "boot": instant})
    world = FakeWorld({"n1": {"power": "OFF"}, "n2": {"power": "OFF"}}, catalog=Catalog([module]))
    executor = FakeExecutor(world)
    executor.stir("n1", {"power": "ON"})
    await asyncio.sleep(0.01)
    executor.stir("n2", {"power": "ON"})
    await executor.close()
    await executor.close()
    await asyncio.sleep(0.01)

    assert world.truth == {"n1": {"power": "ON", "os": "UP"}, "n2": {"power": "ON"}}
