"""Stories of trees in trouble end well."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.simulation.stories import STORIES


@pytest.mark.simulation
@pytest.mark.parametrize(
    "story",
    STORIES,
    ids=lambda story: story.__name__,
)
def test_a_tree_in_trouble_comes_out_well(story: Callable[[], None]) -> None:
    story()
