"""The store: changes in, in one transaction; memory, history and runs out."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from kraken.errors import StoreError
from kraken.model.effort import Effort
from kraken.model.hold import Hold
from kraken.model.run import Outcome
from kraken.model.update import PRESENCE, Side, Stamp, StateUpdate
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
    at all, and the next one works as soon as the disk does. Nothing is written any more once the file was
    deleted, moved or replaced: who starts next would not find it.
    """

    def __init__(self, path: Path, lock: Lock, connection: sqlite3.Connection) -> None:
        self.path = path
        self._lock = lock
        self._connection: sqlite3.Connection | None = connection
        self._opened = _identity(path)

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
            return cls(path, lock, open_checked(path))
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

        def count(connection: sqlite3.Connection) -> int:
            before = _scalar(connection, "SELECT number FROM meta WHERE key = 'incarnation'")
            number = max((before or 0) + 1, int(time.time()))
            connection.execute("REPLACE INTO meta (key, number) VALUES ('incarnation', ?)", (number,))
            return number

        return self._transact(count)

    def write(self, changes: Iterable[Change]) -> None:
        """Keep all the changes, in order, or none; on return they survive a crash and a power cut.

        Only changes that are Dsc and nothing else survive a crash but may be lost with the power.
        """
        changes = list(changes)
        if not changes:
            return

        def apply(connection: sqlite3.Connection) -> None:
            for sql, rows in statements(changes):
                connection.executemany(sql, rows)

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
                    Hold(**row) for row in connection.execute("SELECT * FROM hold ORDER BY created_at")
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
        conditions = ["TRUE"]
        if before is not None:
            conditions.append("id < :before")
        if nodes is not None:
            # Few names are found by the index of nodes. With many, reading on from the newest entry
            # finds enough soon; an expression keeps SQLite from that index.
            node = "node" if len(nodes) <= _FEW_NAMES else "node || ''"
            conditions.append(f"{node} IN (SELECT value FROM json_each(:names))")
        query = f"SELECT * FROM entry WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT :limit"
        names = msgspec.json.encode(sorted(nodes or ())).decode()
        with self._reading() as connection:
            rows = connection.execute(query, {"before": before, "names": names, "limit": limit})
            return [_entry(row) for row in rows]

    def runs(self, limit: int = 100, active: bool | None = None) -> list[RunEntry]:
        """Runs of the journal, newest first.

        Args:
            active: True: only those under way; False: only those that ended; None: both.
        """
        under_way = {None: "TRUE", True: "ended_at IS NULL", False: "ended_at IS NOT NULL"}[active]
        query = f"SELECT * FROM run WHERE {under_way} ORDER BY issued_at DESC, run_id DESC LIMIT ?"
        with self._reading() as connection:
            return _runs(connection, query, limit)

    def run(self, run_id: str) -> RunEntry | None:
        """The run of this id; None when the journal has none."""
        with self._reading() as connection:
            found = _runs(connection, "SELECT * FROM run WHERE run_id = ?", run_id)
        return found[0] if found else None

    def _transact(self, work: Callable[[sqlite3.Connection], T], *, durable: bool = True) -> T:
        """Do the work in one transaction, committed on return or not there at all."""
        self._insist_on_place()
        with telling(self.path, "write to"):
            try:
                connection = self._connected()
                # In WAL mode a commit under NORMAL waits for no disk; the next one under FULL takes
                # it along, since it syncs the same log. See ADR 8.
                pragma(connection, f"synchronous = {'FULL' if durable else 'NORMAL'}")
                with transaction(connection):
                    return work(connection)
            except sqlite3.Error as error:
                if is_disk_failure(error):
                    # A page the kernel could not write may be clean to it now, and would be missing
                    # in the log under what follows. To open again begins with an empty log.
                    with contextlib.suppress(sqlite3.Error):
                        self._disconnect()
                raise

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with telling(self.path, "read"):
            connection = self._connected()
            with transaction(connection, "DEFERRED"):
                try:
                    yield connection
                except (msgspec.MsgspecError, ValueError) as error:
                    raise damaged(self.path, error) from error

    def _insist_on_place(self) -> None:
        """SQLite writes to a file that nobody can open any more without a word."""
        if _identity(self.path) != self._opened:
            raise StoreError(
                f"{self.path} is not the file any more that this daemon opened: it was deleted, moved or "
                "replaced; nothing is written",
                part=str(self.path),
                hint="stop the daemon, put its state directory right (from a backup), and start it",
            )

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._insist_on_place()
            self._connection = open_checked(self.path)
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file stands there; None: nobody can tell."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _scalar(connection: sqlite3.Connection, query: str, *values: object) -> Any:
    """The first value of the first row; None when there is none."""
    row = connection.execute(query, values).fetchone()
    return None if row is None else row[0]


