# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Kraken's events as events of a rulebook, in order, each once, also over lost connections.

ansible-rulebook runs this file by itself: it imports nothing beyond Python's standard library.
"""

from __future__ import annotations

DOCUMENTATION = r"""
---
short_description: Receive what happens to the nodes of Kraken
description:
  - An event source for ansible-rulebook. Follows the stream of events of Kraken's daemon.
  - An event has C(type) (V(cause), V(dsc), V(run-ended) and so on, as docs/api.md lists them under Events), C(data) (what is
    listed there) and C(cursor) (its place in the stream).
  - When a connection is lost, the stream is resumed after the last event, without loss or repetition, as soon as Kraken is
    there again. Kraken keeps its last 10,000 events for that, until it is restarted.
  - Where events may be missing there is an event of type C(lost), with empty C(data). A rulebook that remembers anything reads
    the state again then. The first event is C(lost), too, where no cursor says what came before.
  - When Kraken is away it is looked for again after 0.5 to 30 seconds, for ever. What Kraken refuses when the source
    starts, such as an unknown node or a wrong token, ends the source with the reason.
options:
  socket:
    description:
      - Unix socket of Kraken's daemon, on the machine of ansible-rulebook.
      - If neither socket nor url is given, E(KRAKEN_URL) counts, then E(KRAKEN_SOCKET), then C(/run/kraken/kraken.sock).
    type: path
  url:
    description:
      - Address of Kraken's daemon when it listens on TCP, C(https://head.example:8080). Not together with socket.
    type: str
  token_file:
    description:
      - File that holds the bearer token for url, and nothing else; read for every connection. Others must not be able to read it.
      - If it is not given, E(KRAKEN_TOKEN_FILE) counts.
    type: path
  ca_path:
    description:
      - File with the certificates (PEM) of the authorities that may vouch for Kraken, when url begins with C(https).
      - If it is not given, E(KRAKEN_CACERT) counts, then the system's own authorities.
    type: path
  nodeset:
    description:
      - Only events of these nodes, in ClusterShell's syntax (V(n[0001-0128],login1), V(@compute)), and those about none in
        particular. The server selects them. It takes the members that groups have when a connection begins.
    type: str
  kinds:
    description:
      - Only events of these types. The server selects them. C(lost) comes always.
    type: list
    elements: str
  cursor_file:
    description:
      - File in which the place in the stream is kept, so that a rulebook that is started again goes on where it was. Its
        directory must exist. One file for one source.
      - It is written once a second, by rename. After a crash of ansible-rulebook the last events may come again; none is left out.
    type: path
"""

EXAMPLES = r"""
- name: Tell of nodes that Kraken has given up
  hosts: localhost
  sources:
    - name: kraken
      kraken.hpc.events:
        nodeset: "@compute"
        kinds: [cause]
        cursor_file: /var/lib/rulebook/kraken.cursor
  rules:
    - name: Quarantined
      condition: event.type == "cause" and event.data.cause == "QUARANTINED"
      action:
        debug:
          msg: "{{ event.data.node }}: {{ event.data.reason }}"
