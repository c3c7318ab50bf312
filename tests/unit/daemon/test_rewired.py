"""A BMC that became another node's is switched by nobody until who had it as the first has let go of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from kraken.daemon.operations import Operations, Request
from kraken.errors import RefusedError
from kraken.testing.pair import Pair

ME = Request("ann", yes=True)
BMC = {"bmc.address": "10.1.0.1", "bmc.protocol": "ipmi"}
OTHER = {**BMC, "bmc.address": "10.1.0.2"}


async def declare(pair: Pair, **nodes: dict[str, object]) -> dict[str, str]:
    """Declare these nodes at the root; what is told of each."""
    document = {"nodes": {node: {"attributes": attributes} for node, attributes in nodes.items()}}
    items = await Operations(pair.root).apply(document, ME)
    return {item.node: item.message for item in items}


async def until(so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60.0):
        while not so():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def given_to_the_child(pair: Pair, node: str) -> None:
    await until(lambda: node in pair.child.collector.table and pair.child.collector.runs(node))


def why(pair: Pair, node: str) -> str:
    """What the root says of a node that it does not run."""
    explanation = pair.root.collector.explain(node, pair.root.clock())
    return f"{explanation.reason}; {explanation.next}"


async def test_it_is_no_other_nodes_until_the_collector_let_go_of_the_first(pair: Pair) -> None:
    """Cut off, it goes on to switch what it takes for n1, while n9 would be switched by the root."""
    await declare(pair, n1={**BMC, "collectors": ["c1"]})
    await given_to_the_child(pair, "n1")
    await pair.stop("c1")
    await Operations(pair.root).delete(["n1"], ME)
    await declare(pair, n9=BMC)

    assert not pair.root.collector.runs("n9")
    assert "collector c1 may still switch its BMC 10.1.0.1 as that of n1" in why(pair, "n9")
    assert "`kraken collector revoke c1 --stopped` by who made sure" in why(pair, "n9")
    told = [event for event in pair.root.events.newer(0) if event.kind == "nobody" and "n9" in event.nodes]
    assert [event.data["reason"] for event in told] == ["collector c1 may still switch its BMC as another's"]

    await declare(pair, n8=OTHER)

    assert pair.root.collector.runs("n8")

    await pair.start("c1")
    await until(lambda: pair.root.collector.runs("n9"))

    assert "n1" not in pair.child.collector.table


async def test_the_next_life_of_the_root_knows_it_too(pair: Pair) -> None:
    await declare(pair, n1={**BMC, "collectors": ["c1"]})
    await given_to_the_child(pair, "n1")
    await pair.stop("c1")
    await Operations(pair.root).delete(["n1"], ME)
    await pair.stop("root")
    await pair.start("root")
    await declare(pair, n9=BMC)

    assert not pair.root.collector.runs("n9")
    assert "collector c1 may still switch its BMC 10.1.0.1 as that of n1" in why(pair, "n9")


async def test_a_root_that_ended_before_it_took_a_deleted_node_away_takes_it_then(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    await declare(pair, n1={**BMC, "collectors": ["c1"]})
    await given_to_the_child(pair, "n1")
    await pair.stop("c1")
    monkeypatch.setattr(pair.root.collector, "accept", lambda arrivals, now: [])
    await Operations(pair.root).delete(["n1"], ME)
    await pair.stop("root")
    await pair.start("root")
    await declare(pair, n9=BMC)

    assert "n1" not in pair.root.collector.table
    assert not pair.root.collector.runs("n9")

    await pair.start("c1")
    await until(lambda: pair.root.collector.runs("n9"))


async def test_two_nodes_may_exchange_theirs_in_one_document(pair: Pair) -> None:
    await declare(pair, n1={**BMC, "collectors": ["c1"]}, n2=OTHER)
    await given_to_the_child(pair, "n1")
    await pair.stop("c1")
    told = await declare(pair, n1=OTHER, n2=BMC)

    assert not pair.root.collector.runs("n2")
    assert set(told) == {"n1", "n2"}
    assert "collector c1 may still switch its BMC 10.1.0.1 as that of n1" in why(pair, "n2")
    assert "collector c1 may still switch its former BMC 10.1.0.1" in why(pair, "n1")

    await pair.start("c1")
    await until(lambda: pair.root.collector.runs("n2"))
    await given_to_the_child(pair, "n1")

    assert pair.child.collector.table["n1"].attribute("bmc.address") == "10.1.0.2"


async def test_two_nodes_of_one_document_cannot_have_one(pair: Pair) -> None:
    with pytest.raises(RefusedError, match="would belong to n\\[1-2\\]") as refused:
        await declare(pair, n1=BMC, n2=BMC)

    assert "two that exchange theirs are declared in one document" in refused.value.hint


async def test_who_declares_it_while_the_collector_is_silent_is_told_at_once(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    await declare(pair, n1={**BMC, "collectors": ["c1"]}, n2=OTHER)
    await given_to_the_child(pair, "n1")
    await pair.stop("c1")
    assert pair.root.seat is not None
    silent = ("c1", pair.root.clock() - 47.0)
    monkeypatch.setattr(pair.root.seat.tree, "silence", lambda node: silent if node == "n1" else None)
    told = await declare(pair, n1={**BMC, "bmc.address": "10.1.0.7"}, n2=BMC)

    assert told == {
        "n1": "nobody runs it until collector c1, which is not heard, has let go of it",
        "n2": "nobody runs it until collector c1, which is not heard, has let go of n1",
    }
    assert "as that of n1; collector c1 not heard for 47 s" in why(pair, "n2")
    assert "collector c1 not heard for 47 s; collector c1 may still switch its former BMC" in why(pair, "n1")


async def test_who_deletes_a_node_of_a_silent_collector_learns_that_it_goes_on(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    await declare(pair, n1={**BMC, "collectors": ["c1"]}, n2=OTHER)
    await given_to_the_child(pair, "n1")
    assert pair.root.seat is not None
    monkeypatch.setattr(pair.root.seat.tree, "silence", lambda node: ("c1", 1000.0))
    items = await Operations(pair.root).delete(["n1", "n2"], ME)

    assert [item.message for item in items] == [
        "forgotten; collector c1 is not heard, and goes on with it until it hears of that",
        "forgotten",
    ]


async def test_who_made_sure_that_the_collector_runs_nothing_may_use_its_bmcs(pair: Pair) -> None:
    await declare(pair, n1={**BMC, "collectors": ["c1"]})
    await given_to_the_child(pair, "n1")
    await pair.stop("c1")
    await Operations(pair.root).delete(["n1"], ME)
    await declare(pair, n9=BMC)
    assert pair.root.seat is not None
    pair.root.seat.remove_child("c1", fenced=True)

    assert pair.root.collector.runs("n9")


async def test_a_node_that_gets_another_goes_on_below_its_collector(pair: Pair) -> None:
    await declare(pair, n1={**BMC, "collectors": ["c1"]})
    await given_to_the_child(pair, "n1")
    await declare(pair, n1=OTHER)
    await until(
        lambda: (
            "n1" in pair.child.collector.table
            and pair.child.collector.table["n1"].attribute("bmc.address") == "10.1.0.2"
            and pair.child.collector.runs("n1")
        )
    )

    assert pair.root.collector.runner("n1") == "c1"
