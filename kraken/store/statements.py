"""Changes as SQL: which rows each kind of change writes."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Table, bindparam, delete, exists, func, select, tuple_, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite import insert

from kraken.model.update import OBSERVED, PRESENCE, Side, StateUpdate
from kraken.store import schema
from kraken.store.records import (
    AdoptNode,
    Change,
    ClearTrouble,
    DropHold,
    EndRun,
    ForgetNode,
    Note,
    Outgrow,
    SaveHold,
    SaveTree,
    SaveUpdates,
    SetTrouble,
    StartRun,
)

Row = dict[str, Any]

_EVER = (2**62, 0)  # a stamp above all others
NODE_KINDS = ("placed", "leaving", "told")
"""The fields of a tree's memory that are of nodes."""

_json = msgspec.json.Encoder(order="deterministic").encode


class Statement(NamedTuple):
    """SQL, rendered once: SQLAlchemy's own handling of parameters costs more than SQLite's work.

    Attributes:
        rank: statements are written in this order; those of one rank keep the order of the changes.
    """

    rank: int
    sql: str


Step = tuple[Statement, Row]


def statements(changes: Iterable[Change]) -> Iterator[tuple[str, list[Row]]]:
    """The SQL that keeps the changes, each with its rows.

    Changes of one table stay in their order, tables follow one another: so thousands of changes,
    however mixed, are a few statements.
    """
    steps = [step for change in changes for step in _steps(change)]
    steps.sort(key=lambda step: step[0].rank)
    for statement, group in itertools.groupby(steps, key=operator.itemgetter(0)):
        rows = [row for _, row in group]
        if statement is _END_RUN:
            rows = list({row["p_run"]: row for row in rows}.values())
        yield statement.sql, rows


def _steps(change: Change) -> Iterator[Step]:
    match change:
        case SaveUpdates(updates):
            for one in updates:
                yield from _save(one)
        case AdoptNode():
            yield from _adopt(change)
        case ForgetNode(node):
            for side in Side:
                yield _FORGET_SIDE, {"p_side": side.value, "p_node": node}
            yield _DROP_HOLDS, {"p_node": node}
            yield _CLEAR_TROUBLE, {"p_node": node}
        case SaveTree():
            yield from _tree(change)
        case Outgrow(incarnation):
            yield _OUTGROW, {"key": "incarnation", "number": incarnation}
        case SaveHold(hold):
            yield _SAVE_HOLD, msgspec.structs.asdict(hold)
        case DropHold(id):
            yield _DROP_HOLD, {"p_id": id}
        case StartRun():
            yield from _start(change)
        case EndRun():
            yield from _end(change)
        case SetTrouble():
            row = {"node": change.node, "quarantined": change.quarantined, "since": change.since}
            effort = None if change.effort is None else _text(change.effort)
            yield _SET_TROUBLE, {**row, "failures": _text(dict(change.failures)), "effort": effort}
        case ClearTrouble(node):
            yield _CLEAR_TROUBLE, {"p_node": node}
        case Note(at, node, kind, text, source, data):
            row = {"id": None, "at": at, "node": node, "kind": kind, "text": text, "source": source}
            yield _NOTE, {**row, "data": _text(data)}


def _save(one: StateUpdate) -> Iterator[Step]:
    if one.value is None:
        if one.side in OBSERVED:
            yield _FORGET_VALUE, {"p_side": one.side.value, "p_node": one.node, "p_variable": one.variable}
            return
        if one.side is Side.ATTRIBUTE and one.variable == PRESENCE:
            yield _CLEAR_TROUBLE, {"p_node": one.node}
            for side in Side:
                stamp = _EVER if side in OBSERVED else one.stamp
                row = {"p_incarnation": stamp[0], "p_sequence": stamp[1]}
                yield _FORGET_OLDER, {"p_side": side.value, "p_node": one.node, **row}
    if isinstance(one.value, float) and not math.isfinite(one.value):
        raise ValueError(f"{one.variable} of {one.node} cannot be {one.value}: JSON has no such number")
    yield (
        _SAVE_RECORD,
        {
            "side": one.side.value,
            "node": one.node,
            "variable": one.variable,
            "value": _text(one.value),
            "incarnation": one.stamp[0],
            "sequence": one.stamp[1],
            "seen_at": one.seen_at,
            "source": one.source,
        },
    )


def _adopt(change: AdoptNode) -> Iterator[Step]:
    for side in Side:
        if side not in OBSERVED:
            yield _FORGET_SIDE, {"p_side": side.value, "p_node": change.node}
    for one in change.updates:
        yield from _save(one)
    yield _DROP_HOLDS, {"p_node": change.node}
    for hold in change.holds:
        yield _SAVE_HOLD, msgspec.structs.asdict(hold)


