"""The graphs people look at and analyse: what can become of each variable, and what depends on what.

The search does not walk these: they show each variable by itself, where it walks whole states.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import networkx as nx

from kraken.model.catalog import Catalog
from kraken.model.module import ANY, CFG_VALUE, Change, Condition, Discovery, Mutation, Variable
from kraken.model.update import UNKNOWN, Value
from kraken.planning.path import DIFFERENT
from kraken.planning.problem import admits, operators_of


def mutation_graph(
    catalog: Catalog, attributes: Mapping[str, Value] | None, cfg: Mapping[str, str] | None = None
) -> nx.MultiDiGraph[str]:
    """What mutations and discoveries can do to each variable of a node with these attributes.

    Vertices are `variable=value`, with `variable` and `value`; `wished` marks those Cfg names. Edges
    carry `name`, `operator` (`module.name`), `kind` (mutation, discovery or forgets), `cost`,
    `disruptive`, and `requires` and `excludes` as text. An edge of kind `forgets` is a mutation that
    ends another variable's `known_when`.

    Args:
        attributes: None shows the mutations of every kind of node.
        cfg: gives `$cfg` its value. Without it an open domain shows `$cfg` itself as a value, and in a
            closed domain mutations to `$cfg` are left out.
    """
    wishes = cfg or {}
    graph: nx.MultiDiGraph[str] = nx.MultiDiGraph()
    domains = {name: _domain(catalog, variable, wishes) for name, variable in catalog.variables.items()}
    for name, domain in domains.items():
        for value in domain:
            graph.add_node(f"{name}={value}", variable=name, value=value, wished=wishes.get(name) == value)
    for operator in operators_of(catalog):
        if attributes is not None and not _usable(catalog, operator, attributes):
            continue
        for name, sources, targets in _transitions(operator, domains, wishes):
            for source in sources:
                for target in targets:
                    if source != target and source in domains[name]:
                        _add(graph, operator, name, source, target)
        if isinstance(operator, Mutation):
            for name in _forgets(catalog, operator):
                for source in domains[name]:
                    if source != UNKNOWN:
                        _add(graph, operator, name, source, UNKNOWN, kind="forgets")
    return graph


def causal_graph(catalog: Catalog) -> nx.DiGraph[str]:
    """Which variable matters for changing which: an edge from what is needed to what changes.

    Edges carry `why`: those of requires, excludes, known_when and together (changed by one mutation)
    that make them, and `by`: the names of the mutations and discoveries. Attributes are vertices too,
    with `attribute=True`.
    """
    graph: nx.DiGraph[str] = nx.DiGraph()
    for name in catalog.variables:
        graph.add_node(name, attribute=False)

    def depends(changed: str, on: str, why: str, by: str) -> None:
        if changed == on:
            return
        if on not in graph:
            graph.add_node(on, attribute=True)
        if not graph.has_edge(on, changed):
            graph.add_edge(on, changed, why=[], by=[])
        edge = graph.edges[on, changed]
        for key, value in (("why", why), ("by", by)):
            if value and value not in edge[key]:
                edge[key].append(value)

    for variable in catalog.variables.values():
        for condition in variable.known_when:
            depends(variable.name, condition.name, "known_when", "")
    for operator in operators_of(catalog):
        changed = _changed(operator)
        for name in changed:
            for condition in operator.requires:
                depends(name, condition.name, "requires", operator.name)
            for condition in operator.excludes:
                depends(name, condition.name, "excludes", operator.name)
            if isinstance(operator, Mutation):
                for other in changed:
                    depends(name, other, "together", operator.name)
    return graph


def to_dot(graph: nx.Graph[str], highlight: Iterable[str] = ()) -> str:
    """The graph in Graphviz's language.

    Args:
        highlight: vertices to draw filled, and names of operators to draw bold: a node's present
            state, its path, its goal.
    """
    marked = set(highlight)
    lines = ["digraph kraken {", "  rankdir=LR;", '  node [shape=box, style=rounded, fontname="sans-serif"];']
    clusters: dict[str, list[str]] = {}
    for vertex, data in graph.nodes(data=True):
        clusters.setdefault(data.get("variable", ""), []).append(_dot_vertex(vertex, data, vertex in marked))
    for i, (variable, vertices) in enumerate(clusters.items()):
        if variable:
            lines += [f"  subgraph cluster_{i} {{", f"    label={_quoted(variable)};"]
            lines += [f"    {vertex}" for vertex in vertices]
            lines.append("  }")
        else:
            lines += [f"  {vertex}" for vertex in vertices]
    for source, target, data in graph.edges(data=True):
        lines.append(f"  {_quoted(source)} -> {_quoted(target)} [{_dot_edge(data, marked)}];")
    return "\n".join([*lines, "}"]) + "\n"


def to_json(graph: nx.Graph[str]) -> dict[str, Any]:
    """The graph as plain data: `vertices` and `edges`, in their order, each with all it carries."""
    vertices = [{"id": vertex, **data} for vertex, data in graph.nodes(data=True)]
    edges = [{"from": s, "to": t, **data} for s, t, data in graph.edges(data=True)]
    return {"directed": True, "vertices": vertices, "edges": edges}


def _domain(catalog: Catalog, variable: Variable, cfg: Mapping[str, str]) -> list[str]:
    """UNKNOWN, what is declared or named somewhere, and for an open domain the wish and the rest."""
    found: dict[str, None] = dict.fromkeys((UNKNOWN, *(variable.values or ())))
    name = variable.name
    if variable.values is None:
        found[cfg.get(name, CFG_VALUE)] = None
        conditions: list[Condition] = []
        for operator in operators_of(catalog):
            conditions += (*operator.requires, *operator.excludes)
            if isinstance(operator, Mutation):
                for change in operator.changes:
                    if change.variable == name:
                        literal = () if change.target == CFG_VALUE else (change.target,)
                        found.update(dict.fromkeys((*(change.sources or ()), *literal)))
            else:
                for seen in operator.observes:
                    if seen.variable == name:
                        found.update(dict.fromkeys(seen.values or ()))
        for other in catalog.variables.values():
            conditions += other.known_when
        for condition in conditions:
            if condition.name == name and condition.values != (ANY,):
                found.update(dict.fromkeys(condition.values))
        found[DIFFERENT] = None
    return list(found)


def _usable(catalog: Catalog, operator: Mutation | Discovery, attributes: Mapping[str, Value]) -> bool:
    conditions = [c for c in operator.requires if c.name not in catalog.variables]
    for name in _changed(operator):
        if name in catalog.variables and not (
            isinstance(operator, Mutation) and _only_forgets(operator, name)
        ):
            known = catalog.variables[name].known_when
            conditions += [c for c in known if c.name not in catalog.variables]
    excludes = [c for c in operator.excludes if c.name not in catalog.variables]
    return all(catalog.meets(c, {}, attributes) for c in conditions) and not any(
        catalog.meets(c, {}, attributes) for c in excludes
    )


def _only_forgets(mutation: Mutation, name: str) -> bool:
    return all(change.target == UNKNOWN for change in mutation.changes if change.variable == name)


def _transitions(
    operator: Mutation | Discovery, domains: Mapping[str, list[str]], cfg: Mapping[str, str]
) -> list[tuple[str, list[str], list[str]]]:
    """(variable, values before, values after) for each variable the operator gives a value."""
    if isinstance(operator, Discovery):
        return [
            (
                seen.variable,
                [UNKNOWN],
                [v for v in (seen.values or domains[seen.variable]) if v != UNKNOWN],
            )
            for seen in operator.observes
        ]
    return [
        (change.variable, _sources(change, operator.disruptive, domains[change.variable]), [target])
        for change in operator.changes
        for target in [_target(change, domains[change.variable], cfg)]
        if target is not None
    ]


def _sources(change: Change, disruptive: bool, domain: list[str]) -> list[str]:
    sources = domain if change.sources is None else change.sources
    return [value for value in sources if not (disruptive and value == UNKNOWN)]


def _target(change: Change, domain: list[str], cfg: Mapping[str, str]) -> str | None:
    if change.target != CFG_VALUE:
        return change.target
    wished = cfg.get(change.variable, CFG_VALUE)
    return wished if wished in domain else None  # a closed domain shows `$cfg` only when it is known


def _forgets(catalog: Catalog, mutation: Mutation) -> list[str]:
    """Variables that the mutation's targets leave without their known_when, cascaded."""
    after = {change.variable: change.target for change in mutation.changes if change.target != CFG_VALUE}
    gone = {name for name, value in after.items() if value == UNKNOWN}
    forgotten: list[str] = []
    grew = True
    while grew:
        grew = False
        for variable in catalog.variables.values():
            if variable.name in forgotten or variable.name in after:
                continue
            for condition in variable.known_when:
                value = UNKNOWN if condition.name in gone else after.get(condition.name)
                if value is not None and not admits(condition.values, value):
                    forgotten.append(variable.name)
                    gone.add(variable.name)
                    grew = True
                    break
    return forgotten


