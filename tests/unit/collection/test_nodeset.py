"""The collection's folding of names says the same as Kraken's own nodesets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kraken.hpc.plugins.module_utils.nodeset import fold, portions
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
