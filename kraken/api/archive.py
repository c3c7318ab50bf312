"""The calls of docs/api.md that look back: runs and history."""

from __future__ import annotations

from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, Parameter

from kraken.api import answers, questions, views
from kraken.api.problems import NotFoundError, fails
from kraken.api.relay import Relay
from kraken.daemon.operations import Operations

Limit = Annotated[int, Parameter(description=f"at most so many, 1 to {questions.LIMIT_MAX}")]


@get("/v1/runs", summary="Runs of mutations", responses=fails(422, 507))
async def runs(
    operations: NamedDependency[Operations],
    active: Annotated[bool | None, Parameter(description="only those under way, or not")] = None,
    limit: Limit = 100,
) -> answers.Runs:
    """Mutations as the journal of this collector has them, newest first."""
    return await questions.runs(operations, active, limit)


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
    return views.run_with_results(entry, questions.still_out(operations, run_id))


@get("/v1/history", summary="What changed, and by whom", responses=fails(404, 422, 507))
async def history(
    operations: NamedDependency[Operations],
    nodeset: Annotated[str | None, Parameter(description="only entries of these nodes")] = None,
    limit: Limit = 100,
    before: Annotated[int | None, Parameter(description="`next` of the answer before")] = None,
) -> answers.History:
    """The journal, newest first; that of deleted nodes, too, and of collectors."""
    return await questions.history(operations, nodeset, limit, before)


HANDLERS = [runs, run, history]
