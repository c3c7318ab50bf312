"""Who watches asks again when something was told after which nodes may stand otherwise, and not too often."""

from __future__ import annotations

import pytest

from kraken.cli.client import Event
from kraken.cli.feed import LOST
from kraken.cli.looking import AGAIN_S, HINTS, SHARE, SOON_S, Looking


class Watch:
    """A watch on a clock that stands still, with a last look that took so long."""

    def __init__(self, took_s: float = 0.0) -> None:
        self.now = 100.0
        self.looking = Looking(lambda: self.now)
        with self.looking:
            self.now += took_s
        self.looked_at = self.now

    def due_after(self, *kinds: str) -> float:
        """How long after the last look the next is due, when these events come at once."""
        self.looking.hear(LOST if kind == "lost" else Event("1-1", kind, {}) for kind in kinds)
        while not self.looking.is_due():
            self.now += 0.25
        return self.now - self.looked_at


def test_without_news_it_is_due_now_and_then() -> None:
    assert Watch().due_after() == pytest.approx(AGAIN_S, abs=0.3)
    assert Watch().due_after("cause", "dsc", "run-ended") == pytest.approx(AGAIN_S, abs=0.3)


@pytest.mark.parametrize("kind", sorted(HINTS))
def test_after_a_hint_it_is_due_soon(kind: str) -> None:
    assert Watch().due_after("dsc", kind, "cause") == pytest.approx(SOON_S, abs=0.3)


def test_what_takes_the_daemon_long_is_asked_the_less_often() -> None:
    assert Watch(took_s=1.5).due_after("collector") == pytest.approx(1.5 / SHARE, abs=0.3)


def test_where_events_are_lost_it_is_due_at_once() -> None:
    assert Watch(took_s=1.5).due_after("lost") == 0.0


def test_a_look_answers_what_was_told_before_it_and_not_what_is_told_meanwhile() -> None:
    watch = Watch()
    watch.looking.hear([LOST, Event("1-1", "nobody", {})])
    with watch.looking:
        pass
    watch.looked_at = watch.now

    assert watch.due_after() == pytest.approx(AGAIN_S, abs=0.3)

    with watch.looking:
        watch.looking.hear([Event("1-2", "nobody", {})])
    watch.looked_at = watch.now

    assert watch.due_after() == pytest.approx(SOON_S, abs=0.3)
