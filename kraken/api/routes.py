"""The calls of docs/api.md on nodes: those that read, those that declare, those that hold."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, patch, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody, Parameter

from kraken.api import answers, bodies, plans, questions, views
from kraken.api.across import Across
from kraken.api.choosing import choose
from kraken.api.holding import frozen_at, standing
from kraken.api.problems import fails
from kraken.api.security import who
from kraken.daemon.daemon import Daemon
from kraken.daemon.operations import Operations
from kraken.daemon.operations import Request as Asked
from kraken.daemon.slices import in_slices
from kraken.errors import DocumentError

Http = Request[Any, Any, Any]
Nodeset = Annotated[str | None, Parameter(description="ClusterShell syntax: n[0001-0128],login1, @group")]

_SELECTS = fails(404, 422)
_CHANGES = fails(404, 409, 413, 422, 507)
_KEEPS = fails(409, 413, 422, 507)


@get("/v1/health", sync_to_thread=False, summary="How the daemon is, in numbers")
def health(operations: NamedDependency[Operations]) -> answers.Health:
    """How the daemon is, and what it sees, in numbers."""
    return views.health(operations.daemon)


@get(
    "/v1/nodes",
    summary="Declared nodes",
    responses={
        200: ResponseSpec(answers.NodeList, generate_examples=False, description="The nodes, in order."),
        304: ResponseSpec(None, description="They are as `If-None-Match` has them."),
        **_SELECTS,
    },
)
async def nodes(
    request: Http,
    operations: NamedDependency[Operations],
    nodeset: Nodeset = None,
    view: Annotated[str, Parameter(description="names, brief or full")] = "brief",
    cause: Annotated[str | None, Parameter(description="only those of this cause")] = None,
    group: Annotated[str | None, Parameter(description="only those in this group")] = None,
    collector: Annotated[str | None, Parameter(description="only those that this collector runs")] = None,
) -> Response[bytes]:
    """Declared nodes, all of them or those chosen."""
    if view not in ("names", "brief", "full"):
        raise DocumentError(f"unknown view {view!r}", key="view", hint="names, brief or full")
    names = choose(operations, nodeset, cause, group, collector)
    return _tagged(request, await _listed(operations.daemon, names, view))


@get("/v1/nodes/{name:str}", summary="One node", responses=fails(404))
async def node(
    request: Http, operations: NamedDependency[Operations], name: FromPath[str]
) -> answers.FullNode:
    """Everything about one node, by who runs it where that one answers."""
    return await questions.node(operations, name, who(request))


@post("/v1/apply", status_code=200, summary="Declare a document", responses=_CHANGES)
async def apply(
    request: Http, operations: NamedDependency[Operations], data: JSONBody[bodies.Application]
) -> answers.Changes:
    """Declare what a document says; all of it or nothing."""
    asked = Asked(who(request), data.dry_run, data.allow_unreachable, data.yes)
    return views.changes(await operations.apply(data.document, asked))


@post("/v1/nodes/delete", status_code=200, summary="Forget nodes", responses=_CHANGES)
async def delete(
    request: Http, operations: NamedDependency[Operations], data: JSONBody[bodies.Selection]
) -> answers.Changes:
    """Forget nodes, with all that was declared and seen of them."""
    names = operations.select(data.nodeset, data.all)
    return views.changes(await operations.delete(names, Asked(who(request), yes=data.yes)))


@patch("/v1/cfg", summary="Set and withdraw variables", responses=_CHANGES)
async def change_cfg(
    request: Http, operations: NamedDependency[Operations], data: JSONBody[bodies.Change]
) -> answers.Changes:
    """Set and withdraw variables of Cfg."""
    return await _change(request, operations, data, operations.change_cfg)


@patch("/v1/attributes", summary="Set and withdraw attributes", responses=_CHANGES)
async def change_attributes(
    request: Http, operations: NamedDependency[Operations], data: JSONBody[bodies.Change]
) -> answers.Changes:
    """Set and withdraw attributes."""
    return await _change(request, operations, data, operations.change_attributes)


@post("/v1/plan", status_code=200, summary="What would be done", responses=fails(404, 413, 422))
async def plan(operations: NamedDependency[Operations], data: JSONBody[bodies.PlanQuestion]) -> answers.Plan:
    """What would be done if these values were declared, nodes folded by equal plans."""
    names = operations.select(data.nodeset, data.all)
    _check_both(data.set, data.unset)
    return await asyncio.to_thread(plans.plan, await operations.plan(names, data.set, data.unset))


@post("/v1/plan/apply", status_code=200, summary="Do what a plan says, or refuse", responses=_KEEPS)
async def apply_plan(
    request: Http, operations: NamedDependency[Operations], data: JSONBody[bodies.PlanApplication]
) -> answers.AppliedPlan:
    """Declare what a plan was made for, if that is still what would be done; else nothing."""
    asked = Asked(who(request), data.dry_run, yes=data.yes)
    return plans.applied(operations.daemon, await operations.apply_plan(data.plan, asked))


@get("/v1/drift", summary="Where nodes are not as declared", responses=_SELECTS)
async def drift(operations: NamedDependency[Operations], nodeset: Nodeset = None) -> answers.Drift:
    """What differs now, and how well that is known, equal drift together; of every node or those chosen."""
    table = operations.daemon.collector.table
    names = operations.select(nodeset) if nodeset is not None else list(table)
    found = await in_slices(names, operations.drift)
    return await asyncio.to_thread(plans.drift, len(names), [one for drifts in found for one in drifts])


@get(
    "/v1/explain",
    summary="Why nodes are as they are",
    responses={
        200: ResponseSpec(answers.Explanations, generate_examples=False, description="Each, and folded."),
        **_SELECTS,
    },
)
async def explain(
    request: Http,
    operations: NamedDependency[Operations],
    nodeset: Nodeset = None,
    all: Annotated[bool, Parameter(description="every node")] = False,
    view: Annotated[str, Parameter(description="each, or folded: without those of each")] = "each",
) -> Response[bytes]:
    """One cause per node, and folded: equal cause and topic together, most nodes first."""
    body = await questions.explain(operations, nodeset, all, view, who(request))
    return Response(body, media_type="application/json")


@post("/v1/discover", status_code=200, summary="Look now", responses=fails(404, 422))
async def discover(
    request: Http, operations: NamedDependency[Operations], data: JSONBody[bodies.Look]
) -> answers.Asked:
    """Look at these nodes now, or only at one variable of theirs."""
    return await questions.discover(operations, data, who(request))


@get("/v1/holds", sync_to_thread=False, summary="Every hold that stands")
def holds(operations: NamedDependency[Operations]) -> answers.Holds:
    """Every hold that stands; those set together are folded, the freeze has nodeset `*`."""
    return questions.holds(operations)


@post("/v1/holds", status_code=200, summary="Leave nodes alone", responses=_CHANGES)
async def hold(
    request: Http, operations: NamedDependency[Operations], data: JSONBody[bodies.NewHold]
) -> answers.Held:
    """Leave these nodes alone; answers when who runs them knows, or could not be asked."""
    names = operations.select(data.nodeset, data.all)
    asked = Asked(who(request), yes=data.yes)
    items = await operations.hold(names, data.reason, data.for_s, asked)
    holds = operations.daemon.collector.holds
    known = {name: holds.of(name) for name in names}
    ids = {name: max(each, key=lambda hold: hold.created_at).id for name, each in known.items() if each}
    stands = await standing(operations.daemon, ids)
    told = [replace(i, message=_with_begun(i.message, stands.begun.get(i.node, []))) for i in items]
    return {**views.changes(told), "lacking": stands.folded()}


@post("/v1/holds/release", status_code=200, summary="Lift holds", responses=fails(404, 413, 422, 507))
async def release(
    request: Http, operations: NamedDependency[Operations], data: JSONBody[bodies.Release]
) -> answers.Changes:
    """Lift every hold of the nodes, or only that of this id, or this owner's."""
    names = operations.select(data.nodeset, data.all)
    asked = Asked(who(request))
    return views.changes(await operations.release(names, asked, hold_id=data.id, owner=data.owner))


