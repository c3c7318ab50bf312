"""A scripted stream of Kraken's events, cut off wherever a test wants it; it follows docs/api.md, Events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

HEAD = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
CHUNKED = "transfer-encoding: chunked\r\n"


@dataclass
class FakeStream:
    """Events that happened, and how connections end.

    Attributes:
        events: (kind, data) of events 1, 2, ...
        incarnation: of the daemon; a cursor of another gets a `lost`.
        cuts: for one connection after another, how many bytes it brings before it ends; when they are used up
            a connection brings everything and stays.
        ending: how a cut looks: "close", "reset", or "hang" (nothing comes any more).
        chunk: bytes in a chunk of the body; 0: it is not sent in chunks.
        answers: whole answers sent instead, one by one.
        requests: heads of requests, as they came.
    """

    events: list[tuple[str, Any]] = field(default_factory=list)
    incarnation: int = 7
    cuts: list[int] = field(default_factory=list)
    ending: str = "close"
    chunk: int = 1_000
    answers: list[bytes] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def cursor(self, sequence: int) -> str:
        return f"{self.incarnation}-{sequence}"

    def response(self, last: str | None) -> bytes:
        """All that is sent to who resumes after `last`; None: from now on, and all has happened since."""
        blocks = [": kraken\n\n"]
        first = 0
        if last is None:
            blocks = [f": kraken\nid: {self.cursor(0)}\n\n"]
        elif last.partition("-")[0] == str(self.incarnation):
            first = int(last.partition("-")[2])
        else:
            first = len(self.events)
            blocks.append(_block(self.cursor(first), "lost", {}))
        for sequence, (kind, data) in enumerate(self.events[first:], first + 1):
            blocks.append(_block(self.cursor(sequence), kind, data))
        blocks.append(f": still here\nid: {self.cursor(len(self.events))}\n\n")
        body = "".join(blocks).encode()
        if not self.chunk:
            return f"{HEAD}\r\n".encode() + body
        parts = [body[start : start + self.chunk] for start in range(0, len(body), self.chunk)]
        return f"{HEAD}{CHUNKED}\r\n".encode() + b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in parts)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.requests.append(head)
            if self.answers:
                writer.write(self.answers.pop(0))
                await writer.drain()
                return
            lines = [line.partition(": ")[::2] for line in head.split("\r\n")]
            last = {name.lower(): value for name, value in lines}.get("last-event-id")
            sent, cut = self.response(last), self.cuts.pop(0) if self.cuts else None
            writer.write(sent[:cut])
            await writer.drain()
            if cut is None or self.ending == "hang":
                await reader.read()  # until the other side leaves
            elif self.ending == "reset":
                writer.transport.abort()
        except (OSError, EOFError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def streaming(fake: FakeStream, start: Callable[..., Any]) -> AsyncIterator[Any]:
    """Serve it where `start` listens for what is given to it, `asyncio.start_unix_server` for one."""
    server = await start(fake.answer)
    async with server:
        yield server.sockets[0].getsockname()


def problem(status: int, detail: str, **more: Any) -> bytes:
    """A whole answer that refuses."""
    body = json.dumps({"type": "urn:kraken:problem:x", "status": status, "detail": detail, **more}).encode()
    kind = "application/problem+json"
    return (
        f"HTTP/1.1 {status} No\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
    )


def _block(cursor: str, kind: str, data: Any) -> str:
    return f"id: {cursor}\nevent: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
