"""Nodes that are run by collectors with other Kraken modules than ours: what we find for them may not be
what those do. Pure over the collector it is given.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kraken.daemon.collector import Collector
from kraken.model.nodeset import fold
from kraken.sync.registry import MODULES
from kraken.sync.shelf import COLLECTOR


@dataclass(frozen=True, slots=True)
class OtherModules:
    """Nodes of one collector that has others.

    Attributes:
        since: since when, as far as it said, seconds since the epoch; None: it does not say which it has.
    """

    collector: str
    nodes: tuple[str, ...]
    since: float | None

    @property
    def text(self) -> str:
        """What is the case, in words."""
        are = "is" if len(self.nodes) == 1 else "are"
        return f"{fold(self.nodes)} {are} {_whose(self.collector, self.since)}"


class Others:
    """Finds them, node by node."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._since: dict[str, tuple[bool, float | None]] = {}  # collector -> whether alike, and since when
        self._nodes: dict[str, list[str]] = {}

    def why(self, name: str) -> str:
        """What is the case with this node; "" where who runs it has the same modules as we have."""
        found = self._find(name)
        return "" if found is None else f"is {_whose(found, self._since[found][1])}"

    def add(self, name: str) -> None:
        """Look at this node."""
        found = self._find(name)
        if found is not None:
            self._nodes.setdefault(found, []).append(name)

    def found(self) -> tuple[OtherModules, ...]:
        """Those of the nodes that were added."""
        return tuple(
            OtherModules(who, tuple(names), self._since[who][1]) for who, names in self._nodes.items()
        )

    def _find(self, name: str) -> str | None:
        """Who has others, of the one who runs the node; where nobody does, of those who may come to, as far
        as they said anything.
        """
        branch = self._collector.branch
        if branch is None or name not in self._collector.table or self._collector.runs(name):
            return None
        runner = branch.tree.runner(name)
        for who in [runner] if runner else branch.tree.placing.listed(name):
            if who not in self._since:
                self._since[who] = compared(self._collector, who)
            is_alike, since = self._since[who]
            if not is_alike and (runner or since is not None):
                return who
        return None


def other_modules(collector: Collector, names: Iterable[str]) -> tuple[OtherModules, ...]:
    """Of these nodes, those that are run with other modules than ours."""
    others = Others(collector)
    for name in names:
        others.add(name)
    return others.found()


def others_of(collector: Collector, name: str) -> str:
    """That the node is run with other modules than ours, in words; "": it is not."""
    return "; ".join(one.text for one in other_modules(collector, [name]))


def compared(collector: Collector, other: str) -> tuple[bool, float | None]:
    """Whether a collector of our tree has the same modules as we have, and since when it has those that it
    has; None: it did not say.
    """
    assert collector.branch is not None
    tree = collector.branch.tree
    if other == tree.me:
        return True, None
    said = tree.registry.get(COLLECTOR + other, {}).get(MODULES)
    return (False, None) if said is None else (said.value == collector.modules, said.since)


def _whose(who: str, since: float | None) -> str:
    if since is None:
        return f"for collector {who} to run, which has not said which Kraken modules it has"
    return f"for collector {who} to run, which has other Kraken modules than this one"
