"""The calls that look back, over a real socket."""

from __future__ import annotations

from typing import Any

from tests.unit.api.conftest import CONVERGING


async def test_runs_and_one_run(caller: Any, settled: Any) -> None:
    await caller.apply(CONVERGING)
    await settled()
    told = await caller.get("/v1/runs")
    service, power = told["runs"]
    one = await caller.get(f"/v1/runs/{power['id']}")

    assert told["elsewhere"] == []
    assert (power["name"], power["module"], power["kind"]) == ("switch_on", "lab", "mutation")
    assert (power["nodeset"], power["outcomes"], power["timeout_s"]) == ("n[1-3]", {"OK": "n[1-3]"}, 60)
    assert service["nodeset"] == "n1"
    assert {**one, "results": 0} == {**power, "results": 0}
    assert [(r["node"], r["outcome"], r["observed"]) for r in one["results"]] == [
        (f"n{i}", "OK", {"power": "ON"}) for i in (1, 2, 3)
    ]
    assert (await caller.get("/v1/runs?limit=1"))["runs"] == [service]
    assert (await caller.get("/v1/runs?active=true"))["runs"] == []
    assert (await caller.get("/v1/runs?active=false"))["runs"] == [service, power]


async def test_history_page_by_page(caller: Any) -> None:
    await caller.post("/v1/freeze", {"reason": "so that nothing moves"})
    for i in range(5):
        await caller.apply({"nodes": {f"x{i}": {}}}, user="ann")
    pages: list[list[str]] = []
    before = ""
    while True:
        page = await caller.get(f"/v1/history?limit=2{before}")
        pages.append([f"{entry['node']} {entry['text']}" for entry in page["entries"]])
        if page["next"] is None:
            break
        before = f"&before={page['next']}"

    assert [len(page) for page in pages] == [2, 2, 2, 0]
    assert [text for page in pages for text in page] == [
        *(f"x{i} declared" for i in (4, 3, 2, 1, 0)), "* held: so that nothing moves",
    ]  # fmt: skip


async def test_the_history_of_a_node_outlives_it(caller: Any) -> None:
    await caller.apply({"nodes": {"gone": {}, "x": {}}})
    await caller.post("/v1/nodes/delete", {"nodeset": "gone"})
    told = [entry["text"] for entry in (await caller.get("/v1/history?nodeset=gone"))["entries"]]

    assert told == ["forgotten", "declared"]
    assert (await caller.problem("GET", "/v1/history?nodeset=gone,never"))["part"] == "never"
