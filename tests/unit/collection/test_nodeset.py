"""The collection's nodesets say the same as Kraken's own, which are ClusterShell's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kraken.hpc.plugins.module_utils import nodeset
from ansible_collections.kraken.hpc.plugins.module_utils.nodeset import NodesetError, fold, portions
from kraken.errors import NodeSetError
from kraken.model.nodeset import expand

names = st.from_regex(r"\A[a-z]{1,2}(0{0,2}[0-9]{1,3})?(-[a-z])?([0-9]{1,2})?\Z")


@pytest.mark.parametrize(
    ("nodes", "folded"),
    [
        ([], ""),
        (["login"], "login"),
        (["n1"], "n1"),
        (["n3", "n1", "n2"], "n[1-3]"),
        (["n0001", "n0002", "n0010"], "n[0001-0002,0010]"),
        (["n09", "n10", "n9"], "n9,n[09-10]"),
        (["n8", "n9", "n10", "n11"], "n[8-11]"),
        (["r1n1", "r1n2", "r2n1"], "r1n[1-2],r2n1"),
        (["n1-bmc", "n2-bmc"], "n[1-2]-bmc"),
    ],
)
def test_names_fold_as_a_person_would_write_them(nodes: list[str], folded: str) -> None:
    assert fold(nodes) == folded


@given(st.lists(names, min_size=1, max_size=30))
def test_a_fold_expands_to_exactly_the_names_folded(nodes: list[str]) -> None:
    assert sorted(expand(fold(nodes))) == sorted(set(nodes))


@given(st.lists(names, min_size=1, max_size=60, unique=True), st.integers(20, 200))
def test_portions_name_every_node_once(nodes: list[str], length_max: int) -> None:
    found = [name for portion in portions(nodes, length_max) for name in expand(portion)]

    assert sorted(found) == sorted(nodes)


def test_ten_thousand_scattered_nodes_fit_into_addresses() -> None:
    scattered = [f"n{number:05d}" for number in range(0, 20_000, 2)]

    assert all(len(portion) < 12_000 for portion in portions(scattered))


def test_ten_thousand_nodes_in_a_row_are_one_portion() -> None:
    assert list(portions([f"n{number:05d}" for number in range(10_000)])) == ["n[00000-09999]"]


GROUPS = {"g": ["n1", "n2"], "g1": ["n3"], "g2": ["login", "n1"], "h": []}
ranges = st.one_of(
    st.integers(0, 120).map(str),
    st.integers(0, 99).map(lambda number: f"{number:03}"),
    st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda ends: f"{min(ends)}-{max(ends)}"),
    st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(1, 9)).map(
        lambda ends: f"{min(ends[:2]):02}-{max(ends[:2]):02}/{ends[2]}"
    ),
)
brackets = st.lists(ranges, min_size=1, max_size=3).map(lambda parts: f"[{','.join(parts)}]")
patterns = st.one_of(
    st.sampled_from(["n1", "login", "@g", "@g[1-2]", "@*", "@h", "n[1-3]-ib", "n1[2-3]4"]),
    st.tuples(st.sampled_from("abn"), brackets).map("".join),
    st.tuples(st.sampled_from("ar"), brackets, st.sampled_from(["n", "-", ".x"]), brackets).map("".join),
)
sets = st.lists(st.tuples(st.sampled_from(",,,!&^"), patterns), min_size=1, max_size=4).map(
    lambda parts: "".join(operator + pattern for operator, pattern in parts)[1:]
)


def clustershells(text: str) -> set[str]:
    try:
        return set(expand(text, GROUPS))
    except NodeSetError as error:
        if "selects no node" in error.message:
            return set()
        raise


@given(sets)
def test_a_nodeset_expands_to_what_clustershell_makes_of_it(text: str) -> None:
    names = nodeset.expand(text, GROUPS)

    assert set(names) == clustershells(text)
    assert len(names) == len(set(names))


@given(st.text(alphabet="n1[]-,!&^@0/ g2*", max_size=12))
def test_what_can_be_read_is_read_as_clustershell_reads_it(text: str) -> None:
    try:
        names = nodeset.expand(text, GROUPS)
    except NodesetError:
        return

    assert set(names) == clustershells(text)


def test_names_come_in_the_order_of_the_nodeset() -> None:
    assert nodeset.expand("n[3,1-2],login!n1") == ["n3", "n2", "login"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "an empty nodeset"),
        ("n1,,n2", "a name is missing beside"),
        ("n1!", "a name is missing beside"),
        ("n[1-3", "brackets in n\\[1-3 do not match"),
        ("n1]", "brackets in n1\\] do not match"),
        ("r[1-2][3-4]", "do not match"),
        ("n[a-b]", "'a-b' is no range: write 1-8"),
        ("n[]", "'' is no range"),
        ("n[3-1]", "3-1 counts nothing"),
        ("n[1-3/0]", "1-3/0 counts nothing"),
        ("n[8-011]", "the ends of 8-011 must be written with as many digits"),
        ("n1[8-11]", "as many digits"),
        ("n*", "has a wildcard, which only @\\* may have"),
        ("n1 n2", "put commas between names"),
        ("@nobody", "no group @nobody \\(groups: @g, @g1, @g2, @h\\)"),
        ("n[1-9999]x[1-9999]", "more than 1000000 nodes"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(NodesetError, match=why):
        nodeset.expand(text, GROUPS)
