"""The event logs of a system and its manager (DSP0268, LogService), put together as one."""

from __future__ import annotations

import heapq
import itertools
from datetime import UTC, datetime
from typing import Final

from kraken.executors.reading import LogEntry
from kraken.executors.redfish.inventory import manager_of
from kraken.executors.redfish.properties import health, last_part, mapping, text
from kraken.executors.redfish.resources import Resources
from kraken.executors.redfish.words import Document

ENTRIES_MAX: Final = 2000
"""Entries of all logs that are told: the newest. Logs of tens of thousands are known."""

_NO_EVENTS: Final = frozenset({"postcodes", "dump", "hostlogger", "journal", "crashdump", "faultlog"})
"""Ids of logs that hold something else: progress of the firmware, the console, dumps of memory."""

_CLOCK_SET_S: Final = 10 * 365 * 86400.0  # BMCs start at 1970 until their clock is set


async def read_log(resources: Resources, at: str) -> tuple[LogEntry, ...]:
    """The newest ENTRIES_MAX entries from the oldest to the newest; raises Trouble.

    Args:
        at: path of the node's system.
    """
    node = await resources.document(at, "what it says of the system")
    manager = await resources.optional(
        await manager_of(resources, node, await resources.root()), "what it says of itself"
    )
    services: dict[str, Document] = {}
    for owner in (node, manager):
        for one in await resources.members(resources.link(owner, "LogServices"), "its logs"):
            path = resources.link(one, "Entries")
            if path is not None and _id(one).lower() not in _NO_EVENTS:
                services.setdefault(path, one)
    kept: list[tuple[float, int, LogEntry]] = []
    place = itertools.count()
    chosen = _chosen(services)
    for path, one in chosen.items():
        prefix = "" if len(chosen) == 1 else f"{_id(one)}/"
        async for page in resources.pages(path, "its log"):
            for entry in page:
                made = _entry(entry, prefix)
                if made is not None:
                    # Without a time it counts as old; among equals the one told later is the newer.
                    heapq.heappush(kept, (made.at or 0.0, next(place), made))
                    if len(kept) > ENTRIES_MAX:
                        heapq.heappop(kept)
    return tuple(entry for _, _, entry in sorted(kept))


def _chosen(services: dict[str, Document]) -> dict[str, Document]:
    """The system event log where one is marked as that; else every log of events."""
    marked = {path: one for path, one in services.items() if one.get("LogEntryType") == "SEL"}
    return marked or services


def _entry(entry: Document, prefix: str) -> LogEntry | None:
    """None for a member that says nothing: it was cleared meanwhile."""
    if all(name.startswith("@") for name in entry):
        return None
    name = _id(entry)
    message = text(entry, "Message", "MessageId", "Name")
    about = mapping(mapping(entry, "Links"), "OriginOfCondition").get("@odata.id")
    return LogEntry(
        prefix + name,
        _seconds(text(entry, "Created", "EventTimestamp")),
        health(text(entry, "Severity", "MessageSeverity")),
        text(entry, "SensorType") or last_part(about),
        message or "an event without a text",
    )


def _seconds(told: str) -> float | None:
    """Seconds since 1970 of a date and time (ISO 8601; without a zone it is in UTC)."""
    try:
        at = datetime.fromisoformat(told)
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return seconds if seconds >= _CLOCK_SET_S else None


def _id(document: Document) -> str:
    return text(document, "Id") or last_part(document.get("@odata.id"))
