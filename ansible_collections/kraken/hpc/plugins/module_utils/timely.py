# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Connections of which a whole exchange ends in time, however slowly the other side speaks.

A socket's own timeout is one for each time something is read: an answer that comes byte by byte would have no end.
Python's standard library only.
"""

from __future__ import annotations

import functools
import http.client
import io
import queue
import socket
import threading
import time


def over_unix(path, timeout_s):
    """A connection through the socket at this path."""
    return _UnixConnection(path, timeout_s)


def over_tcp(host, port, timeout_s, context=None):
    """A connection to a port; with a context over TLS. port: None is that of HTTP, or of HTTPS."""
    if context is None:
        return _TcpConnection(host, port, timeout_s)
    return _TlsConnection(host, port, timeout_s, context=context)


class _Timely:
    """What an http.client.HTTPConnection has before it: socket.timeout is raised when the time of an exchange, which
    begins with the first that is sent, is over."""

    ends_at = None

    def send(self, data):
        if self.ends_at is None:
            self.ends_at = time.monotonic() + self.timeout
            self.response_class = functools.partial(_TimelyResponse, ends_at=self.ends_at)
        if self.sock is None:
            self.connect()
        self.sock.settimeout(left(self.ends_at))
        super().send(data)


class _UnixConnection(_Timely, http.client.HTTPConnection):
    def __init__(self, path, timeout_s):
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _TcpConnection(_Timely, http.client.HTTPConnection):
    def __init__(self, host, port, timeout_s):
        super().__init__(host, port, timeout=timeout_s)

    def connect(self):
        self.sock = reached(self.host, self.port, self.ends_at)


class _TlsConnection(_Timely, http.client.HTTPSConnection):
    def __init__(self, host, port, timeout_s, context):
        super().__init__(host, port, timeout=timeout_s, context=context)
        self._with = context

    def connect(self):
        sock = reached(self.host, self.port, self.ends_at)
        try:
            sock.settimeout(left(self.ends_at))  # of the whole handshake
            self.sock = self._with.wrap_socket(sock, server_hostname=self.host)
        except BaseException:
            sock.close()
            raise


class _TimelyResponse(http.client.HTTPResponse):
    def __init__(self, sock, *args, **kwargs):
        ends_at = kwargs.pop("ends_at")
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_TimelyReader(sock, ends_at))


class _TimelyReader(io.RawIOBase):
    """What a socket says until a moment."""

    def __init__(self, sock, ends_at):
        super().__init__()
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._ends_at = ends_at

    def readable(self):
        return True

    def readinto(self, buffer):
        self._sock.settimeout(left(self._ends_at))
        return self._raw.readinto(buffer)

    def close(self):
        self._raw.close()
        super().close()


def reached(host, port, ends_at):
    """A socket that is connected to the first of the host's addresses that takes it.

    Each address has its part of the time that is left: one that is silent leaves some to the others.

    Raises:
        socket.timeout: the time was over before one did.
        OSError: none did, as the last of them says; or there is none.
    """
    places = looked_up(host, port, ends_at)
    failure = OSError("%s has no address" % host)
    for index, (family, kind, protocol, dummy, address) in enumerate(places):
        sock = None
        try:
            sock = socket.socket(family, kind, protocol)
            sock.settimeout(left(ends_at) / (len(places) - index))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        except OSError as error:
            failure = error
            if sock is not None:
                sock.close()
    raise failure


def looked_up(host, port, ends_at):
    """The addresses of a host, as socket.getaddrinfo has them.

    That waits as long as the system's resolver likes, so it does so in a thread of its own.

    Raises:
        socket.timeout: the time was over before there was an answer.
        OSError: the host has no address.
    """
    answers = queue.Queue()

    def look_up():
        try:
            answers.put((socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM), None))
        except (OSError, UnicodeError) as error:
            answers.put((None, error))

    threading.Thread(target=look_up, daemon=True).start()
    try:
        found, failure = answers.get(timeout=left(ends_at))
    except queue.Empty:
        raise socket.timeout("timed out")
    if failure is not None:
        raise failure
    return found


def left(ends_at):
    """The seconds until a moment of time.monotonic.

    Raises:
        socket.timeout: there are none.
    """
    seconds = ends_at - time.monotonic()
    if seconds <= 0:
        raise socket.timeout("timed out")
    return seconds
