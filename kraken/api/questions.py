"""What a daemon is asked most, without the framework that routes and checks requests: the routes answer with
these, and so does `kraken.api.plain` at an agent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, cast

import msgspec

from kraken.api import bodies, plans, views
from kraken.api.across import Across
from kraken.api.relay import Relay
from kraken.daemon.collector import Collector
from kraken.daemon.daemon import Daemon
from kraken.daemon.members import members
from kraken.daemon.operations import Operations
from kraken.daemon.othermodules import OtherModules, other_modules
from kraken.daemon.slices import in_slices
from kraken.engine.cause import Cause, Explanation
from kraken.errors import DocumentError
from kraken.model.document import nearest
from kraken.model.hold import EVERY_NODE
from kraken.model.nodeset import fold

if TYPE_CHECKING:
    from kraken.api import answers

OF_MODULES: Final = (Cause.NO_PATH, Cause.REQUIRES_UNMET, Cause.UNKNOWN)
LOOK_NODES: Final = 250  # asked for at once: others have their turn in between
VIEWS: Final = ("each", "folded")  # of an explanation
LIMIT_MAX: Final = 10_000
ID_MAX: Final = 2**63 - 1


async def node(operations: Operations, name: str, caller: str) -> answers.FullNode:
    """Everything about one node, by who runs it where that one answers.

    Raises:
        UnknownNodeError: nobody declared it.
    """
    operations.node(name)
    told = await Across(operations, [name], caller).node(name)
    return cast("answers.FullNode", told) if told is not None else views.full(operations.daemon, name)


async def explain(
    operations: Operations, nodeset: str | None, everything: bool, view: str, caller: str
) -> bytes:
    """The JSON of one cause for each node, and folded: equal cause and topic together, most nodes first.

    Args:
        view: "folded": without those of each.

    Raises:
        KrakenError: as `Operations.select`, or there is no such view.
    """
    if view not in VIEWS:
        raise DocumentError(f"unknown view {view!r}", key="view", hint="each or folded")
    names = operations.select(nodeset, everything)
    table = operations.daemon.collector.table
    found = await in_slices(names, lambda name: operations.explain([name]) if name in table else [])
    explanations = [explanation for one in found for explanation in one]
    theirs = await Across(operations, names, caller).explain()
    runner = operations.daemon.collector.runner

    def encoded(one: Explanation) -> bytes:
        return msgspec.json.encode(theirs.get(one.node) or views.explained(one, runner(one.node)))

    each = await in_slices(explanations if view == "each" else [], encoded)
    known = [views.told_of(one, theirs.get(one.node)) for one in explanations]
    folded = await asyncio.to_thread(views.folded, known)
    others = plans.other_modules(_of_modules(operations.daemon.collector, known))
    parts = (b",".join(each), msgspec.json.encode(folded), msgspec.json.encode(others))
    return b'{"nodes":[%b],"folded":%b,"other_modules":%b}' % parts


async def discover(operations: Operations, look: bodies.Look, caller: str) -> answers.Asked:
    """Look at these nodes now, or only at one variable of theirs.

    Raises:
        KrakenError: as `Operations.select`, or there is no such variable; nobody looks.
    """
    names = operations.select(look.nodeset, look.all)
    known = operations.daemon.collector.catalog.variables
    if look.variable is not None and look.variable not in known:
        hint = nearest(look.variable, list(known))
        raise DocumentError(f"unknown variable {look.variable!r}", key="variable", hint=hint)
    across = Across(operations, names, caller)
    asked: dict[str, list[str]] = {}
    for start in range(0, len(across.here), LOOK_NODES):
        part = across.here[start : start + LOOK_NODES]
        here = [name for name in part if name in operations.daemon.collector.table]
        asked |= operations.daemon.look(here, look.variable)
        await asyncio.sleep(0)
    return views.asked(asked, await across.look(look.variable))


def holds(operations: Operations) -> answers.Holds:
    """Every hold that stands; those set together are folded, the freeze has nodeset `*`."""
    now = operations.daemon.clock()
    return {"holds": views.holds(h for h in operations.daemon.collector.holds if h.stands(now))}


async def runs(operations: Operations, active: bool | None, limit: int) -> answers.Runs:
    """Mutations as the journal of this collector has them, newest first.

    Raises:
        DocumentError: the limit is not between 1 and LIMIT_MAX.
    """
    count = _limit(limit)
    found = await operations.daemon.journal.read(lambda store: store.runs(limit=count, active=active))
    out = {entry.run_id: still_out(operations, entry.run_id) for entry in found}
    shown = await asyncio.to_thread(lambda: [views.run(entry, out[entry.run_id]) for entry in found])
    return {"runs": shown, "elsewhere": Relay(operations.daemon).others()}


def still_out(operations: Operations, run_id: str) -> int:
    """Nodes of a run that its executor has not reported."""
    active = operations.daemon.collector.engine.batches.active.get(run_id)
    return 0 if active is None else len(active.out)


async def history(
    operations: Operations, nodeset: str | None, limit: int, before: int | None
) -> answers.History:
    """The journal, newest first; that of deleted nodes, too, and of collectors.

    Args:
        before: `next` of the answer before.

    Raises:
        KrakenError: as `Operations.named`, or limit or `before` is none.
    """
    count = _limit(limit)
    if before is not None and not 0 <= before <= ID_MAX:
        raise DocumentError(f"before cannot be {before}", key="before", hint="it is `next` of an answer")
    names = None if nodeset is None else operations.named(nodeset)
    table = operations.daemon.collector.table
    are_nodes = names is not None and all(name in table for name in names)
    below = {} if are_nodes else _below(operations.daemon)
    asked = None if names is None else [*names, EVERY_NODE]
    journal = operations.daemon.journal
    found = await journal.read(lambda store: store.history(nodes=asked, limit=count, before=before))
    if names is not None and before is None:
        told = {entry.node for entry in found}
        table.require(
            name
            for name in names
            if name not in below and (not told or (name not in told and len(found) < count))
        )
    following = found[-1].id if len(found) == count else None
    return {
        "entries": [views.journal_entry(entry) for entry in found],
        "next": following,
        "elsewhere": _elsewhere(operations.daemon, names, below),
    }


def _of_modules(collector: Collector, known: Iterable[Explanation]) -> list[OtherModules]:
    """Of nodes whose cause is that modules lack something: those of collectors with others than ours."""
    names = [one.node for one in known if one.cause in OF_MODULES]
    return [one for one in other_modules(collector, names) if one.since is not None]


def _below(daemon: Daemon) -> dict[str, str]:
    """The collectors below us, each with its parent, in whose journal is what became of it."""
    if daemon.seat is None:
        return {}
    return {member.name: member.parent for member in members(daemon.seat.tree, daemon.clock())}


def _elsewhere(daemon: Daemon, names: Sequence[str] | None, below: Mapping[str, str]) -> dict[str, str]:
    """Whose journals have more, and of which of these nodes and collectors; "": of whatever is theirs."""
    relay = Relay(daemon)
    if names is None:
        me = "" if daemon.seat is None else daemon.seat.tree.me
        return dict.fromkeys(sorted({*relay.others(), *below.values()} - {"", me}), "")
    found = relay.elsewhere(names)
    for name in names:
        parent = below.get(name, "")
        if parent in below and name not in found.get(parent, ()):
            found.setdefault(parent, []).append(name)
    return {collector: fold(part) for collector, part in found.items()}


def _limit(limit: int) -> int:
    if not 1 <= limit <= LIMIT_MAX:
        raise DocumentError(f"limit {limit} is not between 1 and {LIMIT_MAX}", key="limit")
    return limit
