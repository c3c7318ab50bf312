"""What BMCs tell: gathered as it comes, shown once for all nodes that tell the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kraken.cli.alike import folded_alike
from kraken.cli.errors import CommandError, Exit, printable
from kraken.cli.nodes import fold
from kraken.cli.output import Output, clock, count
from kraken.cli.table import Cell, Column
from kraken.cli.ticker import Ticker

SENSORS = (
    Column("SENSOR"),
    Column("KIND"),
    Column("VALUE", right=True),
    Column("UNIT"),
    Column("HEALTH"),
    Column("STATES", wraps=True),
    Column("THRESHOLDS", wraps=True),
)
SEL = (Column("ID"), Column("AT"), Column("SEVERITY"), Column("SENSOR"), Column("MESSAGE", wraps=True))

BAD = ("WARNING", "CRITICAL")
"""In how ill a health a sensor is told of by --bad."""

_STYLES = {"OK": "good", "WARNING": "held", "CRITICAL": "bad"}
_NOT_TOLD = "-"

Row = Mapping[str, Any]
Shows = Callable[[Output, Sequence[Row]], None]
"""Shows what several nodes told alike."""


class Told:
    """What came of asking BMCs, a line of the answer at a time.

    Args:
        what: the command, for messages.
        form: `ndjson` shows each node as it comes; the others wait for the last.

    Attributes:
        interrupted: nobody waits any more.
    """

    def __init__(self, what: str, output: Output, form: str) -> None:
        self._what = what
        self._output = output
        self._form = form
        self._ticker = Ticker(shown=form == "table")
        self._rows: list[Row] = []
        self._failed = 0
        self._asked: int | None = None
        self._is_whole = False
        self.interrupted = False

    def take(self, line: Row) -> None:
        """Take the next line: how many are asked, a node, or the end."""
        if "asked" in line:
            self._asked = int(line["asked"])
        elif "node" not in line:
            self._is_whole = True
            return
        else:
            self._rows.append(line)
            self._failed += line["outcome"] != "OK"
            if self._form == "ndjson":
                self._output.line(json.dumps(line, ensure_ascii=False))
                self._output.flush()
        self._ticker.show(self._how_far())

    def clear(self) -> None:
        """Nothing stands on the terminal that is not an answer."""
        self._ticker.clear()

    def show(self, shows: Shows) -> None:
        """Show all that came, unless it was shown when it came."""
        self._rows.sort(key=lambda row: (row["outcome"] != "OK", row["node"]))
        if self._form != "ndjson":
            self._output.show(self._form, {"nodes": self._rows}, table=lambda: self._show(shows))
        self._output.flush()

    def check(self) -> None:
        """Raises CommandError unless every node told."""
        came = count(len(self._rows), "node")
        if self.interrupted:
            of = "" if self._asked is None else f" of {self._asked:,}"
            raise CommandError(
                f"bmc {self._what}: interrupted after {len(self._rows):,}{of} nodes", code=Exit.INTERRUPTED
            )
        if not self._is_whole:
            raise CommandError(
                f"bmc {self._what}: the answer was cut off after {came}",
                code=Exit.PARTIAL if self._rows else Exit.ERROR,
                hint="the daemon ended, or its log says why; ask again",
            )
        bad = [row["node"] for row in self._rows if row["outcome"] != "OK"]
        if bad:
            raise CommandError(
                f"bmc {self._what}: {len(bad):,} of {came} did not tell: {fold(bad)}",
                code=Exit.ERROR if len(bad) == len(self._rows) else Exit.PARTIAL,
            )

    def _how_far(self) -> str:
        of = "" if self._asked is None else f" of {self._asked:,}"
        failed = f", {self._failed:,} did not tell" if self._failed else ""
        return f"{len(self._rows):,}{of} nodes told of{failed}; Ctrl-C shows what has come"

    def _show(self, shows: Shows) -> None:
        """What was told, once for all nodes that tell the same; then who did not tell, and why."""
        alike: dict[str, list[Row]] = {}
        for row in self._rows:
            if row["outcome"] == "OK":
                alike.setdefault(json.dumps(_compared(row)), []).append(row)
        for number, same in enumerate(alike.values()):
            if number:
                self._output.line()
            self._output.line(fold([row["node"] for row in same]))
            shows(self._output, same)
        if alike and self._failed:
            self._output.line()
        show_failed(self._output, [row for row in self._rows if row["outcome"] != "OK"])


def show_info(output: Output, rows: Sequence[Row]) -> None:
    """Who BMCs are that say the same of themselves."""
    row, data = rows[0], rows[0]["data"]
    alone = len(rows) == 1
    light = _NOT_TOLD if data["light"] is None else "on" if data["light"] else "off"
    pairs = [
        ("reach", row["reach"]),
        ("address", _of_each([r["address"] for r in rows])),
        ("protocol", row["protocol"]),
        ("credential", row["credential"]),
        *_session(data),
        ("manufacturer", data["manufacturer"]),
        ("product", data["product"]),
        ("serial", _of_each([r["data"]["serial"] for r in rows])),
        ("guid", _of_each([r["data"]["guid"] for r in rows])),
        *((f"firmware {one['name']}", one["version"]) for one in data["firmware"]),
        ("power", data["power"]),
        ("light", light),
        ("boot device", data["boot_device"]),
        *_events([r["data"]["events"] for r in rows]),
    ]
    for part in data["parts"]:
        words = [part["manufacturer"], part["product"], part["part_number"]]
        words += [f"serial {part['serial']}"] if alone and part["serial"] else []
        pairs.append((f"fru {part['name'].lower()}", ", ".join(word for word in words if word)))
    width = max(14, *(len(printable(name)) for name, _ in pairs))
    for name, value in pairs:
        output.line(f"  {printable(name):<{width}} {printable(value or _NOT_TOLD)}")


def _of_each(values: Sequence[str]) -> str:
    """What every machine has for itself: the one value where it is one."""
    return values[0] if len(set(values)) == 1 else "each its own; -o json has them"


def _session(data: Row) -> list[tuple[str, str]]:
    """How safely it was spoken to, and with what rights; of Redfish the protocol says it."""
    suite = data["cipher_suite"]
    return [] if suite is None else [("session", f"cipher suite {suite}, {data['privilege']}")]


def _events(told: Sequence[Row | None]) -> list[tuple[str, str]]:
    """Whether they are listened to, which is of Redfish only."""
    first = told[0]
    if first is None:
        return []
    if not first["why"]:
        return [("events", f"a stream has stood since {_moments(told, 'since')}")]
    again = "" if first["again_at"] is None else f"; tried again after {_moments(told, 'again_at')}"
    return [("events", f"no stream: {first['why']}{again}")]


def _moments(told: Sequence[Row | None], which: str) -> str:
    """A moment, or from the first to the last of several."""
    moments = [one[which] for one in told if one is not None]
    return "..".join(dict.fromkeys((clock(min(moments)), clock(max(moments)))))


def show_sensors(output: Output, rows: Sequence[Row]) -> None:
    """Sensors that are alike on all these nodes but for their values."""
    if not rows[0]["data"]:
        output.line("  it has no sensors")
        return
    table: list[list[str | Cell]] = []
    for alike in zip(*(row["data"] for row in rows), strict=True):
        one = alike[0]
        health = Cell(one["health"], _STYLES.get(one["health"], ""))
        states = printable(", ".join(one["states"]))
        limits = printable(_limits(one))
        values = _values([sensor["value"] for sensor in alike])
        table.append(
            [
                printable(one["name"]),
                printable(one["kind"]),
                values,
                printable(one["unit"]),
                health,
                states,
                limits,
            ]
        )
    output.table(SENSORS, table)


def _limits(sensor: Row) -> str:
    """The thresholds of a sensor that is not well; of others nobody asks, and they would fill the screen."""
    if sensor["health"] not in BAD:
        return ""
    return ", ".join(f"{limit['name']} {limit['value']:g}" for limit in sensor["thresholds"])


def show_bad_sensors(output: Output, rows: Sequence[Row]) -> None:
    """The same of those that are not as they should be."""
    if rows[0]["data"]:
        show_sensors(output, rows)
    else:
        output.line("  no sensor says WARNING or CRITICAL")


def _values(values: Sequence[float | None]) -> str:
    """One value, or the lowest and the highest."""
    numbers = [value for value in values if value is not None]
    if not numbers:
        return _NOT_TOLD
    lowest, highest = f"{min(numbers):g}", f"{max(numbers):g}"
    return lowest if lowest == highest else f"{lowest}..{highest}"


def show_sel(output: Output, rows: Sequence[Row]) -> None:
    """The entries of logs that are the same."""
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


def show_failed(output: Output, rows: Sequence[Row]) -> None:
    """Who did not tell, or do it: once for each reason, whatever the addresses and numbers in it."""
    failed: dict[str, dict[str, str]] = {}
    for row in rows:
        failed.setdefault(_word(row), {})[row["node"]] = row["message"]
    for word, said in sorted(failed.items()):
        for nodes, told in folded_alike(said):
            output.line(output.paint(f"{word:<11} ", "bad") + f"{nodes}  {printable(told)}")


def _word(row: Row) -> str:
    """How it went wrong: at reaching the BMC, or with what was asked of it."""
    reach = row.get("reach", "OK")
    return str(row["outcome"] if reach == "OK" else reach or "NOT_ASKED")


def _compared(row: Row) -> Any:
    """What makes nodes alike: all that was told but what is every machine's own, and values measured."""
    data = row["data"]
    if isinstance(data, list):
        return [
            {**entry, "value": entry["value"] is not None} if "value" in entry else entry for entry in data
        ]
    own: dict[str, Any] = {"serial": "", "guid": ""}
    own["parts"] = [{**part, "serial": ""} for part in data["parts"]]
    if data["events"] is not None:
        own["events"] = [data["events"]["why"], data["events"]["again_at"] is None]
    return [row["protocol"], row["credential"], {**data, **own}]
