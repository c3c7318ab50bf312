"""Pictures over HTTP: of every kind of node, or of one with its state, path and Cfg."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from kraken.api import graphviz
from kraken.api.graphviz import GraphvizError, svg_of


async def picture(caller: Any, query: str) -> dict[str, Any]:
    response = await caller.ask("GET", f"/v1/graph?format=json{query}")
    assert response.status_code == 200, response.text
    return dict(json.loads(response.content))


async def test_of_a_node_its_state_path_and_cfg_are_drawn(caller: Any) -> None:
    await caller.apply({"nodes": {"n1": {"cfg": {"power": "ON"}, "attributes": {"bmc": "x"}}}})
    node = await picture(caller, "&node=n1")
    every = await picture(caller, "")

    wished = [vertex["id"] for vertex in node["vertices"] if vertex["wished"]]
    assert wished == ["power=ON"]
    assert "path" in node or "no_path" in node
    assert sum(vertex["present"] for vertex in node["vertices"]) == len(node["variables"])
    assert not any(vertex["wished"] or vertex["present"] for vertex in every["vertices"])


async def test_mermaid_is_for_documents(caller: Any) -> None:
    response = await caller.ask("GET", "/v1/graph?format=mermaid&kind=causal")

    assert response.headers["content-type"].startswith("text/vnd.mermaid")
    assert "flowchart LR" in response.text


async def test_only_the_variables_named_are_drawn(caller: Any) -> None:
    some = await picture(caller, "&variables=power")
    wrong = await caller.ask("GET", "/v1/graph?variables=powr")

    assert list(some["variables"]) == ["power"]
    problem = caller.problem_of(wrong)
    assert problem["status"] == 422
    assert "power" in problem["hint"]


def program(directory: Path, body: str) -> None:
    file = directory / "dot"
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("cat >/dev/null; echo 'Error: no fonts' >&2; exit 2", "dot failed with 2: Error: no fonts"),
        ("exec sleep 60", "dot took longer than 0.3 s"),
    ],
)
def test_a_dot_that_does_not_draw_is_told_with_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, said: str
) -> None:
    program(tmp_path, body)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(graphviz, "DOT_S", 0.3)

    with pytest.raises(GraphvizError) as caught:
        svg_of("digraph {}")

    assert caught.value.message == said


async def test_while_a_picture_is_drawn_others_are_answered(
    caller: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = tmp_path / "gate"
    program(tmp_path, f"cat >/dev/null; while [ ! -e {gate} ]; do sleep 0.02; done; echo '<svg/>'")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    drawing = asyncio.create_task(caller.ask("GET", "/v1/graph?format=svg"))
    health = await caller.get("/v1/health")
    gate.touch()

    assert health
    assert b"<svg/>" in (await drawing).content
