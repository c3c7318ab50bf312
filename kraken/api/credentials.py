"""Credentials over HTTP: their names, and who logs in with them. A secret is in no answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, TypedDict

import msgspec
from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromQuery, JSONBody
from litestar.response import Stream

from kraken.api import bodies
from kraken.api.bmc import NDJSON
from kraken.api.problems import fails
from kraken.api.routes import Nodeset
from kraken.api.security import who
from kraken.daemon.credentials import overview
from kraken.daemon.daemon import Daemon
from kraken.daemon.operations import Operations
from kraken.daemon.operations import Request as Asked
from kraken.daemon.rotation import Rotation, prepare, rotate
from kraken.model.nodeset import fold


class CredentialUse(TypedDict):
    """`name` is "" for nodes with a BMC that name none; `known`: it is in the file.

    `rotating`: it has a previous password there, which some BMCs may have yet.
    """

    name: str
    known: bool
    rotating: bool
    nodeset: str
    count: int


class CredentialUses(TypedDict):
    """`problem`: why the file cannot be used; "" when it can."""

    file: str
    problem: str
    credentials: list[CredentialUse]


@get("/v1/credentials", summary="Credentials by name, and who logs in with them", responses=fails(404, 422))
async def credentials(
    operations: NamedDependency[Operations], nodeset: Nodeset = None, all: FromQuery[bool] = False
) -> CredentialUses:
    """The credentials that nodes name and the file has; never what stands behind a name."""
    names = operations.select(nodeset, all)
    found = await overview(operations.daemon, operations.daemon.credentials, names)
    return {
        "file": found.file,
        "problem": found.problem,
        "credentials": [
            {
                "name": use.name,
                "known": use.known,
                "rotating": use.rotating,
                "nodeset": fold(use.nodes),
                "count": len(use.nodes),
            }
            for use in found.uses
        ],
    }


@post(
    "/v1/credentials/rotate",
    status_code=200,
    summary="Give BMCs the new password of a credential",
    responses={
        200: ResponseSpec(
            str, generate_examples=False, description="A line of JSON per node.", media_type=NDJSON
        ),
        **fails(404, 409, 413, 422, 507),
    },
)
async def rotate_credential(
    request: Request[Any, Any, Any],
    operations: NamedDependency[Operations],
    data: JSONBody[bodies.RotateOrder],
) -> Stream:
    """Change the password in BMCs that have the previous one yet; no password is taken or given here."""
    asked = Asked(who(request), yes=data.yes)
    names = operations.select(data.nodeset, data.all)
    daemon = operations.daemon
    rotation = prepare(daemon, data.name, names, asked, change=not data.look, held=data.held)
    return Stream(
        _lines(daemon, rotation, asked),
        media_type=NDJSON,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _lines(daemon: Daemon, rotation: Rotation, asked: Asked) -> AsyncIterator[bytes]:
    told = 0
    async for rotated in rotate(daemon, rotation, asked):
        yield b"".join(msgspec.json.encode(one) + b"\n" for one in rotated) or b"\n"
        told += len(rotated)
    yield msgspec.json.encode({"count": told}) + b"\n"


HANDLERS = [credentials, rotate_credential]
