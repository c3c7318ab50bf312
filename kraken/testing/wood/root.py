"""The host at the root, where nodes are declared and held."""

from __future__ import annotations

from collections.abc import Sequence

from kraken.daemon.arrivals import Declared, HoldLifted, HoldSet
from kraken.model.hold import Hold
from kraken.model.update import PRESENCE, PRESENT, Side, StateUpdate, Value
from kraken.store.records import DropHold, SaveHold, SaveUpdates
from kraken.testing.wood.host import Host


class Root(Host):
    """Does what people want: durable first, as `Daemon.declare`."""

    def declare(self, node: str, **values: Value) -> None:
        """Attributes and Cfg of a node, which is new where it is not known; None withdraws."""
        cfg = self.collector.catalog.variables
        self._declare([(Side.CFG if k in cfg else Side.ATTRIBUTE, k, v) for k, v in values.items()], node)

    def delete(self, node: str) -> None:
        """Forget the node, and its holds."""
        for hold in [hold for hold in self.disk.holds.values() if hold.node == node]:
            self.lift(hold)
        self._declare([(Side.ATTRIBUTE, PRESENCE, None)], node)

    def hold(self, hold: Hold) -> None:
        """Somebody holds the node, or all."""
        self.disk.commit([SaveHold(hold)])
        self.accept(HoldSet(hold))

    def lift(self, hold: Hold) -> None:
        """Nobody does any more."""
        self.disk.commit([DropHold(hold.id)])
        self.accept(HoldLifted(hold))

    def _declare(self, values: Sequence[tuple[Side, str, Value]], node: str) -> None:
        table, collector = self.collector.table, self.collector
        said = [*values]
        if node not in table and (Side.ATTRIBUTE, PRESENCE, None) not in said:
            said.insert(0, (Side.ATTRIBUTE, PRESENCE, PRESENT))
        now = self.clock()
        updates = [StateUpdate(node, side, k, v, collector.stamp(), now, "ann") for side, k, v in said]
        self.disk.commit([SaveUpdates(updates)])
        self.accept(Declared(updates))
        self.wish([node])
