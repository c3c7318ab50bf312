"""A row for each collector below, with how it stands with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict, cast

import msgspec

from kraken.api.deeper import ToldRow
from kraken.daemon.condition import said
from kraken.daemon.daemon import Daemon
from kraken.daemon.members import Member
from kraken.daemon.neighbours import Neighbours
from kraken.daemon.othermodules import compared
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


class CollectorRow(TypedDict):
    """A collector below. `state`: CONNECTED, SILENT (its wire stands), TWINS (two daemons speak under its
    name), AWAY, INVITED, OVER (its invitation) or REVOKED. `parent`: the collector it hangs below; of one
    that is not ours, its parent told all of this, and what nobody else knows (`heard_s`, `lag_s`, `key`,
    `flow`, and who was invited or revoked there) when it was asked.

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


def own_row(
    daemon: Daemon, neighbours: Neighbours, child: Child, member: Member | None, runs: Mapping[str, int]
) -> CollectorRow:
    """Of a child of ours. `runs`: collector -> how many nodes it runs."""
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
        "flow": flow_of(neighbours, child.name),
    }


def deeper_row(daemon: Daemon, member: Member, runs: Mapping[str, int]) -> CollectorRow:
    """Of one further down, as it is known here."""
    modules, modules_since = _modules(daemon, member.name)
    health, health_since = _health(daemon, member.name)
    state = "TWINS" if member.twins else "CONNECTED" if member.is_up else "AWAY"
    return {
        **_blank(member.name, member.parent, state, member.since),
        "nodes": runs.get(member.name, 0),
        "modules": modules,
        "modules_since": modules_since,
        "health": health,
        "health_since": health_since,
    }


def completed(
    rows: Sequence[CollectorRow], told: Mapping[str, Sequence[ToldRow]], me: str
) -> list[CollectorRow]:
    """The rows with what parents (the keys) said of their children when they were asked. Whom we do not know
    was invited there and never heard, or revoked. `me`: our name, that a child of somebody else may have.
    """
    found = {row["name"]: row for row in rows}
    more: list[CollectorRow] = []
    for parent, children in told.items():
        for child in children:
            known = found.get(child.name)
            if known is None and child.name != me:
                more.append(_with(_blank(child.name, parent, child.state, None), child))
            elif known is not None and known["parent"] == parent:
                found[child.name] = _with(known, child)
    return [*found.values(), *more]


def flow_of(neighbours: Neighbours, name: str) -> Flow:
    """What goes to this neighbour and comes from it."""
    rate = neighbours.rate(name)
    return {
        "letters_in_s": rate.letters_in,
        "bytes_in_s": rate.bytes_in,
        "letters_out_s": rate.letters_out,
        "bytes_out_s": rate.bytes_out,
        "dropped": neighbours.traffic().get(name, Traffic()).dropped,
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


def _with(row: CollectorRow, told: ToldRow) -> CollectorRow:
    return cast(CollectorRow, {**row, **msgspec.to_builtins(told)})


def _blank(name: str, parent: str, state: str, since: float | None) -> CollectorRow:
    """Of one of which nothing else is known."""
    return {
        "name": name,
        "parent": parent,
        "state": state,
        "since": since,
        "heard_s": None,
        "lag_s": None,
        "nodes": 0,
        "key": "",
        "changing_key": False,
        "invited_at": None,
        "expires_at": None,
        "joined_at": None,
        "revoked_at": None,
        "modules": "",
        "modules_since": None,
        "health": "",
        "health_since": None,
        "flow": None,
    }
