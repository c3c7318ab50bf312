"""Holds: "leave this node alone"."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

EVERY_NODE = "*"
"""The node of a hold that is a global freeze."""


class Hold(msgspec.Struct, frozen=True):
    """One reason to leave a node alone. Holds stack: a node is free when its last one is gone.

    Attributes:
        id: unique; what `release` names to lift just this one.
        node: whose; EVERY_NODE for the freeze.
        owner: who set it.
        created_at, until: seconds since the epoch; `until` None: until released.
    """

    id: str
    node: str
    owner: str
    reason: str
    created_at: float
    until: float | None = None

    def stands(self, now: float) -> bool:
        """Whether it has not expired."""
        return self.until is None or now < self.until


def standing(holds: Iterable[Hold], now: float) -> list[Hold]:
    """Those that have not expired, oldest first."""
    return sorted((hold for hold in holds if hold.stands(now)), key=lambda hold: (hold.created_at, hold.id))


class HoldTable:
    """Every hold, by node."""

    def __init__(self, holds: Iterable[Hold] = ()) -> None:
        self._by_node: dict[str, dict[str, Hold]] = {}
        for hold in holds:
            self.add(hold)

    def add(self, hold: Hold) -> None:
        """Stack one more; the same id replaces."""
        self._by_node.setdefault(hold.node, {})[hold.id] = hold

    def drop(self, hold: Hold) -> None:
        """Lift this one; nothing when it is gone already."""
        stack = self._by_node.get(hold.node, {})
        stack.pop(hold.id, None)
        if not stack:
            self._by_node.pop(hold.node, None)

    def on(self, node: str, now: float) -> list[Hold]:
        """Those that keep this node from moving now, the freeze included, oldest first."""
        if not self._by_node:
            return []
        stack = [*self._by_node.get(node, {}).values(), *self._by_node.get(EVERY_NODE, {}).values()]
        return standing(stack, now) if stack else []

    def of(self, node: str) -> list[Hold]:
        """Those set on this node itself (or, for EVERY_NODE, the freeze), expired ones included."""
        return list(self._by_node.get(node, {}).values())

    def __iter__(self) -> Iterator[Hold]:
        for stack in list(self._by_node.values()):
            yield from list(stack.values())

    def __len__(self) -> int:
        return sum(len(stack) for stack in self._by_node.values())