def _tree(change: SaveTree) -> Iterator[Step]:
    memory = change.memory
    for node in change.nodes:
        for kind in NODE_KINDS:
            yield _FORGET_BRANCH, {"p_kind": kind, "p_key": node}
    for kind in ("via", "strange"):
        yield _FORGET_BRANCHES, {"p_kind": kind}
    kept: dict[str, Mapping[str, object]] = {
        "kept": {"": True},
        **{kind: getattr(memory, kind) for kind in NODE_KINDS},
        "via": memory.via,
        "strange": dict.fromkeys(memory.strange, True),
    }
    for kind, values in kept.items():
        for key, value in values.items():
            yield _SAVE_BRANCH, {"kind": kind, "key": key, "value": _text(value)}


def _start(change: StartRun) -> Iterator[Step]:
    run = {"run_id": change.run_id, "operator": change.operator, "kind": change.kind, "ended_at": None}
    yield _START_RUN, {**run, "issued_at": change.issued_at, "timeout_s": change.timeout_s}
    nothing = {"outcome": None, "message": "", "observed": "{}", "at": None}
    for place, node in enumerate(change.nodes):
        yield _START_NODE, {"run_id": change.run_id, "node": node, "place": place, **nothing}


def _end(change: EndRun) -> Iterator[Step]:
    observed = _text(change.observed)
    row = {"p_run": change.run_id, "p_node": change.node, "p_outcome": change.outcome.value}
    yield _END_NODE, {**row, "p_message": change.message, "p_observed": observed, "p_at": change.at}
    yield _END_RUN, {"p_run": change.run_id}


def _text(value: object) -> str:
    return _json(value).decode()


def _rendered(rank: int, statement: Any) -> Statement:
    return Statement(rank, str(statement.compile(dialect=sqlite.dialect(paramstyle="named"))))


def _upsert(table: Table) -> Any:
    """Insert, or replace everything but the key."""
    statement = insert(table)
    values = {c.name: statement.excluded[c.name] for c in table.c if not c.primary_key}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=values)


def _newest() -> Any:
    """Insert a record, or replace one that is not newer."""
    statement, record = insert(schema.record), schema.record
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=list(record.primary_key),
        set_={c.name: new[c.name] for c in record.c if not c.primary_key},
        where=tuple_(new.incarnation, new.sequence) >= tuple_(record.c.incarnation, record.c.sequence),
    )


def _forget_older() -> Any:
    """Drop the records of one side of a node that are older than a stamp."""
    record = schema.record.c
    stamp = tuple_(bindparam("p_incarnation"), bindparam("p_sequence"))
    return delete(schema.record).where(
        record.side == bindparam("p_side"),
        record.node == bindparam("p_node"),
        tuple_(record.incarnation, record.sequence) < stamp,
    )


def _forget_value() -> Any:
    record = schema.record.c
    return delete(schema.record).where(
        record.side == bindparam("p_side"),
        record.node == bindparam("p_node"),
        record.variable == bindparam("p_variable"),
    )


def _forget_side() -> Any:
    record = schema.record.c
    return delete(schema.record).where(record.side == bindparam("p_side"), record.node == bindparam("p_node"))


def _outgrow() -> Any:
    """A number in `meta` never becomes less."""
    statement = insert(schema.meta)
    new, old = statement.excluded.number, schema.meta.c.number
    return statement.on_conflict_do_update(
        index_elements=list(schema.meta.primary_key), set_={"number": new}, where=new > old
    )


def _end_of_node() -> Any:
    """The first end of a node stays."""
    node = schema.run_node
    under_way = (node.c.run_id == bindparam("p_run"), node.c.node == bindparam("p_node"))
    return (
        update(node)
        .where(*under_way, node.c.outcome.is_(None))
        .values({name: bindparam(f"p_{name}") for name in ("outcome", "message", "observed", "at")})
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


_SAVE_RECORD = _rendered(0, _newest())
_FORGET_OLDER = _rendered(0, _forget_older())
_FORGET_VALUE = _rendered(0, _forget_value())
_FORGET_SIDE = _rendered(0, _forget_side())
_SAVE_HOLD = _rendered(1, _upsert(schema.hold))
_DROP_HOLD = _rendered(1, delete(schema.hold).where(schema.hold.c.id == bindparam("p_id")))
_DROP_HOLDS = _rendered(1, delete(schema.hold).where(schema.hold.c.node == bindparam("p_node")))
_SET_TROUBLE = _rendered(2, _upsert(schema.trouble))
_CLEAR_TROUBLE = _rendered(2, delete(schema.trouble).where(schema.trouble.c.node == bindparam("p_node")))
_START_RUN = _rendered(3, insert(schema.run))
_START_NODE = _rendered(4, insert(schema.run_node))
_END_NODE = _rendered(5, _end_of_node())
_END_RUN = _rendered(6, _end_of_run())
_NOTE = _rendered(7, insert(schema.entry))
_tree_kind = schema.tree.c.kind == bindparam("p_kind")
_FORGET_BRANCH = _rendered(8, delete(schema.tree).where(_tree_kind, schema.tree.c.key == bindparam("p_key")))
_FORGET_BRANCHES = _rendered(8, delete(schema.tree).where(_tree_kind))
_SAVE_BRANCH = _rendered(8, _upsert(schema.tree))
_OUTGROW = _rendered(9, _outgrow())
