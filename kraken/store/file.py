"""The state file: locked, checked, made when there is none, and never overwritten."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from kraken.errors import StoreError
from kraken.store import schema

BUSY_S = 5.0  # how long a commit waits for somebody with the sqlite3 shell
_OUR_BUGS = (sqlite3.ProgrammingError, sqlite3.IntegrityError, sqlite3.DataError)
_MAGIC = b"SQLite format 3\0"
_RESTORE = (
    "nothing was changed in it; put a copy of it back, or move it away (with its -wal and -shm) "
    "to begin with an empty state and `kraken apply` your files again"
)


class Lock:
    """One daemon per state file: a lock of the kernel, gone with the process however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".lock")
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unwritable(self._path, error) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.pread(self._descriptor, 32, 0).decode(errors="replace").strip()
            os.close(self._descriptor)
            raise StoreError(
                f"{path} is in use by another Kraken daemon" + (f", process {pid}" if pid else ""),
                part=str(path),
                hint="stop that one first, or name another directory with --state-dir",
            ) from error
        except OSError as error:
            os.close(self._descriptor)
            raise _unwritable(self._path, error) from error
        # A full disk must not keep a daemon from reading its state: the pid is only for people.
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let another daemon in. Idempotent. The lock's file stays: to remove it would race."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def prepare_directory(directory: Path) -> None:
    """Make the state directory, open to its owner only, if just it is missing.

    Raises:
        StoreError: it cannot be made, or is no directory one may write to.
    """
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
    except FileNotFoundError as error:
        raise StoreError(
            f"cannot make {directory}: there is no {directory.parent}",
            part=str(directory),
            hint="make it, or name another directory with --state-dir or the key state_dir",
        ) from error
    except OSError as error:
        raise _unwritable(directory, error) from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise _unwritable(directory, PermissionError("permission denied"))


def open_checked(path: Path) -> sqlite3.Connection:
    """The one connection to the state file, which is whole and of our version.

    Raises:
        StoreError: the file is not ours, of a newer Kraken, damaged, or cannot be read or written.
    """
    if not path.exists():
        _create(path)
    _check_header(path)
    with telling(path, "open"):
        connection = _connect(path)
        try:
            _check_content(path, connection)
            if pragma(connection, "journal_mode") == "wal":
                # Whatever a former process left in the log is on the disk before anything follows it.
                pragma(connection, "wal_checkpoint(TRUNCATE)")
            else:
                pragma(connection, "journal_mode = WAL")
        except BaseException:
            connection.close()
            raise
    return connection


def pragma(connection: sqlite3.Connection, text: str) -> object:
    """Say `PRAGMA text` outside of any transaction; gives its first value."""
    assert not connection.in_transaction
    rows = connection.execute(f"PRAGMA {text}").fetchall()  # all, or the statement stays open
    return rows[0][0] if rows else None


@contextlib.contextmanager
def transaction(
    connection: sqlite3.Connection, kind: Literal["IMMEDIATE", "DEFERRED"] = "IMMEDIATE"
) -> Iterator[None]:
    """Commit on the way out, or leave everything as it was.

    Args:
        kind: IMMEDIATE to write: it waits for its turn before the work, not in the middle of it.
    """
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # some failures end it by themselves (sqlite.org/lang_transaction.html)
            connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def telling(path: Path, doing: str) -> Iterator[None]:
    """Turn what the database raises into a StoreError that says what to do."""
    try:
        yield
    except _OUR_BUGS:
        raise
    except sqlite3.DatabaseError as error:
        raise _explained(path, doing, error) from error


def is_disk_failure(error: sqlite3.Error) -> bool:
    """Whether the disk said no in the middle of its work (and not just that it is full)."""
    return _name_of(error).startswith("SQLITE_IOERR")


def damaged(path: Path, complaint: object) -> StoreError:
    """The error for a file whose content is not what was written."""
    return StoreError(f"{path} is damaged: {complaint}", part=str(path), hint=_RESTORE)


def _explained(path: Path, doing: str, error: sqlite3.DatabaseError) -> StoreError:
    name = _name_of(error)
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return damaged(path, error)
    if name.startswith("SQLITE_FULL"):
        reason, hint = "no space is left", f"make room on the file system of {path.parent}"
    elif name.startswith("SQLITE_IOERR"):
        reason = f"the disk does not do it ({name})"
        hint = f"is there space on the file system of {path.parent}, is the disk well (see dmesg)?"
    elif name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        reason, hint = "another program has it locked", "close what has it open (`fuser` names it)"
    elif name.startswith(("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_CANTOPEN", "SQLITE_AUTH")):
        reason, hint = str(error), f"check owner, permissions and mount options of {path.parent}"
    else:
        reason, hint = f"{error} ({name})" if name else str(error), "see the log"
    return StoreError(f"cannot {doing} {path}: {reason}", part=str(path), hint=hint)


def _name_of(error: sqlite3.Error) -> str:
    """SQLite's name of it; empty when the error is the module's own."""
    return getattr(error, "sqlite_errorname", None) or ""


def _unwritable(path: Path, error: OSError) -> StoreError:
    reason = error.strerror or str(error)
    return StoreError(
        f"cannot write {path}: {reason.lower()}",
        part=str(path),
        hint="check owner and permissions, or name another directory with --state-dir",
    )


def _create(path: Path) -> None:
    """Make an empty state file, under another name first: a file of this name is always whole."""
    left = path.with_name(path.name + "-wal")
    if left.exists() and left.stat().st_size:
        raise StoreError(
            f"{path} is missing, but {left.name} beside it holds changes that belong to it",
            part=str(path),
            hint="put the file back, or move the -wal away to begin with an empty state",
        )
    new = path.with_name(path.name + ".new")
    try:
        new.unlink(missing_ok=True)
        os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with (
            telling(path, "create"),
            contextlib.closing(_connect(new)) as connection,
            transaction(connection),
        ):
            schema.create(connection)
        new.rename(path)
        _sync_directory(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_header(path: Path) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(len(_MAGIC))
    except OSError as error:
        raise StoreError(
            f"cannot read {path}: {(error.strerror or str(error)).lower()}",
            part=str(path),
            hint="check owner and permissions",
        ) from error
    if head != _MAGIC:
        what = "empty" if not head else "not a state file of Kraken"
        raise StoreError(f"{path} is {what}", part=str(path), hint=_RESTORE)


def _check_content(path: Path, connection: sqlite3.Connection) -> None:
    if pragma(connection, "application_id") != schema.APPLICATION_ID:
        raise StoreError(f"{path} is a database of another program", part=str(path), hint=_RESTORE)
    version = pragma(connection, "user_version")
    assert isinstance(version, int)
    if version > schema.VERSION:
        raise StoreError(
            f"{path} was written by a newer Kraken (state version {version}, this one reads up to "
            f"{schema.VERSION})",
            part=str(path),
            hint="install that Kraken again, or name another directory with --state-dir",
        )
    complaint = pragma(connection, "quick_check(1)")
    if complaint != "ok":
        raise damaged(path, complaint)
    if version < schema.VERSION:
        with transaction(connection):
            schema.migrate(connection, version)


def _connect(path: Path) -> sqlite3.Connection:
    """A connection for one thread after another; transactions are begun and ended by `transaction` alone."""
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA journal_size_limit = 67108864")
    except BaseException:
        connection.close()
        raise
    return connection
