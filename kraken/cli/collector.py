"""`collector`: who belongs to the tree of collectors, and who may join it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import click

from kraken.cli.arguments import Duration, output_option
from kraken.cli.errors import CommandError, Exit, complain, printable
from kraken.cli.group import CommandGroup
from kraken.cli.output import Output, clock, refusals, span
from kraken.cli.session import Session, order, pass_session
from kraken.cli.table import Cell, Column

COLLECTORS = (
    Column("COLLECTOR"),
    Column("STATE", wraps=True),
    Column("SINCE"),
    Column("HEARD", right=True),
    Column("LAG", right=True),
    Column("NODES", right=True),
    Column("LETTERS/S", right=True),
    Column("BYTES/S", right=True),
    Column("DROPPED", right=True),
    Column("KEY"),
)
VALID_S: Final = 3600.0
TIMEOUT_S: Final = 30.0
POLL_S: Final = 0.2

_STATES: Final = {  # of the API -> in words, and how it looks
    "CONNECTED": ("connected", "good"),
    "SILENT": ("silent", "bad"),
    "TWINS": ("two daemons", "bad"),
    "AWAY": ("away", "bad"),
    "INVITED": ("invited", "busy"),
    "OVER": ("never joined, its invitation is over", "warn"),
    "REVOKED": ("revoked", "dim"),
}


@click.group(cls=CommandGroup, invoke_without_command=True)
@click.pass_context
def collector(ctx: click.Context) -> None:
    """Collectors below this one: invite, list, revoke, change their keys.

    A collector is a daemon with nodes below it. Invited here, it joins with `kraken join` on its own
    machine; from then on both know each other by their keys.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(Exit.USAGE)


@collector.command()
@click.argument("name")
@click.option("--expires", type=Duration(), default=VALID_S, help="How long it is good.  [default: 1h]")
@click.option(
    "--address",
    "addresses",
    multiple=True,
    metavar="HOST:PORT",
    help="Where the new collector reaches this one, instead of what is configured; may be given again.",
)
@output_option("token", "json")
@pass_session
def invite(session: Session, name: str, expires: float, addresses: tuple[str, ...], form: str) -> int:
    """Make a token with which one collector can join under this name.

    The token goes to stdout, alone, and nowhere else: no log and no journal has it. It is a secret until
    it was used, good once, and for an hour unless you say otherwise. An invitation made before for the name
    and not used is over. Inviting a name that is in use disturbs nobody: who joins with the token takes
    its place.

    \b
    kraken collector invite rack7
    kraken collector invite rack7 | ssh rack7 sudo -u kraken kraken join -
    """
    body = {"name": name, "expires_s": expires, "addresses": list(addresses)}
    answer = session.client.send("POST", "/v1/collectors/invite", body)
    if answer["replaces"]:
        complain(f"{name} has joined already: who joins with this token takes its place")
    if form == "json":
        session.output.line(json.dumps(answer, indent=2))
        return Exit.DONE
    session.output.line(answer["token"])
    session.output.flush()
    if session.output.width is not None:
        until = f"until {clock(answer['expires_at'])} ({span(expires)})"
        print(
            f"\nGood once, {until}; a secret until then. The new collector reaches this one at "
            f"{', '.join(answer['addresses'])}.\nOn its machine, as the user its daemon runs as:\n\n"
            "    kraken join -\n\nand paste the token.",
            file=sys.stderr,
        )
    return Exit.DONE


