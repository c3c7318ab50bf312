"""The events of one BMC: a stream that stands with its session. An event says where to look, never what is.

Source: DSP0266 (Server-Sent Events of the EventService) and the HTML standard, section 9.2 (their lines).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from time import time
from typing import Final, Protocol

from kraken.executors.pace import Lane
from kraken.executors.place import Reach
from kraken.executors.reading import Listening
from kraken.executors.redfish import system
from kraken.executors.redfish.wire import Wire
from kraken.executors.redfish.words import RedfishLimits, Server, Trouble
from kraken.model.run import Outcome

FLOOD: Final = (100, 60.0)  # more events than this within so many seconds are no news but noise
NEWS_S: Final = 1.0  # between two looks that the events of one BMC lead to
LINE_BYTES_MAX: Final = 256 * 1024
EVENT_BYTES_MAX: Final = 1024 * 1024

_AGAIN_S: Final = (30.0, 3600.0)  # until a stream that ended is opened again, at first and at most
_SETTLED_S: Final = 60.0  # a stream that stood so long was a good one

NO_STREAM: Final = "the BMC offers none"
SWITCHED_OFF: Final = "the EventService of the BMC is switched off"
OPENING: Final = "it is being opened"

log = logging.getLogger(__name__)


class Chunks(Protocol):
    """Bytes as they come; none: it is over."""

    async def readany(self) -> bytes: ...


class EventLines:
    """Counts the events in the bytes of a stream, and keeps nothing of what they say."""

    def __init__(self) -> None:
        self._start = b""  # of the line at hand: enough to know what it is
        self._line_bytes = self._event_bytes = 0
        self._has_data = False

    def feed(self, chunk: bytes) -> int:
        """How many events ended in these bytes. A comment, as BMCs send to keep the way open, is none.

        Raises:
            ValueError: a line or an event is longer than any true one.
        """
        ended = 0
        *lines, rest = chunk.split(b"\n")
        for piece in lines:
            self._grow(piece)
            ended += self._end_line()
        self._grow(rest)
        return ended

    def _grow(self, piece: bytes) -> None:
        self._start = (self._start + piece[:6])[:6]
        self._line_bytes += len(piece)
        self._event_bytes += len(piece)
        if self._line_bytes > LINE_BYTES_MAX:
            raise ValueError(f"sent a line of more than {LINE_BYTES_MAX:,} bytes")
        if self._event_bytes > EVENT_BYTES_MAX:
            raise ValueError(f"sent an event of more than {EVENT_BYTES_MAX:,} bytes")

    def _end_line(self) -> bool:
        start, is_empty = self._start, self._start in (b"", b"\r") and self._line_bytes <= 1
        self._start, self._line_bytes = b"", 0
        if is_empty:
            ended, self._has_data, self._event_bytes = self._has_data, False, 0
            return ended
        if start.startswith(b":"):
            if not self._has_data:
                self._event_bytes = 0
        elif start.rstrip(b"\r") == b"data" or start.startswith(b"data:"):
            self._has_data = True
        return False


class Stream:
    """The event stream of one BMC, opened with a session of the polls and closed with it.

    It never logs in, and nothing depends on it: where there is none, the polls see the same, later.

    Args:
        lane: of its subnet; the two requests of a stream count there, and do not wait.
        on_event: called after events, at most once in `NEWS_S`, and again later while it says False
            (a look from before the event is under way); so the last event is never lost.
    """

    def __init__(
        self,
        server: Server,
        wire: Wire,
        limits: RedfishLimits,
        lane: Lane,
        on_event: Callable[[], bool],
    ) -> None:
        self._server = server
        self._wire = wire
        self._limits = limits
        self._lane = lane
        self._on_event = on_event
        self._token: Mapping[str, str] | None = None
        self._task: asyncio.Task[None] | None = None
        self._news: asyncio.TimerHandle | None = None
        self._told_at = 0.0
        self._window: tuple[float, int] = (0.0, 0)  # since when, how many
        self._failures, self._again_at = 0, 0.0
        self._is_told = False  # why there is none
        self._last = Listening(why=OPENING)  # what was true when the last attempt ended
        self._since = 0.0  # when it began to stand, in seconds since 1970
        self.stands = False

    @property
    def listening(self) -> Listening:
        """Whether it stands, and why not."""
        if self.stands:
            return Listening(since=self._since)
        return self._last if self._task is None or self._task.done() else Listening(why=OPENING)

    def keep(self, token: Mapping[str, str], service: str) -> None:
        """Have a stream with this session, unless there is one or it is too early for another.

        Args:
            token: the header that says who we are.
            service: the path of the EventService.
        """
        loop = asyncio.get_running_loop()
        if self._task is not None and not self._task.done():
            if self._token == token:
                return
            self._task.cancel()
            self.stands = False
        elif loop.time() < self._again_at:
            return
        self._token = token
        self._task = loop.create_task(self._listen(token, service), name=f"events of {self._server.place}")

    def stop(self) -> None:
        """End the stream, if there is one. Idempotent."""
        task, self._task = self._task, None
        self.stands = False
        if task is not None:
            task.cancel()
        if self._news is not None:
            self._news.cancel()
            self._news = None

    async def _listen(self, token: Mapping[str, str], service: str) -> None:
        loop = asyncio.get_running_loop()
        stood_since: float | None = None
        longest = False
        try:
            path = await self._find(token, service)
            if path is None:
                return
            self._lane.spend(1)
            async with self._wire.listen(self._server, path, token) as chunks:
                stood_since, self._since, self.stands = loop.time(), time(), True
                await self._follow(chunks)
            why = "ended its event stream"
        except Trouble as trouble:
            why = trouble.text
        except ValueError as exc:
            why, longest = str(exc), True
        except Exception:  # a mistake of ours about events costs nothing but them
            log.exception("events not understood", extra={"bmc": str(self._server.place)})
            why, longest = "was not understood", True
        finally:
            if asyncio.current_task() is self._task:
                self.stands = False
        self._lost(why, stood_since, longest=longest)

    async def _find(self, token: Mapping[str, str], service: str) -> str | None:
        """Where the events are; None: nowhere, and that is not asked again soon."""
        ends_at = asyncio.get_running_loop().time() + self._limits.request_s
        self._lane.spend(1)
        reply = await self._wire.ask(self._server, "GET", service, token, None, ends_at)
        if reply.status == 200:
            document = reply.document()
            path = system.event_stream(document, self._server)
            if path is None:
                is_off = document.get("ServiceEnabled") is False
                self._wait(SWITCHED_OFF if is_off else NO_STREAM, _AGAIN_S[1])
            return path
        if reply.status in (404, 405, 501):
            self._wait(NO_STREAM, _AGAIN_S[1])
            return None
        text = f"told nothing of its events ({reply.status})"
        raise Trouble(Reach.BUSY, Outcome.UNREACHABLE, text)

    async def _follow(self, chunks: Chunks) -> None:
        lines = EventLines()
        while chunk := await chunks.readany():
            count = lines.feed(chunk)
            if count:
                self._came(count)

    def _came(self, count: int) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        most, within_s = FLOOD
        since, so_far = self._window
        self._window = (since, so_far + count) if now - since <= within_s else (now, count)
        if self._news is None:
            self._news = loop.call_at(max(now, self._told_at + NEWS_S), self._tell)
        if self._window[1] > most:
            raise ValueError(f"sent more than {most} events in {within_s:g} s")

    def _tell(self) -> None:
        loop = asyncio.get_running_loop()
        self._told_at, self._news = loop.time(), None
        if not self._on_event():
            self._news = loop.call_later(NEWS_S, self._tell)

    def _lost(self, why: str, stood_since: float | None, *, longest: bool) -> None:
        now = asyncio.get_running_loop().time()
        if stood_since is not None and now - stood_since >= _SETTLED_S and not longest:
            self._failures, self._is_told = 0, False
        first, most_s = _AGAIN_S
        pause_s = most_s if longest else min(most_s, first * 2 ** min(self._failures, 16))
        self._failures += 1
        self._wait(f"the BMC {why}", pause_s)
        level = logging.DEBUG if self._is_told else logging.INFO
        self._is_told = True
        extra = {"bmc": str(self._server.place), "reason": why, "again_s": pause_s}
        log.log(level, "no events from a BMC, which is polled as before", extra=extra)

    def _wait(self, why: str, pause_s: float) -> None:
        """Open none for a while."""
        self._again_at = asyncio.get_running_loop().time() + pause_s
        self._last = Listening(why=why, again_at=time() + pause_s)
