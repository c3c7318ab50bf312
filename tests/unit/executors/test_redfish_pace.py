"""How many requests the BMCs of one subnet get over Redfish, and who waits."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from kraken.model.run import Outcome
from tests.unit.executors.redfish_site import QUICK, Site, seen, until


async def test_a_subnet_gets_no_more_requests_than_its_share_and_all_are_answered(tmp_path: Path) -> None:
    site = Site(tmp_path, replace(QUICK, requests_per_s=20))
    try:
        bmcs = [await site.add() for _ in range(10)]
        began = asyncio.get_running_loop().time()
        found = await site.ask("power_status", timeout_s=30.0)
        took_s = asyncio.get_running_loop().time() - began
        sent = sum(len(bmc.asked) for bmc in bmcs)
    finally:
        await site.close()

    assert {result.outcome for result in found.values()} == {Outcome.OK}
    assert sent == 40
    assert sent <= 20 * (1 + took_s) + 1, "a second's worth saved up, and the rate"


async def test_what_had_no_turn_in_time_is_told_so_and_is_no_silence(tmp_path: Path) -> None:
    site = Site(tmp_path, replace(QUICK, requests_per_s=4))
    try:
        await site.add()
        await site.add()
        await site.ask("power_status", "n0")
        late = (await site.ask("power_status", "n1", timeout_s=0.1))["n1"]
        again = (await site.ask("power_status", "n1", timeout_s=30.0))["n1"]
    finally:
        await site.close()

    assert "had no turn in time: raise redfish.requests_per_s, or ask its subnet less" in late.message
    assert late.observed == {}
    assert again.observed == seen("POWER_OFF"), "it is not backed off from"


async def test_a_mutation_goes_before_the_looks_that_wait(tmp_path: Path) -> None:
    site = Site(tmp_path, replace(QUICK, requests_per_s=10))
    try:
        bmcs = [await site.add() for _ in range(6)]
        await site.ask("power_status", "n5", timeout_s=30.0)
        looks = asyncio.create_task(site.ask("power_status", "n0", "n1", "n2", "n3", "n4", timeout_s=30.0))
        await until(lambda: sum(len(bmc.asked) for bmc in bmcs) >= 10)
        await site.ask({"power": "on"}, "n5", timeout_s=30.0)
        looked = sum(len(bmc.asked) for bmc in bmcs[:5])
        await looks
    finally:
        await site.close()

    assert bmcs[5].resets == ["On"]
    assert looked < 20, "looks wait while a mutation has requests to make"
