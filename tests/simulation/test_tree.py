"""A whole tree on virtual clocks, over a network that does its worst, keeps its promises."""

from __future__ import annotations

import pytest

from kraken.testing.tree.chaos import Chaos
from kraken.testing.tree.forest import BrokenPromiseError

pytestmark = pytest.mark.simulation

SEEDS = 400
CHUNK = 50


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_every_promise_is_kept_whatever_happens(first: int) -> None:
    broken = []
    for seed in range(first, first + CHUNK):
        try:
            Chaos(seed).run()
        except BrokenPromiseError as error:
            broken.append(f"{error}; again: python -m kraken.testing.tree --seed {seed} --trace")
    assert not broken, "\n".join(broken)
