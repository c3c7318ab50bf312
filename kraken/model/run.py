"""A run, and what comes back of it: the records that pass between engine and executors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from kraken.model.module import Discovery, Mutation
from kraken.model.update import Value


class Outcome(StrEnum):
    """How a run ended for one node. Only OBSERVED values ever change Dsc, not outcomes."""

    OK = "OK"  # what was asked was acknowledged (or observed, for a discovery)
    FAILED = "FAILED"  # the node, or its BMC, answered and said no
    UNREACHABLE = "UNREACHABLE"  # nobody answered
    TIMEOUT = "TIMEOUT"  # it began and did not end in time
    CANCELLED = "CANCELLED"  # stopped by us; what it did is not known
    INTERRUPTED = "INTERRUPTED"  # who did it ended meanwhile: the daemon, or a fault in a hand
    WITHDRAWN = "WITHDRAWN"  # nothing was sent: it was taken back, or nobody here could do it


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of one mutation or discovery on a nodeset.

    Attributes:
        id: unique over the life of the collector, sortable by age within one incarnation.
        issued_at: seconds since the epoch.
        timeout_s: seconds after which an executor gives up on the nodes still out.
    """

    id: str
    operator: Mutation | Discovery
    nodes: tuple[str, ...]
    issued_at: float
    timeout_s: float

    @property
    def is_mutation(self) -> bool:
        return isinstance(self.operator, Mutation)


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What an executor may know of a node: a copy, taken when the run left.

    Attributes:
        attributes: without presence and groups.
        dsc: what is known now; variables that are UNKNOWN are absent.
        held: somebody works on this very node (a hold on it stands; a freeze of all is none).
    """

    name: str
    attributes: Mapping[str, Value] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    cfg: Mapping[str, str] = field(default_factory=dict)
    dsc: Mapping[str, str] = field(default_factory=dict)
    held: bool = False


@dataclass(frozen=True, slots=True)
class NodeResult:
    """What a run came to on one node; exactly one per node of the run.

    Attributes:
        observed: variable -> value as *seen* (never as intended).
        message: one line for a person: why it failed, what to do. Holds no secret.
        asked: somebody was asked. If not (no turn came, it was stopped, or it is repeated from memory) it
            says nothing new of the node.
        ours: who should do it cannot, on whatever node: the fault is this collector's. Then nothing was done,
            or, where it has FAILED, not all of it.
    """

    run_id: str
    node: str
    outcome: Outcome
    observed: Mapping[str, str] = field(default_factory=dict)
    message: str = ""
    asked: bool = True
    ours: bool = False
