"""What was seen of each node, and how new it is: what a collector may rightly take for known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from kraken.model.byhand import restarts
from kraken.model.catalog import Catalog
from kraken.model.module import Condition, Discovery, Mutation
from kraken.model.node import Node, Record
from kraken.model.run import Run
from kraken.model.update import UNKNOWN, Stamp, Value
from kraken.testing.simulation.glance import Glance
from kraken.testing.simulation.starting import writes

if TYPE_CHECKING:
    from kraken.testing.simulation.watch import Watch

SKEW_S = 0.01  # what rounding may do to a time


class Sightings:
    """Numbers all that happens, so that of two things one is the newer.

    Attributes:
        number: of the last thing that happened; grows.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.number = 0
        self._arrived = 0  # when the collector last heard of anything; what it starts then is newer
        self._touched: dict[tuple[str, str], int] = {}  # (node, variable): a mutation of it ended
        self._seen: dict[tuple[str, str, float, Stamp], int] = {}  # one sighting: how new the look was
        self._was_known: set[tuple[str, str]] = set()  # (node, variable)
        self._unknowable: dict[tuple[str, str], int] = {}  # when it was last forgotten
        self._vain: dict[tuple[str, str], int] = {}  # (node, variable): a look that saw no value of it
        self._groundless: dict[
            tuple[str, str], int
        ] = {}  # (node, variable): a look saw that it can have no value
        self._run_numbers: dict[str, int] = {}
        self._glances: dict[str, Glance] = {}  # node -> the last one
        self._valid: dict[str, Glance] = {}  # those of them that were taken since the last arrival

    # -- what happens -----------------------------------------------------------------------------

    def arriving(self) -> None:
        """What is known may become another."""
        self.number += 1
        self._arrived = self.number
        self._valid.clear()

    def starts(self, run: Run) -> None:
        """Something is looked at, or done."""
        self.number += 1
        self._run_numbers[run.id] = self.number

    def touch(self, node: str, operator: Mutation | Discovery) -> None:
        """A mutation ended, or was lost: what it changes must be seen again."""
        self.number += 1
        self._doubted(node)
        if isinstance(operator, Mutation):
            for change in operator.changes:
                self._touched[node, change.variable] = self.number

    def restarted(self, node: str, operator: Mutation | Discovery) -> None:
        """What ran on the node may run no more, if this restarts it: all of it must be seen again."""
        if isinstance(operator, Mutation) and restarts(operator):
            self.number += 1
            self._doubted(node)
            ran = writes(self._watch.simulation.catalog, operator)
            for variable in ran - {change.variable for change in operator.changes}:
                self._touched[node, variable] = self.number

    def _doubted(self, node: str) -> None:
        """What was found true of it may be so no more."""
        self._glances.pop(node, None)
        self._valid.pop(node, None)

    def looked(self, node: str, run: Run) -> None:
        """A look came to its end; of some variables it may have seen no value."""
        assert isinstance(run.operator, Discovery)
        for observes in run.operator.observes:
            place = (node, observes.variable)
            self._vain[place] = max(self._run_numbers[run.id], self._vain.get(place, -1))  # it may come late

    def crashed(self) -> None:
        """The collector forgets what it knew of forgetting."""
        self._unknowable.clear()
        self._was_known.clear()

    def deleted(self, node: str) -> None:
        """What comes under this name is another machine."""
        for name, variable in list(self._touched):
            if name == node:
                del self._touched[name, variable]
        for place in [place for place in self._was_known if place[0] == node]:
            self._was_known.discard(place)

    # -- what may be taken for known --------------------------------------------------------------

    def glance(self, node: Node) -> Glance:
        """What the node's document says since the collector last decided."""
        found = self._valid.get(node.name)
        if found is None:
            catalog = self._watch.simulation.catalog
            found = self._glances.get(node.name)
            if found is None or not found.is_of(node, catalog):
                found = self._glances[node.name] = Glance(node, catalog)
            self._valid[node.name] = found
        return found

    def look(self, node: Node) -> Glance:
        """What the node's document says now."""
        self._valid.pop(node.name, None)
        return self.glance(node)

    def known(self, node: Node) -> dict[str, str]:
        """What is known of the node since the collector last decided."""
        return self.glance(node).known

    def doubt(self, node: Node, variable: str, now: float) -> str:
        """Why the value cannot be acted on; "" when it can."""
        catalog = self._watch.simulation.catalog
        declared = catalog.variables.get(variable)
        if declared is None:
            return ""
        record = node.dsc.get(variable)
        if self.is_touched(node, variable):
            return f"{variable} was not seen since a mutation of it"
        known = self.known(node)
        if variable not in known:
            for condition in declared.known_when:
                if not catalog.meets(condition, known, self.glance(node).attributes):
                    return (
                        self.doubt(node, condition.name, now) if condition.name in catalog.variables else ""
                    )
            return f"{variable} is not known"
        assert record is not None
        if declared.fresh_for_s is not None and now - record.seen_at > declared.fresh_for_s + SKEW_S:
            return f"{variable} was seen {now - record.seen_at:.1f} s ago"
        if record.source == "timeout":
            return f"{variable} was asserted, not seen"
        return ""

    def is_touched(self, node: Node, variable: str) -> bool:
        """Whether a mutation of it ended and nobody looked since, though somebody could."""
        touched = self._touched.get((node.name, variable))
        if touched is None or not self.is_observable(node, variable):
            return False
        record = node.dsc.get(variable)
        return self.known(node).get(variable) is not None and self.newness(node, variable, record) < touched

    def is_observable(self, node: Node, variable: str) -> bool:
        """Whether any discovery fits the node's attributes and sees the variable."""
        glance = self.glance(node)
        found = glance.observable.get(variable)
        if found is None:
            found = glance.observable[variable] = self._can_see(glance.attributes, variable)
        return found

    def _can_see(self, attributes: Mapping[str, Value], variable: str) -> bool:
        catalog = self._watch.simulation.catalog

        def fits(conditions: Iterable[Condition], wanted: bool) -> bool:
            return all(
                catalog.meets(c, {}, attributes) is wanted
                for c in conditions
                if c.name not in catalog.variables
            )

        return any(
            any(o.variable == variable for o in discovery.observes)
            and fits(discovery.requires, True)
            and fits(discovery.excludes, False)
            for discovery in catalog.discoveries.values()
        )

    def newness(self, node: Node, variable: str, record: Record | None) -> int:
        """How new the look was that this value came from; grows."""
        seen = (
            -1 if record is None else self._seen.get((node.name, variable, record.seen_at, record.stamp), 0)
        )
        if variable in self.known(node):
            return seen
        place = (node.name, variable)
        return max(seen, self._vain.get(place, -1), self._groundless.get(place, -1))

    # -- after every step -------------------------------------------------------------------------

    def check(self, node: Node) -> None:
        """What stands as seen was true, and what could have no value was seen since."""
        glance = self.look(node)
        if not glance.was_checked:
            self.check_dsc(node)
            self._check_forgotten(node)
            glance.was_checked = True

    def check_dsc(self, node: Node) -> None:
        """What stands as seen was true; and remember how new it is."""
        simulation = self._watch.simulation
        for variable, record in node.dsc.items():
            place = (node.name, variable, record.seen_at, record.stamp)
            if place in self._seen:
                continue
            if record.source in ("timeout", "forgotten"):
                self._seen[place] = self.number
                continue
            run = self._run_of(node.name, record)
            if run is None:
                self._watch.broken(
                    node.name, f"{variable}={record.value} comes from {record.source}, which never ran"
                )
            operator = run.operator
            own = isinstance(operator, Mutation)
            number = self._seen[place] = self.number if own else self._run_numbers[run.id]
            for other in _without_value(simulation.catalog, variable, str(record.value)):
                self._groundless[node.name, other] = max(number, self._groundless.get((node.name, other), -1))
            values = {
                self._as_seen(operator, variable, value)
                for value in simulation.world.was(
                    node.name, variable, run.issued_at - SKEW_S, record.seen_at + SKEW_S
                )
            }
            if record.value not in values and not (isinstance(operator, Mutation) and operator.asserts):
                self._watch.broken(
                    node.name, f"{variable}={record.value} was seen by {record.source}; true was {values}"
                )

    def _run_of(self, node: str, record: Record) -> Run | None:
        """The last run that can have seen it."""
        latest: Run | None = None
        for run in reversed(self._watch.simulation.recent):
            if run.operator.key == record.source and node in run.nodes:
                # The next may have been sent in the same moment as the one came back that saw it.
                if not self._watch.owes(run, node):
                    return run
                latest = latest or run
        return latest

    def _check_forgotten(self, node: Node) -> None:
        """What could have no value is known again only when it was seen since."""
        catalog, known = self._watch.simulation.catalog, self.known(node)
        for variable in catalog.variables.values():
            if not variable.known_when:
                continue
            place = (node.name, variable.name)
            if variable.name not in known:
                if place in self._was_known:
                    self._was_known.discard(place)
                    self._unknowable[place] = self._arrived
                continue
            self._was_known.add(place)
            if self.newness(node, variable.name, node.dsc[variable.name]) < self._unknowable.get(place, -1):
                self._watch.broken(node.name, f"{variable.name} is known again, and nobody saw it since")

    def _as_seen(self, operator: Mutation | Discovery, variable: str, truth: str) -> str | None:
        if isinstance(operator, Mutation) or truth == UNKNOWN:
            return truth
        if all(observes.variable != variable for observes in operator.observes):
            return None
        return self._watch.simulation.domain.reported(operator, variable, truth)


def _without_value(catalog: Catalog, variable: str, value: str) -> set[str]:
    """The variables that can have no value while this one has that."""
    found: set[str] = set()
    todo = [
        other.name
        for other in catalog.variables.values()
        if any(c.name == variable and not catalog.meets(c, {variable: value}, {}) for c in other.known_when)
    ]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += [o.name for o in catalog.variables.values() if any(c.name == name for c in o.known_when)]
    return found
