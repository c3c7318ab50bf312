"""A node's verdict in words, with the fact behind it and what happens next."""

from __future__ import annotations

from collections.abc import Sequence

from kraken.engine.batches import Batches
from kraken.engine.cause import Cause, Explanation, Fact, Verdict
from kraken.engine.doubt import FORGOTTEN_SOURCE
from kraken.engine.permit import NOT_ALONE
from kraken.engine.progress import Look, Phase, Progress, Underway
from kraken.engine.turns import Turn
from kraken.model.byhand import by_hand
from kraken.model.catalog import Catalog
from kraken.model.hold import EVERY_NODE, Hold
from kraken.model.module import CFG_VALUE, Condition, as_text
from kraken.model.update import Side
from kraken.planning.path import NoPath, named
from kraken.planning.planner import Planner

FROZEN = "frozen: "


def explain(
    catalog: Catalog, planner: Planner, progress: Progress, batches: Batches, now: float
) -> Explanation:
    """Put the node's verdict into words; it is what it was when the engine last decided."""
    verdict = progress.verdict
    if verdict.cause in (Cause.NO_PATH, Cause.REQUIRES_UNMET):
        return _stuck(planner, progress, now)
    topic, subject = verdict.detail, verdict.subject
    reason, particulars, following, next_at = "", "", "", verdict.next_at
    match verdict.cause:
        case Cause.CONVERGED:
            topic, reason, following = _converged(progress)
            next_at = None
        case Cause.RUNNING | Cause.WAITING:
            topic, following = _under_way(progress, subject)
        case Cause.HELD:
            frozen = topic.startswith(FROZEN)
            lift = "`kraken thaw` lifts the freeze" if frozen else "`kraken release` lifts the hold"
            following = "is free again" if next_at is not None else lift
            begun = ", ".join(progress.begun)
            particulars = f"{begun} was begun before, and is under way still" if begun else ""
        case Cause.BACKOFF if verdict.cannot:
            following = "tries again"
        case Cause.BACKOFF:
            failures = progress.trouble.failures.get(subject, 0)
            topic = f"{subject} failed {_times(failures)}" if subject else verdict.detail
            particulars = verdict.detail if subject else ""
            following = "tries again"
        case Cause.QUARANTINED:
            topic, _, particulars = verdict.detail.partition(": ")
            following = "`kraken retry` releases it"
        case Cause.BUDGET if verdict.detail:
            topic = f"{subject} {verdict.detail}"
            alone = "starts when one of the two is stopped and the parent is sure of it"
            following = alone if verdict.detail == NOT_ALONE else "starts when the lease comes"
        case Cause.BUDGET:
            turn = _turn(catalog, progress, batches, subject, now)
            if turn is None:
                topic, following = f"{subject} waits for its turn", "starts when a place is free"
                particulars = _queue(catalog, progress, batches, subject)
            else:
                topic = f"{subject} waits for limit {turn.limit}"
                where = f" for {turn.pool}" if turn.pool else ""
                particulars = f"{turn.position} of {turn.waiting} in its queue{where}; {turn.use}"
                following, next_at = "is expected to start", turn.start_at
        case Cause.STALE | Cause.UNKNOWN:
            particulars, following, next_at = _looking(catalog, progress, verdict, now)
    reason = reason or (f"{topic}: {particulars}" if particulars else topic)
    fact = _fact(catalog, progress, subject, now)
    return Explanation(
        progress.node.name, verdict.cause, reason, topic, fact, progress.since, following, next_at
    )


def held_by(holds: Sequence[Hold]) -> Verdict | None:
    """The verdict on a node with these holds; None where nobody holds it."""
    if not holds:
        return None
    ends = [hold.until for hold in holds if hold.until is not None]
    free_at = max(ends) if len(ends) == len(holds) else None
    return Verdict(Cause.HELD, "", "; ".join(hold_text(hold) for hold in holds), free_at)


def hold_text(hold: Hold) -> str:
    """Who holds it, and why."""
    lead = FROZEN if hold.node == EVERY_NODE else ""
    return f"{lead}{hold.reason} ({hold.owner})"


def _converged(progress: Progress) -> tuple[str, str, str]:
    """Topic, reason and what follows."""
    wishes = ", ".join(f"{variable}={value}" for variable, value in progress.cfg.items())
    reason = wishes or "nothing is wished of it"
    if progress.trouble.quarantined is None:
        return "as declared", reason, ""
    still = f"{reason}: still in quarantine: {progress.trouble.quarantined}"
    return "as declared, still in quarantine", still, "`kraken retry` releases it"


