"""What a store would keep of a collector: the same records, without a disk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from kraken.model.hold import Hold
from kraken.model.node import NodeTable
from kraken.model.run import Outcome
from kraken.model.update import PRESENCE, Side, StateUpdate, Value
from kraken.store.records import (
    Change,
    ClearTrouble,
    DropHold,
    EndRun,
    Memory,
    Note,
    SaveHold,
    SaveUpdates,
    SetTrouble,
    StartRun,
    Touch,
    UnfinishedRun,
)


@dataclass(slots=True)
class Durable:
    """Takes in what is committed; gives back what a starting collector finds.

    Attributes:
        out: (run, node) -> the run, while the journal has no end of it.
        touched: (node, mutation) -> the last run of it, when that ended, and how: what was seen before then,
            though it was seen after the start, is no news of its outcome.
    """

    table: NodeTable = field(default_factory=NodeTable)
    holds: dict[str, Hold] = field(default_factory=dict)
    troubles: dict[str, SetTrouble] = field(default_factory=dict)
    out: dict[tuple[str, str], StartRun] = field(default_factory=dict)
    touched: dict[tuple[str, str], tuple[str, float, Outcome | None]] = field(default_factory=dict)
    incarnation: int = 0

    def commit(self, changes: Iterable[Change]) -> None:
        """Keep all of these."""
        for change in changes:
            match change:
                case SaveUpdates(updates):
                    self.table.merge(updates)
                    for update in updates:
                        if update.variable == PRESENCE and update.value is None:
                            self.troubles.pop(update.node, None)
                case SaveHold(hold):
                    self.holds[hold.id] = hold
                case DropHold(hold_id):
                    self.holds.pop(hold_id, None)
                case StartRun():
                    for node in change.nodes:
                        self.out[change.run_id, node] = change
                        self.touched[node, change.operator] = (change.run_id, float("inf"), None)
                case EndRun():
                    start = self.out.pop((change.run_id, change.node), None)
                    if start is not None and self.touched[change.node, start.operator][0] == change.run_id:
                        ended = change.run_id, change.at, change.outcome
                        self.touched[change.node, start.operator] = ended
                case SetTrouble():
                    self.troubles[change.node] = change
                case ClearTrouble(node):
                    self.troubles.pop(node, None)
                case Note():
                    pass

    def value(self, place: StateUpdate) -> Value:
        """What is declared where this update would declare something."""
        node = self.table.get(place.node)
        side = {} if node is None else node.cfg if place.side is Side.CFG else node.attributes
        record = side.get(place.variable)
        return None if record is None else record.value

    def memory(self) -> Memory:
        """Everything, as a starting daemon gets it."""
        updates: list[StateUpdate] = list(self.table.records())
        return Memory(
            tuple(updates),
            tuple(self.holds.values()),
            tuple(self.troubles.values()),
            tuple(
                UnfinishedRun(run_id, start.operator, node, start.issued_at, start.timeout_s)
                for (run_id, node), start in self.out.items()
            ),
            tuple(Touch(node, operator, *ended[1:]) for (node, operator), ended in self.touched.items()),
        )
