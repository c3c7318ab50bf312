"""The calls that look at the Kraken modules, over a real socket."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any


async def test_modules(caller: Any, tmp_path: Path) -> None:
    (tmp_path / "modules" / "bad.yml").write_text("kraken_module: 1\nname: bad\nvariabels: {}\n")
    reloaded = await caller.post("/v1/modules/reload")
    listed = await caller.get("/v1/modules")
    one = await caller.get("/v1/modules/lab")
    (refused,) = listed["refused"]

    assert reloaded == listed
    assert [module["name"] for module in listed["modules"]] == ["lab"]
    assert (Path(refused["file"]).name, refused["line"], refused["key"]) == ("bad.yml", 3, "variabels")
    assert one["variables"]["power"]["values"] == ["OFF", "ON", "HUNG"]
    assert one["variables"]["image"]["values"] == "any"
    assert one["mutations"]["switch_on"]["mutates"] == {"power": [["OFF"], "ON"]}
    assert one["mutations"]["switch_on"]["done_by"] == "ipmi"
    assert one["discoveries"]["look_power"]["observes"] == {"power": ["OFF", "ON"]}
    assert (await caller.get("/v1/health"))["modules"]["refused"][0]["file"] == refused["file"]


async def test_a_mutation_is_shown_with_what_guards_ask_of_it(caller: Any, tmp_path: Path) -> None:
    (tmp_path / "modules" / "late.yml").write_text(
        "kraken_module: 1\nname: late\n"
        "guards: {idle_first: {before: {power: 'OFF'}, requires: {service: STOPPED}}}\n"
    )
    await caller.post("/v1/modules/reload")
    lab, late = await caller.get("/v1/modules/lab"), await caller.get("/v1/modules/late")

    assert lab["mutations"]["switch_off"]["requires"] == {"service": ["STOPPED"]}
    assert lab["mutations"]["switch_on"]["requires"] == {}
    assert late["guards"]["idle_first"] == {
        "summary": "",
        "before": {"power": ["OFF"]},
        "requires": {"service": ["STOPPED"]},
        "excludes": {},
    }


async def test_graphs(caller: Any) -> None:
    await caller.apply({"nodes": {"n1": {}}})
    for kind in ("mutation", "causal"):
        dot = await caller.ask("GET", f"/v1/graph?kind={kind}&node=n1")
        assert dot.text.startswith("digraph")
        assert json.loads((await caller.ask("GET", f"/v1/graph?kind={kind}&format=json")).content)
    svg = await caller.ask("GET", "/v1/graph?format=svg")
    if shutil.which("dot"):
        assert b"<svg" in svg.content
    else:
        problem = caller.problem_of(svg)
        assert (problem["type"], problem["status"]) == ("refused", 501)
        assert "apt-get install graphviz" in problem["hint"]
