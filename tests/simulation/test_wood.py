"""Many trees of whole collectors, each from one seed; and that what is broken on purpose is noticed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from kraken.daemon.branch import Branch
from kraken.daemon.collector import Collector
from kraken.daemon.recorder import Recorder
from kraken.daemon.rights import Rights
from kraken.engine.news import News, Reported
from kraken.model.hold import Hold
from kraken.model.run import Run
from kraken.sync.events import Adopt
from kraken.sync.placement import Placement
from kraken.sync.tree import Tree
from kraken.testing.tree.forest import BrokenPromiseError
from kraken.testing.wood.chaos import Chaos
from kraken.testing.wood.stage import Stage

SEEDS = int(os.environ.get("KRAKEN_WOOD_SEEDS", "60"))  # `make soak` sets more
CHUNK = 10


@pytest.mark.simulation
@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_every_promise_of_a_tree_of_collectors_holds(first: int) -> None:
    broken = []
    for seed in range(first, min(first + CHUNK, SEEDS)):
        try:
            Chaos(seed).run()
        except BrokenPromiseError as error:
            broken.append(f"seed {seed}: {error}")

    assert not broken, "\n\n".join(broken)


ONCE_BROKEN = {
    64: "a node came back for a child, and its parent went on deciding for it",
    118: "a life gave the stamps of the one before again, which had outgrown another's",
    133: "the same, where it had said that the node is RUNNING",
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


@pytest.mark.simulation
@pytest.mark.xfail(strict=True, raises=BrokenPromiseError)
@pytest.mark.parametrize("seed", [6, 9])
def test_a_collector_begins_nothing_beside_what_it_lost_sight_of(seed: int) -> None:
    """It looks, finds the node as it was, and begins again, while what it began goes on: after it started
    again with its disk (6), or was told INTERRUPTED (9). What its own hands did ends with them; what an agent
    does for it, runs_on: node, may go on.
    """
    chaos = Chaos(seed)
    chaos.stage.promises.is_strict = True
    chaos.run()


def live(seeds: Iterable[int]) -> None:
    for seed in seeds:
        Chaos(seed).run()


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
        stage.promises.begins(stage.root, run, "n1", stage.time + 30.0)


@pytest.mark.simulation
def test_that_something_begins_on_a_held_node_is_noticed() -> None:
    stage, run = settled(os="UP")
    stage.root.hold(Hold("h1", "n1", "ann", "a new fan", stage.root.clock()))

    with pytest.raises(BrokenPromiseError, match="which it knows to be held"):
        stage.promises.begins(stage.root, run, "n1", stage.time + 30.0)


@pytest.mark.simulation
def test_that_something_begins_beside_another_is_noticed() -> None:
    stage, run = settled(os="UP")
    stage.root.declare("n1", os="DOWN")
    stage.promises.begins(stage.root, run, "n1", stage.time + 30.0)

    with pytest.raises(BrokenPromiseError, match=r"begins side\.lower on n1 beside"):
        stage.promises.begins(stage.root, run, "n1", stage.time + 30.0)


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
BREAKAGES: dict[str, tuple[Spoils, range]] = {
    "no lease is asked for": ((Rights, "may_run", lambda *args: True), range(30, 34)),
    "nodes of a silent collector are given away at once": (
        (Placement, "is_free", lambda *args: True),
        range(7),
    ),
    "a node is let go while something runs on it": (
        (Rights, "busy_until", lambda *args: float("-inf")),
        range(4, 7),
    ),
    "who forgot what it began begins at once": (
        (Tree, "is_unsure", property(lambda tree: False)),
        range(64, 67),
    ),
    "holds are not handed down": ((Branch, "_adopt", adopts_without_holds), range(8, 12)),
    "the incarnation that was outgrown is kept": (
        (Recorder, "outgrow", keeps_what_it_outgrew),
        range(118, 119),
    ),
    "a node that came back for a child is decided for": (
        (Collector, "_of_ours", disowns_nothing),
        range(64, 65),
    ),
}


@pytest.mark.simulation
@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_rule_of_a_collector_is_noticed(breakage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (owner, name, does), seeds = BREAKAGES[breakage]
    monkeypatch.setattr(owner, name, does)

    with pytest.raises((BrokenPromiseError, AssertionError, KeyError)):
        live(seeds)
