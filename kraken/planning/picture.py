"""A graph laid out as what a picture shows: frames with boxes in them, arrows, a title and a legend.

Here is decided what is drawn and in which words; `drawing` writes it down for Graphviz and Mermaid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import networkx as nx

from kraken.model.module import CFG_VALUE
from kraken.model.update import UNKNOWN
from kraken.planning.path import DIFFERENT

NAMES_MAX = 4  # of operators or conditions at one arrow; "and 3 more" says there are others

Line = Literal["solid", "dashed", "dotted"]
_LINES: Mapping[str, Line] = {"mutation": "solid", "discovery": "dashed", "forgets": "dotted"}
_WORDS = {UNKNOWN: "UNKNOWN", DIFFERENT: "any other value", CFG_VALUE: "what Cfg names"}


@dataclass(frozen=True, slots=True)
class Label:
    """What is written at an arrow.

    Attributes:
        name: of the operator; on a path with the numbers of its steps before it.
        notes: lines below it: seconds, conditions.
        disruptive: it can end somebody's work.
        marked: on the path.
    """

    name: str
    notes: tuple[str, ...] = ()
    disruptive: bool = False
    marked: bool = False


@dataclass(frozen=True, slots=True)
class Box:
    """A vertex.

    Attributes:
        text: what is written in it.
        present: it is so now.
        wished: Cfg names it.
        faint: UNKNOWN: not a value like the others.
        attribute: an attribute, where the others are variables.
    """

    id: str
    text: str
    present: bool = False
    wished: bool = False
    faint: bool = False
    attribute: bool = False


@dataclass(frozen=True, slots=True)
class Knot:
    """Arrows of one operator tied together, so that its label is written once."""

    id: str
    label: Label
    line: Line


@dataclass(frozen=True, slots=True)
class Arrow:
    """An edge, or a part of one that leads to or from a knot.

    Attributes:
        headless: it leads to a knot.
    """

    source: str
    target: str
    line: Line
    label: Label | None = None
    disruptive: bool = False
    marked: bool = False
    headless: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """A variable with its values; a name of "" means no frame around them."""

    name: str
    note: str
    boxes: tuple[Box, ...]
    knots: tuple[Knot, ...]
    arrows: tuple[Arrow, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything drawn.

    Attributes:
        title: lines; empty: none.
        legend: what the signs that occur in it mean: (sign, words); the signs are those of
            `drawing`: solid, dashed, dotted, disruptive, path, present, wished, attribute.
    """

    title: tuple[str, ...]
    frames: tuple[Frame, ...]
    legend: tuple[tuple[str, str], ...] = field(default=())


def picture_of(graph: nx.Graph[str], title: str = "") -> Picture:
    """What to draw of a graph from `mutation_graph` or `causal_graph`.

    Args:
        title: what the picture is of; what the graph says of a path, and of other modules, is added to it.
    """
    if "variables" in graph.graph:
        frames = _mutations(graph)
    else:
        frames = (_causes(graph),)
    lines = tuple(
        line for line in (title, *_about_path(graph.graph), graph.graph.get("other_modules")) if line
    )
    return Picture(lines, frames, tuple(_legend(frames, "variables" in graph.graph)))


def _mutations(graph: nx.Graph[str]) -> tuple[Frame, ...]:
    boxes: dict[str, list[Box]] = {}
    for vertex, data in graph.nodes(data=True):
        value = data["value"]
        boxes.setdefault(data["variable"], []).append(
            Box(
                vertex,
                _WORDS.get(value, value),
                present=data["present"],
                wished=data["wished"],
                faint=value == UNKNOWN,
            )
        )
    groups: dict[str, dict[tuple[str, ...], list[tuple[str, str, dict[str, Any]]]]] = {}
    for source, target, data in graph.edges(data=True):
        # What forgets is tied together by where it ends, whatever does it.
        same = (data["kind"],) if data["kind"] == "forgets" else (data["kind"], data["operator"])
        variable = graph.nodes[source]["variable"]
        groups.setdefault(variable, {}).setdefault(same, []).append((source, target, data))
    names = _short_names(graph)
    frames = []
    for variable, known_when in graph.graph["variables"].items():
        knots: list[Knot] = []
        arrows: list[Arrow] = []
        for i, edges in enumerate(groups.get(variable, {}).values()):
            _draw(edges, f"{variable}:{i}", names, knots, arrows)
        note = f"known while {' and '.join(map(_plainly, known_when))}" if known_when else ""
        frames.append(Frame(variable, note, tuple(boxes.get(variable, ())), tuple(knots), tuple(arrows)))
    return tuple(frames)


def _draw(
    edges: list[tuple[str, str, dict[str, Any]]],
    id_: str,
    names: Mapping[str, str],
    knots: list[Knot],
    arrows: list[Arrow],
) -> None:
    """One operator's arrows in one frame; those of everything that forgets the variable are one, too."""
    ends: dict[tuple[str, str], list[int]] = {}
    for source, target, data in edges:
        ends.setdefault((source, target), []).extend(data["steps"])
    line = _LINES[edges[0][2]["kind"]]
    label = _label(list({data["operator"]: data for *_, data in edges}.values()), edges, names)
    if len(ends) == 1:
        ((source, target),) = ends
        arrows.append(Arrow(source, target, line, label, label.disruptive, label.marked))
        return
    knots.append(Knot(id_, label, line))
    sources: dict[str, bool] = {}
    targets: dict[str, bool] = {}
    for (source, target), steps in ends.items():
        sources[source] = sources.get(source, False) or bool(steps)
        targets[target] = targets.get(target, False) or bool(steps)
    for source, marked in sources.items():
        arrows.append(Arrow(source, id_, line, None, label.disruptive, marked, headless=True))
    for target, marked in targets.items():
        arrows.append(Arrow(id_, target, line, None, label.disruptive, marked))


