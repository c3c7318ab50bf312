from __future__ import annotations

import pytest

from kraken.errors import NodeSetError
from kraken.model.nodeset import check_name, expand, fold

GROUPS = {"compute": ["n1", "n2", "n3"], "gpu": ["n3"], "rack-1.a": ["n1"]}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("n1", ["n1"]),
        ("n[1-3]", ["n1", "n2", "n3"]),
        ("n[08-10]", ["n08", "n09", "n10"]),
        ("n[1-2],login1", ["login1", "n1", "n2"]),
        ("@compute", ["n1", "n2", "n3"]),
        ("@compute!@gpu", ["n1", "n2"]),
        ("@compute&@gpu", ["n3"]),
        ("@rack-1.a,n9", ["n1", "n9"]),
        ("@*", ["n1", "n2", "n3"]),
    ],
)
def test_a_nodeset_selects_these_nodes(text: str, names: list[str]) -> None:
    assert expand(text, GROUPS) == names


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no nodes selected"),
        ("  ", "no nodes selected"),
        ("n[1-", "cannot read nodeset 'n[1-'"),
        ("n[3-1]", "cannot read nodeset"),
        ("@nobody", "names the unknown group @nobody (groups: @compute, @gpu, @rack-1.a)"),
        ("n1,@nobody", "names the unknown group @nobody"),
        ("n1!n1", "selects no node"),
        ("n[1-99999999]", "names 99999999 nodes, more than 1000000"),
        ("r[1-2000]n[1-2000]", "names 4000000 nodes, more than 1000000"),
        ("a,n[1-900000],n[1-900000]", "names 1800001 nodes, more than 1000000"),
    ],
)
def test_what_selects_nobody_is_an_error_that_says_why(text: str, reason: str) -> None:
    with pytest.raises(NodeSetError) as caught:
        expand(text, GROUPS)

    assert reason in str(caught.value)


def test_a_large_nodeset_below_the_limit_is_expanded() -> None:
    assert len(expand("r[1-10]n[0000-9999/10]")) == 10_000


def test_without_groups_a_group_is_unknown() -> None:
    with pytest.raises(NodeSetError, match="none is declared"):
        expand("@compute")


def test_names_fold_to_the_shortest_nodeset() -> None:
    assert fold(["n3", "n1", "n2", "login1", "n1"]) == "login1,n[1-3]"
    assert fold([]) == ""


@pytest.mark.parametrize("name", ["n1", "n0001", "login-1.cluster", "r1_n2", "1"])
def test_an_ordinary_name_can_be_a_nodes(name: str) -> None:
    assert check_name(name) == name
    assert expand(name) == [name]


@pytest.mark.parametrize("name", ["", "n[1-2]", "a,b", "a b", "@x", "a!b", "a&b", "a^b", "-x", "a/b", "a\nb"])
def test_a_name_that_a_nodeset_would_read_as_syntax_is_refused(name: str) -> None:
    with pytest.raises(NodeSetError, match="cannot be the name of a node"):
        check_name(name)
