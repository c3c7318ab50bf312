"""`credentials rotate`: BMCs that have the previous password of a credential are given the new one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from kraken.cli.arguments import all_option, output_option, select, yes_option
from kraken.cli.errors import CommandError, Exit, ProblemError, printable
from kraken.cli.nodes import fold
from kraken.cli.output import Output, count
from kraken.cli.session import Session, confirm, pass_session
from kraken.cli.ticker import Ticker

Row = Mapping[str, Any]

_WORDS: Final = {
    # stand -> (what is said of it, its style)
    "CHANGED": ("changed", "good"),
    "CURRENT": ("had it already", "good"),
    "PREVIOUS": ("has the previous", "held"),
    "HELD": ("held", "held"),
    "NOT_TRIED": ("not tried", "held"),
    "ELSEWHERE": ("elsewhere", "held"),
    "FAILED": ("failed", "bad"),
}
_PATH: Final = "/v1/credentials/rotate"


@click.command()
@click.argument("name")
@click.argument("nodeset", required=False)
@all_option
@click.option("--dry-run", is_flag=True, help="Change nothing; tell which password each BMC takes.")
@click.option("--held", is_flag=True, help="Change the BMCs of held nodes, too.")
@yes_option
@output_option("table", "json", "yaml")
@pass_session
def rotate(
    session: Session,
    name: str,
    nodeset: str | None,
    everything: bool,
    dry_run: bool,
    held: bool,
    yes: bool,
    form: str,
) -> int:
    """Give BMCs the new password of a credential.

    `kraken credentials new` puts it into the credentials file first. Then BMCs that take the previous one
    are given the new one: one of them first, then 16 at a time, each proved by a login. Once one has not
    taken it no more are begun; BMCs that let nobody in stop no other. Done again it goes on where it was.
    Of the nodes meant, only those that name the credential are asked. Nodes that another collector runs are
    told, and left to that one, which logs in with a credentials file of its own.

    When all have it, `kraken credentials finish` forgets the previous one. Exit code 4: some have not the
    new one yet; 1: none has.

    \b
    kraken credentials rotate lab --all --dry-run
    kraken credentials rotate lab @rack7
    """
    body = {**select(nodeset, everything), "name": name, "look": dry_run, "held": held}
    rows, is_whole = told(session, {**body, "yes": True} if yes else body, yes=yes, shown=form == "table")
    session.output.show(form, {"nodes": rows}, table=lambda: _show(session.output, rows))
    session.output.flush()
    good = sum(row["stand"] in ("CHANGED", "CURRENT") for row in rows)
    if not is_whole:
        raise CommandError(
            f"credentials rotate: the answer was cut off after {count(len(rows), 'node')}",
            code=Exit.PARTIAL if rows else Exit.ERROR,
            hint="do it again: it goes on where it was",
        )
    if rows and all(row["stand"] == "ELSEWHERE" for row in rows):
        raise CommandError(
            f"credentials rotate: other collectors log in to {count(len(rows), 'BMC')}; nothing was done",
            hint="do it at the machine of each collector named above, after `credentials new` there",
        )
    bad = [row["node"] for row in rows if row["stand"] not in ("CHANGED", "CURRENT", "ELSEWHERE")]
    if bad:
        raise CommandError(
            f"credentials rotate: {len(bad):,} of {count(len(rows), 'BMC')} not known to have the new "
            f"password of {name!r}: {fold(bad)}",
            code=Exit.PARTIAL if good else Exit.ERROR,
            hint="leave previous in the credentials file until they have",
        )
    if everything and form == "table" and _has_previous(session, name):
        session.output.line(f"Next: kraken credentials finish {name}")
    return Exit.DONE


def _has_previous(session: Session, name: str) -> bool:
    """Whether the credentials file has a password of before to be forgotten."""
    uses = session.client.get("/v1/credentials", all=True)["credentials"]
    return any(use["name"] == name and use["rotating"] for use in uses)


def told(session: Session, body: Mapping[str, Any], *, yes: bool, shown: bool) -> tuple[list[Row], bool]:
    """What was told of each node, and whether that was all; a person is asked where need be."""
    rows: list[Row] = []
    ticker = Ticker(shown=shown)
    try:
        for line in session.client.lines(_PATH, body):
            if "node" not in line:
                return rows, True
            rows.append(line)
            ticker.show(f"{count(len(rows), 'BMC')} told of")
    except ProblemError as problem:
        if problem.kind != "needs-confirmation" or yes:
            raise
        confirm(problem, body, "")
        return told(session, {**body, "yes": True}, yes=True, shown=shown)
    finally:
        ticker.clear()
    return rows, False


def _show(output: Output, rows: Sequence[Row]) -> None:
    alike: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        alike.setdefault((row["stand"], row["message"]), []).append(row["node"])
    for stand, (word, style) in _WORDS.items():
        for (found, said), names in alike.items():
            if found == stand:
                line = output.paint(f"{word:<17}", style) + fold(names)
                output.line(line + (f"  {printable(said)}" if said else ""))
