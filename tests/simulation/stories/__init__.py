"""Trees in trouble that somebody thought out: events and faults of the network, chosen by hand.

Each story is about one rule of the protocol and ends well as long as that holds; with the rule broken it
raises. So each is told twice: as it is (test_tree_stories.py), and broken (test_tree_breakages.py).
"""

from __future__ import annotations

from tests.simulation.stories import disks, leases, longer, machines, twins, words

STORIES = [
    *words.STORIES,
    *leases.STORIES,
    *longer.STORIES,
    *disks.STORIES,
    *machines.STORIES,
    *twins.STORIES,
]
