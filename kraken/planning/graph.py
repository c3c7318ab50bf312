"""The graphs people look at and analyse: what can become of each variable, and what depends on what.

The search does not walk these: they show each variable by itself, where it walks whole states.
`picture` and `drawing` make pictures of them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import networkx as nx

from kraken.errors import DocumentError
from kraken.model.catalog import Catalog
from kraken.model.module import ANY, CFG_VALUE, Change, Condition, Discovery, Mutation, Variable
from kraken.model.update import UNKNOWN, Value
from kraken.planning.path import DIFFERENT, NoPath, Path
from kraken.planning.problem import admits, operators_of


def mutation_graph(
    catalog: Catalog,
    attributes: Mapping[str, Value] | None,
    cfg: Mapping[str, str] | None = None,
    dsc: Mapping[str, str] | None = None,
    only: Iterable[str] = (),
) -> nx.MultiDiGraph[str]:
    """What mutations and discoveries can do to each variable of a node with these attributes.

    Vertices are `variable=value`, with `variable` and `value`; `wished` marks those Cfg names,
    `present` those in `dsc`. Edges carry `name`, `operator` (`module.name`), `kind` (mutation,
    discovery or forgets), `cost`, `disruptive`, `requires` and `excludes` as text, `when` (those
    conditions that say something of this class, in words), `also` (what else the operator changes)
    and `steps` (see `mark_path`). An edge of kind `forgets` is a mutation that ends another
    variable's `known_when`. The graph itself has `variables`: name -> its `known_when` as text.

    Args:
        attributes: None shows the mutations of every kind of node.
        cfg: gives `$cfg` its value. Without it an open domain shows `$cfg` itself as a value, and in a
            closed domain mutations to `$cfg` are left out.
        dsc: what is known; a variable not named is UNKNOWN. None: nothing is said of the present.
        only: the variables to show; none named means all.

    Raises:
        DocumentError: `only` names one that is not declared; it is the key.
    """
    wishes = cfg or {}
    names = _chosen(catalog, only)
    variables = {name: catalog.variables[name] for name in names}
    graph: nx.MultiDiGraph[str] = nx.MultiDiGraph()
    graph.graph["variables"] = {
        name: [str(condition) for condition in variable.known_when] for name, variable in variables.items()
    }
    domains = {name: _domain(catalog, v, wishes, dsc or {}) for name, v in variables.items()}
    for name, domain in domains.items():
        present = None if dsc is None else dsc.get(name, UNKNOWN)
        for value in domain:
            graph.add_node(
                _vertex(name, value),
                variable=name,
                value=value,
                wished=wishes.get(name) == value,
                present=present == value,
            )
    for operator in operators_of(catalog):
        if attributes is not None and not _usable(catalog, operator, attributes):
            continue
        when = _when(catalog, operator, attributes is not None)
        for name, sources, targets in _transitions(operator, domains, wishes):
            for source in sources:
                for target in targets:
                    if source != target and source in domains[name]:
                        _add(graph, operator, name, source, target, when[name])
        if isinstance(operator, Mutation):
            for name in _forgets(catalog, operator):
                for source in domains.get(name, ()):
                    if source != UNKNOWN:
                        _add(graph, operator, name, source, UNKNOWN, [], kind="forgets")
    return graph


def mark_path(graph: nx.MultiDiGraph[str], dsc: Mapping[str, str], answer: Path | NoPath) -> None:
    """Number the edges a path takes from `dsc`, and tell it in the graph's own data.

    `steps` of an edge lists which steps of the path take it, counted from 1. The graph gets `path`
    (name, kind, cost, disruptive of each step) and `cost`, or `no_path`: the reasons.
    """
    if isinstance(answer, NoPath):
        graph.graph["no_path"] = list(answer.reasons)
        return
    state = dict(dsc)
    graph.graph["cost"] = answer.cost
    graph.graph["path"] = shown = []
    for number, step in enumerate(answer.steps, 1):
        operator = step.operator
        shown.append(
            {
                "name": operator.name,
                "operator": operator.key,
                "kind": _kind(operator),
                "cost": operator.cost,
                "disruptive": isinstance(operator, Mutation) and operator.disruptive,
            }
        )
        for name, value in step.effects.items():
            # A discovery of what was forgotten may find the value again that only Dsc names.
            after = dsc.get(name, value) if value == DIFFERENT else value
            _pass(graph, operator.key, name, state.get(name, UNKNOWN), after, number)
            state[name] = after
        # What does not matter for this Cfg is not among the effects, and is forgotten all the same.
        for name in graph.graph["variables"]:
            value = state.get(name, UNKNOWN)
            if value != UNKNOWN and _pass(graph, operator.key, name, value, UNKNOWN, number, "forgets"):
                state[name] = UNKNOWN


def _pass(
    graph: nx.MultiDiGraph[str],
    operator: str,
    name: str,
    source: str,
    target: str,
    number: int,
    kind: str | None = None,
) -> bool:
    """Note that this step takes this edge; False where there is none, or not of this kind."""
    ends = _vertex(name, source), _vertex(name, target)
    if not graph.has_edge(*ends, operator):
        return False
    edge = graph.edges[*ends, operator]
    if kind not in (None, edge["kind"]):
        return False
    edge["steps"].append(number)
    return True


def causal_graph(
    catalog: Catalog,
    attributes: Mapping[str, Value] | None = None,
    cfg: Mapping[str, str] | None = None,
    only: Iterable[str] = (),
) -> nx.DiGraph[str]:
    """Which variable matters for changing which: an edge from what is needed to what changes.

    Edges carry `why`: those of requires, excludes, known_when and together (changed by one mutation)
    that make them, and `by`: the names of the mutations and discoveries. Vertices carry `attribute`
    (attributes are vertices too) and `wished` (Cfg names it).

    Args:
        attributes: only what a node with these can use; None: of every kind of node.
        only: show these, and what they depend on and what depends on them; none named means all.

    Raises:
        DocumentError: `only` names a variable that is not declared; it is the key.
    """
    wishes = cfg or {}
    chosen = set(_chosen(catalog, only))
    graph: nx.DiGraph[str] = nx.DiGraph()
    for name in catalog.variables:
        graph.add_node(name, attribute=False, wished=name in wishes)

    def depends(changed: str, on: str, why: str, by: str) -> None:
        if changed == on or not {changed, on} & chosen:
            return
        if on not in graph:
            graph.add_node(on, attribute=True, wished=False)
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
        if attributes is not None and not _usable(catalog, operator, attributes):
            continue
        changed = _changed(operator)
        for name in changed:
            for condition in operator.requires:
                depends(name, condition.name, "requires", operator.name)
            for condition in operator.excludes:
                depends(name, condition.name, "excludes", operator.name)
            if isinstance(operator, Mutation):
                for other in changed:
                    depends(name, other, "together", operator.name)
    graph.remove_nodes_from([name for name in graph if name not in chosen and not graph.degree(name)])
    return graph


def to_json(graph: nx.Graph[str]) -> dict[str, Any]:
    """The graph as plain data: `vertices` and `edges`, in their order, each with all it carries."""
    vertices = [{"id": vertex, **data} for vertex, data in graph.nodes(data=True)]
    edges = [{"from": s, "to": t, **data} for s, t, data in graph.edges(data=True)]
    return {"directed": True, **graph.graph, "vertices": vertices, "edges": edges}


def _chosen(catalog: Catalog, only: Iterable[str]) -> list[str]:
    """The variables that are to be shown: as declared, but each after those its known_when names."""
    wanted = set(only)
    for name in sorted(wanted - set(catalog.variables)):
        close = difflib.get_close_matches(name, catalog.variables, n=1)
        hint = f"did you mean {close[0]}?" if close else f"declared are: {', '.join(catalog.variables)}"
        raise DocumentError(f"unknown variable {name!r}", key=name, hint=hint)
    order: dict[str, None] = {}

    def place(name: str) -> None:
        for condition in catalog.variables[name].known_when:
            if condition.name in catalog.variables and condition.name not in order:
                place(condition.name)
        order[name] = None

    for name in catalog.variables:
        place(name)
    return [name for name in order if not wanted or name in wanted]


def _vertex(name: str, value: str) -> str:
    return f"{name}={value}"


def _kind(operator: Mutation | Discovery) -> str:
    return "mutation" if isinstance(operator, Mutation) else "discovery"


def _when(catalog: Catalog, operator: Mutation | Discovery, class_known: bool) -> Mapping[str, list[str]]:
    """For each variable the operator changes the conditions on others, in words.

    Left out is what the picture shows anyway: the variable itself and its known_when; and, where the
    class is known, attributes, for they are met.
    """
    found: dict[str, list[str]] = {}
    for name in _changed(operator):
        told = (name, *(() if not class_known else catalog.attributes))
        known = catalog.variables[name].known_when
        found[name] = [
            _in_words(condition, negated)
            for negated, conditions in ((False, operator.requires), (True, operator.excludes))
            for condition in conditions
            if condition.name not in told and not (condition in known and not negated)
        ]
    return found


def _in_words(condition: Condition, negated: bool) -> str:
    if condition.values == (ANY,) or (negated and condition.values == (UNKNOWN,)):
        known = negated == (condition.values == (UNKNOWN,))
        return f"{condition.name} is {'known' if known else 'unknown'}"
    return f"{condition.name}{' is not ' if negated else ' is '}{' or '.join(condition.values)}"


def _domain(
    catalog: Catalog, variable: Variable, cfg: Mapping[str, str], dsc: Mapping[str, str]
) -> list[str]:
    """UNKNOWN, what is declared or named somewhere, and for an open domain wish, present and the rest."""
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
        found.update(dict.fromkeys((dsc.get(name, UNKNOWN), DIFFERENT)))
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
            if seen.variable in domains
        ]
    return [
        (change.variable, _sources(change, operator.disruptive, domains[change.variable]), [target])
        for change in operator.changes
        if change.variable in domains
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
    when: list[str],
    kind: str | None = None,
) -> None:
    graph.add_edge(
        _vertex(name, source),
        _vertex(name, target),
        key=operator.key,
        name=operator.name,
        operator=operator.key,
        kind=kind or _kind(operator),
        cost=operator.cost,
        disruptive=isinstance(operator, Mutation) and operator.disruptive,
        requires=[str(condition) for condition in operator.requires],
        excludes=[str(condition) for condition in operator.excludes],
        when=when,
        also=[other for other in _changed(operator) if other != name],
        steps=[],
    )
