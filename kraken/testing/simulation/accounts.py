"""Is all that is said of a node true: why, on what fact, since when, and what comes next?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from kraken.engine.cause import Cause, Explanation, Fact
from kraken.model.byhand import by_hand
from kraken.model.catalog import Catalog
from kraken.model.hold import EVERY_NODE
from kraken.model.module import CFG_VALUE, as_text
from kraken.model.node import Node
from kraken.model.run import NodeResult, Run
from kraken.model.update import UNKNOWN, Side
from kraken.planning.path import NoPath, Path
from kraken.planning.planner import Planner
from kraken.testing.simulation.glance import Glance

if TYPE_CHECKING:
    from kraken.testing.simulation.watch import Watch

SKEW_S = 0.01  # what rounding may do to a time
SILENT = "no word from its executor"
LIMITED = re.compile(r"^(\S+) waits for limit (\S+): (\d+) of (\d+) in its queue( for rack=r\d)?; (.+)$")
QUEUE = re.compile(r"(\d+) of (\d+); (\d+) of (\d+) (\w+) runs under way$")

Question = tuple[tuple[tuple[str, object], ...], ...]


class Heard(NamedTuple):
    """What the last look of a discovery at a node said, reported that cannot be, and when it was sent."""

    message: str
    impossible: tuple[str, ...]
    issued_at: float


class Accounts:
    """Remembers what explanations speak of; each is checked against that, and what the watch knows."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._heard: dict[tuple[str, str], Heard] = {}  # (node, discovery)
        self._stands: dict[str, tuple[Cause, float, float]] = {}  # node -> cause, since, checked at
        self._turned: set[str] = set()  # nodes whose cause became another since the last check

    # -- what happens -----------------------------------------------------------------------------

    def hears(self, run: Run, result: NodeResult) -> None:
        """A look came back; what an earlier one has to say then is no news."""
        place = (result.node, run.operator.key)
        before = self._heard.get(place)
        if before is None or before.issued_at <= run.issued_at:
            variables = self._watch.simulation.catalog.variables
            impossible = [
                name
                for name, value in result.observed.items()
                if name not in variables or not variables[name].accepts(value)
            ]
            self._heard[place] = Heard(result.message, tuple(impossible), run.issued_at)

    def stays(self, node: str, now: float) -> None:
        """All that was said of it is so still."""
        cause, since, _ = self._stands[node]
        self._stands[node] = (cause, since, now)

    def turns(self, node: str) -> None:
        """Its cause is told to be another."""
        self._turned.add(node)

    def crashed(self) -> None:
        """Whoever comes after knows nothing of what was said, nor how long it was so."""
        self._heard.clear()
        self._stands.clear()
        self._turned.clear()

    def deleted(self, node: str) -> None:
        """What comes under this name is another machine."""
        self._stands.pop(node, None)
        for place in [place for place in self._heard if place[0] == node]:
            del self._heard[place]

    # -- is it true -------------------------------------------------------------------------------

    def check(self, node: Node, told: Explanation, now: float) -> None:
        """Speak up when anything of it is not."""
        glance = self._watch.sightings.glance(node)
        why = (
            self._since(node, told, now)
            or self._fact(node, told, glance, now)
            or self._of_cause(node, told, glance, now)
        )
        if why:
            self._watch.broken(node.name, f"{why}: {told}")

    def path(
        self, catalog: Catalog, node: Node, known: Mapping[str, str], cfg: Mapping[str, str]
    ) -> Path | NoPath:
        """The planner's answer, from a planner of our own and remembered by the whole question: what
        the collector's remembers by a part of it must be the same.
        """
        planner, answers = _oracle(catalog)
        attributes = node.attribute_values()
        shown = {name: as_text(value) for name, value in attributes.items()}
        question = tuple(tuple(sorted(part.items())) for part in (shown, known, cfg))
        answer = answers.get(question)
        if answer is None:
            answer = answers[question] = planner.find_path(attributes, known, cfg)
        return answer

    def _since(self, node: Node, told: Explanation, now: float) -> str:
        was, turned = self._stands.get(node.name), node.name in self._turned
        self._stands[node.name] = (told.cause, told.since, now)
        self._turned.discard(node.name)
        if told.since > now + SKEW_S:
            return "it is so since a time to come"
        if was is None:
            return ""
        cause, since, checked_at = was
        if turned:
            return f"it was {cause} at {checked_at:.3f}" if told.since < min(checked_at, now) else ""
        return "" if (told.cause, told.since) == (cause, since) else f"it is {cause} since {since:.3f}"

    def _fact(self, node: Node, told: Explanation, glance: Glance, now: float) -> str:
        fact = told.fact
        if fact is None:
            blocks = told.cause not in (Cause.CONVERGED, Cause.HELD)
            return "no fact is told" if blocks and glance.cfg else ""
        if fact.side is Side.ATTRIBUTE:
            return self._attribute(node, fact, now)
        record = node.dsc.get(fact.variable)
        if fact.value != glance.known.get(fact.variable, UNKNOWN):
            return f"{fact.variable} is {glance.known.get(fact.variable)}"
        if record is None:
            return "nobody saw it" if fact.source or fact.age_s is not None else ""
        if fact.source != record.source or fact.value != record.value:
            return f"{fact.variable} is known from {record}"
        if fact.age_s is None or abs(fact.age_s - max(0.0, now - record.seen_at)) > SKEW_S:
            return f"{fact.variable} was seen at {record.seen_at:.3f}"
        wish = glance.cfg.get(fact.variable)
        if fact.wanted and fact.wanted != wish:
            targets = {
                wish if change.target == CFG_VALUE else change.target
                for mutation in self._watch.simulation.catalog.mutations.values()
                for change in mutation.changes
                if change.variable == fact.variable
            }
            if fact.wanted not in targets and not self._is_out(node):
                return f"nobody wants {fact.variable} to be {fact.wanted}"
        blocked = (Cause.BACKOFF, Cause.NO_PATH, Cause.QUARANTINED)
        if told.cause in blocked and fact.value == fact.wanted:
            return f"{fact.variable} blocks nothing"
        return ""

    def _attribute(self, node: Node, fact: Fact, now: float) -> str:
        record = node.attributes.get(fact.variable)
        value = None if record is None else record.value
        if fact.value != as_text(value):
            return f"the attribute is {value}"
        if fact.value and fact.value in fact.wanted.split("|"):
            return "the attribute is as wanted"
        if value is None or record is None:
            return "nobody declared it" if fact.source or fact.age_s is not None else ""
        if fact.source != record.source or fact.age_s is None:
            return f"the attribute comes from {record.source}"
        return "" if abs(fact.age_s - (now - record.seen_at)) <= SKEW_S else "it was declared at another time"

    def _is_out(self, node: Node) -> bool:
        """Whether a mutation is under way, which may be of other modules or another Cfg."""
        collector = self._watch.simulation.collector
        assert collector is not None
        return bool(collector.engine.progress(node.name).underway)

    def _of_cause(self, node: Node, told: Explanation, glance: Glance, now: float) -> str:
        match told.cause:
            case Cause.CONVERGED:
                wishes = [f"{name}={value}" for name, value in glance.cfg.items()]
                untold = [wish for wish in wishes if wish not in told.reason]
                return f"{untold} is not told" if untold or told.next_at is not None else ""
            case Cause.HELD:
                return self._held(node, told, now)
            case Cause.RUNNING | Cause.WAITING:
                return "" if told.next_at is not None else "nobody knows when it is given up"
            case Cause.BACKOFF:
                return self._backoff(node, told, now)
            case Cause.BUDGET:
                return self._budget(node, told, now)
            case Cause.QUARANTINED:
                return "" if "kraken retry" in told.next else "nobody is told how it ends"
            case Cause.STALE | Cause.UNKNOWN:
                return self._looking(node, told)
            case Cause.NO_PATH | Cause.REQUIRES_UNMET:
                said = (told.cause, told.reason, told.reachable)
                if glance.stuck == said:
                    return ""
                why = self._stuck(node, told, glance)
                glance.stuck = None if why else said
                return why

    def _held(self, node: Node, told: Explanation, now: float) -> str:
        holds = [
            hold
            for hold in self._watch.simulation.durable.holds.values()
            if hold.node in (node.name, EVERY_NODE) and (hold.until is None or now < hold.until)
        ]
        untold = [hold.id for hold in holds if f"{hold.reason} ({hold.owner})" not in told.reason]
        if untold or told.reason.count("(") != len(holds):
            return f"the holds are {[hold.id for hold in holds]}"
        ends = [hold.until for hold in holds if hold.until is not None]
        free_at = max(ends) if len(ends) == len(holds) else None
        return "" if told.next_at == free_at else f"it is free at {free_at}"

    def _backoff(self, node: Node, told: Explanation, now: float) -> str:
        failures, settings = self._watch.failures_of(node.name), self._watch.simulation.settings
        times = {key: "once" if n == 1 else f"{n} times" for key, n in failures.counts.items()}
        if told.topic not in [f"{key} failed {often}" for key, often in times.items()]:
            return f"the failures are {failures.counts}"
        key = told.topic.split(" failed ")[0]
        longest = settings.backoff_s_max * (1.0 + settings.backoff_jitter)
        if told.next_at is None or not now - SKEW_S <= told.next_at <= now + longest + SKEW_S:
            return "it is tried again at no such time"
        if told.next_at < failures.retry_at.get(key, 0.0) - SKEW_S:
            return f"it is not tried again before {failures.retry_at[key]:.3f}"
        return ""

    def _budget(self, node: Node, told: Explanation, now: float) -> str:
        found = LIMITED.search(told.reason)
        if found is not None:
            return self._limited(told, found, now)
        found = QUEUE.search(told.reason)
        if found is None:
            return "its place is not told"
        place, waiting, busy, places = (int(found[i]) for i in range(1, 5))
        if not 1 <= place <= waiting or busy > places:
            return "there is no such place"
        truly = self._watch.mutations_out(found[5], now)
        return "" if busy == truly else f"{truly} {found[5]} runs are under way"

    def _limited(self, told: Explanation, found: re.Match[str], now: float) -> str:
        simulation = self._watch.simulation
        limits = {limit.name: limit for limit in simulation.settings.limits}
        limit = limits.get(found[2])
        mutation = simulation.catalog.mutations.get(found[1]) or by_hand(found[1])
        if limit is None or mutation is None or not limit.concerns(mutation):
            return "no such limit counts it"
        if (found[5] is not None) != (limit.by is not None):
            return "it is not told whom the limit is about"
        counted = [m for m in simulation.catalog.mutations.values() if limit.concerns(m)]
        places = len(simulation.durable.table) * (
            len(counted) + 1
        )  # a node may wait for several, one by hand
        if not 1 <= int(found[3]) <= int(found[4]) <= places:
            return "there is no such place"
        if told.next_at is None or told.next_at < now - SKEW_S:
            return "it is not told when it may start"
        return ""

    def _looking(self, node: Node, told: Explanation) -> str:
        catalog = self._watch.simulation.catalog
        for key, discovery in catalog.discoveries.items():
            if f"{key}: " not in told.reason or f"{key}: {SILENT}" in told.reason:
                continue
            heard = self._heard.get((node.name, key))
            said = heard is not None and (heard.message or heard.impossible)
            if heard is None or not said or f"{key}: {heard.message}" not in told.reason:
                return f"{key} said {heard} when it looked last"
            if any(f"it reported {name}" not in told.reason for name in heard.impossible):
                return f"{key} reported {heard.impossible}, which cannot be"
            assert told.fact is not None, "what is looked for is the fact"
            conditions = (
                *discovery.requires,
                *discovery.excludes,
                *catalog.variables[told.fact.variable].known_when,
            )
            grounds = {condition.name for condition in conditions}
            for name in grounds & set(node.dsc):
                if node.dsc[name].since > heard.issued_at + SKEW_S:
                    return f"{key} said so before {name} became {node.dsc[name].value}"
        return ""

    def _stuck(self, node: Node, told: Explanation, glance: Glance) -> str:
        catalog, cfg, known = self._watch.simulation.catalog, glance.cfg, glance.known
        missing = [name for name in cfg if name not in catalog.variables]
        if any(f"declares the variable {name}" not in told.reason for name in missing):
            return f"no module declares {missing}"
        if missing:
            return ""
        answer = self.path(catalog, node, known, cfg)
        if isinstance(answer, Path):
            return f"a path is there: {[step.operator.name for step in answer.steps]}"
        if bool(answer.unmet) != (told.cause is Cause.REQUIRES_UNMET):
            return f"unmet is {answer.unmet}"
        untold = [text for text in answer.on(glance.attributes).reasons if text not in told.reason]
        if untold:
            return f"not told is {untold}"
        if "this node's" in told.reason:
            return "the value of the attribute is not told"
        rest = {name: value for name, value in cfg.items() if name not in answer.variables}
        if isinstance(self.path(catalog, node, known, rest), NoPath):
            rest = {}
        for name, values in told.reachable.items():
            for value in values:
                if isinstance(self.path(catalog, node, known, {**rest, name: value}), NoPath):
                    return f"{name}={value} cannot be had either"
        return ""


@cache
def _oracle(catalog: Catalog) -> tuple[Planner, dict[Question, Path | NoPath]]:
    """A planner that no collector has, with all it was ever asked; lives of one domain share it."""
    return Planner(catalog), {}
