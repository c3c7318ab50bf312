"""The BMC of a node that was deleted, or got another, is nobody else's while its collector may command it."""

from __future__ import annotations

import asyncio

import pytest

from kraken.daemon.operations import Operations, Request
from kraken.errors import RefusedError
from kraken.testing.pair import Pair

ME = Request("ann", yes=True)
BMC = {"bmc.address": "10.1.0.1", "bmc.protocol": "ipmi"}


async def declare(pair: Pair, node: str, **attributes: object) -> None:
    await Operations(pair.root).apply({"nodes": {node: {"attributes": {**BMC, **attributes}}}}, ME)


async def until_heard(pair: Pair, node: str) -> None:
    async with asyncio.timeout(60.0):
        while node not in pair.child.collector.table:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_it_is_refused_to_another_until_the_collector_let_go_of_the_node(pair: Pair) -> None:
    """Cut off, it goes on to switch what it takes for n1, while n9 would be switched by the root."""
    await declare(pair, "n1", collectors=["c1"])
    await until_heard(pair, "n1")
    await pair.stop("c1")
    await Operations(pair.root).delete(["n1"], ME)
    with pytest.raises(RefusedError, match="was that of n1, and collector c1 has not let go"):
        await declare(pair, "n9")

    assert "n9" not in pair.root.collector.table
    await declare(pair, "n8", **{"bmc.address": "10.1.0.8"})

    await pair.start("c1")
    async with asyncio.timeout(60.0):
        while "n9" not in pair.root.collector.table:
            try:
                await declare(pair, "n9")
            except RefusedError:
                await asyncio.sleep(0.05)

    assert "n1" not in pair.child.collector.table


async def test_who_deletes_a_node_of_a_silent_collector_learns_that_it_goes_on(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    await declare(pair, "n1", collectors=["c1"])
    await declare(pair, "n2", **{"bmc.address": "10.1.0.2"})
    await until_heard(pair, "n1")
    assert pair.root.seat is not None
    monkeypatch.setattr(pair.root.seat.tree, "silence", lambda node: ("c1", 1000.0))
    items = await Operations(pair.root).delete(["n1", "n2"], ME)

    assert [item.message for item in items] == [
        "forgotten; collector c1 is not heard, and goes on with it until it hears of that",
        "forgotten",
    ]


async def test_a_node_may_get_another_name_below_the_same_collector(pair: Pair) -> None:
    await declare(pair, "n1", collectors=["c1"])
    await until_heard(pair, "n1")
    await pair.stop("c1")
    await Operations(pair.root).delete(["n1"], ME)
    with pytest.raises(RefusedError, match="has not let go"):
        await declare(pair, "n9", collectors=["c1", "root"])
    await declare(pair, "n9", collectors=["c1"])

    assert "n9" in pair.root.collector.table


async def test_who_made_sure_that_the_collector_runs_nothing_may_use_its_bmcs(pair: Pair) -> None:
    await declare(pair, "n1", collectors=["c1"])
    await until_heard(pair, "n1")
    await pair.stop("c1")
    await Operations(pair.root).delete(["n1"], ME)
    assert pair.root.seat is not None
    pair.root.seat.remove_child("c1", fenced=True)
    await declare(pair, "n9")

    assert "n9" in pair.root.collector.table


async def test_it_is_refused_to_another_until_the_collector_knows_of_the_new_one(pair: Pair) -> None:
    await declare(pair, "n1", collectors=["c1"])
    await until_heard(pair, "n1")
    await pair.stop("c1")
    await declare(pair, "n1", **{"bmc.address": "10.1.0.7"})
    with pytest.raises(RefusedError, match="was that of n1, and collector c1 has not let go"):
        await declare(pair, "n9")

    await declare(pair, "n1")
    await declare(pair, "n1", **{"bmc.address": "10.1.0.7"})
    await pair.start("c1")
    async with asyncio.timeout(60.0):
        while "n9" not in pair.root.collector.table:
            try:
                await declare(pair, "n9")
            except RefusedError:
                await asyncio.sleep(0.05)

    assert pair.child.collector.table["n1"].attribute("bmc.address") == "10.1.0.7"
