"""What comes to a collector, and what follows from it: values, all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from kraken.daemon.between import Gap
from kraken.daemon.deeper import DeeperChanged
from kraken.daemon.outage import OutageChanged
from kraken.engine.effects import Effect
from kraken.model.hold import Hold
from kraken.model.module import Mutation
from kraken.model.run import NodeResult
from kraken.model.update import StateUpdate, Value
from kraken.sync.events import Adopt, Answered, Called, LinkChanged, PutBack, Refused, Send, TwinsChanged
from kraken.sync.letters import Call, Letter, Reply


@dataclass(frozen=True, slots=True)
class Declared:
    """Cfg and attributes as the root stamped them; they are durable already."""

    updates: Sequence[StateUpdate]


@dataclass(frozen=True, slots=True)
class Results:
    """What executors report, node by node."""

    results: Sequence[NodeResult]


@dataclass(frozen=True, slots=True)
class Observed:
    """Somebody else has seen values of a node that we run; they were found sound.

    Attributes:
        seen_at: when, by our clock; not before what is known of these variables was seen.
        is_so_now: they are so still, after all that was done to the node. Else what a mutation of such a
            variable did is as unknown as before.
    """

    node: str
    values: Mapping[str, str]
    source: str
    seen_at: float
    is_so_now: bool


@dataclass(frozen=True, slots=True)
class HoldSet:
    """A hold was set (it is durable already)."""

    hold: Hold


@dataclass(frozen=True, slots=True)
class HoldLifted:
    """A hold was lifted (durably)."""

    hold: Hold


@dataclass(frozen=True, slots=True)
class LookAt:
    """Somebody wants these nodes looked at now."""

    nodes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Released:
    """An operator ended quarantine and pauses of these nodes."""

    nodes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Commanded:
    """Somebody commands these mutations, whatever is declared; node -> which. See `Engine.commands`.

    Attributes:
        id: of the request.
    """

    id: str
    by: str
    mutations: Mapping[str, Mutation]


@dataclass(frozen=True, slots=True)
class Letters:
    """What a neighbour of the tree wrote; the wire vouches for the name."""

    neighbour: str
    letters: Sequence[Letter]


@dataclass(frozen=True, slots=True)
class ChildAdded:
    """This collector was let in below us.

    Attributes:
        known: it was heard in a former life of ours.
    """

    name: str
    known: bool = False


@dataclass(frozen=True, slots=True)
class ChildRemoved:
    """This collector is no child of ours any more.

    Attributes:
        fenced: a person vouches that it runs nothing any more.
    """

    name: str
    fenced: bool = False


@dataclass(frozen=True, slots=True)
class Connected:
    """Letters of this neighbour come over the connection of this number from now on: a new one, or of two."""

    neighbour: str
    connection: int


@dataclass(frozen=True, slots=True)
class Calling:
    """Another collector of the tree is to be asked.

    Attributes:
        until: when the asker gives it up.
    """

    call: Call
    until: float


@dataclass(frozen=True, slots=True)
class Replying:
    """An answer to what another collector asked."""

    reply: Reply


OfTree = Letters | ChildAdded | ChildRemoved | Connected | Calling | Replying
Arrival = OfTree | Declared | Results | Observed | HoldSet | HoldLifted | LookAt | Released | Commanded


class ValueChanged(msgspec.Struct, frozen=True, gc=False):  # in no cycle, and in tens of thousands
    """A value became another.

    Attributes:
        was: None: there was none.
        elsewhere: a child told it of a node that it has; who runs the node has it in its journal.
    """

    update: StateUpdate
    was: Value
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class NodeHeld:
    """Somebody holds this node from now on, and may need what executors keep of it."""

    node: str


Told = LinkChanged | TwinsChanged | PutBack | Refused | Gap | DeeperChanged | OutageChanged
"""What the journal is to have of neighbours and of nodes, in the words of `TreeNews`."""


@dataclass(frozen=True, slots=True)
class TreeNews:
    """What came of a neighbour's letters, or of time.

    Attributes:
        letters: to be carried; each may be lost.
        turned: values that became another by a neighbour's word.
        touched: nodes whose records, holds or place became another: the engine is to look at those that we
            run, and those that are gone. Of nodes that others run, not where only what they saw did.
        held: nodes that somebody holds from now on.
        gained, lost: nodes that we run from now on, or no longer.
        nobodys: nodes that were given to us, and that nobody has.
        adopted, forgotten: nodes whose declared side is to be kept anew, or not at all any more.
        told: changed links, further down too, two under one name, words that were not believed, nodes that
            nobody runs, or somebody again, and children that fell silent together, for the journal.
        calls: requests to this collector, and answers to its own.
        outgrown: every later life must have a greater incarnation; None: as before.
    """

    letters: Sequence[Send]
    turned: Sequence[ValueChanged]
    touched: Sequence[str]
    held: Sequence[str]
    gained: Sequence[str]
    lost: Sequence[str]
    nobodys: Sequence[str]
    adopted: Sequence[Adopt]
    forgotten: Sequence[str]
    told: Sequence[Told]
    calls: Sequence[Called | Answered]
    outgrown: int | None

    def __bool__(self) -> bool:
        """Whether there is anything to be done about it outside the collector."""
        said = self.letters or self.told or self.calls
        return bool(said or self.adopted or self.forgotten) or self.outgrown is not None


Consequence = Effect | ValueChanged | NodeHeld | TreeNews
