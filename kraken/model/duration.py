"""Durations as people write them: `90s`, `5m`, `1h30m`, `500ms`."""

from __future__ import annotations

import math
import re

FORM = "a duration like 90s, 5m, 1h30m or 500ms, or a plain number of seconds"
DURATION_S_MAX = 366 * 86400.0  # whoever writes more has mistaken the unit

_UNITS_MS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_DURATION = re.compile("".join(rf"(?:(?P<{unit}>\d+(?:\.\d+)?){unit}(?![a-z]))?" for unit in _UNITS_MS))


def parse_duration(value: str | int | float) -> float:
    """Seconds, of what a person wrote; greatest units first, each once.

    Raises:
        ValueError: not a duration, not above zero, or longer than a year; the text is one clause
            that says so.
    """
    seconds = _seconds(value)
    if not seconds > 0:
        raise ValueError(f"{value} is not above zero")
    if seconds > DURATION_S_MAX:
        raise ValueError(f"{value} is longer than a year")
    return seconds


def format_duration(seconds: float) -> str:
    """The shortest form that `parse_duration` reads back, rounded to milliseconds: `1h30m`."""
    left = round(seconds * 1000)
    parts: list[str] = []
    for unit, unit_ms in _UNITS_MS.items():
        count, left = divmod(left, unit_ms)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _seconds(value: str | int | float) -> float:
    if isinstance(value, bool):
        raise ValueError(f"{value} is not a duration")
    if isinstance(value, int | float):
        if value != value or value in (math.inf, -math.inf):
            raise ValueError(f"{value} is not a duration")
        return float(min(value, DURATION_S_MAX * 2))  # an int may be too great to be a float
    text = value.strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    found = _DURATION.fullmatch(text)
    if not text or found is None:
        raise ValueError(f"{value!r} is not a duration")
    # Summed in milliseconds, so that 1h30m and 5400s are the same number.
    return sum(float(count) * _UNITS_MS[unit] for unit, count in found.groupdict("0").items()) / 1000
