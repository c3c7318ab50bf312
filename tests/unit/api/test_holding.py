"""Holds over two daemons in a tree: what is said of them is so where the nodes are run."""

from __future__ import annotations

import pytest

from kraken.api import holding
from kraken.executors.fake import Behaviour
from kraken.model.module import Mutation
from kraken.sync.letters import Call
from kraken.testing.pair import Pair
from tests.unit.api.conftest import Caller
from tests.unit.api.test_across import root, until

__all__ = ["root"]

SLOW_S = 3600.0
HOLD = {"nodeset": "n[1-2]", "reason": "a new fan"}


@pytest.fixture
async def two(pair: Pair, root: Caller) -> Pair:
    """n1 is run by the child, n2 by the root; both have converged."""
    await pair.declare("n1", power="ON")
    await root.apply({"nodes": {"n2": {"cfg": {"power": "ON"}}}})
    await until(lambda: pair.cause("root", "n1") == pair.cause("root", "n2") == "CONVERGED")
    return pair


async def test_nodes_are_held_where_they_are_run_when_they_are_told_to_be(two: Pair, root: Caller) -> None:
    told = await root.post("/v1/holds", HOLD)

    assert [hold.reason for hold in two.child.collector.holds.of("n1")] == ["a new fan"]
    assert (told["lacking"], two.cause("c1", "n1")) == ({}, "HELD")
    assert {item["message"] for item in told["items"]} == {"held: a new fan"}


async def test_who_holds_a_node_of_a_collector_that_is_away_learns_that_it_goes_on(
    two: Pair, root: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "HOLD_S", 0.1)
    await two.stop("c1")
    told = await root.post("/v1/holds", HOLD)
    frozen = await root.post("/v1/freeze", {"reason": "power works"})

    assert list(told["lacking"]) == ["n1"]
    assert "collector c1" in told["lacking"]["n1"]
    assert told["lacking"]["n1"].endswith("not in force before it hears of it")
    assert frozen["frozen"]["reason"] == "power works"
    assert frozen["lacking"] == {"c1": told["lacking"]["n1"]}

    await two.start("c1")
    await until(lambda: two.child.collector.holds.on("n1", two.child.clock()))

    assert {hold.reason for hold in two.child.collector.holds.on("n1", two.child.clock())} == {
        "a new fan",
        "power works",
    }


async def test_a_freeze_is_in_force_everywhere_when_it_is_told_to_be(two: Pair, root: Caller) -> None:
    frozen = await root.post("/v1/freeze", {"reason": "power works"})

    assert frozen["lacking"] == {}
    assert two.cause("c1", "n1") == two.cause("root", "n2") == "HELD"


async def test_a_collector_that_has_not_heard_of_the_hold_yet_is_told_of(
    two: Pair, root: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers, and what is declared is late: it is not believed to know."""
    monkeypatch.setattr(holding, "HOLD_S", 0.1)
    monkeypatch.setattr(two.child.collector.holds, "add", lambda hold: None)
    told = await root.post("/v1/holds", HOLD)

    assert list(told["lacking"]) == ["n1"]
    assert told["lacking"]["n1"].startswith("collector c1 has not heard of it yet")


async def test_a_collector_of_a_version_that_cannot_tell_is_not_believed_to_know(
    two: Pair, root: Caller
) -> None:
    assert two.child.seat is not None
    del two.child.seat.answers[holding.VERB]
    told = await root.post("/v1/holds", HOLD)

    assert list(told["lacking"]) == ["n1"]


@pytest.mark.parametrize("answer", [b"", b"\x92\x91\xa1\xff\x80"])
async def test_an_answer_that_is_none_is_not_believed(two: Pair, root: Caller, answer: bytes) -> None:
    async def garbled(call: Call) -> tuple[int, bytes]:
        return 200, answer

    assert two.child.seat is not None
    two.child.seat.answers[holding.VERB] = garbled
    told = await root.post("/v1/holds", HOLD)

    assert told["lacking"] == {
        "n1": "collector c1 answers what nobody here understands; not in force before it hears of it"
    }


@pytest.mark.parametrize("by", ["root", "c1"])
async def test_what_was_begun_before_is_told_with_the_hold(pair: Pair, root: Caller, by: str) -> None:
    pair.worlds[by].behave = lambda node, operator: Behaviour(
        SLOW_S if isinstance(operator, Mutation) else 0.0
    )
    if by == "c1":
        await pair.declare("n1", power="ON")
    else:
        await root.apply({"nodes": {"n1": {"cfg": {"power": "ON"}}}})
    await until(lambda: pair.mutations(by) == ["switch_on"])
    told = await root.post("/v1/holds", {"nodeset": "n1", "reason": "a new fan"})

    assert told["lacking"] == {}
    assert [item["message"] for item in told["items"]] == [
        "held: a new fan; lab.switch_on was begun before, and is under way still"
    ]


async def test_a_hold_may_not_be_known_to_who_had_a_node_that_nobody_runs_now(
    two: Pair, root: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert two.root.seat is not None
    said = two.root.collector.table["n1"].summary["cause"]
    monkeypatch.setattr(two.root.seat.tree, "nobody", lambda node: said if node == "n1" else None)
    told = await root.post("/v1/holds", HOLD)
    (listed, _) = (await root.get("/v1/nodes"))["nodes"]

    assert told["lacking"] == {"n1": "nobody runs it now, and who had it may not know that it is held"}
    assert (listed["name"], listed["cause"], listed["collector"]) == ("n1", "UNKNOWN", "")
