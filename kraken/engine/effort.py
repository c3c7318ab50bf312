"""The watch on N: how many mutations a node may cost before a person must look at it.

docs/convergence.md says where the number comes from.
"""

from __future__ import annotations

from kraken.engine.cause import Cause
from kraken.engine.progress import Progress
from kraken.engine.settings import Settings
from kraken.model.effort import NOTHING, Effort

NAMED = 6
"""So many mutations are named in the reason of a quarantine."""


def steps_max(settings: Settings, longest: int) -> int:
    """N: the most mutations that may be begun on a node whose longest path had so many steps.

    One way, and `rounds - 1` times bad luck that costs a step and throws the node back by the whole
    way; never less than what failures in a row may cost before they lead to quarantine by themselves.
    """
    rounds = max(settings.rounds, settings.quarantine_after)
    return rounds * (longest + 1) - 1


def is_spent(progress: Progress, settings: Settings) -> bool:
    """Whether one more mutation would be one too many, those that wait for their turn included."""
    effort = progress.effort
    steps = effort.steps + len(progress.gathered) + 1
    return steps > effort.longest and steps > steps_max(settings, effort.longest)


def begin(progress: Progress, key: str, now: float) -> bool:
    """Count a mutation that begins now.

    Returns:
        Whether the count is to be kept: one way is never worth it, whoever needs more may need ever more.
    """
    effort = progress.effort = progress.effort.plus(key, now)
    progress.calm_since = None
    if effort.steps > effort.longest:
        progress.kept = True
    return progress.kept


def unbegin(progress: Progress, key: str) -> bool:
    """Take back what `begin` counted: nothing was done to the node.

    Returns:
        As `begin`.
    """
    progress.effort = progress.effort.minus(key)
    return progress.kept


def recover(progress: Progress, settings: Settings, now: float) -> None:
    """Take off what the time has earned that the node was CONVERGED: in `refill_s`, all of N."""
    calm_since = progress.calm_since
    if calm_since is None or progress.verdict.cause is not Cause.CONVERGED:
        return
    per_s = steps_max(settings, progress.effort.longest) / settings.refill_s
    progress.effort = progress.effort.less(max(0.0, now - calm_since) * per_s)
    progress.calm_since = now


def rest(progress: Progress, cause: Cause, now: float) -> bool:
    """Note that the node comes to rest, or that its rest is over.

    Returns:
        Whether the store is to forget what was done: nothing is held against the node any more.
    """
    if cause is not Cause.CONVERGED:
        if progress.verdict.cause is Cause.CONVERGED:
            progress.calm_since = None
    elif not progress.effort.steps:
        progress.effort, progress.calm_since = NOTHING, None
    elif progress.calm_since is None:
        progress.calm_since = now
    if progress.kept and not progress.effort.steps:
        progress.kept = False
        return True
    return False


def forgive(progress: Progress) -> None:
    """Somebody wishes something else, or says that it is to be tried again."""
    progress.effort, progress.calm_since = NOTHING, None


def resume(progress: Progress, effort: Effort) -> None:
    """Remember what a former life of the daemon did, unless something else was wished since.

    When the node turns out to be as wished, its rest began with the last mutation: nothing was done
    for it since.
    """
    progress.kept = True
    node = progress.node
    wishes = [record.seen_at for side in (node.cfg, node.attributes) for record in side.values()]
    if effort.at >= max(wishes, default=0.0):
        progress.effort, progress.calm_since = effort, effort.at


def reason(progress: Progress) -> str:
    """What was done again and again, most often first."""
    begun = progress.effort.begun
    most = sorted(begun, key=lambda item: -item[1])
    told = [f"{key} {'once' if times == 1 else f'{times} times'}" for key, times in most[:NAMED]]
    more = [f"and {len(most) - NAMED} others"] if len(most) > NAMED else []
    count = sum(times for _, times in begun)
    return f"{count} mutations without staying converged: {', '.join([*told, *more])}"
