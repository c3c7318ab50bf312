"""Collectors over HTTP: who belongs to the tree here, and how it stands with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, TypedDict

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from kraken.api import bodies
from kraken.api.problems import fails
from kraken.api.security import who
from kraken.daemon.condition import said
from kraken.daemon.daemon import Daemon
from kraken.daemon.members import Member, members
from kraken.daemon.membership import invite, neighbours_of, refusals, revoke, rotate
from kraken.daemon.neighbours import Neighbours
from kraken.daemon.operations import Operations
from kraken.daemon.operations import Request as Asked
from kraken.daemon.othermodules import compared
from kraken.model.nodeset import fold
from kraken.transport.children import Child
from kraken.transport.keys import fingerprint
from kraken.transport.traffic import Traffic


class Flow(TypedDict):
    """Per second, over the last minute; `dropped` letters since the daemon started. Bytes are of letters."""

    letters_in_s: float
    bytes_in_s: float
    letters_out_s: float
    bytes_out_s: float
    dropped: int


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


class CollectorRow(TypedDict):
    """A collector below. `state`: CONNECTED, SILENT (its wire stands), TWINS (two daemons speak under its
    name), AWAY, INVITED, OVER (its invitation) or REVOKED. `parent`: the collector it hangs below; of one
    that is not ours, its parent told all of this.

    `since`: when that began, as far as is known; of one that is CONNECTED when its daemon, as it runs now,
    was first heard. `heard_s`: since its last letter. `lag_s`: how long that was under way at most. `nodes`:
    that it runs. `key`: how its public key begins, "" until it has joined, and of those of others.
    `expires_at`: of an invitation that is open; null: none is. `modules`: its Kraken modules are the SAME as
    ours or OTHER ones, `modules_since` then; "": it has not said, as who never ran a node.
    `health`: what it said last that it is not well of, since `health_since`; "": it is well.
    """

    name: str
    parent: str
    state: str
    since: float | None
    heard_s: float | None
    lag_s: float | None
    nodes: int
    key: str
    changing_key: bool
    invited_at: float | None
    expires_at: float | None
    joined_at: float | None
    revoked_at: float | None
    modules: str
    modules_since: float | None
    health: str
    health_since: float | None
    flow: Flow | None


class CollectorList(TypedDict):
    """`name`: our own; "" for a daemon without a wire. `nodes`: that this collector runs itself.

    `listen`: where children connect; null: this daemon takes none. `addresses`: how they reach it.
    """

    at: float
    name: str
    nodes: int
    listen: str | None
    addresses: list[str]
    parent: Above | None
    collectors: list[CollectorRow]
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


@get("/v1/collectors", summary="The collectors below, and the parent", responses=fails())
async def collectors(operations: NamedDependency[Operations]) -> CollectorList:
    """Who was invited, has joined or was revoked; how it stands with each, and what goes to and fro."""
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
            "refused": {},
        }
        return nobody
    table = daemon.collector.table
    runs = (
        Counter(map(daemon.collector.runner, table)) if daemon.seat is not None else Counter({"": len(table)})
    )
    below = {} if daemon.seat is None else {m.name: m for m in members(daemon.seat.tree, now)}
    ours = neighbours.children()
    rows = [_row(daemon, neighbours, child, below.pop(child.name, None), runs) for child in ours]
    return {
        "at": now,
        "name": neighbours.me,
        "nodes": runs[neighbours.me if daemon.seat is not None else ""],
        "listen": None if neighbours.listens_at is None else str(neighbours.listens_at),
        "addresses": neighbours.addresses(),
        "parent": _above(neighbours),
        "collectors": [*rows, *(_deeper(daemon, member, runs) for member in below.values())],
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
        "flow": _flow(neighbours, parent.name),
    }


def _row(
    daemon: Daemon, neighbours: Neighbours, child: Child, member: Member | None, runs: Mapping[str, int]
) -> CollectorRow:
    now = daemon.clock()
    modules, modules_since = _modules(daemon, child.name)
    health, health_since = _health(daemon, child.name)
    is_open = bool(child.invitation) and child.used_at is None and now <= child.expires_at
    state, since = _standing(neighbours, child, member, is_open=is_open)
    return {
        "name": child.name,
        "parent": neighbours.me,
        "state": state,
        "since": since,
        "heard_s": None if member is None else member.heard_s,
        "lag_s": None if member is None else member.lag_s,
        "nodes": runs.get(child.name, 0),
        "key": fingerprint(child.key),
        "changing_key": bool(child.next_key) or child.wants_key,
        "invited_at": child.invited_at,
        "expires_at": child.expires_at if is_open else None,
        "joined_at": child.joined_at,
        "revoked_at": child.revoked_at,
        "modules": modules,
        "modules_since": modules_since,
        "health": health,
        "health_since": health_since,
        "flow": _flow(neighbours, child.name),
    }


def _deeper(daemon: Daemon, member: Member, runs: Mapping[str, int]) -> CollectorRow:
    modules, modules_since = _modules(daemon, member.name)
    health, health_since = _health(daemon, member.name)
    return {
        "name": member.name,
        "parent": member.parent,
        "state": "TWINS" if member.twins else "CONNECTED" if member.is_up else "AWAY",
        "since": member.since,
        "heard_s": None,
        "lag_s": None,
        "nodes": runs.get(member.name, 0),
        "key": "",
        "changing_key": False,
        "invited_at": None,
        "expires_at": None,
        "joined_at": None,
        "revoked_at": None,
        "modules": modules,
        "modules_since": modules_since,
        "health": health,
        "health_since": health_since,
        "flow": None,
    }


def _modules(daemon: Daemon, name: str) -> tuple[str, float | None]:
    """How the Kraken modules of a collector below stand to ours, and since when it has them."""
    if daemon.seat is None:
        return "", None
    is_alike, since = compared(daemon.collector, name)
    return ("" if since is None else "SAME" if is_alike else "OTHER"), since


def _health(daemon: Daemon, name: str) -> tuple[str, float | None]:
    """Of what a collector below says that it is not well, and since when."""
    how = said(daemon.collector, name)
    return ("", None) if how is None else (str(how.value), how.since)


def _standing(
    neighbours: Neighbours, child: Child, member: Member | None, *, is_open: bool
) -> tuple[str, float | None]:
    if child.revoked_at is not None and not is_open:
        return "REVOKED", child.revoked_at
    if not child.key or child.revoked_at is not None:
        return ("INVITED", child.invited_at) if is_open else ("OVER", child.expires_at)
    if not neighbours.is_connected(child.name):
        return "AWAY", neighbours.since(child.name)
    if member is not None and member.twins:
        return "TWINS", member.since
    if member is not None and not member.is_up:
        return "SILENT", member.since
    return "CONNECTED", neighbours.since(child.name) if member is None else member.since


def _flow(neighbours: Neighbours, name: str) -> Flow:
    rate = neighbours.rate(name)
    return {
        "letters_in_s": rate.letters_in,
        "bytes_in_s": rate.bytes_in,
        "letters_out_s": rate.letters_out,
        "bytes_out_s": rate.bytes_out,
        "dropped": neighbours.traffic().get(name, Traffic()).dropped,
    }


HANDLERS = [collectors, invite_collector, revoke_collector, rotate_collector]
