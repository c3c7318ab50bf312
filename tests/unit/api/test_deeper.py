"""Collectors further down than our children: what only their parents know is asked when it is wanted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from kraken.api.collectorrows import CollectorRow, completed
from kraken.api.deeper import Answers, ToldFlow, ToldRow, ask
from kraken.api.relay import Told
from kraken.daemon.config import Tree
from kraken.executors.fake import FakeWorld
from kraken.testing.pair import Pair, running_pair
from kraken.transport import Keyring, join
from tests.unit.api.conftest import Caller

ONLY_ASKED = ("heard_s", "lag_s", "joined_at", "flow")


@pytest.fixture
async def pair(tmp_path: Path, unused_tcp_port_factory: Callable[[], int]) -> AsyncIterator[Pair]:
    """A root, its child c1, and g1 below that."""
    async with running_pair(tmp_path, unused_tcp_port_factory()) as pair:
        await pair.stop("c1")
        pair.trees["c1"] = Tree(listen=f"127.0.0.1:{unused_tcp_port_factory()}")
        await pair.start("c1")
        pair.trees["g1"], pair.worlds["g1"] = Tree(), FakeWorld({})
        state = tmp_path / "g1" / "state"
        state.mkdir(parents=True)
        assert pair.child.neighbours is not None
        await join(pair.child.neighbours.invite("g1", 60.0), Keyring(state))
        await pair.start("g1")
        yield pair
        await pair.stop("g1")


@pytest.fixture
async def root(callers: dict[str, Caller]) -> Caller:
    """Speaks to the root, which has heard of g1."""
    root = callers["root"]
    await listed(root, "known", lambda rows: rows.get("g1", {}).get("state") == "CONNECTED")
    return root


async def listed(caller: Caller, below: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The answer, as soon as it holds of its rows by name."""
    async with asyncio.timeout(60.0):
        while True:
            answer: dict[str, Any] = await caller.get(f"/v1/collectors?below={below}")
            if holds({row["name"]: row for row in answer["collectors"]}):
                return answer
            await asyncio.sleep(0.02)


