"""What playbooks that Kraken did not start have done to nodes, for the journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kraken.daemon.operations import Operations, Request
from kraken.errors import DocumentError
from kraken.store.records import Note

HOSTS_MAX: Final = 10_000
"""Hosts that one request tells of: some 10 MB of journal at most, in one commit."""
PLAYS_SHOWN: Final = 3
COUNTS: Final = ("ok", "changed", "failed", "unreachable", "skipped", "rescued", "ignored")
"""What is counted of the tasks of a host, in the order in which it is told; as Ansible's recap."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The first task that failed for good, or did not reach its host."""

    task: str
    message: str
    play: str


@dataclass(frozen=True, slots=True)
class Fared:
    """What came of a playbook on hosts that fared alike.

    Attributes:
        plays: those that had a task for the hosts.
        counts: name of COUNTS -> tasks.
    """

    hosts: Sequence[str]
    plays: Sequence[str]
    counts: Mapping[str, int]
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class Played:
    """A playbook that is over.

    Attributes:
        started_at, ended_at: by the clock of who ran it; seconds since the epoch.
        check: it was only tried what it would do.
        user, controller: who started it, and on which machine, as they say; "" where they do not.
    """

    playbook: str
    started_at: float
    ended_at: float
    check: bool
    user: str
    controller: str
    results: Sequence[Fared]


async def keep_played(operations: Operations, played: Played, request: Request) -> tuple[int, int]:
    """Write into the journal what a playbook did, an entry for each node; durable on return.

    Returns:
        Nodes that have their entry now, and hosts of whom Kraken knows no node.

    Raises:
        DocumentError: it ended before it began, tells of no host, of one twice, or of more than HOSTS_MAX.
        StoreError: nothing was kept.
    """
    hosts = [host for fared in played.results for host in fared.hosts]
    _check(played, hosts)
    daemon = operations.daemon
    table = daemon.collector.table
    known = {host for host in hosts if host in table}
    await daemon.journal.write(_notes(played, known, daemon.clock(), request.who))
    return len(known), len(hosts) - len(known)


def _check(played: Played, hosts: Sequence[str]) -> None:
    if not hosts:
        raise DocumentError("no host is told of; nothing was kept", key="results", hint="a row with hosts")
    if len(hosts) > HOSTS_MAX:
        text = f"{len(hosts)} hosts are more than one request tells of; nothing was kept"
        raise DocumentError(
            text, key="results", hint=f"tell of {HOSTS_MAX} at most, and of others in another"
        )
    if len(set(hosts)) < len(hosts):
        twice = next(host for host, count in Counter(hosts).items() if count > 1)
        raise DocumentError(f"host {twice!r} is told of twice; nothing was kept", key="results.hosts")
    if played.ended_at < played.started_at:
        text = "a playbook does not end before it began; nothing was kept"
        raise DocumentError(text, key="ended_at", hint="seconds since the epoch, by one clock")


def _notes(played: Played, known: set[str], now: float, who: str) -> Iterator[Note]:
    for fared in played.results:
        text, data = _text(played, fared, who), _data(played, fared)
        for host in fared.hosts:
            if host in known:
                yield Note(now, host, "playbook", text, who, data)


def _text(played: Played, fared: Fared, who: str) -> str:
    """One line; the same for hosts that fared alike."""
    plays = [_line(play) for play in fared.plays]
    if len(plays) > PLAYS_SHOWN:
        plays = [*plays[:PLAYS_SHOWN], f"{len(plays) - PLAYS_SHOWN} more plays"]
    told = _line(played.playbook)
    told += f" ({', '.join(plays)})" if plays else ""
    told += " in check mode" if played.check else ""
    told += f", started by {_line(played.user)}" if played.user and played.user != who else ""
    counts = ", ".join(f"{name} {count}" for name, count in fared.counts.items() if count)
    told += f": {counts or 'no task'}"
    failure = fared.failure
    if failure is not None:
        told += f"; {_line(failure.task)!r}" + (f": {_line(failure.message)}" if failure.message else "")
    return told


def _data(played: Played, fared: Fared) -> dict[str, Any]:
    failure = fared.failure
    first = (
        None if failure is None else {"play": failure.play, "task": failure.task, "message": failure.message}
    )
    return {
        "playbook": played.playbook,
        "plays": list(fared.plays),
        "counts": {name: fared.counts.get(name, 0) for name in COUNTS},
        "failure": first,
        "started_at": played.started_at,
        "ended_at": played.ended_at,
        "check": played.check,
        "user": played.user,
        "controller": played.controller,
    }


def _line(text: str) -> str:
    """The text in one line that moves no cursor."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