@collector.command("list")
@output_option("table", "json", "yaml", "ndjson")
@pass_session
def list_(session: Session, form: str) -> int:
    """List the collectors below this one, as a tree, and its parent.

    \b
    connected   it is heard
    silent      its connection stands, and it has said nothing for too long
    two daemons another has its name and key: neither begins anything
    away        it has joined, and no connection was seen
    invited     nobody has used its token yet
    revoked     it is heard no more

    `other modules`: it has other Kraken modules than this collector, so that `kraken plan` here may not be
    what it does. `degraded`: it is not well, and says below the table of what.

    SINCE is for how long that has been so: of one that is connected, since its daemon, as it runs now, was
    first heard. HEARD is since when it said nothing, LAG how long that was under way at most, NODES how many
    it runs. LETTERS/S and BYTES/S are those of the last minute, from it and to it; DROPPED counts what could
    not be sent since the daemon started, and is said again. KEY is how its public key begins; with `*` it is
    changing. Of who is further down than its children, their parents are asked; one that does not answer is
    named, and leaves dashes.
    -o ndjson prints a line of JSON for each collector.
    """
    answer = session.client.get("/v1/collectors", below="asked")
    if form == "ndjson":
        for row in answer["collectors"]:
            session.output.line(json.dumps(row))
        return Exit.DONE
    session.output.show(form, answer, table=lambda: _show(session.output, answer))
    return Exit.DONE


@collector.command()
@click.argument("name")
@click.option(
    "--stopped", is_flag=True, help="You know that it runs nothing any more: its nodes need not wait."
)
@click.option("--yes", "-y", "yes", is_flag=True, help="Do not ask.")
@pass_session
def revoke(session: Session, name: str, stopped: bool, yes: bool) -> int:
    """Hear a collector no more, at once.

    Its key is good no more, and an invitation that is open for the name is over. Nodes that list another
    collector as well go to that one when the lease of the revoked is over, or with --stopped at once: say so
    only when its machine is off, or its daemon stopped, or two collectors may switch one node. To let it in
    again, invite it and join again. Exit code 3: not confirmed.

    \b
    kraken collector revoke rack7
    """
    body = {"name": name, "stopped": stopped}
    answer = order(session, "/v1/collectors/revoke", body, yes=yes)
    output = session.output
    output.line(f"{name} is heard no more.")
    if answer["elsewhere"]:
        when = "now" if stopped else "when its lease is over"
        output.line(f"Others get these nodes {when}: {printable(answer['elsewhere'])}")
    if answer.get("endless"):
        which = printable(answer["endless"])
        output.line(f"Only with --stopped, as it may not have heard of others for them yet: {which}")
    if answer["nowhere"]:
        output.line(f"No other collector is declared for these nodes: {printable(answer['nowhere'])}")
    if answer["had_joined"] and not stopped:
        complain(f"{name} may go on with what it heard last as long as its daemon runs: stop that")
    return Exit.DONE


@collector.command()
@click.argument("name", required=False)
@click.option("--timeout", type=Duration(), default=TIMEOUT_S, help="Wait no longer.  [default: 30s]")
@pass_session
def rotate(session: Session, name: str | None, timeout: float) -> int:
    """Have a collector change its key; without a name, this one its own for its parent.

    Nothing is interrupted: the former key is good until the new one was seen. Once begun it goes on by
    itself, over restarts of both. Exit code 5: it was begun, and is not complete yet.

    \b
    kraken collector rotate rack7
    """
    begun = session.client.send("POST", "/v1/collectors/rotate", {"name": name})
    deadline = time.monotonic() + timeout
    while (key := _new_key(session.client.get("/v1/collectors"), name, begun["key"])) is None:
        if time.monotonic() > deadline:
            raise CommandError(
                f"{begun['name']} has not changed its key within {span(timeout)}",
                code=Exit.TIMEOUT,
                hint="it goes on by itself: `kraken collector list` shows when it is done",
            )
        time.sleep(POLL_S)
    session.output.line(f"{begun['name']}: its key begins with {key} now; it was {begun['key']}.")
    return Exit.DONE


def _new_key(answer: Mapping[str, Any], name: str | None, former: str) -> str | None:
    """How the new key begins; None: it is not in use yet."""
    if name is None:
        above = answer["parent"]
        key, changing = (former, True) if above is None else (above["own_key"], above["changing_key"])
    else:
        rows = [row for row in answer["collectors"] if row["name"] == name]
        key, changing = (rows[0]["key"], rows[0]["changing_key"]) if rows else (former, True)
    return None if changing or key == former else str(key)


