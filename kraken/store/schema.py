"""The tables, and the steps that lead an older file to them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final

APPLICATION_ID: Final = 0x4B52414B
"""In the header of every file of ours ("KRAK"), so that another program's database is not taken for one."""

TABLES: Final = (
    "CREATE TABLE meta (key TEXT NOT NULL PRIMARY KEY, number BIGINT)",
    # `side` leads the key, so that a flush of Dsc touches pages that hold nothing else.
    """
    CREATE TABLE record (
        side TEXT NOT NULL,
        node TEXT NOT NULL,
        variable TEXT NOT NULL,
        value TEXT NOT NULL,  -- JSON; "null" is a withdrawal
        incarnation BIGINT NOT NULL,
        sequence BIGINT NOT NULL,
        seen_at FLOAT NOT NULL,
        source TEXT NOT NULL,
        PRIMARY KEY (side, node, variable)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE hold (
        id TEXT NOT NULL PRIMARY KEY,
        node TEXT NOT NULL,
        owner TEXT NOT NULL,
        reason TEXT NOT NULL,
        created_at FLOAT NOT NULL,
        until FLOAT
    )
    """,
    """
    CREATE TABLE trouble (
        node TEXT NOT NULL PRIMARY KEY,
        failures TEXT NOT NULL,  -- JSON: mutation -> count
        quarantined TEXT,
        since FLOAT NOT NULL,
        effort TEXT  -- JSON: what was done for the node in vain
    )
    """,
    """
    CREATE TABLE run (
        run_id TEXT NOT NULL PRIMARY KEY,
        operator TEXT NOT NULL,
        kind TEXT NOT NULL,
        issued_at FLOAT NOT NULL,
        timeout_s FLOAT NOT NULL,
        ended_at FLOAT
    )
    """,
    "CREATE INDEX ix_run_issued_at ON run (issued_at)",
    "CREATE INDEX run_under_way ON run (issued_at) WHERE ended_at IS NULL",
    """
    CREATE TABLE run_node (
        run_id TEXT NOT NULL REFERENCES run (run_id) ON DELETE CASCADE,
        node TEXT NOT NULL,
        place INTEGER NOT NULL,  -- its place in the run
        outcome TEXT,  -- null: under way
        message TEXT NOT NULL,
        observed TEXT NOT NULL,  -- JSON: variable -> value
        at FLOAT,
        PRIMARY KEY (run_id, node)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX run_node_of_node ON run_node (node, run_id)",
    "CREATE INDEX run_node_under_way ON run_node (run_id) WHERE outcome IS NULL",
    # AUTOINCREMENT: a cursor of history never comes again, whatever was pruned.
    """
    CREATE TABLE entry (
        id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        at FLOAT NOT NULL,
        node TEXT NOT NULL,
        kind TEXT NOT NULL,
        text TEXT NOT NULL,
        source TEXT NOT NULL,
        data TEXT NOT NULL
    )
    """,
    "CREATE INDEX entry_node ON entry (node, id)",
    """
    CREATE TABLE tree (
        kind TEXT NOT NULL,  -- a field of sync.events.Memory; "kept": there is one at all
        key TEXT NOT NULL,  -- a node, or a collector
        value TEXT NOT NULL,  -- JSON
        PRIMARY KEY (kind, key)
    ) WITHOUT ROWID
    """,
)


VERSION: Final = 3
"""Of the tables above, kept as `user_version` in the file's header."""


def _keep_efforts(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE trouble ADD COLUMN effort TEXT")


def _keep_the_tree(connection: sqlite3.Connection) -> None:
    connection.execute(
        "CREATE TABLE tree (kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,"
        " PRIMARY KEY (kind, key)) WITHOUT ROWID"
    )


MIGRATIONS: dict[int, Callable[[sqlite3.Connection], object]] = {
    1: _keep_efforts,
    2: _keep_the_tree,
}
"""version -> the step that leads a file of it to the next one; a released step is never changed."""


def create(connection: sqlite3.Connection) -> None:
    """Make the tables of an empty file, inside the transaction under way."""
    for sql in TABLES:
        connection.execute(sql)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Lead a file of this version to the newest, inside the transaction under way."""
    for older in range(version, VERSION):
        MIGRATIONS[older](connection)
    connection.execute(f"PRAGMA user_version = {VERSION}")