def row(answer: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (row for row in answer["collectors"] if row["name"] == name)
    return dict(found)


async def test_a_parent_further_down_tells_of_its_children_what_only_it_knows(
    pair: Pair, root: Caller, callers: dict[str, Caller]
) -> None:
    answer = await root.get("/v1/collectors?below=asked")
    told, known = row(answer, "g1"), row(await root.get("/v1/collectors"), "g1")
    there = row(await callers["c1"].get("/v1/collectors"), "g1")

    assert answer["unanswered"] == {}
    assert all(told[name] is not None and known[name] is None for name in ONLY_ASKED)
    assert (told["parent"], told["state"], told["key"], known["key"]) == (
        "c1", "CONNECTED", there["key"], "",
    )  # fmt: skip
    assert told["since"] == pytest.approx(there["since"], abs=30.0)


async def test_who_was_only_invited_below_another_is_seen_when_that_one_is_asked(
    pair: Pair, root: Caller
) -> None:
    await root.post("/v1/collectors/invite", {"name": "g2"}, headers={"Kraken-At": "c1"})
    asked = row(await root.get("/v1/collectors?below=asked"), "g2")

    assert (asked["parent"], asked["state"], asked["nodes"], asked["modules"]) == ("c1", "INVITED", 0, "")
    assert [one["name"] for one in (await root.get("/v1/collectors"))["collectors"]] == ["c1", "g1"]


async def test_only_own_children_are_listed_where_only_they_are_wanted(pair: Pair, root: Caller) -> None:
    own = await root.get("/v1/collectors?below=own")
    problem = await root.problem("GET", "/v1/collectors?below=all")

    assert [one["name"] for one in own["collectors"]] == ["c1"]
    assert (problem["status"], problem["key"]) == (422, "below")


async def test_a_parent_that_does_not_answer_is_named_and_its_children_are_as_they_are_known(
    pair: Pair, root: Caller
) -> None:
    assert pair.child.seat is not None
    pair.child.seat.answers.clear()
    answer = await root.get("/v1/collectors?below=asked")

    assert list(answer["unanswered"]) == ["c1"]
    assert row(answer, "g1") == row(await root.get("/v1/collectors"), "g1")


async def test_who_is_not_heard_is_not_asked(
    pair: Pair, root: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is below it is away, too, and nobody waits for an answer that cannot come."""
    assert pair.root.seat is not None
    pair.root.seat.tree.links["c1"].is_up = False
    asked: list[str] = []
    monkeypatch.setattr(pair.root.seat, "ask", lambda collector, *rest: asked.append(collector))
    answer = await root.get("/v1/collectors?below=asked")

    assert asked == []
    assert (answer["unanswered"], row(answer, "g1")["state"]) == ({}, "AWAY")


async def test_a_history_without_nodes_names_every_journal_but_that_of_agents_that_do_nothing(
    pair: Pair, root: Caller, callers: dict[str, Caller]
) -> None:
    """c1 runs nothing, and knows when g1 came and went."""
    assert (await root.get("/v1/history"))["elsewhere"] == {"c1": ""}
    assert (await callers["c1"].get("/v1/history"))["elsewhere"] == {}

    await root.apply({"nodes": {"n1": {"attributes": {"collectors": ["g1"]}, "cfg": {"power": "ON"}}}})
    async with asyncio.timeout(60.0):
        while (await root.get("/v1/nodes/n1"))["collector"] != "g1":  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    assert (await root.get("/v1/history"))["elsewhere"] == {"c1": "", "g1": ""}


async def test_what_became_of_a_collector_further_down_is_in_the_journal_of_its_parent(
    pair: Pair, root: Caller, callers: dict[str, Caller]
) -> None:
    here = await root.get("/v1/history?nodeset=g1")
    there = await root.get("/v1/history?nodeset=g1", headers={"Kraken-At": "c1"})
    child = await root.get("/v1/history?nodeset=c1")
    problem = await root.problem("GET", "/v1/history?nodeset=g1,g9")

    assert (here["entries"], here["elsewhere"]) == ([], {"c1": "g1"})
    assert "joined" in [entry["text"] for entry in there["entries"]]
    assert (child["elsewhere"], there["elsewhere"]) == ({}, {})
    assert problem["part"] == "g9"


async def test_a_run_that_this_journal_does_not_have_may_be_in_that_of_another(
    pair: Pair, root: Caller
) -> None:
    before = await root.problem("GET", "/v1/runs/1-1")
    await pair.declare("n1", power="ON")
    async with asyncio.timeout(60.0):
        while pair.cause("root", "n1") != "CONVERGED":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    after = await root.problem("GET", "/v1/runs/1-1")

    assert before["hint"] == "`kraken runs` lists them"
    assert after["hint"].endswith("; those of others are in their journals: `kraken --at c1 runs`")


def told(name: str, parent: str, state: str = "CONNECTED", **more: Any) -> ToldRow:
    return ToldRow(name=name, parent=parent, state=state, **more)


class Below:
    """Parents that answer as they are told to. Stands for a tree of many."""

    def __init__(self, answers: dict[str, tuple[int, bytes]]) -> None:
        self.answers = answers
        self.under_way = self.most = 0

    async def ask(
        self, collector: str, method: str, path: str, caller: str, body: bytes = b"", within_s: float = 0.0
    ) -> tuple[int, Told]:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        status, answer = self.answers[collector]
        return status, Told("application/json", answer)


def said(at: float, *rows: dict[str, Any]) -> tuple[int, bytes]:
    return 200, json.dumps({"at": at, "collectors": rows}).encode()


async def asked_of(answers: dict[str, tuple[int, bytes]], now: float = 1000.0) -> tuple[Answers, Below]:
    below = Below(answers)
    return await ask(below, list(answers), "ann", now), below  # type: ignore[arg-type]


async def test_moments_are_told_by_the_clock_of_who_asks() -> None:
    """A parent whose clock is an hour behind does not make its children an hour older."""
    one = {"name": "g1", "parent": "c1", "state": "CONNECTED", "since": -2700.0, "heard_s": 2.0}
    found, _ = await asked_of({"c1": said(-2600.0, one)})
    (told,) = found.rows["c1"]

    assert told.since == pytest.approx(900.0, abs=5.0)
    assert (told.heard_s, told.joined_at) == (2.0, None)


async def test_a_collector_tells_of_its_own_children_alone() -> None:
    """One of another version lists all that it knows below it."""
    rows = [{"name": name, "parent": parent, "state": "AWAY"} for name, parent in (("g1", "c1"), ("h", "g1"))]
    found, _ = await asked_of({"c1": said(1000.0, *rows)})

    assert [told.name for told in found.rows["c1"]] == ["g1"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((503, b'{"detail": "c1 is not reached"}'), "c1 is not reached"),
        ((200, b"{}"), "its answer cannot be read (status 200)"),
        ((502, b"<html>"), "its answer cannot be read (status 502)"),
        ((500, b'["no"]'), "its answer cannot be read (status 500)"),
    ],
)
async def test_an_answer_that_is_none_costs_the_others_nothing(answer: tuple[int, bytes], why: str) -> None:
    found, _ = await asked_of({"c1": answer, "c2": said(1000.0)})

    assert found == Answers({"c2": []}, {"c1": why})


async def test_of_a_thousand_parents_a_few_are_asked_at_once() -> None:
    found, below = await asked_of({f"c{i}": said(1000.0) for i in range(1000)})

    assert len(found.rows) == 1000
    assert 1 < below.most <= 32


def known(name: str, parent: str) -> CollectorRow:
    return {"name": name, "parent": parent, "state": "AWAY", "nodes": 7, "key": ""}  # type: ignore[typeddict-item]


def test_what_a_parent_says_is_of_those_that_hang_below_it_as_far_as_is_known_here() -> None:
    """One that moved is where its new parent hears it: the old one still has it as a child that is away."""
    rows = [known("g1", "c1"), known("moved", "c2")]
    flow = ToldFlow(letters_in_s=1.0)
    says = {"c1": [told("g1", "c1", flow=flow), told("moved", "c1", "AWAY", key="K"), told("root", "c1")]}
    found = {row["name"]: row for row in completed(rows, says, "root")}

    assert list(found) == ["g1", "moved"], "nobody below us has our name"
    assert (found["g1"]["state"], found["g1"]["nodes"]) == ("CONNECTED", 7)
    assert found["g1"]["flow"] == {
        "letters_in_s": 1.0, "bytes_in_s": 0.0, "letters_out_s": 0.0, "bytes_out_s": 0.0, "dropped": 0,
    }  # fmt: skip
    assert found["moved"] == known("moved", "c2")
