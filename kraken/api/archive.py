"""The calls of docs/api.md that look back: runs and history."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, Parameter

from kraken.api import answers, views
from kraken.api.problems import NotFoundError, fails
from kraken.api.relay import Relay
from kraken.daemon.daemon import Daemon
from kraken.daemon.members import members
from kraken.daemon.operations import Operations
from kraken.errors import DocumentError
from kraken.model.hold import EVERY_NODE
from kraken.model.nodeset import fold

LIMIT_MAX = 10_000
ID_MAX = 2**63 - 1
Limit = Annotated[int, Parameter(description=f"at most so many, 1 to {LIMIT_MAX}")]


@get("/v1/runs", summary="Runs of mutations", responses=fails(422, 507))
async def runs(
    operations: NamedDependency[Operations],
    active: Annotated[bool | None, Parameter(description="only those under way, or not")] = None,
    limit: Limit = 100,
) -> answers.Runs:
    """Mutations as the journal of this collector has them, newest first."""
    count = _limit(limit)
    found = await operations.daemon.journal.read(lambda store: store.runs(limit=count, active=active))
    out = {entry.run_id: _out(operations, entry.run_id) for entry in found}
    shown = await asyncio.to_thread(lambda: [views.run(entry, out[entry.run_id]) for entry in found])
    return {"runs": shown, "elsewhere": Relay(operations.daemon).others()}


@get("/v1/runs/{run_id:str}", summary="One run", responses=fails(404, 507))
async def run(operations: NamedDependency[Operations], run_id: FromPath[str]) -> answers.RunWithResults:
    """One run, with what each node came to."""
    entry = await operations.daemon.journal.read(lambda store: store.run(run_id))
    if entry is None:
        hint, others = "`kraken runs` lists them", Relay(operations.daemon).others()
        if others:
            at = others[0] if len(others) == 1 else "COLLECTOR"
            hint += f"; those of others are in their journals: `kraken --at {at} runs`"
        raise NotFoundError(f"no run {run_id!r}", part=run_id, hint=hint)
    return views.run_with_results(entry, _out(operations, run_id))


@get("/v1/history", summary="What changed, and by whom", responses=fails(404, 422, 507))
async def history(
    operations: NamedDependency[Operations],
    nodeset: Annotated[str | None, Parameter(description="only entries of these nodes")] = None,
    limit: Limit = 100,
    before: Annotated[int | None, Parameter(description="`next` of the answer before")] = None,
) -> answers.History:
    """The journal, newest first; that of deleted nodes, too, and of collectors."""
    count = _limit(limit)
    if before is not None and not 0 <= before <= ID_MAX:
        raise DocumentError(f"before cannot be {before}", key="before", hint="it is `next` of an answer")
    names = None if nodeset is None else operations.named(nodeset)
    below = _below(operations.daemon)
    asked = None if names is None else [*names, EVERY_NODE]
    journal = operations.daemon.journal
    found = await journal.read(lambda store: store.history(nodes=asked, limit=count, before=before))
    if names is not None and before is None:
        told = {entry.node for entry in found}
        operations.daemon.collector.table.require(
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


HANDLERS = [runs, run, history]


def _out(operations: Operations, run_id: str) -> int:
    """Nodes of a run that its executor has not reported."""
    active = operations.daemon.collector.engine.batches.active.get(run_id)
    return 0 if active is None else len(active.out)