"""

import asyncio
import contextlib
import getpass
import grp
import json
import logging
import os
import pwd
import random
import re
import ssl
import stat
import time
from urllib.parse import quote, urlsplit

log = logging.getLogger("kraken.hpc.events")

DEFAULT_SOCKET = "/run/kraken/kraken.sock"
PROBLEM_PREFIX = "urn:kraken:problem:"
OPTIONS = ("socket", "url", "token_file", "ca_path", "nodeset", "kinds", "cursor_file")
LOST = "lost"
PAUSE_S_MIN, PAUSE_S_MAX = 0.5, 30.0
STOOD_S = 20.0  # a connection that lasted so long was good, whatever it brought
CONNECT_S = 10.0
SILENCE_S = 45.0  # Kraken says every 15 s that it is there
KEEP_S = 1.0
READ_BYTES = 65536
EVENT_BYTES_MAX = 16 * 1024 * 1024
CURSOR = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")
USER = re.compile(r"[A-Za-z0-9._@-]{1,64}")


async def main(queue, args):
    """Put Kraken's events into the queue, until cancelled.

    Raises:
        SourceError: the arguments are wrong, or Kraken refuses what they ask for.
    """
    await Source(queue, Settings(args)).follow()


class SourceError(Exception):
    """The source cannot go on; the message is a sentence for a person."""


class TooLargeError(SourceError):
    """An event that nobody can hold; it would come again after every connection."""


class AwayError(Exception):
    """Kraken is not there now; it may be, later."""


class Settings:
    """The arguments of the source, checked; the environment counts where they say nothing.

    Attributes:
        address: where Kraken is, for people.
        hints: type of a refusal -> what to do about it here.
        path: what is asked for, with its query.
    """

    def __init__(self, args, environ=None):
        environ = os.environ if environ is None else environ
        for key in args:
            if key not in OPTIONS and key != "feedback" and not key.startswith("eda_"):
                raise SourceError("there is no argument %s; there are %s" % (key, ", ".join(OPTIONS)))
        given = {key: args[key] for key in OPTIONS if args.get(key) is not None}
        for key in ("nodeset", "kinds"):
            if key in given:
                given[key] = _words(key, given[key])
        for key, value in given.items():
            if not isinstance(value, str) or not value:
                raise SourceError("%s is %r, where text is wanted; leave it out where nothing is meant" % (key, value))
        if "socket" in given and "url" in given:
            raise SourceError("give socket or url, not both")
        url = given.get("url") or ("" if "socket" in given else environ.get("KRAKEN_URL", ""))
        self.url = urlsplit(url) if url else None
        self.socket = None if url else os.path.expanduser(given.get("socket") or environ.get("KRAKEN_SOCKET") or DEFAULT_SOCKET)
        self.token_file = given.get("token_file") or environ.get("KRAKEN_TOKEN_FILE")
        self.ca_path = given.get("ca_path") or environ.get("KRAKEN_CACERT")
        if self.url:
            self._check_url(url)
        self.address = self.socket or url
        self.hints = {"unknown-node": "kraken.hpc.node declares nodes; without nodeset all are meant"}
        if self.url:
            mend = "the daemon does not know the one in %s; its api.tokens_file has those it takes" % self.token_file
            self.hints["unauthorized"] = mend
        self.cursor_file = os.path.expanduser(given["cursor_file"]) if "cursor_file" in given else None
        prefix = self.url.path.rstrip("/") if self.url else ""
        pairs = [(key, given[key]) for key in ("nodeset", "kinds") if key in given]
        query = "&".join("%s=%s" % (key, quote(value, safe=",@")) for key, value in pairs)
        self.path = prefix + "/v1/events" + ("?" + query if query else "")

    def _check_url(self, url):
        if self.url.scheme not in ("http", "https") or not self.url.hostname or not _has_good_port(self.url):
            raise SourceError("url %s is not an address like https://head.example:8080" % url.rsplit("@")[-1])
        if self.url.username or self.url.password:
            raise SourceError("url must not hold a user or password; the token comes from token_file")
        if not self.token_file:
            raise SourceError("Kraken at %s wants a token: name its file in token_file (or KRAKEN_TOKEN_FILE)" % url)
        if self.url.scheme == "http" and self.url.hostname not in ("localhost", "127.0.0.1", "::1"):
            log.warning("the token for %s travels unencrypted; use https", url)

    async def connect(self):
        """A connection: reader and writer."""
        if self.socket:
            return await asyncio.open_unix_connection(self.socket)
        context = None
        if self.url.scheme == "https":
            try:
                context = ssl.create_default_context(cafile=self.ca_path)
            except OSError as error:
                raise SourceError("cannot read the certificates in ca_path %s: %s" % (self.ca_path, error)) from error
        port = self.url.port or (443 if context else 80)
        return await asyncio.open_connection(self.url.hostname, port, ssl=context)

    def request(self, cursor):
        """The request for what came after the cursor (None: for what comes from now on)."""
        host = self.url.netloc if self.url else "localhost"
        lines = ["GET %s HTTP/1.1" % self.path, "Host: %s" % host, "Accept: text/event-stream", "Connection: close"]
        if self.socket:
            lines.append("Kraken-User: %s" % _user())
        else:
            lines.append("Authorization: Bearer %s" % _token(self.token_file))
        if cursor:
            lines.append("Last-Event-ID: %s" % cursor)
        return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


class Source:
    """The stream, through all the connections it takes."""

    def __init__(self, queue, settings):
        self._queue = queue
        self._settings = settings
        self._file = CursorFile(settings.cursor_file) if settings.cursor_file else None
        self._cursor = self._file.read() if self._file else None  # of the last event that was put
        self._taken = self._cursor  # of the last event that was taken out again
        self._has_stood = False

    async def follow(self):
        """Go on for ever, from connection to connection."""
        keeper = asyncio.create_task(self._keep()) if self._file else None
        failures = 0
        try:
            while True:
                begun, before = time.monotonic(), self._cursor
                why = "Kraken ended the stream"
                try:
                    await self._listen()
                except SourceError as error:
                    if not self._has_stood or isinstance(error, TooLargeError):
                        raise
                    why = str(error)
                except (AwayError, OSError, EOFError, ValueError) as error:
                    why = self._settled(error)
                if self._cursor != before or time.monotonic() - begun > STOOD_S:
                    failures = 0
                if failures == 0:
                    log.warning("Kraken at %s: %s; it is looked for again", self._settings.address, why)
                await asyncio.sleep(pause_s(failures))
                failures += 1
        finally:
            if keeper:
                keeper.cancel()
                self._write()

    async def _listen(self):
        """One connection, to its end."""
        reader, writer = await _within(self._settings.connect(), CONNECT_S)
        try:
            writer.write(self._settings.request(self._cursor))
            await writer.drain()
            is_chunked = await _read_head(reader, self._settings.hints)
            log.info("following the events of Kraken at %s after %s", self._settings.address, self._cursor or "now")
            self._has_stood = True
            parser = Parser()
            async for data in _read_body(reader, is_chunked):
                for cursor, kind, content in parser.feed(data):
                    await self._take(cursor, kind, content)
        finally:
            writer.close()
            with contextlib.suppress(OSError, AwayError):
                await _within(writer.wait_closed(), 1.0)

    async def _take(self, cursor, kind, data):
        """Put an event into the queue; without data it only says how far the stream is."""
        if data is None and self._cursor is None:
            kind, data = LOST, {}  # what was before is not known
        if data is not None:
            await self._queue.put({"type": kind, "cursor": cursor, "data": data})
            self._taken = self._cursor  # ansible-rulebook's queue holds one event: this one
        self._cursor = cursor

    async def _keep(self):
        while True:
            await asyncio.sleep(KEEP_S)
            self._write()

    def _write(self):
        if _is_empty(self._queue):
            self._taken = self._cursor
        self._file.write(self._taken)

    def _settled(self, error):
        """What became of a connection, in words; raises what no waiting mends."""
        if isinstance(error, ssl.SSLCertVerificationError) and not self._has_stood:
            by = "ca_path is %s" % self._settings.ca_path if self._settings.ca_path else "name who vouches for it in ca_path"
            told = (self._settings.address, error.verify_message, by)
            raise SourceError("Kraken at %s is not who it should be: %s (%s)" % told) from error
        if isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
            return "it does not speak TLS; does it want http?"
        if isinstance(error, (EOFError, ConnectionResetError)) and not self._has_stood and self._settings.address.startswith("http:"):
            return "the connection was cut; does it want https?"
        if isinstance(error, EOFError):
            return "the connection was cut"
        if isinstance(error, PermissionError) and self._settings.socket:
            return "user %s may not open the socket: %s" % (_user(), _who_may_open(self._settings.socket))
        return getattr(error, "strerror", None) or str(error) or type(error).__name__


def pause_s(failures):
    """How long to wait after so many connections in a row that brought nothing."""
    return min(PAUSE_S_MAX, PAUSE_S_MIN * 2 ** min(failures, 16)) * random.uniform(0.5, 1.0)


class Parser:
    """Server-sent events out of bytes, however these are cut."""

    def __init__(self):
        self._rest = b""
        self._size = 0
        self._begin()

    def feed(self, data):
        """Every (cursor, kind, data) that is whole now; data is None where only the cursor came."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        self._size += len(data)
        for raw in lines:
            line = raw.rstrip(b"\r").decode("utf-8", "replace")
            if line:
                self._field(line)
                continue
            if CURSOR.fullmatch(self._cursor):
                yield self._cursor, self._kind, json.loads("\n".join(self._data)) if self._data else None
            elif self._data:
                raise ValueError("an event came without its place in the stream")
            self._begin()
            self._size = len(self._rest)
        if self._size > EVENT_BYTES_MAX + READ_BYTES:
            raise TooLargeError("an event of more than %d bytes" % EVENT_BYTES_MAX)

    def _field(self, line):
        name, dummy, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if name == "id":
            self._cursor = value
        elif name == "event":
            self._kind = value
        elif name == "data":
            self._data.append(value)

    def _begin(self):
        self._cursor, self._kind, self._data = "", "message", []


