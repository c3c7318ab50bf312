"""The pictures show what the planner can use, and what depends on what."""

from __future__ import annotations

import json

import networkx as nx
import pytest

from kraken.errors import DocumentError
from kraken.planning.graph import causal_graph, mark_path, mutation_graph, to_json
from kraken.planning.planner import Planner

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


def test_a_path_numbers_the_edges_it_takes_and_those_that_forget(power):
    up = {"phys_state": "POWER_ON", "run_state": "SYNC", "slurmd": "RUNNING"}
    graph = marked(power.catalog(), IPMI, up, {"phys_state": "POWER_OFF"})

    assert graph.edges["phys_state=POWER_ON", "phys_state=POWER_OFF", "m.power_off"]["steps"] == [1]
    assert graph.edges["slurmd=RUNNING", "slurmd=UNKNOWN", "m.power_off"]["steps"] == [1]
    assert graph.edges["slurmd=STOPPED", "slurmd=UNKNOWN", "m.power_off"]["steps"] == []
    assert graph.graph["cost"] == 5.0
    assert [step["name"] for step in graph.graph["path"]] == ["power_off"]


def test_each_step_of_a_path_is_somewhere_in_the_graph(power):
    graph = marked(power.catalog(), IPMI, {}, {"slurmd": "RUNNING"})

    steps = {number for *_, edge in graph.edges(data=True) for number in edge["steps"]}
    assert steps == set(range(1, len(graph.graph["path"]) + 1))
    assert [v for v, data in graph.nodes(data=True) if data["present"]] == [
        "phys_state=UNKNOWN",
        "run_state=UNKNOWN",
        "slurmd=UNKNOWN",
    ]


def test_where_there_is_no_path_the_graph_has_the_reasons(power):
    graph = marked(power.catalog(), {}, {"phys_state": "POWER_OFF"}, {"slurmd": "RUNNING"})

    assert len(graph.graph["no_path"]) == 1
    assert not any(edge["steps"] for *_, edge in graph.edges(data=True))


def test_a_present_value_that_no_module_names_is_a_vertex(words):
    words.variable("image", None)
    words.mutation("provision", changes={"image": (None, "$cfg")})
    graph = marked(words.catalog(), {}, {"image": "rocky8"}, {"image": "rocky9"})

    assert graph.nodes["image=rocky8"]["present"]
    assert graph.edges["image=rocky8", "image=rocky9", "m.provision"]["steps"] == [1]


def test_only_the_variables_asked_for_are_shown(power):
    graph = mutation_graph(power.catalog(), IPMI, only=["slurmd"])
    causes = causal_graph(power.catalog(), only=["slurmd"])

    assert {data["variable"] for _, data in graph.nodes(data=True)} == {"slurmd"}
    assert set(causes) == {"slurmd", "run_state"}  # and what it stands on


def test_a_variable_that_is_not_declared_is_refused_with_a_guess(power):
    catalog = power.catalog()
    for draw in (
        lambda: mutation_graph(catalog, None, only=["slurm"]),
        lambda: causal_graph(catalog, only=["slurm"]),
    ):
        with pytest.raises(DocumentError, match="unknown variable 'slurm'") as caught:
            draw()

        assert caught.value.hint == "did you mean slurmd?"


def test_a_variable_stands_after_those_its_known_when_names(words):
    words.variable("z", "A")
    words.variable("a", "A", known_when={"z": "A"})
    catalog = words.catalog()
    catalog.variables = dict(reversed(catalog.variables.items()))

    assert list(mutation_graph(catalog, None).graph["variables"]) == ["z", "a"]


def test_conditions_that_the_picture_shows_anyway_are_not_written(power):
    known = {d["name"]: d["when"] for *_, d in mutation_graph(power.catalog(), IPMI).edges(data=True)}
    every = {d["name"]: d["when"] for *_, d in mutation_graph(power.catalog(), None).edges(data=True)}

    assert known["power_on"] == []
    assert every["power_on"] == ["bmc.protocol is ipmi"]
    assert known["boot"] == []  # the frame says it: known while phys_state is POWER_ON


def test_the_causal_graph_of_a_node_has_what_it_can_use_and_marks_its_cfg(power):
    graph = causal_graph(power.catalog(), {}, {"slurmd": "RUNNING"})

    assert "bmc.protocol" not in graph
    assert [name for name, data in graph.nodes(data=True) if data["wished"]] == ["slurmd"]


def marked(catalog, attributes, dsc, cfg):
    known = catalog.known(dsc, attributes)
    graph = mutation_graph(catalog, attributes, cfg, known)
    mark_path(graph, known, Planner(catalog).find_path(attributes, known, cfg))
    return graph
