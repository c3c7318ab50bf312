"""Who asks at a socket is answered, whether that was loaded at once or is when somebody has come."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from kraken.api import entrance
from kraken.api.asgi import Receive, Scope, Send
from kraken.api.entrance import Entrance
from kraken.api.server import unix_socket
from kraken.daemon.config import Config


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the path that was asked for."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


@pytest.fixture
def door(config: Config) -> Iterator[Entrance]:
    with unix_socket(config) as sock:
        yield Entrance(sock, echo)


def client(config: Config) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(uds=str(config.api.socket), verify=False)
    return httpx.AsyncClient(transport=transport, base_url="http://kraken", timeout=60)


async def test_all_who_came_before_it_was_loaded_are_answered(config: Config, door: Entrance) -> None:
    async with client(config) as caller:
        await door.open(at_once=False)
        answers = await asyncio.gather(*(caller.get(f"/{number}") for number in range(8)))
        again = await caller.get("/again")
        await door.close()

    assert [answer.text for answer in answers] == [f"/{number}" for number in range(8)]
    assert again.text == "/again"


async def test_nothing_is_loaded_before_somebody_comes_and_nothing_is_left_to_end(
    config: Config, door: Entrance, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(entrance.importlib, "import_module", loaded.append)
    await door.open(at_once=False)
    await asyncio.sleep(0)
    await door.close()
    await door.close()

    assert loaded == []


async def test_a_server_that_cannot_be_loaded_is_logged_when_somebody_comes_and_raised_at_a_start(
    config: Config, door: Entrance, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(name: str) -> None:
        raise ImportError(f"no {name}")

    monkeypatch.setattr(entrance.importlib, "import_module", missing)
    with pytest.raises(ImportError, match=r"kraken\.api\.http"):
        await door.open(at_once=True)
    silent = list(caplog.messages)
    await door.open(at_once=False)
    async with client(config) as caller:
        asking = asyncio.create_task(caller.get("/"))
        while not caplog.messages:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
    await door.close()

    assert silent == []
    assert caplog.messages == ["nobody is answered at the socket"]


def test_what_stands_at_the_sockets_is_light() -> None:
    script = "import sys\nimport kraken.api.server\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert set(done.stdout.split()) & {"uvicorn", "h11", "multiprocessing", "kraken.api.http"} == set()


def test_only_one_file_knows_the_server() -> None:
    files = Path(entrance.__file__).parent.rglob("*.py")
    users = {file.name for file in files if "import uvicorn" in file.read_text()}

    assert users == {"entrance.py", "http.py"}
