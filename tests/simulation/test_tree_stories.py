"""Stories of trees in trouble end well."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.simulation.stories import disks, leases, longer, machines, twins, words


@pytest.mark.simulation
@pytest.mark.parametrize(
    "story",
    [*words.STORIES, *leases.STORIES, *longer.STORIES, *disks.STORIES, *machines.STORIES, *twins.STORIES],
    ids=lambda story: story.__name__,
)
def test_a_tree_in_trouble_comes_out_well(story: Callable[[], None]) -> None:
    story()
