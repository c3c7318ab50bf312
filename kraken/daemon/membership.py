"""Who belongs to the tree here: what an administrator asks of a daemon's neighbours, journaled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kraken.daemon.daemon import Daemon
from kraken.daemon.declare import NeedsConfirmationError
from kraken.daemon.neighbours import Neighbours
from kraken.daemon.operations import Request
from kraken.errors import DocumentError, JoinError, KrakenError, RefusedError, WireError
from kraken.model.nodeset import fold
from kraken.model.update import Value
from kraken.store.records import Note
from kraken.sync.placing import COLLECTORS
from kraken.transport.address import check_reachable
from kraken.transport.children import VALID_S, Child
from kraken.transport.keys import fingerprint

VALID_S_MAX: Final = 30 * 86400.0
"""The longest an invitation stands: who has the token can become the collector until then."""


class UnknownCollectorError(KrakenError, LookupError):
    """Nobody of this name was invited here."""


class UnconfirmedError(NeedsConfirmationError):
    """A collector that has joined would be heard no more, and nobody said that this is meant."""

    def __init__(self, name: str, nodes: Sequence[str], what: str) -> None:
        super().__init__(f"revoking {name}: {what}; nothing was done", nodes, part=name)


@dataclass(frozen=True, slots=True)
class Invitation:
    """A token and what it is for. The token is a secret.

    Attributes:
        expires_at: seconds since the epoch.
        replaces: a collector of this name has joined already; who joins with the token takes its place.
    """

    name: str
    token: str
    expires_at: float
    addresses: Sequence[str]
    replaces: bool


@dataclass(frozen=True, slots=True)
class Revoked:
    """What becomes of the nodes that list the collector.

    Attributes:
        had_joined: so its daemon may go on with what it heard last, as long as it runs.
        elsewhere: nodes of it, and of those below it, that list others, who get them when the lease is over.
        endless: such nodes that nobody gets until a person vouches that the collector runs nothing: it may
            not have heard yet that others could have them.
        nowhere: those that list nobody else: nobody runs them until another is declared.
    """

    name: str
    had_joined: bool
    elsewhere: Sequence[str]
    endless: Sequence[str]
    nowhere: Sequence[str]


async def invite(
    daemon: Daemon, name: str, request: Request, valid_s: float = VALID_S, addresses: Sequence[str] = ()
) -> Invitation:
    """A token with which one collector can join as `name`. Who made it is journaled before it is given.

    Args:
        addresses: where that collector reaches this one, in place of what is configured.

    Raises:
        DocumentError: the name, an address or the time is none.
        RefusedError: this daemon does not listen for collectors.
        StoreError: it could not be journaled; the token is lost, and one made before is good no more.
        WireError: it could not be written.
    """
    if not 0.0 < valid_s <= VALID_S_MAX:
        long = f"{valid_s / 86400:,.4g} days" if valid_s > VALID_S_MAX else f"{valid_s:g} s"
        raise DocumentError(
            f"an invitation cannot stand for {long}",
            key="expires_s",
            hint=f"above 0, and {VALID_S_MAX / 86400:g} days at most",
        )
    try:
        for address in addresses:
            check_reachable(address)
    except WireError as error:
        raise DocumentError(error.message, key="addresses", hint=error.hint) from error
    neighbours = neighbours_of(daemon)
    known = neighbours.keyring.children.get(name)
    now = daemon.clock()
    try:
        token = neighbours.invite(name, valid_s, addresses)
    except JoinError as error:
        raise DocumentError(error.message, key="name", hint=error.hint) from error
    data = {"expires_at": now + valid_s}
    await daemon.journal.write([Note(now, name, "collector", "invited", request.who, data)])
    replaces = known is not None and bool(known.key) and known.revoked_at is None
    return Invitation(name, token, now + valid_s, tuple(addresses) or neighbours.addresses(), replaces)


async def revoke(daemon: Daemon, name: str, request: Request, *, stopped: bool = False) -> Revoked:
    """Hear this collector no more, and let nobody join with an invitation of its name.

    Args:
        stopped: a person vouches that it runs nothing any more: its nodes go to others without waiting
            for its lease to end. It may be said later than it was revoked, too.

    Raises:
        UnknownCollectorError: nobody has this name.
        UnconfirmedError: it has joined, or may have something under way still, and nobody said that this is
            meant.
        StoreError, WireError: it could not be written; it is heard still.
    """
    neighbours = neighbours_of(daemon)
    waits = stopped and daemon.seat is not None and daemon.seat.tree.placement.waits_for(name)
    child = neighbours.keyring.children.get(name) if waits else _child(neighbours, name)
    joined = child is not None and bool(child.key)
    heard = child is not None and joined and child.revoked_at is None
    elsewhere, nowhere = _going(daemon, name)
    endless = [] if stopped else [node for node in elsewhere if _is_endless(daemon, node, name)]
    elsewhere = [node for node in elsewhere if node not in endless]
    if (heard or waits) and not request.yes:
        what = "it is heard no more from then on" if heard else "its nodes are waited for no more"
        if elsewhere:
            when = "at once, as it is said to run nothing" if stopped else "when its lease is over"
            what += f", {fold(elsewhere)} can go to others {when}"
        if endless:
            what += f", {fold(endless)} only with --stopped, since it may not have heard of the others yet"
        if nowhere:
            what += f", nobody else is declared for {fold(nowhere)}"
        raise UnconfirmedError(name, [*elsewhere, *endless, *nowhere], what)
    text = "revoked, and said to run nothing any more" if stopped else "revoked"
    await daemon.journal.write([Note(daemon.clock(), name, "collector", text, request.who)])
    if child is not None:
        neighbours.revoke(name, stopped=stopped)
    if daemon.seat is not None:
        daemon.seat.remove_child(name, fenced=stopped)
    return Revoked(name, joined, elsewhere, endless, nowhere)


async def rotate(daemon: Daemon, name: str | None, request: Request) -> str:
    """Have this child change its key, or (None) change ours for the parent; the beginning of the key now.

    It is done when `Child.key` is another, or the keyring has no next one.

    Raises:
        UnknownCollectorError: nobody has this name.
        RefusedError: it is not connected, has not joined or was revoked; or there is no parent, or it is
            not connected.
        StoreError, WireError: it could not be written; nothing changes.
    """
    neighbours = neighbours_of(daemon)
    if name is None:
        if neighbours.parent is None:
            raise RefusedError(
                "this collector has no parent, so no key to change; nothing was done",
                hint="name a child: `kraken collector list` shows them",
            )
        if not neighbours.is_connected(neighbours.parent):
            raise _away(neighbours.parent)
        before = neighbours.keyring.client().public
    else:
        child = _child(neighbours, name)
        if child.revoked_at is not None or not child.key:
            what = "was revoked" if child.revoked_at is not None else "has not joined yet"
            raise RefusedError(
                f"{name} {what}; nothing was done",
                part=name,
                hint="it gets a new key when it joins: `kraken collector invite`",
            )
        if not neighbours.is_connected(name):
            raise _away(name)
        before = child.key
    note = Note(daemon.clock(), name or neighbours.me, "collector", "new key asked for", request.who)
    await daemon.journal.write([note])
    if not neighbours.rotate(name):
        raise _away(name or neighbours.me)
    return fingerprint(before)


def refusals(daemon: Daemon) -> dict[str, int]:
    """Reason -> how often somebody was not let in, not heard or not believed since this daemon started."""
    counts = {} if daemon.neighbours is None else dict(daemon.neighbours.refusals())
    if daemon.seat is not None:
        counts |= {f"{name} not believed": number for name, number in daemon.seat.refused.items()}
    return counts


def neighbours_of(daemon: Daemon) -> Neighbours:
    """The wire of this daemon.

    Raises:
        RefusedError: it was started without one.
    """
    if daemon.neighbours is None:
        raise RefusedError("this daemon has no wire to other collectors; nothing was done")
    return daemon.neighbours


def _child(neighbours: Neighbours, name: str) -> Child:
    child = neighbours.keyring.children.get(name)
    if child is None:
        raise UnknownCollectorError(
            f"no collector {name!r} was invited here; nothing was done",
            part=name,
            hint="`kraken collector list` shows who was",
        )
    return child


def _listed(value: Value) -> Sequence[str]:
    """The collectors that may have a node, as its attribute says."""
    if isinstance(value, list):
        return value
    return [str(value)] if value else []


def _going(daemon: Daemon, name: str) -> tuple[list[str], list[str]]:
    """The nodes of a child and of all below it that list others, too; and those that do not, also where the
    child does not have them yet.
    """
    table, tree = daemon.collector.table, None if daemon.seat is None else daemon.seat.tree
    has = set() if tree is None else {*tree.placement.of(name), *tree.placement.leaving(name)}
    elsewhere, nowhere = [], []
    for node in table:
        names = _listed(table[node].attribute(COLLECTORS))
        if any(one != name and (tree is None or tree.placing.toward(one) != name) for one in names):
            if node in has:
                elsewhere.append(node)
        elif node in has or name in names:
            nowhere.append(node)
    return elsewhere, nowhere


def _is_endless(daemon: Daemon, node: str, name: str) -> bool:
    """Whether this collector has the node for as long as it likes, as far as it knows."""
    if daemon.seat is None:
        return False
    placement = daemon.seat.tree.placement
    former = placement.former(node)
    has = placement.holder.get(node) == name or (former is not None and former[0] == name)
    return has and node in placement.alone


def _away(name: str) -> RefusedError:
    return RefusedError(
        f"{name} is not connected; nothing was done",
        part=name,
        hint="see that its daemon runs and what is between, then try again",
    )
