"""Credentials over HTTP: their names, and who logs in with them. A secret is in no answer."""

from __future__ import annotations

from typing import TypedDict

from litestar import get

from kraken.api.problems import fails
from kraken.api.routes import Nodeset
from kraken.daemon.credentials import overview
from kraken.daemon.operations import Operations
from kraken.model.nodeset import fold


class CredentialUse(TypedDict):
    """`name` is "" for nodes with a BMC that name none; `known`: it is in the file."""

    name: str
    known: bool
    nodeset: str
    count: int


class CredentialUses(TypedDict):
    """`problem`: why the file cannot be used; "" when it can."""

    file: str
    problem: str
    credentials: list[CredentialUse]


@get("/v1/credentials", summary="Credentials by name, and who logs in with them", responses=fails(404, 422))
async def credentials(operations: Operations, nodeset: Nodeset = None, all: bool = False) -> CredentialUses:
    """The credentials that nodes name and the file has; never what stands behind a name."""
    names = operations.select(nodeset, all)
    found = await overview(operations.daemon, operations.daemon.credentials, names)
    return {
        "file": found.file,
        "problem": found.problem,
        "credentials": [
            {"name": use.name, "known": use.known, "nodeset": fold(use.nodes), "count": len(use.nodes)}
            for use in found.uses
        ],
    }


HANDLERS = [credentials]