def _show(output: Output, answer: Mapping[str, Any]) -> None:
    above, rows, at = answer["parent"], answer["collectors"], answer["at"]
    if above is not None:
        style = "good" if above["state"] == "CONNECTED" else "bad"
        since = "" if above["since"] is None else f", {span(at - above['since'])}"
        head = f"Parent: {printable(above['name'])}, {output.paint(above['reason'], style)}{since}"
        changing = "*" if above["changing_key"] else ""
        output.line(f"{head}; its key begins with {above['key']}, ours with {above['own_key']}{changing}")
    if rows:
        me = [answer["name"], "this collector", "", "", "", f"{answer['nodes']:,}"]
        me += [""] * (len(COLLECTORS) - len(me))
        drawn = _drawn(rows, answer["name"])
        output.table(COLLECTORS, [me, *(_row(row, branch, at, answer["name"]) for row, branch in drawn)])
        for row in rows:
            if row.get("health"):
                since = "" if row["health_since"] is None else f" for {span(at - row['health_since'])}"
                text = f"{printable(row['name'])} is degraded{since}: {printable(row['health'])}"
                output.line(output.paint(text, "warn"))
        for name, why in (answer.get("unanswered") or {}).items():
            text = f"{printable(name)} does not tell of those below it: {printable(why)}"
            output.line(output.paint(text, "warn"))
    elif answer["listen"] is None:
        output.line(
            "No collector can join below this one: set tree.listen in its configuration, like '*:7411'."
        )
    else:
        output.line("No collector was invited yet: `kraken collector invite NAME` makes a token.")
    if answer["refused"]:
        output.line(output.paint(f"Refused: {refusals(answer['refused'])}", "warn"))


def _row(row: Mapping[str, Any], branch: str, at: float, root: str) -> list[str | Cell]:
    word, style = _STATES.get(row["state"], (str(row["state"]).lower(), ""))
    if row["expires_at"] is not None:
        word += f" until {clock(row['expires_at'])}" if row["state"] == "INVITED" else ", invited again"
    if row.get("modules") == "OTHER":
        word, style = f"{word}, other modules", style if style == "bad" else "warn"
    if row.get("health"):
        word, style = f"{word}, degraded", style if style == "bad" else "warn"
    flow = row["flow"] if row["key"] else None
    untold = "-" if row["flow"] is None and row["parent"] != root else ""  # its parent did not say
    return [
        branch + row["name"],
        Cell(word, style),
        "" if row["since"] is None else span(at - row["since"]),
        untold if row["heard_s"] is None else f"{span(row['heard_s'])} ago",
        untold if row["lag_s"] is None else _lag(row["lag_s"]),
        f"{row['nodes']:,}",
        untold if flow is None else _both(flow["letters_in_s"], flow["letters_out_s"], lambda n: f"{n:.1f}"),
        untold if flow is None else _both(flow["bytes_in_s"], flow["bytes_out_s"], lambda n: f"{n:,.0f}"),
        f"{flow['dropped']:,}" if flow is not None and flow["dropped"] else "",
        untold or row["key"] + ("*" if row["changing_key"] else ""),
    ]


def _drawn(rows: Sequence[Mapping[str, Any]], root: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Each collector after the one it hangs below, with the branch that leads to it. Who hangs below nobody
    that is known, or below itself, is drawn below the root.
    """
    parent = {row["name"]: row["parent"] for row in rows}
    below: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        above, seen = row["parent"], {row["name"]}
        while above in parent and above not in seen:
            seen.add(above)
            above = parent[above]
        below.setdefault(row["parent"] if above == root else root, []).append(row)

    def under(name: str, lead: str) -> Iterator[tuple[Mapping[str, Any], str]]:
        children = below.get(name, [])
        for number, row in enumerate(children, 1):
            is_last = number == len(children)
            yield row, lead + ("└─ " if is_last else "├─ ")
            yield from under(row["name"], lead + ("   " if is_last else "│  "))

    return under(root, "")


def _lag(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1.0 else span(seconds)


def _both(inward: float, outward: float, written: Callable[[float], str]) -> str:
    return f"{written(inward)} / {written(outward)}"
