"""What is logged of many collectors at once."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from kraken.daemon import crowd
from kraken.daemon.crowd import Crowd, Line

UP = Line(logging.INFO, "one is up", "many are up")
DOWN = Line(logging.WARNING, "one is down", "many are down")

Eventually = Callable[[Callable[[], Any]], Awaitable[None]]
Told = list[tuple[str, str, str, object, object]]


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[Told]:
    """Level, message and keys of each line, as they are logged."""
    caplog.set_level(logging.INFO)
    found: Told = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            keys = vars(record)
            about = (keys["collector"], keys.get("collectors"), keys.get("nodes"))
            found.append((record.levelname, record.getMessage(), *about))

    logging.getLogger("crowd").addHandler(listener := Listener())
    try:
        yield found
    finally:
        logging.getLogger("crowd").removeHandler(listener)


@pytest.fixture
async def lines() -> Crowd:
    return Crowd(logging.getLogger("crowd"))


async def test_a_thousand_that_come_are_one_line_and_one_that_goes_is_another(
    lines: Crowd, told: Told
) -> None:
    for i in range(1000):
        lines.tell(UP, f"c{i}", 10)
    lines.tell(DOWN, "row1", 7)
    assert told == []

    lines.flush()

    assert told == [
        ("INFO", "many are up", "c[0-999]", 1000, 10_000),
        ("WARNING", "one is down", "row1", None, 7),
    ]


async def test_one_that_goes_and_comes_back_is_told_of_in_that_order(lines: Crowd, told: Told) -> None:
    lines.tell(DOWN, "c1")
    lines.tell(DOWN, "c2")
    lines.tell(UP, "c1")
    lines.tell(DOWN, "c1")
    lines.flush()

    assert told == [
        ("WARNING", "many are down", "c[1-2]", 2, None),
        ("INFO", "one is up", "c1", None, None),
        ("WARNING", "one is down", "c1", None, None),
    ]


async def test_it_is_told_by_itself_and_once(
    lines: Crowd, told: Told, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowd, "GATHER_S", 0.0)
    lines.tell(UP, "c1", 3)
    await eventually(lambda: told)
    assert told == [("INFO", "one is up", "c1", None, 3)]

    lines.flush()

    assert len(told) == 1
