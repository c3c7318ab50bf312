"""Real daemons over a fake world."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from kraken.daemon.daemon import Daemon
from kraken.daemon.operations import Operations, Request
from kraken.testing.daemons import living
from kraken.testing.pair import Pair, running_pair

PATIENCE_S = 180.0  # only ever reached by a failure
Start = Callable[..., Awaitable[Daemon]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts a daemon; each call ends the one before, as a restart does."""
    async with contextlib.AsyncExitStack() as lives:

        async def begin(directory: Path = tmp_path, **more: Any) -> Daemon:
            await lives.aclose()
            (directory / "state").mkdir(parents=True, exist_ok=True)
            return await lives.enter_async_context(living(directory, **more))

        yield begin


@pytest.fixture
async def operations(start: Start) -> Operations:
    return Operations(await start())


@pytest.fixture
def me() -> Request:
    return Request("me")


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any]], Awaitable[None]]:
    """Waits until it holds; fails after a minute."""

    async def wait(holds: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not holds():  # noqa: ASYNC110 - anything may be waited for
                await asyncio.sleep(0.01)

    return wait


@pytest.fixture
async def pair(tmp_path: Path, unused_tcp_port: int) -> AsyncIterator[Pair]:
    """A root and its child."""
    async with running_pair(tmp_path, unused_tcp_port) as pair:
        yield pair
