"""A change that a BMC has made a task of, and what it tells of that (DSP0266, asynchronous operations)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final, NamedTuple

from kraken.executors.redfish import system
from kraken.executors.redfish.words import Reply, Server

_PAUSE_S: Final = (0.5, 1.0, 1.0, 2.0)  # between two looks at a task; the last one repeats
_DONE: Final = frozenset({"Completed"})
_FAILED: Final = frozenset({"Exception", "Killed", "Cancelled", "Cancelling", "Stopping", "Interrupted"})


class Task(NamedTuple):
    """One such change.

    Attributes:
        monitor: the path where to ask.
    """

    monitor: str


def begun(reply: Reply, server: Server) -> Task | None:
    """The task that was made of a change; None: there is nothing to follow, and its effect is looked for.

    DSP0266 puts the monitor in Location, some BMCs put it in the body.

    Raises:
        ValueError: the monitor is not of this service.
    """
    where = reply.headers.get("Location")
    if where is not None:
        monitor: str | None = system.path_at(where, server)
    else:
        try:
            document = reply.document()
        except ValueError:
            return None
        monitor = system.link_to(document)
    return None if monitor is None else Task(monitor)


def pauses_s() -> Iterator[float]:
    """Seconds to wait before each look, without end."""
    return itertools.chain(_PAUSE_S, itertools.repeat(_PAUSE_S[-1]))


def failure(reply: Reply) -> str | None:
    """Why a task came to nothing, as what its monitor replied tells; None: it did not, so far."""
    state = _state(reply)
    if state not in _FAILED:
        return None
    told = system.said(reply)
    return f"task {state}{f': {told}' if told else ''}"


def is_done(reply: Reply) -> bool:
    """Whether the change is made, as what its monitor replied tells."""
    state = _state(reply)
    return state in _DONE or (state is None and reply.status != 202)


def _state(reply: Reply) -> str | None:
    try:
        return system.task_state(reply.document())
    except ValueError:
        return None
