"""What playbooks have done to nodes, told by whoever ran them."""

from __future__ import annotations

from typing import Any, TypedDict

from litestar import Request, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from kraken.api import bodies
from kraken.api.problems import fails
from kraken.api.security import who
from kraken.daemon.operations import Operations
from kraken.daemon.operations import Request as Asked
from kraken.daemon.played import COUNTS, Failure, Fared, Played, keep_played


class Kept(TypedDict):
    """`kept`: nodes that have their entry now; `unknown`: hosts that are no node of Kraken's."""

    kept: int
    unknown: int


@post(
    "/v1/playbooks",
    status_code=200,
    summary="Tell what a playbook did to nodes",
    responses=fails(413, 422, 507),
)
async def playbooks(
    request: Request[Any, Any, Any], operations: NamedDependency[Operations], data: JSONBody[bodies.Playbook]
) -> Kept:
    """Keep in the journal what a playbook came to on each of its hosts that is a node."""
    kept, unknown = await keep_played(operations, _played(data), Asked(who(request)))
    return {"kept": kept, "unknown": unknown}


def _played(body: bodies.Playbook) -> Played:
    results = [
        Fared(row.hosts, row.plays, {name: getattr(row, name) for name in COUNTS}, _failure(row.failure))
        for row in body.results
    ]
    return Played(
        body.playbook, body.started_at, body.ended_at, body.check, body.user, body.controller, results
    )


def _failure(body: bodies.PlaybookFailure | None) -> Failure | None:
    return None if body is None else Failure(body.task, body.message, body.play)


HANDLERS = [playbooks]
