"""What has `runs_on: node` is done by the node's agent, and decided where the node is run."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from kraken.daemon.agents import Errand
from kraken.daemon.fingerprint import fingerprint
from kraken.daemon.operations import Operations, Request
from kraken.daemon.outage import Outage
from kraken.executors.fake import Behaviour
from kraken.model.module import Mutation
from kraken.model.run import NodeFacts
from kraken.sync.letters import Call, decode, encode
from kraken.testing.pair import Pair

Eventually = Callable[[Callable[[], Any]], Awaitable[None]]
ME = Request("ann", yes=True)
MODULE = """\
kraken_module: 1
name: sshd
summary: A service that its own node starts.
variables:
  sshd: {values: [STOPPED, RUNNING]}
discoveries:
  look: {observes: [sshd], every: 30s, timeout: 5s, runs_on: node, tasks: [{ansible.builtin.debug: {}}]}
mutations:
  start:
    mutates: {sshd: [STOPPED, RUNNING]}
    timeout: 20s
    runs_on: node
    tasks: [{ansible.builtin.debug: {msg: WORD}}]
"""


@pytest.fixture
async def pair(tmp_path: Path, unused_tcp_port: int) -> AsyncIterator[Pair]:
    """The child is the agent of n1, which the root runs."""
    pair = Pair(tmp_path, unused_tcp_port)
    for name in ("root", "c1"):
        (tmp_path / name / "modules").mkdir(parents=True)
        (tmp_path / name / "modules" / "sshd.yml").write_text(MODULE)
        pair.worlds[name].truth["n1"] = {"sshd": "STOPPED"}
    try:
        await pair.start("root")
        await pair.join()
        yield pair
    finally:
        await pair.stop("c1")
        await pair.stop("root")


async def declare(pair: Pair, **attributes: str) -> None:
    secret = {"ansible_host": "10.0.0.1"}
    document = {"nodes": {"n1": {"attributes": {**secret, **attributes}, "cfg": {"sshd": "RUNNING"}}}}
    await Operations(pair.root).apply(document, ME)


def reason(pair: Pair) -> str:
    return pair.root.collector.explain("n1", pair.root.clock()).reason


async def test_the_agent_does_it_and_the_collector_sees_it(pair: Pair, eventually: Eventually) -> None:
    await pair.start("c1")
    await declare(pair, agent="c1")
    await eventually(lambda: pair.cause("root", "n1") == "CONVERGED")

    assert pair.mutations("c1") == ["start"]
    assert pair.worlds["root"].runs == []
    assert pair.worlds["c1"]._attributes["n1"] == {
        "agent": "c1",
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
    }
    assert "n1" not in pair.child.collector.table
    async with asyncio.timeout(60):  # the journal is written a little later
        told = ""
        while "start: seen" not in told:
            told = str(await pair.root.journal.read(lambda store: store.history(limit=20)))
            await asyncio.sleep(0.01)


async def test_an_agent_that_is_not_there_is_told(pair: Pair, eventually: Eventually) -> None:
    await declare(pair)
    await eventually(lambda: "agent of n1: collector n1 is not reached from root" in str(looks(pair)))

    assert pair.worlds["root"].runs == []


async def test_of_an_agent_that_fell_silent_with_most_others_that_is_told_too(
    pair: Pair, eventually: Eventually
) -> None:
    await pair.start("c1")
    await declare(pair, agent="c1")
    await eventually(lambda: pair.cause("root", "n1") == "CONVERGED")
    await pair.stop("c1")
    branch = pair.root.collector.branch
    assert branch is not None
    branch.tree.links["c1"].is_up = False
    branch.outages.outage = outage = Outage(("a1", "a2", "c1"), 4, 77.0, 11.2)
    pair.root.look(["n1"])

    unreached = "agent of n1: collector c1 is not reached from root"
    await eventually(lambda: looks(pair) == [f"{unreached}; root is not well: {outage.text}"])


def looks(pair: Pair) -> list[str]:
    return [look.message for look in pair.root.collector.progress("n1").looks.values()]


async def test_an_agent_does_nothing_for_another_node(pair: Pair, eventually: Eventually) -> None:
    await pair.start("c1")
    await declare(pair, agent="c1")
    await eventually(lambda: pair.cause("root", "n1") == "CONVERGED")
    root = pair.root
    assert root.seat is not None
    status, body = await root.seat.ask("c1", "run", b"nonsense")

    assert (status, pair.mutations("c1")) == (409, ["start"])
    assert body


async def test_what_came_so_late_that_its_collector_may_have_given_it_up_is_not_begun(
    pair: Pair, eventually: Eventually
) -> None:
    """An agent that stood still finds letters of before, when it goes on."""
    child = await pair.start("c1")
    assert child.neighbours is not None
    hear = child.neighbours.on_letter

    def late(neighbour: str, data: bytes) -> None:
        letter = decode(data)
        if isinstance(letter.body, Call):
            data = encode(replace(letter, yours_ms=letter.yours_ms - 30_000))
        hear(neighbour, data)

    child.neighbours.on_letter = late
    await declare(pair, agent="c1")
    await eventually(lambda: "too late to be begun" in str(looks(pair)))

    assert pair.worlds["c1"].runs == []

    child.neighbours.on_letter = hear
    await eventually(lambda: pair.cause("root", "n1") == "CONVERGED")

    assert pair.mutations("c1") == ["start"]


async def test_what_goes_on_at_the_agent_is_not_begun_beside_itself_when_its_collector_restarts(
    pair: Pair, eventually: Eventually
) -> None:
    world = pair.worlds["c1"]
    world.behave = lambda node, operator: Behaviour(6.0 if isinstance(operator, Mutation) else 0.0)
    await pair.start("c1")
    await declare(pair, agent="c1")
    await eventually(lambda: pair.mutations("c1") == ["start"])
    await pair.stop("root")
    await pair.start("root")
    await eventually(lambda: pair.root.collector.progress("n1").underway)

    assert pair.cause("root", "n1") == "RUNNING"

    await eventually(lambda: pair.cause("root", "n1") == "CONVERGED")

    assert pair.mutations("c1") == ["start"]
    assert not pair.root.collector.progress("n1").underway, "it was not waited for as long as it might take"


async def test_what_goes_on_is_not_begun_beside_itself_and_nothing_is_begun_that_was_said_to_be_over(
    pair: Pair,
) -> None:
    world = pair.worlds["c1"]
    world.behave = lambda node, operator: Behaviour(0.5)
    child = await pair.start("c1")
    assert child.seat is not None
    do, is_over = child.seat.answers["run"], child.seat.answers["over"]
    mutation = child.collector.catalog.mutations["sshd.start"]

    def call(run: str) -> Call:
        facts = NodeFacts("n1", {"agent": "c1"})
        errand = Errand(run, mutation.key, fingerprint(mutation), 20.0, facts)
        return Call(run, "c1", "run", msgspec.msgpack.encode(errand), 20_000)

    async def over(run: str) -> bool:
        status, body = await is_over(Call("2", "c1", "over", msgspec.msgpack.encode((run, "n1")), 20_000))
        assert status == 200
        return bool(msgspec.msgpack.decode(body))

    first = asyncio.ensure_future(do(call("1-1")))
    await asyncio.sleep(0)

    assert (await do(call("1-2")))[0] == 503
    assert not await over("1-1")
    assert await over("1-3")
    assert (await first)[0] == 200
    assert await over("1-1")
    assert (await do(call("1-3")))[0] == 409, "its letter was late"
    assert (await do(call("1-4")))[0] == 200
    assert len(world.runs) == 2


async def test_an_agent_that_is_asked_after_what_is_no_run_says_so(pair: Pair) -> None:
    child = await pair.start("c1")
    assert child.seat is not None
    status, body = await child.seat.answers["over"](Call("2", "c1", "over", b"\xc1", 20_000))

    assert (status, bool(body)) == (409, True)


async def test_an_agent_that_answers_with_what_is_no_result_costs_only_its_own_node(
    pair: Pair, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    child = await pair.start("c1")
    assert child.seat is not None

    async def answer(call: Call) -> tuple[int, bytes]:
        return 200, b"\xc1nonsense"

    child.seat.answers["run"] = answer
    await declare(pair, agent="c1")
    await eventually(lambda: "agent of n1: its answer is no result" in str(looks(pair)))

    assert "executor failed" not in caplog.messages


async def test_a_module_of_other_content_is_not_taken_for_the_same(
    pair: Pair, tmp_path: Path, eventually: Eventually
) -> None:
    (tmp_path / "c1" / "modules" / "sshd.yml").write_text(MODULE.replace("WORD", "OTHER"))
    await pair.start("c1")
    await declare(pair, agent="c1")
    await eventually(lambda: "another way" in str(pair.root.collector.progress("n1").trouble.messages))

    assert pair.mutations("c1") == []


async def test_a_daemon_without_a_tree_says_that_it_has_no_agents(
    tmp_path: Path, start: Callable[..., Awaitable[Any]], eventually: Eventually
) -> None:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "sshd.yml").write_text(MODULE)
    daemon = await start()
    await Operations(daemon).apply({"nodes": {"n1": {"cfg": {"sshd": "RUNNING"}}}}, ME)
    await eventually(
        lambda: "has no agents" in str([x.message for x in daemon.collector.progress("n1").looks.values()])
    )
