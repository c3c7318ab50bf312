"""Kraken modules: those in use, those refused, and pictures of what they can change."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Annotated, Final, TypedDict

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, QueryParameter

from kraken.api.problems import NotFoundError, fails
from kraken.daemon.daemon import Daemon
from kraken.daemon.operations import Operations
from kraken.errors import DocumentError
from kraken.executors.aside import in_thread
from kraken.model import module as declared
from kraken.model.catalog import Catalog
from kraken.model.document import nearest

MEDIA_TYPES: Final = {
    "dot": "text/vnd.graphviz",
    "json": "application/json",
    "svg": "image/svg+xml",
    "mermaid": "text/vnd.mermaid",
}


class BriefModule(TypedDict):
    name: str
    summary: str
    collection: str
    file: str
    variables: list[str]
    mutations: list[str]
    discoveries: list[str]


class RefusedModule(TypedDict):
    file: str | None
    line: int | None
    key: str
    error: str


class Modules(TypedDict):
    modules: list[BriefModule]
    refused: list[RefusedModule]


class Variable(TypedDict):
    """`values`: the domain, or `any`."""

    summary: str
    values: list[str] | str
    fresh_for_s: float | None
    known_when: dict[str, list[str]]


class Mutation(TypedDict):
    """`mutates`: variable -> [from, to]."""

    summary: str
    mutates: dict[str, list[str | list[str]]]
    requires: dict[str, list[str]]
    excludes: dict[str, list[str]]
    runs_on: str
    timeout_s: float
    cost: float
    disruptive: bool
    fails_to: dict[str, str]
    asserts: bool
    done_by: str


class Discovery(TypedDict):
    """`observes`: variable -> the values it can see, null for all."""

    summary: str
    observes: dict[str, list[str] | None]
    requires: dict[str, list[str]]
    excludes: dict[str, list[str]]
    every_s: float | None
    timeout_s: float
    cost: float
    done_by: str


class Guard(TypedDict):
    """`before`: variable -> the values that a mutation must not give it unless the conditions hold."""

    summary: str
    before: dict[str, list[str]]
    requires: dict[str, list[str]]
    excludes: dict[str, list[str]]


class Module(TypedDict):
    """`mutations` with the conditions that guards of all modules add."""

    name: str
    summary: str
    collection: str
    file: str
    variables: dict[str, Variable]
    mutations: dict[str, Mutation]
    discoveries: dict[str, Discovery]
    guards: dict[str, Guard]


@get("/v1/modules", sync_to_thread=False, summary="Kraken modules")
def modules(operations: NamedDependency[Operations]) -> Modules:
    """The Kraken modules in use, and those refused."""
    return _all(operations.daemon)


@get("/v1/modules/{name:str}", sync_to_thread=False, summary="One Kraken module", responses=fails(404))
def module(operations: NamedDependency[Operations], name: FromPath[str]) -> Module:
    """One module, whole."""
    catalog = operations.daemon.collector.catalog
    if name not in catalog.modules:
        raise NotFoundError(
            f"no Kraken module {name!r} is loaded", part=name, hint=nearest(name, list(catalog.modules))
        )
    return _whole(catalog.modules[name], catalog)


@post("/v1/modules/reload", status_code=200, summary="Read the Kraken modules again")
async def reload_modules(operations: NamedDependency[Operations]) -> Modules:
    """Read the Kraken modules again."""
    await operations.daemon.reload()
    return _all(operations.daemon)


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
    operations: NamedDependency[Operations],
    kind: Annotated[str, QueryParameter(description="mutation or causal")] = "mutation",
    picture: Annotated[str, QueryParameter(name="format", description=", ".join(MEDIA_TYPES))] = "dot",
    of_node: Annotated[
        str | None,
        QueryParameter(name="node", description="as it can be changed, with its state, path and Cfg"),
    ] = None,
    variables: Annotated[str | None, QueryParameter(description="only these, separated by commas")] = None,
) -> Response[bytes]:
    """A picture of what can become what, or of which variable needs which."""
    if kind not in ("mutation", "causal"):
        raise DocumentError(f"unknown kind {kind!r}", key="kind", hint="mutation or causal")
    if picture not in MEDIA_TYPES:
        raise DocumentError(f"unknown format {picture!r}", key="format", hint=", ".join(MEDIA_TYPES))
    await in_thread(lambda: importlib.import_module("kraken.api.pictures"))  # an agent may never be asked
    from kraken.api.pictures import draw, graph_of

    only = [name for name in (variables or "").split(",") if name]
    found = None if of_node is None else operations.node(of_node)
    collector = operations.daemon.collector
    drawing = graph_of(collector, kind, found, only)
    title = ", ".join(collector.catalog.modules) if found is None else found.name
    content = await draw(drawing, picture, title)
    return Response(content, media_type=MEDIA_TYPES[picture])


def _all(daemon: Daemon) -> Modules:
    """Every module in short, and those refused."""
    return {
        "modules": [
            {
                "name": module.name,
                "summary": module.summary,
                "collection": module.collection,
                "file": str(module.file),
                "variables": list(module.variables),
                "mutations": list(module.mutations),
                "discoveries": list(module.discoveries),
            }
            for module in daemon.collector.catalog.modules.values()
        ],
        "refused": [
            {"file": error.file, "line": error.line, "key": error.key, "error": str(error)}
            for error in daemon.problems
        ],
    }


def _whole(found: declared.KrakenModule, catalog: Catalog) -> Module:
    """One module, whole."""
    return {
        "name": found.name,
        "summary": found.summary,
        "collection": found.collection,
        "file": str(found.file),
        "variables": {name: _variable(v) for name, v in found.variables.items()},
        "mutations": {name: _mutation(catalog.mutations[m.key]) for name, m in found.mutations.items()},
        "discoveries": {name: _discovery(d) for name, d in found.discoveries.items()},
        "guards": {name: _guard(g) for name, g in found.guards.items()},
    }


def _variable(variable: declared.Variable) -> Variable:
    return {
        "summary": variable.summary,
        "values": "any" if variable.values is None else list(variable.values),
        "fresh_for_s": variable.fresh_for_s,
        "known_when": _conditions(variable.known_when),
    }


def _mutation(mutation: declared.Mutation) -> Mutation:
    return {
        "summary": mutation.summary,
        "mutates": {
            c.variable: ["ANY" if c.sources is None else list(c.sources), c.target] for c in mutation.changes
        },
        "requires": _conditions(mutation.requires),
        "excludes": _conditions(mutation.excludes),
        "runs_on": mutation.runs_on,
        "timeout_s": mutation.timeout_s,
        "cost": mutation.cost,
        "disruptive": mutation.disruptive,
        "fails_to": dict(mutation.fails_to),
        "asserts": mutation.asserts,
        "done_by": "the world" if mutation.action is None else mutation.action.kind,
    }


def _discovery(discovery: declared.Discovery) -> Discovery:
    return {
        "summary": discovery.summary,
        "observes": {o.variable: None if o.values is None else list(o.values) for o in discovery.observes},
        "requires": _conditions(discovery.requires),
        "excludes": _conditions(discovery.excludes),
        "every_s": discovery.every_s,
        "timeout_s": discovery.timeout_s,
        "cost": discovery.cost,
        "done_by": discovery.action.kind,
    }


def _guard(guard: declared.Guard) -> Guard:
    return {
        "summary": guard.summary,
        "before": _conditions(guard.before),
        "requires": _conditions(guard.requires),
        "excludes": _conditions(guard.excludes),
    }


def _conditions(conditions: Iterable[declared.Condition]) -> dict[str, list[str]]:
    return {condition.name: list(condition.values) for condition in conditions}


HANDLERS = [modules, module, reload_modules, graph]
