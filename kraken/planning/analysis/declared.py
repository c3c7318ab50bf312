"""What can be told from the declarations alone, whatever states there are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from kraken.model.bmc import ADDRESS, PORT
from kraken.model.catalog import Catalog
from kraken.model.module import ANY, Condition, Discovery, Mutation
from kraken.planning.analysis.findings import Finding, Place, Severity, listed, place_of, places_of
from kraken.planning.problem import operators_of

CREDENTIAL = "bmc.credential"

_ATTRIBUTE = re.compile(
    r"""kraken\.attributes(?:\[\s*['"]([\w.-]+)['"]\s*\]|\.get\(\s*['"]([\w.-]+)['"]|\.(?!get\b)(\w+))"""
)


def never_discovered(catalog: Catalog, operators: list[Mutation | Discovery]) -> Iterator[Finding]:
    """Variables that some of these operators mutate and none observes."""
    observed = {seen.variable for o in operators if isinstance(o, Discovery) for seen in o.observes}
    changers: dict[str, list[Mutation]] = {}
    for operator in operators:
        if isinstance(operator, Mutation):
            for change in operator.changes:
                if change.variable not in observed:
                    changers.setdefault(change.variable, []).append(operator)
    for name, mutations in changers.items():
        mute = [m for m in mutations if not m.asserts and (m.action is None or m.action.kind != "ansible")]
        if mute:
            severity = Severity.ERROR
            what = f"no discovery observes {name}, so nobody ever sees that {mute[0].key} has done its work"
        elif all(mutation.asserts for mutation in mutations):
            severity = Severity.NOTE
            what = f"no discovery observes {name}; what {_keys(mutations)} asserts is believed for ever"
        else:
            severity = Severity.WARNING
            what = (
                f"no discovery observes {name}: only the tasks of {_keys(mutations)} can report it, and "
                "when their word is lost, a person must look at the node"
            )
        yield Finding(
            "never-discovered",
            severity,
            name,
            (*places_of(catalog, name), *map(place_of, mutations)),
            (),
            what,
            f"add a discovery that observes {name}, for the same nodes",
        )


def never_confirmed(catalog: Catalog, operators: list[Mutation | Discovery]) -> Iterator[Finding]:
    """Disruptive mutations that start from values only a time-out asserts: the engine never acts on those."""
    asserted: dict[str, set[str]] = {}
    for operator in operators:
        if isinstance(operator, Mutation):
            for name, value in operator.fails_to.items():
                asserted.setdefault(name, set()).add(value)
    for operator in operators:
        if not isinstance(operator, Mutation) or not operator.disruptive:
            continue
        needs = [Condition(c.variable, c.sources) for c in operator.changes if c.sources is not None]
        needs += [c for c in operator.requires if c.name in catalog.variables]
        for need in needs:
            if need.values == (ANY,) or not set(need.values) <= asserted.get(need.name, set()):
                continue
            if any(_can_be_seen(other, need.name, value) for other in operators for value in need.values):
                continue
            yield Finding(
                "never-confirmed",
                Severity.NOTE,
                operator.key,
                (place_of(operator),),
                (),
                f"{operator.key} is disruptive and needs {need}, which time-outs assert and nothing ever "
                "sees: it keeps a path open, and the engine looks again instead of doing it",
                f"let a discovery report {need} if it is to be done",
            )
            break


def _can_be_seen(operator: Mutation | Discovery, name: str, value: str) -> bool:
    if isinstance(operator, Discovery):
        return any(
            seen.variable == name and (seen.values is None or value in seen.values)
            for seen in operator.observes
        )
    reports = operator.action is not None and operator.action.kind == "ansible"
    return any(
        change.variable == name and (reports or change.target in (value, "$cfg"))
        for change in operator.changes
    )


def shadowed_attributes(catalog: Catalog) -> Iterator[Finding]:
    """Variables named like an attribute that an executor or a task reads.

    Nobody can declare such an attribute any more: the name is a variable's, and Dsc is not what is read.
    """
    readers: dict[str, list[Mutation | Discovery]] = {}
    for operator in operators_of(catalog):
        for name in dict.fromkeys(_attributes_read(operator)):
            if name in catalog.variables:
                readers.setdefault(name, []).append(operator)
    for name, operators in readers.items():
        changers = [
            m.key for m in catalog.mutations.values() if any(change.variable == name for change in m.changes)
        ]
        by = f", which {listed(changers)} mutates" if changers else ""
        yield Finding(
            "shadowed-attribute",
            Severity.ERROR,
            name,
            (*places_of(catalog, name), *map(place_of, operators)),
            (),
            f"{_keys(operators)} reads the attribute {name}, and a module declares a variable of that "
            f"name{by}: no node can have the attribute",
            f"give the variable another name than {name}",
        )


def _attributes_read(operator: Mutation | Discovery) -> Iterator[str]:
    action = operator.action
    if action is None:
        return
    if action.kind in ("ipmi", "redfish"):
        yield from (ADDRESS, PORT, CREDENTIAL)
    elif action.kind == "tcp" and isinstance(action.spec, dict) and "attribute" in action.spec:
        yield str(action.spec["attribute"])
    elif action.kind == "ansible":
        for text in _texts([action.spec, dict(action.play)]):
            for found in _ATTRIBUTE.findall(text):
                yield next(name for name in found if name)


def _texts(spec: Any) -> Iterator[str]:
    if isinstance(spec, str):
        yield spec
    elif isinstance(spec, dict):
        for value in spec.values():
            yield from _texts(value)
    elif isinstance(spec, list):
        for value in spec:
            yield from _texts(value)


def _keys(operators: Iterable[Mutation | Discovery]) -> str:
    return listed(list(dict.fromkeys(operator.key for operator in operators)))


def places_in(catalog: Catalog, key: str) -> Place:
    """Where the operator with this key is declared."""
    operator = catalog.mutations.get(key) or catalog.discoveries[key]
    return place_of(operator)
