"""What others have seen of nodes, a playbook or a monitoring system, becomes Dsc by whoever runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from kraken.daemon.arrivals import Observed
from kraken.daemon.collector import Collector
from kraken.daemon.declare import Item, confirm
from kraken.daemon.operations import Operations, Request
from kraken.engine.progress import Phase
from kraken.errors import DocumentError, RefusedError
from kraken.model.catalog import Catalog
from kraken.model.document import nearest
from kraken.model.module import as_text
from kraken.model.nodeset import fold
from kraken.model.update import PRESENCE, UNKNOWN, VALUE_MAX, Side

AGE_S_MAX: Final = 86_400.0
"""What was seen longer ago than this is history."""


async def observe(
    operations: Operations, seen: Mapping[str, Mapping[str, str]], age_s: float, request: Request
) -> list[Item]:
    """Take in what was seen of nodes that this daemon runs; all of it or nothing.

    It is stamped here, with the source `reported by NAME`, and counts as any observation does.

    Args:
        seen: node -> variable -> value, as `read_seen` gives them.
        age_s: how long ago it was seen, seconds.

    Returns:
        What it changes of what is known; a value that is known already is merely seen again.

    Raises:
        UnknownNodeError: one of the nodes is not declared.
        RefusedError: another collector runs a node, or none; a mutation is changing a variable now;
            something was seen later; or the value would be forgotten at once.
        NeedsConfirmationError: more nodes than CONFIRM_ABOVE would change.
    """
    daemon = operations.daemon
    async with daemon.declaring:  # who is declared, and who runs it, stays so
        collector = daemon.collector
        collector.table.require(list(seen))
        now = daemon.clock()
        _insist({name: _problem(collector, name, values, now, age_s) for name, values in seen.items()})
        items = [_item(collector, name, values) for name, values in seen.items()]
        if not request.dry_run:
            confirm(items, yes=request.yes)
            source = f"reported by {request.who}"
            daemon.accept(
                *(Observed(name, values, source, now - age_s, age_s == 0.0) for name, values in seen.items())
            )
        return items


def read_seen(
    observations: Mapping[str, Any], operations: Operations, age_s: float
) -> dict[str, dict[str, str]]:
    """Node -> variable -> value, of what a request says: nodeset -> variable -> value; later wins.

    Raises:
        DocumentError: nothing was seen, a variable or value is not declared, or the age is none.
        NodeSetError, UnknownNodeError: as for every nodeset.
    """
    if not observations:
        raise DocumentError("nothing was observed", key="observations", hint="nodeset: {variable: value}")
    if not 0.0 <= age_s <= AGE_S_MAX:
        hint = f"seconds since it was seen, {AGE_S_MAX:g} at most"
        raise DocumentError(f"an observation cannot be {age_s:g} s old", key="age_s", hint=hint)
    seen: dict[str, dict[str, str]] = {}
    for nodeset, values in observations.items():
        key = f"observations.{nodeset}"
        if not isinstance(values, Mapping) or not values:
            raise DocumentError("expected variables with values", key=key, hint="{variable: value}")
        for variable, value in values.items():
            _check(operations.daemon.collector.catalog, variable, value, f"{key}.{variable}")
        for name in operations.select(nodeset):
            seen.setdefault(name, {}).update(values)
    return seen


def _check(catalog: Catalog, variable: str, value: Any, key: str) -> None:
    declared = catalog.variables.get(variable)
    if declared is None:
        hint = nearest(variable, list(catalog.variables))
        raise DocumentError(f"unknown variable {variable!r}", key=key, hint=hint)
    if not isinstance(value, str) or not value or not declared.accepts(value):
        words = (
            f"any text, {VALUE_MAX:,} characters at most"
            if declared.values is None
            else f"one of {', '.join((*declared.values, UNKNOWN))}"
        )
        raise DocumentError(f"{variable} cannot be {as_text(value)[:80]!r}", key=key, hint=words)


def _problem(collector: Collector, name: str, values: Mapping[str, str], now: float, age_s: float) -> str:
    """Why this cannot be taken in; "" where it can."""
    seen_at = now - age_s
    if not collector.runs(name):
        runner = collector.runner(name)
        return f"collector {runner} runs it" if runner else "no collector that is heard runs it"
    progress, node = collector.progress(name), collector.table[name]
    for step in progress.underway.values():
        changing = [variable for variable in values if variable in step.writes]
        if step.phase is Phase.ISSUED and changing:
            return f"{step.mutation.name} is changing {changing[0]} now; Kraken looks itself when it is done"
    presence = node.side(Side.ATTRIBUTE).get(PRESENCE)
    if presence is not None and presence.since > seen_at:
        return "it was declared since it was seen"
    for variable in values:
        record = node.dsc.get(variable)
        if variable in progress.unsettled and age_s > 0.0:
            return f"a mutation has touched {variable}, and nobody has seen it since"
        if record is not None and record.seen_at > seen_at:
            return f"{variable} was seen later, by {record.source}"
    for step in progress.underway.values():
        if any(v in step.writes for v in values) and seen_at < max(step.started_at, step.settles_at):
            return f"{step.mutation.name} was begun since it was seen"
    attributes = node.attribute_values()
    told = {variable: value for variable, value in values.items() if value != UNKNOWN}
    before = {v: value for v, value in node.dsc_values().items() if v not in values}
    kept = collector.catalog.known({**before, **told}, attributes)
    for variable in told:
        if variable not in kept:
            needed = collector.catalog.variables[variable].known_when
            lack = next(c for c in needed if not collector.catalog.meets(c, kept, attributes))
            return f"{variable} counts only while {lack.name} is {' or '.join(lack.values)}"
    return ""


def _item(collector: Collector, name: str, values: Mapping[str, str]) -> Item:
    known = collector.progress(name).state
    pairs = {v: (known.get(v), None if value == UNKNOWN else value) for v, value in values.items()}
    return Item(name, {variable: pair for variable, pair in pairs.items() if pair[0] != pair[1]})


def _insist(problems: Mapping[str, str]) -> None:
    alike: dict[str, list[str]] = {}
    for name, problem in problems.items():
        if problem:
            alike.setdefault(problem, []).append(name)
    if alike:
        told = "; ".join(f"{fold(names)}: {problem}" for problem, names in alike.items())
        nodes: Sequence[str] = [name for names in alike.values() for name in names]
        raise RefusedError(f"this cannot be taken in: {told}; nothing was done", part=fold(nodes))
