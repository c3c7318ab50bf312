"""`credentials`: with which credentials Kraken logs in to BMCs, and whether they are let in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from ClusterShell.NodeSet import NodeSet

from kraken.cli.arguments import Duration, all_option, output_option, select
from kraken.cli.errors import CommandError, Exit, complain, printable
from kraken.cli.feed import Feed
from kraken.cli.following import Ending, Following, Row, Said, power_of
from kraken.cli.group import CommandGroup
from kraken.cli.newpassword import finish, new
from kraken.cli.output import NO_NODES, Output, ago
from kraken.cli.rotate import rotate
from kraken.cli.session import Session, pass_session
from kraken.cli.table import Column

CREDENTIALS = (
    Column("CREDENTIAL"),
    Column("NODES", right=True),
    Column("NODESET", wraps=True, lines_max=2),
    Column("STATE", wraps=True),
)
CHECKED = Said("let in", "did not let Kraken in", "no word yet of")
TIMEOUT_S = 60.0
UNNAMED = "(none)"


@click.group(cls=CommandGroup, invoke_without_command=True)
@click.pass_context
def credentials(ctx: click.Context) -> None:
    """Credentials for BMCs: list, check, and change their passwords: new, rotate, finish.

    Nodes name them in the attribute bmc.credential; the file that the daemon's configuration names
    holds them. No secret is shown unless you ask for it, or leaves that file but to the BMC.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(Exit.USAGE)


credentials.add_command(new)
credentials.add_command(rotate)
credentials.add_command(finish)


@credentials.command("list")
@click.argument("nodeset", required=False)
@output_option("table", "json", "yaml")
@pass_session
def list_(session: Session, nodeset: str | None, form: str) -> int:
    """List credentials, and which nodes log in with them.

    Without a nodeset, of all nodes. Exit code 1: the file cannot be used, or nodes name what it has not.
    """
    answer = session.client.get("/v1/credentials", **select(nodeset, False, or_all=True))
    session.output.show(form, answer, table=lambda: _show(session.output, answer))
    if answer["problem"]:
        raise CommandError(f"the credentials cannot be used: {answer['problem']}")
    missing = [use for use in answer["credentials"] if use["count"] and not use["known"]]
    if missing:
        names = ", ".join(use["name"] or UNNAMED for use in missing)
        raise CommandError(
            f"nodes name credentials that {answer['file']} has not: {printable(names)}",
            hint="add them there, or correct bmc.credential",
        )
    return Exit.DONE


@credentials.command()
@click.argument("nodeset", required=False)
@all_option
@click.option("--timeout", type=Duration(), help="Wait no longer.  [default: 1m]")
@output_option("table", "json", "yaml")
@pass_session
def check(session: Session, nodeset: str | None, everything: bool, timeout: float | None, form: str) -> int:
    """Try whether BMCs let Kraken in.

    Each BMC is asked once, with the credential its node names, as the file has it now: after a change
    of the file a new login is made. A BMC that refused the same password lately is not tried again, since
    accounts lock; it is told with what it said. Exit code 4: some did not let Kraken in.

    Over IPMI, a BMC may let a user in who may only look: then the first change is refused, with the reason.

    \b
    kraken credentials check @rack7
    """
    selection = select(nodeset, everything)
    uses = session.client.get("/v1/credentials", **selection)
    if uses["problem"]:
        raise CommandError(f"the credentials cannot be used: {uses['problem']}; nothing was tried")
    named = {node: use["name"] for use in uses["credentials"] for node in NodeSet(use["nodeset"])}
    before = power_of(session, selection)
    began = before["at"]
    if not before["nodes"]:
        session.output.show(form, before, table=lambda: session.output.line(NO_NODES))
        return Exit.DONE

    def ending(row: Row) -> Ending | None:
        return _ending(row, named, began)

    with Feed(session.client, selection.get("nodeset")) as feed:
        following = Following(session, feed, selection, form, CHECKED)
        session.client.send("POST", "/v1/discover", {**selection, "variable": "phys_state"})
        rows = following.until(ending, timeout if timeout is not None else TIMEOUT_S)
    code = following.result(rows, "credentials check")
    idle = [use["name"] for use in uses["credentials"] if not use["count"]]
    if idle and everything:
        complain(f"no node names these credentials: {', '.join(idle)}")
    return code


def _ending(row: Row, named: Mapping[str, str], began: float) -> Ending | None:
    """How far a node's BMC let us in; None while it is being asked."""
    name = named.get(row["node"])
    if name is None:
        return False, "NO_BMC", "it has no bmc.address"
    with_it = f"credential {name}" if name else "it names no bmc.credential"
    if row["seen_at"] is not None and row["seen_at"] >= began:
        return True, "OK", with_it
    if row["looking"]:
        return None
    if row["reach"] in ("UNKNOWN", "OK"):
        return False, "NOT_ASKED", f"{with_it}: {row['said'] or 'nobody looks; has it bmc.protocol?'}"
    if row["reach"] == "BAD_CREDENTIALS":
        return False, row["reach"], f"{with_it}; `kraken explain` has what each BMC said"
    last = f"; it let us in {ago(row['seen_at'])} ago" if row["seen_at"] is not None else ""
    return False, row["reach"], f"{with_it}: {row['said']}{last}"


def _show(output: Output, answer: Mapping[str, Any]) -> None:
    rows = []
    for use in answer["credentials"]:
        state = "in the file" if use["known"] else "" if answer["problem"] else "not in the file"
        if not use["name"]:
            state = "these nodes name none"
        if use["known"] and not use["count"]:
            state = "in the file, named by no node"
        if use.get("rotating"):
            state += "; its rotation is not complete"
        rows.append([use["name"] or UNNAMED, f"{use['count']:,}", use["nodeset"], state])
    if not rows:
        output.line("No node has a BMC, and there are no credentials.")
        return
    output.line(answer["file"])
    output.table(CREDENTIALS, rows)
