"""The calls of docs/api.md that look back (runs, history) and at the Kraken modules."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from litestar import Response, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Parameter

from kraken.api import answers, views
from kraken.api.pictures import MEDIA_TYPES, draw
from kraken.api.problems import NotFoundError, fails
from kraken.daemon.operations import Operations
from kraken.errors import DocumentError
from kraken.model.document import nearest
from kraken.model.hold import EVERY_NODE
from kraken.planning.graph import causal_graph, mark_path, mutation_graph

LIMIT_MAX = 10_000
ID_MAX = 2**63 - 1
Limit = Annotated[int, Parameter(description=f"at most so many, 1 to {LIMIT_MAX}")]


@get("/v1/runs", summary="Runs of mutations", responses=fails(422, 507))
async def runs(
    operations: Operations,
    active: Annotated[bool | None, Parameter(description="only those under way, or not")] = None,
    limit: Limit = 100,
) -> answers.Runs:
    """Mutations as the journal has them, newest first."""
    count = _limit(limit)
    found = await operations.daemon.journal.read(lambda store: store.runs(limit=count, active=active))
    out = {entry.run_id: _out(operations, entry.run_id) for entry in found}
    shown = await asyncio.to_thread(lambda: [views.run(entry, out[entry.run_id]) for entry in found])
    return {"runs": shown}


@get("/v1/runs/{run_id:str}", summary="One run", responses=fails(404, 507))
async def run(operations: Operations, run_id: str) -> answers.RunWithResults:
    """One run, with what each node came to."""
    entry = await operations.daemon.journal.read(lambda store: store.run(run_id))
    if entry is None:
        raise NotFoundError(f"no run {run_id!r}", part=run_id, hint="`kraken runs` lists them")
    return views.run_with_results(entry, _out(operations, run_id))


@get("/v1/history", summary="What changed, and by whom", responses=fails(404, 422, 507))
async def history(
    operations: Operations,
    nodeset: Annotated[str | None, Parameter(description="only entries of these nodes")] = None,
    limit: Limit = 100,
    before: Annotated[int | None, Parameter(description="`next` of the answer before")] = None,
) -> answers.History:
    """The journal, newest first; that of deleted nodes, too."""
    count = _limit(limit)
    if before is not None and not 0 <= before <= ID_MAX:
        raise DocumentError(f"before cannot be {before}", key="before", hint="it is `next` of an answer")
    names = None if nodeset is None else operations.named(nodeset)
    asked = None if names is None else [*names, EVERY_NODE]
    journal = operations.daemon.journal
    found = await journal.read(lambda store: store.history(nodes=asked, limit=count, before=before))
    if names is not None and before is None:
        told = {entry.node for entry in found}
        operations.daemon.collector.table.require(
            name for name in names if not told or (name not in told and len(found) < count)
        )
    following = found[-1].id if len(found) == count else None
    return {"entries": [views.journal_entry(entry) for entry in found], "next": following}


@get("/v1/modules", sync_to_thread=False, summary="Kraken modules")
def modules(operations: Operations) -> answers.Modules:
    """The Kraken modules in use, and those refused."""
    daemon = operations.daemon
    return views.modules(daemon.collector.catalog.modules.values(), daemon.problems)


@get("/v1/modules/{name:str}", sync_to_thread=False, summary="One Kraken module", responses=fails(404))
def module(operations: Operations, name: str) -> answers.Module:
    """One module, whole."""
    known = operations.daemon.collector.catalog.modules
    if name not in known:
        raise NotFoundError(
            f"no Kraken module {name!r} is loaded", part=name, hint=nearest(name, list(known))
        )
    return views.module(known[name])


@post("/v1/modules/reload", status_code=200, summary="Read the Kraken modules again")
async def reload_modules(operations: Operations) -> answers.Modules:
    """Read the Kraken modules again."""
    daemon = operations.daemon
    await daemon.reload()
    return views.modules(daemon.collector.catalog.modules.values(), daemon.problems)


@get(
    "/v1/graph",
    summary="A picture of the mutations",
    responses={
        200: ResponseSpec(
            str, generate_examples=False, description="As `format` says.", media_type=MEDIA_TYPES["dot"]
        ),
        **fails(404, 422, 501),
    },
)
async def graph(
    operations: Operations,
    kind: Annotated[str, Parameter(description="mutation or causal")] = "mutation",
    picture: Annotated[str, Parameter(query="format", description=", ".join(MEDIA_TYPES))] = "dot",
    of_node: Annotated[
        str | None, Parameter(query="node", description="as it can be changed, with its state, path and Cfg")
    ] = None,
    variables: Annotated[str | None, Parameter(description="only these, separated by commas")] = None,
) -> Response[bytes]:
    """A picture of what can become what, or of which variable needs which."""
    if kind not in ("mutation", "causal"):
        raise DocumentError(f"unknown kind {kind!r}", key="kind", hint="mutation or causal")
    if picture not in MEDIA_TYPES:
        raise DocumentError(f"unknown format {picture!r}", key="format", hint=", ".join(MEDIA_TYPES))
    catalog = operations.daemon.collector.catalog
    only = [name for name in (variables or "").split(",") if name]
    found = None if of_node is None else operations.node(of_node)
    attributes = None if found is None else found.attribute_values()
    cfg = None if found is None else found.cfg_values()
    drawing: Any
    if kind == "causal":
        drawing = causal_graph(catalog, attributes, cfg, only)
    elif found is None:
        drawing = mutation_graph(catalog, None, only=only)
    else:
        known = catalog.known(found.dsc_values(), found.attribute_values())
        drawing = mutation_graph(catalog, attributes, cfg, known, only)
        mark_path(drawing, known, operations.daemon.collector.engine.path(found.name))
    title = ", ".join(catalog.modules) if found is None else found.name
    content = await draw(drawing, picture, title)
    return Response(content, media_type=MEDIA_TYPES[picture])


def _limit(limit: int) -> int:
    if not 1 <= limit <= LIMIT_MAX:
        raise DocumentError(f"limit {limit} is not between 1 and {LIMIT_MAX}", key="limit")
    return limit


HANDLERS = [runs, run, history, modules, module, reload_modules, graph]


def _out(operations: Operations, run_id: str) -> int:
    """Nodes of a run that its executor has not reported."""
    active = operations.daemon.collector.engine.batches.active.get(run_id)
    return 0 if active is None else len(active.out)
