"""The timers of a fleet, on a loop whose time passes when told to."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kraken.executors.clock import Alarm
from kraken.executors.ipmi.suites import Suites
from kraken.executors.ipmi.wheel import Wheel
from kraken.executors.place import numeric_place

STEP_S = 0.02


class Handle:
    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self.callback = None


class Loop:
    """The part of an event loop that a wheel stands on."""

    def __init__(self) -> None:
        self.now = 100.0
        self.failures: list[str] = []
        self._alarms: list[tuple[float, int, Handle]] = []
        self._count = 0

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], object]) -> Handle:
        handle = Handle(callback)
        self._count += 1
        heapq.heappush(self._alarms, (when, self._count, handle))
        return handle

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.failures.append(repr(context["exception"]))

    def advance(self, seconds: float) -> None:
        until = self.now + seconds
        while self._alarms and self._alarms[0][0] <= until:
            when, _, handle = heapq.heappop(self._alarms)
            self.now = max(self.now, when)
            if handle.callback is not None:
                handle.callback()
        self.now = until

    @property
    def alarms(self) -> int:
        return sum(handle.callback is not None for _, _, handle in self._alarms)


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def wheel(loop: Loop) -> Wheel:
    return make_wheel(loop)


def make_wheel(loop: Any) -> Wheel:
    clock: asyncio.AbstractEventLoop = loop
    return Wheel(clock)


@given(st.lists(st.floats(0.0, 70.0), max_size=30))
def test_nothing_comes_early_or_more_than_a_step_late_and_everything_once(delays: list[float]) -> None:
    loop = Loop()
    wheel = make_wheel(loop)
    came: list[tuple[float, float]] = []
    for delay in delays:
        due = loop.now + delay
        wheel.call_later(delay, lambda due: came.append((due, loop.now)), due)

    loop.advance(71.0)

    assert sorted(due for due, _ in came) == sorted(100.0 + delay for delay in delays)
    assert all(due - 1e-3 <= at <= due + STEP_S + 1e-3 for due, at in came)


def test_what_is_cancelled_does_not_come(loop: Loop, wheel: Wheel) -> None:
    came: list[str] = []
    wheel.call_later(0.5, came.append, "kept")
    wheel.call_later(0.5, came.append, "cancelled").cancel()
    loop.advance(1.0)

    assert came == ["kept"]


def test_an_alarm_is_one_call_and_the_last_that_was_set(loop: Loop, wheel: Wheel) -> None:
    came: list[str] = []
    alarm = Alarm(wheel)
    alarm.set(1.0, lambda: came.append("first"))
    alarm.set(2.0, lambda: came.append("second"))
    loop.advance(5.0)
    alarm.clear()
    alarm.set(-1.0, lambda: came.append("late"))
    loop.advance(1.0)
    alarm.set(1.0, lambda: came.append("never"))
    alarm.clear()
    alarm.clear()
    loop.advance(5.0)

    assert came == ["second", "late"]


def test_a_turn_may_set_the_next(loop: Loop, wheel: Wheel) -> None:
    came: list[float] = []

    def again() -> None:
        came.append(round(loop.now - 100.0, 2))
        if len(came) < 3:
            wheel.call_later(1.0, again)

    wheel.call_later(0.0, again)
    loop.advance(10.0)

    assert came == pytest.approx([0.0, 1.0, 2.0], abs=3 * STEP_S)


def test_a_thousand_timers_of_one_moment_are_one_of_the_loop_and_none_when_idle(
    loop: Loop, wheel: Wheel
) -> None:
    for _ in range(1000):
        wheel.call_later(5.0, lambda: None)

    assert loop.alarms == 1

    loop.advance(6.0)

    assert loop.alarms == 0


def test_one_that_fails_keeps_no_other_from_its_turn(loop: Loop, wheel: Wheel) -> None:
    came: list[str] = []
    wheel.call_later(0.5, lambda: 1 // 0)
    wheel.call_later(0.5, came.append, "other")
    loop.advance(1.0)

    assert came == ["other"]
    assert len(loop.failures) == 1


def test_nothing_comes_after_the_end(loop: Loop, wheel: Wheel) -> None:
    came: list[str] = []
    wheel.call_later(0.5, came.append, "late")
    wheel.close()
    loop.advance(1.0)

    assert came == []
    assert loop.alarms == 0


def test_a_bmc_that_refused_suite_17_is_spared_the_offer_for_an_hour(loop: Loop, wheel: Wheel) -> None:
    suites = Suites(wheel)
    one, other = numeric_place("10.0.0.1", 623), numeric_place("10.0.0.2", 623)
    assert one is not None
    assert other is not None
    suites.refused_17(one)

    assert suites.lacks_17(one)
    assert not suites.lacks_17(other)

    loop.advance(3601.0)

    assert not suites.lacks_17(one)


def test_a_failed_login_ends_what_was_believed_of_suites(loop: Loop, wheel: Wheel) -> None:
    suites = Suites(wheel)
    place = numeric_place("10.0.0.1", 623)
    assert place is not None
    suites.refused_17(place)
    suites.forget(place)

    assert not suites.lacks_17(place)
