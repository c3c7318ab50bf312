"""Is the one cause the engine names for a node the true one?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kraken.engine.cause import Cause
from kraken.engine.progress import Phase, Underway
from kraken.model.hold import EVERY_NODE
from kraken.model.node import Node

if TYPE_CHECKING:
    from kraken.testing.simulation.simulation import Simulation
    from kraken.testing.simulation.watch import Watch

SKEW_S = 0.01


def check(watch: Watch, simulation: Simulation, node: Node, now: float) -> None:
    """Speak up when the cause is not true, or its explanation is none."""
    collector = simulation.collector
    assert collector is not None
    cause = collector.engine.cause(node.name)
    why = _untrue(watch, simulation, node, cause, now)
    if why:
        watch.broken(node.name, f"its cause is {cause}, but {why}")
    explanation = collector.engine.explain(node.name, now)
    if explanation.cause is not cause or not explanation.reason.strip():
        watch.broken(node.name, f"{cause} is explained as {explanation}")
    if explanation.next_at is not None and explanation.next_at < now - SKEW_S:
        late = now - explanation.next_at
        watch.broken(node.name, f"{cause}: what follows was due {late:.3f} s ago: {explanation}")
    watch.accounts.check(node, explanation, now)


def _untrue(watch: Watch, simulation: Simulation, node: Node, cause: Cause, now: float) -> str:
    collector = simulation.collector
    assert collector is not None
    catalog = simulation.catalog
    progress = collector.engine.progress(node.name)
    glance = watch.sightings.glance(node)
    cfg, known = glance.cfg, glance.known
    if watch.hand.is_open(node.name):
        return _commanded(watch, simulation, node, cause, now)
    held = any(
        hold.node in (node.name, EVERY_NODE) and (hold.until is None or now < hold.until)
        for hold in simulation.durable.holds.values()
    )
    if held != (cause is Cause.HELD):
        return "a hold stands" if held else "no hold stands"
    if held:
        return ""
    subject = progress.verdict.subject
    phases = {step.phase for step in progress.underway.values()}
    differing = [name for name, wish in cfg.items() if known.get(name) != wish]
    if cause is not Cause.CONVERGED and not (differing or phases):
        return _doubted(watch, simulation, node, cause, now)
    if watch.is_quarantined(node.name) and differing and not phases and cause is not Cause.QUARANTINED:
        return "it is in quarantine"
    if cause is Cause.CONVERGED:
        if differing:
            return f"{differing} differ"
        if phases:
            return "a step is under way"
        for name in cfg:
            declared = catalog.variables.get(name)
            if declared is None:
                return f"no module declares {name}"
            age = now - node.dsc[name].seen_at
            if declared.fresh_for_s is not None and age > declared.fresh_for_s + SKEW_S:
                return f"{name} was seen {age:.1f} s ago"
            if watch.sightings.is_touched(node, name):
                return f"{name} was not seen since a mutation of it"
    elif cause is Cause.RUNNING:
        return _not_running(watch, simulation, node, subject, now)
    elif cause is Cause.WAITING:
        step = progress.underway.get(subject)
        if step is None or step.phase is not Phase.WAITING or phases != {Phase.WAITING}:
            return f"nothing waits for {subject}"
        if step.mutation.action is not None:
            return f"the world does not do {subject}"
        if _is_seen(watch, node, known, step):
            return f"the effect of {subject} was seen"
    elif cause is not Cause.HELD and phases:
        return f"steps are under way: {list(progress.underway)}"
    elif cause is Cause.BACKOFF:
        if not subject or not watch.failures_of(node.name).counts.get(subject):
            return f"{subject} did not fail"
        if progress.verdict.next_at is None or progress.verdict.next_at < now - SKEW_S:
            return "its pause is over"
    elif cause is Cause.QUARANTINED:
        if not watch.is_quarantined(node.name):
            return "nobody put it there"
    elif cause is Cause.BUDGET:
        return _not_waiting(simulation, node, subject)
    elif cause is Cause.STALE or cause is Cause.UNKNOWN:
        return _known_well(watch, simulation, node, cause, subject, now)
    return ""


def _commanded(watch: Watch, simulation: Simulation, node: Node, cause: Cause, now: float) -> str:
    """Why the cause of a node is not true of which a person commands something."""
    collector = simulation.collector
    assert collector is not None
    subject = collector.engine.progress(node.name).verdict.subject
    if cause is Cause.RUNNING:
        return _not_running(watch, simulation, node, subject, now)
    if cause is Cause.BUDGET:
        return _not_waiting(simulation, node, subject)
    return "something is commanded of it"


def _not_running(watch: Watch, simulation: Simulation, node: Node, subject: str, now: float) -> str:
    """Why this mutation is not under way; "" when it is."""
    collector = simulation.collector
    assert collector is not None
    step = collector.engine.progress(node.name).underway.get(subject)
    if step is None or step.phase is Phase.WAITING:
        return f"{subject} is not under way"
    if (step.phase is Phase.ISSUED) != watch.is_out(node.name, subject):
        return f"{'no' if step.phase is Phase.ISSUED else 'an'} executor has {subject}"
    if step.phase is Phase.CONFIRMING and _is_seen(watch, node, watch.sightings.known(node), step):
        return f"the effect of {subject} was seen"
    if now > step.deadline + simulation.settings.grace_s + SKEW_S:
        return f"{subject} is overdue"
    return ""


def _not_waiting(simulation: Simulation, node: Node, subject: str) -> str:
    """Why the node does not wait for its turn; "" when it does."""
    collector = simulation.collector
    assert collector is not None
    place, _ = collector.engine.batches.place(subject, node.name)
    return "" if place else f"it does not wait for {subject}"


def _is_seen(watch: Watch, node: Node, known: dict[str, str], step: Underway) -> bool:
    """Whether all that the step is to bring was seen since it could."""
    names = [change.variable for change in step.mutation.changes]
    return all(
        known.get(name) == step.writes.get(name)
        and not watch.sightings.is_touched(node, name)
        and node.dsc[name].seen_at >= step.settles_at
        and watch.sightings.is_observable(node, name)
        for name in names
    )


def _doubted(watch: Watch, simulation: Simulation, node: Node, cause: Cause, now: float) -> str:
    """Why nothing keeps a node from being converged on which nothing differs and nothing runs."""
    collector, catalog = simulation.collector, simulation.catalog
    assert collector is not None
    cfg = watch.sightings.glance(node).cfg
    if any(name not in catalog.variables for name in cfg):
        return "" if cause is Cause.NO_PATH else "a variable is not declared"
    if cause not in (Cause.STALE, Cause.UNKNOWN):
        return "nothing differs"
    subject = collector.engine.progress(node.name).verdict.subject
    return "" if subject in cfg else f"nobody wishes anything of {subject}"


def _known_well(
    watch: Watch, simulation: Simulation, node: Node, cause: Cause, subject: str, now: float
) -> str:
    """Why a value that is called stale or unknown is neither."""
    record = node.dsc.get(subject)
    known = watch.sightings.known(node)
    collector = simulation.collector
    assert collector is not None
    if cause is Cause.UNKNOWN:
        asserted = record is not None and record.source == "timeout"
        return "" if subject not in known or asserted else f"{subject} is known"
    if subject in collector.engine.progress(node.name).unsettled:
        # The engine may doubt more than we can prove: it looks once more, and that is all it does.
        return ""
    if record is not None and watch.is_silent(node.name, subject, record.seen_at):
        return ""
    if record is not None and record.seen_at <= simulation.started_at:
        return ""  # nobody saw it in this life, and something disruptive may rest on it
    declared = simulation.catalog.variables[subject]
    if (
        record is None
        or declared.fresh_for_s is None
        or now - record.seen_at <= declared.fresh_for_s - SKEW_S
    ):
        return f"{subject} is fresh"
    return ""
