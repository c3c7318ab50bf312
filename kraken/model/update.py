"""The one record of the system, and its one merge."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, NamedTuple

import msgspec

UNKNOWN: Final = "UNKNOWN"
"""A value of every variable: nobody knows."""

PRESENCE: Final = "node"
"""The attribute whose value PRESENT declares a node, and whose withdrawal deletes it."""
PRESENT: Final = "PRESENT"

GROUPS: Final = "groups"
"""The attribute that lists the groups a node is in."""

AGENT: Final = "agent"
"""The attribute that names a node's agent; without it, it is called as the node."""

Value = str | int | float | bool | list[str] | None
"""What a record holds: a variable's value is a string; an attribute is any scalar or a list of
strings; None withdraws the record (nobody cares about it any more)."""


VALUE_MAX: Final = 16_384
"""Characters that a value has at most, its items together where it is a list. It is told through the tree
whole, with all else of its node, in one letter; a file is for longer texts."""


class Side(StrEnum):
    """Which of a node's documents a record belongs to.

    The root writes CFG and ATTRIBUTE (both are declared; see ADR 2), the collector that owns the
    node writes DSC and SUMMARY: how the node fares with it, for those above.
    """

    CFG = "cfg"
    ATTRIBUTE = "attribute"
    DSC = "dsc"
    SUMMARY = "summary"


OBSERVED: Final = (Side.DSC, Side.SUMMARY)
"""The sides that are written by who runs the node."""


class Stamp(NamedTuple):
    """Age of a record among those of its writer: greater is newer.

    `incarnation` grows each time the writer starts, so a writer that lost its memory still wins
    over its former self; `sequence` grows with each record it writes.
    """

    incarnation: int
    sequence: int


NUMBER_MAX: Final = 2**62
Number = Annotated[int, msgspec.Meta(ge=-1, le=NUMBER_MAX)]
"""What a neighbour may tell as a number: what is counted on, kept or told again. A greater one would not fit
where it goes; it is refused where it is read.
"""


class SeenAgain(msgspec.Struct, frozen=True, array_like=True, gc=False):  # in no cycle, and in thousands
    """That the value of this stamp was seen again, `age_ms` before a time that is told with it."""

    age_ms: Number
    incarnation: Number
    sequence: Number


class StateUpdate(msgspec.Struct, frozen=True, gc=False):
    """One value of one variable (or attribute) of one node, as one writer gave it.

    Attributes:
        seen_at: when it was observed or declared, seconds since the epoch, by the writer's clock.
        source: who says so: a discovery's or mutation's name, "timeout", "forgotten", a user's name.
    """

    node: str
    side: Side
    variable: str
    value: Value
    stamp: Stamp
    seen_at: float
    source: str


def newer(a: StateUpdate, b: StateUpdate) -> StateUpdate:
    """The one of two records about the same thing that stands.

    Commutative, associative and idempotent, whatever the records: the stamp decides, and between
    equal stamps (which one writer never gives twice) the content does.
    """
    return a if _order(a) >= _order(b) else b


def _order(update: StateUpdate) -> tuple[Any, ...]:
    return (update.stamp, update.seen_at, update.source, repr(update.value))
