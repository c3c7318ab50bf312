"""How much goes over the wire in a second."""

from __future__ import annotations

from kraken.daemon.rates import SAMPLES_MAX, Rate, Rates
from kraken.transport import Traffic


def test_a_rate_is_that_between_the_first_reading_kept_and_the_last() -> None:
    rates = Rates()
    traffic = {"c1": Traffic()}
    rates.add(100.0, traffic)
    traffic["c1"].letters_in, traffic["c1"].bytes_in = 20, 6000
    traffic["c1"].letters_out, traffic["c1"].bytes_out = 10, 500
    rates.add(110.0, traffic)

    assert rates.of("c1") == Rate(2.0, 600.0, 1.0, 50.0)


def test_who_came_between_two_readings_began_at_nothing_and_who_is_unknown_stays_there() -> None:
    rates = Rates()
    rates.add(0.0, {})
    rates.add(10.0, {"c1": Traffic(letters_in=5, bytes_in=50)})

    assert rates.of("c1") == Rate(letters_in=0.5, bytes_in=5.0)
    assert rates.of("c2") == Rate()


def test_one_reading_tells_nothing() -> None:
    rates = Rates()
    rates.add(0.0, {"c1": Traffic(letters_in=5)})

    assert rates.of("c1") == Rate()


def test_what_was_long_ago_does_not_count() -> None:
    rates = Rates()
    for n in range(SAMPLES_MAX + 1):
        rates.add(10.0 * n, {"c1": Traffic(letters_in=1000 if n else 0)})

    assert rates.of("c1").letters_in == 0.0
