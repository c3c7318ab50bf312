"""May this mutation start on this node now? The promises about it, one function each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kraken.model.catalog import Catalog
from kraken.model.hold import EVERY_NODE
from kraken.model.module import Mutation

if TYPE_CHECKING:
    from kraken.testing.simulation.watch import Watch

SKEW_S = 0.01  # what rounding may do to a time


def need_peace(watch: Watch, node: str, ours: Mutation, theirs: Mutation) -> None:
    """Two mutations of one node run side by side only where neither touches what the other does."""
    catalog = watch.simulation.catalog
    touched = writes(catalog, ours) & (reads(catalog, theirs) | writes(catalog, theirs))
    touched |= writes(catalog, theirs) & reads(catalog, ours)
    if touched:
        watch.broken(node, f"{ours.key} starts while {theirs.key} is out: both touch {sorted(touched)}")


def need_freedom(watch: Watch, node: str, mutation: Mutation, now: float) -> None:
    """No hold, no quarantine, no pause that is not over, and no command of a person."""
    if watch.hand.is_open(node):
        watch.broken(node, f"{mutation.key} starts though something else is commanded by hand")
    for hold in watch.simulation.durable.holds.values():
        if hold.node in (node, EVERY_NODE) and (hold.until is None or now < hold.until):
            watch.broken(node, f"{mutation.key} starts though it is held by {hold.id}")
    if watch.is_quarantined(node):
        watch.broken(node, f"{mutation.key} starts though it is quarantined")
    retry_at = watch.failures_of(node).retry_at.get(mutation.key, 0.0)
    if now < retry_at - SKEW_S:
        watch.broken(node, f"{mutation.key} failed, and starts {retry_at - now:.2f} s too early")


def need_knowledge(watch: Watch, node: str, mutation: Mutation, now: float) -> None:
    """Nothing disruptive on a stale, unknown or asserted value."""
    if not mutation.disruptive:
        return
    stands = watch.node(node)
    names = reads(watch.simulation.catalog, mutation)
    cfg = stands.cfg_values()
    serves = any(
        cfg.get(c.variable) is not None and c.target in (cfg[c.variable], "$cfg") for c in mutation.changes
    )
    if not serves:
        known = watch.sightings.known(stands)
        names |= {name for name, wish in cfg.items() if known.get(name) != wish}
    for name in sorted(names):
        why = watch.sightings.doubt(stands, name, now)
        if why:
            watch.broken(node, f"{mutation.key} is disruptive and starts although {why}")


def need_news(watch: Watch, node: str, mutation: Mutation) -> None:
    """Nothing is issued twice without a look between."""
    stands = watch.node(node)
    issue = watch.issue_of(node, mutation.key)
    if issue is None:
        return
    if issue.ended is None:
        watch.broken(node, f"{mutation.key} is issued again, and {issue.run.id} of it has not ended")
    for change in mutation.changes:
        if not watch.sightings.is_observable(stands, change.variable):
            if not issue.reported:
                what = f"{mutation.key} is issued again; nothing observes {change.variable}"
                watch.broken(node, f"{what}, and {issue.run.id} never reported its end")
            continue
        record = stands.dsc.get(change.variable)
        if watch.sightings.newness(stands, change.variable, record) < issue.ended:
            what = f"{mutation.key} is issued again ({issue.run.id} before)"
            watch.broken(node, f"{what}, and {change.variable} was not looked at since")


def reads(catalog: Catalog, mutation: Mutation) -> set[str]:
    """The variables that decide whether it may be done."""
    conditions = (*mutation.requires, *mutation.excludes)
    names = {c.variable for c in mutation.changes} | {c.name for c in conditions}
    return names & set(catalog.variables)


def writes(catalog: Catalog, mutation: Mutation) -> set[str]:
    """The variables it changes, and all that a change of those can make forgotten."""
    found = {c.variable for c in mutation.changes}
    while True:
        more = {
            variable.name
            for variable in catalog.variables.values()
            if variable.name not in found and any(c.name in found for c in variable.known_when)
        }
        if not more:
            return found
        found |= more
