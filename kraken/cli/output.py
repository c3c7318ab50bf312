"""What reaches stdout: tables for people, JSON and YAML for programs, names for pipes."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TextIO

from kraken.cli.table import Cell, Column, Painter, layout


class Output:
    """Where a command's answer goes, and how it looks there.

    Attributes:
        width: columns of the terminal; None when stdout is none: nothing is cut or wrapped.
        height: its lines, None likewise.
    """

    def __init__(self) -> None:
        terminal = sys.stdout.isatty()
        size = shutil.get_terminal_size() if terminal else None
        self.width = size.columns if size else None
        self.height = size.lines if size else None
        self.paint = Painter(wants_colours(sys.stdout))

    def show(
        self,
        form: str,
        answer: Any,
        *,
        table: Callable[[], None],
        names: Callable[[], Iterable[str]] | None = None,
    ) -> None:
        """Show an answer in the form that was asked for; json and yaml show it as it came."""
        if form == "json":
            self.line(json.dumps(answer, indent=2, ensure_ascii=False))
        elif form == "yaml":
            self.line(as_yaml(answer).rstrip("\n"))
        elif form == "name":
            for name in (names or list)():
                self.line(name)
        else:
            table()

    def table(self, columns: Sequence[Column], rows: Iterable[Sequence[str | Cell]]) -> None:
        lines = layout(columns, rows, width=self.width, paint=self.paint)
        if lines:
            self.line("\n".join(lines))

    def line(self, text: str = "") -> None:
        sys.stdout.write(text + "\n")

    def flush(self) -> None:
        sys.stdout.flush()


NO_NODES = "No node is declared yet: `kraken apply FILE` declares some."


def wants_colours(stream: TextIO) -> bool:
    """Whether the stream is a terminal whose owner has not declined colours (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def as_yaml(answer: Any) -> str:
    """The answer as YAML, keys in the order they came."""
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump(answer, Dumper=dumper, sort_keys=False, allow_unicode=True, width=100))


def now() -> float:
    """The time of day, seconds since the epoch."""
    return time.time()


def span(seconds: float) -> str:
    """A duration for people: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `4 d 3 h`."""
    seconds = max(0.0, seconds)
    if seconds < 1:
        return f"{seconds:.1f} s" if seconds else "0 s"
    whole = round(seconds)
    for size, unit, below, part in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // below
            return f"{whole // size} {unit} {rest} {part}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def ago(at: float | None) -> str:
    """How long ago that was, `-` for never; ahead of us (another clock) counts as now."""
    return "-" if at is None else span(now() - at)


def clock(at: float | None) -> str:
    """A moment in local time: the hour today, with the date otherwise."""
    if at is None:
        return "-"
    moment, today = time.localtime(at), time.localtime(now())
    same = moment[:3] == today[:3]
    return time.strftime("%H:%M:%S" if same else "%Y-%m-%d %H:%M", moment)


def count(number: int, noun: str, plural: str | None = None) -> str:
    """`1 node`, `8 nodes`, `10,000 nodes`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def refusals(refused: Mapping[str, int]) -> str:
    """Collectors that were not heard, as `unknown key (5 times), revoked key (1 time)`, the most first."""
    most_first = sorted(refused.items(), key=lambda one: (-one[1], one[0]))
    return ", ".join(f"{reason} ({count(number, 'time')})" for reason, number in most_first)


def assignments(values: Mapping[str, Any]) -> str:
    """`var=value var=value`, in order; lists with commas."""
    return " ".join(f"{name}={value_text(value)}" for name, value in values.items())


def value_text(value: Any) -> str:
    """A value as it would be typed; null and an empty list as `-`."""
    if value is None or value == []:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(value_text(item) for item in value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {value_text(item)}" for key, item in value.items()) + "}"
    return str(value)
