"""An operating system that dies while its chassis goes on saying that it is on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.conftest import Site

pytestmark = pytest.mark.e2e


def test_a_node_that_hangs_under_power_is_not_converged_and_is_left_as_it_is(
    make_site: Callable[[int], Site],
) -> None:
    """That it takes no longer than the looks do is shown in tests/unit/engine/test_dead_system.py."""
    site = make_site(2)
    site.apply()
    site.converged()
    hung, well = site.demo.cluster.nodes
    before = site.issues(hung.name)
    hung.hang()
    site.kraken("discover", hung.name)  # not only when the next look is due, in five minutes
    site.until(lambda: site.cause(hung.name) == "STALE", "what hangs is doubted")
    site.until(
        lambda: "look at its console; a node that is dead needs" in site.explanation(hung.name)["reason"],
        "it is told what to do",
    )

    assert "was seen, but nobody has answered since" in site.explanation(hung.name)["reason"]
    assert site.demo.get(f"/v1/nodes/{hung.name}")["dsc"]["phys_state"] == "POWER_ON"
    assert hung.power() == "on"
    assert site.issues(hung.name) == before, "nothing is done to a node because its system is silent"
    assert site.cause(well.name) == "CONVERGED"

    hung.unhang()
    site.converged(hung.name)
