"""`power`: the power of nodes by hand, at once, through the daemon."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from kraken.cli.arguments import Duration, all_option, output_option, select
from kraken.cli.declare import show_change
from kraken.cli.errors import Exit, ProblemError
from kraken.cli.feed import Feed
from kraken.cli.following import ASKED, ORDERED, Ending, Following, Row, power_of
from kraken.cli.output import NO_NODES, Output, ago, count
from kraken.cli.session import Session, order, pass_session
from kraken.cli.wait import wait_for

STATUS = "status"
ACTIONS = ("on", "off", "cycle", "reset", "soft", STATUS)
DECLARABLE = ("on", "off")
TIMEOUT_S = {"soft": 660.0, STATUS: 30.0}  # beyond what the daemon itself gives a shutdown, or a look
TIMEOUT_S_ELSE = 150.0


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="NODESET on|off|cycle|reset|soft|status")
@all_option
@click.option("--hold", metavar="REASON", help="Hold the nodes first, until `kraken release`.")
@click.option(
    "--declare", is_flag=True, help="Declare it instead (on, off): Kraken then does it, and keeps it."
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask whether it is meant.")
@click.option("--no-wait", is_flag=True, help="Do not wait for the answer; of status: what is known already.")
@click.option("--timeout", type=Duration(), help="Wait no longer.  [default: 2m30s; soft 11m; status 30s]")
@output_option("table", "json", "yaml")
@pass_session
def power(
    session: Session,
    words: tuple[str, ...],
    everything: bool,
    hold: str | None,
    declare: bool,
    yes: bool,
    no_wait: bool,
    timeout: float | None,
    form: str,
) -> int:
    """Command the power of nodes, now.

    Whatever is declared, but never behind Kraken's back: what Kraken would undo is refused, unless
    --hold keeps it from that or --declare changes what is declared. What ends somebody's work is asked
    for (or wants --yes, or a reason for --hold); what a guard would keep Kraken from, as a job that
    runs, is told and wants --yes with a hold, too. Nodes are told of as their BMCs answer; a command is
    done when its effect was seen, not when a BMC has said yes. Exit code 4: some nodes did not tell,
    or failed.

    \b
    kraken power n[0001-0128] status
    kraken power n0017 off --hold "memory exchange, ticket 4711"
    kraken power n0017 reset --yes
    """
    nodeset, action = _read(words, everything)
    selection = select(nodeset, everything)
    _check_options(action, hold, declare)
    patience = timeout if timeout is not None else TIMEOUT_S.get(action, TIMEOUT_S_ELSE)
    if action == STATUS:
        return _status(session, selection, form, patience, look=not no_wait)
    if declare:
        answer = _declared(session, {**selection, "do": action}, yes=yes)
        show_change(session.output, form, answer, done="changed")
        return Exit.DONE if no_wait else wait_for(session, selection, patience)
    body = {**selection, "do": action, "hold": hold.strip() if hold else None}
    with Feed(session.client, nodeset) as feed:
        ordered = order(session, "/v1/power", body, yes=yes)
        kept = f"Held until `kraken release {nodeset or '--all'}`: {body['hold']}" if body["hold"] else ""
        if no_wait:
            told = f"power {action} commanded on {count(ordered['count'], 'node')}: {ordered['nodeset']}"
            session.output.show(form, ordered, table=lambda: _lines(session.output, [told, kept]))
            return Exit.DONE
        following = Following(session, feed, selection, form, ORDERED)
        rows = following.until(lambda row: _ended(row, ordered), patience)
    if form == "table" and kept:
        session.output.line(kept)
    return following.result(rows, f"power {action}")


def _declared(session: Session, body: Mapping[str, Any], *, yes: bool) -> dict[str, Any]:
    try:
        return order(session, "/v1/power/declare", body, yes=yes)
    except ProblemError as problem:
        if problem.kind == "unreachable":
            problem.hint = "`kraken set` declares it together with what can be had with it"
        raise


def _read(words: Sequence[str], everything: bool) -> tuple[str | None, str]:
    """The nodeset and the action."""
    wanted = 1 if everything else 2
    if len(words) == wanted and words[-1] in ACTIONS:
        return (None if everything else words[0]), words[-1]
    if len(words) == 2 and not everything and words[0] in ACTIONS:
        raise click.UsageError(f"the nodes come first: kraken power {words[1]} {words[0]}")
    if len(words) == 1 and not everything and words[0] in ACTIONS:
        raise click.UsageError("no nodes selected; name a nodeset like n[0001-0008] or @group, or say --all")
    if len(words) > wanted:
        raise click.UsageError(f"too many words: {' '.join(words)!r}; quote the nodeset")
    if len(words) == wanted:
        raise click.UsageError(f"power cannot be {words[-1]!r}: it is one of {', '.join(ACTIONS)}")
    raise click.UsageError(f"what to do is missing: one of {', '.join(ACTIONS)}")


def _check_options(action: str, hold: str | None, declare: bool) -> None:
    if hold is not None and not hold.strip():
        raise click.UsageError("the reason is empty; whoever finds the hold will want to know")
    if hold is not None and declare:
        raise click.UsageError("--hold keeps Kraken from acting, --declare has it act; give one of them")
    if action == STATUS and (hold is not None or declare):
        raise click.UsageError("status changes nothing; leave --hold and --declare out")
    if declare and action not in DECLARABLE:
        raise click.UsageError(f"{action} is no state that could be declared; --declare is for on and off")


def _status(session: Session, selection: dict[str, Any], form: str, patience: float, *, look: bool) -> int:
    """Ask the BMCs, or with `look` false: Kraken's memory."""
    before = power_of(session, selection)
    began = before["at"]
    if not before["nodes"]:
        session.output.show(form, before, table=lambda: session.output.line(NO_NODES))
        return Exit.DONE
    with Feed(session.client, selection.get("nodeset")) as feed:
        following = Following(session, feed, selection, form, ASKED)
        if look:
            asked = session.client.send("POST", "/v1/discover", {**selection, "variable": "phys_state"})
            unasked = {item["node"]: item["message"] for item in asked["items"] if not item["discoveries"]}
            rows = following.until(lambda row: _answered(row, began, unasked), patience)
        else:
            rows = following.until(_known, 0.0)
    return following.result(rows, "power status")


