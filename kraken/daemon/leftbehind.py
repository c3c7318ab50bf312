"""BMCs of nodes that were deleted, or got another, while another collector had them: it may command them
still, by what it heard last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kraken.model.bmc import bmc_key
from kraken.model.update import Value
from kraken.sync.lease import Placement
from kraken.sync.placing import COLLECTORS
from kraken.sync.tree import Tree


class LeftBehind:
    """Remembers them, for this life of the daemon."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        # BMC -> nodes whose it was -> who might run them
        self._nodes: dict[tuple[str, int], dict[str, list[str]]] = {}

    def leave(self, names: Iterable[str]) -> None:
        """These nodes are to be deleted, or to have another BMC."""
        place = self._tree.placement
        for name in names:
            if place.holder.get(name, Placement.OURS) == Placement.OURS and place.former(name) is None:
                continue
            bmc = bmc_key(self._tree.table[name].attribute_values())
            if bmc is not None:
                self._nodes.setdefault(bmc, {})[name] = self._tree.placing.listed(name)

    def holder(self, node: str, attributes: Mapping[str, Value], now: float) -> tuple[str, str] | None:
        """Who may still command the BMC of a node that is to have these attributes.

        Returns:
            The other node whose it was, and the collector below us; None: nobody may, or the one
            collector that is to run this node, too.
        """
        bmc = bmc_key(attributes) if self._nodes else None
        if bmc is None or bmc not in self._nodes:
            return None
        listed = attributes.get(COLLECTORS)
        found: tuple[str, str] | None = None
        for name, before in list(self._nodes[bmc].items()):
            child = self._unaware(name, now)
            if child is None:
                del self._nodes[bmc][name]
            elif found is None and name != node and not (listed == before and len(before) == 1):
                found = name, child
        if not self._nodes[bmc]:
            del self._nodes[bmc]
        return found

    def _unaware(self, name: str, now: float) -> str | None:
        """The child that may go by what was declared of this node before; None: none does."""
        place = self._tree.placement
        former, free_at = place.former(name), place.free_at(name)
        if former is not None and free_at is not None and free_at > now:
            return former[0] or self._tree.me
        child = place.holder.get(name, Placement.OURS)
        if child == Placement.OURS:
            return None
        link = self._tree.links.get(child)
        knows = link is not None and link.feed.acked >= 0 and name not in link.feed
        return None if knows and self._tree.silence(name) is None else child
