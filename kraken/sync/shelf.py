"""What is told of a node, read from the table at that moment: what is declared goes down, what is seen up."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from sys import intern
from typing import Final

from kraken.model.hold import EVERY_NODE, Hold, HoldTable
from kraken.model.node import NodeTable, Record
from kraken.model.update import OBSERVED, PRESENCE, Side, Stamp, StateUpdate
from kraken.sync.feed import Field
from kraken.sync.lease import Lease
from kraken.sync.letters import Doc, Row
from kraken.sync.prints import MASK, row_print

LETTER: Final[Mapping[Side, str]] = {
    Side.ATTRIBUTE: "a",
    Side.CFG: "c",
    Side.DSC: "d",
    Side.SUMMARY: "s",
}
SIDE: Final = {letter: side for side, letter in LETTER.items()}
HOLD: Final = "h"
DECLARED: Final = (Side.ATTRIBUTE, Side.CFG)
_stamp: Final[Callable[[tuple[int, int]], Stamp]] = partial(tuple.__new__, Stamp)
"""As `Stamp._make`, in half the time."""
COLLECTOR: Final = "@"
"""The first character of a collector's key, which no node's name can begin with."""


def rows_of(side: Side, records: Mapping[str, Record], now: float) -> Iterator[Row]:
    """Records as they are told."""
    letter = LETTER[side]
    for variable, r in records.items():
        yield Row(letter, variable, r.value, *r.stamp, age_ms(r.seen_at, now), r.source)


def age_ms(seen_at: float, now: float) -> int:
    """Whole milliseconds, rounded up: an age is never told as less than it is."""
    return max(0, -int(-(now - seen_at) * 1000 // 1))


def updates_of(doc: Doc, now: float, lag_s: float, sides: Collection[Side]) -> list[StateUpdate]:
    """What a document says on these sides, by our clock: as old as it says and its way was long at most.

    Thousands of nodes have the same few words; each is held once.
    """
    key, written_at = doc.key, now - lag_s
    found: list[StateUpdate] = []
    for row in doc.rows:  # most have one: to begin a comprehension would cost more than it saves
        side = SIDE.get(row.side)
        if side is not None and side in sides:
            value = row.value
            word = intern(value) if type(value) is str else value
            stamp, seen_at = _stamp((row.incarnation, row.sequence)), written_at - row.age_ms / 1000
            found.append(
                StateUpdate(key, side, intern(row.variable), word, stamp, seen_at, intern(row.source))
            )
    return found


def holds_of(doc: Doc, now: float) -> list[Hold]:
    """The holds a document brings."""
    found = []
    for row in doc.rows:
        if row.side == HOLD and isinstance(row.value, list) and len(row.value) == 3:
            owner, reason, left = row.value
            until = now + int(left) / 1000 if left.isdigit() else None
            created = now - row.age_ms / 1000
            found.append(Hold(row.variable, doc.key, owner, reason, created, until))
    return found


class Declared:
    """The documents that go down: attributes, Cfg and holds.

    Args:
        lease: a node's lease: as it is told, or was told to us.
    """

    def __init__(self, table: NodeTable, holds: HoldTable, lease: Callable[[str], Lease]) -> None:
        self._table = table
        self._holds = holds
        self._lease = lease

    def read(self, key: str, fields: set[Field] | None, now: float) -> Doc | None:
        """All of it, always: it changes rarely, and replaces what the child holds."""
        node = self._table.get(key)
        if node is None and key != EVERY_NODE:
            return None
        rows: list[Row] = []
        if node is not None:
            for side in DECLARED:
                rows += rows_of(side, node.side(side), now)
        for hold in self._holds.of(key):
            left = "" if hold.until is None else str(max(0, int((hold.until - now) * 1000)))
            value = [hold.owner, hold.reason, left]
            rows.append(Row(HOLD, hold.id, value, 0, 0, age_ms(hold.created_at, now), hold.owner))
        return Doc(key, rows, *self._lease(key))

    def print(self, key: str) -> int:
        """Its fingerprint; 0: there is none."""
        node = self._table.get(key)
        holds = self._holds.of(key)
        if node is None and not holds:
            return 0
        total = sum(row_print(key, HOLD, hold.id, 0, 0) for hold in holds)
        if node is not None:
            lease = self._lease(key)
            total += row_print(key, "", PRESENCE, lease.epoch, lease.shared)
            for side in DECLARED:
                letter = LETTER[side]
                for variable, r in node.side(side).items():
                    total += row_print(key, letter, variable, *r.stamp)
        return total & MASK


class Observed:
    """The documents that go up: Dsc and how the node fares, and what collectors say of themselves.

    Args:
        registry: "@name" -> variable -> its record.
        epoch: of the lease under which we have a node.
    """

    def __init__(
        self,
        table: NodeTable,
        registry: Mapping[str, Mapping[str, Record]],
        epoch: Callable[[str], int],
    ) -> None:
        self._table = table
        self._registry = registry
        self._epoch = epoch

    def read(self, key: str, fields: set[Field] | None, now: float) -> Doc | None:
        """All of it, or these fields."""
        sides = self._sides(key)
        if sides is None:
            return None
        rows: list[Row] = []
        for side, records in sides:
            if fields is None:
                rows += rows_of(side, records, now)
                continue
            letter = LETTER[side]
            told = {v: records[v] for one, v in fields if one == letter and v in records}
            rows += rows_of(side, told, now)
        return Doc(key, rows, self._epoch(key))

    def print(self, key: str) -> int:
        """Its fingerprint; 0: nothing was seen."""
        sides = self._sides(key)
        if sides is None:
            return 0
        total = 0
        for side, records in sides:
            letter = LETTER[side]
            for variable, r in records.items():
                total += row_print(key, letter, variable, *r.stamp)
        return total & MASK

    def _sides(self, key: str) -> list[tuple[Side, Mapping[str, Record]]] | None:
        if key.startswith(COLLECTOR):
            records = self._registry.get(key)
            return None if records is None else [(Side.SUMMARY, records)]
        node = self._table.get(key)
        return None if node is None else [(side, node.side(side)) for side in OBSERVED]
