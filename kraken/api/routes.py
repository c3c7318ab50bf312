"""The calls of docs/api.md that read and declare."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, patch, post
from litestar.params import Parameter

import kraken
from kraken.api import bodies, views
from kraken.api.pictures import MEDIA_TYPES, draw
from kraken.api.problems import NotFoundError
from kraken.api.security import who
from kraken.daemon.operations import Operations
from kraken.daemon.operations import Request as Asked
from kraken.errors import DocumentError
from kraken.model.hold import EVERY_NODE
from kraken.planning.graph import causal_graph, mutation_graph

Json = dict[str, Any]
Http = Request[Any, Any, Any]
LIMIT_MAX = 10_000


@get("/v1/health", sync_to_thread=False)
def health(operations: Operations) -> Json:
    """How the daemon is, and what it sees, in numbers."""
    daemon = operations.daemon
    collector, now = daemon.collector, daemon.clock()
    causes: dict[str, int] = {}
    for name in collector.table:
        cause = collector.engine.cause(name)
        causes[cause] = causes.get(cause, 0) + 1
    frozen = views.holds(collector.holds.on(EVERY_NODE, now))
    cache = collector.planner.stats()
    return {
        "status": "ok",
        "version": kraken.__version__,
        "incarnation": collector.incarnation,
        "uptime_s": now - daemon.started_at,
        "nodes": len(collector.table),
        "causes": causes,
        "frozen": frozen[0] if frozen else None,
        "modules": {
            "loaded": len(collector.catalog.modules),
            "refused": [{"file": p.file, "error": str(p)} for p in daemon.problems],
        },
        "runs": len(collector.engine.batches.active),
        "planner": {"entries": cache.entries, "hits": cache.hits, "misses": cache.misses},
    }


@get("/v1/nodes", sync_to_thread=False)
def nodes(
    request: Http,
    operations: Operations,
    nodeset: str | None = None,
    view: str = "brief",
    cause: str | None = None,
    group: str | None = None,
) -> Response[bytes]:
    """Declared nodes, all of them or those chosen."""
    if view not in ("names", "brief", "full"):
        raise DocumentError(f"unknown view {view!r}", key="view", hint="names, brief or full")
    collector = operations.daemon.collector
    names = operations.select(nodeset) if nodeset is not None else list(collector.table)
    if cause is not None:
        names = [name for name in names if collector.engine.cause(name) == cause.upper()]
    if group is not None:
        names = [name for name in names if group in collector.table[name].groups]
    if view == "names":
        return _tagged(request, {"nodes": names})
    render = views.full if view == "full" else views.brief
    return _tagged(request, {"nodes": [render(operations.daemon, name) for name in names]})


@get("/v1/nodes/{name:str}", sync_to_thread=False)
def node(operations: Operations, name: str) -> Json:
    """Everything about one node."""
    operations.node(name)
    return views.full(operations.daemon, name)


@post("/v1/apply", status_code=200)
async def apply(request: Http, operations: Operations, data: bodies.Application) -> Json:
    """Declare what a document says; all of it or nothing."""
    asked = Asked(who(request), data.dry_run, data.allow_unreachable, data.yes)
    return views.changes(await operations.apply(data.document, asked))


@post("/v1/nodes/delete", status_code=200)
async def delete(request: Http, operations: Operations, data: bodies.Selection) -> Json:
    """Forget nodes."""
    names = operations.select(data.nodeset, data.all)
    return views.changes(await operations.delete(names, Asked(who(request), yes=data.yes)))


@patch("/v1/cfg")
async def change_cfg(request: Http, operations: Operations, data: bodies.Change) -> Json:
    """Set and withdraw variables of Cfg."""
    return await _change(request, operations, data, operations.change_cfg)


@patch("/v1/attributes")
async def change_attributes(request: Http, operations: Operations, data: bodies.Change) -> Json:
    """Set and withdraw attributes."""
    return await _change(request, operations, data, operations.change_attributes)


@post("/v1/plan", status_code=200, sync_to_thread=False)
def plan(operations: Operations, data: bodies.PlanQuestion) -> Json:
    """What would be done, nodes folded by equal plans."""
    names = operations.select(data.nodeset, data.all)
    return views.plan(operations.plan(names, data.set, data.unset))


@get("/v1/explain", sync_to_thread=False)
def explain(
    operations: Operations,
    nodeset: str | None = None,
    everything: Annotated[bool, Parameter(query="all")] = False,
) -> Json:
    """One cause per node, and folded."""
    found = operations.explain(operations.select(nodeset, everything))
    return {"nodes": [views.explained(e) for e in found], "folded": views.folded(found)}


@post("/v1/discover", status_code=200, sync_to_thread=False)
def discover(operations: Operations, data: bodies.Selection) -> Json:
    """Look at these nodes now."""
    asked = operations.daemon.look(operations.select(data.nodeset, data.all))
    return {
        "changed": sum(1 for discoveries in asked.values() if discoveries),
        "items": [
            {"node": name, "changed": bool(keys), "diff": {}, "message": ", ".join(keys), "discoveries": keys}
            for name, keys in asked.items()
        ],
    }


@get("/v1/holds", sync_to_thread=False)
def holds(operations: Operations) -> Json:
    """Every hold that stands."""
    now = operations.daemon.clock()
    return {"holds": views.holds(h for h in operations.daemon.collector.holds if h.stands(now))}


@post("/v1/holds", status_code=200)
async def hold(request: Http, operations: Operations, data: bodies.NewHold) -> Json:
    """Leave these nodes alone."""
    names = operations.select(data.nodeset, data.all)
    asked = Asked(who(request), yes=data.yes)
    return views.changes(await operations.hold(names, data.reason, data.for_s, asked))


@post("/v1/holds/release", status_code=200)
async def release(request: Http, operations: Operations, data: bodies.Release) -> Json:
    """Lift holds."""
    names = operations.select(data.nodeset, data.all)
    asked = Asked(who(request))
    return views.changes(await operations.release(names, asked, hold_id=data.id, owner=data.owner))


@post("/v1/freeze", status_code=200)
async def freeze(request: Http, operations: Operations, data: bodies.Freeze) -> Json:
    """No mutation starts anywhere; discovery goes on."""
    await operations.freeze(data.reason, Asked(who(request)))
    return _frozen(operations)


@post("/v1/thaw", status_code=200)
async def thaw(request: Http, operations: Operations) -> Json:
    """Lift the freeze."""
    await operations.thaw(Asked(who(request)))
    return _frozen(operations)


@post("/v1/retry", status_code=200)
async def retry(request: Http, operations: Operations, data: bodies.Selection) -> Json:
    """End quarantine and pauses."""
    names = operations.select(data.nodeset, data.all)
    return views.changes(await operations.retry(names, Asked(who(request))))


@get("/v1/runs")
async def runs(operations: Operations, active: bool | None = None, limit: int = 100) -> Json:
    """Mutations as the journal has them, newest first."""
    found = await operations.daemon.journal.read(lambda store: store.runs(limit=_limit(limit), active=active))
    return {"runs": [views.run(entry) for entry in found]}


@get("/v1/runs/{run_id:str}")
async def run(operations: Operations, run_id: str) -> Json:
    """One run, with what each node came to."""
    entry = await operations.daemon.journal.read(lambda store: store.run(run_id))
    if entry is None:
        raise NotFoundError(f"no run {run_id!r}", part=run_id, hint="`kraken runs` lists them")
    return views.run(entry, results=True)


@get("/v1/history")
async def history(
    operations: Operations, nodeset: str | None = None, limit: int = 100, before: int | None = None
) -> Json:
    """The journal, newest first."""
    names = None if nodeset is None else [*operations.select(nodeset), EVERY_NODE]
    count = _limit(limit)
    found = await operations.daemon.journal.read(
        lambda store: store.history(nodes=names, limit=count, before=before)
    )
    following = found[-1].id if len(found) == count else None
    return {"entries": [views.journal_entry(entry) for entry in found], "next": following}


@get("/v1/modules", sync_to_thread=False)
def modules(operations: Operations) -> Json:
    """The Kraken modules in use, and those refused."""
    daemon = operations.daemon
    return views.modules(daemon.collector.catalog.modules.values(), daemon.problems)


@get("/v1/modules/{name:str}", sync_to_thread=False)
def module(operations: Operations, name: str) -> Json:
    """One module, whole."""
    found = operations.daemon.collector.catalog.modules.get(name)
    if found is None:
        known = ", ".join(operations.daemon.collector.catalog.modules)
        raise NotFoundError(f"no Kraken module {name!r}", part=name, hint=f"loaded are: {known or 'none'}")
    return views.module(found)


@post("/v1/modules/reload", status_code=200)
async def reload_modules(operations: Operations) -> Json:
    """Read the Kraken modules again."""
    await operations.daemon.reload()
    daemon = operations.daemon
    return views.modules(daemon.collector.catalog.modules.values(), daemon.problems)


@get("/v1/graph")
async def graph(
    operations: Operations,
    kind: str = "mutation",
    picture: Annotated[str, Parameter(query="format")] = "dot",
    of_node: Annotated[str | None, Parameter(query="node")] = None,
) -> Response[bytes]:
    """A picture of what can become what, or of which variable needs which."""
    catalog = operations.daemon.collector.catalog
    if kind not in ("mutation", "causal"):
        raise DocumentError(f"unknown kind {kind!r}", key="kind", hint="mutation or causal")
    if picture not in MEDIA_TYPES:
        raise DocumentError(f"unknown format {picture!r}", key="format", hint=", ".join(MEDIA_TYPES))
    if kind == "causal":
        drawn = await draw(causal_graph(catalog), picture)
    elif of_node is None:
        drawn = await draw(mutation_graph(catalog, None), picture)
    else:
        found = operations.node(of_node)
        drawn = await draw(mutation_graph(catalog, found.attribute_values(), found.cfg_values()), picture)
    return Response(drawn, media_type=MEDIA_TYPES[picture])


async def _change(request: Http, operations: Operations, data: bodies.Change, how: Any) -> Json:
    names = operations.select(data.nodeset, data.all)
    asked = Asked(who(request), data.dry_run, data.allow_unreachable, data.yes)
    both = sorted(set(data.set) & set(data.unset))
    if both:
        raise DocumentError(f"both set and unset: {', '.join(both)}", key=f"unset.{both[0]}")
    if not data.set and not data.unset:
        raise DocumentError("nothing to set or unset", key="set")
    return views.changes(await how(names, data.set, data.unset, asked))


def _frozen(operations: Operations) -> Json:
    now = operations.daemon.clock()
    found = views.holds(operations.daemon.collector.holds.on(EVERY_NODE, now))
    return {"frozen": found[0] if found else None}


def _tagged(request: Http, body: Json) -> Response[bytes]:
    """The body, or 304 when the caller has it already."""
    encoded = msgspec.json.encode(body)
    tag = f'"{hashlib.blake2b(encoded, digest_size=12).hexdigest()}"'
    if request.headers.get("if-none-match") == tag:
        return Response(b"", status_code=304, headers={"ETag": tag})
    return Response(encoded, media_type="application/json", headers={"ETag": tag})


def _limit(limit: int) -> int:
    if not 1 <= limit <= LIMIT_MAX:
        raise DocumentError(f"limit {limit} is not between 1 and {LIMIT_MAX}", key="limit")
    return limit


HANDLERS = [
    health, nodes, node, apply, delete, change_cfg, change_attributes, plan, explain, discover,
    holds, hold, release, freeze, thaw, retry, runs, run, history, modules, module, reload_modules, graph,
]  # fmt: skip
