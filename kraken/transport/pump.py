"""A ZeroMQ socket in an asyncio loop, without a thread and without a coroutine for each message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import zmq

BATCH: Final = 256
"""Messages read before the loop has its turn again: about a millisecond."""


class Pump:
    """Calls `read` when the socket may have something.

    Args:
        read: reads without waiting, `BATCH` messages at most; True: there may be more.

    libzmq's descriptor tells of changes only, and any call on the socket may swallow one. Hence
    `poke` after each send, and `read` must go on until it is told to try again, or say True.
    Source: zmq_getsockopt(3), ZMQ_FD.
    """

    def __init__(self, socket: zmq.Socket[Any], read: Callable[[], bool]) -> None:
        self._loop = asyncio.get_running_loop()
        self._descriptor = int(socket.getsockopt(zmq.FD))
        self._read = read
        self._is_due = False
        self._is_closed = False
        self._loop.add_reader(self._descriptor, self._turn)
        self.poke()

    def poke(self) -> None:
        """Read in the next turn of the loop. Cheap."""
        if not self._is_due and not self._is_closed:
            self._is_due = True
            self._loop.call_soon(self._turn)

    def close(self) -> None:
        """Read no more. Before the socket is closed. Idempotent."""
        if not self._is_closed:
            self._is_closed = True
            self._loop.remove_reader(self._descriptor)

    def _turn(self) -> None:
        self._is_due = False
        if self._is_closed:
            return
        more = True  # if reading fails: what is still there must not wait for the next change
        try:
            more = self._read()
        finally:
            if more:
                self.poke()
