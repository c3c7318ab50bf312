"""Whether a mutation may be begun on a node of ours, as far as leases go and what is under way there: what
the engine asks, and what is then asked of those above and given back to them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kraken.daemon.parting import Parting
from kraken.engine.permit import FORGOT, NO_LEASE, NOT_ALONE, NOT_OVER
from kraken.model.node import NodeTable
from kraken.sync.machines import bmc_of
from kraken.sync.tree import Tree

RESERVE_MORE_S: Final = 30.0
"""By how much a lease that is asked for outlasts the run it is for: letters lost, a place waited for."""


class Rights:
    """Those of one collector.

    Args:
        under_way: when what this life has under way on a node is over at the latest; -inf: nothing is.
        clock: when we were last asked something.

    Attributes:
        tree: the one we are in; None: there is none.
    """

    def __init__(
        self, table: NodeTable, under_way: Callable[[str], float], clock: Callable[[], float]
    ) -> None:
        self.tree: Tree | None = None
        self._table = table
        self._under_way = under_way
        self._clock = clock
        self._lacking: dict[str, float] = {}  # node -> until when a lease is wanted for what is to run on it
        self._done: dict[str, None] = {}  # nodes on which a mutation is over, and no other was wanted since
        self._former: dict[str, float] = {}  # node -> when what began there and is not known to be over is
        self._parting = Parting(self.busy_until)

    def may_run(self, node: str, until: float) -> bool:
        """Whether a mutation that is over by this time may start now. Where a lease is all that it lacks,
        that is asked for with the next `ask`.
        """
        self._done.pop(node, None)
        if self.tree is None:
            return not self._parting.is_busy(bmc_of(self._table.get(node)), node, self._clock())
        if self.tree.leases.may_run(node, until):
            return True
        if self.tree.may_begin:  # else a lease would not help, and be asked for again as it comes
            self._lacking[node] = max(until, self._lacking.get(node, until))
        return False

    def lacks(self) -> str:
        """What is waited for where nothing may start; see `Permit`."""
        if self.tree is None:
            return NOT_OVER
        if self.tree.leases.doubt.stands:
            return NOT_ALONE
        return FORGOT if self.tree.is_unsure else NO_LEASE

    def busy_until(self, node: str) -> float:
        """When what we began on the node, in this life or the one before, is over at the latest, also where
        its executor gave it up; -inf: nothing is under way.
        """
        return max(self._under_way(node), self._former.get(node, float("-inf")))

    def remember(self, node: str, until: float) -> None:
        """Something begun there is over then at the latest: by the life before this one, or of which nobody
        knows how it ended.
        """
        self._former[node] = max(until, self._former.get(node, until))

    def ended(self, node: str) -> None:
        """A mutation is over there, for certain."""
        self._done[node] = None

    def rewired(self, bmcs: dict[str, str | None], now: float) -> list[str]:
        """Nodes that had these BMCs were declared anew; those of them that have others now. What was begun
        over the former ones may not be over.
        """
        self._parting.tidy(now)
        moved = []
        for name, bmc in bmcs.items():
            if bmc is None or bmc == bmc_of(self._table.get(name)):
                continue
            moved.append(name)
            if self.tree is None:  # in one, leases cover BMCs
                self._parting.leave(bmc, name, now)
        return moved

    def ask(self, now: float) -> None:
        """Ask for the leases that runs wait for, in one letter for each time they are to last to.

        They last longer than the run may: what is asked for comes later, and then the run gathers and is
        journaled before it begins.
        """
        lacking, self._lacking = self._lacking, {}
        if self.tree is None:
            return
        asked: dict[float, list[str]] = {}
        for node, until in lacking.items():
            if self.tree.has(node):
                asked.setdefault(until + RESERVE_MORE_S, []).append(node)
        for until, nodes in asked.items():
            self.tree.leases.longer.reserve(nodes, until, now)

    def give_back(self, now: float) -> None:
        """Let longer leases go where their mutations are over and nothing follows them at once; and nodes
        that were taken from us meanwhile.
        """
        done, self._done = self._done, {}
        if self.tree is not None and done:
            self.tree.ended(done, now)
