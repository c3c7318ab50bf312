"""POST /v1/playbooks: what playbooks did to nodes is in the journal, where their history is looked for."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from kraken.api.server import answering, unix_socket
from kraken.daemon.config import Api, Config
from kraken.daemon.played import HOSTS_MAX
from kraken.testing.pair import Pair
from tests.unit.api.conftest import Caller

PATH = "/v1/playbooks"
ADA = {"Kraken-User": "ada"}
RAN = {"playbook": "site.yml", "started_at": 1000.0, "ended_at": 1042.5}


def ran(*results: Any, **more: Any) -> dict[str, Any]:
    return {**RAN, "results": list(results), **more}


async def entries(caller: Caller, nodeset: str) -> list[dict[str, Any]]:
    found = (await caller.get(f"/v1/history?nodeset={nodeset}"))["entries"]
    return [entry for entry in found if entry["kind"] == "playbook"]


async def test_each_node_has_its_entry_and_strangers_are_counted(caller: Caller) -> None:
    await caller.apply({"nodes": {"n[1-3]": {}}})
    fine = {"hosts": ["n1", "n3", "localhost"], "plays": ["Patch"], "ok": 5, "changed": 2}
    failure = {"task": "Start slurmd", "play": "Patch", "message": "no such\n unit"}
    bad = {"hosts": ["n2", "a!b[", "*"], "plays": ["Patch"], "ok": 4, "failed": 1, "failure": failure}
    answer = await caller.post(PATH, ran(fine, bad, user="ada", controller="head"), headers=ADA)
    (one,), (two,) = await entries(caller, "n1"), await entries(caller, "n2")

    assert answer == {"kept": 3, "unknown": 3}
    assert (one["text"], one["source"]) == ("site.yml (Patch): ok 5, changed 2", "ada")
    assert two["text"] == "site.yml (Patch): ok 4, failed 1; 'Start slurmd': no such unit"
    assert two["data"]["failure"] == failure
    assert one["data"] == {
        "playbook": "site.yml",
        "plays": ["Patch"],
        "counts": dict.fromkeys(("failed", "unreachable", "skipped", "rescued", "ignored"), 0)
        | {"ok": 5, "changed": 2},
        "failure": None,
        "started_at": 1000.0,
        "ended_at": 1042.5,
        "check": False,
        "user": "ada",
        "controller": "head",
    }


async def test_the_line_tells_what_is_out_of_the_ordinary(caller: Caller) -> None:
    await caller.apply({"nodes": {"n1": {}}})
    plays = ["One", "Two", "Three", "Four\x1b[2J", "Five"]
    told = ran({"hosts": ["n1"], "plays": plays}, check=True, user="grace")
    await caller.post(PATH, told, headers=ADA)
    (entry,) = await entries(caller, "n1")

    assert (
        entry["text"] == "site.yml (One, Two, Three, 2 more plays) in check mode, started by grace: no task"
    )
    assert entry["data"]["plays"] == plays


async def test_text_moves_no_cursor(caller: Caller) -> None:
    await caller.apply({"nodes": {"n1": {}}})
    failure = {"task": "T", "message": "a\x1b[31mb\u202e\nc"}
    await caller.post(PATH, ran({"hosts": ["n1"], "failed": 1, "failure": failure}))
    (entry,) = await entries(caller, "n1")

    assert entry["text"] == "site.yml: failed 1; 'T': a [31mb c"


@pytest.mark.parametrize(
    ("change", "key", "says"),
    [
        ({"results": []}, "results", "no host is told of"),
        ({"results": [{"hosts": []}]}, "results", "no host is told of"),
        ({"results": [{"hosts": ["n1"]}, {"hosts": ["n1"]}]}, "results.hosts", "'n1' is told of twice"),
        ({"results": [{"hosts": [f"m{i}" for i in range(HOSTS_MAX + 1)]}]}, "results", "10001 hosts"),
        ({"ended_at": 999.0}, "ended_at", "does not end before it began"),
        ({"started_at": -1.0}, "started_at", ">= 0"),
        ({"playbook": ""}, "playbook", "length >= 1"),
        ({"playbook": "x" * 257}, "playbook", "length <= 256"),
        ({"results": [{"hosts": ["n1"], "ok": -1}]}, "results[0].ok", ">= 0"),
        ({"results": [{"hosts": ["n1"], "plays": ["p"] * 51}]}, "results[0].plays", "length <= 50"),
        (
            {"results": [{"hosts": ["n1"], "failure": {"task": "t", "message": "x" * 1001}}]},
            "results[0].failure.message",
            "length <= 1000",
        ),
        ({"results": [{"hosts": ["n1"], "stdout": "x"}]}, "results[0].stdout", "unknown key 'stdout'"),
    ],
)
async def test_what_cannot_be_is_refused_whole(
    caller: Caller, change: dict[str, Any], key: str, says: str
) -> None:
    await caller.apply({"nodes": {"n1": {}}})
    refused = await caller.problem("POST", PATH, {**ran({"hosts": ["n1"]}), **change})

    assert (refused["status"], refused["type"]) == (422, "document")
    assert says in refused["detail"]
    assert refused["key"] == key
    assert await entries(caller, "n1") == []


async def test_ten_thousand_hosts_fit_into_one_request(caller: Caller) -> None:
    hosts = [f"m{i}" for i in range(HOSTS_MAX)]

    assert await caller.post(PATH, ran({"hosts": hosts})) == {"kept": 0, "unknown": HOSTS_MAX}


async def test_a_node_of_a_collector_below_has_it_where_it_was_told(pair: Pair, tmp_path: Path) -> None:
    """Kept by the daemon that was asked: nobody else has to be reached."""
    await pair.declare("n1", power="ON")
    assert pair.child.seat is not None
    pair.child.seat.answers.clear()
    async with contextlib.AsyncExitStack() as stack:
        socket = tmp_path / "root.sock"
        local = stack.enter_context(
            unix_socket(Config(state_dir=tmp_path / "root" / "state", api=Api(socket=socket)))
        )
        await stack.enter_async_context(answering(pair.root, local))
        transport = httpx.AsyncHTTPTransport(uds=str(socket), verify=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://kraken", timeout=60)
        caller = Caller(await stack.enter_async_context(client))
        answer = await caller.post(PATH, ran({"hosts": ["n1"], "ok": 1}), headers=ADA)
        (entry,) = await entries(caller, "n1")

    assert answer == {"kept": 1, "unknown": 0}
    assert (entry["text"], entry["source"]) == ("site.yml: ok 1", "ada")
