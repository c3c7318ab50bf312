"""The door: everything that is wrong with a Catalog, for every class of nodes it tells apart."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from kraken.model.catalog import Catalog
from kraken.model.module import CFG_VALUE, Mutation
from kraken.planning.analysis.classes import classes_of
from kraken.planning.analysis.declared import never_confirmed, never_discovered, shadowed_attributes
from kraken.planning.analysis.findings import Coverage, Finding, Report, Severity, place_of, places_of
from kraken.planning.analysis.kinds import Kind, kinds_of
from kraken.planning.analysis.loops import Follower
from kraken.planning.analysis.reaching import Reached, Trap, examine
from kraken.planning.analysis.relaxed import Relaxed
from kraken.planning.analysis.slices import Fact, Slice, slices_of
from kraken.planning.analysis.space import Space, TooLarge
from kraken.planning.analysis.telling import failing_finding, tie_finding, trap_finding, undo_finding
from kraken.planning.analysis.ties import ties
from kraken.planning.problem import operators_of

CLASSES_MAX = 64
STATES_MAX = 400  # of one slice; of more, only what is surely out of reach is told

_RANK = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}


def analyse(catalog: Catalog, *, states_max: int = STATES_MAX, classes_max: int = CLASSES_MAX) -> Report:
    """Everything that is wrong with these modules together.

    Each variable is examined with all it depends on: exactly, by every state and with the planner's
    meaning of a step, when there are at most `states_max`; else conservatively: what is then called
    dead, unreached or a trap surely is, and loops and equal paths are not looked for.
    """
    classes = classes_of(catalog, classes_max)
    kinds = kinds_of(catalog, classes.examined)
    parts: dict[Hashable, _Part] = {}
    studies = [_study(catalog, kind, states_max, parts) for kind in kinds]
    findings: list[Finding] = [*shadowed_attributes(catalog)]
    findings += _dead(catalog, studies)
    findings += _unreached(catalog, studies, findings)
    findings += _traps(catalog, studies)
    for study in studies:
        if not study.kind.imagined:
            findings += [replace(f, classes=study.kind.words) for f in study.findings]
    merged = _merged(findings, {words for kind in kinds if not kind.imagined for words in kind.words})
    real = [study for study in studies if not study.kind.imagined]
    names = list(catalog.variables)
    conservative = {name for study in real for name in study.conservative}
    skipped = {name for study in real for name in study.skipped}
    return Report(
        tuple(sorted(merged, key=lambda finding: _RANK[finding.severity])),
        Coverage(
            classes=sum(not node_class.imagined for node_class in classes.examined),
            possible=classes.possible,
            exact=tuple(n for n in names if n not in conservative and n not in skipped),
            conservative=tuple(n for n in names if n in conservative and n not in skipped),
            skipped=tuple(n for n in names if n in skipped),
            states=sum(study.states for study in real),
        ),
    )


# One class --------------------------------------------------------------------------------------


@dataclass
class _Study:
    """What was found of one kind of nodes; `findings` have no classes yet."""

    kind: Kind
    reached: list[Reached] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    conservative: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)
    states: int = 0

    @property
    def live(self) -> set[str]:
        return {key for reached in self.reached for key in reached.live}


@dataclass(frozen=True)
class _Part:
    """What was found of one slice. `states`: how many it has; None: too many, it is conservative."""

    reached: Reached
    findings: tuple[Finding, ...]
    states: int | None


def _study(catalog: Catalog, kind: Kind, states_max: int, parts: dict[Hashable, _Part]) -> _Study:
    """Everything about one kind of nodes.

    Args:
        parts: of slices met before, which other kinds have alike; grows.
    """
    study = _Study(kind)
    study.findings += never_discovered(catalog, kind.operators)
    study.findings += never_confirmed(catalog, kind.operators)
    for slice_ in slices_of(catalog, kind.meets):
        names = slice_.problem.names
        if slice_.acts is None:
            study.skipped.update(names)
            continue
        key = slice_.key()
        part = parts.get(key)
        if part is None:
            part = parts[key] = _part(catalog, slice_, states_max)
        study.reached.append(part.reached)
        study.findings += part.findings
        study.states += part.states or 0
        if part.states is None:
            study.conservative.update(names)
    return study


def _part(catalog: Catalog, slice_: Slice, states_max: int) -> _Part:
    relaxed = Relaxed(slice_)
    try:
        space = Space(slice_, states_max)
    except TooLarge:
        return _Part(examine(slice_, relaxed, None), (), None)
    follower = Follower(slice_, space)
    findings = [undo_finding(slice_, loop) for loop in follower.undo_loops()]
    findings += [failing_finding(slice_, loop) for loop in follower.failing_loops()]
    findings += [tie_finding(catalog, slice_, tie) for tie in ties(space, follower.singles)]
    return _Part(examine(slice_, relaxed, space), tuple(findings), len(space.states))


# Findings from several classes ---------------------------------------------------------------------


def _dead(catalog: Catalog, studies: list[_Study]) -> Iterator[Finding]:
    """Operators that start on no class of nodes that has them."""
    live = {key for study in studies for key in study.live}
    skipped = {name for study in studies for name in study.skipped}
    for operator in operators_of(catalog):
        touched = (
            {c.variable for c in operator.changes}
            if isinstance(operator, Mutation)
            else {seen.variable for seen in operator.observes}
        )
        if operator.key in live or touched & skipped:
            continue
        why = [
            reached.dead[operator.key]
            for study in studies
            for reached in study.reached
            if operator.key in reached.dead
        ]
        revived = any(operator.key in reached.revived for study in studies for reached in study.reached)
        exists = any(operator in study.kind.operators for study in studies)
        if why:
            what = why[0] + (", unless a task reports it" if revived else "")
        elif exists:
            what = "what it requires and what it excludes leave no state"
        else:
            what = "no node has the attributes it asks for"
        is_mutation = isinstance(operator, Mutation)
        yield Finding(
            "dead-mutation" if is_mutation else "dead-discovery",
            Severity.ERROR if is_mutation and not revived else Severity.WARNING,
            operator.key,
            (place_of(operator),),
            (),
            f"{operator.key} can never start: {what}",
            "declare what leads there (a discovery that reports it, a mutation to it), mend the condition, "
            "or leave it out; give modules that will be there too by --with",
        )


def _unreached(catalog: Catalog, studies: list[_Study], told: list[Finding]) -> Iterator[Finding]:
    """Declared values nothing leads to, where a dead mutation does not say it all."""
    values = {fact for study in studies for reached in study.reached for fact in reached.values}
    reported = {fact for study in studies for reached in study.reached for fact in reached.reported}
    skipped = {name for study in studies for name in study.skipped}
    dead = {finding.name for finding in told if finding.code == "dead-mutation"}
    awaited: set[Fact] = set()
    for key in dead:
        awaited.update(*(reached.missed.get(key, ()) for study in studies for reached in study.reached))
        for change in catalog.mutations[key].changes:
            variable = catalog.variables[change.variable]
            targets = (variable.values or ()) if change.target == CFG_VALUE else (change.target,)
            awaited.update((change.variable, target) for target in targets)
    for name, variable in catalog.variables.items():
        missing = [v for v in variable.values or () if (name, v) not in values and (name, v) not in awaited]
        if not missing or name in skipped:
            continue
        only_reported = all((name, value) in reported for value in missing)
        what = (
            f"nothing sees or sets any value of {name}"
            if missing == list(variable.values or ())
            else f"nothing leads to {name}={'|'.join(missing)}"
        )
        yield Finding(
            "unreached-value",
            Severity.NOTE if only_reported else Severity.WARNING,
            name if len(missing) == len(variable.values or ()) else f"{name}={'|'.join(missing)}",
            places_of(catalog, name),
            (),
            f"{what}{'; only a task could report it' if only_reported else ''}",
            "name it where a discovery observes the variable, add a mutation to it, or leave it out",
        )


def _traps(catalog: Catalog, studies: list[_Study]) -> Iterator[Finding]:
    """What cannot be left, with all that is lost, for each class."""
    for study in studies:
        if study.kind.imagined:
            continue
        met: dict[tuple[Fact, ...], list[Trap]] = {}
        for reached in study.reached:
            for trap in reached.traps:
                met.setdefault(trap.where, []).append(trap)
        for where, traps in met.items():
            yield replace(trap_finding(catalog, where, traps), classes=study.kind.words)


# Merging ------------------------------------------------------------------------------------------


def _merged(findings: Iterable[Finding], everybody: set[str]) -> Iterator[Finding]:
    """Equal findings of several classes as one; the sentence is that of the first."""
    found: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        key = (finding.code, finding.name)
        first = found.get(key)
        if first is None:
            found[key] = finding
            continue
        worse = min(first, finding, key=lambda f: _RANK[f.severity])
        classes = tuple(dict.fromkeys((*first.classes, *finding.classes)))
        places = dict.fromkeys((*first.places, *finding.places))
        found[key] = replace(worse, classes=classes, places=tuple(places))
    for finding in found.values():
        everywhere = set(finding.classes) >= everybody
        yield replace(
            finding,
            places=tuple(dict.fromkeys(finding.places)),
            classes=() if everywhere else tuple(sorted(finding.classes, key=len)),
        )
