"""Holds: "leave this node alone"."""

from __future__ import annotations

from collections.abc import Iterable

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
