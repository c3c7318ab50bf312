"""`graph` asks the daemon for a picture; `module graph` draws files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kraken.cli.errors import Exit

Call = Callable[..., Any]

MODULE = """\
kraken_module: 1
name: m
variables:
  power: {values: [OFF, ON]}
  service: {values: [STOPPED, RUNNING], known_when: {power: ON}}
mutations:
  switch_on:
    mutates: {power: ['OFF', 'ON']}
    requires: {bmc: ANY}
    timeout: 10s
    cost: 5
  start:
    mutates: {service: [[UNKNOWN, STOPPED], RUNNING]}
    timeout: 10s
"""


@pytest.fixture
def module(tmp_path: Path) -> str:
    file = tmp_path / "m.yml"
    file.write_text(MODULE.replace("[OFF, ON]", "['OFF', 'ON']").replace("power: ON", "power: 'ON'"))
    return str(file)


def drawn(kraken: Call, *words: str) -> dict[str, Any]:
    result = kraken("module", "graph", *words, "--format", "json")
    assert result.code == Exit.DONE, result.err
    return dict(json.loads(result.out))


def test_the_daemon_is_asked_for_what_was_said(kraken: Call, daemon: Callable[..., Any]) -> None:
    rule = {
        "call": "GET /v1/graph",
        "query": {"kind": "causal", "format": "mermaid", "node": "n1", "variables": "a,b,c"},
        "text": "flowchart LR\n",
        "type": "text/vnd.mermaid",
    }
    daemon(rule)

    result = kraken(
        "graph", "--causal", "--format", "mermaid", "--node", "n1", "--variable", "a,b", "--variable", "c"
    )
    assert (result.code, result.out) == (Exit.DONE, "flowchart LR\n")


def test_files_are_drawn_for_every_kind_of_node_or_for_one(kraken: Call, module: str) -> None:
    every = drawn(kraken, module)
    one = drawn(kraken, module, "--attr", "bmc=1.2.3.4")
    other = drawn(kraken, module, "--dsc", "power=OFF")

    assert {edge["name"] for edge in every["edges"]} == {"switch_on", "start"}
    assert {edge["name"] for edge in one["edges"]} == {"switch_on", "start"}
    assert {edge["name"] for edge in other["edges"]} == {"start"}
    assert not any(vertex["present"] for vertex in one["vertices"])
    assert [vertex["id"] for vertex in other["vertices"] if vertex["present"]] == [
        "power=OFF",
        "service=UNKNOWN",
    ]


def test_with_a_cfg_the_path_is_drawn(kraken: Call, module: str) -> None:
    graph = drawn(kraken, module, "--attr", "bmc=1", "--dsc", "power=OFF", "--cfg", "service=RUNNING")

    assert [step["name"] for step in graph["path"]] == ["switch_on", "start"]
    assert {e["name"]: e["steps"] for e in graph["edges"] if e["steps"]} == {"switch_on": [1], "start": [2]}


def test_where_no_path_leads_the_picture_is_drawn_and_says_so(kraken: Call, module: str) -> None:
    result = kraken("module", "graph", module, "--dsc", "power=OFF", "--cfg", "service=RUNNING")

    assert result.code == Exit.DONE
    assert "no path" in result.out


def test_only_some_variables_or_what_needs_what(kraken: Call, module: str) -> None:
    some = drawn(kraken, module, "--variable", "service")
    causal = drawn(kraken, module, "--causal")

    assert set(some["variables"]) == {"service"}
    assert [(edge["from"], edge["to"]) for edge in causal["edges"]] == [
        ("power", "service"),
        ("bmc", "power"),
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--variable", "servce"], "did you mean service?"),
        (["--cfg", "power=WARM"], "cannot be 'WARM'"),
        (["--attr", "power=ON"], "power is a variable, not an attribute"),
    ],
)
def test_what_is_said_wrongly_is_refused(kraken: Call, module: str, words: list[str], said: str) -> None:
    result = kraken("module", "graph", module, *words)

    assert result.code != Exit.DONE
    assert said in result.err
    assert not result.out


def test_without_graphviz_svg_is_refused_and_dot_is_not(
    kraken: Call, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    svg = kraken("module", "graph", module, "--format", "svg")
    dot = kraken("module", "graph", module)

    assert svg.code == Exit.REFUSED
    assert "apt-get install graphviz" in svg.err
    assert dot.out.startswith("digraph")


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_svg_is_drawn_by_graphviz(kraken: Call, module: str) -> None:
    result = kraken("module", "graph", module, "--format", "svg")

    assert result.code == Exit.DONE
    assert "</svg>" in result.out


@pytest.mark.parametrize("body", ["exit 3", "echo wrong >&2; exit 1", "sleep 60"])
def test_a_graphviz_that_fails_says_how(
    kraken: Call, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    program = tmp_path / "bin" / "dot"
    program.parent.mkdir()
    program.write_text(
        f"#!/bin/sh\ncat >/dev/null\nexec {body}\n" if "sleep" in body else f"#!/bin/sh\n{body}\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setattr("kraken.api.graphviz.DOT_S", 0.2)

    result = kraken("module", "graph", module, "--format", "svg")
    assert result.code == Exit.REFUSED
    assert "dot failed with" in result.err or "dot took longer" in result.err
