"""A node's verdict in words, with the fact behind it and what happens next."""

from __future__ import annotations

from kraken.engine.batches import Batches
from kraken.engine.cause import Cause, Explanation, Fact
from kraken.engine.progress import Phase, Progress, Underway
from kraken.model.catalog import Catalog
from kraken.model.hold import EVERY_NODE, Hold

FROZEN = "frozen: "


def explain(catalog: Catalog, progress: Progress, batches: Batches, now: float) -> Explanation:
    """Put the node's verdict into words; it is what it was when the engine last decided."""
    verdict = progress.verdict
    topic, subject = verdict.detail, verdict.subject
    particulars, following, next_at = "", "", verdict.next_at
    match verdict.cause:
        case Cause.CONVERGED:
            wishes = ", ".join(f"{variable}={value}" for variable, value in progress.cfg.items())
            topic = wishes or "nothing is wished of it"
            next_at = None
            if progress.trouble.quarantined is not None:
                particulars = f"still in quarantine: {progress.trouble.quarantined}"
                following = "`kraken retry` releases it"
        case Cause.RUNNING | Cause.WAITING:
            topic, following = _under_way(progress, subject)
        case Cause.HELD:
            frozen = topic.startswith(FROZEN)
            lift = "`kraken thaw` lifts the freeze" if frozen else "`kraken release` lifts the hold"
            following = "is free again" if next_at is not None else lift
        case Cause.BACKOFF:
            failures = progress.trouble.failures.get(subject, 0)
            topic = f"{subject} failed {_times(failures)}" if subject else verdict.detail
            particulars = verdict.detail if subject else ""
            following = "tries again"
        case Cause.QUARANTINED:
            topic, particulars = "failed too often", verdict.detail
            following = "`kraken retry` releases it"
        case Cause.BUDGET:
            topic, following = f"{subject} waits for its turn", "starts when a place is free"
            particulars = _queue(catalog, progress, batches, subject)
        case Cause.STALE | Cause.UNKNOWN:
            particulars, following, next_at = _looking(progress, subject, next_at, now)
        case Cause.NO_PATH | Cause.REQUIRES_UNMET:
            following = "another Cfg, attribute or Kraken module would open a way"
    reason = f"{topic}: {particulars}" if particulars else topic
    fact = _fact(progress, subject, now)
    return Explanation(
        progress.node.name, verdict.cause, reason, topic, fact, progress.since, following, next_at
    )


def hold_text(hold: Hold) -> str:
    """Who holds it, and why."""
    lead = FROZEN if hold.node == EVERY_NODE else ""
    return f"{lead}{hold.reason} ({hold.owner})"


def _under_way(progress: Progress, key: str) -> tuple[str, str]:
    step = progress.underway.get(key)
    if step is None:
        return f"{key} is under way", ""
    wanted = _wanted(step)
    what = {
        Phase.ISSUED: f"{key} is being done",
        Phase.CONFIRMING: f"{key} was acknowledged; looking for {wanted}",
        Phase.WAITING: f"{key}: waits for {wanted}",
    }[step.phase]
    others = [other for other in progress.underway if other != key]
    if others:
        what += f" (with it: {', '.join(others)})"
    fails_to = ", ".join(f"{variable}={value}" for variable, value in step.mutation.fails_to.items())
    following = f"gives up and takes it for {fails_to}" if fails_to else "gives up"
    return what, following


def _wanted(step: Underway) -> str:
    changes = step.mutation.changes
    return ", ".join(f"{c.variable}={step.writes.get(c.variable)}" for c in changes)


def _queue(catalog: Catalog, progress: Progress, batches: Batches, key: str) -> str:
    position, waiting = batches.place(key, progress.node.name)
    mutation = catalog.mutations.get(key)
    if mutation is None or mutation.action is None:
        return ""
    busy, places = batches.busy(mutation)
    kind = mutation.action.kind
    return f"{position} of {waiting}; {busy} of {places} {kind} runs under way"


def _looking(
    progress: Progress, variable: str, next_at: float | None, now: float
) -> tuple[str, str, float | None]:
    """What those who look at the variable have to say."""
    told: list[str] = []
    running = False
    for key, look in progress.looks.items():
        if any(observes.variable == variable for observes in look.discovery.observes):
            running = running or look.run_id is not None or look.queued
            if look.message:
                told.append(f"{key}: {look.message}")
            if look.next_at is not None and look.next_at > now:  # if not: nobody can look so now
                next_at = look.next_at if next_at is None else min(next_at, look.next_at)
    if running:
        return "; ".join(told), "is being looked at now", None
    if next_at is None:
        return "; ".join(told) or "no discovery can see it now", "`kraken discover` looks again", None
    return "; ".join(told), "looks again", next_at


def _fact(progress: Progress, subject: str, now: float) -> Fact | None:
    """The value behind the verdict: the variable it names, or that its mutation is to change."""
    variables = [subject]
    step = progress.underway.get(subject)
    if step is not None:
        variables = [change.variable for change in step.mutation.changes]
    elif subject not in progress.cfg and subject not in progress.node.dsc:
        variables = progress.differing()
    for variable in variables:
        if not variable or "," in variable:
            continue
        record = progress.node.dsc.get(variable)
        wanted = progress.cfg.get(variable, "")
        if step is not None:
            wanted = step.writes.get(variable, wanted)
        value = progress.value(variable)
        if record is None:
            return Fact(variable, value, wanted, "", None)
        return Fact(variable, value, wanted, record.source, max(0.0, now - record.seen_at))
    return None


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
