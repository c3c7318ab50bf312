"""An agent says the same as every other collector, and loads no framework to say it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import httpx
import pytest

from kraken.api.asgi import Message, Receive, Scope, Send
from kraken.api.interface import Later, interface, plain
from kraken.daemon.daemon import Daemon
from tests.unit.api.conftest import CONVERGING

AGES = {"age_s", "uptime_s", "seen_s", "since_s"}  # another a moment later
UNDERSTOOD = [
    "/v1/health",
    "/v1/holds",
    "/v1/nodes/n1",
    "/v1/nodes/%6e1",
    "/v1/explain?nodeset=n%5B1-2%5D",
    "/v1/explain?nodeset=%40lab&view=folded",
    "/v1/explain?all=true",
    "/v1/explain?all=false&nodeset=n1",
    "/v1/runs",
    "/v1/runs?active=false&limit=1",
    "/v1/history?nodeset=n1&limit=2",
    "/v1/history?limit=3&before=4",
    "/v1/history",
]
LEFT = [
    ("GET", "/v1/nodes", None),
    ("GET", "/v1/nodes/", None),
    ("GET", "/v1/nodes/x9", None),
    ("GET", "/v1/nodes/n1?view=full", None),
    ("GET", "/v1/nodes/n1/more", None),
    ("GET", "/v1/explain", None),
    ("GET", "/v1/explain?nodeset=n1&nodeset=n2", None),
    ("GET", "/v1/explain?all=yes", None),
    ("GET", "/v1/explain?all=true&view=none", None),
    ("GET", "/v1/runs?limit=many", None),
    ("GET", "/v1/runs?limit=0", None),
    ("GET", "/v1/history?nodeset=n%5B", None),
    ("GET", "/v1/nope", None),
    ("POST", "/v1/health", b"{}"),
    ("POST", "/v1/retry", b'{"nodeset": "n1"}'),
    ("POST", "/v1/discover", b'{"nodeset": "x9"}'),
    ("POST", "/v1/discover", b'{"nodeset": "n1", "variable": "nope"}'),
    ("POST", "/v1/discover", b'{"nodeset": "n1", "else": 1}'),
    ("POST", "/v1/discover", b'{"nodeset": '),
    ("POST", "/v1/discover", b'{"nodeset": "%s"}' % (b"n1," * 30_000)),
    ("POST", "/v1/discover", b"\xff"),
    ("POST", "/v1/discover", b""),
]


class Behind:
    """Stands for the whole interface, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        query = scope["query_string"].decode()
        self.asked.append((scope["method"], scope["raw_path"].decode() + ("?" + query) * bool(query), body))
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def behind() -> Behind:
    return Behind()


def speaking_to(app: Later) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://kraken", timeout=60)  # type: ignore[arg-type]


def ageless(told: Any) -> Any:
    if isinstance(told, dict):
        return {key: ageless(value) for key, value in told.items() if key not in AGES}
    return [ageless(one) for one in told] if isinstance(told, list) else told


@pytest.mark.parametrize("address", UNDERSTOOD)
async def test_it_is_answered_as_the_whole_interface_does(
    address: str, daemon: Daemon, caller: Any, settled: Any, behind: Behind
) -> None:
    await caller.apply(CONVERGING)
    await settled()
    await caller.post("/v1/holds", {"nodeset": "n2", "reason": "a new fan"})
    async with speaking_to(plain(daemon, behind)) as few, speaking_to(interface(daemon)) as whole:
        ours, theirs = await few.get(address), await whole.get(address)

    assert behind.asked == []
    assert theirs.status_code == ours.status_code == 200
    assert theirs.headers["content-type"] == ours.headers["content-type"]
    assert ageless(json.loads(ours.content)) == ageless(json.loads(theirs.content))


async def test_a_look_is_begun_and_told_as_by_the_whole_interface(
    daemon: Daemon, caller: Any, settled: Any, behind: Behind
) -> None:
    await caller.apply(CONVERGING)
    await settled()
    asked = {"nodeset": "n[1-3]", "variable": "power"}
    async with speaking_to(plain(daemon, behind)) as few:
        ours = await few.post("/v1/discover", json=asked)
    theirs = await caller.post("/v1/discover", asked)

    assert behind.asked == []
    assert [item["node"] for item in ours.json()["items"]] == ["n1", "n2", "n3"]
    assert ours.json() == theirs


@pytest.mark.parametrize(("method", "address", "body"), LEFT, ids=range(len(LEFT)))
async def test_what_is_not_wholly_understood_is_for_the_interface_behind_body_and_all(
    method: str, address: str, body: bytes | None, daemon: Daemon, caller: Any, behind: Behind
) -> None:
    await caller.apply({"groups": {"lab": {"nodes": "n1"}}, "nodes": {"n1": {}}})
    async with speaking_to(plain(daemon, behind)) as few:
        answer = await few.request(method, address, content=body)

    assert answer.status_code == 418
    assert behind.asked == [(method, address, body or b"")]


async def test_a_caller_who_hangs_up_begins_nothing(daemon: Daemon, behind: Behind) -> None:
    async def gone() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message["type"])

    sent: list[str] = []
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/discover",
        "raw_path": b"/v1/discover",
        "query_string": b"",
        "headers": [],
    }
    await plain(daemon, behind)(scope, gone, send)

    assert behind.asked == [("POST", "/v1/discover", b"")]


def test_nothing_heavy_is_loaded_to_answer() -> None:
    script = "import sys\nimport kraken.api.plain\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert (
        set(done.stdout.split()) & {"kraken.api.answers", "litestar", "networkx", "rich", "uvicorn"} == set()
    )
