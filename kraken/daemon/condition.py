"""How collectors themselves are: what each cannot do on whatever node, as far as is known here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from kraken.daemon.collector import Collector
from kraken.daemon.elsewhere import CANNOT, REASON
from kraken.daemon.outage import Outage
from kraken.engine.cause import Cause
from kraken.engine.faults import lead
from kraken.model.node import Record
from kraken.sync.registry import HEALTH
from kraken.sync.shelf import COLLECTOR

HEALTH_MAX: Final = 128
"""Characters of what is said above of how we are, and held there of each collector of the whole tree."""
MAY_WAIT: Final = (Cause.BACKOFF, Cause.STALE, Cause.UNKNOWN)
"""The causes of nodes that may wait for what their collector itself cannot do: a mutation, or a look."""


class Lack(NamedTuple):
    """What a collector cannot do, on whatever node.

    Attributes:
        collector: "" for this one.
        name: of a mutation or discovery.
        since: seconds since the epoch.
    """

    collector: str
    name: str
    reason: str
    since: float


def lacks(collector: Collector, now: float) -> list[Lack]:
    """What this collector cannot do."""
    standing = collector.engine.batches.faults.standing(now)
    return [Lack("", key, fault.message, fault.since) for key, fault in standing.items()]


def lacks_below(collector: Collector, waiting: Iterable[str]) -> list[Lack]:
    """What other collectors that are heard cannot do, as they say of their nodes that wait for it; each once.

    Args:
        waiting: nodes that may, by their cause; see `MAY_WAIT`.
    """
    found: dict[tuple[str, str, str], float] = {}
    for name in waiting:
        summary = collector.table[name].summary
        said, reason = summary.get(CANNOT), summary.get(REASON)
        if said is None or not said.value or reason is None or collector.runs(name):
            continue
        if said.source == collector.runner(name) and not collector.is_silent(name):
            what, text = str(said.value), str(reason.value)
            fault = (said.source, what, text.partition(lead(what))[2] or text)
            found[fault] = min(reason.since, found.get(fault, reason.since))
    return [Lack(*fault, since) for fault, since in sorted(found.items())]


def ailments(*, writes: bool, refused: int, outage: Outage | None, lacks: Iterable[Lack]) -> list[str]:
    """Of what a collector is not well, each in a few words; none: it is well.

    Args:
        writes: its state can be written.
        refused: how many Kraken modules were. outage: of its children.
    """
    found = [] if writes else ["its state cannot be written"]
    if refused:
        found.append(f"{refused} Kraken module{' was' if refused == 1 else 's were'} refused")
    if outage is not None:
        found.append(outage.text)
    return found + [f"it cannot do {lack.name}: {lack.reason}" for lack in lacks]


def say(collector: Collector, found: Sequence[str], now: float) -> None:
    """Tell those above of what we are not well, once it became another. Who always was well says nothing."""
    if collector.branch is None:
        return
    tree, text = collector.branch.tree, "; ".join(found)
    if text or tree.roster.said(HEALTH) is not None:
        tree.say(HEALTH, text if len(text) <= HEALTH_MAX else text[: HEALTH_MAX - 1] + "…", now)


def said(collector: Collector, name: str) -> Record | None:
    """What a collector below says that it is not well of; None: nothing."""
    if collector.branch is None:
        return None
    record = collector.branch.tree.registry.get(COLLECTOR + name, {}).get(HEALTH)
    return record if record is not None and record.value else None
