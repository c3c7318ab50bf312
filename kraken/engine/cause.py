"""The closed list of causes: why a node is as it is, and what happens next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from kraken.model.update import Side


class Cause(StrEnum):
    """Every node has exactly one, at every instant."""

    CONVERGED = "CONVERGED"  # nothing differs from Cfg, and what was seen is fresh
    RUNNING = "RUNNING"  # a mutation is under way
    WAITING = "WAITING"  # for the world: a mutation nobody performs is under way
    HELD = "HELD"  # somebody said: leave it alone
    BACKOFF = "BACKOFF"  # the next step failed lately; it is tried again later
    QUARANTINED = "QUARANTINED"  # it failed too often, or never stays as wished; a person must release it
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
        cannot: the mutation or discovery that its collector itself cannot do, on whatever node; "" when none.
    """

    cause: Cause
    subject: str = ""
    detail: str = ""
    next_at: float | None = None
    cannot: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """The value that blocks.

    Attributes:
        variable: or the attribute, where `side` says so: that one is missing, or has another value.
        value: as known now, UNKNOWN included; "" for an attribute that is not declared.
        wanted: what would unblock.
        source: who saw or declared it; "" when nobody did.
        age_s: since it was seen or declared; None when it never was.
    """

    variable: str
    value: str
    wanted: str
    source: str
    age_s: float | None
    side: Side = Side.DSC


@dataclass(frozen=True, slots=True)
class Explanation:
    """One node's cause, for people and programs. `since`, `next_at`: seconds since the epoch.

    Attributes:
        reason: a sentence without times that pass.
        topic: what it is about, without what is particular to the node; nodes fold by it.
        reachable: for each variable out of reach the values it can be given instead (`NoPath`).
    """

    node: str
    cause: Cause
    reason: str
    topic: str
    fact: Fact | None
    since: float
    next: str
    next_at: float | None
    reachable: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