def _changed(operator: Mutation | Discovery) -> list[str]:
    if isinstance(operator, Mutation):
        return [change.variable for change in operator.changes]
    return [seen.variable for seen in operator.observes]


def _add(
    graph: nx.MultiDiGraph[str],
    operator: Mutation | Discovery,
    name: str,
    source: str,
    target: str,
    kind: str | None = None,
) -> None:
    is_mutation = isinstance(operator, Mutation)
    graph.add_edge(
        f"{name}={source}",
        f"{name}={target}",
        key=operator.key,
        name=operator.name,
        operator=operator.key,
        kind=kind or ("mutation" if is_mutation else "discovery"),
        cost=operator.cost,
        disruptive=isinstance(operator, Mutation) and operator.disruptive,
        requires=[str(condition) for condition in operator.requires],
        excludes=[str(condition) for condition in operator.excludes],
    )


def _dot_vertex(vertex: str, data: Mapping[str, Any], marked: bool) -> str:
    shown = [f"label={_quoted(str(data.get('value', vertex)))}"]
    if marked:
        shown += ["style=" + _quoted("rounded,filled"), 'fillcolor="#ffe08a"']
    if data.get("wished"):
        shown.append("peripheries=2")
    if data.get("attribute"):
        shown.append("shape=ellipse")
    return f"{_quoted(vertex)} [{', '.join(shown)}];"


def _dot_edge(data: Mapping[str, Any], marked: set[str]) -> str:
    if "kind" not in data:
        return f"label={_quoted(', '.join(data.get('why', ())))}"
    shown = []
    if data["kind"] == "forgets":
        shown += [f"label={_quoted(data['name'])}", "style=dotted", 'color="#888888"', "constraint=false"]
    else:
        shown.append(f"label={_quoted('{} ({:g})'.format(data['name'], data['cost']))}")
        if data["kind"] == "discovery":
            shown.append("style=dashed")
        if data["disruptive"]:
            shown.append('color="#b02a1a"')
    if data["kind"] != "forgets" and (data["name"] in marked or data["operator"] in marked):
        shown.append("penwidth=3")
    return ", ".join(shown)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
