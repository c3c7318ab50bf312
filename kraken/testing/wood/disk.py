"""What a store would keep of a collector in a tree: the same records, without a disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from kraken.model.hold import EVERY_NODE
from kraken.store.records import AdoptNode, Change, ForgetNode, Memory, Outgrow, SaveTree
from kraken.sync.events import Memory as TreeMemory
from kraken.testing.simulation.memory import Durable

Said = TypeVar("Said")


@dataclass(slots=True)
class Disk(Durable):
    """A `Durable` that keeps, too, who has which node.

    Attributes:
        tree: None: nothing of a tree was ever kept.
    """

    tree: TreeMemory | None = field(default=None)

    def commit(self, changes: Iterable[Change]) -> None:
        """Keep all of these, in order."""
        for change in changes:
            match change:
                case AdoptNode(node, updates, holds):
                    if node != EVERY_NODE:
                        self.table.replace(node, updates)
                    self._drop_holds(node)
                    self.holds |= {hold.id: hold for hold in holds}
                case ForgetNode(node):
                    self.table.remove(node)
                    self._drop_holds(node)
                    self.troubles.pop(node, None)
                case SaveTree(memory, nodes):
                    self.tree = _kept(self.tree, memory, nodes)
                case Outgrow(incarnation):
                    self.incarnation = max(self.incarnation, incarnation)
                case _:
                    Durable.commit(self, [change])

    def memory(self) -> Memory:
        """Everything, as a starting daemon gets it."""
        return replace(Durable.memory(self), tree=self.tree)

    def _drop_holds(self, node: str) -> None:
        self.holds = {id: hold for id, hold in self.holds.items() if hold.node != node}


def _kept(former: TreeMemory | None, memory: TreeMemory, nodes: Iterable[str]) -> TreeMemory:
    """Of these nodes what is said now, of others what was said before."""
    if former is None:
        return memory
    gone = frozenset(nodes)
    return replace(
        memory,
        placed=_after(former.placed, memory.placed, gone),
        leaving=_after(former.leaving, memory.leaving, gone),
        told=_after(former.told, memory.told, gone),
        bmcs=_after(former.bmcs, memory.bmcs, gone),
    )


def _after(former: Mapping[str, Said], now: Mapping[str, Said], gone: frozenset[str]) -> dict[str, Said]:
    return {node: said for node, said in former.items() if node not in gone} | dict(now)
