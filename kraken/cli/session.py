"""One call of `kraken`: which daemon it speaks to, where its answer goes, whom it may ask."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from kraken.cli.errors import CommandError, Exit, ProblemError, printable
from kraken.cli.output import Output, count

if TYPE_CHECKING:
    from kraken.cli.client import Answer, Client

DEFAULT_SOCKET = "/run/kraken/kraken.sock"


@dataclass
class Session:
    """What the options before the command said; handed to every command.

    Attributes:
        socket, url: as given; at most one of them, None for neither.
        token_file: whose content is sent to `url`.
        at: the collector below the daemon that is to answer; None: the daemon itself.
    """

    socket: str | None = None
    url: str | None = None
    token_file: str | None = None
    cacert: str | None = None
    at: str | None = None

    @cached_property
    def client(self) -> Client:
        from kraken.cli.client import Client
        from kraken.cli.reach import check_url, read_token

        url = None if self.socket else self.url
        if url is None:
            return Client(socket_path=self.socket or DEFAULT_SOCKET, user=login_name(), at=self.at)
        token = read_token(self.token_file) if self.token_file else None
        return Client(socket_path="", url=check_url(url), token=token, cacert=self.cacert, at=self.at)

    @cached_property
    def output(self) -> Output:
        return Output()

    def change(
        self, method: str, path: str, body: Mapping[str, Any], *, yes: bool = False, subject: str = ""
    ) -> Answer:
        """Send a change; where the daemon wants a confirmation, ask a person for it.

        Args:
            yes: confirmed already.
            subject: what a question names when the body has no nodeset.

        Raises:
            CommandError: it was not confirmed (Exit.REFUSED); nothing was done.
        """
        said = {**body, "yes": True} if yes else dict(body)
        try:
            return self.client.send(method, path, said)
        except ProblemError as problem:
            if problem.kind != "needs-confirmation" or yes:
                raise
            confirm(problem, body, subject)
        return self.client.send(method, path, {**body, "yes": True})


pass_session = click.make_pass_decorator(Session)


def confirm(problem: ProblemError, body: Mapping[str, Any], subject: str) -> None:
    """Return when a person agrees to a change of so many nodes."""
    number = problem.document.get("nodes")
    which = problem.part or body.get("nodeset") or ("every node" if body.get("all") else subject)
    what = f"this changes {count(number, 'node') if isinstance(number, int) else 'many nodes'}"
    what += f": {printable(str(which))}" if which else ""
    agree(what)


def agree(what: str) -> None:
    """Return when a person agrees that this is so, or is to be done.

    Raises:
        CommandError: nobody did (Exit.REFUSED).
    """
    if not is_attended():
        raise CommandError(f"{what}; nothing was done", code=Exit.REFUSED, hint="to go on, say --yes")
    if not ask_person(f"{what[0].upper()}{what[1:]}. Go on?"):
        raise CommandError("not confirmed; nothing was done", code=Exit.REFUSED)


def order(session: Session, path: str, body: Mapping[str, Any], *, yes: bool) -> Answer:
    """Send it; where the daemon wants a yes, ask a person in the words the daemon has for it.

    Raises:
        CommandError: it was not confirmed (Exit.REFUSED); nothing was done.
    """
    try:
        return session.client.send("POST", path, {**body, "yes": yes})
    except ProblemError as problem:
        if problem.kind != "needs-confirmation" or yes:
            raise
        what = problem.message.removesuffix("; nothing was done")
    agree(printable(what))
    return session.client.send("POST", path, {**body, "yes": True})


def is_attended() -> bool:
    """Whether a person sits there to be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask_person(question: str) -> bool:
    """Ask on the terminal; only y or yes is a yes. Ctrl-C ends the command, Ctrl-D is a no."""
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def login_name() -> str:
    """Who types: under sudo the person behind it; "" when the system has no name for them."""
    if os.geteuid() == 0 and os.environ.get("SUDO_USER"):
        name = os.environ["SUDO_USER"]
    else:
        try:
            name = pwd.getpwuid(os.getuid()).pw_name
        except KeyError:
            return ""
    return name if name.isascii() and name.isprintable() else ""
