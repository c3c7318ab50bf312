"""Where what is seen is not what is declared, and how well that is known. Pure over what it is given."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kraken.engine.cause import Cause
from kraken.engine.doubt import doubt
from kraken.engine.progress import Progress
from kraken.model.catalog import Catalog
from kraken.model.update import UNKNOWN


class Known(StrEnum):
    """What is known of a variable that is not surely as declared."""

    DIFFERS = "differs"  # it was seen, lately, to be another; or cannot have a value as things stand
    STALE = "stale"  # it was another when last seen: too long ago, or before a mutation touched it
    UNKNOWN = "unknown"  # nobody knows: nobody has seen it, or a time-out said so
    UNCONFIRMED = "unconfirmed"  # it was as declared when last seen: too long ago, or before a mutation


@dataclass(frozen=True, slots=True)
class Drift:
    """One variable of one node that is not surely as declared.

    Attributes:
        since: when it began: the later of the wish and the value; of what is merely unconfirmed,
            when it was last seen.
        age_s: since it was last seen; None: it never was.
    """

    node: str
    variable: str
    wanted: str
    seen: str
    known: Known
    since: float
    age_s: float | None
    cause: Cause


@dataclass(frozen=True, slots=True)
class Drifted:
    """Equal drift of several nodes. `since`: of the first; `age_s`: the greatest, None: never seen."""

    nodes: tuple[str, ...]
    drift: Drift
    since: float
    age_s: float | None


def drift_of(catalog: Catalog, progress: Progress, now: float, *, silent: bool = False) -> list[Drift]:
    """What is not surely as declared of a node, in the order of its Cfg.

    Args:
        silent: who runs the node is not heard: whatever was seen may be so no more.
    """
    found: list[Drift] = []
    for variable, wanted in progress.cfg.items():
        seen = progress.value(variable)
        known = _known(catalog, progress, variable, wanted, now)
        if silent:
            known = _OF_OLD[known]
        if known is None:
            continue
        record = progress.node.dsc.get(variable)
        since = progress.node.cfg[variable].since
        if record is not None:
            since = record.seen_at if known is Known.UNCONFIRMED else max(since, record.since)
        age_s = None if record is None else max(0.0, now - record.seen_at)
        cause = progress.verdict.cause
        found.append(Drift(progress.node.name, variable, wanted, seen, known, since, age_s, cause))
    return found


def folded(drifts: Iterable[Drift]) -> list[Drifted]:
    """Equal drift together: what is known first, then by number of nodes."""
    alike: dict[tuple[str, ...], list[Drift]] = {}
    for one in drifts:
        key = (one.known, one.variable, one.wanted, one.seen, one.cause)
        alike.setdefault(key, []).append(one)
    rows = [
        Drifted(
            tuple(one.node for one in members),
            members[0],
            min(one.since for one in members),
            max((one.age_s for one in members if one.age_s is not None), default=None),
        )
        for members in alike.values()
    ]
    order = list(Known)
    return sorted(rows, key=lambda row: (order.index(row.drift.known), -len(row.nodes)))


_OF_OLD: Final = {  # what is known of a node -> what is known when nobody tells of it any more
    None: Known.UNCONFIRMED,
    Known.DIFFERS: Known.STALE,
    Known.STALE: Known.STALE,
    Known.UNKNOWN: Known.UNKNOWN,
    Known.UNCONFIRMED: Known.UNCONFIRMED,
}


def _known(catalog: Catalog, progress: Progress, variable: str, wanted: str, now: float) -> Known | None:
    """None: it is as declared, for all one can know."""
    seen = progress.value(variable)
    if variable not in catalog.variables:  # its module is gone
        return Known.UNKNOWN
    doubted = doubt(catalog, progress, variable, now, disruptive=True)
    if seen == wanted:
        return None if doubted is None else Known.UNCONFIRMED
    if doubted is None:
        return Known.DIFFERS
    return Known.UNKNOWN if seen == UNKNOWN or doubted.cause is Cause.UNKNOWN else Known.STALE
