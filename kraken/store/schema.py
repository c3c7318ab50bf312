"""The tables, and the steps that lead an older file to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
)

APPLICATION_ID: Final = 0x4B52414B
"""In the header of every file of ours ("KRAK"), so that another program's database is not taken for one."""

metadata = MetaData()

meta = Table("meta", metadata, Column("key", Text, primary_key=True), Column("number", BigInteger))

# `side` leads the key, so that a flush of Dsc touches pages that hold nothing else.
record = Table(
    "record",
    metadata,
    Column("side", Text, primary_key=True),
    Column("node", Text, primary_key=True),
    Column("variable", Text, primary_key=True),
    Column("value", Text, nullable=False),  # JSON; "null" is a withdrawal
    Column("incarnation", BigInteger, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("seen_at", Float, nullable=False),
    Column("source", Text, nullable=False),
    sqlite_with_rowid=False,
)

hold = Table(
    "hold",
    metadata,
    Column("id", Text, primary_key=True),
    Column("node", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("until", Float),
)

trouble = Table(
    "trouble",
    metadata,
    Column("node", Text, primary_key=True),
    Column("failures", Text, nullable=False),  # JSON: mutation -> count
    Column("quarantined", Text),
    Column("since", Float, nullable=False),
    Column("effort", Text),  # JSON: what was done for the node in vain
)

run = Table(
    "run",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("operator", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("issued_at", Float, nullable=False, index=True),
    Column("timeout_s", Float, nullable=False),
    Column("ended_at", Float),
)

Index("run_under_way", run.c.issued_at, sqlite_where=run.c.ended_at.is_(None))

run_node = Table(
    "run_node",
    metadata,
    Column("run_id", Text, ForeignKey("run.run_id", ondelete="CASCADE"), primary_key=True),
    Column("node", Text, primary_key=True),
    Column("place", Integer, nullable=False),  # its place in the run
    Column("outcome", Text),  # null: under way
    Column("message", Text, nullable=False, default=""),
    Column("observed", Text, nullable=False, default="{}"),
    Column("at", Float),
    sqlite_with_rowid=False,
)
Index("run_node_of_node", run_node.c.node, run_node.c.run_id)
Index("run_node_under_way", run_node.c.run_id, sqlite_where=run_node.c.outcome.is_(None))

entry = Table(
    "entry",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("node", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("data", Text, nullable=False),
    Index("entry_node", "node", "id"),
    sqlite_autoincrement=True,  # a cursor of history never comes again, whatever was pruned
)

tree = Table(
    "tree",
    metadata,
    Column("kind", Text, primary_key=True),  # a field of sync.events.Memory; "kept": there is one at all
    Column("key", Text, primary_key=True),  # a node, or a collector
    Column("value", Text, nullable=False),  # JSON
    sqlite_with_rowid=False,
)


VERSION: Final = 3
"""Of the tables above, kept as `user_version` in the file's header."""


def _keep_efforts(connection: Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE trouble ADD COLUMN effort TEXT")


def _keep_the_tree(connection: Connection) -> None:
    connection.exec_driver_sql(
        "CREATE TABLE tree (kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,"
        " PRIMARY KEY (kind, key)) WITHOUT ROWID"
    )


MIGRATIONS: dict[int, Callable[[Connection], None]] = {
    1: _keep_efforts,
    2: _keep_the_tree,
}
"""version -> the step that leads a file of it to the next one; a released step is never changed."""


def create(connection: Connection) -> None:
    """Make the tables of an empty file."""
    metadata.create_all(connection)
    connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")


def migrate(connection: Connection, version: int) -> None:
    """Lead a file of this version to the newest, inside the transaction under way."""
    for older in range(version, VERSION):
        MIGRATIONS[older](connection)
    connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")
