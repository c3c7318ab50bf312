"""What the engine remembers of each node between two decisions."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from kraken.engine.cause import Cause, Verdict
from kraken.model.effort import NOTHING
from kraken.model.module import Discovery, Mutation
from kraken.model.node import Node
from kraken.model.run import Outcome
from kraken.model.update import UNKNOWN, Value
from kraken.planning.planner import Goal, Key


class Phase(Enum):
    """How far a mutation is on one node."""

    ISSUED = "issued"  # an executor has it
    CONFIRMING = "confirming"  # acknowledged; its effect has not been seen yet
    WAITING = "waiting"  # nobody performs it; the world does


@dataclass(slots=True)
class Underway:
    """A mutation in flight on one node.

    Attributes:
        writes: every variable it changes, with the value expected.
        acknowledged_at: when its executor said that it is done; 0.0 before.
        said: what it remarked then; mostly "".
        looks: how many times its effect was looked for since then.
        disowned: why nothing follows from it, as of what was begun on a node of this name that was deleted
            since; while it is out nothing that conflicts may start. "": it does.
        by: the person who commanded it by hand; None: the engine decided it. The failures of people
            are told, never counted.
        settles_at: what was seen before is not taken for its effect.
    """

    mutation: Mutation
    phase: Phase
    writes: Mapping[str, str]
    started_at: float
    deadline: float
    run_id: str | None = None
    acknowledged_at: float = 0.0
    said: str = ""
    looks: int = 0
    disowned: str = ""
    by: str | None = None
    settles_at: float = float("-inf")


@dataclass(slots=True)
class Command:
    """A mutation that a person commanded of one node, whatever is declared; the node's last one.

    Attributes:
        id: of the request; equal for the nodes that were commanded together.
        mutation: one of `kraken.model.byhand`.
        run_id: of the run it left with; None while it waits.
        outcome: how it ended; None while it has not.
    """

    id: str
    mutation: Mutation
    by: str
    at: float
    run_id: str | None = None
    outcome: Outcome | None = None
    ended_at: float = 0.0
    message: str = ""

    def end(self, outcome: Outcome, message: str, now: float) -> None:
        """It is over."""
        self.outcome, self.message, self.ended_at = outcome, message, now


@dataclass(slots=True)
class Look:
    """How one discovery fares on one node.

    Attributes:
        next_at: when it is due; None: only when asked.
        blind: it ended, and told nothing of a variable that has a value and that nobody knows.
        message: what it said when it ended last; `said_at`: when that look had been sent.
    """

    discovery: Discovery
    next_at: float | None
    asked_at: float | None = None
    run_id: str | None = None
    queued: bool = False
    failures: int = 0
    blind: bool = False
    message: str = ""
    said_at: float = float("-inf")


@dataclass(slots=True)
class Trouble:
    """Failures of one node. `retry_at`: per mutation key; `since`: of the last failure, or loss."""

    failures: dict[str, int] = field(default_factory=dict)
    retry_at: dict[str, float] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    quarantined: str | None = None
    since: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.failures) or self.quarantined is not None


class Progress:
    """One node in the engine's eyes. Owned by the Engine.

    Attributes:
        state: what is known now (`Catalog.known`); UNKNOWN variables absent.
        goal, key: the planner's for `class_` and `cfg`, and for `state` in it; None when one of these is
            another now.
        born: number of the last run that left before the node was declared; what earlier ones saw
            was another machine.
        touched: variable -> number of the last run that had left when a mutation that changes it
            ended, or when it was forgotten; what earlier runs saw does not count.
        unsettled: variables that nobody has seen since a mutation of them ended (or was lost).
        seen_by: variable -> number of the run that saw its value, or answered that it has none; those whose
            value nobody saw in this life (restored, asserted) are absent.
        missed: variable -> how often in a row whoever looks at it got no answer, and when that look was sent.
        gathered: keys of mutations that wait for their turn, with what each would write.
        command: what a person commanded last, also when it is over; None: nothing in this life.
        effort: what was done for it since it last stayed as wished; kept: the store knows of it.
        calm_since: since when it is CONVERGED, while there is an effort to be forgotten; None: it is not.
        wake_at: the earliest time at which the engine's alarm for the node goes off; None: never.
    """

    __slots__ = (
        "attributes",
        "born",
        "calm_since",
        "cfg",
        "class_",
        "command",
        "effort",
        "gathered",
        "goal",
        "kept",
        "key",
        "looks",
        "missed",
        "node",
        "seen_by",
        "since",
        "state",
        "touched",
        "trouble",
        "underway",
        "unsettled",
        "verdict",
        "wake_at",
    )

    def __init__(self, node: Node, now: float, born: int = 0) -> None:
        self.node = node
        self.born = born
        self.attributes: dict[str, Value] = {}
        self.class_: Hashable = None
        self.cfg: dict[str, str] = {}
        self.state: dict[str, str] = {}
        self.goal: Goal | None = None
        self.key: Key | None = None
        self.underway: dict[str, Underway] = {}
        self.gathered: dict[str, Mapping[str, str]] = {}
        self.command: Command | None = None
        self.looks: dict[str, Look] = {}
        self.missed: dict[str, tuple[int, float]] = {}
        self.touched: dict[str, int] = {}
        self.unsettled: set[str] = set()
        self.seen_by: dict[str, int] = {}
        self.trouble = Trouble()
        self.effort = NOTHING
        self.calm_since: float | None = None
        self.kept = False
        self.verdict = Verdict(Cause.UNKNOWN)
        self.since = now
        self.wake_at: float | None = None

    @property
    def begun(self) -> list[str]:
        """Mutations that an executor has, or had and whose effect nobody saw yet."""
        return [key for key, step in self.underway.items() if step.phase is not Phase.WAITING]

    def value(self, variable: str) -> str:
        """As known now."""
        return self.state.get(variable, UNKNOWN)

    def differing(self) -> list[str]:
        """Variables of Cfg that are not as wished, in the order of Cfg."""
        state = self.state
        return [variable for variable, wish in self.cfg.items() if state.get(variable) != wish]