def _label(
    operators: list[dict[str, Any]],
    edges: list[tuple[str, str, dict[str, Any]]],
    names: Mapping[str, str],
) -> Label:
    """What to write at these edges, all of one operator or all of kind forgets."""
    steps: dict[str, list[int]] = {}
    for *_, data in edges:
        steps.setdefault(data["operator"], []).extend(data["steps"])
    marked = any(steps.values())
    first = operators[0]
    if first["kind"] == "forgets":
        # Those of the path first: they must not be among the "3 more".
        by = sorted(operators, key=lambda data: not steps[data["operator"]])
        told = [_numbered(names[data["operator"]], steps[data["operator"]]) for data in by]
        return Label("forgotten by", tuple(_some(told, "")), marked=marked)
    notes = [f"{first['cost']:g} s"]
    if first["disruptive"]:
        notes[0] += ", disruptive"
    notes += _some([f"if {text}" for text in first["when"]], "if ")
    if first["also"]:
        notes.append(f"changes {', '.join(first['also'])} too")
    name = _numbered(names[first["operator"]], steps[first["operator"]])
    return Label(name, tuple(notes), first["disruptive"], marked)


def _numbered(name: str, steps: Iterable[int]) -> str:
    numbers = ", ".join(map(str, sorted(set(steps))))
    return f"{numbers}: {name}" if numbers else name


def _some(lines: list[str], lead: str) -> list[str]:
    """Not more lines than a picture bears."""
    if len(lines) <= NAMES_MAX:
        return lines
    return [*lines[: NAMES_MAX - 1], f"{lead}{len(lines) - NAMES_MAX + 1} more"]


def _short_names(graph: nx.Graph[str]) -> dict[str, str]:
    """operator -> its name, or `module.name` where two modules use one name."""
    users: dict[str, set[str]] = {}
    for *_, data in graph.edges(data=True):
        users.setdefault(data["name"], set()).add(data["operator"])
    return {
        operator: name if len(operators) == 1 else operator
        for name, operators in users.items()
        for operator in operators
    }


def _causes(graph: nx.Graph[str]) -> Frame:
    boxes = tuple(
        Box(vertex, vertex, wished=data["wished"], attribute=data["attribute"])
        for vertex, data in graph.nodes(data=True)
    )
    arrows = []
    for source, target, data in graph.edges(data=True):
        # To be known at all is the strongest tie, changing together the weakest.
        line: Line = "solid" if "known_when" in data["why"] else "dashed"
        if data["why"] == ["together"]:
            line = "dotted"
        name = ", ".join("changed together" if why == "together" else why for why in data["why"])
        arrows.append(Arrow(source, target, line, Label(name, tuple(_some(list(data["by"]), "")))))
    return Frame("", "", boxes, (), tuple(arrows))


def _about_path(data: Mapping[str, Any]) -> list[str]:
    if "no_path" in data:
        return ["no path", *data["no_path"]]
    if "path" not in data:
        return []
    steps = data["path"]
    if not steps:
        return ["nothing to do"]
    disruptive = sum(step["disruptive"] for step in steps)
    told = f"path of {len(steps)} step{'s' if len(steps) > 1 else ''}, about {data['cost']:g} s"
    return [told + (f", {disruptive} disruptive" if disruptive else "")]


def _legend(frames: Iterable[Frame], values: bool) -> Iterable[tuple[str, str]]:
    arrows = [arrow for frame in frames for arrow in frame.arrows]
    boxes = [box for frame in frames for box in frame.boxes]
    lines = {arrow.line for arrow in arrows}
    if values:
        meaning = {
            "solid": "mutation, and how long it takes",
            "dashed": "discovery: what it can find",
            "dotted": "forgotten: what was seen counts no more",
        }
    else:
        meaning = {
            "solid": "known_when: without it the other is UNKNOWN",
            "dashed": "requires, excludes: it matters for changing the other",
            "dotted": "changed together, by one mutation",
        }
    yield from ((line, words) for line, words in meaning.items() if line in lines)
    if any(arrow.disruptive for arrow in arrows):
        yield "disruptive", "disruptive: can end somebody's work"
    if any(arrow.marked for arrow in arrows):
        yield "path", "the path, and where each step comes in it"
    if any(box.present for box in boxes):
        yield "present", "present"
    if any(box.wished for box in boxes):
        yield "wished", "wished (Cfg)"
    if any(box.attribute for box in boxes):
        yield "attribute", "attribute: declared, never changed"


def _plainly(condition: str) -> str:
    name, _, values = condition.partition("=")
    return f"{name} is {'known' if values == 'ANY' else values.replace('|', ' or ')}"
