"""What is said of a thousand nodes in nearly the same words is one line, and nothing true is lost by it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kraken.cli.alike import folded_alike
from kraken.model.nodeset import expand

SILENT = "BMC 10.1.0.{0}:623 does not answer ({1} login requests in 7 s)"


def test_what_differs_by_numbers_is_told_as_it_is_of_the_first() -> None:
    said = {"n1": SILENT.format(1, 14), "n2": SILENT.format(2, 13)}

    assert list(folded_alike(said)) == [("n[1-2]", f"alike, as n1: {said['n1']}")]


def test_what_differs_by_the_address_alone_is_told_without_one() -> None:
    said = {"n1": "BMC 10.1.0.1:623 refused", "n2": "BMC [fd00::2]:623 refused"}

    assert list(folded_alike(said)) == [("n[1-2]", "BMC ADDRESS:623 refused")]


def test_of_a_node_alone_it_is_told_as_it_was_said() -> None:
    assert list(folded_alike({"n1": SILENT.format(1, 14)})) == [("n1", SILENT.format(1, 14))]


def test_codes_and_reasons_are_no_numbers() -> None:
    said = {"n1": "BMC 10.1.0.1:623 refused (0xc9)", "n2": "BMC 10.1.0.2:623 refused (0xcc)"}

    assert len(list(folded_alike(said))) == 2


@given(st.dictionaries(st.integers(1, 99).map("n{}".format), st.text(max_size=20)))
def test_each_node_is_told_of_once(said: dict[str, str]) -> None:
    told = [name for nodes, _ in folded_alike(said) for name in expand(nodes)]

    assert sorted(told) == sorted(said)
