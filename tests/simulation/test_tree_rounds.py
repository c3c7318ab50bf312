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


def check_letters(forest: Forest, hellos: int = HELLOS) -> None:
    """Let it live until all copies are equal: nobody writes more than is promised until then."""
    edges = len(forest.members) - 1
    written: Counter[tuple[str, str, str]] = Counter()

    def counts(a: str, b: str, data: bytes) -> None:
        written[a, b, type(decode(data).body).__name__] += 1

    assert forest.differences()

    forest.network.cut.clear()
    forest.network.rule = counts
    promised = {"Hello": hellos, "Ask": 1 + 8, "Delta": 1 + 2 * (edges - 1)}
    while forest.differences():
        forest.run_for(0.02)

        assert [way for way, number in written.items() if number > promised.get(way[2], number)] == []


@pytest.mark.simulation
@pytest.mark.parametrize("seed", range(6))
def test_every_copy_is_equal_after_as_many_letters_as_are_promised(seed: int) -> None:
    """Whoever speaks first after a silence says three hellos at most, and each edge that comes up is told of,
    and what came over it, in two deltas at most over every other.
    """
    check_letters(parted(seed))


@pytest.mark.simulation
@pytest.mark.parametrize("seed", range(6, 12))
def test_as_many_are_enough_from_when_the_last_edge_came_up(seed: int) -> None:
    forest, rng = parted(seed), random.Random(seed)
    edges = sorted(forest.network.cut, key=sorted)
    rng.shuffle(edges)
    for edge in edges[1:]:
        forest.network.cut.discard(edge)
        forest.run_for(rng.choice([0.0, 0.01, 0.3, 3.0, 20.0]) * rng.random())
    check_letters(forest)


@pytest.mark.simulation
@pytest.mark.parametrize("seed", range(12, 18))
def test_who_restarts_says_one_hello_more(seed: int) -> None:
    """A collector tells those below it that it is whole, as soon as it has heard its parent."""
    forest, rng = parted(seed), random.Random(seed)
    for name in forest.members:
        if rng.random() < 0.6:
            forest.restart(name)
    check_letters(forest, HELLOS + 1)
