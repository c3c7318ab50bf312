"""The modules that ask: state_info, node_info, explain."""

from __future__ import annotations

from typing import Any

import pytest

READERS = ("state_info", "node_info", "explain")


@pytest.fixture(autouse=True)
def nodes(kraken: Any) -> None:
    kraken.add("n[1-3]", groups=["compute"], cfg={"phys_state": "POWER_ON"}, dsc={"phys_state": "POWER_ON"})
    kraken.add("login1", attributes={"arch": "x86_64"}, cfg={"phys_state": "POWER_ON"}, stale=["phys_state"])
    kraken.become("login1", "BACKOFF", "power_on failed", phys_state="POWER_OFF")


def test_state_info_tells_cfg_and_dsc_with_their_age(task: Any) -> None:
    result = task("state_info", nodes="n1,login1")

    assert not result["changed"]
    assert result["nodes"]["login1"] == {
        "cfg": {"phys_state": "POWER_ON"},
        "dsc": {"phys_state": "POWER_OFF"},
        "age_s": {"phys_state": 2.5},
        "stale": ["phys_state"],
        "cause": "BACKOFF",
        "reason": "power_on failed",
        "since": 1_790_000_000.0,
    }
    assert result["nodes"]["n1"]["stale"] == []
    assert result["causes"] == {"CONVERGED": "n1", "BACKOFF": "login1"}
    assert not result["converged"]


def test_state_info_tells_drift_of_the_nodes_it_tells_of(task: Any) -> None:
    drifting = task("state_info", all=True)["drift"]
    others = task("state_info", all=True, group="compute")

    assert [(row["nodeset"], row["wanted"], row["seen"]) for row in drifting] == [
        ("login1", "POWER_ON", "POWER_OFF")
    ]
    assert (others["drift"], others["converged"]) == ([], True)


def test_a_cause_that_nobody_has_gives_no_nodes_and_is_no_error(task: Any) -> None:
    result = task("state_info", all=True, cause="QUARANTINED")

    assert (result["failed"], result["nodes"], result["causes"], result["drift"]) == (False, {}, {}, [])


@pytest.mark.parametrize("module", ["state_info", "node_info"])
def test_only_nodes_that_one_collector_runs_are_told_of(kraken: Any, task: Any, module: str) -> None:
    kraken.nodes["n2"]["collector"] = "rack7"
    result = task(module, all=True, collector="rack7")

    assert list(result["nodes"]) == ["n2"]


def test_node_info_tells_attributes_groups_and_the_way_ahead(kraken: Any, task: Any) -> None:
    kraken.nodes["login1"].update(path=[{"name": "power_on"}], running=[{"name": "boot"}], failures=2)
    result = task("node_info", all=True)

    assert result["nodes"]["login1"]["attributes"] == {"arch": "x86_64"}
    assert result["nodes"]["login1"]["path"] == ["power_on"]
    assert result["nodes"]["login1"]["running"] == ["boot"]
    assert result["nodes"]["login1"]["failures"] == 2
    assert result["groups"] == {"compute": "n[1-3]"}
    assert result["nodeset"] == "login1,n[1-3]"


def test_explain_tells_each_and_folded(task: Any) -> None:
    result = task("explain", nodes=["n[1-3]", "login1"])

    assert [one["node"] for one in result["explanations"]] == ["login1", "n1", "n2", "n3"]
    assert [row["nodeset"] for row in result["folded"]] == ["n[1-3]", "login1"]
    assert result["causes"] == {"CONVERGED": "n[1-3]", "BACKOFF": "login1"}
    assert result["lines"] == ["n[1-3] CONVERGED", "login1 BACKOFF: power_on failed"]


def test_explain_without_each_asks_for_the_fold_only(kraken: Any, task: Any) -> None:
    result = task("explain", all=True, each=False)

    assert result["explanations"] == []
    assert kraken.asked[-1].query == {"all": "true", "view": "folded"}


def test_names_too_many_for_one_address_are_asked_for_in_parts_and_told_as_one(
    kraken: Any, task: Any
) -> None:
    names = [f"rack{number:04}-east" for number in range(0, 2000, 2)]
    for name in names:
        kraken.add(name)
    result = task("explain", nodes=names)

    assert len(kraken.asked) > 1
    assert [(row["cause"], row["count"]) for row in result["folded"]] == [("CONVERGED", 1000)]
    assert sorted(kraken.names(result["folded"][0]["nodeset"])) == sorted(names)


@pytest.mark.parametrize("name", READERS)
def test_check_mode_tells_the_same(task: Any, name: str) -> None:
    assert task(name, check=True, nodes="n1,login1") == {
        **task(name, nodes="n1,login1"),
        "invocation": task(name, check=True, nodes="n1,login1")["invocation"],
    }


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({}, "one of the following is required: nodes, all"),
        ({"nodes": "n1", "all": True}, "parameters are mutually exclusive: nodes|all"),
        ({"nodes": []}, "nodes selects nobody"),
        ({"all": False}, "nodes selects nobody"),
        ({"nodes": "n[1-9]"}, "unknown node n[4-9]"),
        ({"nodes": "n[1-"}, "cannot read nodeset"),
        ({"nodes": "n1", "url": "https://head.example"}, "wants a token"),
    ],
)
def test_what_cannot_be_told_is_a_failure_that_says_why(
    task: Any, name: str, args: dict[str, Any], says: str
) -> None:
    result = task(name, **args)

    assert result["failed"]
    assert says in result["msg"]
