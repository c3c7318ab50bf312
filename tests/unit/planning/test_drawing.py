"""Pictures say what the graph says, in signs that need no colour, in text that is read as meant."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from kraken.planning.drawing import TOWER, to_dot, to_mermaid
from kraken.planning.graph import causal_graph, mark_path, mutation_graph
from kraken.planning.picture import picture_of
from kraken.planning.planner import Planner

IPMI = {"bmc.protocol": "ipmi"}
NASTY = 'a"b<c>&;#|]}\\ `x` end'


@pytest.fixture
def booting(power):
    """The picture of a node without power whose Cfg wishes a service."""
    catalog, dsc, cfg = power.catalog(), {"phys_state": "POWER_OFF"}, {"slurmd": "RUNNING"}
    graph = mutation_graph(catalog, IPMI, cfg, dsc)
    mark_path(graph, dsc, Planner(catalog).find_path(IPMI, dsc, cfg))
    return picture_of(graph, "n0001")


@pytest.fixture
def nasty(words):
    words.variable(NASTY, None)
    words.mutation(NASTY, changes={NASTY: ("A", NASTY)}, requires={NASTY + "2": NASTY}, disruptive=True)
    words.discovery("look", NASTY)
    return picture_of(mutation_graph(words.catalog(), None), NASTY)


def arrow_to(picture, value):
    return next(a for f in picture.frames for a in f.arrows if a.target == value and a.marked)


def test_the_steps_of_a_path_are_bold_and_numbered_in_order(booting):
    assert arrow_to(booting, "phys_state=POWER_ON").label.name == "1: power_on"
    assert arrow_to(booting, "run_state=INIT").label.name == "2: boot"
    assert arrow_to(booting, "run_state=SYNC").label.name == "3: fit"
    assert booting.title == ("n0001", "path of 4 steps, about 69 s")


def test_what_a_colour_says_is_said_without_it_too(booting):
    dot, mermaid = to_dot(booting), to_mermaid(booting)

    assert "<B>POWER_OFF</B><BR/>now" in dot
    assert "peripheries=2" in dot
    assert "RUNNING<BR/>wished" in dot
    assert "<B>power_off</B><BR/>5 s, disruptive" in dot
    assert "<B>1: power_on</B>" in dot
    assert '[["RUNNING<br/>wished"]]' in mermaid
    assert "power_off<br/>5 s, disruptive" in mermaid
    assert "POWER_OFF<br/>now" in mermaid


def test_discoveries_are_dashed_and_forgetting_is_dotted(booting):
    lines = {a.line for f in booting.frames for a in f.arrows}
    dot = to_dot(booting)

    assert lines == {"solid", "dashed", "dotted"}
    assert '"phys_state=UNKNOWN" -> "phys_state:0" [style=dashed' in dot
    assert re.search(r'"slurmd=RUNNING" -> "slurmd:\d" \[style=dotted', dot)


def test_an_operator_with_several_arrows_is_named_once(booting):
    frame = next(f for f in booting.frames if f.name == "phys_state")

    assert [k.label.name for k in frame.knots] == ["power_status"]
    assert sum(a.source == frame.knots[0].id for a in frame.arrows) == 2
    assert [a.headless for a in frame.arrows if a.target == frame.knots[0].id] == [True]


def test_the_legend_explains_the_signs_that_occur_and_no_others(booting, words):
    words.variable("v", "A B")
    words.mutation("go", changes={"v": ("A", "B")})
    plain = picture_of(mutation_graph(words.catalog(), None, only=["v"]))

    assert [sign for sign, _ in booting.legend] == [
        "solid", "dashed", "dotted", "disruptive", "path", "present", "wished",
    ]  # fmt: skip
    assert [sign for sign, _ in plain.legend] == ["solid"]


def test_without_a_path_the_title_says_why(power):
    catalog, cfg = power.catalog(), {"slurmd": "RUNNING"}
    graph = mutation_graph(catalog, {}, cfg, {})
    mark_path(graph, {}, Planner(catalog).find_path({}, {}, cfg))

    title = picture_of(graph, "n0001").title
    assert title[:2] == ("n0001", "no path")
    assert "slurmd" in title[2]


def test_that_others_decide_is_the_end_of_the_title(power):
    graph = mutation_graph(power.catalog(), {}, {}, {})
    graph.graph["other_modules"] = "n1 is another's"

    assert picture_of(graph, "n1").title == ("n1", "n1 is another's")


def test_equal_names_of_two_modules_are_told_apart():
    from pathlib import Path

    from kraken.model.catalog import Catalog
    from kraken.model.module import Change, KrakenModule, Mutation, Variable

    modules = [
        KrakenModule(
            name,
            "",
            Path(f"{name}.yml"),
            variables={name: Variable(name, name, ("A", "B"))},
            mutations={"go": Mutation(name, "go", (Change(name, ("A",), "B"),))},
        )
        for name in ("one", "two")
    ]

    picture = picture_of(mutation_graph(Catalog(modules), None))
    assert [a.label.name for f in picture.frames for a in f.arrows] == ["one.go", "two.go"]


def test_many_frames_stand_in_two_columns(words):
    for i in range(TOWER + 1):
        words.variable(f"v{i}", "A")
    tall = to_dot(picture_of(mutation_graph(words.catalog(), None)))
    few = to_dot(picture_of(mutation_graph(words.catalog(), None, only=["v0", "v1"])))

    assert '{"v0=UNKNOWN" "v0=A"} -> "gap:1" -> {"v1=UNKNOWN" "v1=A"} [style=invis];' in tall
    assert "gap:" not in few


# Mermaid, line by line: these are all the forms a line may have.
TEXT = r'"(?:[A-Za-z0-9 _\-.,:=/()\']|#\d+;|<br/>)*"'
ID = r"(?:v\d+(?:_\d+)?|legend)"
CLASS = r":::(?:plain|faint|now|knot|marked|disruptive|frame)"
MERMAID = [
    r"flowchart LR",
    rf"  subgraph v\d+ \[{TEXT}\]",
    r"    direction LR",
    r"  end",
    rf"  class {ID} frame",
    rf" +{ID}(?:\({TEXT}\)|\[{TEXT}\]|\[\[{TEXT}\]\]|\(\[{TEXT}\]\)){CLASS}",
    rf"  {ID} (?:-->|---|-\.->|-\.-)(?:\|{TEXT}\|)? {ID}",
    r"  linkStyle \d+ (?:[a-z-]+:[#0-9a-z ]+,?)+",
    r"  classDef [a-z]+ (?:[a-z-]+:[#0-9a-z ]+,?)+",
]


def test_mermaid_has_only_lines_its_grammar_knows(booting, nasty, power):
    for picture in (booting, nasty, picture_of(causal_graph(power.catalog()))):
        lines = to_mermaid(picture).splitlines()
        if lines[0] == "---":
            assert lines[1].startswith('title: "')
            assert lines[2] == "---"
            lines = lines[3:]

        for line in lines:
            assert any(re.fullmatch(form, line) for form in MERMAID), line


def test_the_styles_of_mermaid_name_links_there_are(booting):
    lines = to_mermaid(booting).splitlines()
    links = [line for line in lines if re.fullmatch(MERMAID[6], line)]
    styled = [int(line.split()[1]) for line in lines if line.startswith("  linkStyle")]

    assert len(styled) == len(set(styled))
    assert max(styled) < len(links)


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_reads_it_without_a_warning(booting, nasty, power):
    for picture in (booting, nasty, picture_of(causal_graph(power.catalog()))):
        drawn = subprocess.run(
            ["dot", "-Tsvg"], input=to_dot(picture), capture_output=True, text=True, check=True, timeout=60
        )

        assert "<svg" in drawn.stdout
        assert drawn.stderr == ""
