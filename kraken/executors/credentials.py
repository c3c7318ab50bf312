"""Credentials by name, from one file: plain and closed to others, or encrypted with Ansible Vault.

A node's attributes name a credential; only the executors that log in see what stands behind it.
Secrets are in no message, repr or log: not even a malformed line is quoted.
"""

from __future__ import annotations

import asyncio
import difflib
import os
import stat
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

from kraken.errors import CredentialError
from kraken.executors.aside import in_thread
from kraken.executors.vault import Vault, is_encrypted

_KEYS: Final = ("username", "password", "kg", "previous")
_REQUIRED: Final = ("username", "password")
_MAX_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Credential:
    """A user and its secrets.

    Attributes:
        kg: the BMC's K_G key, where one is set.
        previous: the password that BMCs have which were not given the new one yet; None: there are none.
    """

    name: str
    username: str
    password: str = field(repr=False)
    kg: str | None = field(default=None, repr=False)
    previous: str | None = field(default=None, repr=False)


class Credentials:
    """The file of credentials, read again whenever it has changed, so that rotation needs no restart.

    Args:
        file: None when none is configured; then nobody has credentials.
        vault: who decrypts it.

    Thread-safe. Reading may take a second (decryption): `refresh` belongs off the event loop.
    """

    def __init__(self, file: Path | str | None, *, vault: Vault = Vault()) -> None:  # noqa: B008 (frozen)
        self.file = None if file is None else Path(file)
        self._vault = vault
        self._lock = threading.Lock()
        self._seen: tuple[int, ...] | None = None  # what the file looked like when it was read
        self._known: Mapping[str, Credential] = {}
        self._error: CredentialError | None = None
        self._reading: asyncio.Lock | None = None

    def __repr__(self) -> str:
        return f"Credentials({str(self.file)!r})"

    def get(self, name: str) -> Credential:
        """The credential of this name, as the file has it now.

        Raises:
            CredentialError: there is none, or the file cannot be used.
        """
        known = self._all()
        if name in known:
            return known[name]
        close = difflib.get_close_matches(name, known, n=1)
        raise CredentialError(
            f"credential {name!r} is not in {self.file}",
            part=name,
            hint=f"did you mean {close[0]!r}?" if close else "add it there, or correct the name",
        )

    def names(self) -> tuple[str, ...]:
        """The names there are, in order. Raises CredentialError as `get` does."""
        return tuple(sorted(self._all()))

    def rotating(self) -> tuple[str, ...]:
        """The names of those with a `previous`, in order. Raises CredentialError as `get` does."""
        return tuple(sorted(name for name, one in self._all().items() if one.previous is not None))

    def problem(self) -> str | None:
        """Why none of them can be used, whichever it is; None: the file is as it should be."""
        self.refresh()
        with self._lock:
            return None if self._error is None else str(self._error)

    def is_current(self) -> bool:
        """Whether `get` would answer without reading the file. Costs one stat."""
        return self._seen is not None and self._seen == self._look()

    def refresh(self) -> None:
        """Read the file if it changed since it was read. What is wrong with it, `get` says."""
        with self._lock:
            seen = self._look()
            if self._seen is not None and seen == self._seen:
                return
            try:
                self._known, self._error = self._read(), None
            except CredentialError as exc:
                self._known, self._error = {}, exc
            self._seen = seen

    async def refresh_aside(self) -> None:
        """As `refresh`, without stopping the loop of the caller, which is always the same one."""
        if self.is_current():
            return
        if self._reading is None:
            self._reading = asyncio.Lock()
        async with self._reading:
            if not self.is_current():
                await in_thread(self.refresh)

    def _all(self) -> Mapping[str, Credential]:
        self.refresh()
        with self._lock:
            error, known = self._error, self._known
        if error is not None:
            # A new one each time: raising one twice would chain tracebacks for ever.
            raise CredentialError(error.message, part=error.part, hint=error.hint)
        return known

    def _look(self) -> tuple[int, ...]:
        """What changes when the file does: also its owner and mode (ctime), and the vault's passwords."""
        marks: list[int] = []
        for path in (self.file, *self._vault.password_files):
            try:
                found = path.stat() if path is not None else None
            except OSError as exc:
                marks.append(-(exc.errno or 1))
            else:
                if found is not None:
                    marks += (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
                    marks += (found.st_size, found.st_mode, found.st_uid)
        return tuple(marks)

    def _read(self) -> Mapping[str, Credential]:
        if self.file is None:
            raise CredentialError(
                "no file of credentials is configured",
                hint="name one with the key credentials_file of the configuration",
            )
        content, found = read_file(self.file)
        if is_encrypted(content):
            content = self._vault.decrypt(content, self.file)
        else:
            check_closed(self.file, found)
        return parse(content, str(self.file))


def parse(content: bytes, file: str) -> dict[str, Credential]:
    """Read `name: {username, password, kg, previous}` entries. Scalars are text as written: 0123 is "0123".

    Args:
        file: named in errors, which give lines and never content.

    Raises:
        CredentialError: anything but well-formed entries.
    """
    try:
        top = yaml.compose(content.decode(), Loader=yaml.SafeLoader)
    except UnicodeDecodeError:
        raise _wrong(file, None, "is not UTF-8 text") from None
    except yaml.MarkedYAMLError as exc:  # its own sentence may quote the line
        raise _wrong(file, exc.problem_mark, "is not valid YAML there") from None
    except (yaml.YAMLError, RecursionError):
        raise _wrong(file, None, "is not valid YAML") from None
    if top is None:
        return {}
    found: dict[str, Credential] = {}
    for name, entry, mark in _pairs(top, file, "credentials, as name: {username: …, password: …}"):
        if name in found:
            raise _wrong(file, mark, f"credential {name!r} is given twice")
        found[name] = _credential(name, entry, file)
    return found


def _credential(name: str, entry: yaml.Node, file: str) -> Credential:
    values: dict[str, str] = {}
    for key, value, mark in _pairs(entry, file, f"credential {name!r} as username: … and password: …"):
        if key not in _KEYS:
            close = difflib.get_close_matches(key.lower(), _KEYS, n=1)
            # Only a near miss is quoted: what else stands here might be a password.
            text = f"{key!r} is no key of a credential" if close else "an unknown key"
            raise _wrong(
                file, mark, f"{text} in {name!r}", f"did you mean {close[0]}?" if close else _known_keys()
            )
        if key in values:
            raise _wrong(file, mark, f"{key} of {name!r} is given twice")
        values[key] = _scalar(value, file, f"{key} of {name!r}")
    for key in _REQUIRED:
        if key not in values:
            raise _wrong(file, entry.start_mark, f"credential {name!r} has no {key}")
    if values.get("previous") == values["password"]:
        text = f"password and previous of {name!r} are the same"
        hint = "give the new one as password, or remove previous"
        raise _wrong(file, entry.start_mark, text, hint)
    return Credential(name, values["username"], values["password"], values.get("kg"), values.get("previous"))


def _pairs(node: yaml.Node, file: str, what: str) -> list[tuple[str, yaml.Node, yaml.Mark]]:
    if not isinstance(node, yaml.MappingNode):
        raise _wrong(file, node.start_mark, f"expected {what}")
    pairs = []
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or not key.value:
            raise _wrong(file, key.start_mark, "expected a name before the colon")
        pairs.append((str(key.value), value, key.start_mark))
    return pairs


def _scalar(node: yaml.Node, file: str, what: str) -> str:
    if node.tag == "!vault":
        raise _wrong(
            file,
            node.start_mark,
            f"{what} is encrypted alone",
            "encrypt the whole file: ansible-vault encrypt",
        )
    if not isinstance(node, yaml.ScalarNode) or node.tag == "tag:yaml.org,2002:null":
        raise _wrong(file, node.start_mark, f"{what} is not one line of text", "quote it if it holds : or #")
    return str(node.value)


def _known_keys() -> str:
    return f"known are {', '.join(_KEYS)}"


def _wrong(file: str, mark: yaml.Mark | None, text: str, hint: str | None = None) -> CredentialError:
    place = file if mark is None else f"{file}:{mark.line + 1}"
    return CredentialError(f"{place}: {text}", part=file, hint=hint)


def read_file(file: Path) -> tuple[bytes, os.stat_result]:
    """The file's bytes, and what it is: both of the same open file, so it cannot be swapped between."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a fifo would wait
    except OSError as exc:
        raise CredentialError(
            f"{file} cannot be read: {exc.strerror}",
            part=str(file),
            hint="the key credentials_file of the configuration names it",
        ) from exc
    with os.fdopen(descriptor, "rb") as opened:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise CredentialError(f"{file} is not a regular file", part=str(file))
        if found.st_size > _MAX_BYTES:
            raise CredentialError(f"{file} is larger than {_MAX_BYTES} bytes", part=str(file))
        return opened.read(_MAX_BYTES), found


def check_closed(file: Path, found: os.stat_result) -> None:
    """Raises CredentialError when others could read a plain file, or it is neither root's nor ours."""
    if found.st_mode & 0o077:
        raise CredentialError(
            f"{file} holds passwords and is open to others (mode {stat.S_IMODE(found.st_mode):04o})",
            part=str(file),
            hint=f"chmod 600 {file}, and change the passwords if others are on this machine",
        )
    if found.st_uid not in (0, os.geteuid()):
        raise CredentialError(
            f"{file} belongs to user id {found.st_uid}",
            part=str(file),
            hint=f"chown it to root or to the user of the daemon ({os.geteuid()})",
        )
