"""When a step of a login is said again, and what its answers tell of the way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kraken.executors.ipmi.handshake import Handshake


def answered(*repeats: int, after_s: float = 0.01) -> Handshake:
    """A handshake whose steps got their answers after so many repetitions each."""
    handshake, now = Handshake(), 100.0
    for times in repeats:
        handshake.said(now)
        for _ in range(times):
            handshake.said_again()
        now += after_s
        handshake.heard(moved=True)
    handshake.ended(now)
    return handshake


def test_each_step_counts_as_answered_when_the_next_one_leaves() -> None:
    handshake = answered(0, 2, 1)

    assert (handshake.packets, handshake.answered) == (6, 3)


@pytest.mark.parametrize(("before", "most"), [((0, 0), 3), ((1, 2), 8)])
def test_a_step_is_said_the_more_often_before_the_login_begins_anew_where_packets_get_lost(
    before: tuple[int, ...], most: int
) -> None:
    handshake = answered(*before)
    handshake.said(200.0)
    said = 0
    while not handshake.is_in_vain:
        handshake.said_again()
        said += 1

    assert said == most


@pytest.mark.parametrize(("before", "times"), [((0, 0), 2), ((1, 2), 1)])
def test_a_login_begun_anew_gives_each_step_more_time_where_nothing_seems_to_get_lost(
    before: tuple[int, ...], times: int
) -> None:
    handshake = answered(*before)
    pause_s = handshake.pause_s()
    handshake.said(100.02)
    handshake.begun_anew()

    assert handshake.pause_s() == times * pause_s


@pytest.mark.parametrize(
    ("repeats", "is_lossy"),
    [((0, 0, 0, 0, 0), False), ((0, 1, 0, 0, 0), False), ((1, 0, 1, 0, 0), True), ((3, 4, 2), True)],
)
def test_a_way_loses_packets_when_more_than_one_step_in_three_had_to_be_said_again(
    repeats: tuple[int, ...], is_lossy: bool
) -> None:
    assert answered(*repeats).is_lossy is is_lossy


def test_a_slow_bmc_that_answers_everything_is_not_taken_for_a_way_that_loses_and_is_given_time() -> None:
    handshake = answered(2, 2)
    before_s = handshake.pause_s()
    for _ in range(4):
        handshake.heard(moved=False)

    assert not handshake.is_lossy
    assert handshake.pause_s() == 2 * before_s, "once for each step"


def test_a_bmc_that_falls_silent_is_not_taken_for_a_way_that_loses() -> None:
    handshake = answered(0, 0)
    handshake.said(200.0)
    for _ in range(9):
        handshake.said_again()

    assert not handshake.is_lossy


@pytest.mark.parametrize(
    ("after_s", "pause_s"), [(0.001, 0.25), (0.1, 0.3), (0.5, 1.5), (1.0, 2.0), (9.0, 2.0)]
)
def test_a_slow_bmc_is_given_three_times_what_it_took_before_within_bounds(
    after_s: float, pause_s: float
) -> None:
    assert answered(0, after_s=after_s).pause_s() == pytest.approx(pause_s)


def test_an_answer_to_one_of_several_says_nothing_of_how_fast_the_bmc_is() -> None:
    assert answered(2, after_s=0.001).pause_s() == Handshake().pause_s() == 0.5


def test_a_bmc_that_mixed_up_steps_is_given_twice_the_time_for_each() -> None:
    handshake = answered(0, after_s=0.1)
    handshake.lost_thread()

    assert handshake.pause_s() == pytest.approx(0.6)


def test_patience_starts_anew_with_each_step_that_is_answered_and_not_for_ever() -> None:
    silent, moved, late = Handshake(), Handshake(), Handshake()
    moved.ended(103.0)
    late.ended(116.0)

    assert [one.ends_at(100.0, 7.0) for one in (silent, moved, late)] == [107.0, 110.0, 117.5]


@given(st.lists(st.integers(0, 20), max_size=8), st.floats(0.0, 30.0))
def test_a_pause_is_never_shorter_than_a_quarter_of_a_second_nor_longer_than_two(
    repeats: list[int], after_s: float
) -> None:
    handshake = answered(*repeats, after_s=after_s) if repeats else Handshake()
    for _ in range(3):
        assert 0.25 <= handshake.pause_s() <= 2.0
        handshake.lost_thread()
