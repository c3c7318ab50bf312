"""The applications over one daemon, each built when it is first wanted."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Final

from kraken.api.asgi import App, Receive, Scope, Send
from kraken.daemon.daemon import Daemon
from kraken.daemon.garbage import give_back
from kraken.executors.aside import in_thread

ENDLESS: Final = "/v1/events"  # a stream has no end to measure


class Later:
    """An ASGI application that stands for another, and has it loaded with the first request.

    Args:
        module: where the other is; imported in a thread, as that takes part of a second.
        make: is given the module, and gives the application.
    """

    def __init__(self, module: str, make: Callable[[ModuleType], App]) -> None:
        self._module = module
        self._make = make
        self._app: App | None = None
        self._building = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; the first one waits until there is somebody to answer it."""
        app = self._app or await self.built()
        await app(scope, receive, send)

    async def built(self) -> App:
        """The application itself; the loop goes on while it is loaded."""
        async with self._building:
            if self._app is None:
                await in_thread(lambda: importlib.import_module(self._module))
                self._app = self._make(importlib.import_module(self._module))
                give_back()  # to load takes more than what is loaded
        return self._app


def interface(daemon: Daemon) -> Later:
    """The whole HTTP interface. The framework behind it takes 9 MB, a quarter of all else of a collector. An
    agent is asked something once in months, so it loads it then (ADR 49).
    """
    return Later("kraken.api.app", lambda module: module.build_app(daemon))


def plain(daemon: Daemon, behind: App) -> Later:
    """What an agent is asked most, answered without the framework, and all else by what is behind."""
    return Later("kraken.api.plain", lambda module: module.Plain(daemon, behind))


def with_head(app: App) -> App:
    """The app, answering HEAD as GET; the server leaves the body out."""

    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD" and scope["path"] != ENDLESS:
            scope = {**scope, "method": "GET"}  # the server must still know that it is HEAD
        await app(scope, receive, send)

    return asked
