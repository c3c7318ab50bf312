"""The machine that a lease is good for: names of nodes can change hands, and stand for other BMCs."""

from __future__ import annotations

from collections.abc import Iterator

from kraken.model.bmc import ADDRESS, PORT, bmc_text
from kraken.model.node import Node


class Machines:
    """The BMC that each node's lease covers, while that is held or not let go; of nodes that have one.

    Attributes:
        of: node -> its BMC, as the node had it when the lease was given.
    """

    def __init__(self) -> None:
        self.of: dict[str, str] = {}
        self._nodes: dict[str, tuple[str, ...]] = {}  # BMC -> nodes, which are one as a rule

    def cover(self, key: str, bmc: str | None) -> None:
        """The lease of this node is good for this BMC; None: it has none."""
        self.uncover(key)
        if bmc is not None:
            self.of[key] = bmc
            self._nodes[bmc] = (*self._nodes.get(bmc, ()), key)

    def uncover(self, key: str) -> None:
        """Nothing of a lease of this node is left."""
        bmc = self.of.pop(key, None)
        if bmc is None:
            return
        left = tuple(self.others(bmc, key))
        if left:
            self._nodes[bmc] = left
        else:
            del self._nodes[bmc]

    def others(self, bmc: str, key: str) -> Iterator[str]:
        """The nodes but this one whose leases cover the BMC."""
        return (other for other in self._nodes.get(bmc, ()) if other != key)


def bmc_of(node: Node | None) -> str | None:
    """The BMC that is declared of the node, equal for equal ones; None: it has none, or is not declared."""
    return None if node is None else bmc_text(node.attribute(ADDRESS), node.attribute(PORT))
