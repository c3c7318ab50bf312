"""`bmc`: what BMCs say of themselves and their nodes, asked now."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from kraken.cli.arguments import Duration, all_option, output_option, select, yes_option
from kraken.cli.errors import CommandError, Exit, printable
from kraken.cli.nodes import fold
from kraken.cli.output import Output, clock, count
from kraken.cli.session import Session, pass_session
from kraken.cli.table import Cell, Column
from kraken.cli.ticker import Ticker

TIMEOUT_S = 60.0

SENSORS = (
    Column("SENSOR"),
    Column("KIND"),
    Column("VALUE", right=True),
    Column("UNIT"),
    Column("HEALTH"),
    Column("STATES", wraps=True),
)
SEL = (Column("ID"), Column("AT"), Column("SEVERITY"), Column("SENSOR"), Column("MESSAGE", wraps=True))

_STYLES = {"OK": "good", "WARNING": "held", "CRITICAL": "bad"}
_NOT_TOLD = "-"

Row = Mapping[str, Any]
Shows = Callable[[Output, Any], None]


@click.group(invoke_without_command=True)
@click.pass_context
def bmc(ctx: click.Context) -> None:
    """BMCs asked: show, sel, sensors, identify.

    Each asks the BMCs now, and identify switches a light; nothing else of a node is changed, and what is
    known of nodes stays as it is. Nodes whose BMCs say the same are told of together. Exit code 4: some
    did not tell, or do it; 1: none did.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(Exit.USAGE)


_timeout = click.option("--timeout", type=Duration(), help="Wait no longer.  [default: 1m]")


@bmc.command()
@click.argument("nodeset", required=False)
@all_option
@_timeout
@output_option("table", "json", "yaml")
@pass_session
def show(session: Session, nodeset: str | None, everything: bool, timeout: float | None, form: str) -> int:
    """Show who BMCs are: maker, firmware, serial numbers, power, light, boot device.

    \b
    kraken bmc show n0017
    kraken bmc show @rack7 -o json
    """
    return _read(session, "info", select(nodeset, everything), timeout, form, _show_info)


@bmc.command()
@click.argument("nodeset", required=False)
@all_option
@_timeout
@output_option("table", "json", "yaml")
@pass_session
def sensors(session: Session, nodeset: str | None, everything: bool, timeout: float | None, form: str) -> int:
    """Show sensors and what they say.

    One that cannot be read just now has no value. Over IPMI a BMC is first asked which sensors it has, which
    can take many seconds; the daemon remembers it.
    """
    return _read(session, "sensors", select(nodeset, everything), timeout, form, _show_sensors)


@bmc.command()
@click.argument("nodeset", required=False)
@all_option
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="Only the newest N entries of each.")
@_timeout
@output_option("table", "json", "yaml")
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
    return _read(session, "sel", select(nodeset, everything), timeout, form, _show_sel, last)


@bmc.command()
@click.argument("words", nargs=-1, required=True, metavar="NODESET [on|off]")
@all_option
@yes_option
@output_option("table", "json", "yaml")
@pass_session
def identify(session: Session, words: tuple[str, ...], everything: bool, yes: bool, form: str) -> int:
    """Switch the light by which a node is found on, or off.

    Nothing else of the node changes; held nodes are lit, too. It stays so until it is switched off.

    \b
    kraken bmc identify n0017
    kraken bmc identify n0017 off
    """
    given = list(words)
    do = given.pop() if given[-1] in ("on", "off") else "on"
    if len(given) > (0 if everything else 1):
        raise click.UsageError(f"a nodeset, then on or off: {' '.join(words)!r} is more; quote the nodeset")
    body = {**select(given[0] if given else None, everything), "do": do}
    answer = session.change("POST", "/v1/bmc/identify", body, yes=yes)
    rows = answer["nodes"]
    session.output.show(form, answer, table=lambda: _show_lights(session.output, rows, do))
    session.output.flush()
    bad = [row["node"] for row in rows if row["outcome"] != "OK"]
    if bad:
        raise CommandError(
            f"bmc identify: {len(bad):,} of {count(len(rows), 'node')} did not do it: {fold(bad)}",
            code=Exit.ERROR if len(bad) == len(rows) else Exit.PARTIAL,
        )
    return Exit.DONE


def _show_lights(output: Output, rows: Sequence[Row], do: str) -> None:
    alike: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        alike.setdefault((row["outcome"], row["message"]), []).append(row["node"])
    for (outcome, said), names in sorted(alike.items(), key=lambda item: item[0][0] != "OK"):
        good = outcome == "OK"
        told = output.paint(f"{f'light {do}' if good else outcome:<11} ", "good" if good else "bad")
        output.line(f"{told}{fold(names)}" + (f"  {printable(said)}" if said else ""))


