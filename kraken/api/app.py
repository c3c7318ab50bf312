"""The web application over one daemon."""

from __future__ import annotations

from litestar import Litestar
from litestar.di import Provide
from litestar.enums import MediaType
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin

import kraken
from kraken.api import (
    archive,
    bmc,
    collectors,
    credentials,
    modules,
    observations,
    playbooks,
    power,
    problems,
    routes,
    stream,
)
from kraken.daemon.daemon import Daemon
from kraken.daemon.operations import Operations
from kraken.errors import KrakenError

BODY_BYTES_MAX = 64 * 1024 * 1024


def build_app(daemon: Daemon) -> Litestar:
    """The application; the daemon stays the caller's."""
    operations = Operations(daemon)
    return Litestar(
        route_handlers=[
            *routes.HANDLERS,
            *archive.HANDLERS,
            *modules.HANDLERS,
            *power.HANDLERS,
            *observations.HANDLERS,
            *playbooks.HANDLERS,
            *credentials.HANDLERS,
            *bmc.HANDLERS,
            *collectors.HANDLERS,
            stream.events,
            stream.metrics,
        ],
        dependencies={"operations": Provide(lambda: operations, sync_to_thread=False)},
        exception_handlers={
            KrakenError: problems.of_kraken,
            HTTPException: problems.of_http,
            RecursionError: problems.of_depth,
            Exception: problems.of_fault,
        },
        request_max_body_size=BODY_BYTES_MAX,
        openapi_config=OpenAPIConfig(
            title="Kraken",
            version=kraken.__version__,
            description="Desired and discovered state of the nodes of a cluster. See docs/api.md.",
            path="/v1/openapi.json",
            render_plugins=[JsonRenderPlugin(path="/", media_type=MediaType.JSON)],
        ),
        signature_types=[Operations],
        logging_config=None,
    )
