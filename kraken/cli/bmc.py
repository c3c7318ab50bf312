"""`bmc`: what BMCs say of themselves and their nodes, asked now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from kraken.cli.arguments import Duration, all_option, output_option, select, yes_option
from kraken.cli.errors import CommandError, Exit
from kraken.cli.group import CommandGroup
from kraken.cli.nodes import fold
from kraken.cli.output import Output, count, span
from kraken.cli.readings import (
    BAD,
    Shows,
    Told,
    show_bad_sensors,
    show_failed,
    show_info,
    show_sel,
    show_sensors,
)
from kraken.cli.session import Session, pass_session

TIMEOUT_S = 60.0
LIT_S_MAX = 255.0  # one byte of Chassis Identify (IPMI 2.0, table 28-5)

Row = Mapping[str, Any]
Entries = list[dict[str, Any]]


@click.group(cls=CommandGroup, invoke_without_command=True)
@click.pass_context
def bmc(ctx: click.Context) -> None:
    """BMCs asked: show, sel, sensors, identify.

    Each asks the BMCs now, and identify switches a light; nothing else of a node is changed, and what is
    known of nodes stays as it is. Nodes whose BMCs say the same are told of together, when all have answered;
    Ctrl-C shows what has come until then, and -o ndjson prints a line for each as it answers.

    Exit code 4: some did not tell, or do it; 1: none did.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(Exit.USAGE)


_timeout = click.option("--timeout", type=Duration(), help="Wait no longer.  [default: 1m]")


@bmc.command()
@click.argument("nodeset", required=False)
@all_option
@_timeout
@output_option("table", "json", "yaml", "ndjson")
@pass_session
def show(session: Session, nodeset: str | None, everything: bool, timeout: float | None, form: str) -> int:
    """Show who BMCs are: maker, firmware, serial numbers, power, light, boot device.

    Over Redfish also whether Kraken listens to a stream of the BMC's events, since when, or why not; without
    one a BMC is polled all the same, and what others do to its node is seen with the next poll.

    \b
    kraken bmc show n0017
    kraken bmc show @rack7 -o json
    """
    return _read(session, "info", select(nodeset, everything), timeout, form, show_info)


@bmc.command()
@click.argument("nodeset", required=False)
@all_option
@click.option("--bad", is_flag=True, help="Only sensors whose BMC says WARNING or CRITICAL of them.")
@_timeout
@output_option("table", "json", "yaml", "ndjson")
@pass_session
def sensors(
    session: Session, nodeset: str | None, everything: bool, bad: bool, timeout: float | None, form: str
) -> int:
    """Show sensors and what they say.

    One that cannot be read just now has no value. Over IPMI a BMC is first asked which sensors it has, which
    can take many seconds; the daemon remembers it. One that is not well is shown with its thresholds.

    Nodes whose sensors are alike but for their values are told of together, with the lowest and the
    highest value.

    \b
    kraken bmc sensors n0017
    kraken bmc sensors @rack7 --bad
    """
    keeps = _bad_ones if bad else None
    shows = show_bad_sensors if bad else show_sensors
    return _read(session, "sensors", select(nodeset, everything), timeout, form, shows, keeps)


@bmc.command()
@click.argument("nodeset", required=False)
@all_option
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="Only the newest N entries of each.")
@_timeout
@output_option("table", "json", "yaml", "ndjson")
@pass_session
def sel(
    session: Session,
    nodeset: str | None,
    everything: bool,
    last: int | None,
    timeout: float | None,
    form: str,
) -> int:
    """Show the system event log, oldest entry first.

    Times are by the clock of the BMC, which may be wrong; an entry from before that clock was set has
    none.
    """
    keeps = None if last is None else lambda entries: entries[-last:]
    return _read(session, "sel", select(nodeset, everything), timeout, form, show_sel, keeps)


@bmc.command()
@click.argument("words", nargs=-1, required=True, metavar="NODESET [on|off]")
@all_option
@click.option("--for", "lasting", type=Duration(), help="On for so long, 4m15s at most; over IPMI only.")
@yes_option
@output_option("table", "json", "yaml")
@pass_session
def identify(
    session: Session,
    words: tuple[str, ...],
    everything: bool,
    lasting: float | None,
    yes: bool,
    form: str,
) -> int:
    """Switch the light by which a node is found on, or off.

    Nothing else of the node changes; held nodes are lit, too. It stays so until it is switched off, or with
    --for until the BMC switches it off itself, whatever becomes of the daemon: Redfish has no such thing.

    \b
    kraken bmc identify n0017
    kraken bmc identify n0017 --for 2m
    kraken bmc identify n0017 off
    """
    given = list(words)
    do = given.pop() if given[-1] in ("on", "off") else "on"
    if len(given) > (0 if everything else 1):
        text = f"a nodeset, then on or off, is what identify takes, not {' '.join(words)!r}"
        raise click.UsageError(f"{text}; a nodeset with blanks wants quotes")
    if lasting is not None and (do == "off" or not 1 <= lasting <= LIT_S_MAX):
        raise click.UsageError("--for is of a light that goes on, from 1s to 4m15s; a BMC counts no longer")
    body = {**select(given[0] if given else None, everything), "do": do}
    if lasting is not None:
        body["seconds"] = round(lasting)
    answer = session.change("POST", "/v1/bmc/identify", body, yes=yes)
    rows = answer["nodes"]
    did = f"light {do}" if lasting is None else f"light on for {span(lasting)}"
    session.output.show(form, answer, table=lambda: _show_lights(session.output, rows, did))
    session.output.flush()
    bad = [row["node"] for row in rows if row["outcome"] != "OK"]
    if bad:
        raise CommandError(
            f"bmc identify: {len(bad):,} of {count(len(rows), 'node')} did not do it: {fold(bad)}",
            code=Exit.ERROR if len(bad) == len(rows) else Exit.PARTIAL,
        )
    return Exit.DONE


def _show_lights(output: Output, rows: Sequence[Row], did: str) -> None:
    lit = [row["node"] for row in rows if row["outcome"] == "OK"]
    if lit:
        output.line(output.paint(f"{did:<11} ", "good") + fold(lit))
    show_failed(output, [row for row in rows if row["outcome"] != "OK"])


def _read(
    session: Session,
    topic: str,
    selection: Mapping[str, Any],
    timeout: float | None,
    form: str,
    shows: Shows,
    keeps: Callable[[Entries], Entries] | None = None,
) -> int:
    """Ask, and show what was told: each line as it comes, or all of it folded.

    Args:
        keeps: which of a node's entries are wanted.
    """
    patience = timeout if timeout is not None else TIMEOUT_S
    told = Told("show" if topic == "info" else topic, session.output, form)
    try:
        for line in session.client.lines(f"/v1/bmc/{topic}", **selection, timeout=patience):
            if keeps is not None and line.get("data") is not None:
                line["data"] = keeps(line["data"])
            told.take(line)
    except KeyboardInterrupt:
        told.interrupted = True
    finally:
        told.clear()
    told.show(shows)
    told.check()
    return Exit.DONE


def _bad_ones(sensors: Entries) -> Entries:
    return [sensor for sensor in sensors if sensor["health"] in BAD]
