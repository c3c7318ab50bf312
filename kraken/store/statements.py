"""Changes as SQL: which rows each kind of change writes."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

import msgspec

from kraken.model.update import OBSERVED, PRESENCE, Side, StateUpdate
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

Row = dict[str, Any] | tuple[Any, ...]
"""The values of a statement's parameters: by name, or, where they come by the ten thousand, in order."""

ABREAST: Final = 50
"""Records that one statement keeps: it costs SQLite and its module about as much as half a record."""
_EVER = (2**62, 0)  # a stamp above all others
NODE_KINDS = ("placed", "leaving", "told", "bmcs")
"""The fields of a tree's memory that are of nodes."""

_json = msgspec.json.Encoder(order="deterministic").encode


class Statement(NamedTuple):
    """SQL, with the names of its parameters, or a question mark for each.

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
            ends = cast("list[dict[str, Any]]", rows)
            rows = list({row["run_id"]: row for row in ends}.values())  # each run once
        yield statement.sql, rows


def _steps(change: Change) -> Iterator[Step]:
    match change:
        case SaveUpdates(updates):
            yield from _save(updates)
        case AdoptNode():
            yield from _adopt(change)
        case ForgetNode(node):
            for side in Side:
                yield _FORGET_SIDE, {"side": side.value, "node": node}
            yield _DROP_HOLDS, {"node": node}
            yield _CLEAR_TROUBLE, {"node": node}
        case SaveTree():
            yield from _tree(change)
        case Outgrow(incarnation):
            yield _OUTGROW, {"key": "incarnation", "number": incarnation}
        case SaveHold(hold):
            yield _SAVE_HOLD, msgspec.structs.asdict(hold)
        case DropHold(id):
            yield _DROP_HOLD, {"id": id}
        case StartRun():
            yield from _start(change)
        case EndRun():
            yield from _end(change)
        case SetTrouble():
            row = {"node": change.node, "quarantined": change.quarantined, "since": change.since}
            effort = None if change.effort is None else _text(change.effort)
            yield _SET_TROUBLE, {**row, "failures": _text(dict(change.failures)), "effort": effort}
        case ClearTrouble(node):
            yield _CLEAR_TROUBLE, {"node": node}
        case Note(at, node, kind, text, source, data):
            row = {"at": at, "node": node, "kind": kind, "text": text, "source": source}
            yield _NOTE, {**row, "data": _text(data)}


def _save(updates: Iterable[StateUpdate]) -> Iterator[Step]:
    texts: dict[str, str] = {}  # thousands of nodes have the same few values
    rows: list[tuple[Any, ...]] = []
    for one in updates:
        value = one.value
        if value is None:
            if one.side in OBSERVED:
                yield from _records(rows)
                yield _FORGET_VALUE, {"side": one.side.value, "node": one.node, "variable": one.variable}
                rows = []
                continue
            if one.side is Side.ATTRIBUTE and one.variable == PRESENCE:
                yield from _records(rows)
                yield from _bury(one)
                rows = []
        if type(value) is not str:
            text = _json_of(one)
        elif value in texts:
            text = texts[value]
        else:
            text = texts[value] = _text(value)
        place = (one.side._value_, one.node, one.variable)  # .value would be a call
        rows.append((*place, text, *one.stamp, one.seen_at, one.source))
    yield from _records(rows)


def _records(rows: Sequence[tuple[Any, ...]]) -> Iterator[Step]:
    whole = len(rows) - len(rows) % ABREAST
    for begin in range(0, whole, ABREAST):
        yield _SAVE_RECORDS, tuple(itertools.chain.from_iterable(rows[begin : begin + ABREAST]))
    for row in rows[whole:]:
        yield _SAVE_RECORD, row


def _bury(presence: StateUpdate) -> Iterator[Step]:
    """Of a node that is withdrawn, nothing stays that is older."""
    yield _CLEAR_TROUBLE, {"node": presence.node}
    for side in Side:
        stamp = _EVER if side in OBSERVED else presence.stamp
        row = {"incarnation": stamp[0], "sequence": stamp[1]}
        yield _FORGET_OLDER, {"side": side.value, "node": presence.node, **row}


def _json_of(one: StateUpdate) -> str:
    if isinstance(one.value, float) and not math.isfinite(one.value):
        raise ValueError(f"{one.variable} of {one.node} cannot be {one.value}: JSON has no such number")
    return _text(one.value)


def _adopt(change: AdoptNode) -> Iterator[Step]:
    for side in Side:
        if side not in OBSERVED:
            yield _FORGET_SIDE, {"side": side.value, "node": change.node}
    yield from _save(change.updates)
    yield _DROP_HOLDS, {"node": change.node}
    for hold in change.holds:
        yield _SAVE_HOLD, msgspec.structs.asdict(hold)


def _tree(change: SaveTree) -> Iterator[Step]:
    memory = change.memory
    for node in change.nodes:
        for kind in NODE_KINDS:
            yield _FORGET_BRANCH, {"kind": kind, "key": node}
    for kind in ("via", "strange", "longest", "doubts", "number"):
        yield _FORGET_BRANCHES, {"kind": kind}
    kept: dict[str, Mapping[str, object]] = {
        "kept": {"": True},
        **{kind: getattr(memory, kind) for kind in NODE_KINDS},
        "via": memory.via,
        "strange": dict.fromkeys(memory.strange, True),
        "longest": {"": memory.longest_s},
        "doubts": {"": True} if memory.doubts else {},
        "number": {"": memory.number},
    }
    for kind, values in kept.items():
        for key, value in values.items():
            yield _SAVE_BRANCH, {"kind": kind, "key": key, "value": _text(value)}


def _start(change: StartRun) -> Iterator[Step]:
    run = {"run_id": change.run_id, "operator": change.operator, "kind": change.kind}
    yield _START_RUN, {**run, "issued_at": change.issued_at, "timeout_s": change.timeout_s}
    nothing = {"message": "", "observed": "{}"}
    for place, node in enumerate(change.nodes):
        yield _START_NODE, {"run_id": change.run_id, "node": node, "place": place, **nothing}


def _end(change: EndRun) -> Iterator[Step]:
    observed = _text(change.observed)
    row = {"run_id": change.run_id, "node": change.node, "outcome": change.outcome.value}
    yield _END_NODE, {**row, "message": change.message, "observed": observed, "at": change.at}
    yield _END_RUN, {"run_id": change.run_id}


def _text(value: object) -> str:
    return _json(value).decode()


def _insert(table: str, *columns: str) -> str:
    values = ", ".join(f":{column}" for column in columns)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})"


def _upsert(table: str, keys: Sequence[str], columns: Sequence[str]) -> str:
    """Insert, or replace everything but the keys."""
    new = ", ".join(f"{column} = excluded.{column}" for column in columns)
    return f"{_insert(table, *keys, *columns)} ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {new}"


_RECORD = "side = :side AND node = :node"


def _save_records(count: int) -> str:
    """Insert or replace so many; a record that is newer than the one that comes stays."""
    keys = ("side", "node", "variable")
    columns = ("value", "incarnation", "sequence", "seen_at", "source")
    row = f"({', '.join('?' * (len(keys) + len(columns)))})"
    new = ", ".join(f"{column} = excluded.{column}" for column in columns)
    return (
        f"INSERT INTO record ({', '.join((*keys, *columns))}) VALUES {', '.join([row] * count)} "
        f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {new} "
        "WHERE (excluded.incarnation, excluded.sequence) >= (record.incarnation, record.sequence)"
    )


_SAVE_RECORD = Statement(0, _save_records(1))
_SAVE_RECORDS = Statement(0, _save_records(ABREAST))
_FORGET_OLDER = Statement(
    0, f"DELETE FROM record WHERE {_RECORD} AND (incarnation, sequence) < (:incarnation, :sequence)"
)
_FORGET_VALUE = Statement(0, f"DELETE FROM record WHERE {_RECORD} AND variable = :variable")
_FORGET_SIDE = Statement(0, f"DELETE FROM record WHERE {_RECORD}")
_SAVE_HOLD = Statement(1, _upsert("hold", ["id"], ["node", "owner", "reason", "created_at", "until"]))
_DROP_HOLD = Statement(1, "DELETE FROM hold WHERE id = :id")
_DROP_HOLDS = Statement(1, "DELETE FROM hold WHERE node = :node")
_SET_TROUBLE = Statement(2, _upsert("trouble", ["node"], ["failures", "quarantined", "since", "effort"]))
_CLEAR_TROUBLE = Statement(2, "DELETE FROM trouble WHERE node = :node")
_START_RUN = Statement(3, _insert("run", "run_id", "operator", "kind", "issued_at", "timeout_s"))
_START_NODE = Statement(4, _insert("run_node", "run_id", "node", "place", "message", "observed"))
# The first end of a node stays.
_END_NODE = Statement(
    5,
    "UPDATE run_node SET outcome = :outcome, message = :message, observed = :observed, at = :at "
    "WHERE run_id = :run_id AND node = :node AND outcome IS NULL",
)
# A run ends with the last of its nodes, and when that did.
_END_RUN = Statement(
    6,
    "UPDATE run SET ended_at = (SELECT max(at) FROM run_node WHERE run_id = :run_id) "
    "WHERE run_id = :run_id AND ended_at IS NULL "
    "AND NOT EXISTS (SELECT * FROM run_node WHERE run_id = :run_id AND outcome IS NULL)",
)
_NOTE = Statement(7, _insert("entry", "at", "node", "kind", "text", "source", "data"))
_FORGET_BRANCH = Statement(8, "DELETE FROM tree WHERE kind = :kind AND key = :key")
_FORGET_BRANCHES = Statement(8, "DELETE FROM tree WHERE kind = :kind")
_SAVE_BRANCH = Statement(8, _upsert("tree", ["kind", "key"], ["value"]))
# A number in `meta` never becomes less.
_OUTGROW = Statement(9, _upsert("meta", ["key"], ["number"]) + " WHERE excluded.number > meta.number")
