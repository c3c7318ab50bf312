"""What the engine asks for: values that the daemon performs, in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kraken.engine.cause import Cause
from kraken.model.effort import Effort
from kraken.model.module import Mutation
from kraken.model.run import Outcome, Run


@dataclass(frozen=True, slots=True)
class Start:
    """Give the run to its executor. A mutation's start is durable before it is performed."""

    run: Run


@dataclass(frozen=True, slots=True)
class Assert:
    """Take these values as Dsc though nobody saw them: a time-out's `fails_to`."""

    node: str
    values: Mapping[str, str]
    source: str


@dataclass(frozen=True, slots=True)
class StepEnded:
    """A mutation is over for a node: its effect was seen (OK), or it was not.

    Attributes:
        started_at, ended_at: seconds since the epoch.
        message: one line for a person; "" when all went well.
        by: who commanded it by hand; None: the engine decided it.
    """

    node: str
    mutation: Mutation
    run_id: str | None
    outcome: Outcome
    started_at: float
    ended_at: float
    message: str
    by: str | None = None


@dataclass(frozen=True, slots=True)
class TroubleChanged:
    """Failures of a node, to be kept across a restart; all empty when its troubles are over.

    Attributes:
        failures: mutation key -> times it failed in a row.
        quarantined: the reason, None while it is not.
        effort: what was done for it in vain so far; None when that is not worth keeping.
    """

    node: str
    failures: Mapping[str, int]
    quarantined: str | None
    since: float
    effort: Effort | None = None


@dataclass(frozen=True, slots=True)
class CauseChanged:
    """For those who watch; `detail` as in a `Verdict`."""

    node: str
    was: Cause | None
    cause: Cause
    detail: str


@dataclass(frozen=True, slots=True)
class ReasonChanged:
    """The node's cause is what it was, and its verdict says something else of it; `detail` as there."""

    node: str
    cause: Cause
    detail: str


Effect = Start | Assert | StepEnded | TroubleChanged | CauseChanged | ReasonChanged
