"""Which of the declared nodes a list is about."""

from __future__ import annotations

from kraken.api.problems import NotFoundError
from kraken.daemon.daemon import Daemon
from kraken.daemon.operations import Operations
from kraken.daemon.strangers import known_collectors
from kraken.engine.cause import Cause
from kraken.errors import DocumentError, NodeSetError
from kraken.model.document import nearest


def choose(
    operations: Operations, nodeset: str | None, cause: str | None, group: str | None, runner: str | None
) -> list[str]:
    """The nodes of a nodeset that are also in the group, run by the collector, and of the cause.

    Args:
        nodeset, cause, group, runner: None: all are; of `runner` see `Collector.runner`.

    Raises:
        NodeSetError: an unreadable nodeset, or a group that does not exist.
        UnknownNodeError: a node nobody declared.
        NotFoundError: no collector of that name is known here.
        DocumentError: no such cause.
    """
    collector = operations.daemon.collector
    table = collector.table
    names = operations.select(nodeset) if nodeset is not None else list(table)
    if group is not None:
        known = table.groups()
        if group not in known:
            raise NodeSetError(f"unknown group @{group}", part=group, hint=nearest(group, sorted(known)))
        names = [name for name in names if group in table[name].groups]
    if runner is not None:
        _require_collector(operations.daemon, runner)
        names = [name for name in names if collector.runner(name) == runner]
    if cause is not None:
        word = cause.upper()
        if word not in Cause.__members__:
            raise DocumentError(
                f"unknown cause {cause!r}", key="cause", hint=nearest(word, list(Cause.__members__))
            )
        names = [name for name in names if collector.cause(name) == word]
    return names


def _require_collector(daemon: Daemon, name: str) -> None:
    """Raise unless it is this one, or one that was ever invited here or hangs below."""
    known = known_collectors(daemon)
    if name not in known:
        hint = (
            nearest(name, sorted(known))
            if known
            else "this daemon has no other collector: it runs every node"
        )
        raise NotFoundError(
            f"unknown collector {name}", part=name, hint=hint or "`kraken collector list` lists them"
        )
