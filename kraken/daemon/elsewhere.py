"""Why a node is as it is that another collector runs: what that one says, or that it says nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from kraken.daemon.outage import Outages
from kraken.daemon.rewired import why_it_waits
from kraken.engine.cause import Cause, Explanation, Verdict
from kraken.model.node import Node
from kraken.model.nodeset import fold
from kraken.model.update import Side, Stamp, StateUpdate
from kraken.sync.placing import NOBODY
from kraken.sync.registry import HEALTH, PARENT
from kraken.sync.shelf import COLLECTOR
from kraken.sync.tree import Tree

CAUSE: Final = "cause"
REASON: Final = "reason"
CANNOT: Final = "cannot"
_VOUCHED: Final = "it goes to another when somebody vouches that {}, which was revoked, runs nothing any more"
FEW: Final = 3
"""Collectors that are named one by one where all are waited for."""
_CAUSES: Final = {cause.value: cause for cause in Cause}


def summary(
    node: str, how: Verdict, stamp: Stamp, now: float, who: str, *, could_not: bool
) -> Iterator[StateUpdate]:
    """How a node of ours fares, for those above.

    Args:
        could_not: something was told before of what its collector cannot do; else that nothing is, is not.
    """
    told = [(CAUSE, how.cause.value), (REASON, how.detail)]
    if how.cannot or could_not:
        told.append((CANNOT, how.cannot))
    for variable, value in told:
        yield StateUpdate(node, Side.SUMMARY, variable, value, stamp, now, who)


def nobodys(tree: Tree, node: str, stamp: Stamp, now: float) -> Iterator[StateUpdate]:
    """That nobody has a node that was given to us, for those above."""
    yield StateUpdate(node, Side.SUMMARY, NOBODY, why_nobody(tree, node, now), stamp, now, tree.me)


def why_nobody(tree: Tree, node: str, now: float) -> str:
    """Why nobody has a node that we could give to somebody: the same for all alike, as long as it is so."""
    former, rewired = tree.placement.former(node), why_it_waits(tree, node, now)
    missing = _not_there(tree, node)
    if missing:
        return missing
    if rewired is not None:
        return rewired[1]
    if former is None:
        return _forgotten(tree, node, now)[0]
    name = former[0] or tree.me
    if name in tree.revoked:
        is_endless = tree.placement.free_at(node) == float("inf")
        return _VOUCHED.format(name) if is_endless else f"it goes to another when the lease of {name} is over"
    return f"it goes to another when {name} has let go of it, or its lease is over"


def is_told(node: Node, cause: Cause, who: str) -> bool:
    """Whether the summary of a node says that this is its cause, and that `who` found so, and nobody has said
    since that nobody has it.
    """
    said, nobody = node.summary.get(CAUSE), node.summary.get(NOBODY)
    if said is None or (nobody is not None and nobody.stamp > said.stamp):
        return False
    return (said.value, said.source) == (cause.value, who)


def cause_elsewhere(tree: Tree, node: Node, now: float, unknown_after_s: float | None = None) -> Cause:
    """The cause of a node that another collector runs, by what that one said last.

    Args:
        unknown_after_s: how long that one may not be heard until nothing of the node is known; None: for
            ever, what it said last is stale.
    """
    silent = tree.silence(node.name)
    if silent is not None:
        is_known = unknown_after_s is None or now - silent[1] <= unknown_after_s
        return Cause.STALE if is_known else Cause.UNKNOWN
    if node.name not in tree.placement.holder or tree.nobody(node.name) is not None:
        return Cause.UNKNOWN
    said = node.summary.get(CAUSE)
    if said is None or _is_outdated(node):
        return Cause.UNKNOWN
    return _CAUSES.get(str(said.value), Cause.UNKNOWN)


def explain_elsewhere(
    tree: Tree,
    node: Node,
    now: float,
    nobody_since: float,
    unknown_after_s: float | None = None,
    outages: Outages | None = None,
) -> Explanation:
    """The one cause of a node that another collector runs; that it is silent is told first.

    Args:
        nobody_since: since when nobody has it, if that is so.
        outages: of our own children; None: nobody looks for any.
    """
    cause = cause_elsewhere(tree, node, now, unknown_after_s)
    silent, nobody = tree.silence(node.name), tree.nobody(node.name)
    if silent is not None:
        name, since = silent
        topic, unwell = f"collector {name} is not heard", _who_is_unwell(tree, outages, name)
        reason = f"collector {name} not heard for {now - since:.0f} s"
        if unwell:  # it is about all below that one: they fold
            reason, topic = f"{reason}; {unwell}", unwell
        following = f"is known again when {name} is heard; nothing is done because it is not"
        if tree.placement.former(node.name) is not None:
            then, _, following = _unplaced(tree, node.name, now)
            reason = f"{reason}; {then}"
        elif nobody is not None:
            reason, following = f"{reason}; {nobody.value}", "is run then"
        return _told(node, cause, reason, topic, since, following)
    if node.name not in tree.placement.holder:
        reason, topic, following = _unplaced(tree, node.name, now)
        return _told(node, cause, reason, topic, nobody_since, following)
    if nobody is not None:
        topic = f"nobody runs it: {nobody.value}, as collector {nobody.source} says"
        reason = f"{topic}, {max(0.0, now - nobody.seen_at):.0f} s ago"
        return _told(node, cause, reason, topic, nobody.seen_at, "is run then")
    said, detail = node.summary.get(CAUSE), node.summary.get(REASON)
    if said is None or str(said.value) not in _CAUSES or _is_outdated(node):
        reason = f"its collector {tree.runner(node.name)} has not said yet how it fares"
        return _told(node, cause, reason, reason, now, "is told by its collector")
    lead = f"{detail.value}: " if detail is not None and detail.value else ""
    topic = f"{lead}as collector {said.source} says"
    reason = f"{topic}, {max(0.0, now - said.seen_at):.0f} s ago"
    return _told(node, cause, reason, topic, said.since, "is told by its collector")


def _who_is_unwell(tree: Tree, outages: Outages | None, silent: str) -> str:
    """That the one who does not hear this collector is not well itself, and of what; "": it is.

    Of ourselves only what concerns the silent one is told: the rest stands in our own health.
    """
    if silent in tree.links:
        outage = None if outages is None else outages.about(silent)
        return "" if outage is None else f"{tree.me} is not well: {outage.text}"
    above = tree.registry.get(COLLECTOR + silent, {}).get(PARENT)
    if above is None:
        return ""
    said = tree.registry.get(f"{COLLECTOR}{above.value}", {}).get(HEALTH)
    return f"{above.value} is not well: {said.value}" if said is not None and said.value else ""


def _is_outdated(node: Node) -> bool:
    """Whether it was said to have converged, to another Cfg than it has now."""
    said, seen = node.summary.get(CAUSE), node.dsc_values()
    return (
        said is not None
        and said.value == Cause.CONVERGED
        and any(seen.get(variable) != wish for variable, wish in node.cfg_values().items())
    )


def _unplaced(tree: Tree, node: str, now: float) -> tuple[str, str, str]:
    """Why nobody has the node, shorter for all alike, and what follows."""
    missing = _not_there(tree, node)
    if missing:
        return missing, missing, "is run when one of them has joined"
    rewired = why_it_waits(tree, node, now)
    if rewired is not None:
        return rewired
    former, free_at = tree.placement.former(node), tree.placement.free_at(node)
    if former is None or free_at is None or free_at <= now:
        what, after, following = _forgotten(tree, node, now)
        return f"{what}{after}", what, following
    name = former[0] or tree.me
    if free_at == float("inf"):
        vouch = f"`kraken collector revoke {name} --stopped` by who made sure"
        if name in tree.revoked:
            return _VOUCHED.format(name), _VOUCHED.format(name), f"is run after {vouch}"
        what = f"it goes to another when {name} says that it let go"
        link = tree.links.get(name)
        if link is not None and link.is_up:
            return what, what, "is run then; it is asked every few seconds"
        return f"{what}, which nobody else can know", what, f"is run then, or after {vouch}"
    what = f"it goes to another when the lease of {name} is over, in {free_at - now:.0f} s"
    return what, what, "is run then"


def _forgotten(tree: Tree, node: str, now: float) -> tuple[str, str, str]:
    """For what a node waits that nobody had as far as this collector remembers, for how long yet, and what
    follows.
    """
    lead = f"{tree.me} does not remember who had it: it goes to another when"
    if tree.leases.may_have_begun(node, now):
        after = f", in {tree.leases.quiet_until - now:.0f} s at the latest"
        return f"{lead} nothing that {tree.me} may have begun can run any more", after, "is run then"
    asked = sorted(tree.placement.unsaid(node))
    if not asked:
        wanted = tree.placing.wanted(node, now) or tree.me  # of those it lists one is there
        return f"it goes to {wanted} with the next lease", "", "is run then, in less than a minute"
    gone = [name for name in asked if name in tree.revoked]
    heard = [name for name in asked if name not in tree.revoked]
    parts = [f"{_named(heard)} {'has' if len(heard) == 1 else 'have'} said not to have it"] if heard else []
    if gone:
        parts.append(f"somebody has vouched that {_named(gone)}, revoked, runs nothing any more")
    commands = [f"`kraken collector revoke {name} --stopped`" for name in asked]
    vouch = " and ".join(commands) if len(asked) <= FEW else f"{commands[0]}, and so for the others,"
    following = f"is run {'then, or ' if heard else ''}after {vouch} by who made sure"
    return f"{lead} {' and '.join(parts)}", "", following


def _named(collectors: Sequence[str]) -> str:
    return " and ".join(collectors) if len(collectors) <= FEW else fold(collectors)


def _not_there(tree: Tree, node: str) -> str:
    """That of the collectors which a node lists none is in the tree; "": one is, or it lists none."""
    listed = tree.placing.listed(node)
    if not listed or any(tree.placing.toward(name) is not None for name in listed):
        return ""
    revoked = [name for name in listed if name in tree.revoked]
    unknown = [name for name in listed if name not in tree.revoked]
    parts = [f"{' and '.join(unknown)} has not joined"] if unknown else []
    parts += [f"{' and '.join(revoked)} was revoked"] if revoked else []
    return f"its collector {', '.join(parts)}"


def _told(node: Node, cause: Cause, reason: str, topic: str, since: float, following: str) -> Explanation:
    return Explanation(node.name, cause, reason, topic, None, since, following, None)
