"""Pictures in the languages of Graphviz and Mermaid.

Colour is never the only sign: what is disruptive says so and is bold, the present state is marked
"now", a wish is doubly outlined and says so, a path is bold and numbered.

Sources: https://graphviz.org/doc/info/ (attributes, HTML-like labels),
https://mermaid.js.org/syntax/flowchart.html.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from json import dumps
from typing import Final

from kraken.planning.picture import Arrow, Box, Frame, Label, Line, Picture

INK, QUIET, RED, GOLD, PALE = "#24292f", "#6e7781", "#b02a1a", "#ffe08a", "#f6f8fa"
FONT = "Helvetica,Arial,sans-serif"
TOWER = 6  # frames below one another; more stand in two columns


def to_dot(picture: Picture) -> str:
    """The picture in Graphviz's language, for `dot`."""
    lines = [
        "digraph kraken {",
        "  graph [rankdir=LR, nodesep=0.18, ranksep=0.35,",
        f'    fontname="{FONT}", fontsize=12, fontcolor="{INK}", labelloc=t, labeljust=l];',
        f'  node [shape=box, style=rounded, fontname="{FONT}", fontsize=11, fontcolor="{INK}",',
        f'    color="{INK}", height=0.3, margin="0.12,0.05"];',
        f'  edge [fontname="{FONT}", fontsize=10, fontcolor="{INK}", color="{INK}", arrowsize=0.7];',
    ]
    if picture.title:
        first, *rest = picture.title
        size = '<FONT POINT-SIZE="14">'
        lines.append(f"  label=<{size}<B>{_html(first)}</B></FONT>{_LEFT}{_lines(rest, _LEFT)}>;")
    # Graphviz puts what it reads last on top.
    lines += _dot_legend(picture.legend)
    for i, frame in reversed(list(enumerate(picture.frames))):
        lines += _dot_frame(frame, i)
    lines += _dot_rows(picture.frames)
    return "\n".join([*lines, "}"]) + "\n"


def to_mermaid(picture: Picture) -> str:
    """The picture in Mermaid's language, a flowchart, for documents."""
    lines: list[str] = []
    if picture.title:
        lines += ["---", f"title: {dumps(': '.join(picture.title))}", "---"]
    lines.append("flowchart LR")
    ids = {
        id_: f"v{i}_{j}"
        for i, frame in enumerate(picture.frames)
        for j, id_ in enumerate([*(box.id for box in frame.boxes), *(knot.id for knot in frame.knots)])
    }
    # Mermaid, too, puts what it reads last on top.
    if picture.legend:
        told = (f"{_MERMAID_SIGNS[sign]}: {words}" for sign, words in picture.legend)
        lines.append(f"  legend[{_text(*told)}]:::frame")
    for i, frame in reversed(list(enumerate(picture.frames))):
        lines += _mermaid_frame(frame, i, ids)
    arrows = [arrow for frame in picture.frames for arrow in frame.arrows]
    lines += [f"  {_mermaid_arrow(arrow, ids)}" for arrow in arrows]
    lines += [f"  linkStyle {i} {style}" for i, arrow in enumerate(arrows) if (style := _link_style(arrow))]
    classes = {
        "plain": f"fill:#ffffff,stroke:{INK},color:{INK}",
        "faint": f"fill:#ffffff,stroke:{INK},color:{INK},stroke-dasharray:4 3",
        "now": f"fill:{GOLD},stroke:{INK},color:{INK},stroke-width:3px",
        "knot": f"fill:none,stroke:none,color:{INK}",
        "marked": f"fill:none,stroke:none,color:{INK},font-weight:bold",
        "disruptive": f"fill:none,stroke:none,color:{RED},font-weight:bold",
        "frame": f"fill:{PALE},stroke:{QUIET},color:{INK}",
    }
    lines += [f"  classDef {name} {style}" for name, style in classes.items()]
    return "\n".join(lines) + "\n"


# Graphviz ------------------------------------------------------------------------------------------

_SIGN_LINES: Final[Mapping[str, Line]] = {"dashed": "dashed", "dotted": "dotted"}
_SIGN_BOXES = ("present", "wished", "attribute")
_NO_BORDER = "shape=box, color=transparent"
_LEFT, _CENTRE = '<BR ALIGN="LEFT"/>', "<BR/>"


