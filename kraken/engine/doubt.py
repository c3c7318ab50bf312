"""Is a value known well enough to act on it?"""

from __future__ import annotations

from typing import Final, NamedTuple

from kraken.engine.cause import Cause
from kraken.engine.progress import Progress
from kraken.model.catalog import Catalog
from kraken.model.module import Variable
from kraken.model.update import UNKNOWN

TIMEOUT_SOURCE = "timeout"
"""The source of values that were asserted, not seen."""

FORGOTTEN_SOURCE = "forgotten"
"""The source of UNKNOWN where there was a value that no longer counts."""

NOT_SEEN: Final = frozenset({TIMEOUT_SOURCE, FORGOTTEN_SOURCE})
"""The sources of what the engine concluded itself."""

CLOCK_SKEW_S = 5.0
"""An observation from further in the future than this has an age nobody knows."""


MISSES_MAX = 2
"""So many looks in a row without an answer make a value doubted before its time: one may be a lost packet."""


class Doubt(NamedTuple):
    """A variable one must look at before acting. `cause` is STALE or UNKNOWN."""

    cause: Cause
    variable: str
    detail: str


def doubt(
    catalog: Catalog, progress: Progress, variable: str, now: float, *, disruptive: bool
) -> Doubt | None:
    """Why this variable is not known well enough; None when it is.

    Args:
        disruptive: the act can end somebody's work, so UNKNOWN and asserted values are doubted
            too. A value that is UNKNOWN because another one says so (`known_when`) is as well known
            as that other one.
    """
    declared = catalog.variables.get(variable)
    if variable in progress.unsettled:
        if declared is not None and not _is_of_such_nodes(catalog, progress, declared):
            return None  # the doubt waits until the attributes are as they were
        why = "was not seen since it was last acted on"
        if variable not in progress.touched:
            why = "is known by what another collector saw, or another BMC told, and was not looked at since"
        return Doubt(Cause.STALE, variable, f"{variable} {why}")
    if declared is None:
        return None
    record = progress.node.dsc.get(variable)
    if progress.value(variable) == UNKNOWN:
        if not disruptive:
            return None
        for condition in declared.known_when:
            if not catalog.meets(condition, progress.state, progress.attributes):
                if condition.name not in catalog.variables:
                    return None
                return doubt(catalog, progress, condition.name, now, disruptive=True)
        return Doubt(Cause.UNKNOWN, variable, f"{variable} is not known")
    assert record is not None, f"{variable} is known without a record"
    if progress.missed and misses_since(progress, variable, record.seen_at) >= MISSES_MAX:
        detail = f"{variable}={record.value} was seen, but nobody has answered since when looked at"
        return Doubt(Cause.STALE, variable, detail)
    if is_stale(declared.fresh_for_s, record.seen_at, now):
        return Doubt(Cause.STALE, variable, f"{variable}={record.value} was seen too long ago")
    if disruptive and record.source == TIMEOUT_SOURCE:
        detail = f"{variable}={record.value} was asserted by a time-out, nobody has seen it"
        return Doubt(Cause.UNKNOWN, variable, detail)
    return None


def _is_of_such_nodes(catalog: Catalog, progress: Progress, variable: Variable) -> bool:
    """Whether the variable can have a value on a node with these attributes."""
    return all(
        c.name in catalog.variables or catalog.meets(c, progress.state, progress.attributes)
        for c in variable.known_when
    )


def unseen(catalog: Catalog, progress: Progress, variable: str) -> Doubt | None:
    """Why a value that grows old is to be looked at before anything disruptive rests on it: nobody saw it in
    this life. Its age is by the clock of a former one, and somebody may have set that since. See ADR 62.
    """
    declared = catalog.variables.get(variable)
    if declared is None or declared.fresh_for_s is None or progress.value(variable) == UNKNOWN:
        return None
    if variable in progress.seen_by:
        return None
    value = progress.node.dsc[variable].value
    return Doubt(Cause.STALE, variable, f"{variable}={value} was not seen since this daemon started")


def misses_since(progress: Progress, variable: str, seen_at: float) -> int:
    """How many looks at the variable in a row got no answer, if the last was sent after it was seen."""
    misses, asked_at = progress.missed.get(variable, (0, 0.0))
    return misses if asked_at > seen_at else 0


def is_stale(fresh_for_s: float | None, seen_at: float, now: float) -> bool:
    """Whether an observation is too old (or from a future that makes its age unknowable)."""
    if seen_at > now + CLOCK_SKEW_S:
        return True
    return fresh_for_s is not None and now - seen_at > fresh_for_s
