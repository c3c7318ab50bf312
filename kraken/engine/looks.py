"""When each discovery looks at each node: by its own interval, and when somebody waits for it.

Looks that cost the same alone as together (at a BMC, at a port) are spread: every node has a moment of
its own in the interval. Those of Ansible stay together, since one run on many costs little more than
one on one. docs/decisions/0023 has the reasons and the figures.
"""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass

from kraken.engine.doubt import TIMEOUT_SOURCE
from kraken.engine.progress import Look, Progress
from kraken.engine.settings import Settings
from kraken.model.catalog import Catalog
from kraken.model.module import Condition, Discovery
from kraken.model.run import NodeResult, Outcome

SPREAD = frozenset({"ipmi", "redfish", "tcp"})
"""Kinds of action whose looks are spread over their interval."""

FAST = 3.0
"""After a value has changed, a spread discovery looks so many times as often, for one interval; what
changes on many nodes at once is spread as well.
"""

LEAST_PAUSE_S = 1.0
"""Between two looks by itself at one node: BMCs are slow."""

_EARLY = 0.1  # of a period; the least between a look and the node's own next moment


@dataclass(frozen=True, slots=True)
class Watch:
    """A discovery whose attribute conditions a class of nodes meets, and the rest of them."""

    discovery: Discovery
    requires: tuple[Condition, ...]
    excludes: tuple[Condition, ...]


