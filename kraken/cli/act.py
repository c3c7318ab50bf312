"""Act: `discover`, `retry`, `hold`, `release`, `freeze`, `thaw`."""

from __future__ import annotations

from typing import Any

import click

from kraken.cli.arguments import Duration, all_option, output_option, select, yes_option
from kraken.cli.declare import show_change
from kraken.cli.errors import Exit, complain
from kraken.cli.session import Session, pass_session

reason_option = click.option("--reason", required=True, metavar="TEXT", help="Why, for whoever asks.")


@click.command()
@click.argument("nodeset", required=False)
@all_option
@output_option("table", "json", "yaml", "name")
@pass_session
def discover(session: Session, nodeset: str | None, everything: bool, form: str) -> None:
    """Look at nodes now.

    Not only when the next look is due. Returns at once; what is seen shows in `kraken show` and
    `kraken watch`.
    """
    answer = session.change("POST", "/v1/discover", select(nodeset, everything))
    show_change(session.output, form, answer, done="being looked at")


@click.command()
@click.argument("nodeset", required=False)
@all_option
@output_option("table", "json", "yaml", "name")
@pass_session
def retry(session: Session, nodeset: str | None, everything: bool, form: str) -> None:
    """Try nodes again: ends quarantine and back-off.

    Their failures are forgotten; do it when their reason is gone.
    """
    answer = session.change("POST", "/v1/retry", select(nodeset, everything))
    show_change(session.output, form, answer, done="tried again", none="none was in quarantine or back-off")


@click.command()
@click.argument("nodeset", required=False)
@all_option
@reason_option
@click.option("--for", "length", type=Duration(), help="Lifts itself after this long, like 2h.")
@yes_option
@output_option("table", "json", "yaml", "name")
@pass_session
def hold(
    session: Session,
    nodeset: str | None,
    everything: bool,
    reason: str,
    length: float | None,
    yes: bool,
    form: str,
) -> int:
    """Leave nodes alone until released.

    No mutation starts on them, whatever is declared. Discovery goes on, and what is under way ends
    by itself; it is told. Holds stack: a node is free when its last one is gone. A collector that is not
    reached does not know of the hold yet: that is told, too, and the exit code is 4.

    \b
    kraken hold n0017 --reason "memory exchange, ticket 4711" --for 4h
    """
    body: dict[str, Any] = {**select(nodeset, everything), "reason": reason.strip(), "for_s": length}
    if not body["reason"]:
        raise click.UsageError("the reason is empty; whoever finds the hold will want to know")
    answer = session.change("POST", "/v1/holds", body, yes=yes)
    show_change(session.output, form, answer, done="held")
    return _tell_lacking(answer)


@click.command()
@click.argument("nodeset", required=False)
@all_option
@click.option("--id", "hold_id", metavar="ID", help="Only this hold.")
@click.option("--owner", metavar="NAME", help="Only holds this person set.")
@output_option("table", "json", "yaml", "name")
@pass_session
def release(
    session: Session,
    nodeset: str | None,
    everything: bool,
    hold_id: str | None,
    owner: str | None,
    form: str,
) -> None:
    """Lift holds of nodes.

    Every hold of theirs, or only those that --id or --owner name. `kraken status` lists them.
    """
    body = {**select(nodeset, everything), "id": hold_id, "owner": owner}
    answer = session.change("POST", "/v1/holds/release", body)
    show_change(session.output, form, answer, done="released", none="no such hold")


@click.command()
@reason_option
@output_option("table", "json", "yaml")
@pass_session
def freeze(session: Session, reason: str, form: str) -> int:
    """Start no mutation anywhere.

    Until `kraken thaw`; discovery goes on. What is under way ends by itself; nothing is stopped
    half done. A collector that is not reached does not know of it yet: that is told, and the exit
    code is 4.
    """
    if not reason.strip():
        raise click.UsageError("the reason is empty; whoever finds the freeze will want to know")
    answer = session.change("POST", "/v1/freeze", {"reason": reason.strip()})
    output = session.output
    where = " where it is known" if answer.get("lacking") else ""
    done = f"Frozen{where}: no mutation starts until `kraken thaw`."
    output.show(form, answer, table=lambda: output.line(done))
    return _tell_lacking(answer)


@click.command()
@output_option("table", "json", "yaml")
@pass_session
def thaw(session: Session, form: str) -> None:
    """Lift the freeze.

    However often it was set. Holds of nodes stay.
    """
    answer = session.change("POST", "/v1/thaw", {})
    output = session.output
    done = "Thawed: mutations start again." if answer.get("lifted", True) else "Nothing was frozen."
    output.show(form, answer, table=lambda: output.line(done))


def _tell_lacking(answer: dict[str, Any]) -> int:
    """Say where a hold, or a freeze, may not be in force; the exit code."""
    lacking: dict[str, str] = answer.get("lacking") or {}
    for where, why in lacking.items():
        complain(f"{where}: {why}")
    return Exit.PARTIAL if lacking else Exit.DONE
