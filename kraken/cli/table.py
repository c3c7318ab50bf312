"""Tables for people: columns that fit the terminal, whole lines where there is none."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kraken.cli.errors import printable

GAP = "  "
NARROWEST = 12  # a wrapped column is never made narrower than this, even if lines then overflow


class Cell(NamedTuple):
    """Text of a table with the colour it has on a terminal ("" for none)."""

    text: str
    style: str = ""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        right: aligned to the right, for numbers.
        wraps: gives way when the terminal is narrow.
        lines_max: longer cells are cut there on a terminal, with an ellipsis.
    """

    title: str
    right: bool = False
    wraps: bool = False
    lines_max: int = 4


def layout(
    columns: Sequence[Column],
    rows: Iterable[Sequence[str | Cell]],
    *,
    width: int | None,
    paint: Painter,
) -> list[str]:
    """The lines of a table; cells are made printable, a column empty in every row is left out.

    Args:
        width: of the terminal; None: no terminal, one line per row however long.
    """
    cells = [[_clean(cell) for cell in row] for row in rows]
    keep = [i for i in range(len(columns)) if any(row[i].text for row in cells)]
    if not keep:
        return []
    columns = [columns[i] for i in keep]
    cells = [[row[i] for i in keep] for row in cells]
    natural = [
        max([cell_len(column.title), *(cell_len(row[i].text) for row in cells)])
        for i, column in enumerate(columns)
    ]
    widths = natural if width is None else _fit(columns, natural, width)
    lines = [_line(columns, [Cell(column.title, "title") for column in columns], widths, paint)]
    for row in cells:
        if width is None:
            lines.append(_line(columns, row, widths, paint))
            continue
        pieces = [
            _wrap(cell.text, w, column.lines_max)
            for cell, w, column in zip(row, widths, columns, strict=True)
        ]
        for depth in range(max(map(len, pieces))):
            part = [
                Cell(piece[depth] if depth < len(piece) else "", cell.style)
                for piece, cell in zip(pieces, row, strict=True)
            ]
            lines.append(_line(columns, part, widths, paint))
    return lines


class Painter:
    """Colours for a terminal, or none.

    Styles are words of meaning (`good`, `bad`, ...) or causes; what they look like is here alone.
    """

    _LOOK = {
        "title": "2",
        "dim": "2",
        "strong": "1",
        "good": "32",
        "busy": "36",
        "held": "35",
        "warn": "33",
        "bad": "1;31",
    }
    _CAUSES = {
        "CONVERGED": "good",
        "RUNNING": "busy",
        "WAITING": "busy",
        "HELD": "held",
        "BACKOFF": "warn",
        "BUDGET": "warn",
        "STALE": "warn",
        "UNKNOWN": "warn",
        "QUARANTINED": "bad",
        "NO_PATH": "bad",
        "REQUIRES_UNMET": "bad",
    }

    def __init__(self, colours: bool) -> None:
        self.colours = colours

    def __call__(self, text: str, style: str) -> str:
        look = self._LOOK.get(self._CAUSES.get(style, style))
        return f"\x1b[{look}m{text}\x1b[0m" if self.colours and look and text else text


def cell_len(text: str) -> int:
    """Columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(_columns_of(character) for character in text)


def _columns_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _clean(cell: str | Cell) -> Cell:
    return Cell(printable(cell)) if isinstance(cell, str) else Cell(printable(cell.text), cell.style)


def _fit(columns: Sequence[Column], natural: list[int], width: int) -> list[int]:
    """Widths that fit: rigid columns as they are, the others share the rest, the smallest first."""
    widths = list(natural)
    rest = width - len(GAP) * (len(columns) - 1)
    rest -= sum(natural[i] for i, column in enumerate(columns) if not column.wraps)
    wrapping = sorted((i for i, column in enumerate(columns) if column.wraps), key=lambda i: natural[i])
    for position, i in enumerate(wrapping):
        share = max(NARROWEST, rest // (len(wrapping) - position))
        widths[i] = min(natural[i], share)
        rest -= widths[i]
    return widths


def _line(columns: Sequence[Column], cells: Sequence[Cell], widths: Sequence[int], paint: Painter) -> str:
    parts = []
    for i, (column, cell, width) in enumerate(zip(columns, cells, widths, strict=True)):
        padding = " " * max(0, width - cell_len(cell.text))
        painted = paint(cell.text, cell.style)
        last = i == len(columns) - 1
        parts.append(padding + painted if column.right else painted if last else painted + padding)
    return GAP.join(parts).rstrip()


def _wrap(text: str, width: int, lines_max: int) -> list[str]:
    """The text in lines of at most `width`, broken after spaces and commas where possible."""
    if cell_len(text) <= width:
        return [text]
    lines, line = [], ""
    for piece in re.findall(r"[^ ,]*(?:,|\s+|$)", text):
        if line and cell_len(line + piece.rstrip()) > width:
            lines.append(line.rstrip())
            line = ""
        line += piece
        while cell_len(line.rstrip()) > width:
            cut = _cut(line, width)
            lines.append(line[:cut])
            line = line[cut:]
    if line.strip():
        lines.append(line.rstrip())
    if len(lines) > lines_max:
        lines = lines[:lines_max]
        lines[-1] = lines[-1][: _cut(lines[-1], width - 1)].rstrip() + "…"
    return lines


def _cut(text: str, width: int) -> int:
    """How many characters of the text fill `width` columns; at least one."""
    taken = 0
    for i, character in enumerate(text):
        taken += _columns_of(character)
        if taken > width:
            return max(1, i)
    return len(text)
