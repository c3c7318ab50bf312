"""The closed list of causes: why a node is as it is, and what happens next."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Cause(StrEnum):
    """Every node has exactly one, at every instant."""

    CONVERGED = "CONVERGED"  # nothing differs from Cfg, and what was seen is fresh
    RUNNING = "RUNNING"  # a mutation is under way
    WAITING = "WAITING"  # for the world: a mutation nobody performs is under way
    HELD = "HELD"  # somebody said: leave it alone
    BACKOFF = "BACKOFF"  # the next step failed lately; it is tried again later
    QUARANTINED = "QUARANTINED"  # it failed too often; a person must release it
    BUDGET = "BUDGET"  # the next step waits for its turn
    STALE = "STALE"  # what was last seen is too old to act on
    UNKNOWN = "UNKNOWN"  # the next step needs a value nobody knows, or nobody has seen
    NO_PATH = "NO_PATH"  # no chain of mutations leads to Cfg
    REQUIRES_UNMET = "REQUIRES_UNMET"  # one would, if the node had other attributes


class Verdict(NamedTuple):
    """What the engine decided for a node.

    Attributes:
        subject: the mutation or variable it is about; "" when none.
        detail: a sentence without times that pass.
        next_at: when the engine looks at the node again for this reason; None: when news come.
    """

    cause: Cause
    subject: str = ""
    detail: str = ""
    next_at: float | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """The value that blocks.

    Attributes:
        value: as known now, UNKNOWN included. wanted: what would unblock.
        age_s: since it was seen; None when it never was.
    """

    variable: str
    value: str
    wanted: str
    source: str
    age_s: float | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """One node's cause, for people and programs. `since`, `next_at`: seconds since the epoch.

    Attributes:
        reason: a sentence without times that pass.
        topic: the reason without what is particular to the node; nodes fold by it.
    """

    node: str
    cause: Cause
    reason: str
    topic: str
    fact: Fact | None
    since: float
    next: str
    next_at: float | None
