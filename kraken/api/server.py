"""The whole daemon as a process: its loop, its doors, its signals."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import grp
import logging
import os
import signal
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from kraken.api.entrance import Entrance
from kraken.api.holding import answering_holds
from kraken.api.interface import interface, plain, with_head
from kraken.api.relay import answering_calls, passing_on
from kraken.api.security import Tokens, bearer_only
from kraken.daemon import logs, notify
from kraken.daemon.assembly import start_daemon
from kraken.daemon.closed import close_memory
from kraken.daemon.config import Config
from kraken.daemon.daemon import Daemon
from kraken.daemon.files import Door, complain_seldom, raise_limit
from kraken.daemon.garbage import collect_seldom, give_back
from kraken.errors import ConfigError

log = logging.getLogger("kraken.daemon")

BACKLOG = 1024
PROBE_S = 2.0  # for a daemon that has our socket to take a connection


def serve(config: Config) -> int:
    """Run a daemon until SIGTERM or SIGINT; SIGHUP reads the Kraken modules again.

    Returns:
        The exit code: 0 after a clean end.

    Raises:
        KrakenError: it could not start; nothing is left behind.
    """
    logs.configure(config.log.level, config.log.format)
    close_memory()
    raise_limit()
    collect_seldom()
    return asyncio.run(_serve(config))


async def _serve(config: Config) -> int:
    ended = asyncio.Event()
    complain_seldom(asyncio.get_running_loop())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    tokens, tls = read_for_doors(config)
    with contextlib.ExitStack() as doors:
        local = doors.enter_context(unix_socket(config))
        remote = None if config.api.address is None else doors.enter_context(tcp_socket(config))
        daemon = await start_daemon(config)
        try:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _reload, daemon)
            async with answering(daemon, local, remote, tokens, tls):
                notify.sd_notify("READY=1")
                extra = {"socket": str(config.api.socket), "listen": config.api.listen or "nowhere"}
                log.info("ready", extra=extra)
                give_back()  # a start has read modules and memory, of which little stays
                async with _watchdog():
                    await ended.wait()
                log.info("ending")
                notify.sd_notify("STOPPING=1")
        finally:
            await daemon.close()
    return 0


@contextlib.asynccontextmanager
async def answering(
    daemon: Daemon,
    local: socket.socket,
    remote: socket.socket | None = None,
    tokens: Tokens | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[None]:
    """Serve the daemon on these listening sockets; on the way out, streams end and answers are finished.

    Args:
        tokens: who may ask over `remote`.
    """
    whole = interface(daemon)
    is_asked_little = daemon.neighbours is not None and daemon.neighbours.is_leaf  # as an agent is
    if not is_asked_little:
        await whole.built()
    answered = plain(daemon, whole) if is_asked_little else whole
    answering_calls(answered, daemon)
    answering_holds(daemon)
    app = with_head(passing_on(answered, daemon))
    entrances = [Entrance(local, app)]
    if remote is not None:
        assert tokens is not None, "nobody is served over TCP without a token"
        entrances.append(Entrance(remote, bearer_only(app, tokens), tls))
    try:
        for entrance in entrances:
            await entrance.open(at_once=not is_asked_little)
        yield
    finally:
        daemon.events.close()  # or streams would keep the servers waiting
        await asyncio.gather(*(entrance.close() for entrance in entrances))


@contextlib.asynccontextmanager
async def _watchdog() -> AsyncIterator[None]:
    interval_s = notify.watchdog_interval_s()
    if interval_s is None:
        yield
        return

    async def bark() -> None:
        while True:
            notify.sd_notify("WATCHDOG=1")
            await asyncio.sleep(interval_s / 2)

    barking = asyncio.create_task(bark())
    try:
        yield
    finally:
        barking.cancel()


def read_for_doors(config: Config) -> tuple[Tokens | None, ssl.SSLContext | None]:
    """Who may call over TCP, and what that is encrypted with; None: nobody, nothing.

    Raises:
        ConfigError: the file of tokens, the certificate or its key is not as it should be.
    """
    tokens = None if config.api.tokens_file is None else Tokens(config.api.tokens_file)
    return tokens, tls_context(config)


def tls_context(config: Config) -> ssl.SSLContext | None:
    """What TCP is encrypted with; None: nothing.

    Raises:
        ConfigError: certificate or key cannot be read, or do not belong together.
    """
    tls = config.api.tls
    if tls.certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for file, key in ((tls.certificate, "api.tls.certificate"), (tls.key, "api.tls.key")):
        try:
            if file is not None:
                file.read_bytes()
        except OSError as error:
            raise ConfigError(f"cannot read {file}: {error.strerror}", key=key) from error
    try:
        context.load_cert_chain(tls.certificate, tls.key, password="")  # never asked for at a terminal
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or "the key is encrypted"
        raise ConfigError(
            f"{tls.certificate} and {tls.key} are no certificate and its key: {reason}",
            key="api.tls.certificate",
            hint="both are PEM files, the key without a passphrase",
        ) from error
    return context


@contextlib.contextmanager
def unix_socket(config: Config) -> Iterator[socket.socket]:
    """The bound socket of the local door; its file is removed at the end.

    Raises:
        ConfigError: somebody answers there already, or it cannot be made.
    """
    path = config.api.socket
    _make_room(path)
    sock = Door(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        old_umask = os.umask(0o177)
        try:
            sock.bind(str(path))
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigError(f"cannot make the socket {path}: {reason}", key="api.socket") from error
        finally:
            os.umask(old_umask)
        made = path.stat().st_ino
        try:
            if config.api.socket_group is not None:
                _give_to(path, config.api.socket_group)
            path.chmod(int(config.api.socket_mode, 8))
            sock.listen(BACKLOG)
            yield sock
        finally:
            with contextlib.suppress(OSError):
                if path.stat().st_ino == made:
                    path.unlink()
    finally:
        sock.close()


@contextlib.contextmanager
def tcp_socket(config: Config) -> Iterator[socket.socket]:
    """The bound socket of the remote door.

    Raises:
        ConfigError: the address is taken or not ours.
    """
    assert config.api.address is not None
    host, port = config.api.address
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, proto)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"cannot listen at {config.api.listen}: {reason}", key="api.listen") from error
    with contextlib.closing(sock):
        yield sock


def _make_room(path: Path) -> None:
    """Make the directory, and remove the socket of a daemon that is gone."""
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make {path.parent}: {error.strerror}", key="api.socket") from error
    if not path.exists():
        return
    if not path.is_socket():
        raise ConfigError(f"{path} is there and is no socket", key="api.socket", hint="move it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_S)
        try:
            code = probe.connect_ex(str(path))
        except TimeoutError:  # somebody has it and is busy
            code = 0
    if code in (errno.EACCES, errno.EPERM):
        raise ConfigError(f"{path} belongs to somebody else", key="api.socket", hint="name another")
    if code not in (errno.ECONNREFUSED, errno.ENOENT):
        raise ConfigError(f"a daemon answers at {path} already", key="api.socket", hint="stop it first")
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot remove the old {path}: {error.strerror}", key="api.socket") from error


def _give_to(path: Path, group: str) -> None:
    try:
        os.chown(path, -1, grp.getgrnam(group).gr_gid)
    except (KeyError, OSError) as error:
        raise ConfigError(f"cannot give {path} to the group {group!r}", key="api.socket_group") from error


def _reload(daemon: Daemon) -> None:
    now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000  # sd_notify(3) wants it with RELOADING
    notify.sd_notify(f"RELOADING=1\nMONOTONIC_USEC={now_us}")
    loading = asyncio.ensure_future(daemon.reload())
    loading.add_done_callback(_reloaded)


def _reloaded(loading: asyncio.Future[None]) -> None:
    notify.sd_notify("READY=1")
    if not loading.cancelled() and loading.exception() is not None:
        log.error("modules not loaded", exc_info=loading.exception())
