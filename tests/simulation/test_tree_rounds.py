"""The guarantee with its number of rounds: docs/protocol.md, What is promised, over whole trees."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from kraken.sync.letters import decode
from kraken.sync.link import DEAD_S
from kraken.testing.tree.chaos import shape_of
from kraken.testing.tree.forest import Forest
from tests.simulation.stories.stage import declare, tree

HELLOS = 3
"""Of each end of an edge, at first contact."""


def parted(seed: int) -> Forest:
    """A tree whose every edge was cut, and what was then declared and seen."""
    rng = random.Random(seed)
    shape = shape_of(rng)
    collectors = [name for name, parent in shape.items() if parent is not None]
    forest = tree(shape)
    nodes = {f"n{i}": rng.choice(collectors) for i in range(rng.randint(1, 60))}
    for node, collector in nodes.items():
        declare(forest, node, collector)
    forest.settle(60.0)
    forest.network.cut |= {frozenset((a, b)) for a, b in shape.items() if b is not None}
    forest.run_for(2 * DEAD_S)
    for number, (node, collector) in enumerate(nodes.items()):
        assert forest.see(node, "power", f"V{number}") == [collector]

        declare(forest, node, collector, wish=f"W{number}")
    return forest


@pytest.mark.simulation
@pytest.mark.parametrize("seed", range(6))
def test_every_copy_is_equal_after_as_many_letters_as_are_promised(seed: int) -> None:
    """Whoever speaks first after a silence says three hellos at most, and each edge that comes up is told of,
    and what came over it, in two deltas at most over every other.
    """
    forest = parted(seed)
    edges = len(forest.members) - 1
    written: Counter[tuple[str, str, str]] = Counter()

    def counts(a: str, b: str, data: bytes) -> None:
        if not forest.network.is_cut(a, b):
            written[a, b, type(decode(data).body).__name__] += 1

    assert forest.differences()

    forest.network.cut.clear()
    forest.network.rule = counts
    promised = {"Hello": HELLOS, "Ask": 1 + 8, "Delta": 1 + 2 * (edges - 1)}
    while forest.differences():
        forest.run_for(0.02)

        assert [way for way, number in written.items() if number > promised.get(way[2], number)] == []
