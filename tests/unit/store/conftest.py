"""Real stores on real files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kraken.model.update import PRESENCE, PRESENT, Side, Stamp, StateUpdate, Value
from kraken.store import Store

Update = Callable[..., StateUpdate]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "kraken.db"


@pytest.fixture
def reopen(path: Path) -> Iterator[Callable[[], Store]]:
    """Each call ends the store before, as a restart does, and opens the file again."""
    opened: list[Store] = []

    def again() -> Store:
        while opened:
            opened.pop().close()
        opened.append(Store.open(path))
        return opened[0]

    yield again
    while opened:
        opened.pop().close()


@pytest.fixture
def store(reopen: Callable[[], Store]) -> Store:
    return reopen()


@pytest.fixture
def update() -> Update:
    """Makes records; each is newer than the one before."""
    made = 0

    def make(
        node: str,
        variable: str = PRESENCE,
        value: Value = PRESENT,
        side: Side = Side.ATTRIBUTE,
        stamp: tuple[int, int] | None = None,
        seen_at: float = 1000.0,
    ) -> StateUpdate:
        nonlocal made
        made += 1
        return StateUpdate(node, side, variable, value, Stamp(*(stamp or (1, made))), seen_at, "tests")

    return make
