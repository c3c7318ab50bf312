"""The HTTP interface over one daemon, built when it is first wanted."""

from __future__ import annotations

import asyncio
import importlib
from typing import Final, cast

from kraken.api.asgi import App, Receive, Scope, Send
from kraken.daemon.daemon import Daemon
from kraken.executors.aside import in_thread

ENDLESS: Final = "/v1/events"  # a stream has no end to measure


class Interface:
    """An ASGI application that stands for the one of `kraken.api.app`.

    The framework behind that one takes 22 MB, nearly as much as all the rest of a collector. An agent is
    asked something once in months, so it loads it then (ADR 49).
    """

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
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
                await in_thread(lambda: importlib.import_module("kraken.api.app"))
                from kraken.api.app import build_app

                self._app = cast("App", build_app(self._daemon))
        return self._app


def with_head(app: App) -> App:
    """The app, answering HEAD as GET; the server leaves the body out."""

    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD" and scope["path"] != ENDLESS:
            scope = {**scope, "method": "GET"}  # the server must still know that it is HEAD
        await app(scope, receive, send)

    return asked
