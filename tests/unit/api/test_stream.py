"""Events as they happen, and metrics, over a real socket."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from kraken.daemon.daemon import Daemon
from kraken.engine.cause import Cause
from tests.unit.api.conftest import CONVERGING


async def test_metrics_count_every_node_once(caller: Any, settled: Any) -> None:
    await caller.apply(CONVERGING)
    await settled()
    response = await caller.ask("GET", "/metrics")
    rows = dict(line.rsplit(" ", 1) for line in response.text.splitlines() if not line.startswith("#"))

    assert response.headers["content-type"].startswith("text/plain")
    assert {name: float(rows[f'kraken_nodes{{cause="{name}"}}']) for name in Cause} == {
        name: 3.0 if name == "CONVERGED" else 0.0 for name in Cause
    }


async def follow(caller: Any, query: str, count: int, **headers: str) -> list[dict[str, Any]]:
    """The next events of the stream."""
    found: list[dict[str, Any]] = []
    async with (
        asyncio.timeout(60),
        caller.client.stream("GET", f"/v1/events{query}", headers=headers) as stream,
    ):
        assert stream.headers["content-type"].startswith("text/event-stream")
        event: dict[str, Any] = {}
        async for line in stream.aiter_lines():
            name, _, value = line.partition(": ")
            if line.startswith(":"):
                continue
            if line:
                event[name] = value
            elif event:
                found.append({**event, "data": json.loads(event["data"])})
                event = {}
            if len(found) == count:
                break
    return found


async def test_events_as_they_happen_and_resumed(caller: Any, daemon: Daemon) -> None:
    start = f"{daemon.collector.incarnation}-0"
    await caller.post("/v1/freeze", {"reason": "x"})
    await caller.apply({"nodes": {"n1": {"attributes": {"a": 1}}}})
    first = await follow(caller, "?kinds=freeze,attribute", 2, **{"Last-Event-ID": start})
    rest = await follow(caller, "?kinds=freeze,attribute", 1, **{"Last-Event-ID": first[-1]["id"]})

    assert [event["event"] for event in first] == ["freeze", "attribute"]
    assert (rest[0]["data"]["variable"], rest[0]["data"]["value"], rest[0]["data"]["was"]) == ("a", 1, None)
    assert rest[0]["data"]["source"] == "api"


async def test_a_stream_says_first_where_it_begins(caller: Any) -> None:
    """Who is cut off before the first event misses none of what came meanwhile."""
    await caller.post("/v1/freeze", {"reason": "before"})
    async with asyncio.timeout(60), caller.client.stream("GET", "/v1/events") as stream:
        lines = stream.aiter_lines()
        first = [await anext(lines) for _ in range(3)]
    await caller.apply({"nodes": {"n1": {"attributes": {"a": 1}}}})
    cursor = first[1].removeprefix("id: ")
    (event,) = await follow(caller, "?kinds=freeze,attribute", 1, **{"Last-Event-ID": cursor})

    assert (first[0], first[2]) == (": kraken", "")
    assert (event["event"], event["data"]["node"]) == ("attribute", "n1")


async def test_events_of_some_nodes_only(caller: Any, daemon: Daemon, settled: Any) -> None:
    await caller.apply(CONVERGING)
    await settled()
    start = {"Last-Event-ID": f"{daemon.collector.incarnation}-0"}
    runs = await follow(caller, "?nodeset=n1&kinds=run-started", 3, **start)
    seen = await follow(caller, "?nodeset=n2&kinds=dsc", 2, **start)

    assert all("n1" in event["data"]["nodeset"] or "n[1" in event["data"]["nodeset"] for event in runs)
    assert {event["data"]["node"] for event in seen} == {"n2"}


async def test_a_cursor_of_another_life_is_lost(caller: Any) -> None:
    (event,) = await follow(caller, "?kinds=dsc", 1, **{"Last-Event-ID": "1-1"})

    assert event["event"] == "lost"


async def test_who_leaves_is_forgotten(caller: Any, daemon: Daemon) -> None:
    before = len(asyncio.all_tasks())
    for _ in range(5):
        async with caller.client.stream("GET", "/v1/events") as stream:
            await anext(stream.aiter_raw())
    async with asyncio.timeout(60):
        while len(asyncio.all_tasks()) > before:  # noqa: ASYNC110 - nobody tells when one ends
            await asyncio.sleep(0.01)
