"""What is written to the store, and what comes back of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from kraken.model.effort import Effort
from kraken.model.hold import Hold
from kraken.model.run import Outcome
from kraken.model.update import OBSERVED, StateUpdate
from kraken.sync.events import Memory as TreeMemory

EntryKind = Literal["cfg", "attribute", "dsc", "run", "hold", "node", "quarantine", "collector", "playbook"]
"""The kinds of journal entries, as docs/api.md gives them to clients. Where it is "collector", what they call
a node is the name of one."""


@dataclass(frozen=True, slots=True)
class SaveUpdates:
    """Keep these records, as the merge let them stand.

    A withdrawn Cfg or attribute is kept, so that `Memory.updates` gives the withdrawal back; a
    withdrawn Dsc (or summary) is forgotten. Withdrawing a node's presence forgets all else about the node
    that is older.
    """

    updates: Sequence[StateUpdate]


@dataclass(frozen=True, slots=True)
class AdoptNode:
    """What is declared of this node, and its own holds, become exactly this, whatever was kept, as
    `NodeTable.replace`; what was seen of it stays.

    Attributes:
        node: EVERY_NODE: only the holds of all nodes.
    """

    node: str
    updates: Sequence[StateUpdate]
    holds: Sequence[Hold]


@dataclass(frozen=True, slots=True)
class ForgetNode:
    """Nothing is kept of this node any more, not even that it is gone, as `NodeTable.remove`; the journal
    stays.
    """

    node: str


@dataclass(frozen=True, slots=True)
class SaveTree:
    """Keep what a member of the tree remembers beside its table.

    Attributes:
        memory: of the nodes it has, what is kept is replaced.
        nodes: of these it is; those it does not have are forgotten.
    """

    memory: TreeMemory
    nodes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Outgrow:
    """Every later life has an incarnation above this one."""

    incarnation: int


@dataclass(frozen=True, slots=True)
class SaveHold:
    """Keep a hold; one with the same id is replaced."""

    hold: Hold


@dataclass(frozen=True, slots=True)
class DropHold:
    """Forget the hold of this id, if there is one."""

    id: str


@dataclass(frozen=True, slots=True)
class StartRun:
    """A run leaves; commit it before the run is performed.

    Attributes:
        operator: the key of the mutation or discovery, `module.name`.
    """

    run_id: str
    operator: str
    kind: Literal["mutation", "discovery"]
    nodes: Sequence[str]
    issued_at: float
    timeout_s: float


@dataclass(frozen=True, slots=True)
class EndRun:
    """A run ended for one of its nodes. The first end of a node stays; of an unknown run, nothing is kept."""

    run_id: str
    node: str
    outcome: Outcome
    message: str
    observed: Mapping[str, str]
    at: float


@dataclass(frozen=True, slots=True)
class SetTrouble:
    """Keep how often a node failed, and whether it is quarantined; replaces what was kept of the node.

    Attributes:
        failures: the key of a mutation -> times it failed in a row.
        quarantined: why; None while it is not.
        since: when quarantine began; seconds since the epoch.
        effort: what was done for the node in vain so far; None when that is not worth keeping.
    """

    node: str
    failures: Mapping[str, int]
    quarantined: str | None
    since: float
    effort: Effort | None = None


@dataclass(frozen=True, slots=True)
class ClearTrouble:
    """Forget the failures of a node."""

    node: str


@dataclass(frozen=True, slots=True)
class Note:
    """One entry of the journal.

    Attributes:
        node: whose; EVERY_NODE where it is about all of them.
        text: one line for a person.
        data: the same for programs; JSON types only.
    """

    at: float
    node: str
    kind: EntryKind
    text: str
    source: str
    data: Mapping[str, Any] = field(default_factory=dict)


Change = (
    SaveUpdates
    | AdoptNode
    | ForgetNode
    | SaveTree
    | Outgrow
    | SaveHold
    | DropHold
    | StartRun
    | EndRun
    | SetTrouble
    | ClearTrouble
    | Note
)


def is_soft(change: Change) -> bool:
    """Whether a power cut may take the last seconds of it: the next look at the nodes brings it again."""
    if isinstance(change, SaveUpdates):
        return all(update.side in OBSERVED for update in change.updates)
    return isinstance(change, Note) and change.kind == "dsc"


@dataclass(frozen=True, slots=True)
class UnfinishedRun:
    """One node of a run that was under way when the daemon ended: what it did there is not known."""

    run_id: str
    operator: str
    node: str
    issued_at: float
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Touch:
    """When a mutation last ended on a node, whatever came of it; infinite while it is under way.

    What was seen before, though after its start, is no news of its outcome.

    Attributes:
        outcome: what its executor, or who started next, made of it; None: it is under way.
    """

    node: str
    operator: str
    ended_at: float
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """Everything a starting daemon needs to know of its former self.

    Attributes:
        updates: presence first, in the order of declaration, then attributes and Cfg, then Dsc with
            the time it was truly seen: merged in this order, the table is what it was.
        unfinished: they stay until EndRun ends them.
        touched: what is not seen later than this is not to be acted on.
        tree: who has which node; None: this daemon was in no tree, or that is lost.
    """

    updates: tuple[StateUpdate, ...] = ()
    holds: tuple[Hold, ...] = ()
    troubles: tuple[SetTrouble, ...] = ()
    unfinished: tuple[UnfinishedRun, ...] = ()
    touched: tuple[Touch, ...] = ()
    tree: TreeMemory | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A journal entry as it is kept.

    Attributes:
        id: grows with each entry; `history(before=id)` goes on behind it.
    """

    id: int
    at: float
    node: str
    kind: str
    text: str
    source: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NodeEnd:
    """How a run stands for one node.

    Attributes:
        outcome, at: None while it is under way.
    """

    node: str
    outcome: Outcome | None
    message: str
    observed: Mapping[str, str]
    at: float | None


@dataclass(frozen=True, slots=True)
class RunEntry:
    """A run as the journal has it.

    Attributes:
        ended_at: when its last node ended; None while any is under way.
        results: one per node, in the order of the run.
    """

    run_id: str
    operator: str
    kind: str
    issued_at: float
    timeout_s: float
    ended_at: float | None
    results: tuple[NodeEnd, ...]

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(result.node for result in self.results)

    @property
    def module(self) -> str:
        """The Kraken module its operator belongs to."""
        return self.operator.rpartition(".")[0]

    @property
    def name(self) -> str:
        """The operator's name within its module."""
        return self.operator.rpartition(".")[2]

    def outcomes(self) -> dict[Outcome, list[str]]:
        """Outcome -> nodes that came to it; nodes under way are in none."""
        found: dict[Outcome, list[str]] = {}
        for result in self.results:
            if result.outcome is not None:
                found.setdefault(result.outcome, []).append(result.node)
        return found
