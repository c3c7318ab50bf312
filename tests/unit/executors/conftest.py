"""BMCs to ask, and an executor of Ansible, as most tests of executors want them."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from kraken.executors.ansible import AnsibleExecutor
from tests.unit.executors.ansible_stage import FORKED, below, make_ready
from tests.unit.executors.ipmi_stage import Stage
from tests.unit.executors.redfish_site import Site


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(tmp_path)
    yield made
    await made.close()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where executors keep their runs."""
    work = tmp_path / "work"
    work.mkdir()
    return work


@pytest.fixture
async def executor(directory: Path, request: pytest.FixtureRequest) -> AsyncIterator[AnsibleExecutor]:
    """One that starts each run as a program; with the parameter FORKED, one that forks them."""
    executor = AnsibleExecutor(work_directory=directory, forkserver=getattr(request, "param", None) == FORKED)
    if executor.forkserver:
        await make_ready(executor)
    yield executor
    await executor.close()
    gc.collect()

    assert below(directory) == []


@pytest.fixture
async def let_pass() -> AsyncIterator[Callable[[float], None]]:
    """Seconds that pass at once for the loop: no test waits for a time to be over."""
    loop = asyncio.get_running_loop()
    real, ahead = loop.time, [0.0]
    loop.time = lambda: real() + ahead[0]  # type: ignore[method-assign]

    def let_pass(seconds: float) -> None:
        ahead[0] += seconds

    yield let_pass
    loop.time = real  # type: ignore[method-assign]
