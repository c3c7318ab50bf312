"""`leave`: have this machine's daemon be a child of nobody, the counterpart of `join`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kraken.cli.errors import CommandError, Exit
from kraken.cli.join import check_owner
from kraken.cli.output import count
from kraken.cli.session import Session, agree, login_name, pass_session
from kraken.errors import KrakenError

if TYPE_CHECKING:
    from kraken.transport import Parent


@click.command()
@click.option("--yes", "-y", "yes", is_flag=True, help="Do not ask.")
@click.option(
    "--config", metavar="FILE", help="As the daemon's: instead of /etc/kraken/kraken.yaml and its conf.d."
)
@click.option("--state-dir", metavar="DIR", help="As the daemon's. [default: /var/lib/kraken]")
@pass_session
def leave(session: Session, yes: bool, config: str | None, state_dir: str | None) -> int:
    """Leave the parent, and be a root again.

    Forgets on this machine's disk who the parent is and the key that it knows this collector by; who is
    below this one stays. To come back it must be invited and join anew. Done while the daemon is
    stopped, as the user it runs as, and only when it has no nodes of the parent any more: it would run
    them as its own beside whoever gets them. Revoke its name on the parent afterwards.

    \b
    kraken leave
    """
    from kraken.daemon.config import load_config
    from kraken.transport import Keyring

    loaded = load_config(config, os.environ, {"state_dir": state_dir})
    directory = loaded.state_dir
    if directory.exists():
        check_owner(directory, "leave", "kraken leave")
    keyring = Keyring(directory)
    parent = keyring.parent
    if parent is None:
        session.output.line("This collector has no parent; nothing was done.")
        return Exit.DONE
    _check_daemon(loaded.api.socket, parent)
    with _without_nodes(directory, parent):
        if not yes:
            what = f"{parent.me} below {parent.name} would forget its parent and the key it is known by there"
            agree(f"{what}; to come back it must be invited and join anew")
        keyring.leave()
    session.output.line(f"Left {parent.name}; this machine's daemon is a root when it is started.")
    session.output.line(
        f"Next: on {parent.name}: kraken collector revoke {parent.me}; here: systemctl start kraken"
    )
    return Exit.DONE


def _check_daemon(socket: Path, parent: Parent) -> None:
    """Refuse while a daemon runs, with what is to be done first, which differs when it has nodes."""
    from kraken.cli.client import Client

    try:
        health = Client(socket_path=str(socket), user=login_name()).get("/v1/health")
    except KrakenError:
        return  # one that runs elsewhere, or hangs, has the state file locked
    if health["nodes"] and health["collectors"]["parent"]:
        raise _has_nodes(health["nodes"], parent)
    raise CommandError(
        "this machine's daemon runs; nothing was done",
        code=Exit.REFUSED,
        hint="stop it first, or it would go on as a child: systemctl stop kraken",
    )


@contextmanager
def _without_nodes(directory: Path, parent: Parent) -> Iterator[None]:
    """Refuse where the state file has nodes that the parent gave, or a daemon has it; none can start
    meanwhile. Those that were declared here before it joined are no matter.
    """
    from kraken.store.store import FILE_NAME, Store

    if not (directory / FILE_NAME).exists():  # it has joined, and was never started
        yield
        return
    store = Store.open(directory)
    try:
        tree = store.load().tree
        if tree is not None and tree.told:
            raise _has_nodes(len(tree.told), parent)
        yield
    finally:
        store.close()


def _has_nodes(number: int, parent: Parent) -> CommandError:
    return CommandError(
        f"{parent.me} runs {count(number, 'node')} of {parent.name}; as a root it would run them as its own, "
        "beside whoever gets them; nothing was done",
        code=Exit.REFUSED,
        hint=f"at the root, take {parent.me} out of their attribute collectors; while the daemon here runs, "
        "wait until `kraken collector list` there shows no nodes of it; then stop it and leave",
    )