@post("/v1/freeze", status_code=200, summary="Leave every node alone", responses=fails(413, 422, 507))
async def freeze(
    request: Http, operations: NamedDependency[Operations], data: JSONBody[bodies.Freeze]
) -> answers.Frozen:
    """No mutation starts anywhere; discovery goes on. Answers when every collector that runs nodes knows, or
    could not be asked.
    """
    hold = await operations.freeze(data.reason, Asked(who(request)))
    return {**views.frozen(operations.daemon), "lacking": await frozen_at(operations.daemon, hold.id)}


@post("/v1/thaw", status_code=200, summary="Lift the freeze", responses=fails(507))
async def thaw(request: Http, operations: NamedDependency[Operations]) -> answers.Thawed:
    """Lift the freeze; the holds of single nodes stay."""
    lifted = await operations.thaw(Asked(who(request)))
    return views.thawed(operations.daemon, lifted)


@post(
    "/v1/retry",
    status_code=200,
    summary="End quarantine and pauses",
    responses=fails(404, 413, 422, 507),
)
async def retry(
    request: Http, operations: NamedDependency[Operations], data: JSONBody[bodies.Selection]
) -> answers.Changes:
    """End quarantine and pauses."""
    across = Across(operations, operations.select(data.nodeset, data.all), who(request))
    items = views.changes(await operations.retry(across.here, Asked(who(request))))
    more = [views.changed_elsewhere(item) for item in await across.retry()]
    return {"changed": items["changed"] + sum(i["changed"] for i in more), "items": [*items["items"], *more]}


