"""The door: everything that is wrong with a Catalog, for every class of nodes it tells apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from kraken.model.catalog import Catalog
from kraken.model.module import CFG_VALUE, Condition, Discovery, Mutation
from kraken.model.update import UNKNOWN
from kraken.planning.analysis.classes import NodeClass, classes_of
from kraken.planning.analysis.declared import (
    never_confirmed,
    never_discovered,
    places_in,
    shadowed_attributes,
)
from kraken.planning.analysis.findings import (
    Coverage,
    Finding,
    Report,
    Severity,
    listed,
    place_of,
    places_of,
)
from kraken.planning.analysis.loops import FailingLoop, Follower, UndoLoop
from kraken.planning.analysis.reaching import Reached, Trap, examine, where_text
from kraken.planning.analysis.relaxed import Relaxed
from kraken.planning.analysis.slices import Fact, Slice, slices_of
from kraken.planning.analysis.space import Space, TooLarge
from kraken.planning.analysis.ties import Tie, ties
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
    kinds = _kinds(catalog, classes.examined)
    studies = [_study(catalog, kind, states_max) for kind in kinds]
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


# Classes ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Kind:
    """Classes of nodes with the same mutations and discoveries."""

    words: tuple[str, ...]
    meets: Callable[[Condition], bool]
    operators: list[Mutation | Discovery]
    imagined: bool


def _kinds(catalog: Catalog, classes: Iterable[NodeClass]) -> list[_Kind]:
    kinds: dict[tuple[frozenset[str], frozenset[str]], _Kind] = {}
    for node_class in classes:
        meets = _meets(catalog, node_class)
        knowable = frozenset(
            name
            for name, variable in catalog.variables.items()
            if all(c.name in catalog.variables or meets(c) for c in variable.known_when)
        )
        operators = [o for o in operators_of(catalog) if _exists(catalog, o, meets, knowable)]
        key = (frozenset(o.key for o in operators), knowable)
        kind = kinds.get(key)
        if kind is None:
            kinds[key] = _Kind((node_class.words,), meets, operators, node_class.imagined)
        elif not node_class.imagined:
            words = node_class.words if kind.imagined else (*kind.words, node_class.words)
            kinds[key] = replace(kind, words=(words,) if isinstance(words, str) else words, imagined=False)
    return list(kinds.values())


def _meets(catalog: Catalog, node_class: NodeClass) -> Callable[[Condition], bool]:
    return lambda condition: catalog.meets(condition, {}, node_class.attributes)


def _exists(
    catalog: Catalog,
    operator: Mutation | Discovery,
    meets: Callable[[Condition], bool],
    knowable: frozenset[str],
) -> bool:
    """Whether nodes of a class have this mutation or discovery at all."""
    variables = catalog.variables
    if any(c.name not in variables and not meets(c) for c in operator.requires):
        return False
    if any(c.name not in variables and meets(c) for c in operator.excludes):
        return False
    if isinstance(operator, Discovery):
        return any(seen.variable in knowable for seen in operator.observes)
    return all(change.variable in knowable or change.target == UNKNOWN for change in operator.changes)


# One class --------------------------------------------------------------------------------------


@dataclass
class _Study:
    """What was found of one kind of nodes; `findings` have no classes yet."""

    kind: _Kind
    reached: list[Reached] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    conservative: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)
    states: int = 0

    @property
    def live(self) -> set[str]:
        return {key for reached in self.reached for key in reached.live}


def _study(catalog: Catalog, kind: _Kind, states_max: int) -> _Study:
    study = _Study(kind)
    study.findings += never_discovered(catalog, kind.operators)
    study.findings += never_confirmed(catalog, kind.operators)
    undone: dict[frozenset[str], Finding] = {}
    for slice_ in slices_of(catalog, kind.meets):
        if slice_.acts is None:
            study.skipped.update(slice_.problem.names)
            continue
        relaxed = Relaxed(slice_)
        space: Space | None
        try:
            space = Space(slice_, states_max)
        except TooLarge:
            space = None
            study.conservative.update(slice_.problem.names)
        study.reached.append(examine(slice_, relaxed, space))
        if space is None or kind.imagined:
            continue
        study.states += len(space.states)
        follower = Follower(slice_, space)
        for loop in follower.undo_loops():
            undone.setdefault(frozenset(m.key for m in loop.mutations), _undo_finding(slice_, loop))
        study.findings += [_failing_finding(slice_, failing) for failing in follower.failing_loops()]
        study.findings += [_tie_finding(catalog, slice_, tie) for tie in ties(space, follower.singles)]
    study.findings += undone.values()
    return study


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
            yield replace(_trap_finding(catalog, where, traps), classes=study.kind.words)


def _trap_finding(catalog: Catalog, where: tuple[Fact, ...], traps: list[Trap]) -> Finding:
    lost = [where_text([fact]) for fact in dict.fromkeys(f for trap in traps for f in trap.lost)]
    name = where_text(where)
    severity = Severity.WARNING if traps[0].wished else Severity.ERROR
    if lost:
        what = f"from {name} no path leads to {listed(lost)}, which a node can be brought to before"
    else:
        what = f"nothing leads out of {name} again"
        if not any(trap.disruptive for trap in traps):
            severity = Severity.NOTE  # as when something was mended
    todo = "add a mutation that leads back"
    if all(trap.passing for trap in traps):
        severity = Severity.NOTE
        todo = "it lasts until a look sees the node again; add a mutation that leads out, for when none does"
    elif severity is not Severity.ERROR:
        todo += f", or accept it with --ignore trap:{name.replace(' ', ',')}"
    places = tuple(place for variable, _ in where for place in places_of(catalog, variable))
    return Finding("trap", severity, name.replace(" ", ","), places, (), what, todo)


# Findings of one class ----------------------------------------------------------------------------


def _words(slice_: Slice, facts: Iterable[tuple[int, int]]) -> str:
    return where_text(slice_.fact(*fact) for fact in facts)


def _undo_finding(slice_: Slice, loop: UndoLoop) -> Finding:
    keys = [mutation.key for mutation in loop.mutations]
    back = _words(slice_, loop.seen)
    what = (
        f"with Cfg {_words(slice_, loop.wishes)} the engine would do {', '.join(keys)} again and again: "
        f"{back} is forgotten on the way and may be seen again as it was"
    )
    return Finding(
        "undo-loop",
        Severity.WARNING,
        "+".join(sorted(keys)),
        tuple(place_of(mutation) for mutation in loop.mutations),
        (),
        what,
        f"add a mutation that starts from {back}, or let its discovery report only what it can see then",
    )


def _failing_finding(slice_: Slice, loop: FailingLoop) -> Finding:
    serious = loop.always and bool(loop.disruptive)
    by = [mutation.key for mutation in loop.by]
    fails_to = ", ".join(f"{name}={value}" for name, value in loop.mutation.fails_to.items())
    what = (
        f"{loop.mutation.key} fails to {fails_to}, and from there the cheapest path to "
        f"{_words(slice_, loop.wishes)} leads by {listed(by)} into it again, until quarantine"
    )
    if serious:
        what += f"; {listed([m.key for m in loop.disruptive])} is disruptive each time"
    return Finding(
        "fails-to-loop",
        Severity.WARNING if serious else Severity.NOTE,
        loop.mutation.key,
        (place_of(loop.mutation), *map(place_of, loop.by)),
        (),
        what,
        "let the mutation start from what it fails to as well, so that it is merely tried again"
        if serious
        else "nothing needs to be done, if that is the way to try it again",
    )


def _tie_finding(catalog: Catalog, slice_: Slice, tie: Tie) -> Finding:
    keys = [key for way in tie.ways for key in way]
    places = tuple(places_in(catalog, key) for key in dict.fromkeys(keys))
    modules = {place.module for place in places}
    state = _words(slice_, ((v, value) for v, value in enumerate(tie.state) if value)) or "a state unknown"
    one, other = (", ".join(way) for way in tie.ways)
    decides = "the order in which modules are found" if len(modules) > 1 else "the order of declaration"
    return Finding(
        "equal-paths",
        Severity.WARNING if len(modules) > 1 else Severity.NOTE,
        "+".join(sorted(dict.fromkeys(keys))),
        places,
        (),
        f"from {state} to {_words(slice_, tie.wishes.items())} the ways by {one} and by {other} cost the "
        f"same; {decides} says which is taken",
        "give the one that is to be preferred a lower cost",
    )


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
