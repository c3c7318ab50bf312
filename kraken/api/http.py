"""The server that speaks HTTP at a socket: the only user of uvicorn, and loaded with the first who asks."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from typing import Any

import uvicorn

from kraken.api.asgi import App

GRACE_S = 5  # for answers under way when the daemon ends


def build_server(app: App, tls: ssl.SSLContext | None) -> uvicorn.Server:
    """A server for the app, whose `serve` is given its listening socket."""
    app_of_theirs: Any = app  # they have shapes of their own for what is the same
    config = uvicorn.Config(
        app_of_theirs,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=GRACE_S,
    )
    if tls is not None:
        config.load()
        config.ssl = tls
    return _Server(config)


class _Server(uvicorn.Server):
    """Signals are the daemon's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
