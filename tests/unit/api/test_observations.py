"""POST /v1/observations: what others have seen becomes Dsc, by whoever runs the node, or is refused whole."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from kraken.api.server import answering, unix_socket
from kraken.daemon.config import Api, Config
from kraken.daemon.daemon import Daemon
from kraken.executors.fake import FakeWorld, by_name
from kraken.testing.daemons import living
from kraken.testing.pair import Pair
from tests.unit.api.conftest import Caller

PATH = "/v1/observations"


@pytest.fixture
async def lab(caller: Caller) -> Caller:
    """Nodes n[1-3], of which n[1-2] were seen to be off by now."""
    await caller.apply({"nodes": {"n[1-3]": {}}}, user="ada")
    async with asyncio.timeout(60):
        while not (await caller.get("/v1/nodes/n1"))["dsc"]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return caller


async def test_what_was_seen_is_known_with_who_said_so(lab: Caller) -> None:
    body = {"observations": {"n[1-2]": {"image": "rocky9"}}}
    first = await lab.post(PATH, body, headers={"Kraken-User": "ada"})
    second = await lab.post(PATH, body, headers={"Kraken-User": "ada"})
    node = await lab.get("/v1/nodes/n2")

    assert first["changed"] == 2
    assert [item["diff"] for item in first["items"]] == [{"image": [None, "rocky9"]}] * 2
    assert second["changed"] == 0
    assert node["dsc"]["image"] == "rocky9"
    assert node["records"]["dsc"]["image"]["source"] == "reported by ada"
    sources: set[str] = set()
    async with asyncio.timeout(60):  # the journal is written a little later
        while "reported by ada" not in sources:
            entries = (await lab.get("/v1/history?nodeset=n2"))["entries"]
            sources = {entry["source"] for entry in entries if entry["kind"] == "dsc"}


async def test_the_age_is_that_of_the_observation(lab: Caller, daemon: Daemon) -> None:
    await lab.apply({"nodes": {"m1": {}}})
    presence = daemon.clock()
    too_old = await lab.problem("POST", PATH, {"observations": {"m1": {"image": "a"}}, "age_s": 60})
    await lab.post(PATH, {"observations": {"m1": {"image": "b"}}})

    assert "m1: it was declared since it was seen" in too_old["detail"]
    assert daemon.collector.table["m1"].dsc["image"].seen_at >= presence


async def test_what_was_seen_later_stands(
    lab: Caller, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = daemon.clock
    monkeypatch.setattr(daemon, "clock", lambda: clock() + 100.0)
    await lab.post(PATH, {"observations": {"n1": {"image": "new"}}}, headers={"Kraken-User": "ada"})
    refused = await lab.problem("POST", PATH, {"observations": {"n1": {"image": "old"}}, "age_s": 50})

    assert "n1: image was seen later, by reported by ada" in refused["detail"]
    assert (await lab.get("/v1/nodes/n1"))["dsc"]["image"] == "new"


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        ({"observations": {}}, "document", "nothing was observed"),
        ({"observations": {"n1": {}}}, "document", "expected variables with values"),
        ({"observations": {"n1": {"colour": "RED"}}}, "document", "unknown variable 'colour'"),
        ({"observations": {"n1": {"power": "MAYBE"}}}, "document", "power cannot be 'MAYBE'"),
        ({"observations": {"n1": {"power": True}}}, "document", "power cannot be 'true'"),
        ({"observations": {"n1": {"image": "a"}}, "age_s": -1}, "document", "cannot be -1 s old"),
        ({"observations": {"n1": {"image": "a"}}, "age_s": 1e9}, "document", "cannot be 1e+09 s old"),
        ({"observations": {"n9": {"image": "a"}}}, "unknown-node", "unknown node n9"),
        ({"observations": {"": {"image": "a"}}}, "nodeset", ""),
        (
            {"observations": {"n3,n1": {"service": "RUNNING", "power": "OFF"}}},
            "refused",
            "only while power is ON",
        ),
    ],
)
async def test_what_cannot_be_is_refused_for_all(lab: Caller, body: Any, kind: str, says: str) -> None:
    body["observations"] = {"n2": {"image": "rocky9"}, **body["observations"]} if body["observations"] else {}
    refused = await lab.problem("POST", PATH, body)

    assert refused["type"] == kind
    assert says in refused["detail"]
    assert "image" not in (await lab.get("/v1/nodes/n2"))["dsc"]


async def test_values_that_count_together_are_taken_together(lab: Caller) -> None:
    await lab.post(PATH, {"observations": {"n1": {"power": "ON", "service": "RUNNING"}}})
    known = (await lab.get("/v1/nodes/n1"))["dsc"]
    await lab.post(PATH, {"observations": {"n1": {"power": "UNKNOWN"}}})

    assert known == {"power": "ON", "service": "RUNNING"}
    assert "service" not in (await lab.get("/v1/nodes/n1"))["dsc"]


async def test_a_dry_run_judges_and_takes_nothing_in(lab: Caller) -> None:
    body = {"observations": {"n1": {"image": "rocky9"}}, "dry_run": True}

    assert (await lab.post(PATH, body))["changed"] == 1
    assert "image" not in (await lab.get("/v1/nodes/n1"))["dsc"]


async def test_news_of_many_nodes_want_a_yes(lab: Caller) -> None:
    await lab.apply({"nodes": {"m[1-40]": {}}})
    body: dict[str, Any] = {"observations": {"m[1-40]": {"image": "rocky9"}}}
    refused = await lab.problem("POST", PATH, body)

    assert (refused["type"], refused["nodes"]) == ("needs-confirmation", 40)
    assert (await lab.post(PATH, {**body, "yes": True}))["changed"] == 40
    assert (await lab.post(PATH, body))["changed"] == 0, "seen again, it is no change"


async def test_what_a_mutation_is_changing_now_is_its_own_to_tell(tmp_path: Path, config: Config) -> None:
    (tmp_path / "state").mkdir()
    world = FakeWorld({"slow1": {"power": "OFF", "service": "STOPPED"}}, behave=by_name(0.3))
    async with contextlib.AsyncExitStack() as stack:
        daemon = await stack.enter_async_context(living(tmp_path, world=world))
        local = stack.enter_context(unix_socket(config))
        await stack.enter_async_context(answering(daemon, local))
        transport = httpx.AsyncHTTPTransport(uds=str(config.api.socket))
        client = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://k"))
        caller = Caller(client)
        await caller.apply({"nodes": {"slow1": {"cfg": {"power": "ON"}}}})
        await until(lambda: "lab.switch_on" in daemon.collector.progress("slow1").underway)
        refused = await caller.problem("POST", PATH, {"observations": {"slow1": {"power": "OFF"}}})

        assert "switch_on is changing power now" in refused["detail"]


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(60.0):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.fixture
async def root(pair: Pair, tmp_path: Path) -> AsyncIterator[Caller]:
    """Speak to the root of a tree; `child` of it runs nodes that list it."""
    async with contextlib.AsyncExitStack() as stack:
        clients = []
        for name, daemon in pair.daemons.items():
            socket = tmp_path / name / "kraken.sock"
            local = stack.enter_context(
                unix_socket(Config(state_dir=tmp_path / name / "state", api=Api(socket=socket)))
            )
            await stack.enter_async_context(answering(daemon, local))
            transport = httpx.AsyncHTTPTransport(uds=str(socket))
            client = httpx.AsyncClient(transport=transport, base_url="http://kraken", timeout=60)
            clients.append(await stack.enter_async_context(client))
        yield Caller(clients[list(pair.daemons).index("root")])


async def test_of_a_node_run_elsewhere_its_collector_takes_it_in_and_the_root_hears_of_it(
    pair: Pair, root: Caller
) -> None:
    await pair.declare("n1", power="ON")
    await until(lambda: pair.cause("root", "n1") == "CONVERGED")
    told = await root.post(
        PATH, {"observations": {"n1": {"image": "rocky9"}}}, headers={"Kraken-User": "ada"}
    )
    await until(lambda: "image" in pair.root.collector.table["n1"].dsc)
    below = pair.child.collector.table["n1"].dsc["image"]

    assert told["changed"] == 1
    assert below.source == "reported by ada@root"
    assert pair.root.collector.table["n1"].dsc["image"].stamp == below.stamp, "stamped by who runs it"


async def test_where_the_collector_is_not_reached_nothing_is_taken_in_anywhere(
    pair: Pair, root: Caller
) -> None:
    await pair.declare("n1", power="ON")
    await root.apply({"nodes": {"here1": {}}})
    await until(lambda: pair.cause("root", "n1") == "CONVERGED")
    assert pair.child.seat is not None
    pair.child.seat.answers.clear()
    body = {"observations": {"n1,here1": {"image": "rocky9"}}}
    refused = await root.problem("POST", PATH, body)

    assert refused["detail"].endswith("; nothing was done")
    assert "c1" in refused["part"]
    assert "image" not in pair.root.collector.table["here1"].dsc
    assert "image" not in pair.child.collector.table["n1"].dsc
