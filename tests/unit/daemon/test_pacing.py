"""Limits over a daemon's lives: they hold after a restart, and those that hold nothing are told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from kraken.daemon.daemon import Daemon
from kraken.daemon.operations import Operations, Request
from kraken.engine.limit import Limit
from kraken.executors import Report
from kraken.executors.fake import FakeExecutor, FakeWorld
from kraken.model.run import NodeFacts, Run
from kraken.testing.daemons import KINDS, QUICK

Start = Callable[..., Awaitable[Daemon]]
Eventually = Callable[[Callable[[], Any]], Awaitable[None]]

NODES = ("n1", "n2", "n3")
ON: dict[str, Any] = {"nodes": {"n[1-3]": {"cfg": {"power": "ON"}}}}
ONE = replace(QUICK, limits=(Limit("gently", ("power=ON",), in_flight=1),))


class Slow(FakeExecutor):
    """Never ends a mutation; looks when it may."""

    def __init__(self) -> None:
        super().__init__(FakeWorld({node: {"power": "OFF"} for node in NODES}))
        self.begun: list[str] = []
        self.may_look = asyncio.Event()

    async def run(self, run: Run, nodes: Mapping[str, NodeFacts], report: Report) -> None:
        if run.is_mutation:
            self.begun += run.nodes
            await asyncio.Event().wait()
        await self.may_look.wait()
        await super().run(run, nodes, report)


def held_back(daemon: Daemon) -> list[str]:
    engine = daemon.collector.engine
    told = [engine.explain(node, daemon.clock()) for node in NODES]
    return [one.node for one in told if one.topic == "lab.switch_on waits for limit gently"]


async def test_what_was_under_way_before_a_restart_keeps_its_place_until_it_was_looked_for(
    start: Start, me: Request, eventually: Eventually
) -> None:
    before, after = Slow(), Slow()
    before.may_look.set()
    daemon = await start(executors=dict.fromkeys(KINDS, before), settings=ONE)
    await Operations(daemon).apply(ON, me)
    await eventually(lambda: before.begun and len(held_back(daemon)) == 2)
    daemon = await start(executors=dict.fromkeys(KINDS, after), settings=ONE)
    await eventually(lambda: len(held_back(daemon)) == 2)
    [waits, _] = held_back(daemon)
    reason = daemon.collector.engine.explain(waits, daemon.clock()).reason

    assert len(before.begun) == 1
    assert after.begun == []
    assert reason.endswith("of 2 in its queue; 1 of 1 under way")
    after.may_look.set()
    await eventually(lambda: after.begun and len(held_back(daemon)) == 2)
    assert len(after.begun) == 1


async def test_a_limit_that_counts_nothing_is_told_at_every_start_and_reload(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    slip = Limit("slip", ("power=NO",), in_flight=1)
    with caplog.at_level(logging.WARNING, "kraken"):
        daemon = await start(settings=replace(QUICK, limits=(*ONE.limits, slip)))
        await daemon.reload()
    told = [record.__dict__["limit"] for record in caplog.records if "counts no" in record.message]

    assert told == ["slip", "slip"]
