"""The new password of a credential, given to BMCs in waves: one first, and no more once one has failed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kraken.daemon.credentials import CREDENTIAL
from kraken.daemon.daemon import Daemon
from kraken.daemon.declare import Item, confirm
from kraken.daemon.operations import Request
from kraken.errors import DocumentError, KrakenError
from kraken.executors.accounts import FINE, BmcAccounts, Rotated, Stand
from kraken.model.byhand import PROTOCOL
from kraken.model.module import as_text
from kraken.model.run import NodeFacts
from kraken.store.records import Note

log = logging.getLogger("kraken.bmc")

WAVE: Final = 16
"""BMCs at once, after the first one alone: what a mistake that one BMC does not show can cost."""

TIMEOUT_S: Final = 35.0
"""For one wave: a login with each password, up to 63 names of users, the change, a login. A client
gives a silent daemon up after 45 s."""

PATIENCE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Rotation:
    """What was asked for.

    Attributes:
        nodes: those that name the credential.
        change: False: it is only looked which password each BMC takes, of all at once.
        held: held nodes, too.
    """

    credential: str
    nodes: tuple[str, ...]
    change: bool
    held: bool


def prepare(
    daemon: Daemon, credential: str, names: Sequence[str], request: Request, *, change: bool, held: bool
) -> Rotation:
    """Which BMCs are meant.

    Raises:
        DocumentError: none of the nodes names this credential.
        NeedsConfirmationError: many nodes, and nobody said that they are meant.
    """
    table = daemon.collector.table
    meant = [
        name
        for name in names
        if name in table and as_text(table[name].attribute_values().get(CREDENTIAL)) == credential
    ]
    if not credential or not meant:
        text = f"none of these nodes names the credential {credential!r} in {CREDENTIAL}; nothing was done"
        raise DocumentError(text, key="name", hint="`kraken credentials list` tells who names which")
    if change:
        confirm([Item(name, message="new password") for name in meant], yes=request.yes)
    return Rotation(credential, tuple(meant), change, held)


async def rotate(daemon: Daemon, rotation: Rotation, request: Request) -> AsyncIterator[Sequence[Rotated]]:
    """What came of each node, once, a wave at a time.

    All are looked at first, so that a BMC that is silent, or takes neither password, stops nobody. Who
    did it is journaled before anything is sent to a wave. A BMC that another collector logs in to is not
    asked: that one has a file of its own, and would be shut out. When the iteration is given up, nothing
    more is sent: asked for again, it goes on where it was.
    """
    now = daemon.clock()
    facts = {n: daemon.collector.facts(n, now) for n in rotation.nodes if n in daemon.collector.table}
    yield [Rotated(n, Stand.ELSEWHERE, _whose(daemon, n)) for n in facts if not daemon.collector.runs(n)]
    facts = {n: found for n, found in facts.items() if daemon.collector.runs(n)}
    kept = [] if rotation.held or not rotation.change else [n for n in facts if facts[n].held]
    if kept:
        text = "its node is held, and its BMC belongs to whoever holds it: --held changes it all the same"
        yield [Rotated(n, Stand.HELD, text) for n in kept]
    mute = {n: why for n in facts if n not in kept and (why := _why_not(daemon, facts[n]))}
    yield [Rotated(n, Stand.FAILED, why) for n, why in mute.items()]
    looked = await _wave(
        daemon, {n: facts[n] for n in facts if n not in kept and n not in mute}, change=False
    )
    if not rotation.change:
        yield looked
        return
    yield [one for one in looked if one.stand is not Stand.PREVIOUS]
    failed: list[str] = []
    for wave in _waves([one.node for one in looked if one.stand is Stand.PREVIOUS]):
        if failed:
            text = f"not tried, since {failed[0]} failed: mend that, and do it again"
            yield [Rotated(n, Stand.NOT_TRIED, text) for n in wave]
            continue
        text = f"new password of credential {rotation.credential} for its BMC, by hand"
        await daemon.journal.write([Note(daemon.clock(), n, "run", text, request.who) for n in wave])
        done = await _wave(daemon, {n: facts[n] for n in wave}, change=True)
        failed = [one.node for one in done if one.stand not in FINE]
        yield done


def _waves(names: Sequence[str]) -> Iterator[Sequence[str]]:
    yield names[:1]
    for start in range(1, len(names), WAVE):
        yield names[start : start + WAVE]


async def _wave(daemon: Daemon, facts: Mapping[str, NodeFacts], *, change: bool) -> list[Rotated]:
    groups: dict[str, dict[str, NodeFacts]] = {}
    for name, found in facts.items():
        groups.setdefault(as_text(found.attributes.get(PROTOCOL)), {})[name] = found
    done = await asyncio.gather(*(_ask(daemon, p, nodes, change=change) for p, nodes in groups.items()))
    return [one for part in done for one in part]


async def _ask(
    daemon: Daemon, protocol: str, nodes: Mapping[str, NodeFacts], *, change: bool
) -> list[Rotated]:
    """By the executor of one protocol; every node has its word, whatever happens."""
    results: dict[str, Rotated] = {}
    executor: object = daemon.executors[protocol]
    assert isinstance(executor, BmcAccounts)
    message = "its executor ended without a word of it"
    try:
        async with asyncio.timeout(TIMEOUT_S + PATIENCE_S):
            await executor.rotate(
                nodes, TIMEOUT_S, lambda rs: results.update((r.node, r) for r in rs), change=change
            )
    except TimeoutError:
        message = f"it was not done within {TIMEOUT_S:g} s; it may be done yet: do it again to see"
    except KrakenError as error:
        message = str(error)
    except Exception:
        message = "a fault in its executor; the daemon's log has it"
        log.exception("password not changed", extra={"protocol": protocol})
    return [results.get(name) or Rotated(name, Stand.FAILED, message) for name in nodes]


def _whose(daemon: Daemon, node: str) -> str:
    runner = daemon.collector.runner(node)
    if not runner:
        return "no collector runs the node at the moment, so nobody knows who is to log in with it"
    return f"collector {runner} runs the node, with a credentials file of its own: change it there"


def _why_not(daemon: Daemon, facts: NodeFacts) -> str:
    """Why nobody can ask this BMC; "" when somebody can."""
    protocol = as_text(facts.attributes.get(PROTOCOL))
    if isinstance(daemon.executors.get(protocol), BmcAccounts):
        return ""
    if not protocol:
        return f"the node has no attribute {PROTOCOL}"
    return f"Kraken does not change passwords over {protocol} yet: change it in the BMC, then check"
