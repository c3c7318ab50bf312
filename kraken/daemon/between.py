"""Nodes that nobody runs, since who had them may still act on them, or nobody who may have them has joined:
when that begins and ends, of each node once, and of many together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kraken.daemon.elsewhere import why_nobody
from kraken.sync.tree import Tree


@dataclass(frozen=True, slots=True)
class Gap:
    """Nobody runs these nodes from now on, or somebody does again.

    Attributes:
        runner: who does; "": nobody.
        reason: why nobody does.
        source: the collector that says so, or that could have given them to somebody.
    """

    nodes: tuple[str, ...]
    runner: str
    reason: str
    source: str


class Between:
    """Those nodes, as far as this collector knows. What a former life told of is not told again.

    Attributes:
        nodes: they, in the order in which it began, each with when that was, or this life did.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        holder, former = tree.placement.holder, tree.placement.former
        names = (n for n in tree.table if tree.nobody(n) is not None or (n not in holder and former(n)))
        self.nodes: dict[str, float] = dict.fromkeys(names, tree.started_at)
        self._doubted: dict[str, None] = {}

    def doubt(self, nodes: Iterable[str]) -> None:
        """Somebody else may have these, or nobody."""
        self._doubted.update(dict.fromkeys(nodes))

    def look(self, now: float) -> list[Gap]:
        """What has become another since the last look."""
        if self.nodes:
            self.doubt(sorted(self.nodes.keys() & self._tree.placement.changed))
        doubted, self._doubted = self._doubted, {}
        found: dict[tuple[str, str, str], list[str]] = {}
        for name in doubted:
            told = self._now(name, now)
            if told is None:
                self.nodes.pop(name, None)
                continue
            is_so = told[0] == ""
            if is_so is (name in self.nodes) or not (is_so or self._is_sure(name)):
                continue
            if is_so:
                self.nodes[name] = now
            else:
                del self.nodes[name]
            found.setdefault(told, []).append(name)
        return [Gap(tuple(sorted(names)), *told) for told, names in found.items()]

    def _now(self, name: str, now: float) -> tuple[str, str, str] | None:
        """Who runs the node, or why nobody does, and who says so; None: there is no such node."""
        tree = self._tree
        if name not in tree.table:
            return None
        if name not in tree.placement.holder:
            return "", why_nobody(tree, name, now), tree.me
        said = tree.nobody(name)
        if said is not None:
            return "", str(said.value), said.source
        return tree.me if tree.has(name) else tree.runner(name), "", tree.me

    def _is_sure(self, name: str) -> bool:
        """Whether who runs the node runs it: one of ours has it for somebody below, who may not be there."""
        return self._tree.has(name) or self._tree.has_told(name)
