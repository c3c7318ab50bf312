"""Files that others may not read: written whole or not at all, and refused where somebody opened them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from kraken.errors import WireError

_BYTES_MAX = 64 * 1024
_UNFINISHED = re.compile(r"\..+\.[a-z0-9_]{8}")
"""How `tempfile` names what `write_closed` has not given its own name yet."""


def make_directory(path: Path) -> None:
    """Make it, 0700, with those above it that are missing.

    Raises:
        WireError: it cannot be made.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _failed("make", path, error) from error


def read_closed(path: Path) -> bytes | None:
    """What is in it; None: there is no such file.

    Raises:
        WireError: it cannot be read, is not ours, or others may read or write it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _failed("read", path, error) from error
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid():
            raise WireError(
                f"{path} belongs to user {found.st_uid}, and this is user {os.geteuid()}",
                part=str(path),
                hint=f"run Kraken as its owner, or chown {os.geteuid()} {path}",
            )
        if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise WireError(
                f"{path} may be read or written by others (mode {stat.S_IMODE(found.st_mode):04o})",
                part=str(path),
                hint=f"chmod 600 {path}; if somebody may have read it, revoke this collector and join anew",
            )
        return file.read(_BYTES_MAX)


def write_closed(path: Path, data: bytes) -> None:
    """Replace the file by one with this in it, 0600; on the disk when this returns.

    Raises:
        WireError: it cannot be written; what was there before still is.
    """
    try:
        descriptor, name = _make_unfinished(path)
    except OSError as error:
        raise _failed("write", path, error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
            Path(name).replace(path)  # before it is closed, which lets go of the lock
        _sync_directory(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise _failed("write", path, error) from error


def remove_unfinished(directory: Path) -> None:
    """Remove what writers left who were killed, and nothing that somebody writes just now: who does has it
    locked. What cannot be removed stays, and disturbs nobody.
    """
    with contextlib.suppress(OSError):
        for path in directory.iterdir():
            if _UNFINISHED.fullmatch(path.name):
                with contextlib.suppress(OSError):
                    _remove_if_left(path)


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Have it for oneself among those who ask for that. Where a file system has no locks, everybody has.

    Raises:
        BlockingIOError: somebody has it.
        WireError: it cannot be opened.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _failed("read", directory, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:
            pass
        yield
    finally:
        os.close(descriptor)


def move(source: Path, target: Path) -> bool:
    """Have `source` take the place of `target`; on the disk when this returns. False: there is no source.

    Raises:
        WireError: it cannot be done.
    """
    try:
        source.replace(target)
        _sync_directory(target.parent)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _failed("write", target, error) from error
    return True


def remove(path: Path) -> None:
    """See that there is no such file. Raises WireError."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _failed("remove", path, error) from error


def _make_unfinished(path: Path) -> tuple[int, str]:
    """A file beside this one, open and locked by us; its name."""
    while True:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # who removes what was left found it before we had locked it
            os.close(descriptor)
            continue
        except OSError:  # a file system without locks: nobody can lock it, and so nobody removes it
            pass
        if os.fstat(descriptor).st_nlink:
            return descriptor, name
        os.close(descriptor)


def _remove_if_left(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid():
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    finally:
        os.close(descriptor)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _failed(verb: str, path: Path, error: OSError) -> WireError:
    return WireError(
        f"cannot {verb} {path}: {error.strerror or error}",
        part=str(path),
        hint="see that the user Kraken runs as owns the state directory, and that there is room on its disk",
    )
