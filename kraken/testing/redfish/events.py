"""The events of a fake BMC, sent to whoever listens (DSP0266, server-sent events), with faults."""

from __future__ import annotations

import asyncio
from typing import Final

EVENTS: Final = "/redfish/v1/EventService"
STREAM: Final = "/redfish/v1/EventService/SSE"

_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
_EVENT: Final = b'id: 1\ndata: {"@odata.type": "#Event.v1_7_0.Event",\ndata: "Events": []}\n\n'


class Events:
    """The streams of one BMC.

    Attributes:
        offered: whether it has an EventService with a stream.
        opened: how many streams were opened, ever.
        first: sent after the head of each stream: garbage, a flood, a line without an end.
        closes: ends each stream after that.
        silent: takes the request for a stream and never answers.
        wrong_type: answers with something that is no stream.
    """

    def __init__(self) -> None:
        self.offered = False
        self.opened = 0
        self.first = b""
        self.closes = self.silent = self.wrong_type = False
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def listeners(self) -> int:
        """How many streams stand."""
        return len(self._writers)

    def send(self, data: bytes = _EVENT) -> None:
        """Send an event, or whatever else, to all who listen."""
        for writer in self._writers:
            writer.write(data)

    def drop(self) -> None:
        """End every stream."""
        for writer in self._writers:
            writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Keep a stream until the listener goes."""
        self.opened += 1
        if self.silent:
            await reader.read(1)
            return
        head = _HEAD.replace(b"event-stream", b"html") if self.wrong_type else _HEAD
        writer.write(head + self.first)
        if self.closes or self.wrong_type:
            await writer.drain()
            return
        self._writers.add(writer)
        try:
            await reader.read(1)
        finally:
            self._writers.discard(writer)


FLOOD: Final = _EVENT * 500
