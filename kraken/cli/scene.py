"""What `wait` and `watch` know of the nodes they look at, kept true by events.

Pure: answers and events go in, counts and lines come out. An event that got lost is made good by
the next answer taken in.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from kraken.cli.client import Event
from kraken.cli.output import assignments, count, value_text

CONVERGED = "CONVERGED"
STUCK = ("NO_PATH", "REQUIRES_UNMET", "QUARANTINED", "HELD")
"""Causes that no waiting ends: a person has to do something."""

TOGETHER_S = 3.0  # equal events of several nodes within this time share a line
RECENT_MAX = 200


class Standing(NamedTuple):
    """How one node stands; `settled`: Cfg and Dsc agree in the answer itself."""

    cause: str
    reason: str
    settled: bool


class Happening(NamedTuple):
    """A line of what happened, and the nodes it happened to (none for what is nobody's)."""

    at: float
    text: str
    nodes: set[str]
    style: str


class Scene:
    """The nodes looked at, what runs on them, what happened lately."""

    def __init__(self) -> None:
        self.nodes: dict[str, Standing] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.recent: deque[Happening] = deque(maxlen=RECENT_MAX)

    def load(self, nodes: Iterable[Mapping[str, Any]], runs: Iterable[dict[str, Any]] = ()) -> None:
        """Take in what the daemon says now; it replaces what events told."""
        self.nodes = {str(node["name"]): _standing(node) for node in nodes}
        # One that is not out any more will never be told to end: its effect is only looked for.
        self.runs = {str(run["id"]): run for run in runs if run.get("out", 1)}

    def take(self, event: Event) -> Happening | None:
        """Take in one event; what to tell a person about it, None for what is only bookkeeping."""
        data = event.data
        if event.kind in ("cause", "reason"):
            self._set_cause(data)
        elif event.kind == "run-started":
            self.runs[str(data.get("run"))] = {**data, "id": data.get("run"), "issued_at": data.get("at")}
        elif event.kind == "run-ended":
            self.runs.pop(str(data.get("run")), None)
        told = _TELL.get(event.kind, _tell_other)(event.kind, data)
        if told is None:
            return None
        text, style = told
        at = float(data.get("at") or 0.0)
        nodes = {str(data["node"])} if data.get("node") else set()
        for earlier in list(self.recent)[-8:]:
            if nodes and earlier.text == text and abs(at - earlier.at) <= TOGETHER_S:
                earlier.nodes.update(nodes)
                return earlier
        happening = Happening(at, text, nodes, style)
        self.recent.append(happening)
        return happening

    def _set_cause(self, data: Mapping[str, Any]) -> None:
        name = str(data.get("node"))
        if name in self.nodes:
            cause = str(data.get("cause"))
            self.nodes[name] = Standing(cause, str(data.get("reason", "")), cause == CONVERGED)

    @property
    def total(self) -> int:
        return len(self.nodes)

    @property
    def converged(self) -> int:
        return sum(standing.cause == CONVERGED and standing.settled for standing in self.nodes.values())

    def all_converged(self) -> bool:
        return self.converged == self.total

    def is_stuck(self) -> bool:
        """Whether some nodes have not converged and waiting helps none of them."""
        left = [standing for standing in self.nodes.values() if standing.cause != CONVERGED]
        return bool(left) and all(standing.cause in STUCK for standing in left)

    def causes(self) -> dict[str, int]:
        """Cause -> number of nodes, CONVERGED left out, most first."""
        found = Counter(s.cause for s in self.nodes.values() if s.cause != CONVERGED)
        return dict(found.most_common())

    def folded(self, *, converged: bool = True, rows_max: int | None = None) -> list[dict[str, Any]]:
        """Nodes of equal cause and reason together, most first, as `GET /v1/explain` folds them."""
        from kraken.cli.nodes import fold

        alike: dict[tuple[str, str], list[str]] = {}
        for name, standing in self.nodes.items():
            if converged or standing.cause != CONVERGED:
                alike.setdefault((standing.cause, standing.reason), []).append(name)
        rows = sorted(alike.items(), key=lambda item: (-len(item[1]), item[0]))[:rows_max]
        return [
            {"cause": cause, "count": len(names), "nodeset": fold(names), "reason": reason}
            for (cause, reason), names in rows
        ]


def _standing(node: Mapping[str, Any]) -> Standing:
    dsc = node.get("dsc") or {}
    settled = all(dsc.get(name) == value for name, value in (node.get("cfg") or {}).items())
    return Standing(str(node.get("cause")), str(node.get("reason") or ""), settled)


Told = tuple[str, str] | None


def _tell_value(kind: str, data: Mapping[str, Any]) -> Told:
    source = f" ({data['source']})" if data.get("source") else ""
    was, value = value_text(data.get("was")), value_text(data.get("value"))
    if kind == "cfg":
        wish = f"{data.get('variable')}={value}" if data.get("value") is not None else data.get("variable")
        return (
            f"{'wanted' if data.get('value') is not None else 'no longer wanted'}: {wish}{source}",
            "strong",
        )
    return f"{data.get('variable')}: {was} -> {value}{source}", ""


def _tell_cause(kind: str, data: Mapping[str, Any]) -> Told:
    cause = str(data.get("cause"))
    if cause in ("CONVERGED", *STUCK, "BACKOFF"):
        reason = data.get("reason")
        return f"{cause}: {reason}" if reason else cause, cause
    return None


def _tell_reason(kind: str, data: Mapping[str, Any]) -> Told:
    """Of whom no waiting helps: what a person has to do is another thing now."""
    return _tell_cause(kind, data) if data.get("cause") in STUCK else None


def _tell_start(kind: str, data: Mapping[str, Any]) -> Told:
    if data.get("kind") == "discovery":
        return None
    return f"{data.get('name')} starts on {data.get('nodeset')}", "busy"


def _tell_result(kind: str, data: Mapping[str, Any]) -> Told:
    if data.get("outcome") == "OK":
        return None
    return f"{data.get('name')}: {data.get('outcome')}: {data.get('message', '')}", "bad"


def _tell_end(kind: str, data: Mapping[str, Any]) -> Told:
    if data.get("kind") == "discovery":
        return None
    outcomes = "; ".join(f"{outcome}: {nodes}" for outcome, nodes in (data.get("outcomes") or {}).items())
    return f"{data.get('name')} ended, {outcomes}", ""


def _tell_collector(kind: str, data: Mapping[str, Any]) -> Told:
    if "outage" in data:
        if not data["outage"]:
            return f"most children of collector {data.get('collector')} are heard again", ""
        most = f"{data.get('count')} of {data.get('of')} children of collector {data.get('collector')}"
        return f"{most} fell silent together: {data.get('children')}", "bad"
    if "twins" in data:
        two, one = "two daemons speak as collector {}", "one daemon alone speaks as collector {} again"
        text = (two if data["twins"] else one).format(data.get("collector"))
        return text, "bad" if data["twins"] else ""
    number, below = data.get("count", 1), f" below {data['parent']}" if data.get("parent") else ""
    who = f"collector {data.get('collector')}{below} is"
    if number > 1:
        who = f"{number:,} collectors{below}, {data.get('collector')}, are"
    if data.get("is_up"):
        return f"{who} heard", ""
    return f"{who} not heard any more: {count(int(data.get('nodes') or 0), 'node')}", "bad"


def _tell_nobody(kind: str, data: Mapping[str, Any]) -> Told:
    if data.get("collector"):
        return f"collector {data['collector']} runs {data.get('nodeset')}", ""
    return f"nobody runs {data.get('nodeset')}: {data.get('reason')}", "bad"


def _tell_other(kind: str, data: Mapping[str, Any]) -> Told:
    rest = {name: value for name, value in data.items() if name not in ("at", "node")}
    return f"{kind} {assignments(rest)}".strip(), "held"


def _tell_nothing(kind: str, data: Mapping[str, Any]) -> Told:
    return None


_TELL: dict[str, Callable[[str, Mapping[str, Any]], Told]] = {
    "cfg": _tell_value,
    "attribute": _tell_value,
    "dsc": _tell_value,
    "cause": _tell_cause,
    "reason": _tell_reason,
    "run-started": _tell_start,
    "run-result": _tell_result,
    "run-ended": _tell_end,
    "collector": _tell_collector,
    "nobody": _tell_nobody,
    "lost": _tell_nothing,
}
