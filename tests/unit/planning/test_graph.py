"""The pictures show what the planner can use, and what depends on what."""

from __future__ import annotations

import json
import shutil
import subprocess

import networkx as nx
import pytest

from kraken.planning.graph import causal_graph, mutation_graph, to_dot, to_json

IPMI = {"bmc.protocol": "ipmi"}


def edges(graph, kind):
    return {(s, t, d["name"]) for s, t, d in graph.edges(data=True) if d["kind"] == kind}


def test_each_value_of_each_variable_is_a_vertex_unknown_included(power):
    graph = mutation_graph(power.catalog(), IPMI)

    assert {"phys_state=UNKNOWN", "phys_state=POWER_ON", "slurmd=RUNNING"} <= set(graph)


def test_mutations_discoveries_and_forgetting_are_edges(power):
    graph = mutation_graph(power.catalog(), IPMI)

    assert ("phys_state=POWER_OFF", "phys_state=POWER_ON", "power_on") in edges(graph, "mutation")
    assert ("phys_state=UNKNOWN", "phys_state=POWER_OFF", "power_status") in edges(graph, "discovery")
    assert ("run_state=SYNC", "run_state=UNKNOWN", "power_off") in edges(graph, "forgets")
    assert ("slurmd=RUNNING", "slurmd=UNKNOWN", "power_off") in edges(graph, "forgets")
    assert not any(name == "power_on" for _, _, name in edges(graph, "forgets"))


def test_mutations_the_node_cannot_use_are_not_shown(power):
    graph = mutation_graph(power.catalog(), {})

    assert not any(d["name"] == "power_on" for _, _, d in graph.edges(data=True))


def test_without_attributes_the_mutations_of_every_kind_of_node_are_shown(power):
    graph = mutation_graph(power.catalog(), None)

    assert ("phys_state=POWER_OFF", "phys_state=POWER_ON", "power_on") in edges(graph, "mutation")


def test_a_disruptive_mutation_from_any_does_not_start_at_unknown(words):
    words.variable("v", "A B C")
    words.mutation("wipe", changes={"v": (None, "C")}, disruptive=True)

    graph = mutation_graph(words.catalog(), {})

    assert {s for s, _, _ in edges(graph, "mutation")} == {"v=A", "v=B"}


def test_the_wish_gives_cfg_its_value_and_is_marked(words):
    words.variable("image", None)
    words.mutation("provision", changes={"image": (None, "$cfg")})

    graph = mutation_graph(words.catalog(), {}, {"image": "rocky9"})

    assert graph.nodes["image=rocky9"]["wished"]
    assert ("image=UNKNOWN", "image=rocky9", "provision") in edges(graph, "mutation")
    assert "image=$cfg" in mutation_graph(words.catalog(), {})


def test_the_causal_graph_says_what_matters_for_what(power):
    graph = causal_graph(power.catalog())

    assert graph.edges["phys_state", "run_state"]["why"] == ["known_when", "requires"]
    assert graph.edges["run_state", "slurmd"]["by"] == ["start"]
    assert graph.nodes["bmc.protocol"]["attribute"]
    assert nx.is_directed_acyclic_graph(graph)


def test_json_lists_vertices_and_edges(power):
    document = json.loads(json.dumps(to_json(mutation_graph(power.catalog(), IPMI))))

    assert {"id", "variable", "value", "wished"} <= set(document["vertices"][0])
    assert {"from", "to", "name", "kind", "cost", "disruptive"} <= set(document["edges"][0])


def test_dot_quotes_names_and_draws_what_is_highlighted(words):
    words.variable('v"', "A B")
    words.mutation("go", changes={'v"': ("A", "B")})
    graph = mutation_graph(words.catalog(), {})

    dot = to_dot(graph, ['v"=A', "go"])

    assert '"v\\"=A" [label="A", style="rounded,filled"' in dot
    assert "penwidth=3" in dot
    assert "penwidth" not in to_dot(graph)


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_reads_it(power):
    for graph in (
        mutation_graph(power.catalog(), IPMI, {"slurmd": "RUNNING"}),
        causal_graph(power.catalog()),
    ):
        drawn = subprocess.run(
            ["dot", "-Tsvg"], input=to_dot(graph), capture_output=True, text=True, check=True, timeout=60
        )

        assert "<svg" in drawn.stdout