def _dot_rows(frames: Sequence[Frame]) -> Iterator[str]:
    """Frames side by side, where below one another they would make a tower.

    Between two of them is an invisible point, right of all in the one and left of all in the other.
    """
    if len(frames) <= TOWER:
        return
    for i, (left, right) in enumerate(pairwise(frames), 1):
        if i % 2:
            yield f'  "gap:{i}" [shape=point, style=invis];'
            yield f'  {{{_ids(left)}}} -> "gap:{i}" -> {{{_ids(right)}}} [style=invis];'


def _ids(frame: Frame) -> str:
    ids = [*(box.id for box in frame.boxes), *(knot.id for knot in frame.knots)]
    return " ".join(map(_quoted, ids))


def _dot_frame(frame: Frame, number: int) -> Iterator[str]:
    indent = "    " if frame.name else "  "
    if frame.name:
        note = f'<FONT POINT-SIZE="10">{_html(frame.note)}</FONT>{_LEFT}' if frame.note else ""
        yield f"  subgraph cluster_{number} {{"
        yield f'    graph [style=rounded, color="{QUIET}", margin=10,'
        yield f"      label=<<B>{_html(frame.name)}</B>{_LEFT}{note}>];"
    for box in frame.boxes:
        yield indent + _dot_box(box)
    for knot in frame.knots:
        yield f"{indent}{_quoted(knot.id)} [shape=plain, fontsize=10, label=<{_dot_label(knot.label)}>];"
    for arrow in frame.arrows:
        yield indent + _dot_arrow(arrow)
    if frame.name:
        yield "  }"


def _dot_box(box: Box, *more: str) -> str:
    text = _html(box.text)
    if box.faint:
        text = f"<I>{text}</I>"
    if box.present:
        text = f"<B>{text}</B>{_CENTRE}now"
    if box.wished:
        text += f"{_CENTRE}wished"
    shown = [f"label=<{text}>"]
    styles = ["rounded", *(["dashed"] if box.faint else []), *(["filled", "bold"] if box.present else [])]
    if len(styles) > 1:
        shown.append(f'style="{",".join(styles)}"')
    if box.present:
        shown.append(f'fillcolor="{GOLD}"')
    if box.wished:
        shown.append("peripheries=2")
    if box.attribute:
        shown.append("shape=ellipse")
    return f"{_quoted(box.id)} [{', '.join((*shown, *more))}];"


def _dot_arrow(arrow: Arrow) -> str:
    shown = [f"style={arrow.line}"] if arrow.line != "solid" else []
    if arrow.marked:
        shown.append("penwidth=3")
    if arrow.disruptive:
        shown.append(f'color="{RED}"')
    elif arrow.line == "dotted" and not arrow.marked:
        shown.append(f'color="{QUIET}"')
    if arrow.headless:
        shown.append("arrowhead=none")
    if arrow.label is not None:
        shown.append(f"label=<{_dot_label(arrow.label)}>")
    return f"{_quoted(arrow.source)} -> {_quoted(arrow.target)} [{', '.join(shown)}];"


def _dot_label(label: Label) -> str:
    name = _html(label.name)
    if label.disruptive or label.marked:
        name = f"<B>{name}</B>"
    text = f"{name}{_CENTRE}{_lines(label.notes, _CENTRE)}" if label.notes else name
    return f'<FONT COLOR="{RED}">{text}</FONT>' if label.disruptive else text


def _dot_legend(legend: Sequence[tuple[str, str]]) -> Iterator[str]:
    if not legend:
        return
    yield "  subgraph cluster_legend {"
    yield f'    graph [style=rounded, color="{QUIET}", bgcolor="{PALE}", margin=10,'
    yield f"      label=<<B>Legend</B>{_LEFT}>];"
    height = ("height=0.45", "fixedsize=true", "fontsize=10")
    wide = ("width=4", "margin=0", *height)
    for i, (sign, words) in enumerate(legend):
        sample, text = f"legend:{i}:sample", f"legend:{i}:words"
        if sign in _SIGN_BOXES:
            yield "    " + _dot_box(_sample_box(sample, sign), "width=0.8", *height)
            yield f"    {_quoted(sample)} -> {_quoted(text)} [style=invis];"
        else:
            yield f'    {_quoted(sample)} [{_NO_BORDER}, label="", width=0.8, {", ".join(height)}];'
            yield f"    {_dot_arrow(_sample_arrow(sample, text, sign))}"
        told = f'{_NO_BORDER}, label="  {words}\\l"'  # \l: to the left
        yield f"    {_quoted(text)} [{told}, {', '.join(wide)}];"
    yield "  }"


