"""How long a lease may be promised, and may have been."""

from __future__ import annotations

import pytest

from kraken.sync.lease import LEASE_S, SKEW
from kraken.sync.longest import LEVELS, Longest

TOLD_S = 600.0 * (1 + LEVELS * SKEW)  # what each level adds for clocks that go at different rates


def test_what_a_former_life_promised_binds_for_as_long_as_it_may_have_been() -> None:
    assert Longest(0.0, 60.0, 600.0).former_until == TOLD_S + LEASE_S
    assert Longest(0.0, 600.0, 60.0).former_until == TOLD_S + LEASE_S


def test_the_next_life_hears_of_it_as_long_as_it_binds() -> None:
    longest = Longest(0.0, 60.0, 600.0)

    assert not longest.tidy(LEASE_S + TOLD_S - 1.0)
    assert longest.promised_s == 600.0
    assert longest.tidy(LEASE_S + TOLD_S)
    assert longest.promised_s == 60.0
    assert not longest.tidy(LEASE_S + TOLD_S)


def test_what_modules_said_in_this_life_may_have_been_promised() -> None:
    longest = Longest(0.0, 60.0, 0.0)

    assert longest.become(600.0)
    assert not longest.become(30.0)
    assert (longest.now_s, longest.promised_s) == (30.0, 600.0)


@pytest.mark.parametrize(
    ("now_s", "seconds", "allowed"),
    [(60, 60.5, True), (60, 62, False), (0, 1e6, True), (7200, 7200 * (1 + SKEW) ** 4, True)],
)
def test_no_longer_lease_is_promised_than_a_mutation_may_take(
    now_s: float, seconds: float, allowed: bool
) -> None:
    assert Longest(0.0, now_s, 0.0).allows(seconds) is allowed
