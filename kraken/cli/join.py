"""`join`: make this machine's daemon a collector below another, with a token from there."""

from __future__ import annotations

import asyncio
import getpass
import os
import pwd
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from kraken.cli.arguments import Duration
from kraken.cli.errors import CommandError, Exit, complain
from kraken.cli.output import count
from kraken.cli.session import Session, agree, login_name, pass_session
from kraken.errors import KrakenError

if TYPE_CHECKING:
    from kraken.transport import Keyring, Parent
    from kraken.transport.token import Token

TIMEOUT_S: Final = 20.0
_CHARACTERS_MAX: Final = 8192


@click.command()
@click.argument("token", required=False)
@click.option("--file", metavar="FILE", help="Read the token from this file.")
@click.option("--yes", "-y", "yes", is_flag=True, help="Do not ask before leaving another parent.")
@click.option(
    "--timeout", type=Duration(), default=TIMEOUT_S, help="Try the parent no longer.  [default: 20s]"
)
@click.option(
    "--config", metavar="FILE", help="As the daemon's: instead of /etc/kraken/kraken.yaml and its conf.d."
)
@click.option("--state-dir", metavar="DIR", help="As the daemon's. [default: /var/lib/kraken]")
@pass_session
def join(
    session: Session,
    token: str | None,
    file: str | None,
    yes: bool,
    timeout: float,
    config: str | None,
    state_dir: str | None,
) -> int:
    """Join the tree of collectors, with a token of the parent.

    `kraken collector invite NAME` on the parent prints the token. Others on this machine can see what
    stands on a command line: with - in its place it is read from stdin, or asked for and not shown. The
    parent must prove to have the key the token names; the new keys are written to the state directory,
    closed to others. Done on the collector's machine, as the user its daemon runs as; start the daemon
    afterwards, or start it anew.

    Where it failed or was cut off, run it again with the same token: it goes on, and asks nothing more; where
    it was done, it says so. A collector that has another parent asks before it leaves that one.

    \b
    kraken join -
    kraken join --file /root/rack7.token
    """
    from kraken.daemon.config import load_config
    from kraken.transport import Keyring
    from kraken.transport import join as exchange
    from kraken.transport.joining import parent_of
    from kraken.transport.token import decode

    text = _read(token, file)
    invitation = decode(text)
    loaded = load_config(config, os.environ, {"state_dir": state_dir})
    directory = loaded.state_dir
    check_owner(directory, "join", "kraken join -")
    daemon = _check_daemon(loaded.api.socket)
    keyring = Keyring(directory)
    parent = parent_of(invitation)
    goes_there = daemon.parent == parent.name and parent.is_same(keyring.parent)
    if keyring.has_joined(invitation.public, parent):
        session.output.line(f"Joined {parent.name} as {parent.me} before, with this token; nothing was done.")
    else:
        _check_parent(keyring, invitation, parent, yes=yes)
        asyncio.run(exchange(text, keyring, wait_s=timeout))
        session.output.line(f"Joined {parent.name} as {parent.me}; the keys are in {directory / 'tree'}.")
    if goes_there:
        session.output.line("The daemon that runs here takes up the new key within a minute.")
    elif daemon.runs:
        then = f"the daemon that runs here knows nothing of {parent.name} until it is started anew"
        session.output.line(f"Next: {then}: systemctl restart kraken")
    else:
        session.output.line("Next: start this machine's daemon: systemctl start kraken")
    return Exit.DONE


def _read(token: str | None, file: str | None) -> str:
    """The token, wherever it is."""
    if token is not None and file is not None:
        raise click.UsageError("both a token and --file were given; give one of them")
    if file is not None:
        try:
            with Path(file).open(encoding="ascii", errors="replace") as opened:
                return opened.read(_CHARACTERS_MAX).strip()
        except OSError as error:
            raise CommandError(f"cannot read {file}: {error.strerror}") from error
    if token is None:
        raise click.UsageError("the token is missing; - reads it from stdin")
    if token != "-":
        return token
    if sys.stdin.isatty():
        return getpass.getpass("Token: ").strip()
    text = sys.stdin.read(_CHARACTERS_MAX).strip()
    if not text:
        raise CommandError(
            "no token came from stdin; nothing was done",
            hint="see what the command before the pipe said: "
            "`kraken collector invite` prints a token, or why it made none",
        )
    return text


def check_owner(directory: Path, verb: str, command: str) -> None:
    """Keys written by somebody else are keys the daemon cannot read: refuse before anything is done.

    Args:
        verb, command: what is wanted, and how it is typed.
    """
    from kraken.store.file import prepare_directory

    try:
        owner = directory.stat().st_uid
    except FileNotFoundError:
        prepare_directory(directory)
        complain(f"{directory} was not there and was made; the daemon must run as this user, or be given it")
        return
    except OSError as error:
        raise CommandError(f"cannot look at {directory}: {error.strerror}") from error
    if owner != os.geteuid():
        name = _name_of(owner)
        raise CommandError(
            f"{directory} belongs to {name}; nothing was done",
            hint=f"{verb} as the user the daemon runs as: sudo -u {name} {command}",
        )


class _Daemon(NamedTuple):
    """Of this machine: whether it runs, and whom it takes for its parent."""

    runs: bool
    parent: str | None = None


def _check_daemon(socket: Path) -> _Daemon:
    """The daemon of this machine. One with nodes of its own would not start below another: refuse.
    One that does not run is not asked: it says so when it starts.
    """
    from kraken.cli.client import Client

    try:
        health = Client(socket_path=str(socket), user=login_name()).get("/v1/health")
    except KrakenError:
        return _Daemon(False)
    if health["nodes"] and not health["collectors"]["parent"]:
        nodes = count(health["nodes"], "node is", "nodes are")
        raise CommandError(
            f"{nodes} declared at this machine's daemon, which would not start below another; "
            "nothing was done",
            code=Exit.REFUSED,
            hint="declare them at the root, with this collector in their attribute collectors, "
            "and delete them here",
        )
    return _Daemon(True, health["collectors"]["parent"])


def _check_parent(keyring: Keyring, invitation: Token, parent: Parent, *, yes: bool) -> None:
    """Return when no parent or name is left, or a person agrees to leave it, or has when it was begun."""
    present = keyring.parent
    if present is None or yes or keyring.is_joining(invitation.public):
        return
    if not parent.is_same(present):
        what = f"this collector is {present.me} below {present.name} already"
        agree(f"{what}; it would be {parent.me} below {parent.name}")


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"
