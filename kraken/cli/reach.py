"""How a daemon is reached: its address, the token, whom to trust, and what to do when it is not."""

from __future__ import annotations

import grp
import http.client
import os
import pwd
import ssl
import stat
from pathlib import Path
from urllib.parse import urlsplit

from kraken.cli.errors import CommandError, Exit
from kraken.errors import CredentialError, DaemonAwayError, KrakenError

ANSWER_TIMEOUT_S = 120.0  # a plan for 10,000 nodes takes seconds; nothing honest takes minutes
TOKEN_BYTES_MAX = 4096


def explain_failure(error: Exception, place: str, *, is_socket: bool) -> KrakenError:
    """What failed between us and the daemon, as an error that says what to do."""
    other = "--socket names another" if is_socket else "check --url"
    if isinstance(error, http.client.IncompleteRead | http.client.RemoteDisconnected | ConnectionResetError):
        got = len(error.partial) if isinstance(error, http.client.IncompleteRead) else 0
        return CommandError(
            f"the answer of {place} was cut off after {got} bytes",
            hint="the daemon may have ended: `systemctl status kraken`",
        )
    if isinstance(error, http.client.HTTPException):
        return CommandError(f"{place} does not speak HTTP", hint=f"check what listens there; {other}")
    if isinstance(error, ssl.SSLCertVerificationError):
        return CredentialError(
            f"the certificate of {place} is not trusted: {error.verify_message}",
            part=place,
            hint="name the authority that signed it with --cacert FILE",
        )
    if isinstance(error, PermissionError) and is_socket:
        return CredentialError(
            f"may not open the daemon's socket {place}", part=place, hint=_who_may_open(place)
        )
    what, hint = _why_away(error, place, other, is_socket=is_socket)
    return DaemonAwayError(what, part=place, hint=hint)


def _why_away(error: Exception, place: str, other: str, *, is_socket: bool) -> tuple[str, str]:
    """Why nobody answers, and what to do."""
    start = f"start one with `systemctl start kraken` or `kraken daemon`; {other}"
    if isinstance(error, TimeoutError):
        return (
            f"the daemon at {place} did not answer within {ANSWER_TIMEOUT_S:.0f} s",
            "see its log: `journalctl -u kraken`",
        )
    if isinstance(error, ssl.SSLError):
        return (
            f"no TLS with {place}: {error.reason or error}",
            "check --url; a daemon without TLS wants http://",
        )
    if isinstance(error, FileNotFoundError) and is_socket:
        return f"no daemon: there is no socket {place}", start
    if isinstance(error, ConnectionRefusedError):
        return f"no daemon listens at {place}", start
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"cannot reach the daemon at {place}: {reason}", other


def _who_may_open(path: str) -> str:
    """The hint for a socket we may not open: whose it is."""
    try:
        about = Path(path).stat()
        group = grp.getgrgid(about.st_gid).gr_name
    except (OSError, KeyError):
        return "run it as root, or let an administrator put you into the socket's group"
    if about.st_mode & stat.S_IWGRP:
        return f"run it as root or as a member of the group {group}"
    return (
        f"run it as root or as {_user(about.st_uid)}; with api.socket_mode 0660 those of its group may, too"
    )


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # a container's, or of another machine
        return f"user {number}"


def read_token(path: str) -> str:
    """The token in a file.

    Raises:
        CredentialError: missing, unreadable, empty, too long, or open to everybody.
    """
    try:
        with Path(path).open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(TOKEN_BYTES_MAX + 1)
    except OSError as error:
        raise CredentialError(
            f"cannot read the token file {path}: {error.strerror}", part=path, hint="see KRAKEN_TOKEN_FILE"
        ) from error
    if mode & 0o007:
        raise CredentialError(
            f"the token file {path} is open to everybody", part=path, hint=f"chmod o= {path}"
        )
    token = content.decode("ascii", "replace").strip()
    if not token or len(content) > TOKEN_BYTES_MAX or not all("!" <= c <= "~" for c in token):
        raise CredentialError(
            f"the token file {path} does not hold one token",
            part=path,
            hint="it must be one line of printable ASCII",
        )
    return token


def check_url(url: str) -> str:
    """The daemon's address without a trailing slash.

    Raises:
        CommandError: it is not http(s)://host:port.
    """
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and parts.hostname and parts.port is not None
    except ValueError:
        fine = False
    if not fine or parts.path.strip("/") or parts.query or parts.username:
        raise CommandError(
            f"{url!r} is no address of a daemon",
            code=Exit.USAGE,
            hint="write it like https://head1:7625, without a path or a password",
        )
    return url.rstrip("/")


def trust(cacert: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=cacert)
    except (OSError, ssl.SSLError) as error:
        raise CredentialError(
            f"cannot use --cacert {cacert}: {getattr(error, 'strerror', None) or error}",
            part=cacert,
            hint="it must be a file of PEM certificates",
        ) from error