def _answered(row: Row, began: float, unasked: Mapping[str, str]) -> Ending | None:
    """How a look ended; None while it has not.

    Args:
        unasked: nodes that nobody looks at, and why.
    """
    if row["seen_at"] is not None and row["seen_at"] >= began:
        return True, row["value"], ""
    return None if row["looking"] else _silent(row, unasked.get(row["node"], ""))


def _known(row: Row) -> Ending:
    if row["seen_at"] is None or row["stale"]:
        return _silent(row)
    return True, row["value"], f"seen {ago(row['seen_at'])} ago"


def _silent(row: Row, why: str = "") -> Ending:
    """Why its power is not told: how far its BMC was reached, UNSEEN where that is not what hinders.

    Args:
        why: it was not looked at; "": it was, as far as is known.
    """
    reach = "" if why or row["reach"] in ("UNKNOWN", "OK") else row["reach"]
    said = why or row["said"] or reach or "no discovery sees it; has it bmc.protocol and bmc.address?"
    last = f"; {row['value']} was seen {ago(row['seen_at'])} ago" if row["seen_at"] is not None else ""
    return False, reach or "UNSEEN", f"{said}{last}"


def _ended(row: Row, ordered: Mapping[str, Any]) -> Ending | None:
    """How a command ended; None while it has not."""
    command = row["command"]
    if command is None:
        return False, "INTERRUPTED", f"the daemon was restarted; last seen: {row['value']}"
    joined = bool(ordered["repeated"]) and command["name"] == f"power_{ordered['do']}"
    if command["id"] != ordered["id"] and not joined:
        return False, "REPLACED", f"{command['by']} commanded {command['name']}"
    if not command["over"]:
        return None
    if command["stage"] == "OK":
        return True, row["value"], ""
    return False, command["stage"], command["message"]


def _lines(output: Output, lines: Iterable[str]) -> None:
    for line in lines:
        if line:
            output.line(line)
