"""A real daemon behind a real socket, and somebody who speaks to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from kraken.api.server import answering, unix_socket
from kraken.daemon.config import Api, Config
from kraken.daemon.daemon import Daemon
from kraken.executors.fake import FakeWorld
from kraken.testing.daemons import living
from kraken.testing.pair import Pair, running_pair

BASE = Path(__file__).parents[3] / "ansible_collections/kraken/hpc/extensions/kraken"
PROBLEM = "application/problem+json"

CONVERGING = {
    "groups": {"lab": {"nodes": "n[1-2]", "attributes": {"service.unit": "d"}}},
    "nodes": {"n[1-3]": {"cfg": {"power": "ON"}}, "n1": {"cfg": {"service": "RUNNING"}}},
}


class Caller:
    """Speaks HTTP to a daemon; `problem` wants one, and the rest wants none."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def ask(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        content = None if body is None else msgspec.json.encode(body)
        return await self.client.request(method, path, content=content, **more)

    async def get(self, path: str, **more: Any) -> Any:
        return self._good(await self.ask("GET", path, **more))

    async def post(self, path: str, body: Any = None, **more: Any) -> Any:
        return self._good(await self.ask("POST", path, body, **more))

    async def patch(self, path: str, body: Any = None, **more: Any) -> Any:
        return self._good(await self.ask("PATCH", path, body, **more))

    async def apply(self, document: Any, *, user: str = "", **more: Any) -> Any:
        headers = {"Kraken-User": user} if user else {}
        return await self.post("/v1/apply", {"document": document, "yes": True, **more}, headers=headers)

    async def problem(self, method: str, path: str, body: Any = None, **more: Any) -> dict[str, Any]:
        return self.problem_of(await self.ask(method, path, body, **more))

    @staticmethod
    def problem_of(response: httpx.Response) -> dict[str, Any]:
        assert response.headers["content-type"] == PROBLEM, response.text
        document: dict[str, Any] = response.json()
        assert document["status"] == response.status_code
        assert document["type"].startswith("urn:kraken:problem:")
        assert document["title"]
        assert document["detail"]
        assert None not in document.values()
        return {**document, "type": document["type"].rpartition(":")[2]}

    @staticmethod
    def _good(response: httpx.Response) -> Any:
        assert response.status_code == 200, response.text
        return response.json()


@pytest.fixture
def world() -> FakeWorld:
    return FakeWorld({f"n{i}": {"power": "OFF", "service": "STOPPED"} for i in range(1, 4)})


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(state_dir=tmp_path / "state", api=Api(socket=tmp_path / "run" / "kraken.sock"))


@pytest.fixture
async def daemon(tmp_path: Path, world: FakeWorld) -> AsyncIterator[Daemon]:
    (tmp_path / "state").mkdir()
    async with living(tmp_path, world=world) as running:
        yield running


@pytest.fixture
async def served(daemon: Daemon, config: Config) -> AsyncIterator[Path]:
    """The path of the daemon's socket."""
    with unix_socket(config) as local:
        async with answering(daemon, local):
            yield config.api.socket


@pytest.fixture
async def caller(served: Path) -> AsyncIterator[Caller]:
    async with contextlib.AsyncExitStack() as stack:
        transport = httpx.AsyncHTTPTransport(uds=str(served), verify=False)
        client = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://kraken", timeout=60)
        )
        yield Caller(client)


@pytest.fixture
async def settled(caller: Any) -> Callable[..., Awaitable[dict[str, Any]]]:
    """Waits until every node is converged."""

    async def wait() -> dict[str, Any]:
        async with asyncio.timeout(60):
            while True:
                health: dict[str, Any] = await caller.get("/v1/health")
                if list(health["causes"]) == ["CONVERGED"]:
                    return health
                await asyncio.sleep(0.02)

    return wait


@pytest.fixture
async def pair(tmp_path: Path, unused_tcp_port: int) -> AsyncIterator[Pair]:
    """A root and its child."""
    async with running_pair(tmp_path, unused_tcp_port) as pair:
        yield pair


@pytest.fixture
async def callers(pair: Pair, tmp_path: Path) -> AsyncIterator[dict[str, Caller]]:
    """Speak to each daemon of `pair`."""
    async with contextlib.AsyncExitStack() as stack:
        found: dict[str, Caller] = {}
        for name, daemon in pair.daemons.items():
            socket = tmp_path / name / "kraken.sock"
            config = Config(state_dir=tmp_path / name / "state", api=Api(socket=socket))
            local = stack.enter_context(unix_socket(config))
            await stack.enter_async_context(answering(daemon, local))
            transport = httpx.AsyncHTTPTransport(uds=str(socket))
            client = await stack.enter_async_context(
                httpx.AsyncClient(transport=transport, base_url="http://kraken", timeout=60)
            )
            found[name] = Caller(client)
        yield found
