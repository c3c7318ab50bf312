"""`credentials new` and `finish`: the ends of a change of password, in the file on this machine."""

from __future__ import annotations

import getpass
import os
import secrets
import string
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from ClusterShell.NodeSet import NodeSet

from kraken.cli.errors import CommandError, Exit, complain, printable
from kraken.cli.nodes import fold
from kraken.cli.output import count
from kraken.cli.rotate import told
from kraken.cli.session import Session, is_attended, pass_session

if TYPE_CHECKING:
    from kraken.executors.credentialfile import CredentialFile

_KINDS: Final = (string.ascii_lowercase, string.ascii_uppercase, string.digits)
_ALIKE: Final = "0O1lI"  # read from a screen and typed at a console, these are taken for one another
_LENGTH: Final = 16
_config = click.option(
    "--config", metavar="FILE", help="As the daemon's: instead of /etc/kraken/kraken.yaml and its conf.d."
)


@click.command()
@click.argument("name")
@click.option("--stdin", "from_stdin", is_flag=True, help="Read it from stdin, one line, instead of asking.")
@click.option("--generate", is_flag=True, help="Make one up: letters and digits.")
@click.option("--length", type=click.IntRange(8, 20), help=f"Of what is made up.  [default: {_LENGTH}]")
@click.option("--show", is_flag=True, help="Print what was made up.")
@click.option("--dry-run", is_flag=True, help="Change nothing; tell what would be.")
@_config
@pass_session
def new(
    session: Session,
    name: str,
    from_stdin: bool,
    generate: bool,
    length: int | None,
    show: bool,
    dry_run: bool,
    config: str | None,
) -> int:
    """Put a new password of a credential into the credentials file.

    It is asked for twice and not shown. The one before is kept as previous, with which Kraken logs in to
    BMCs that have not the new one yet; `kraken credentials rotate` gives it to them. Of the file only that
    entry changes; encrypted with Ansible Vault it stays so. Where there is a previous already, the rotation
    before is not complete, and a new one is refused.

    Done on the daemon's machine, as root or the daemon's user. The daemon need not run.

    \b
    kraken credentials new lab
    kraken credentials new lab --generate
    """
    if from_stdin and generate:
        raise click.UsageError("both --stdin and --generate were given; give one of them")
    if not generate and (show or length is not None):
        raise click.UsageError("--show and --length are for what --generate makes up")
    from kraken.executors.credentialtext import BYTES_EVERYWHERE, check_rotated, with_new_password

    file = _file(config)
    now = check_rotated(file.get(name), name, str(file.path))
    where = f"{file.path}{' (encrypted)' if file.is_encrypted else ''}"
    asks = not from_stdin and not generate
    if dry_run and asks:
        password = _made_up(_LENGTH)  # is it written so that it can be changed?
    elif generate:
        password = _made_up(length or _LENGTH)
    else:
        password = _from_stdin() if from_stdin else _asked(f"New password of {name} (user {now.username})")
    change = partial(with_new_password, name=name, password=password, file=str(file.path))
    if dry_run:
        file.preview(change)
        session.output.line(f"{name}: would get a new password in {where}, and keep the present as previous.")
    else:
        file.replace(change)
        session.output.line(f"{name}: new password in {where}; the one before is kept as previous.")
    if len(password) > BYTES_EVERYWHERE:
        complain(
            f"it has {len(password)} bytes: BMCs with IPMI 1.5, and some others, keep {BYTES_EVERYWHERE}; "
            "`rotate` tells of those, and leaves them the one before"
        )
    if show and not dry_run:
        session.output.line(f"password: {password}")
    if not dry_run:
        session.output.line(f"Next: kraken credentials rotate {name} --all")
    return Exit.DONE


@click.command()
@click.argument("name")
@click.option("--except", "given_up", metavar="NODESET", help="Do not wait for these: they are given up.")
@click.option("--dry-run", is_flag=True, help="Change nothing; tell whether it could be done.")
@_config
@pass_session
def finish(session: Session, name: str, given_up: str | None, dry_run: bool, config: str | None) -> int:
    """Forget the previous password of a credential, once every BMC has the new one.

    The daemon logs in to the BMC of every node that names the credential and that it runs, held ones too.
    As long as one needs the previous password, or does not answer and may need it once it does, nothing is
    changed, and the nodes are told. BMCs that will not come back are named with --except. Exit code 3:
    refused.

    \b
    kraken credentials finish lab
    kraken credentials finish lab --except n0117
    """
    if session.url and not session.socket:
        raise click.UsageError(
            "finish changes the file on this machine: do it on the daemon's, without --url"
        )
    from kraken.executors.credentialtext import without_previous

    file = _file(config)
    change = partial(without_previous, name=name, file=str(file.path))
    if not file.preview(change):
        session.output.line(f"{name}: there is no previous password in {file.path}; nothing to do.")
        return Exit.DONE
    named = _named(session, file.path, name)
    excepted = _of(session, given_up)
    named, bad = _not_new(session, name) if named else (0, {})
    for_good = [node for node in bad if node in excepted]
    waiting = {node: why for node, why in bad.items() if node not in excepted}
    if waiting:
        alike: dict[str, list[str]] = {}
        for node, why in waiting.items():
            alike.setdefault(why, []).append(node)
        raise CommandError(
            f"{len(waiting):,} of {count(named, 'BMC')} not known to have the new password of {name!r}: "
            f"{fold(list(waiting))}; previous stays in {file.path}",
            code=Exit.REFUSED,
            hint=f"kraken credentials rotate {name} --all --held, and mend those that let nobody in; "
            "--except NODESET gives some up",
            lines=tuple(printable(f"  {fold(nodes)}: {why}") for why, nodes in alike.items()),
        )
    if for_good:
        complain(f"given up, and perhaps not to be logged in to any more: {fold(for_good)}")
    if not dry_run:
        file.replace(change)
    have = (
        f"{count(named - len(for_good), 'BMC')} {'has' if named - len(for_good) == 1 else 'have'} the new one"
    )
    verb = "would leave" if dry_run else "has left"
    session.output.line(f"{name}: {have if named else 'no node names it'}; previous {verb} {file.path}.")
    return Exit.DONE


