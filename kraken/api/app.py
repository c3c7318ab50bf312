"""The web application over one daemon."""

from __future__ import annotations

from litestar import Litestar
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin

import kraken
from kraken.api import problems, routes, stream
from kraken.daemon.daemon import Daemon
from kraken.daemon.operations import Operations
from kraken.errors import KrakenError

BODY_BYTES_MAX = 64 * 1024 * 1024


def build_app(daemon: Daemon) -> Litestar:
    """The application; the daemon stays the caller's."""
    operations = Operations(daemon)
    return Litestar(
        route_handlers=[*routes.HANDLERS, stream.events, stream.metrics],
        dependencies={"operations": Provide(lambda: operations, sync_to_thread=False)},
        exception_handlers={
            KrakenError: problems.of_kraken,
            HTTPException: problems.of_http,
            Exception: problems.of_fault,
        },
        request_max_body_size=BODY_BYTES_MAX,
        openapi_config=OpenAPIConfig(
            title="Kraken",
            version=kraken.__version__,
            path="/v1",
            render_plugins=[JsonRenderPlugin(path="/openapi.json")],
        ),
        signature_types=[Operations],
        logging_config=None,
    )
