"""A daemon's events, read in the background, through restarts of the daemon."""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from types import TracebackType

from kraken.cli.client import Client, Event, EventStream
from kraken.cli.errors import CommandError
from kraken.errors import KrakenError

AGAIN_S = 1.0  # between two attempts to reach a daemon that went away

LOST = Event("", "lost", {})
"""The state must be read again: what happened meanwhile is not known."""
AWAY = Event("", "away", {})
"""The daemon went away; LOST follows when it is back."""


class Feed:
    """Events of some nodes, from the moment of entering, in the order they came.

    Entering raises what `Client.events` raises; later losses are told as AWAY and LOST.
    """

    def __init__(self, client: Client, nodeset: str | None) -> None:
        self._client = client
        self._nodeset = nodeset
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._stream: EventStream | None = None
        self._thread = threading.Thread(target=self._read, name="kraken-events", daemon=True)

    def __enter__(self) -> Feed:
        self._stream = self._client.events(nodeset=self._nodeset)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._ended.set()
            if self._stream is not None:
                self._stream.close()
        self._thread.join(timeout=AGAIN_S * 2)

    def next(self, timeout_s: float) -> list[Event]:
        """What came within that time, everything that waits; empty when nothing did."""
        try:
            found = [self._events.get(timeout=max(0.0, timeout_s))]
        except Empty:
            return []
        while True:
            try:
                found.append(self._events.get_nowait())
            except Empty:
                return found

    def _read(self) -> None:
        last: str | None = None
        while not self._ended.is_set():
            if self._stream is not None:
                for event in self._stream:
                    last = event.id or last
                    self._events.put(event)
                self._stream.close()
                if not self._ended.is_set():
                    self._events.put(AWAY)
            if self._ended.wait(AGAIN_S):
                return
            self._reopen(last)

    def _reopen(self, last: str | None) -> None:
        try:
            stream = self._client.events(last, nodeset=self._nodeset)
        except (KrakenError, CommandError):
            self._stream = None
            return
        with self._lock:
            self._stream = stream
            if self._ended.is_set():
                stream.close()
        self._events.put(LOST)