def _file(config: str | None) -> CredentialFile:
    """The file that a daemon with this configuration reads; this process leaves no core dump from now on."""
    from kraken.daemon.assembly import build_vault
    from kraken.daemon.closed import close_memory
    from kraken.daemon.config import DEFAULT_FILE, FILE_VARIABLE, load_config
    from kraken.executors.credentialfile import CredentialFile

    found = load_config(config, os.environ)
    if found.credentials_file is None:
        read = config or os.environ.get(FILE_VARIABLE) or f"{DEFAULT_FILE} (with its conf.d)"
        raise CommandError(
            f"no file of credentials: the configuration here, {read}, names none",
            hint="see that this is the daemon's machine; if the daemon reads another configuration, say "
            "--config FILE; otherwise name one there with the key credentials_file",
        )
    close_memory()
    return CredentialFile.read(found.credentials_file, build_vault(found))


def _asked(question: str) -> str:
    if not is_attended():
        raise CommandError(
            "there is no terminal to ask for the new password at; nothing was changed",
            hint="give it with --stdin, or have it made up with --generate",
        )
    try:
        first = getpass.getpass(f"{printable(question)}: ")
        again = getpass.getpass("Again: ")
    except EOFError:
        raise CommandError("no password was given; nothing was changed") from None
    if first != again:
        raise CommandError("these were two different passwords; nothing was changed", hint="do it again")
    return first


def _from_stdin() -> str:
    text = sys.stdin.buffer.read(4096).decode(errors="replace")
    line = text.removesuffix("\n").removesuffix("\r")
    if "\n" in line:
        raise CommandError("stdin has more than one line, and a password has one; nothing was changed")
    return line


def _made_up(length: int) -> str:
    """Letters and digits, of each kind one at least: rules of BMCs ask for that."""
    kinds = ["".join(c for c in kind if c not in _ALIKE) for kind in _KINDS]
    letters = [secrets.choice(kind) for kind in kinds]
    letters += [secrets.choice("".join(kinds)) for _ in range(length - len(letters))]
    secrets.SystemRandom().shuffle(letters)
    return "".join(letters)


def _named(session: Session, path: Path, name: str) -> int:
    """How many nodes name the credential; the daemon that is asked must read this very file."""
    answer = session.client.get("/v1/credentials", all=True)
    if answer["problem"]:
        raise CommandError(f"the daemon cannot use its credentials: {answer['problem']}; nothing was changed")
    theirs = answer["file"]
    if not theirs or os.path.realpath(theirs) != str(path):
        raise CommandError(
            f"the daemon reads {theirs or 'no file'}, and the configuration here names {path}; "
            "nothing was changed",
            hint="--config FILE names the configuration the daemon was started with",
        )
    return sum(int(use["count"]) for use in answer["credentials"] if use["name"] == name)


def _of(session: Session, nodeset: str | None) -> NodeSet:
    """The nodes with a BMC among these, groups and all, as the daemon knows them."""
    if nodeset is None:
        return NodeSet()
    found = session.client.get("/v1/credentials", nodeset=nodeset)
    return NodeSet.fromlist([use["nodeset"] for use in found["credentials"] if use["nodeset"]])


def _not_new(session: Session, name: str) -> tuple[int, dict[str, str]]:
    """How many BMCs this daemon logs in to with it, and the nodes of those that did not show that they have
    the new password, and why.
    """
    body = {"all": True, "name": name, "look": True, "held": True}
    rows, is_whole = told(session, body, yes=False, shown=True)
    if not is_whole:
        raise CommandError("the daemon's answer was cut off; nothing was changed", hint="do it again")
    ours = [row for row in rows if row["stand"] != "ELSEWHERE"]
    bad = {row["node"]: _why(row["stand"], row["message"]) for row in ours if row["stand"] != "CURRENT"}
    return len(ours), bad


def _why(stand: str, message: str) -> str:
    return "has the previous password" if stand == "PREVIOUS" else message or stand
