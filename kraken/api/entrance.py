"""A listening socket, and who answers there: loaded at once, or when somebody has come."""

from __future__ import annotations

import asyncio
import importlib
import logging
import socket
import ssl
from typing import TYPE_CHECKING

from kraken.api.asgi import App
from kraken.executors.aside import in_thread

if TYPE_CHECKING:  # 3 MB of libraries, at an agent for somebody who comes once in months (ADR 100)
    import uvicorn

log = logging.getLogger(__name__)


class Entrance:
    """Where an application is asked over HTTP; the socket stays the caller's.

    Args:
        tls: what is spoken there; None: plain HTTP.
    """

    def __init__(self, sock: socket.socket, app: App, tls: ssl.SSLContext | None = None) -> None:
        self._sock = sock
        self._app = app
        self._tls = tls
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def open(self, *, at_once: bool) -> None:
        """Answer who asks. Where it is not to be at once, the first who comes waits until all is loaded."""
        self._serving = asyncio.create_task(self._serve(at_once=at_once))
        while at_once and not (self._server is not None and self._server.started):
            if self._serving.done():
                self._serving.result()
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        """Finish the answers under way, and answer nobody else. Idempotent."""
        if self._serving is None:
            return
        if self._server is not None:
            self._server.should_exit = True
        else:
            self._serving.cancel()
        await asyncio.gather(self._serving, return_exceptions=True)

    async def _serve(self, *, at_once: bool) -> None:
        if not at_once:
            await _somebody(self._sock)
        try:
            await in_thread(lambda: importlib.import_module("kraken.api.http"))
            from kraken.api.http import build_server

            self._server = build_server(self._app, self._tls)
            await self._server.serve(sockets=[self._sock])
        except Exception:
            if not at_once:  # or `open` raises it
                log.exception("nobody is answered at the socket")
            raise


async def _somebody(sock: socket.socket) -> None:
    """Return when somebody has connected, and is not taken in yet."""
    loop = asyncio.get_running_loop()
    came = loop.create_future()
    loop.add_reader(sock, lambda: None if came.done() else came.set_result(None))
    try:
        await came
    finally:
        loop.remove_reader(sock)
