"""Collectors over HTTP: who belongs to the tree here, and how it stands with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, Final, TypedDict

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, Parameter

from kraken.api import bodies, deeper
from kraken.api.collectorrows import CollectorRow, Flow, completed, deeper_row, flow_of, own_row
from kraken.api.problems import fails
from kraken.api.relay import Relay
from kraken.api.security import who
from kraken.daemon.members import members
from kraken.daemon.membership import invite, neighbours_of, refusals, revoke, rotate
from kraken.daemon.neighbours import Neighbours
from kraken.daemon.operations import Operations
from kraken.daemon.operations import Request as Asked
from kraken.errors import DocumentError
from kraken.model.nodeset import fold
from kraken.transport.keys import fingerprint

OWN, KNOWN, ASKED = "own", "known", "asked"
BELOW: Final = (OWN, KNOWN, ASKED)
"""Which collectors are listed: our own children; those below them, too, as they are known here; or as their
parents tell, who are asked."""


class Above(TypedDict):
    """The parent. `key`: how its public key begins; `own_key`: ours. `reason`: `state` in words."""

    name: str
    state: str
    reason: str
    since: float | None
    key: str
    own_key: str
    changing_key: bool
    flow: Flow


class CollectorList(TypedDict):
    """`name`: our own; "" for a daemon without a wire. `nodes`: that this collector runs itself.

    `listen`: where children connect; null: this daemon takes none. `addresses`: how they reach it.
    `unanswered`: collector that was asked about those below it -> why it did not answer.
    """

    at: float
    name: str
    nodes: int
    listen: str | None
    addresses: list[str]
    parent: Above | None
    collectors: list[CollectorRow]
    unanswered: dict[str, str]
    refused: dict[str, int]


class Invited(TypedDict):
    """`token` is a secret until it was used. `replaces`: who joins with it takes a collector's place."""

    name: str
    parent: str
    token: str
    expires_at: float
    addresses: list[str]
    replaces: bool


class RevokedAnswer(TypedDict):
    """`had_joined`: its daemon may go on with what it heard last.

    `elsewhere`: nodes that go to other collectors; `endless`: those that do when somebody has vouched
    that it is stopped. `nowhere`: nodes for which no other is declared.
    """

    name: str
    had_joined: bool
    elsewhere: str
    endless: str
    nowhere: str


class Rotating(TypedDict):
    """`key`: how the key begins that is to be changed."""

    name: str
    key: str


@get("/v1/collectors", summary="The collectors below, and the parent", responses=fails(422))
async def collectors(
    request: Request[Any, Any, Any],
    operations: NamedDependency[Operations],
    below: Annotated[str, Parameter(description="own, known or asked")] = KNOWN,
) -> CollectorList:
    """Who was invited, has joined or was revoked; how it stands with each, and what goes to and fro."""
    if below not in BELOW:
        raise DocumentError(f"unknown below {below!r}", key="below", hint="own, known or asked")
    daemon = operations.daemon
    neighbours, now = daemon.neighbours, daemon.clock()
    if neighbours is None:
        nobody: CollectorList = {
            "at": now,
            "name": "",
            "nodes": len(daemon.collector.table),
            "listen": None,
            "addresses": [],
            "parent": None,
            "collectors": [],
            "unanswered": {},
            "refused": {},
        }
        return nobody
    table = daemon.collector.table
    runs = (
        Counter(map(daemon.collector.runner, table)) if daemon.seat is not None else Counter({"": len(table)})
    )
    others = {} if daemon.seat is None else {m.name: m for m in members(daemon.seat.tree, now)}
    ours = {child.name: others.pop(child.name, None) for child in neighbours.children()}
    rows = [own_row(daemon, neighbours, child, ours[child.name], runs) for child in neighbours.children()]
    unanswered: Mapping[str, str] = {}
    if below != OWN:
        rows += [deeper_row(daemon, member, runs) for member in others.values()]
    if below == ASKED:
        heard = {name for name, member in (ours | others).items() if member is not None and member.is_up}
        parents = [name for name in dict.fromkeys(m.parent for m in others.values()) if name in heard]
        answers = await deeper.ask(Relay(daemon), parents, who(request), now)
        rows, unanswered = completed(rows, answers.rows, neighbours.me), answers.unanswered
    return {
        "at": now,
        "name": neighbours.me,
        "nodes": runs[neighbours.me if daemon.seat is not None else ""],
        "listen": None if neighbours.listens_at is None else str(neighbours.listens_at),
        "addresses": neighbours.addresses(),
        "parent": _above(neighbours),
        "collectors": rows,
        "unanswered": dict(unanswered),
        "refused": refusals(daemon),
    }


@post(
    "/v1/collectors/invite",
    status_code=200,
    summary="A one-time token with which a collector can join",
    responses=fails(409, 422, 507),
)
async def invite_collector(
    request: Request[Any, Any, Any], operations: NamedDependency[Operations], data: JSONBody[bodies.Invite]
) -> Response[Invited]:
    """Make a token for this name; one made before for it and not used is good no more."""
    asked = Asked(who(request))
    made = await invite(operations.daemon, data.name, asked, data.expires_s, data.addresses)
    answer: Invited = {
        "name": made.name,
        "parent": neighbours_of(operations.daemon).me,
        "token": made.token,
        "expires_at": made.expires_at,
        "addresses": list(made.addresses),
        "replaces": made.replaces,
    }
    return Response(answer, headers={"Cache-Control": "no-store"})


@post(
    "/v1/collectors/revoke",
    status_code=200,
    summary="Hear a collector no more",
    responses=fails(404, 409, 422, 507),
)
async def revoke_collector(
    request: Request[Any, Any, Any], operations: NamedDependency[Operations], data: JSONBody[bodies.Revoke]
) -> RevokedAnswer:
    """Refuse its key from now on, and end an invitation that is open for the name."""
    asked = Asked(who(request), yes=data.yes)
    done = await revoke(operations.daemon, data.name, asked, stopped=data.stopped)
    return {
        "name": done.name,
        "had_joined": done.had_joined,
        "elsewhere": fold(done.elsewhere),
        "endless": fold(done.endless),
        "nowhere": fold(done.nowhere),
    }


@post(
    "/v1/collectors/rotate",
    status_code=200,
    summary="Have a collector change its key",
    responses=fails(404, 409, 422, 507),
)
async def rotate_collector(
    request: Request[Any, Any, Any], operations: NamedDependency[Operations], data: JSONBody[bodies.NewKey]
) -> Rotating:
    """Begin it; it is done when the collector's `key` is another and `changing_key` is false."""
    key = await rotate(operations.daemon, data.name, Asked(who(request)))
    return {"name": data.name or neighbours_of(operations.daemon).me, "key": key}


def _above(neighbours: Neighbours) -> Above | None:
    parent, state = neighbours.keyring.parent, neighbours.parent_state
    if parent is None or parent.name != neighbours.parent or state is None:
        return None  # one that was joined while the daemon runs is its parent from the next start on
    return {
        "name": parent.name,
        "state": state.name,
        "reason": state.value,
        "since": neighbours.since(parent.name),
        "key": fingerprint(parent.key),
        "own_key": fingerprint(neighbours.keyring.client().public),
        "changing_key": neighbours.keyring.next() is not None,
        "flow": flow_of(neighbours, parent.name),
    }


HANDLERS = [collectors, invite_collector, revoke_collector, rotate_collector]