class CursorFile:
    """The place in the stream, over restarts.

    Raises:
        SourceError: the file cannot be read, or holds something else.
    """

    def __init__(self, path):
        self._path = path
        self._written = None
        self._fails = False

    def read(self):
        """The cursor; None where there is no file yet."""
        folder = os.path.dirname(os.path.abspath(self._path))
        if not os.access(folder, os.W_OK | os.X_OK):
            raise SourceError("cannot write cursor_file %s: there is no directory %s for us" % (self._path, folder))
        try:
            with open(self._path, encoding="ascii") as file:
                text = file.read(100).strip()
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise SourceError("cannot read cursor_file %s: %s" % (self._path, error)) from error
        if not CURSOR.fullmatch(text):
            raise SourceError("cursor_file %s holds no cursor: remove it, to begin with what comes now" % self._path)
        self._written = text
        return text

    def write(self, cursor):
        """Keep the cursor, whole or not at all; that it cannot be kept is logged, once."""
        if not cursor or cursor == self._written:
            return
        fresh = self._path + ".new"
        try:
            with open(fresh, "w", encoding="ascii") as file:
                file.write(cursor + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, self._path)
        except OSError as error:
            if not self._fails:
                log.error("cursor_file %s cannot be written: %s", self._path, error.strerror)
            self._fails = True
            return
        self._written, self._fails = cursor, False