def _stuck(planner: Planner, progress: Progress, now: float) -> Explanation:
    """Why there is no path, said of this node.

    The planner remembers its answer, as long as it has room. What it gave up, forgot and is asked again
    it may find by then: until the node is decided upon again its verdict stands, in its own words.
    """
    verdict = progress.verdict
    answer = planner.find_path_in(progress.class_, progress.state, progress.cfg)
    if isinstance(answer, NoPath):
        own = answer.on(progress.attributes)
    else:
        own = NoPath(tuple(verdict.subject.split(", ")), (verdict.detail,))
    if verdict.cause is Cause.REQUIRES_UNMET and own.unmet:
        wanted = " and ".join(named(condition) for condition in own.unmet)
        following = f"declaring {wanted} would open a way"
        fact: Fact | None = _attribute(progress, own.unmet[0], now)
    else:
        following = "another Cfg or Kraken module would open a way"
        differing = progress.differing()
        blocking = next((name for name in own.variables if name in differing), next(iter(differing), ""))
        fact = _value(progress, blocking or own.variables[0], progress.cfg.get(blocking, ""), now)
    return Explanation(
        node=progress.node.name,
        cause=verdict.cause,
        reason="; ".join(dict.fromkeys(own.reasons)),
        topic=", ".join(own.variables),
        fact=fact,
        since=progress.since,
        next=following,
        next_at=None,
        reachable=own.reachable,
    )


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
    if step.by is not None:
        what += f" (commanded by {step.by})"
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
    mutation = catalog.mutations.get(key) or by_hand(key)
    if mutation is None or mutation.action is None:
        return ""
    busy, places = batches.busy(mutation)
    kind = mutation.action.kind
    return f"{position} of {waiting}; {busy} of {places} {kind} runs under way"


def _turn(catalog: Catalog, progress: Progress, batches: Batches, key: str, now: float) -> Turn | None:
    mutation = catalog.mutations.get(key) or by_hand(key)
    return batches.turns.turn(key, progress.node.name, mutation.cost, now) if mutation is not None else None


def _looking(
    catalog: Catalog, progress: Progress, verdict: Verdict, now: float
) -> tuple[str, str, float | None]:
    """What those who look at the variable have to say, but for what the verdict says of one."""
    variable, next_at = verdict.subject, verdict.next_at
    told: list[str] = []
    running = False
    for key, look in progress.looks.items():
        if any(observes.variable == variable for observes in look.discovery.observes):
            running = running or look.run_id is not None or look.queued
            if look.message and key != verdict.cannot and not _outdated(catalog, progress, look, variable):
                told.append(f"{key}: {look.message}")
            if look.next_at is not None and look.next_at > now:  # if not: nobody can look so now
                next_at = look.next_at if next_at is None else min(next_at, look.next_at)
    if running:
        return "; ".join(told), "is being looked at now", None
    if next_at is None:
        nobody = "" if verdict.cannot else "no discovery can see it now"
        return "; ".join(told) or nobody, "`kraken discover` looks again", None
    return "; ".join(told), "looks again", next_at


def _outdated(catalog: Catalog, progress: Progress, look: Look, variable: str) -> bool:
    """Whether what the look said is of a time before what it stands on became another."""
    discovery, records = look.discovery, progress.node.dsc
    grounds = {condition.name for condition in (*discovery.requires, *discovery.excludes)}
    declared = catalog.variables.get(variable)
    if declared is not None:
        grounds |= {condition.name for condition in declared.known_when}
    changed = [records[name].since for name in grounds if name in records]
    if variable in records and records[variable].source == FORGOTTEN_SOURCE:
        changed.append(records[variable].since)
    return any(look.said_at < since for since in changed)


def _fact(catalog: Catalog, progress: Progress, subject: str, now: float) -> Fact | None:
    """The value behind the verdict: the variable it names, or that its mutation is to change."""
    step = progress.underway.get(subject)
    mutation = (catalog.mutations.get(subject) or by_hand(subject)) if step is None else step.mutation
    if mutation is not None:
        targets = {c.variable: c.target for c in mutation.changes} if step is None else step.writes
        wanted = {v: progress.cfg.get(v, "") if t == CFG_VALUE else t for v, t in targets.items()}
        variables = [change.variable for change in mutation.changes]
        blocking = next((v for v in variables if progress.value(v) != wanted.get(v)), variables[0])
        return _value(progress, blocking, wanted.get(blocking, ""), now)
    variable = subject or next(iter(progress.differing()), "")
    return _value(progress, variable, progress.cfg.get(variable, ""), now) if variable else None


def _value(progress: Progress, variable: str, wanted: str, now: float) -> Fact:
    record, value = progress.node.dsc.get(variable), progress.value(variable)
    if record is None:
        return Fact(variable, value, wanted, "", None)
    return Fact(variable, value, wanted, record.source, max(0.0, now - record.seen_at))


def _attribute(progress: Progress, condition: Condition, now: float) -> Fact:
    wanted = "|".join(condition.values)
    record = progress.node.attributes.get(condition.name)
    if record is None or record.value is None:
        return Fact(condition.name, "", wanted, "", None, Side.ATTRIBUTE)
    age_s = max(0.0, now - record.seen_at)
    return Fact(condition.name, as_text(record.value), wanted, record.source, age_s, Side.ATTRIBUTE)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
