"""What a member of the tree asks its daemon to do, and what it remembers: values, all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from kraken.model.hold import Hold
from kraken.model.update import SeenAgain, StateUpdate
from kraken.sync.lease import Lease
from kraken.sync.letters import Call, Letter, Reply


@dataclass(frozen=True, slots=True)
class Memory:
    """What a member of the tree remembers beside its table.

    Attributes:
        placed: node -> who has it, under which number, since which, whether shared, and whether it may
            think that it is alone.
        leaving: node -> from whom it was taken, that number, and whether that one may think so.
        told: node -> our own lease.
        via: "@name" -> the child through which a collector is reached.
        strange: children who had nodes of us in a life that was forgotten, and "" while something of that
            life may still be under way; see `Placement`.
        longest_s: the longest lease that this life, or the one before it, may have promised.
        doubts: our parent said that another life of our name speaks, and has not said since that none does.
        number: of the last lease that was given; 0: not known.
        bmcs: node -> the BMC that its lease covers, placed or leaving.
    """

    placed: Mapping[str, tuple[str, int, int, bool, bool]]
    leaving: Mapping[str, tuple[str, int, bool]]
    told: Mapping[str, Lease]
    via: Mapping[str, str]
    strange: Iterable[str]
    longest_s: float = 0.0
    doubts: bool = False
    number: int = 0
    bmcs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Send:
    """Carry this letter to this neighbour; it may be lost."""

    neighbour: str
    letter: Letter


@dataclass(frozen=True, slots=True)
class Adopt:
    """The parent says what is declared of this node (or, EVERY_NODE, holds of all): exactly this."""

    node: str
    updates: Sequence[StateUpdate]
    holds: Sequence[Hold]


@dataclass(frozen=True, slots=True)
class Forget:
    """These nodes are none of ours any more."""

    nodes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Learn:
    """Dsc and summaries a neighbour has the right to tell: to be merged.

    Attributes:
        back: they are our own former words, or those of who had the nodes before us.
    """

    neighbour: str
    updates: Sequence[StateUpdate]
    back: bool = False


@dataclass(frozen=True, slots=True)
class Again:
    """Seen again, as `Touch` tells it: node -> variable -> which value, and how long before `at`.

    Attributes:
        at: what the ages count back from, by our clock, at the earliest.
    """

    neighbour: str
    at: float
    seen: Mapping[str, Mapping[str, SeenAgain]]


@dataclass(frozen=True, slots=True)
class Outgrow:
    """Stamps of Dsc must be above this incarnation from now on, in every later life too."""

    incarnation: int


@dataclass(frozen=True, slots=True)
class Ours:
    """Who runs mutations on these nodes has changed: we do from now on, or do not."""

    gained: Sequence[str]
    lost: Sequence[str]


@dataclass(frozen=True, slots=True)
class Nobodys:
    """Nobody has these nodes, which are declared here, or our parent gave us: they wait for somebody."""

    nodes: Sequence[str]


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """A neighbour came to be heard, or is heard no more."""

    neighbour: str
    is_up: bool
    since: float


@dataclass(frozen=True, slots=True)
class TwinsChanged:
    """Two daemons speak as this child of ours, or it is alone again; of our parent: as ourselves, it says."""

    neighbour: str
    speak: bool


@dataclass(frozen=True, slots=True)
class PutBack:
    """This child knows of a lease of ours that our memory does not: that is from a copy, which is older."""

    neighbour: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A neighbour said what it has no right to say, and was not believed."""

    neighbour: str
    what: str


@dataclass(frozen=True, slots=True)
class Granted:
    """The longer lease that was asked for under this number stands for these nodes."""

    number: int
    nodes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Called:
    """Somebody in the tree asks this collector.

    Attributes:
        until: until when, by our clock, the asker waits at least: what is asked is not begun after that.
    """

    call: Call
    until: float


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer to a call of ours."""

    reply: Reply


Event = (
    Send
    | Adopt
    | Forget
    | Learn
    | Again
    | Outgrow
    | Ours
    | Nobodys
    | LinkChanged
    | TwinsChanged
    | PutBack
    | Refused
    | Granted
    | Called
    | Answered
)