def _updates(connection: sqlite3.Connection) -> Iterator[StateUpdate]:
    """Presence first, so that no Dsc comes before its node; see Memory."""
    columns = "side, node, variable, value, incarnation, sequence, seen_at, source"
    presence = "(side = :side AND variable = :variable)"
    values = {"side": Side.ATTRIBUTE.value, "variable": PRESENCE}
    decode = msgspec.json.Decoder().decode
    for which in (
        f"{presence} ORDER BY incarnation, sequence",
        f"NOT {presence} ORDER BY side, node, variable",
    ):
        rows = connection.execute(f"SELECT {columns} FROM record WHERE {which}", values)
        for side, node, variable, value, incarnation, sequence, seen_at, source in rows:
            stamp = Stamp(incarnation, sequence)
            yield StateUpdate(node, Side(side), variable, decode(value), stamp, seen_at, source)


def _unfinished(connection: sqlite3.Connection) -> Iterator[UnfinishedRun]:
    query = """
        SELECT run_id, operator, node, issued_at, timeout_s FROM run JOIN run_node USING (run_id)
        WHERE outcome IS NULL ORDER BY issued_at, run_id, place
    """
    return (UnfinishedRun(*row) for row in connection.execute(query))


def _touched(connection: sqlite3.Connection) -> Iterator[Touch]:
    """A mutation that has not ended on a node ends there at infinity, which SQL writes 9e999. The outcome is
    that of the same row: beside max(), SQLite takes a bare column from it (lang_select, 2.5).
    """
    query = """
        SELECT node, operator, max(coalesce(at, 9e999)), outcome FROM run JOIN run_node USING (run_id)
        WHERE kind = 'mutation' GROUP BY node, operator
    """
    return (
        Touch(node, operator, ended_at, None if outcome is None else Outcome(outcome))
        for node, operator, ended_at, outcome in connection.execute(query)
    )


def _troubles(connection: sqlite3.Connection) -> Iterator[SetTrouble]:
    counts = msgspec.json.Decoder(dict[str, int]).decode
    efforts = msgspec.json.Decoder(Effort).decode
    for node, failures, quarantined, since, effort in connection.execute(
        "SELECT node, failures, quarantined, since, effort FROM trouble ORDER BY node"
    ):
        yield SetTrouble(
            node, counts(failures), quarantined, since, None if effort is None else efforts(effort)
        )


def _tree(connection: sqlite3.Connection) -> TreeMemory | None:
    rows = connection.execute("SELECT kind, key, value FROM tree").fetchall()
    if not rows:
        return None
    kinds: dict[str, dict[str, str]] = {}
    for kind, key, value in rows:
        kinds.setdefault(kind, {})[key] = value
    placed = msgspec.json.Decoder(tuple[str, int, int, bool, bool]).decode
    leaving = msgspec.json.Decoder(tuple[str, int, bool]).decode
    told = msgspec.json.Decoder(Lease).decode
    text = msgspec.json.Decoder(str).decode
    return TreeMemory(
        {key: placed(value) for key, value in kinds.get("placed", {}).items()},
        {key: leaving(value) for key, value in kinds.get("leaving", {}).items()},
        {key: told(value) for key, value in kinds.get("told", {}).items()},
        {key: text(value) for key, value in kinds.get("via", {}).items()},
        sorted(kinds.get("strange", {})),
        float(kinds.get("longest", {}).get("", 0.0)),
        "doubts" in kinds,
        int(kinds.get("number", {}).get("", 0)),
        {key: text(value) for key, value in kinds.get("bmcs", {}).items()},
    )


def _entry(row: sqlite3.Row) -> Entry:
    return Entry(**{**row, "data": msgspec.json.decode(row["data"])})


def _runs(connection: sqlite3.Connection, query: str, *values: object) -> list[RunEntry]:
    of_run = "SELECT node, outcome, message, observed, at FROM run_node WHERE run_id = ? ORDER BY place"
    found = []
    for run in connection.execute(query, values).fetchall():
        ends = tuple(_node_end(*row) for row in connection.execute(of_run, (run["run_id"],)))
        found.append(RunEntry(**run, results=ends))
    return found


def _node_end(node: str, outcome: str | None, message: str, observed: str, at: float | None) -> NodeEnd:
    ended = None if outcome is None else Outcome(outcome)
    return NodeEnd(node, ended, message, msgspec.json.decode(observed), at)


def _prune(
    connection: sqlite3.Connection, now: float, keep_s: float | None, rows_max: int | None, at_once: int
) -> int:
    horizon = float("-inf") if keep_s is None else now - keep_s
    last = _scalar(connection, "SELECT max(id) FROM entry") or 0
    keep_from = 0 if rows_max is None else last - rows_max + 1
    surplus = _scalar(connection, "SELECT at FROM entry WHERE id < ? ORDER BY id DESC LIMIT 1", keep_from)
    values = {"horizon": max(horizon, surplus or horizon), "keep_from": keep_from, "at_once": at_once}
    # Entries come nearly in the order of time: only the oldest are looked at, never a million.
    entries = """
        DELETE FROM entry WHERE id IN (SELECT id FROM entry ORDER BY id LIMIT :at_once)
        AND (at < :horizon OR id < :keep_from)
    """
    runs = """
        DELETE FROM run WHERE run_id IN (SELECT run_id FROM run WHERE ended_at < :horizon LIMIT :at_once)
    """
    return sum(connection.execute(statement, values).rowcount for statement in (entries, runs))
