"""The errors Kraken raises: misuse and a broken world, each saying what, where and what to do.

Expected outcomes (no path, a timed-out run, a silent BMC) are values, never exceptions.

    KrakenError
    ├── NodeSetError         a nodeset that cannot be read, or names nobody          (ValueError)
    ├── UnknownNodeError     a node nobody declared                                  (LookupError)
    ├── ModuleError          a Kraken module that is wrong: file, line, key          (ValueError)
    ├── DocumentError        a file or request a person wrote is wrong: file, line, key  (ValueError)
    ├── RefusedError         asked for something safety or the planner forbids
    │   └── UnreachableError a Cfg that no path can reach
    ├── ConfigError          the daemon's configuration is wrong: key                (ValueError)
    ├── CredentialError      a credential is missing, unreadable or exposed
    ├── StoreError           the state file is corrupt, newer, locked, or the disk is full
    ├── LetterError          a message between collectors that is none           (ValueError)
    ├── WireError            an address that cannot be listened on, a key that cannot be used
    ├── JoinError            an invitation that is none, is over, or that the parent refuses  (ValueError)
    ├── ExecutorError        a hand of ours is missing or broken (no ansible-playbook, no event loop)
    └── DaemonAwayError      nobody answers at the daemon's socket or address
"""

from __future__ import annotations


class KrakenError(Exception):
    """Root of every error Kraken raises on purpose.

    Args:
        message: one sentence for a person: what was tried, on what, why not.
        part: the piece at fault (a node's name, a key, a path), None when there is no single one.
        hint: what to do about it, None when the message says it.
    """

    def __init__(self, message: str, *, part: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.part = part
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class NodeSetError(KrakenError, ValueError):
    """A nodeset cannot be read, or selects nobody."""


class UnknownNodeError(KrakenError, LookupError):
    """A node was named that is not declared; `part` folds the names."""


class LocatedError(KrakenError, ValueError):
    """Something a person wrote is wrong at a place.

    Args:
        file: path as given, None for a request body.
        line: 1-based, None when the whole file is meant.
        key: dotted path of the key at fault, "" for the top.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str | None = None,
        line: int | None = None,
        key: str = "",
        hint: str | None = None,
    ) -> None:
        super().__init__(message, part=key or file, hint=hint)
        self.file = file
        self.line = line
        self.key = key

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line) if part is not None)
        lead = ": ".join(part for part in (place, self.key) if part)
        return f"{lead}: {super().__str__()}" if lead else super().__str__()


class ModuleError(LocatedError):
    """A Kraken module is wrong; it is refused whole."""


class DocumentError(LocatedError):
    """A declared document (apply file, request body) is wrong; nothing of it is done."""


class ConfigError(LocatedError):
    """The configuration is wrong; the daemon does not start."""


class RefusedError(KrakenError):
    """Safety forbids what was asked; nothing was done."""


class UnreachableError(RefusedError):
    """No path leads to the Cfg that was asked for.

    Attributes:
        details: folded nodes -> reason.
        reachable: folded nodes -> what each variable out of reach could be instead.
    """

    def __init__(
        self,
        message: str,
        *,
        details: dict[str, str],
        reachable: dict[str, dict[str, list[str]]] | None = None,
        part: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, part=part, hint=hint)
        self.details = details
        self.reachable = reachable or {}


class CredentialError(KrakenError):
    """A named credential is missing, unreadable, or readable by others."""


class StoreError(KrakenError):
    """The state cannot be read or written; nothing that was acknowledged is lost."""


class LetterError(KrakenError, ValueError):
    """A message between collectors cannot be read; it is counted and dropped."""


class WireError(KrakenError):
    """The wire between collectors cannot be set up; `part` is the address or file at fault."""


class JoinError(KrakenError, ValueError):
    """A collector could not join: nothing was changed on this side."""


class ExecutorError(KrakenError):
    """A hand of ours is missing or broken; says which program or session."""


class DaemonAwayError(KrakenError, ConnectionError):
    """No daemon answers at the socket or address."""
