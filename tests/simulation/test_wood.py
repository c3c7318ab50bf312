"""Many trees of whole collectors, each from one seed; and that what is broken on purpose is noticed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from kraken.daemon.branch import Branch
from kraken.daemon.collector import Collector
from kraken.daemon.recorder import Recorder
from kraken.daemon.rights import Rights
from kraken.engine.engine import Engine
from kraken.engine.former import Former
from kraken.engine.news import News, Reported
from kraken.executors.fake import Behaviour
from kraken.model.hold import Hold
from kraken.model.module import Mutation
from kraken.model.run import NodeResult, Outcome, Run
from kraken.sync.calls import Calls
from kraken.sync.events import Adopt
from kraken.sync.placement import Placement
from kraken.sync.tree import Tree
from kraken.testing.replay import broken
from kraken.testing.tree.forest import BrokenPromiseError
from kraken.testing.tree.network import Rule
from kraken.testing.wood.chaos import Chaos
from kraken.testing.wood.stage import Stage

SEEDS = int(os.environ.get("KRAKEN_WOOD_SEEDS", "60"))  # `make soak` sets more
CHUNK = 10


@pytest.mark.simulation
@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_every_promise_of_a_tree_of_collectors_holds(first: int) -> None:
    seeds = range(first, min(first + CHUNK, SEEDS))
    found = broken("kraken.testing.wood", lambda seed, tell: Chaos(seed, tell).run(), seeds)

    assert not found, "\n\n".join(found)


ONCE_BROKEN = {
    51: "a node came back for a child, and its parent went on deciding for it",
    196: "who started twice gave a node away while its BMC did what the life before last had told it",
    363: "who started twice forgot what an agent did still for the life before last",
}


@pytest.mark.simulation
@pytest.mark.parametrize("seed", ONCE_BROKEN)
def test_what_once_broke_a_promise_no_longer_does(seed: int) -> None:
    Chaos(seed).run()


@pytest.mark.simulation
def test_a_seed_gives_the_same_history_every_time() -> None:
    lives = []
    for _ in range(2):
        told: list[str] = []
        Chaos(3, told.append).run()
        lives.append(told)

    assert lives[0] == lives[1]
    assert len(lives[0]) > 100


@pytest.mark.simulation
def test_a_seed_gives_the_same_history_in_every_process() -> None:
    replay = [sys.executable, "-m", "kraken.testing.wood", "--seed", "3", "--trace"]
    lives = {
        subprocess.run(
            replay, env={**os.environ, "PYTHONHASHSEED": number}, check=True, capture_output=True
        ).stdout
        for number in ("1", "3")
    }

    assert len(lives) == 1


@pytest.mark.simulation
def test_of_collectors_that_fall_silent_together_nothing_begins_and_one_fault_is_told() -> None:
    racks = ["a", "b", "c", "d"]
    stage = Stage({"root": None, **dict.fromkeys(racks, "root")})
    for host in stage.hosts.values():
        host.start()
    stage.run_for(2.0)
    for rack in racks:
        stage.stir(f"n{rack}", {"os": "UP"})
        stage.root.declare(f"n{rack}", collectors=[rack], os="UP")
    stage.run_for(200.0)
    begun = stage.promises.begun
    stage.network.cut |= {frozenset(("root", rack)) for rack in racks[:3]}
    stage.run_for(70.0)
    stage.root.declare("na", os="DOWN")
    stage.run_for(200.0)
    root = stage.root.collector
    assert root.branch is not None
    outage = root.branch.outages.outage
    told = [root.explain(f"n{rack}", stage.root.clock()) for rack in racks]

    assert stage.promises.begun == begun
    assert outage is not None
    assert (outage.silent, outage.of) == (("a", "b", "c"), 4)
    assert [(one.cause, one.topic == f"root is not well: {outage.text}") for one in told] == [
        *[("STALE", True)] * 3,
        ("CONVERGED", False),
    ]

    stage.network.cut.clear()
    stage.run_for(200.0)

    assert root.branch.outages.outage is None
    assert stage.promises.begun == begun + 1
    assert list(stage.promises.differences()) == []


def settled(**wish: str) -> tuple[Stage, Run]:
    """A root with one node that was UP for 200 s, and a run that nobody asked for."""
    stage = Stage({"root": None})
    stage.root.start()
    stage.stir("n1", {"os": "UP"})
    stage.root.declare("n1", **wish)
    stage.run_for(200.0)
    return stage, Run("r1", stage.domain.catalog.mutations["side.lower"], ("n1",), stage.root.clock(), 60.0)


@pytest.mark.simulation
def test_that_something_begins_on_a_node_that_is_as_wished_is_noticed() -> None:
    stage, run = settled(os="UP")

    assert stage.promises.begun == 0

    with pytest.raises(BrokenPromiseError, match="has been as wished"):
        stage.promises.decided(stage.root, run, "n1")


@pytest.mark.simulation
def test_that_something_begins_on_a_held_node_is_noticed() -> None:
    stage, run = settled(os="UP")
    stage.root.hold(Hold("h1", "n1", "ann", "a new fan", stage.root.clock()))

    with pytest.raises(BrokenPromiseError, match="which it knows to be held"):
        stage.promises.decided(stage.root, run, "n1")


@pytest.mark.simulation
def test_that_something_begins_beside_another_is_noticed() -> None:
    stage, run = settled(os="UP")
    stage.promises.begins(stage.root, run, "n1", stage.time + 30.0, goes_on=True)

    with pytest.raises(BrokenPromiseError, match=r"begins side\.lower on n1 beside"):
        stage.promises.begins(stage.root, run, "n1", stage.time + 30.0, goes_on=True)


def doubles(sender: str, receiver: str, data: bytes) -> list[float]:
    return [0.001, 0.5]


def with_agent(rule: Rule | None = None) -> Stage:
    """A root, and a node with an agent that is starting a service: for 25 s."""
    stage = Stage({"root": None, "n1": "root"}, agents=True)
    stage.network.rule = rule
    stage.behave = lambda node, operator: Behaviour(25.0 if isinstance(operator, Mutation) else 0.1)
    for host in stage.hosts.values():
        host.start()
    stage.stir("n1", {"os": "UP"})
    stage.root.declare("n1", os="UP", db="RUNNING")
    while not stage.promises.busy():
        stage.run_for(0.1)
    return stage


def errand(stage: Stage) -> tuple[Run, NodeResult]:
    """What the agent was asked for, and that nobody reached it."""
    run = next(run for run in stage.world.runs if run.is_mutation)
    return run, NodeResult(run.id, "n1", Outcome.UNREACHABLE, message="who knows", asked=False)


@pytest.mark.simulation
def test_that_it_is_told_of_what_goes_on_that_it_was_not_begun_is_noticed() -> None:
    stage = with_agent()

    with pytest.raises(BrokenPromiseError, match="who knows; and it was begun"):
        stage.promises.told(stage.root, *errand(stage))


@pytest.mark.simulation
def test_that_an_agent_goes_on_with_what_is_told_to_be_over_is_noticed() -> None:
    stage = with_agent()
    run, result = errand(stage)

    with pytest.raises(BrokenPromiseError, match="and it goes on"):
        stage.promises.told(stage.root, run, replace(result, outcome=Outcome.TIMEOUT, asked=True))


@pytest.mark.simulation
def test_that_an_agent_does_a_thing_twice_is_noticed() -> None:
    stage = with_agent()
    run, _ = errand(stage)
    stage.run_for(30.0)

    with pytest.raises(BrokenPromiseError, match="a second time"):
        stage.promises.begins(stage.hosts["n1"], run, "n1", stage.time + 30.0, goes_on=False)


@pytest.mark.simulation
def test_an_agent_goes_on_without_its_collector_and_nothing_begins_beside_it() -> None:
    stage = with_agent()
    stage.run_for(1.0)
    stage.root.crash()
    stage.run_for(1.0)
    stage.root.start()
    stage.root.declare("n1", os="DOWN", db=None)
    stage.run_for(21.0)

    assert stage.promises.busy() == {"n1": "root"}
    assert stage.promises.begun == 1

    stage.run_for(60.0)

    assert stage.world.truth["n1"]["os"] == "DOWN"


@pytest.mark.simulation
def test_a_life_after_one_that_outgrew_its_number_has_a_greater_one() -> None:
    """Its disk is lost and its clock set back: its stamps would be older than those that are known."""
    stage = Stage({"root": None, "a": "root"})
    for host in stage.hosts.values():
        host.start()
    stage.stir("n1", {"os": "UP"})
    stage.root.declare("n1", collectors=["a"], os="UP")
    stage.run_for(100.0)
    a = stage.hosts["a"]
    a.crash(lose_disk=True)
    a.skew_s -= 1e5
    a.start()
    first = a.collector.incarnation
    stage.run_for(60.0)
    outgrown = a.collector.incarnation
    a.crash()
    a.start()

    assert first < outgrown < a.collector.incarnation


@pytest.mark.simulation
def test_a_network_that_doubles_all_letters_has_an_agent_do_nothing_twice() -> None:
    stage = with_agent(doubles)
    stage.run_for(60.0)

    assert stage.promises.begun == 1
    assert list(stage.promises.differences()) == []


@pytest.mark.simulation
def test_what_own_hands_did_ends_with_them() -> None:
    stage = Stage({"root": None})
    stage.behave = lambda node, operator: Behaviour(25.0 if isinstance(operator, Mutation) else 0.1)
    stage.root.start()
    stage.stir("n1", {"os": "UP"})
    stage.root.declare("n1", os="UP", db="RUNNING")
    while not stage.promises.busy():
        stage.run_for(0.1)
    stage.root.crash()
    stage.run_for(0.5)

    assert not stage.promises.busy()


@pytest.mark.simulation
@pytest.mark.parametrize("crashes", [False, True])
def test_why_nothing_comes_of_an_agent_that_is_not_heard_is_told(*, crashes: bool) -> None:
    stage = with_agent()
    stage.network.cut.add(frozenset(("root", "n1")))
    if crashes:
        stage.hosts["n1"].crash()
    told = []
    for seconds in (31.0, 60.0):
        stage.run_for(seconds)
        told.append(stage.root.collector.explain("n1", stage.root.clock()).reason)

    assert re.search("start_db failed once: agent of n1: collector n1 did not answer within 29.* s", told[0])
    assert "agent of n1: collector n1 is not reached from root" in told[1]


ADOPT = Branch._adopt


def adopts_without_holds(branch: Branch, event: Adopt, now: float) -> None:
    ADOPT(branch, replace(event, holds=[]), now)


def keeps_what_it_outgrew(recorder: Recorder, incarnation: int) -> int | None:
    if incarnation < recorder.incarnation:
        return None
    recorder.incarnation, recorder._sequence = incarnation + 1, 0
    return incarnation


def disowns_nothing(collector: Collector, news: list[News], now: float) -> list[News]:
    def is_ours(one: News) -> bool:
        return isinstance(one, Reported) or one.node not in collector.table or collector.runs(one.node)

    return [one for one in news if is_ours(one)]


Spoils = tuple[Any, str, Any]  # of whom, what, and what it is instead
BREAKAGES: dict[str, tuple[Spoils, int]] = {  # and a seed that notices
    "no lease is asked for": ((Rights, "may_run", lambda *args: True), 4),
    "nodes of a silent collector are given away at once": ((Placement, "is_free", lambda *args: True), 3),
    "a node is let go while something runs on it": ((Rights, "busy_until", lambda *args: float("-inf")), 0),
    "of what a BMC may be doing still nothing is remembered": ((Rights, "remember", lambda *args: None), 0),
    "what another collector saw of a node is acted on": (
        (Engine, "doubt", lambda engine, node, variables, now: engine.know(node, now)),
        0,
    ),
    "what was decided on is begun however late": ((Engine, "may_begin", lambda *args: True), 0),
    "who forgot what it began begins at once": ((Tree, "is_unsure", property(lambda tree: False)), 34),
    "holds are not handed down": ((Branch, "_adopt", adopts_without_holds), 76),
    "a node that came back for a child is decided for": ((Collector, "_of_ours", disowns_nothing), 51),
}


STORIES: dict[str, tuple[Spoils, Callable[[], None]]] = {
    "a call that comes twice is taken twice": (
        (Calls, "_is_again", lambda *args: False),
        test_a_network_that_doubles_all_letters_has_an_agent_do_nothing_twice,
    ),
    "what an agent may be doing since before a restart is not waited for": (
        (Former, "goes_on", lambda *args: None),
        test_an_agent_goes_on_without_its_collector_and_nothing_begins_beside_it,
    ),
    "the incarnation that was outgrown is kept": (
        (Recorder, "outgrow", keeps_what_it_outgrew),
        test_a_life_after_one_that_outgrew_its_number_has_a_greater_one,
    ),
}


@pytest.mark.simulation
@pytest.mark.parametrize("breakage", STORIES)
def test_a_broken_rule_is_noticed_by_a_story(breakage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (owner, name, does), story = STORIES[breakage]
    monkeypatch.setattr(owner, name, does)

    with pytest.raises(AssertionError):  # BrokenPromiseError is one
        story()


@pytest.mark.simulation
@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_rule_of_a_collector_is_noticed(breakage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (owner, name, does), seed = BREAKAGES[breakage]
    monkeypatch.setattr(owner, name, does)

    with pytest.raises((BrokenPromiseError, AssertionError, KeyError)):
        Chaos(seed).run()
