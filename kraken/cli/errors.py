"""Exit codes, and how errors reach a person: one line on stderr, what, where; what to do."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from kraken.errors import KrakenError, LocatedError, NodeSetError, RefusedError, UnreachableError


class Exit(IntEnum):
    """What a script learns from `$?`; the list is part of `kraken --help`."""

    DONE = 0
    ERROR = 1
    CHANGES = 2  # of `plan --detailed-exitcode` and `drift`
    REFUSED = 3  # safety forbids it, or no path leads there
    PARTIAL = 4  # some of it was done, the message says what
    TIMEOUT = 5
    USAGE = 64  # EX_USAGE of sysexits.h
    INTERRUPTED = 130  # 128 + SIGINT, as a shell says it
    PIPE = 141  # 128 + SIGPIPE


class CommandError(KrakenError):
    """A command came to this end; `code` is the exit code.

    Args:
        lines: further lines for stderr, below the message; printable already.
    """

    def __init__(
        self,
        message: str,
        *,
        code: Exit = Exit.ERROR,
        hint: str | None = None,
        part: str | None = None,
        lines: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, part=part, hint=hint)
        self.code = code
        self.lines = lines


class ProblemError(CommandError):
    """The daemon answered with a problem document (docs/api.md); `kind` is its type's last word."""

    def __init__(self, document: Mapping[str, Any], status: int) -> None:
        self.document = dict(document)
        self.kind = str(document.get("type", "")).rpartition(":")[2]
        self.status = status
        message = str(document.get("detail") or document.get("title") or f"HTTP status {status}")
        super().__init__(
            message,
            code=_EXIT_OF_PROBLEM.get(self.kind, Exit.ERROR),
            hint=_HINT_INSTEAD.get(self.kind)
            or _text(document.get("hint"))
            or _HINT_OF_PROBLEM.get(self.kind),
            part=_text(document.get("part")),
            lines=tuple(
                printable(f"  {name}: {reason}")
                for name, reason in _details(document)
                if reason not in message
            ),
        )


_EXIT_OF_PROBLEM = {
    "needs-confirmation": Exit.REFUSED,
    "unreachable": Exit.REFUSED,
    "plan-changed": Exit.REFUSED,
    "opposed": Exit.REFUSED,
    "refused": Exit.REFUSED,
    "nodeset": Exit.USAGE,
}
# The daemon's own hint speaks of headers; who types a command has a file.
_HINT_INSTEAD = {"unauthorized": "check the token in KRAKEN_TOKEN_FILE against the daemon's"}
_HINT_OF_PROBLEM = {
    "store": "free some space where the daemon keeps its state; nothing was changed",
}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _details(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Folded nodeset and reason, of a map of node to reason."""
    details = document.get("details")
    if not isinstance(details, Mapping):
        return []
    alike: dict[str, list[str]] = {}
    for name, reason in details.items():
        alike.setdefault(str(reason), []).append(str(name))
    return [(_folded(names), reason) for reason, names in alike.items()]


def _folded(names: list[str]) -> str:
    if len(names) == 1:
        return names[0]
    from kraken.cli.nodes import fold

    return fold(names)


def exit_code(error: KrakenError) -> Exit:
    """The exit code an error of any room ends the command with."""
    if isinstance(error, CommandError):
        return error.code
    if isinstance(error, RefusedError):
        return Exit.REFUSED
    return Exit.USAGE if isinstance(error, NodeSetError) else Exit.ERROR


def describe(error: KrakenError) -> str:
    """The error as a person reads it: `what, where; what to do`, then its details."""
    text = error.message
    if isinstance(error, LocatedError):
        place = ":".join(str(part) for part in (error.file, error.line) if part is not None)
        key = "" if not place and error.key in error.message else error.key
        text = ": ".join(part for part in (place, key, error.message) if part)
    if error.hint and error.hint not in text:
        text = f"{text}; {error.hint}"
    lines = [printable(text)]
    if isinstance(error, CommandError):
        lines += error.lines
    elif isinstance(error, UnreachableError):
        lines += [printable(f"  {name}: {reason}") for name, reason in error.details.items()]
    return "\n".join(lines)


def complain(text: str) -> None:
    """Say it on stderr, in the name of the program."""
    print(f"kraken: {text}", file=sys.stderr)


_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """The text on one line, without control characters: what a BMC says must not steer a terminal."""
    return _CONTROLS.sub(lambda match: _visible(match.group()), text)


def _visible(character: str) -> str:
    if character in "\n\t":
        return " "
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
