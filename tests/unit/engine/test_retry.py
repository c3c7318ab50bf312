"""Pauses grow, end, and differ from node to node, but never from run to run."""

from __future__ import annotations

from kraken.engine.progress import Trouble
from kraken.engine.retry import backoff_s, note_failure, note_success, pause_again
from kraken.engine.settings import Settings

SETTINGS = Settings(quarantine_after=3, backoff_s=2.0, backoff_s_max=300.0, backoff_jitter=0.2)


def test_pauses_double_and_stop_at_the_longest() -> None:
    for failures in range(1, 200):
        exact = min(2.0 * 2.0 ** (failures - 1), 300.0)

        assert 0.8 * exact <= backoff_s(SETTINGS, failures, "n1") <= 1.2 * exact


def test_a_seed_gives_the_same_pause_again_and_another_seed_another() -> None:
    assert backoff_s(SETTINGS, 1, "n1") == backoff_s(SETTINGS, 1, "n1")
    assert backoff_s(SETTINGS, 1, "n1") != backoff_s(SETTINGS, 1, "n2")


def test_the_last_failure_allowed_is_quarantine_with_its_reason() -> None:
    trouble = Trouble()
    for at in (10.0, 20.0):
        note_failure(trouble, SETTINGS, "m.on", "no answer", at, "n1")

    assert trouble.quarantined is None
    assert trouble.retry_at["m.on"] > 20.0

    note_failure(trouble, SETTINGS, "m.on", "no answer", 30.0, "n1")

    assert trouble.quarantined == "m.on failed 3 times in a row: no answer"
    assert (trouble.since, trouble.retry_at) == (30.0, {})


def test_a_success_forgets_only_its_own_failures() -> None:
    trouble = Trouble()
    note_failure(trouble, SETTINGS, "m.on", "", 1.0, "n1")
    note_failure(trouble, SETTINGS, "m.off", "", 1.0, "n1")

    assert note_success(trouble, "m.on")
    assert not note_success(trouble, "m.on")
    assert trouble.failures == {"m.off": 1}


def test_a_remembered_trouble_pauses_as_the_first_time() -> None:
    before = Trouble()
    note_failure(before, SETTINGS, "m.on", "", 10.0, "n1")
    after = Trouble(failures=dict(before.failures), since=before.since)
    pause_again(after, SETTINGS, "n1")

    assert after.retry_at == before.retry_at
