"""Changes as SQL: which rows each kind of change writes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from sqlalchemy import Executable, Table, bindparam, delete, exists, func, or_, select, tuple_, update
from sqlalchemy.dialects.sqlite import insert

from kraken.model.update import PRESENCE, Side, StateUpdate
from kraken.store import schema
from kraken.store.records import (
    Change,
    ClearTrouble,
    DropHold,
    EndRun,
    Note,
    SaveHold,
    SaveUpdates,
    SetTrouble,
    StartRun,
)

Row = dict[str, Any]
Step = tuple[Executable, Row]

_json = msgspec.json.Encoder(order="deterministic").encode


def statements(changes: Iterable[Change]) -> Iterator[tuple[Executable, list[Row]]]:
    """The statements that keep the changes, each with its rows.

    Changes of one table stay in their order, tables follow one another: so thousands of changes,
    however mixed, are a few statements.
    """
    steps = sorted((step for change in changes for step in _steps(change)), key=_rank)
    for _, group in itertools.groupby(steps, key=lambda step: id(step[0])):
        pairs = list(group)
        statement, rows = pairs[0][0], [row for _, row in pairs]
        if statement is _END_RUN:
            rows = list({row["p_run"]: row for row in rows}.values())
        yield statement, rows


def _rank(step: Step) -> int:
    return _RANKS[id(step[0])]


def _upsert(table: Table) -> Any:
    """Insert, or replace everything but the key."""
    statement = insert(table)
    values = {c.name: statement.excluded[c.name] for c in table.columns if not c.primary_key}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=values)


def _newest() -> Any:
    """Insert a record, or replace one that is not newer."""
    statement, record = insert(schema.record), schema.record
    new = statement.excluded
    values = {c.name: new[c.name] for c in record.columns if not c.primary_key}
    return statement.on_conflict_do_update(
        index_elements=list(record.primary_key.columns),
        set_=values,
        where=tuple_(new.incarnation, new.sequence) >= tuple_(record.c.incarnation, record.c.sequence),
    )


def _forget_node() -> Any:
    """Drop what a deleted node leaves: its Dsc, and all that was declared before."""
    record = schema.record
    older = tuple_(record.c.incarnation, record.c.sequence) < tuple_(
        bindparam("p_incarnation"), bindparam("p_sequence")
    )
    return delete(record).where(
        record.c.side.in_(list(Side)),  # all there are, said so that the key is used
        record.c.node == bindparam("p_node"),
        or_(record.c.side == Side.DSC, older),
    )


def _end_of_run() -> Any:
    """A run ends with the last of its nodes, and when that did."""
    run, node = schema.run, schema.run_node
    last = select(func.max(node.c.at)).where(node.c.run_id == bindparam("p_run"))
    under_way = exists().where(node.c.run_id == bindparam("p_run"), node.c.outcome.is_(None))
    return (
        update(run)
        .where(run.c.run_id == bindparam("p_run"), run.c.ended_at.is_(None), ~under_way)
        .values(ended_at=last.scalar_subquery())
    )


_SAVE_RECORD = _newest()
_FORGET_NODE = _forget_node()
_FORGET_DSC = delete(schema.record).where(
    schema.record.c.side == Side.DSC,
    schema.record.c.node == bindparam("p_node"),
    schema.record.c.variable == bindparam("p_variable"),
)
_SAVE_HOLD = _upsert(schema.hold)
_DROP_HOLD = delete(schema.hold).where(schema.hold.c.id == bindparam("p_id"))
_SET_TROUBLE = _upsert(schema.trouble)
_CLEAR_TROUBLE = delete(schema.trouble).where(schema.trouble.c.node == bindparam("p_node"))
_START_RUN = insert(schema.run)
_START_NODE = insert(schema.run_node)
_END_NODE = (
    update(schema.run_node)
    .where(
        schema.run_node.c.run_id == bindparam("p_run"),
        schema.run_node.c.node == bindparam("p_node"),
        schema.run_node.c.outcome.is_(None),
    )
    .values(
        outcome=bindparam("p_outcome"),
        message=bindparam("p_message"),
        observed=bindparam("p_observed"),
        at=bindparam("p_at"),
    )
)
_END_RUN = _end_of_run()
_NOTE = insert(schema.entry)

_TABLES: tuple[tuple[Any, ...], ...] = (
    (_SAVE_RECORD, _FORGET_NODE, _FORGET_DSC),
    (_SAVE_HOLD, _DROP_HOLD),
    (_SET_TROUBLE, _CLEAR_TROUBLE),
    (_START_RUN,),
    (_START_NODE,),
    (_END_NODE,),
    (_END_RUN,),
    (_NOTE,),
)
"""In the order they are written; statements on one line keep the order of the changes."""
_RANKS = {id(statement): rank for rank, line in enumerate(_TABLES) for statement in line}


def _steps(change: Change) -> Iterator[Step]:
    match change:
        case SaveUpdates(updates):
            for one in updates:
                yield from _save(one)
        case SaveHold(hold):
            yield _SAVE_HOLD, msgspec.structs.asdict(hold)
        case DropHold(id):
            yield _DROP_HOLD, {"p_id": id}
        case StartRun():
            yield from _start(change)
        case EndRun():
            yield from _end(change)
        case SetTrouble():
            yield _SET_TROUBLE, {name: getattr(change, name) for name in schema.trouble.columns.keys()}  # noqa: SIM118
        case ClearTrouble(node):
            yield _CLEAR_TROUBLE, {"p_node": node}
        case Note(at, node, kind, text, source, data):
            row = {"at": at, "node": node, "kind": kind, "text": text, "source": source}
            yield _NOTE, {**row, "data": _text(data)}


def _save(one: StateUpdate) -> Iterator[Step]:
    if one.value is None and one.side is Side.DSC:
        yield _FORGET_DSC, {"p_node": one.node, "p_variable": one.variable}
        return
    if isinstance(one.value, float) and not math.isfinite(one.value):
        raise ValueError(f"{one.variable} of {one.node} cannot be {one.value}: no number")
    incarnation, sequence = one.stamp
    if one.value is None and one.variable == PRESENCE and one.side is Side.ATTRIBUTE:
        yield _FORGET_NODE, {"p_node": one.node, "p_incarnation": incarnation, "p_sequence": sequence}
    yield (
        _SAVE_RECORD,
        {
            "side": one.side.value,
            "node": one.node,
            "variable": one.variable,
            "value": _text(one.value),
            "incarnation": incarnation,
            "sequence": sequence,
            "seen_at": one.seen_at,
            "source": one.source,
        },
    )


def _start(change: StartRun) -> Iterator[Step]:
    yield (
        _START_RUN,
        {
            "run_id": change.run_id,
            "operator": change.operator,
            "kind": change.kind,
            "issued_at": change.issued_at,
            "timeout_s": change.timeout_s,
        },
    )
    for place, node in enumerate(change.nodes):
        yield (
            _START_NODE,
            {"run_id": change.run_id, "node": node, "place": place, "message": "", "observed": "{}"},
        )


def _end(change: EndRun) -> Iterator[Step]:
    observed = _text(change.observed)
    row = {"p_run": change.run_id, "p_node": change.node, "p_outcome": change.outcome.value}
    yield _END_NODE, {**row, "p_message": change.message, "p_observed": observed, "p_at": change.at}
    yield _END_RUN, {"p_run": change.run_id}


def _text(value: object | Mapping[str, Any]) -> str:
    return _json(value).decode()