def _sample_box(id_: str, sign: str) -> Box:
    text = "" if sign == "attribute" else "value"
    return Box(id_, text, present=sign == "present", wished=sign == "wished", attribute=sign == "attribute")


def _sample_arrow(source: str, target: str, sign: str) -> Arrow:
    disruptive, marked = sign == "disruptive", sign == "path"
    label = Label("1: name" if marked else "name", disruptive=disruptive, marked=marked)
    return Arrow(source, target, _SIGN_LINES.get(sign, "solid"), label, disruptive, marked)


def _lines(lines: Iterable[str], end: str) -> str:
    """Each line with an end of line after it; where lines are centred the last needs none."""
    text = end.join(map(_html, lines))
    return text + end if text and end == _LEFT else text


def _html(text: str) -> str:
    """Text within an HTML-like label, on one line; never empty, for Graphviz refuses that."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    return "".join(c if c.isprintable() else " " for c in escaped) or " "


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


# Mermaid -------------------------------------------------------------------------------------------

_MERMAID_SIGNS: Final[Mapping[str, str]] = {
    "solid": "arrow",
    "dashed": "broken arrow",
    "dotted": "dotted arrow",
    "disruptive": "red",
    "path": "bold, numbered",
    "present": "filled, now",
    "wished": "double sides",
    "attribute": "round ends",
}
_DASHES: Final[Mapping[str, str]] = {"dashed": "7 4", "dotted": "1 5"}
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _-.,:=/()'")


def _mermaid_frame(frame: Frame, number: int, ids: Mapping[str, str]) -> Iterator[str]:
    indent = "    " if frame.name else "  "
    if frame.name:
        yield f"  subgraph v{number} [{_text(frame.name, frame.note)}]"
        yield "    direction LR"
    for box in frame.boxes:
        yield indent + _mermaid_box(box, ids)
    for knot in frame.knots:
        kind = "disruptive" if knot.label.disruptive else "marked" if knot.label.marked else "knot"
        yield f"{indent}{ids[knot.id]}[{_text(knot.label.name, *knot.label.notes)}]:::{kind}"
    if frame.name:
        yield "  end"
        yield f"  class v{number} frame"


def _mermaid_box(box: Box, ids: Mapping[str, str]) -> str:
    text = _text(box.text, *(["now"] if box.present else []), *(["wished"] if box.wished else []))
    left, right = ("([", "])") if box.attribute else ("[[", "]]") if box.wished else ("(", ")")
    kind = "now" if box.present else "faint" if box.faint else "plain"
    return f"{ids[box.id]}{left}{text}{right}:::{kind}"


def _mermaid_arrow(arrow: Arrow, ids: Mapping[str, str]) -> str:
    shaft = {"solid": "--", "dashed": "-.", "dotted": "-."}[arrow.line]
    end = "-" if arrow.headless else "->" if arrow.line != "solid" else ">"
    label = "" if arrow.label is None else f"|{_text(arrow.label.name, *arrow.label.notes)}|"
    return f"{ids[arrow.source]} {shaft}{end}{label} {ids[arrow.target]}"


def _link_style(arrow: Arrow) -> str:
    """Mermaid has one broken line, and none that is bold as well; so both are made here."""
    styles = [f"stroke-dasharray:{_DASHES[arrow.line]}"] if arrow.line in _DASHES else []
    styles += ["stroke-width:4px"] if arrow.marked else []
    styles += [f"stroke:{RED}", f"color:{RED}"] if arrow.disruptive else []
    return ",".join(styles)


def _text(*lines: str) -> str:
    """Lines as a quoted text; whatever Mermaid could take for its own is written as a number."""
    escaped = ("".join(c if c in _SAFE else f"#{ord(c)};" for c in line) for line in lines if line)
    return f'"{"<br/>".join(escaped) or " "}"'