async def _read_head(reader, hints):
    """Whether the stream that begins comes in chunks.

    Args:
        hints: type of a refusal -> what to do about it, where Kraken's own hint is for others.

    Raises:
        SourceError: Kraken refuses, or it is not Kraken.
        AwayError: there is no stream now.
    """
    try:
        head = await _within(reader.readuntil(b"\r\n\r\n"), SILENCE_S)
    except asyncio.LimitOverrunError as error:
        raise SourceError("what answers is not Kraken") from error
    first, *rest = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in rest if line)
    headers = {name.strip().lower(): value.strip() for name, dummy, value in pairs}
    words = first.split(None, 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
        raise SourceError("what answers is not Kraken")
    is_chunked = headers.get("transfer-encoding", "").lower() == "chunked"
    status, kind = int(words[1]), headers.get("content-type", "")
    if status == 200 and kind.startswith("text/event-stream"):
        return is_chunked
    body = await _read_all(reader, is_chunked, headers.get("content-length", ""))
    said = _problem(body, hints) or "status %d, %s" % (status, kind or "of no type")
    if status in (408, 429) or status >= 500:
        raise AwayError(said)
    raise SourceError("Kraken refuses: %s" % said if _problem(body, hints) else "what answers is not Kraken: %s" % said)


async def _read_all(reader, is_chunked, length):
    """A short body; of a long one as much as tells what it is."""
    if length.isdigit() and not is_chunked:
        return await _within(reader.readexactly(min(int(length), READ_BYTES)), SILENCE_S)
    body = b""
    async for data in _read_body(reader, is_chunked):
        body += data
        if len(body) > READ_BYTES:
            break
    return body


async def _read_body(reader, is_chunked):
    """The bytes of the body, as they come.

    Raises:
        EOFError: it was cut off.
        AwayError: nothing came for SILENCE_S.
    """
    while not is_chunked:
        data = await _within(reader.read(READ_BYTES), SILENCE_S)
        if not data:
            return
        yield data
    while True:
        line = await _within(reader.readuntil(b"\n"), SILENCE_S)
        left = int(line.split(b";")[0], 16)
        if left == 0:
            return
        while left:
            data = await _within(reader.read(min(left, READ_BYTES)), SILENCE_S)
            if not data:
                raise EOFError("cut off")
            left -= len(data)
            yield data
        await _within(reader.readexactly(2), SILENCE_S)


async def _within(awaitable, seconds):
    """What is awaited, unless it takes too long.

    asyncio.wait_for loses a cancellation that comes together with the result, in Python before 3.12.
    """
    waiting = asyncio.ensure_future(awaitable)
    try:
        done, dummy = await asyncio.wait({waiting}, timeout=seconds)
        if not done:
            raise AwayError("it is silent")
        return waiting.result()
    finally:
        waiting.cancel()


def _problem(body, hints):
    """What a problem document of Kraken's says, in one sentence; "" when it is none."""
    try:
        document = json.loads(body)
        detail, kind = document["detail"], document["type"]
    except (ValueError, KeyError, TypeError):
        return ""
    if not str(kind).startswith(PROBLEM_PREFIX):
        return ""
    hint = hints.get(kind[len(PROBLEM_PREFIX):]) or document.get("hint")
    return "%s (%s)" % (detail, hint) if hint else str(detail)


def _is_empty(queue):
    inner = getattr(queue, "queue", queue)  # ansible-rulebook's own stands before it
    empty = getattr(inner, "empty", None)
    return bool(empty and empty())


def _words(key, value):
    parts = value if isinstance(value, (list, tuple)) else [value]
    if not parts or not all(isinstance(part, str) and part for part in parts):
        raise SourceError("%s is %r, where a text or a list of texts is wanted; without %s all are meant" % (key, value, key))
    return ",".join(parts)


def _token(path):
    """The token in a file, for one request."""
    path = os.path.expanduser(path)
    try:
        with open(path, encoding="ascii") as file:
            is_open = os.fstat(file.fileno()).st_mode & stat.S_IROTH
            token = file.read(4096).strip()
    except (OSError, ValueError) as error:
        raise SourceError("cannot read the token in %s: %s" % (path, getattr(error, "strerror", None) or "not plain text")) from error
    if is_open:
        raise SourceError("everybody may read the token in %s: chmod o-r %s" % (path, path))
    if not token or len(token.split()) != 1:
        raise SourceError("%s must hold one token and nothing else" % path)
    return token


def _has_good_port(url):
    try:
        return url.port != 0
    except ValueError:  # no number, or above 65535
        return False


def _who_may_open(path):
    """Who may open the socket at this path, and what others do, for a person."""
    try:
        about = os.stat(path)
    except OSError:
        return "nor its directory; run ansible-rulebook as root, or ask whose it is"
    owner = _name_of(pwd.getpwuid, about.st_uid)
    if about.st_mode & stat.S_IWGRP:
        return "run ansible-rulebook as %s, or as one of the group %s" % (owner, _name_of(grp.getgrgid, about.st_gid))
    return "it is for %s alone; be that, or have the daemon's api.socket_mode be 0660 and join its api.socket_group" % owner


def _name_of(look_up, number):
    try:
        return look_up(number)[0]
    except KeyError:  # of another machine, or a container's
        return str(number)


def _user():
    try:
        name = getpass.getuser()
    except (KeyError, OSError, ImportError):
        name = ""
    return name if USER.fullmatch(name) else "uid-%d" % os.getuid()
