"""Collectors named for nodes that nobody knows here: a slip of the pen, or one to be invited later."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING

from kraken.daemon.declare import Item
from kraken.daemon.members import members
from kraken.model.document import nearest
from kraken.sync.placing import COLLECTORS

if TYPE_CHECKING:
    from kraken.daemon.daemon import Daemon


def known_collectors(daemon: Daemon) -> set[str]:
    """This one, those ever invited here, and those that hang below; none where there is no tree."""
    known: set[str] = set()
    if daemon.neighbours is not None:
        known |= {daemon.neighbours.me, *(child.name for child in daemon.neighbours.children())}
    if daemon.seat is not None:
        known |= {member.name for member in members(daemon.seat.tree, daemon.clock())}
    return known


def warn_of_strangers(daemon: Daemon, items: Sequence[Item]) -> list[Item]:
    """The items, those that newly name a collector that nobody knows here with a word on it."""
    if not any(COLLECTORS in item.attributes for item in items):
        return list(items)
    known = known_collectors(daemon)
    return [
        replace(item, message="; ".join(filter(None, (item.message, warning)))) if warning else item
        for item in items
        for warning in [_warning(item, known)]
    ]


def _warning(item: Item, known: Set[str]) -> str:
    named = item.attributes.get(COLLECTORS, (None, None))[1]
    strangers = [name for name in named if name not in known] if isinstance(named, list) else []
    if not strangers:
        return ""
    if not known:
        return "this daemon has no collectors and runs every node: what `collectors` says counts for nothing"
    words = [f"no collector {name} is known here ({nearest(name, sorted(known))})" for name in strangers]
    return f"{'; '.join(words)}: it runs nothing before it is invited and has joined"
