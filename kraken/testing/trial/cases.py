"""What is tried: cases from a module and the file of cases beside it, and the state each begins in. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kraken.errors import DocumentError, ModuleError
from kraken.model.catalog import Catalog
from kraken.model.document import Part, nearest, read_document
from kraken.model.module import ANY, CFG_VALUE, Condition, Discovery, KrakenModule, Mutation
from kraken.model.update import UNKNOWN, Value

FORMAT = 1
ANYTHING = "trial"  # the value of an open variable, or of an attribute, that nobody names


@dataclass(frozen=True, slots=True)
class Case:
    """One mutation, once.

    Attributes:
        cfg: what Cfg names while it runs; the variables it changes, at least.
    """

    mutation: Mutation
    cfg: Mapping[str, str]

    @property
    def effects(self) -> dict[str, str]:
        """What it is to make of a node."""
        return {
            change.variable: self.cfg[change.variable] if change.target == CFG_VALUE else change.target
            for change in self.mutation.changes
        }


@dataclass(frozen=True, slots=True)
class CaseFile:
    """What the author of a module says of its trial.

    Attributes:
        attributes: of the nodes it is tried on.
        cfgs: name of a mutation -> what Cfg names, once for each case.
        skip: name of a mutation -> why it is not tried.
    """

    attributes: Mapping[str, Value] = field(default_factory=dict)
    cfgs: Mapping[str, tuple[Mapping[str, str], ...]] = field(default_factory=dict)
    skip: Mapping[str, str] = field(default_factory=dict)


def case_file(module: KrakenModule) -> Path:
    """Where its cases stand: `tests/kraken/NAME.yml` of its collection, else `tests/NAME.yml` beside it."""
    directory = module.file.parent
    if directory.parts[-2:] == ("extensions", "kraken"):
        return directory.parents[1] / "tests" / "kraken" / f"{module.name}.yml"
    return directory / "tests" / f"{module.name}.yml"


def read_cases(module: KrakenModule, catalog: Catalog) -> CaseFile:
    """What stands in its file of cases; nothing where there is none.

    Raises:
        ModuleError: it is wrong; says file, line, key, what was wrong and what would be right.
    """
    file = case_file(module)
    if not file.exists():
        return CaseFile()
    known = ("kraken_test", "module", "attributes", "mutations", "skip")
    fields = read_document(file, ModuleError).fields(known, required=("kraken_test", "module"))
    emptied = [key for key in known[2:] if key in fields and fields[key].value is None]
    for key in emptied:  # whoever deletes what stood below a key may leave the key
        del fields[key]
    if fields["kraken_test"].value != FORMAT:
        raise fields["kraken_test"].fail(f"expected {FORMAT}", hint="it is the version of the format")
    if fields["module"].value != module.name:
        raise fields["module"].fail(f"expected {module.name}, which the file is named after")
    attributes: dict[str, Value] = {}
    if "attributes" in fields:
        for name, part in fields["attributes"].items("a mapping of attribute to value"):
            if name in catalog.variables:
                raise part.fail(f"{name} is a variable, no attribute", hint="name it in a case of a mutation")
            attributes[name] = part.plain()
    cfgs = {}
    for name, part in _of_mutations(fields.get("mutations"), module):
        cfgs[name] = tuple(_cfg(inner, catalog) for inner in part.elements("a list of what Cfg names"))
        if not cfgs[name]:
            raise part.fail(f"no case, so {name} is not tried", hint="name it in skip, and say there why")
    skip = {}
    for name, part in _of_mutations(fields.get("skip"), module):
        if not isinstance(part.value, str) or not part.value.strip():
            raise part.fail("say in a sentence why it is not tried")
        skip[name] = part.value
    return CaseFile(attributes, cfgs, skip)


def cases_of(mutation: Mutation, catalog: Catalog, file: CaseFile) -> list[Case]:
    """Those its file names; else one for each value that `$cfg` can stand for."""
    open_ = [change.variable for change in mutation.changes if change.target == CFG_VALUE]
    named = file.cfgs.get(mutation.name)
    if named is not None:
        cases = []
        for cfg in named:
            missing = [variable for variable in open_ if variable not in cfg]
            if missing:
                raise DocumentError(
                    f"a case of {mutation.key} does not say what {missing[0]} is to be",
                    hint=f"name it: {{{missing[0]}: VALUE}}",
                )
            cases.append(Case(mutation, _with_effects(mutation, cfg)))
        return cases
    domains = {variable: catalog.variables[variable].values or (ANYTHING,) for variable in open_}
    count = max((len(values) for values in domains.values()), default=1)
    return [
        Case(
            mutation,
            _with_effects(mutation, {name: values[i % len(values)] for name, values in domains.items()}),
        )
        for i in range(count)
    ]


def begins(case: Case, catalog: Catalog, state: Mapping[str, str], attributes: Mapping[str, Value]) -> bool:
    """Whether the mutation can start in this state."""
    mutation = case.mutation
    return catalog.applies(mutation, state, attributes) and all(
        change.sources is None or state.get(change.variable, UNKNOWN) in change.sources
        for change in mutation.changes
    )


def start_of(case: Case, catalog: Catalog, state: Mapping[str, str]) -> dict[str, str]:
    """Values in which the mutation can start, as near to `state` as its conditions let it be.

    What the variables depend on by `known_when` is among them. Whether they go together at all is for
    `begins` to say.
    """
    wanted: dict[str, str] = {}
    effects = case.effects
    for change in case.mutation.changes:
        sources = change.sources or catalog.variables[change.variable].values or ()
        others = [value for value in sources if value not in (UNKNOWN, effects[change.variable])]
        if change.sources is None or UNKNOWN not in change.sources or others:
            _want(wanted, change.variable, others, state)
    excluded = {condition.name: condition.values for condition in case.mutation.excludes}
    for condition in case.mutation.requires:
        _want_met(wanted, condition, catalog, state, excluded.get(condition.name, ()))
    for _ in range(len(catalog.variables)):
        before = len(wanted)
        for name in list(wanted):
            for condition in catalog.variables[name].known_when:
                _want_met(wanted, condition, catalog, state, ())
        if len(wanted) == before:
            break
    return wanted


def needed_attributes(
    operators: Iterable[Mutation | Discovery], catalog: Catalog, given: Mapping[str, Value]
) -> dict[str, Value]:
    """Attributes that conditions ask for and nobody gave, with a value that meets them."""
    found: dict[str, Value] = {}
    for operator in operators:
        for condition in operator.requires:
            if condition.name in catalog.variables or condition.name in given:
                continue
            value = ANYTHING if condition.values == (ANY,) else condition.values[0]
            found.setdefault(condition.name, value)
    return found


def _want_met(
    wanted: dict[str, str],
    condition: Condition,
    catalog: Catalog,
    state: Mapping[str, str],
    excluded: tuple[str, ...],
) -> None:
    variable = catalog.variables.get(condition.name)
    if variable is None or condition.name in wanted or UNKNOWN in condition.values:
        return
    values = (variable.values or (ANYTHING,)) if condition.values == (ANY,) else condition.values
    _want(wanted, condition.name, [value for value in values if value not in excluded], state)


def _want(wanted: dict[str, str], variable: str, values: list[str], state: Mapping[str, str]) -> None:
    """The value it has, if that will do, else the first."""
    if values:
        now = state.get(variable)
        wanted[variable] = now if now in values else values[0]


def _with_effects(mutation: Mutation, cfg: Mapping[str, str]) -> dict[str, str]:
    """Cfg wishes what the mutation gives, as it does whenever an engine starts it."""
    fixed = {change.variable: change.target for change in mutation.changes if change.target != CFG_VALUE}
    return {**fixed, **cfg}


def _of_mutations(part: Part | None, module: KrakenModule) -> list[tuple[str, Part]]:
    if part is None:
        return []
    found = part.items("a mapping with names of mutations")
    for name, inner in found:
        if name not in module.mutations:
            raise inner.fail(
                f"{module.name} has no mutation {name!r}", hint=nearest(name, list(module.mutations))
            )
    return found


def _cfg(part: Part, catalog: Catalog) -> dict[str, str]:
    try:
        return catalog.check_cfg(part.plain() if part.items("a mapping of variable to value") else {})
    except DocumentError as error:
        raise part.fail(error.message, hint=error.hint) from error
