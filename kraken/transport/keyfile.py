"""Files that others may not read: written whole or not at all, and refused where somebody opened them."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from kraken.errors import WireError

_BYTES_MAX = 64 * 1024


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
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise _failed("write", path, error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        Path(name).replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise _failed("write", path, error) from error


def move(source: Path, target: Path) -> None:
    """Have `source` take the place of `target`; on the disk when this returns. Raises WireError."""
    try:
        source.replace(target)
        _sync_directory(target.parent)
    except OSError as error:
        raise _failed("write", target, error) from error


def remove(path: Path) -> None:
    """See that there is no such file. Raises WireError."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _failed("remove", path, error) from error


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