class Looks:
    """Which discoveries are due on which node. Remembers per class what does not change."""

    def __init__(self, catalog: Catalog, settings: Settings, seed: int = 0) -> None:
        self._catalog = catalog
        self._settings = settings
        self._seed = seed
        self._watches: dict[Hashable, tuple[Watch, ...]] = {}

    def watches(self, progress: Progress) -> tuple[Watch, ...]:
        """The discoveries that may ever apply to the node while its attributes stay."""
        found = self._watches.get(progress.class_)
        if found is None:
            found = tuple(self._watch(d, progress) for d in self._catalog.discoveries.values())
            found = tuple(watch for watch in found if self._attributes_fit(watch.discovery, progress))
            self._watches[progress.class_] = found
        return found

    def observers(self, progress: Progress, variable: str) -> list[Discovery]:
        """Discoveries that may ever see this variable on this node, in order."""
        return [
            watch.discovery
            for watch in self.watches(progress)
            if any(observes.variable == variable for observes in watch.discovery.observes)
        ]

    def applicable(self, watch: Watch, progress: Progress) -> bool:
        """Whether looking makes sense in what is known now."""
        catalog, state, attributes = self._catalog, progress.state, progress.attributes
        if not catalog.holds(watch.requires, state, attributes):
            return False
        if any(catalog.meets(condition, state, attributes) for condition in watch.excludes):
            return False
        return any(
            catalog.holds(catalog.variables[o.variable].known_when, state, attributes)
            for o in watch.discovery.observes
        )

    def visible(self, progress: Progress, variable: str) -> bool:
        """Whether anybody can look at it in what is known now."""
        return next(self.seers(progress, variable), None) is not None

    def seers(self, progress: Progress, variable: str) -> Iterator[Discovery]:
        """The discoveries that can look at it in what is known now."""
        for watch in self.watches(progress):
            sees = any(o.variable == variable for o in watch.discovery.observes)
            if sees and self.applicable(watch, progress):
                yield watch.discovery

    def due(self, progress: Progress, now: float) -> tuple[list[Look], float | None]:
        """The periodic looks to start now, and when the next one is due (None: never)."""
        ready: list[Look] = []
        next_at: float | None = None
        for watch in self.watches(progress):
            key = watch.discovery.key
            look = progress.looks.get(key)
            if look is None:
                if watch.discovery.every_s is None:
                    continue
                look = self.look(progress, watch.discovery)
            if look.run_id is not None or look.queued or look.next_at is None:
                continue
            if not self.applicable(watch, progress):
                continue
            at = max(look.next_at, self._seen_until(watch.discovery, progress))
            if at <= now:
                ready.append(look)
            elif next_at is None or at < next_at:
                next_at = at
        return ready, next_at

    def senseless(self, progress: Progress) -> list[Look]:
        """Looks that wait for their turn, though what they require does not hold any more: what they saw
        would stand for what is so no longer.
        """
        queued = {key: look for key, look in progress.looks.items() if look.queued}
        if not queued:
            return []
        sensible = {w.discovery.key for w in self.watches(progress) if self.applicable(w, progress)}
        return [look for key, look in queued.items() if key not in sensible]

    def _seen_until(self, discovery: Discovery, progress: Progress) -> float:
        """Until when it need not look, because all it could see was seen by others lately."""
        if discovery.every_s is None:
            return float("-inf")
        oldest = float("inf")
        for observes in discovery.observes:
            record = progress.node.dsc.get(observes.variable)
            if record is None or observes.variable not in progress.state:
                return float("-inf")
            if observes.variable in progress.unsettled or record.source in (TIMEOUT_SOURCE, discovery.key):
                return float("-inf")
            oldest = min(oldest, record.seen_at)
        return oldest + discovery.every_s

    def wanted(self, progress: Progress, variable: str, now: float) -> tuple[list[Look], float | None]:
        """The looks to start now because somebody waits for this variable, and when to try again.

        A look that failed lately is repeated after `look_retry_s`, doubled for each failure.
        """
        ready: list[Look] = []
        again_at: float | None = None
        for watch in self.watches(progress):
            if not any(o.variable == variable for o in watch.discovery.observes):
                continue
            if not self.applicable(watch, progress):
                continue
            look = self.look(progress, watch.discovery)
            if look.run_id is not None or look.queued:
                continue
            at = self.retry_at(look)
            if at <= now:
                ready.append(look)
            elif again_at is None or at < again_at:
                again_at = at
        return ready, again_at

    def grounds(self, progress: Progress, variable: str) -> set[str]:
        """The variables that must be so for anybody to see this one."""
        declared = self._catalog.variables.get(variable)
        conditions = list(declared.known_when) if declared is not None else []
        for watch in self.watches(progress):
            if any(o.variable == variable for o in watch.discovery.observes):
                conditions += (*watch.requires, *watch.excludes)
        return {c.name for c in conditions if c.name in self._catalog.variables} - {variable}

    def excuse(self, progress: Progress) -> None:
        """End the doubts about what can have no value, where looks sent after it was acted on saw that.

        What came back later, but had been sent before, may tell of a time before (docs/decisions/0063).
        """
        if not progress.unsettled:
            return
        for variable in sorted(progress.unsettled & self._catalog.variables.keys()):
            if self._is_groundless(progress, variable, progress.touched.get(variable, progress.born)):
                progress.unsettled.discard(variable)

    def unsure_grounds(self, progress: Progress, variable: str) -> set[str]:
        """Why a variable in doubt can have no value, as far as that was not seen since it was acted on:
        the variables to be looked at, or it would be doubted for ever.
        """
        found: set[str] = set()
        todo = [variable] if variable in progress.unsettled else []
        since = progress.touched.get(variable, progress.born)
        while todo:
            for ground in self._missing(progress, todo.pop()):
                if not self.knowable(progress, ground):
                    todo.append(ground)
                elif not self._is_seen_since(progress, ground, since):
                    found.add(ground)
        return found

    def _is_groundless(self, progress: Progress, variable: str, since: int) -> bool:
        """Whether it can have no value, as was seen by looks that were sent after the run of this number."""
        return any(
            self._is_seen_since(progress, ground, since)
            if self.knowable(progress, ground)
            else self._is_groundless(progress, ground, since)
            for ground in self._missing(progress, variable)
        )

    def _is_seen_since(self, progress: Progress, variable: str, since: int) -> bool:
        return variable not in progress.unsettled and progress.seen_by.get(variable, -1) > since

    def _missing(self, progress: Progress, variable: str) -> list[str]:
        """The variables that would have to be otherwise for this one to have a value."""
        catalog = self._catalog
        declared = catalog.variables.get(variable)
        return [
            condition.name
            for condition in (declared.known_when if declared is not None else ())
            if condition.name in catalog.variables
            and not catalog.meets(condition, progress.state, progress.attributes)
        ]

    def look(self, progress: Progress, discovery: Discovery) -> Look:
        """The node's record of this discovery, made when it is new."""
        look = progress.looks.get(discovery.key)
        if look is None:
            next_at = None if discovery.every_s is None else float("-inf")
            look = progress.looks[discovery.key] = Look(discovery, next_at)
        return look

    def adopt(self, progress: Progress) -> None:
        """The modules are others: what is still declared is looked at as they say now."""
        discoveries = self._catalog.discoveries
        progress.looks = {key: look for key, look in progress.looks.items() if key in discoveries}
        for key, look in progress.looks.items():
            look.discovery = discoveries[key]
            every = look.discovery.every_s
            look.next_at = None if every is None else (look.asked_at or float("-inf")) + every

    def retry_at(self, look: Look) -> float:
        """Earliest time at which a look that is waited for may be repeated."""
        if look.asked_at is None:
            return float("-inf")
        settings = self._settings
        pause = min(settings.look_retry_s * 2.0 ** min(look.failures, 16), settings.look_retry_s_max)
        every = look.discovery.every_s
        if every is not None:
            pause = min(pause, max(every, settings.look_retry_s))
        return look.asked_at + pause

    def ended(self, progress: Progress, look: Look, result: NodeResult) -> None:
        """Note the result of a look; what it observed is in the node's Dsc already."""
        look.run_id = None
        look.message, look.said_at = result.message, look.asked_at or float("-inf")
        answered = result.outcome is Outcome.OK
        look.failures = 0 if answered and result.observed else look.failures + 1
        self._note_misses(progress, look, result)
        look.blind = any(
            o.variable not in progress.state and self.knowable(progress, o.variable)
            for o in look.discovery.observes
        )
        look.next_at = self._next_at(progress, look, result)

    def _note_misses(self, progress: Progress, look: Look, result: NodeResult) -> None:
        """Of what it looks at, what got an answer and what did not."""
        for observes in look.discovery.observes:
            variable = observes.variable
            if result.outcome is Outcome.OK or variable in result.observed:
                progress.missed.pop(variable, None)
            elif result.asked and result.outcome is not Outcome.CANCELLED and look.asked_at is not None:
                misses, _ = progress.missed.get(variable, (0, 0.0))
                progress.missed[variable] = (misses + 1, look.asked_at)

    def _next_at(self, progress: Progress, look: Look, result: NodeResult) -> float | None:
        """When it looks by itself again: sooner when it got no answer, or something has just changed."""
        every, asked_at = look.discovery.every_s, look.asked_at
        if every is None or asked_at is None:
            return None
        if result.outcome is not Outcome.OK and not result.observed.keys() & _names(look.discovery):
            settings = self._settings
            pause = min(settings.look_retry_s * 2.0 ** min(look.failures, 16), settings.look_retry_s_max)
            return asked_at + min(pause, every)
        if look.discovery.action.kind not in SPREAD:
            return asked_at + every
        records = progress.node.dsc
        changed_at = max((records[n].since for n in _names(look.discovery) if n in records), default=0.0)
        if asked_at - every <= changed_at:
            period = min(every, max(every / FAST, LEAST_PAUSE_S))
        else:
            period = every
        return self._own_moment(progress, look.discovery, asked_at + period * _EARLY, period)

    def _own_moment(self, progress: Progress, discovery: Discovery, after: float, period: float) -> float:
        """The node's next moment for this discovery, which comes once in `period` seconds; those of
        all nodes are spread evenly, so what has changed on many at once is no burst of looks.
        """
        mark = zlib.crc32(f"{self._seed}/{progress.node.name}/{discovery.key}".encode()) / 2**32
        passed = (after / period - mark) % 1.0
        return after + (1.0 - passed) * period

    def reconsider(self, progress: Progress) -> None:
        """The node is not what it was (its BMC has another address): what looks in vain have learned
        is no reason to wait any more.
        """
        progress.missed.clear()
        for look in progress.looks.values():
            look.blind = False
            if look.failures and look.run_id is None:
                look.failures, look.message, look.asked_at = 0, "", None
                if look.discovery.every_s is not None:
                    look.next_at = float("-inf")

    def knowable(self, progress: Progress, variable: str) -> bool:
        """Whether the variable can have a value now."""
        declared = self._catalog.variables.get(variable)
        return declared is None or self._catalog.holds(
            declared.known_when, progress.state, progress.attributes
        )

    def _watch(self, discovery: Discovery, progress: Progress) -> Watch:
        variables = self._catalog.variables
        return Watch(
            discovery,
            tuple(condition for condition in discovery.requires if condition.name in variables),
            tuple(condition for condition in discovery.excludes if condition.name in variables),
        )

    def _attributes_fit(self, discovery: Discovery, progress: Progress) -> bool:
        def of_attributes(conditions: Iterable[Condition]) -> list[Condition]:
            return [c for c in conditions if c.name not in self._catalog.variables]

        catalog, attributes = self._catalog, progress.attributes
        return catalog.holds(of_attributes(discovery.requires), {}, attributes) and not any(
            catalog.meets(condition, {}, attributes) for condition in of_attributes(discovery.excludes)
        )


def _names(discovery: Discovery) -> set[str]:
    return {observes.variable for observes in discovery.observes}
