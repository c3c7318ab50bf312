"""Limits as programs see them: in health, in metrics, and in explanations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kraken.daemon.daemon import Daemon
from kraken.engine.limit import Limit
from kraken.executors import Report
from kraken.executors.fake import FakeExecutor, FakeWorld
from kraken.model.run import NodeFacts, Run
from kraken.testing.daemons import KINDS, QUICK, living

LIMITS = (
    Limit("rack-power", ("power=ON",), by="rack", in_flight=1, watts=900.0, watts_each=300.0),
    Limit("slip", ("power=NO",), per_second=0.5),
)


class Slow(FakeExecutor):
    """Looks at once, and never ends a mutation."""

    async def run(self, run: Run, nodes: Mapping[str, NodeFacts], report: Report) -> None:
        if run.is_mutation:
            await asyncio.Event().wait()
        await super().run(run, nodes, report)


@pytest.fixture
async def daemon(tmp_path: Path, world: FakeWorld) -> AsyncIterator[Daemon]:
    (tmp_path / "state").mkdir()
    hands = dict.fromkeys(KINDS, Slow(world))
    async with living(tmp_path, executors=hands, settings=replace(QUICK, limits=LIMITS)) as running:
        yield running


async def test_limits_and_their_use_are_told(caller: Any) -> None:
    before = (await caller.get("/v1/health"))["limits"]
    await caller.apply({"nodes": {"n[1-3]": {"attributes": {"rack": "r7"}, "cfg": {"power": "ON"}}}})
    async with asyncio.timeout(60):
        while (await caller.get("/v1/health"))["limits"][0]["waiting"] < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    rack, slip = (await caller.get("/v1/health"))["limits"]
    metrics = (await caller.ask("GET", "/metrics")).text
    explained = (await caller.get("/v1/explain", params={"all": "true"}))["folded"]

    assert [(limit["in_flight"], limit["waiting"]) for limit in before] == [(0, 0), (0, 0)]
    assert rack == {
        "name": "rack-power",
        "counts": ["power=ON"],
        "by": "rack",
        "mutations": ["lab.switch_on"],
        "in_flight": 1,
        "in_flight_max": 1,
        "per_second": None,
        "watts": 300.0,
        "watts_max": 900.0,
        "waiting": 2,
    }
    assert (slip["mutations"], slip["per_second"]) == ([], 0.5)
    assert 'kraken_limit_in_flight{limit="rack-power"} 1.0' in metrics
    assert 'kraken_limit_waiting{limit="rack-power"} 2.0' in metrics
    assert 'kraken_limit_watts{limit="rack-power"} 300.0' in metrics
    assert [(row["cause"], row["count"], row["topic"]) for row in explained if row["cause"] == "BUDGET"] == [
        ("BUDGET", 2, "lab.switch_on waits for limit rack-power")
    ]
