"""BMCs of nodes that were deleted while another collector had them: it may command them still, by what it
heard last, until it has let go of those nodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kraken.model.bmc import bmc_key
from kraken.model.update import Value
from kraken.sync.lease import Placement
from kraken.sync.placing import COLLECTORS
from kraken.sync.tree import Tree


class LeftBehind:
    """Remembers them, for this life of the daemon."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        # BMC -> deleted nodes whose it was -> who might run them
        self._nodes: dict[tuple[str, int], dict[str, list[str]]] = {}

    def delete(self, names: Sequence[str]) -> None:
        """These nodes are to be deleted."""
        place = self._tree.placement
        for name in names:
            is_ours = place.holder.get(name, Placement.OURS) == Placement.OURS
            bmc = bmc_key(self._tree.table[name].attribute_values())
            if bmc is not None and not (is_ours and place.former(name) is None):
                self._nodes.setdefault(bmc, {})[name] = self._tree.placing.listed(name)

    def holder(self, attributes: Mapping[str, Value], now: float) -> tuple[str, str] | None:
        """Who may still command the BMC of a node that is to have these attributes.

        Returns:
            The deleted node whose it was, and the collector below us; None: nobody may, or the one
            collector that is to run the new node, too.
        """
        bmc = bmc_key(attributes) if self._nodes else None
        if bmc is None or bmc not in self._nodes:
            return None
        place, listed = self._tree.placement, attributes.get(COLLECTORS)
        found: tuple[str, str] | None = None
        for name, before in list(self._nodes[bmc].items()):
            former, free_at = place.former(name), place.free_at(name)
            if former is None or free_at is None or free_at <= now:
                del self._nodes[bmc][name]
            elif found is None and not (listed == before and len(before) == 1):
                found = name, former[0] or self._tree.me
        if not self._nodes[bmc]:
            del self._nodes[bmc]
        return found
