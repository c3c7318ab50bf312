"""The calls of docs/api.md, over a real socket."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from kraken.daemon.daemon import Daemon
from tests.unit.api.conftest import CONVERGING


async def test_nodes_in_three_views(caller: Any, settled: Any) -> None:
    await caller.apply(CONVERGING)
    await settled()
    names = await caller.get("/v1/nodes?view=names")
    brief = (await caller.get("/v1/nodes"))["nodes"]
    full = (await caller.get("/v1/nodes?view=full&nodeset=n1"))["nodes"]

    assert names == {"nodes": ["n1", "n2", "n3"]}
    assert {**brief[0], "since": 0} == {
        "name": "n1", "groups": ["lab"], "cfg": {"power": "ON", "service": "RUNNING"},
        "dsc": {"power": "ON", "service": "RUNNING"}, "cause": "CONVERGED",
        "reason": "power=ON, service=RUNNING", "since": 0, "collector": "",
    }  # fmt: skip
    assert [node["name"] for node in brief] == ["n1", "n2", "n3"]
    alone = await caller.get("/v1/nodes/n1")
    assert {**full[0], "records": 0, "explanation": 0} == {**alone, "records": 0, "explanation": 0}
    assert full[0]["attributes"] == {"service.unit": "d"}
    assert full[0]["records"]["cfg"]["power"]["source"] == "api"
    seen = full[0]["records"]["dsc"]["power"]
    assert (seen["value"], seen["stale"], seen["source"]) == ("ON", False, "lab.look_power")
    assert seen["age_s"] >= 0
    assert (full[0]["path"], full[0]["no_path"], full[0]["running"], full[0]["failures"]) == ([], None, [], 0)


async def test_nodes_are_chosen_by_nodeset_cause_and_group(caller: Any, settled: Any) -> None:
    await caller.apply(CONVERGING)
    await settled()
    await caller.post("/v1/holds", {"nodeset": "n3", "reason": "x"})

    async def names(query: str) -> Any:
        return (await caller.get(f"/v1/nodes?view=names&{query}"))["nodes"]

    assert await names("nodeset=@lab") == ["n1", "n2"]
    assert await names("cause=held") == ["n3"]
    assert await names("group=lab&cause=CONVERGED") == ["n1", "n2"]
    assert await names("cause=RUNNING") == []


async def test_a_daemon_alone_knows_no_collector(caller: Any) -> None:
    problem = await caller.problem("GET", "/v1/nodes?collector=rack7")

    assert (problem["type"], problem["part"], problem["status"]) == ("not-found", "rack7", 404)
    assert "no other collector" in problem["hint"]


async def test_who_has_the_list_already_is_told_so(caller: Any) -> None:
    await caller.apply({"nodes": {"x": {}}})
    first = await caller.ask("GET", "/v1/nodes?view=names")
    tag = first.headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}'):
        same = await caller.ask("GET", "/v1/nodes?view=names", headers={"If-None-Match": known})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    await caller.apply({"nodes": {"y": {}}})
    other = await caller.ask("GET", "/v1/nodes?view=names", headers={"If-None-Match": tag})

    assert (other.status_code, other.json()) == (200, {"nodes": ["x", "y"]})


async def test_a_change_answers_with_every_node_named(caller: Any) -> None:
    applied = await caller.apply(CONVERGING, dry_run=True)
    assert applied["changed"] == 3
    assert await caller.get("/v1/nodes") == {"nodes": []}
    await caller.apply(CONVERGING)
    await caller.post("/v1/freeze", {"reason": "so that nothing moves"})
    answer = await caller.patch(
        "/v1/cfg", {"nodeset": "n[1,3]", "set": {"power": "ON"}, "unset": ["service"]}
    )
    attributes = await caller.patch("/v1/attributes", {"all": True, "set": {"rack": 1}})

    assert answer["changed"] == 1
    assert answer["items"][0] == {
        "node": "n1", "changed": True, "created": False, "diff": {"service": ["RUNNING", None]},
        "attributes": {}, "groups": None, "message": "",
    }  # fmt: skip
    assert [item["changed"] for item in answer["items"]] == [True, False]
    assert [item["attributes"] for item in attributes["items"]] == [{"rack": [None, 1]}] * 3


async def test_an_explanation_for_each_and_folded(caller: Any, settled: Any) -> None:
    await caller.apply(CONVERGING)
    await settled()
    await caller.post("/v1/holds", {"nodeset": "n2", "reason": "broken fan"}, headers={"Kraken-User": "ann"})
    answer = await caller.get("/v1/explain?all=true")

    assert [explanation["cause"] for explanation in answer["nodes"]] == ["CONVERGED", "HELD", "CONVERGED"]
    assert {row["nodeset"]: (row["cause"], row["count"], row["reason"]) for row in answer["folded"]} == {
        "n[1,3]": ("CONVERGED", 2, "as declared"),
        "n2": ("HELD", 1, "broken fan (ann)"),
    }
    assert set(answer["nodes"][0]) == {
        "node", "cause", "reason", "fact", "since", "next", "next_at", "reachable", "collector",
    }  # fmt: skip
    folded = await caller.get("/v1/explain?all=true&view=folded")
    assert folded == {"nodes": [], "folded": answer["folded"], "other_modules": []}


async def test_where_no_path_leads_on_the_missing_attribute_and_what_can_be_had_are_told(
    caller: Any, settled: Any
) -> None:
    await caller.apply({"nodes": {"n[1-3]": {"cfg": {"power": "ON"}}}})
    await settled()
    await caller.patch("/v1/cfg", {"nodeset": "n[2-3]", "set": {"image": "a"}, "allow_unreachable": True})
    answer = await caller.get("/v1/explain?nodeset=n[1-3]")
    explanation = answer["nodes"][2]
    plan = await caller.post("/v1/plan", {"nodeset": "n3"})
    reason = (
        "no mutation sets image without image.store; the nearest is write_image, which requires image.store"
    )

    assert explanation["cause"] == "REQUIRES_UNMET"
    assert explanation["reason"] == reason
    assert explanation["fact"] == {
        "variable": "image.store", "value": "", "wanted": "ANY", "source": "", "age_s": None,
        "side": "attribute",
    }  # fmt: skip
    assert explanation["next"] == "declaring image.store would open a way"
    assert explanation["reachable"] == {"image": []}
    assert [(row["count"], row["cause"], row["nodeset"], row["topic"]) for row in answer["folded"]] == [
        (2, "REQUIRES_UNMET", "n[2-3]", "image"),
        (1, "CONVERGED", "n1", "as declared"),
    ]
    assert plan["groups"][0]["no_path"]["reachable"] == {"image": []}


async def test_a_plan_is_folded(caller: Any, settled: Any) -> None:
    await caller.apply(CONVERGING)
    await settled()
    answer = await caller.post("/v1/plan", {"all": True, "set": {"power": "OFF"}, "unset": ["service"]})
    nothing = await caller.post("/v1/plan", {"nodeset": "n3"})
    impossible = await caller.post("/v1/plan", {"nodeset": "n3", "set": {"image": "a"}})
    (group,) = answer["groups"]

    assert (answer["changes"], group["nodeset"], group["count"]) == (True, "n[1-3]", 3)
    assert [(step["name"], step["kind"], step["disruptive"], step["after"]) for step in group["steps"]] == [
        ("switch_off", "mutation", True, [])
    ]
    assert (group["cost"], group["makespan"], group["start"]) == (1, 1, {"power": ["ON"]})
    assert (nothing["changes"], nothing["groups"]) == (
        False,
        [{"nodeset": "n3", "count": 1, "start": {}, "cost": 0, "makespan": 0, "steps": []}],
    )
    assert impossible["changes"] is True
    assert "image.store" in impossible["groups"][0]["no_path"]["reasons"][0]


async def test_a_plan_is_taken_back_as_it_was_given(caller: Any, settled: Any) -> None:
    await caller.apply({"nodes": {"n[1-3]": {"cfg": {"power": "OFF"}}}})
    await settled()
    plan = await caller.post("/v1/plan", {"nodeset": "n[1-2]", "set": {"power": "ON"}})
    dry = await caller.post("/v1/plan/apply", {"plan": plan, "dry_run": True})
    await caller.post("/v1/holds", {"nodeset": "n2", "reason": "broken fan"})
    applied = await caller.post("/v1/plan/apply", {"plan": plan})

    assert (plan["kraken_plan"], plan["set"], plan["unset"]) == (1, {"power": "ON"}, [])
    assert set(plan["mutations"]) == {"lab.switch_on"}
    assert (dry["changed"], applied["changed"]) == (2, 2)
    assert applied["items"][0]["diff"] == {"power": ["OFF", "ON"]}
    assert {row["nodeset"]: (row["done"], row["left"]) for row in applied["left"]} == {
        "n1": (0, 1),
        "n2": (0, 1),
    }
    assert {row["cause"] for row in applied["left"] if row["nodeset"] == "n2"} == {"HELD"}


async def test_drift_tells_what_differs_and_what_nobody_knows(caller: Any, settled: Any) -> None:
    await caller.apply(CONVERGING)
    await settled()
    nothing = await caller.get("/v1/drift")
    await caller.post("/v1/freeze", {"reason": "so that nothing moves"})
    await caller.patch("/v1/cfg", {"nodeset": "n[2-3]", "set": {"power": "OFF"}, "allow_unreachable": True})
    await caller.apply({"nodes": {"x1": {"cfg": {"power": "ON"}}}})
    answer = await caller.get("/v1/drift?nodeset=n[1-3],x1")
    rows = {row["nodeset"]: row for row in answer["rows"]}

    assert nothing == {"nodes": 3, "differing": 0, "certain": 0, "unconfirmed": 0, "rows": []}
    assert {name: answer[name] for name in ("nodes", "differing", "certain")} == {
        "nodes": 4,
        "differing": 3,
        "certain": 2,
    }
    assert set(rows) == {"n[2-3]", "x1"}
    assert {name: rows["n[2-3]"][name] for name in ("variable", "wanted", "seen", "known", "cause")} == {
        "variable": "power",
        "wanted": "OFF",
        "seen": "ON",
        "known": "differs",
        "cause": "HELD",
    }
    assert (rows["x1"]["known"], rows["x1"]["seen"], rows["x1"]["age_s"]) == ("unknown", "UNKNOWN", None)


async def test_looking_now(caller: Any) -> None:
    await caller.apply({"nodes": {"n[1-2]": {}}})
    answer = await caller.post("/v1/discover", {"nodeset": "n1"})

    assert (answer["changed"], answer["items"][0]["discoveries"]) == (1, ["lab.look_power"])


async def test_holds_are_folded_and_lifted(caller: Any) -> None:
    await caller.apply({"nodes": {"n[1-3]": {}}})
    user = {"Kraken-User": "ann@site"}
    await caller.post("/v1/holds", {"nodeset": "n[1-2]", "reason": "fan", "for_s": 60}, headers=user)
    await caller.post("/v1/holds", {"nodeset": "n3", "reason": "disk"}, headers={"Kraken-User": "a b"})
    two, one = (await caller.get("/v1/holds"))["holds"]

    assert (two["id"], two["nodeset"], two["owner"], two["reason"]) == (None, "n[1-2]", "ann@site", "fan")
    assert two["until"] == pytest.approx(two["created_at"] + 60)
    assert (one["nodeset"], one["owner"], one["until"]) == ("n3", "api", None)  # no name: who knows
    released = await caller.post("/v1/holds/release", {"all": True, "owner": "ann@site"})
    assert [item["changed"] for item in released["items"]] == [True, True, False]
    await caller.post("/v1/holds/release", {"nodeset": "n[1-3]", "id": one["id"]})
    assert await caller.get("/v1/holds") == {"holds": []}


async def test_frozen_and_thawed(caller: Any) -> None:
    frozen = await caller.post("/v1/freeze", {"reason": "moving"}, headers={"Kraken-User": "ann"})
    assert (frozen["frozen"]["nodeset"], frozen["frozen"]["owner"]) == ("*", "ann")
    assert (await caller.get("/v1/health"))["frozen"] == frozen["frozen"]
    assert (await caller.get("/v1/holds"))["holds"] == [frozen["frozen"]]
    again = await caller.post("/v1/freeze", {"reason": "cabling"}, headers={"Kraken-User": "bob"})
    assert again["frozen"] == frozen["frozen"]
    thawed = await caller.post("/v1/thaw")
    assert thawed["frozen"] is None
    assert [hold["reason"] for hold in thawed["lifted"]] == ["moving", "cabling"]
    assert await caller.post("/v1/thaw") == {"frozen": None, "lifted": []}


# -- events -------------------------------------------------------------------------------------


# -- the shape of it ----------------------------------------------------------------------------


async def test_head_and_options(caller: Any) -> None:
    for address in ("/v1/health", "/v1/nodes", "/metrics"):
        answer = await caller.ask("HEAD", address)
        assert (answer.status_code, answer.content) == (200, b"")
        assert int(answer.headers["content-length"]) > 0
    options = await caller.ask("OPTIONS", "/v1/cfg")
    assert (options.status_code, options.headers["allow"]) == (204, "OPTIONS, PATCH")


async def test_nothing_changes_state_by_get(caller: Any, daemon: Daemon, settled: Any) -> None:
    await caller.apply(CONVERGING)
    await settled()
    await caller.post("/v1/freeze", {"reason": "so that nothing moves"})
    run = (await caller.get("/v1/runs"))["runs"][0]["id"]
    schema = await caller.get("/v1/openapi.json")

    async def state() -> Any:
        entries = (await caller.get("/v1/history?limit=10000"))["entries"]
        nodes = await caller.get("/v1/nodes?view=names")
        full = [node["records"]["cfg"] for node in (await caller.get("/v1/nodes?view=full"))["nodes"]]
        return entries, nodes, full, await caller.get("/v1/holds")

    before = await state()
    for path, calls in schema["paths"].items():
        if "get" in calls and path != "/v1/events":
            known = {"run_id": run, "name": "lab" if "modules" in path else "n1", "topic": "info"}
            response = await caller.ask("GET", path.format(**known) + "?all=true")
            assert response.status_code == 200, path
    assert await state() == before


async def test_the_openapi_document_has_every_call_and_every_answer(caller: Any) -> None:
    schema = await caller.get("/v1/openapi.json")
    documented = set()
    for line in (Path(__file__).parents[3] / "docs" / "api.md").read_text().splitlines():
        if line.startswith(("| `GET ", "| `POST ", "| `PATCH ")):
            method, path = line.split("`")[1].split("?")[0].split()
            documented.add((method, path))
    calls = {
        (
            method.upper(),
            re.sub(r"{(name|topic)}", lambda part: part[1].upper(), path.replace("{run_id}", "ID")),
        ): call
        for path, methods in schema["paths"].items()
        for method, call in methods.items()
    }

    assert documented == set(calls)
    for call in calls.values():
        assert call["summary"]
        for status, response in call["responses"].items():
            (kind, content), *_ = response.get("content", {"": {"schema": True}}).items()
            assert content["schema"], (call["operationId"], status)
            if status != "200" and status != "304":
                assert kind == "application/problem+json", (call["operationId"], status)
    brief = schema["components"]["schemas"]["BriefNode"]
    assert set(brief["required"]) == {"name", "groups", "cfg", "dsc", "cause", "reason", "since", "collector"}
