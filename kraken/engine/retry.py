"""What follows a failure: a pause that grows, then quarantine."""

from __future__ import annotations

import random

from kraken.engine.effects import TroubleChanged
from kraken.engine.progress import Progress, Trouble
from kraken.engine.settings import Settings


def backoff_s(settings: Settings, failures: int, seed: str) -> float:
    """Seconds to wait after the n-th failure in a row (n >= 1): exponential, with jitter.

    The jitter depends on the seed alone, so a simulation repeats; nodes get different seeds, so
    that a thousand that failed together do not come back together.
    """
    pause = min(settings.backoff_s * 2.0 ** min(failures - 1, 32), settings.backoff_s_max)
    spread = settings.backoff_jitter * (2.0 * random.Random(seed).random() - 1.0)
    return pause * (1.0 + spread)


def note_failure(trouble: Trouble, settings: Settings, key: str, message: str, now: float, seed: str) -> None:
    """Count a failure of this mutation; the node's trouble tells what follows."""
    failures = trouble.failures.get(key, 0) + 1
    trouble.failures[key] = failures
    trouble.messages[key] = message
    trouble.since = now
    if failures >= settings.quarantine_after:
        trouble.quarantined = f"{key} failed {failures} times in a row: {message or 'no reason given'}"
        trouble.retry_at.pop(key, None)
    else:
        trouble.retry_at[key] = now + backoff_s(settings, failures, _jitter_seed(seed, key, failures))


def pause_again(trouble: Trouble, settings: Settings, seed: str) -> None:
    """Set the pauses of a trouble that was remembered: as if each mutation had failed last of all."""
    for key, failures in trouble.failures.items():
        pause = backoff_s(settings, failures, _jitter_seed(seed, key, failures))
        trouble.retry_at[key] = trouble.since + pause


def note_success(trouble: Trouble, key: str) -> bool:
    """Forget the failures of this mutation; whether there were any."""
    trouble.retry_at.pop(key, None)
    trouble.messages.pop(key, None)
    return trouble.failures.pop(key, None) is not None


def trouble_changed(progress: Progress) -> TroubleChanged:
    """What is to be kept of the node's troubles now."""
    trouble = progress.trouble
    effort = progress.effort if progress.kept else None
    return TroubleChanged(
        progress.node.name, dict(trouble.failures), trouble.quarantined, trouble.since, effort
    )


def _jitter_seed(seed: str, key: str, failures: int) -> str:
    return f"{seed}/{key}/{failures}"