def _with_begun(message: str, begun: Sequence[str]) -> str:
    return f"{message}; {', '.join(begun)} was begun before, and is under way still" if begun else message


async def _change(request: Http, operations: Operations, data: bodies.Change, how: Any) -> answers.Changes:
    names = operations.select(data.nodeset, data.all)
    asked = Asked(who(request), data.dry_run, data.allow_unreachable, data.yes)
    _check_both(data.set, data.unset)
    if not data.set and not data.unset:
        raise DocumentError("nothing to set or unset", key="set")
    return views.changes(await how(names, data.set, data.unset, asked))


def _check_both(values: dict[str, Any], unset: Sequence[str]) -> None:
    both = sorted(set(values) & set(unset))
    if both:
        raise DocumentError(f"both set and unset: {', '.join(both)}", key=f"unset.{both[0]}")


async def _listed(daemon: Daemon, names: list[str], view: str) -> bytes:
    """The JSON of the nodes; one that is deleted meanwhile is left out."""
    if view == "names":
        return msgspec.json.encode({"nodes": names})
    table = daemon.collector.table
    render = views.full if view == "full" else views.brief

    def encoded(name: str) -> bytes:
        return msgspec.json.encode(render(daemon, name)) if name in table else b""

    rows = await in_slices(names, encoded)
    return b'{"nodes":[%b]}' % b",".join(row for row in rows if row)


def _tagged(request: Http, body: bytes) -> Response[bytes]:
    """The body, or 304 when the caller has it already."""
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    if tag in known:
        return Response(b"", status_code=304, headers={"ETag": tag})
    return Response(body, media_type="application/json", headers={"ETag": tag})


HANDLERS = [
    health, nodes, node, apply, delete, change_cfg, change_attributes, plan, apply_plan, drift, explain,
    discover, holds, hold, release, freeze, thaw, retry,
]  # fmt: skip
