"""The store: changes in, in one transaction; memory, history and runs out."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import Connection, Engine, Row, Select, delete, func, select
from sqlalchemy.exc import SQLAlchemyError

from kraken.model.effort import Effort
from kraken.model.hold import Hold
from kraken.model.run import Outcome
from kraken.model.update import PRESENCE, Side, Stamp, StateUpdate
from kraken.store import schema
from kraken.store.file import (
    Lock,
    damaged,
    is_disk_failure,
    open_checked,
    pragma,
    prepare_directory,
    telling,
    transaction,
)
from kraken.store.records import (
    Change,
    Entry,
    Memory,
    NodeEnd,
    RunEntry,
    SetTrouble,
    Touch,
    UnfinishedRun,
    is_soft,
)
from kraken.store.statements import statements
from kraken.sync.events import Memory as TreeMemory
from kraken.sync.lease import Lease

T = TypeVar("T")

FILE_NAME: Final = "kraken.db"
_FEW_NAMES = 32


class Store:
    """The state file of one daemon. For one thread; GroupCommit is its asyncio side.

    Every method raises StoreError when the file cannot be read or written; a write is then not kept
    at all, and the next one works as soon as the disk does.
    """

    def __init__(self, path: Path, lock: Lock, engine: Engine, connection: Connection) -> None:
        self.path = path
        self._lock = lock
        self._engine = engine
        self._connection: Connection | None = connection

    @classmethod
    def open(cls, path: Path) -> Store:
        """Open the state file, or make it; its directory is made when only that is missing.

        The whole file is checked, and one of an older Kraken is brought up to date.

        Args:
            path: the file; a directory stands for `kraken.db` in it.

        Raises:
            StoreError: in use by another daemon, damaged, of a newer Kraken, not readable or
                writable. The file is then as it was.
        """
        if path.is_dir():
            path = path / FILE_NAME
        prepare_directory(path.parent)
        lock = Lock(path)
        try:
            return cls(path, lock, *open_checked(path))
        except BaseException:
            lock.release()
            raise

    def close(self) -> None:
        """Give back file and lock. Idempotent."""
        try:
            self._disconnect()
        finally:
            self._lock.release()

    def next_incarnation(self) -> int:
        """A number greater than any this state gave before, for the stamps of a starting daemon.

        It follows the clock, so that a daemon whose state was lost, or came back from an old copy,
        still wins over its former self; and it grows by one when the clock does not help.
        """

        def count(connection: Connection) -> int:
            meta = schema.meta
            before = connection.scalar(select(meta.c.number).where(meta.c.key == "incarnation"))
            number = max((before or 0) + 1, int(time.time()))
            connection.execute(delete(meta).where(meta.c.key == "incarnation"))
            connection.execute(meta.insert().values(key="incarnation", number=number))
            return number

        return self._transact(count)

    def write(self, changes: Iterable[Change]) -> None:
        """Keep all the changes, in order, or none; on return they survive a crash and a power cut.

        Only changes that are Dsc and nothing else survive a crash but may be lost with the power.
        """
        changes = list(changes)
        if not changes:
            return

        def apply(connection: Connection) -> None:
            for sql, rows in statements(changes):
                connection.exec_driver_sql(sql, rows)

        self._transact(apply, durable=not all(is_soft(change) for change in changes))

    def prune(
        self, *, now: float, keep_s: float | None = None, rows_max: int | None = None, at_once: int = 2_000
    ) -> int:
        """Forget journal entries older than `keep_s` or beyond the newest `rows_max`, and runs that
        ended before the oldest entry that is to stay.

        Returns:
            Rows forgotten, at most `at_once` of entries and of runs: call again until it is 0.
        """
        return self._transact(lambda connection: _prune(connection, now, keep_s, rows_max, at_once))

    def load(self) -> Memory:
        """Everything a starting daemon needs to know."""
        with self._reading() as connection:
            return Memory(
                updates=tuple(_updates(connection)),
                holds=tuple(
                    Hold(**row._mapping)
                    for row in connection.execute(select(schema.hold).order_by(schema.hold.c.created_at))
                ),
                troubles=tuple(_troubles(connection)),
                unfinished=tuple(_unfinished(connection)),
                touched=tuple(_touched(connection)),
                tree=_tree(connection),
            )

    def history(
        self, nodes: Collection[str] | None = None, limit: int = 100, before: int | None = None
    ) -> list[Entry]:
        """Journal entries, newest first.

        Args:
            nodes: of these only; None: of all.
            before: only entries older than the one of this id.
        """
        entry = schema.entry
        query = select(entry).order_by(entry.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(entry.c.id < before)
        if nodes is not None:
            names = func.json_each(msgspec.json.encode(sorted(nodes)).decode()).table_valued("value")
            # Few names are found by the index of nodes. With many, reading on from the newest entry
            # finds enough soon; an expression keeps SQLite from that index.
            node = entry.c.node if len(nodes) <= _FEW_NAMES else entry.c.node.concat("")
            query = query.where(node.in_(select(names.c.value)))
        with self._reading() as connection:
            return [_entry(row) for row in connection.execute(query)]

    def runs(self, limit: int = 100, active: bool | None = None) -> list[RunEntry]:
        """Runs of the journal, newest first.

        Args:
            active: True: only those under way; False: only those that ended; None: both.
        """
        run = schema.run
        query = select(run).order_by(run.c.issued_at.desc(), run.c.run_id.desc()).limit(limit)
        if active is not None:
            query = query.where(run.c.ended_at.is_(None) if active else run.c.ended_at.is_not(None))
        with self._reading() as connection:
            return _runs(connection, query)

    def run(self, run_id: str) -> RunEntry | None:
        """The run of this id; None when the journal has none."""
        with self._reading() as connection:
            found = _runs(connection, select(schema.run).where(schema.run.c.run_id == run_id))
        return found[0] if found else None

    def _transact(self, work: Callable[[Connection], T], *, durable: bool = True) -> T:
        """Do the work in one transaction, committed on return or not there at all."""
        with telling(self.path, "write to"):
            try:
                connection = self._connected()
                # In WAL mode a commit under NORMAL waits for no disk; the next one under FULL takes
                # it along, since it syncs the same log. See ADR 8.
                pragma(connection, f"synchronous = {'FULL' if durable else 'NORMAL'}")
                with transaction(connection):
                    return work(connection)
            except SQLAlchemyError as error:
                if is_disk_failure(error):
                    # A page the kernel could not write may be clean to it now, and would be missing
                    # in the log under what follows. To open again begins with an empty log.
                    with contextlib.suppress(SQLAlchemyError):
                        self._disconnect()
                raise

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        with telling(self.path, "read"):
            connection = self._connected()
            with transaction(connection, "DEFERRED"):
                try:
                    yield connection
                except (msgspec.MsgspecError, ValueError) as error:
                    raise damaged(self.path, error) from error

    def _connected(self) -> Connection:
        if self._connection is None:
            self._engine, self._connection = open_checked(self.path)
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            finally:
                self._engine.dispose()


def _updates(connection: Connection) -> Iterator[StateUpdate]:
    """Presence first, so that no Dsc comes before its node; see Memory."""
    record = schema.record
    presence = (record.c.side == Side.ATTRIBUTE) & (record.c.variable == PRESENCE)
    declared = select(record).where(presence).order_by(record.c.incarnation, record.c.sequence)
    others = select(record).where(~presence).order_by(record.c.side, record.c.node, record.c.variable)
    decode = msgspec.json.Decoder().decode
    for query in (declared, others):
        for side, node, variable, value, incarnation, sequence, seen_at, source in connection.execute(query):
            stamp = Stamp(incarnation, sequence)
            yield StateUpdate(node, Side(side), variable, decode(value), stamp, seen_at, source)


def _unfinished(connection: Connection) -> Iterator[UnfinishedRun]:
    run, node = schema.run, schema.run_node
    query = (
        select(run.c.run_id, run.c.operator, node.c.node, run.c.issued_at)
        .join(node, node.c.run_id == run.c.run_id)
        .where(node.c.outcome.is_(None))
        .order_by(run.c.issued_at, run.c.run_id, node.c.place)
    )
    return (UnfinishedRun(*row) for row in connection.execute(query))


def _touched(connection: Connection) -> Iterator[Touch]:
    run, node = schema.run, schema.run_node
    ended_at = func.coalesce(node.c.at, math.inf)
    query = (
        select(node.c.node, run.c.operator, func.max(ended_at))
        .join(node, node.c.run_id == run.c.run_id)
        .where(run.c.kind == "mutation")
        .group_by(node.c.node, run.c.operator)
    )
    return (Touch(*row) for row in connection.execute(query))


def _troubles(connection: Connection) -> Iterator[SetTrouble]:
    counts = msgspec.json.Decoder(dict[str, int]).decode
    efforts = msgspec.json.Decoder(Effort).decode
    for node, failures, quarantined, since, effort in connection.execute(
        select(schema.trouble).order_by(schema.trouble.c.node)
    ):
        yield SetTrouble(
            node, counts(failures), quarantined, since, None if effort is None else efforts(effort)
        )


def _tree(connection: Connection) -> TreeMemory | None:
    rows = connection.execute(select(schema.tree)).all()
    if not rows:
        return None
    kinds: dict[str, dict[str, str]] = {}
    for kind, key, value in rows:
        kinds.setdefault(kind, {})[key] = value
    placed = msgspec.json.Decoder(tuple[str, int, int, bool, bool]).decode
    leaving = msgspec.json.Decoder(tuple[str, int, bool]).decode
    told = msgspec.json.Decoder(Lease).decode
    via = msgspec.json.Decoder(str).decode
    return TreeMemory(
        {key: placed(value) for key, value in kinds.get("placed", {}).items()},
        {key: leaving(value) for key, value in kinds.get("leaving", {}).items()},
        {key: told(value) for key, value in kinds.get("told", {}).items()},
        {key: via(value) for key, value in kinds.get("via", {}).items()},
        sorted(kinds.get("strange", {})),
    )


def _entry(row: Row[Any]) -> Entry:
    return Entry(**{**row._mapping, "data": msgspec.json.decode(row.data)})


def _runs(connection: Connection, query: Select[Any]) -> list[RunEntry]:
    runs = connection.execute(query).all()
    table = schema.run_node
    results: dict[str, list[NodeEnd]] = {run.run_id: [] for run in runs}
    for run_id in results:
        rows = connection.execute(select(table).where(table.c.run_id == run_id).order_by(table.c.place))
        results[run_id] += [_node_end(row) for row in rows]
    return [RunEntry(**run._mapping, results=tuple(results[run.run_id])) for run in runs]


def _node_end(row: Row[Any]) -> NodeEnd:
    outcome = None if row.outcome is None else Outcome(row.outcome)
    return NodeEnd(row.node, outcome, row.message, msgspec.json.decode(row.observed), row.at)


def _prune(
    connection: Connection, now: float, keep_s: float | None, rows_max: int | None, at_once: int
) -> int:
    entry, run = schema.entry, schema.run
    horizon = float("-inf") if keep_s is None else now - keep_s
    last = connection.scalar(select(func.max(entry.c.id))) or 0
    keep_from = 0 if rows_max is None else last - rows_max + 1
    surplus = select(entry.c.at).where(entry.c.id < keep_from).order_by(entry.c.id.desc()).limit(1)
    horizon = max(horizon, connection.scalar(surplus) or horizon)
    # Entries come nearly in the order of time: only the oldest are looked at, never a million.
    oldest = select(entry.c.id).order_by(entry.c.id).limit(at_once)
    too_old = (entry.c.at < horizon) | (entry.c.id < keep_from)
    ended = select(run.c.run_id).where(run.c.ended_at < horizon).limit(at_once)
    return sum(
        connection.execute(statement).rowcount
        for statement in (
            delete(entry).where(entry.c.id.in_(oldest), too_old),
            delete(run).where(run.c.run_id.in_(ended)),
        )
    )
