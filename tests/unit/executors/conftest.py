"""BMCs to ask, as most tests of executors want them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

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
