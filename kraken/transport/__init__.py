"""The wire between collectors.

A transport carries `Send`s and hands what it hears to the daemon's door; it decides nothing and
changes nothing. The daemon imports it; it imports sync and the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from kraken.model.update import StateUpdate
from kraken.sync.spread import Send

Hear = Callable[[str, Sequence[StateUpdate]], None]
"""Called with a neighbour's name and the records it sent."""


class Transport(Protocol):
    """What the daemon asks of a wire: best effort, no order, no promise; the merge bears it."""

    async def send(self, letter: Send) -> None:
        """Put it on the wire; a neighbour that is away is not an error."""

    async def close(self) -> None:
        """Give back sockets. Idempotent."""
