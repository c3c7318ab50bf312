"""Runs from when they were decided on: what a journal that is slow to take them leaves of their time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from kraken.daemon.performing import LATE, NODE, Performing
from kraken.executors import Report
from kraken.model.module import Action, Change, Mutation
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run
from kraken.store.group import GroupCommit

SWITCH_ON = Mutation(
    "m", "switch_on", (Change("power", ("OFF",), "ON"),), timeout_s=60.0, action=Action("ipmi", {}, Path())
)


class Stalled:
    """A journal that takes that long; and the clock by which it does."""

    def __init__(self, for_s: float) -> None:
        self.now = 1000.0
        self._for_s = for_s

    async def write(self, changes: Sequence[object]) -> None:
        self.now += self._for_s

    def clock(self) -> float:
        return self.now


class Hand:
    """Does everything at once."""

    def __init__(self) -> None:
        self.given: list[Run] = []

    async def run(self, run: Run, nodes: Mapping[str, NodeFacts], report: Report) -> None:
        self.given.append(run)
        report([NodeResult(run.id, node, Outcome.OK) for node in run.nodes])

    async def discover(self, run: Run, nodes: Mapping[str, NodeFacts], report: Report) -> None:
        raise AssertionError("nobody asked for it")

    async def close(self) -> None:
        """Nothing is kept."""


@pytest.mark.parametrize(("stalled_s", "begun"), [(0.0, True), (20.0, True), (40.0, False)])
async def test_a_mutation_has_no_more_time_than_from_when_it_was_decided_on(
    stalled_s: float, begun: bool
) -> None:
    journal, hand, results = Stalled(stalled_s), Hand(), dict[str, NodeResult]()

    def may_begin(run: Run, node: str) -> bool:
        return journal.now - run.issued_at <= 30.0

    def ended(run: Run, found: Mapping[str, NodeResult]) -> None:
        results.update(found)

    performing = Performing(
        {"ipmi": hand, NODE: hand},
        cast(GroupCommit, journal),
        lambda run, found: None,
        ended,
        cast(Any, pytest.fail),
        may_begin,
        journal.clock,
    )
    run = Run("1-1", SWITCH_ON, ("n1",), 1000.0, 60.0)
    performing.start(run, {"n1": NodeFacts("n1", {})})
    for flight in list(performing._flying.values()):
        await flight

    assert [given.timeout_s for given in hand.given] == ([60.0 - stalled_s] if begun else [])
    told = results["n1"]
    assert (told.outcome, told.message) == ((Outcome.OK, "") if begun else (Outcome.WITHDRAWN, LATE))
