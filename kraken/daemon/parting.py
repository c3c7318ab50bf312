"""BMCs that are a node's no more while what was begun over them may be under way. In a tree leases say so; a
daemon in none asks here.
"""

from __future__ import annotations

from collections.abc import Callable


class Parting:
    """Remembers them, for this life of the daemon.

    Args:
        busy_until: when what we run on a node is over at the latest.
    """

    def __init__(self, busy_until: Callable[[str], float]) -> None:
        self._busy_until = busy_until
        self._left: dict[str, dict[str, float]] = {}  # BMC -> nodes whose it was, busy until then

    def leave(self, bmc: str, node: str, now: float) -> None:
        """The BMC is this node's no more; what was begun over it may not be over."""
        until = self._busy_until(node)
        if until > now:
            self._left.setdefault(bmc, {})[node] = until

    def tidy(self, now: float) -> None:
        """Drop what is over."""
        left = ((bmc, {n: t for n, t in nodes.items() if t > now}) for bmc, nodes in self._left.items())
        self._left = {bmc: nodes for bmc, nodes in left if nodes}

    def is_busy(self, bmc: str | None, node: str, now: float) -> bool:
        """Whether what we began over the BMC of this node, as that of another, may be under way."""
        if bmc is None or bmc not in self._left:
            return False
        return any(
            min(until, self._busy_until(name)) > now
            for name, until in self._left[bmc].items()
            if name != node
        )
