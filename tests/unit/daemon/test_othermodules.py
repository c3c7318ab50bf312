"""Collectors that run nodes with other Kraken modules than the one above them has."""

from __future__ import annotations

import pytest

from kraken.daemon.othermodules import compared, other_modules
from kraken.testing.simulation.domains import images
from tests.unit.daemon.grove import Grove


def test_who_runs_nodes_tells_above_which_modules_it_has_and_who_runs_none_does_not() -> None:
    grove = Grove("c1", "c2")
    grove.declare("n1", ["c1"], os="UP")
    grove.wait(30.0)
    root = grove.collectors["root"]

    assert compared(root, "c1")[0]
    assert (compared(root, "c2"), other_modules(root, ["n1"])) == ((False, None), ())

    grove.collectors["c1"].adopt(images().catalog)
    changed_at = grove.now
    grove.wait(30.0)
    (found,) = other_modules(root, ["n1"])

    assert (found.collector, found.nodes) == ("c1", ("n1",))
    assert found.since == pytest.approx(changed_at, abs=1.0)
    assert found.text == "n1 is for collector c1 to run, which has other Kraken modules than this one"

    root.adopt(images().catalog)

    assert other_modules(root, ["n1"]) == ()


def test_of_a_node_between_two_collectors_those_who_may_get_it_count() -> None:
    grove = Grove("c1", "c2")
    grove.declare("n1", ["c1"], os="UP")
    grove.declare("n2", ["c2"], os="UP")
    grove.wait(30.0)
    grove.collectors["c2"].adopt(images().catalog)
    grove.wait(5.0)
    grove.declare("n3", ["c9", "c2"])
    root = grove.collectors["root"]
    assert root.branch is not None
    root.branch.tree.placement.release("n3")

    assert [(one.collector, one.nodes) for one in other_modules(root, ["n1", "n2", "n3"])] == [
        ("c2", ("n2", "n3"))
    ]
