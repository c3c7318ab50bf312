from __future__ import annotations

import pytest

from kraken.model.duration import format_duration, parse_duration


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("90s", 90.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("500ms", 0.5),
        ("1.5h", 5400.0),
        ("1d", 86400.0),
        ("1m30s500ms", 90.5),
        ("30", 30.0),
        (30, 30.0),
        (0.25, 0.25),
    ],
)
def test_a_duration_is_read_as_seconds(written: str | float, seconds: float) -> None:
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("", "not a duration"),
        ("soon", "not a duration"),
        ("5 m", "not a duration"),
        ("5x", "not a duration"),
        ("30m1h", "not a duration"),
        ("1h1h", "not a duration"),
        ("-5s", "not a duration"),
        (True, "not a duration"),
        (float("nan"), "not a duration"),
        (float("inf"), "not a duration"),
        (0, "not above zero"),
        ("0s", "not above zero"),
        (-1, "not above zero"),
        ("400d", "longer than a year"),
        pytest.param(10**400, "longer than a year", id="10**400"),
    ],
)
def test_what_is_no_duration_is_refused_with_the_reason(written: str | float, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_duration(written)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(90, "1m30s"), (5400, "1h30m"), (0.5, "500ms"), (86400, "1d"), (0, "0s"), (0.0001, "0s")],
)
def test_a_duration_is_written_shortest_with_great_units_first(seconds: float, written: str) -> None:
    assert format_duration(seconds) == written