def _read(
    session: Session,
    topic: str,
    selection: Mapping[str, Any],
    timeout: float | None,
    form: str,
    shows: Shows,
    last: int | None = None,
) -> int:
    """Ask, and show what was told."""
    what = "show" if topic == "info" else topic
    rows: list[Row] = []
    end: Row | None = None
    ticker = Ticker(shown=form == "table")
    patience = timeout if timeout is not None else TIMEOUT_S
    try:
        for line in session.client.lines(f"/v1/bmc/{topic}", **selection, timeout=patience):
            if "node" not in line:
                end = line
                break
            if last is not None and line["data"] is not None:
                line["data"] = line["data"][-last:]
            rows.append(line)
            ticker.show(f"{count(len(rows), 'node')} told of")
    finally:
        ticker.clear()
    rows.sort(key=lambda row: row["outcome"] != "OK")
    session.output.show(form, {"nodes": rows}, table=lambda: _show(session.output, rows, shows))
    session.output.flush()
    if end is None:
        raise CommandError(
            f"bmc {what}: the answer was cut off after {count(len(rows), 'node')}",
            code=Exit.PARTIAL if rows else Exit.ERROR,
            hint="the daemon ended, or its log says why; ask again",
        )
    bad = [row["node"] for row in rows if row["outcome"] != "OK"]
    if bad:
        raise CommandError(
            f"bmc {what}: {len(bad):,} of {count(len(rows), 'node')} did not tell: {fold(bad)}",
            code=Exit.ERROR if len(bad) == len(rows) else Exit.PARTIAL,
        )
    return Exit.DONE


def _show(output: Output, rows: Sequence[Row], shows: Shows) -> None:
    """What was told, once for all nodes that tell the same; then who did not tell, and why."""
    alike: dict[str, list[Row]] = {}
    for row in rows:
        if row["outcome"] == "OK":
            alike.setdefault(json.dumps(_compared(row)), []).append(row)
    for number, same in enumerate(alike.values()):
        if number:
            output.line()
        output.line(fold([row["node"] for row in same]))
        shows(output, same)
    failed: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row["outcome"] != "OK":
            said = row["message"].replace(row["address"], "ADDRESS") if row["address"] else row["message"]
            word = (
                "NOT_ASKED"
                if row["reach"] is None
                else row["reach"]
                if row["reach"] != "OK"
                else row["outcome"]
            )
            failed.setdefault((word, said), []).append(row["node"])
    if alike and failed:
        output.line()
    addresses = {row["node"]: row["address"] for row in rows}
    for (reach, said), names in sorted(failed.items()):
        if len(names) == 1:
            said = said.replace("ADDRESS", addresses[names[0]])
        output.line(output.paint(f"{reach:<11} ", "bad") + f"{fold(names)}  {printable(said)}")


def _compared(row: Row) -> Any:
    """What makes nodes alike: all that was told but what is every machine's own."""
    data = row["data"]
    if isinstance(data, list):
        return data
    parts = [{**part, "serial": ""} for part in data["parts"]]
    return [row["protocol"], row["credential"], {**data, "serial": "", "guid": "", "parts": parts}]


def _show_info(output: Output, rows: Sequence[Row]) -> None:
    row, data = rows[0], rows[0]["data"]
    alone = len(rows) == 1
    each = "each its own; -o json has them"
    light = _NOT_TOLD if data["light"] is None else "on" if data["light"] else "off"
    pairs = [
        ("reach", row["reach"]),
        ("address", row["address"] if alone else each),
        ("protocol", row["protocol"]),
        ("credential", row["credential"]),
        ("manufacturer", data["manufacturer"]),
        ("product", data["product"]),
        ("serial", data["serial"] if alone or not any(r["data"]["serial"] for r in rows) else each),
        ("guid", data["guid"] if alone or not any(r["data"]["guid"] for r in rows) else each),
        *((f"firmware {one['name']}", one["version"]) for one in data["firmware"]),
        ("power", data["power"]),
        ("light", light),
        ("boot device", data["boot_device"]),
    ]
    for part in data["parts"]:
        words = [part["manufacturer"], part["product"], part["part_number"]]
        words += [f"serial {part['serial']}"] if alone and part["serial"] else []
        pairs.append((f"fru {part['name'].lower()}", ", ".join(word for word in words if word)))
    width = max(14, *(len(printable(name)) for name, _ in pairs))
    for name, value in pairs:
        output.line(f"  {printable(name):<{width}} {printable(value or _NOT_TOLD)}")


def _show_sensors(output: Output, rows: Sequence[Row]) -> None:
    data = rows[0]["data"]
    if not data:
        output.line("  it has no sensors")
        return
    output.table(
        SENSORS,
        [
            [
                printable(one["name"]),
                printable(one["kind"]),
                _NOT_TOLD if one["value"] is None else f"{one['value']:g}",
                printable(one["unit"]),
                Cell(one["health"], _STYLES.get(one["health"], "")),
                printable(", ".join(one["states"])),
            ]
            for one in data
        ],
    )


def _show_sel(output: Output, rows: Sequence[Row]) -> None:
    data = rows[0]["data"]
    if not data:
        output.line("  its log is empty")
        return
    output.table(
        SEL,
        [
            [
                printable(one["id"]),
                clock(one["at"]),
                Cell(one["severity"], _STYLES.get(one["severity"], "")),
                printable(one["sensor"]),
                printable(one["message"]),
            ]
            for one in data
        ],
    )
