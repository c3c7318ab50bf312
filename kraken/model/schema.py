"""The format of Kraken module files, key by key: a document in, a KrakenModule out.

Here are the rules that one file can be held to on its own; those between modules are in
`kraken.model.linking`. docs/modules.md is the same for people.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from kraken.errors import ModuleError
from kraken.model import terms
from kraken.model.action import (
    ACTION_KEYS,
    BMC_OBSERVATION,
    BMC_REACH,
    BMC_VALUES,
    BMC_VARIABLE,
    read_action,
)
from kraken.model.content import PLAY_KEYS, count
from kraken.model.document import Part, Steps, nearest, read_document
from kraken.model.module import (
    ANY,
    CFG_VALUE,
    Action,
    Change,
    Discovery,
    Guard,
    KrakenModule,
    Mutation,
    Observes,
    Variable,
)
from kraken.model.update import GROUPS, PRESENCE, UNKNOWN

FORMAT: Final = 1

MODULE_KEYS = ("kraken_module", "name", "summary", "variables", "discoveries", "mutations", "guards")
VARIABLE_KEYS = ("values", "fresh_for", "known_when", "summary")
_PLAY_KEYS = tuple(key for key in PLAY_KEYS if key != "check_mode")
_BOTH_KEYS = ("summary", "requires", "excludes", "runs_on", "timeout", "cost", *ACTION_KEYS, *_PLAY_KEYS)
DISCOVERY_KEYS = (*_BOTH_KEYS, "observes", "every")
GUARD_KEYS = ("summary", "before", "requires", "excludes")
MUTATION_KEYS = (*_BOTH_KEYS, "mutates", "disruptive", "fails_to", "asserts", "serial", "check_mode")

# Keys that people write out of habit -> what to write instead.
_ADVICE = {
    "when": "conditions belong in requires, so that the planner can see them",
    "unless": "conditions belong in excludes",
    "depends": "conditions belong in requires",
    "action": f"say how it is done by one of the keys {', '.join(ACTION_KEYS)}",
    "every": "a mutation runs when it is needed; only discoveries have every",
    "observes": "a mutation says mutates; what it sees is reported by its tasks as kraken_dsc",
    "mutates": "a discovery changes nothing; it says observes",
    "disruptive": "only mutations can be disruptive; a discovery changes nothing",
    "fails_to": "only a mutation has fails_to; a discovery that fails has seen nothing",
    "asserts": "only a mutation asserts; a discovery reports what it saw as kraken_dsc",
    "serial": "only a mutation is held to so many nodes at once; looks are never limited",
    "check_mode": "only a mutation can be a dry run; a discovery changes nothing",
    "hosts": "Kraken decides on which nodes it is done; requires says on which it can be",
}
_GUARD_ADVICE = {
    "mutates": "a guard says what it stands before: before: {VARIABLE: VALUE}",
    "when": "conditions belong in requires and excludes, so that the planner can see them",
}
_VARIABLE_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
_VALUE = re.compile(r"[A-Z][A-Z0-9_]*")
_VAULT_MARK = "$ANSIBLE_VAULT;"


def read_module_document(file: Path) -> Part:
    """The document in the file of a module, or in one of tasks that lies beside it.

    Raises:
        ModuleError: as `read_document` says.
    """
    return read_document(file, ModuleError, _is_ansibles)


def parse_module(top: Part, file: Path, collection: str = "") -> KrakenModule:
    """The module that a document declares.

    Raises:
        LocatedError: of the document's error type, at the first thing that is wrong.
    """
    if isinstance(top.value, str) and top.value.startswith(_VAULT_MARK):
        raise top.fail(
            "the file is encrypted, and Kraken reads modules as they are",
            hint="encrypt what its tasks need: variables (!vault), or tasks in a directory of their own",
        )
    if not isinstance(top.value, dict):
        hint = "is this a file of tasks? a module starts with kraken_module: 1"
        raise top.fail(f"a Kraken module is a mapping, found {top.describe()}", hint)
    _check_format(top)
    fields = top.fields(MODULE_KEYS, required=("name",))
    name = terms.identifier(fields["name"])
    directory = file.parent

    variables = {key: _variable(name, key, part) for key, part in _section(fields, "variables")}
    discoveries = {
        key: _discovery(name, key, part, directory) for key, part in _section(fields, "discoveries")
    }
    mutations = {key: _mutation(name, key, part, directory) for key, part in _section(fields, "mutations")}
    guards = {key: _guard(name, key, part) for key, part in _section(fields, "guards")}
    if not (variables or discoveries or mutations or guards):
        raise top.fail("the module declares nothing", hint="add variables, discoveries or mutations")
    for key, part in _section(fields, "mutations"):
        if key in discoveries:
            raise part.fail(f"{key} is the name of a discovery too", hint="give one of them another name")
    return KrakenModule(
        name=name,
        summary=terms.summary(fields),
        file=file,
        collection=collection,
        variables=variables,
        discoveries=discoveries,
        mutations=mutations,
        guards=guards,
    )


def _check_format(top: Part) -> None:
    part = dict(top.value).get("kraken_module")
    if part is None:
        raise top.fail(
            "the key 'kraken_module' is missing", hint=f"start the file with kraken_module: {FORMAT}"
        )
    if isinstance(part.value, bool) or not isinstance(part.value, int):
        raise part.fail(f"expected the format's number, found {part.describe()}", hint=f"write {FORMAT}")
    if part.value > FORMAT:
        raise part.fail(
            f"written for a newer Kraken: format {part.value}, this one reads {FORMAT}", hint="upgrade Kraken"
        )
    if part.value != FORMAT:
        raise part.fail(f"there is no format {part.value}", hint=f"write {FORMAT}")


def _section(fields: Mapping[str, Part], key: str) -> list[tuple[str, Part]]:
    part = fields.get(key)
    return [] if part is None or part.value is None else part.items("a mapping of names")


def _is_ansibles(path: Steps) -> bool:
    """Whether it stands in tasks or in their variables: in a module, or in a file of tasks beside it."""
    if path and isinstance(path[0], int):
        return True
    return len(path) > 3 and path[0] in ("mutations", "discoveries") and path[2] in ("tasks", "vars")


# ---- variables ----


def _variable(module: str, name: str, part: Part) -> Variable:
    _check_variable_name(name, part)
    fields = part.fields(VARIABLE_KEYS, required=("values",))
    return Variable(
        module=module,
        name=name,
        values=_domain(fields["values"]),
        fresh_for_s=terms.duration(fields.get("fresh_for")),
        known_when=terms.conditions(fields.get("known_when")),
        summary=terms.summary(fields),
    )


def _check_variable_name(name: str, part: Part) -> None:
    if not _VARIABLE_NAME.fullmatch(name):
        raise part.fail(
            f"{name!r} cannot name a variable", hint="use lower-case words joined by dots, like slurm.slurmd"
        )
    if name in (PRESENCE, GROUPS) or name.startswith("ansible_"):
        raise part.fail(f"{name!r} is the name of an attribute", hint="give the variable another name")


def _domain(part: Part) -> tuple[str, ...] | None:
    if part.value == "any":
        return None
    elements = part.elements("a list of values, or any")
    values: list[str] = []
    for element in elements:
        value = terms.value(element)
        if value in (UNKNOWN, ANY):
            every = "a value of every variable" if value == UNKNOWN else "a reserved word"
            raise element.fail(f"{value} is {every}", hint="leave it out")
        if not _VALUE.fullmatch(value):
            raise element.fail(f"{value!r} cannot be a value", hint=terms.UPPER_CASE)
        if value in values:
            raise element.fail(f"{value} is given twice")
        values.append(value)
    if not values:
        raise part.fail("a variable needs at least one value", hint="or say values: any")
    return tuple(values)


# ---- discoveries and mutations ----


def _discovery(module: str, name: str, part: Part, directory: Path) -> Discovery:
    terms.check_identifier(name, part)
    fields = part.fields(DISCOVERY_KEYS, required=("observes",), advice=_ADVICE)
    action = read_action(fields, directory, Discovery)
    if action is None:
        raise part.fail(
            "a discovery must say how it looks", hint=f"by one of the keys {', '.join(ACTION_KEYS)}"
        )
    observes = _observes(fields["observes"])
    if action.kind == "tcp":
        observes = _narrowed(observes, action.spec["sees"], fields)
    if action.spec == BMC_OBSERVATION and {seen.variable for seen in observes} - {BMC_REACH} != {
        BMC_VARIABLE
    }:
        raise fields["observes"].fail(
            f"{BMC_OBSERVATION} sees {BMC_VARIABLE}, and {BMC_REACH} if it is named, and nothing else",
            hint=f"write {{{BMC_VARIABLE}: [{', '.join(BMC_VALUES)}]}}",
        )
    return Discovery(
        module=module,
        name=name,
        observes=observes,
        action=action,
        requires=terms.conditions(fields.get("requires")),
        excludes=terms.conditions(fields.get("excludes")),
        every_s=terms.duration(fields.get("every")),
        timeout_s=terms.duration(fields.get("timeout")) or 30.0,
        cost=terms.cost(fields.get("cost")),
        runs_on=_runs_on(fields, action),
        summary=terms.summary(fields),
    )


def _mutation(module: str, name: str, part: Part, directory: Path) -> Mutation:
    terms.check_identifier(name, part)
    fields = part.fields(MUTATION_KEYS, required=("mutates",), advice=_ADVICE)
    if "timeout" not in fields:
        raise part.fail(
            "the key 'timeout' is missing", hint="say how long until it has failed, for example timeout: 60s"
        )
    action = read_action(fields, directory, Mutation)
    changes = _changes(fields["mutates"])
    mutation = Mutation(
        module=module,
        name=name,
        changes=changes,
        requires=terms.conditions(fields.get("requires")),
        excludes=terms.conditions(fields.get("excludes")),
        runs_on=_runs_on(fields, action),
        timeout_s=terms.duration(fields["timeout"]) or 0.0,
        cost=terms.cost(fields.get("cost")),
        disruptive=terms.boolean(fields.get("disruptive")),
        fails_to=_fails_to(fields.get("fails_to"), changes),
        action=action,
        asserts=terms.boolean(fields.get("asserts")),
        summary=terms.summary(fields),
        serial=count(fields.get("serial"), "so many nodes at once; Kraken counts nodes, not per cent"),
    )
    if mutation.serial is not None and action is None:
        raise fields["serial"].fail(
            "nobody starts what the world does", hint="put serial on the mutation that begins it"
        )
    if mutation.asserts and (action is None or action.kind != "ansible"):
        raise fields["asserts"].fail(
            "only tasks can assert their effect", hint="leave asserts out; a discovery sees the effect"
        )
    for change in changes if mutation.disruptive else ():
        if change.sources is not None and UNKNOWN in change.sources:
            place = fields["mutates"].at((change.variable,))
            raise place.fail(
                f"a disruptive mutation cannot start from {UNKNOWN}: it would act on what nobody knows",
                hint="start from the values where it is right, and let a discovery find out",
            )
    return mutation


def _guard(module: str, name: str, part: Part) -> Guard:
    terms.check_identifier(name, part)
    fields = part.fields(GUARD_KEYS, required=("before",), advice=_GUARD_ADVICE)
    before = terms.conditions(fields["before"])
    if not before:
        raise fields["before"].fail("a guard must stand before something", hint="write {VARIABLE: VALUE}")
    requires, excludes = terms.conditions(fields.get("requires")), terms.conditions(fields.get("excludes"))
    if not (requires or excludes):
        raise part.fail("a guard that asks for nothing guards nothing", hint="add requires or excludes")
    return Guard(module, name, before, requires, excludes, terms.summary(fields))


def _changes(part: Part) -> tuple[Change, ...]:
    changes = tuple(_change(name, entry) for name, entry in part.items("a mapping of variable to [from, to]"))
    if not changes:
        raise part.fail("a mutation must mutate something", hint="write {variable: [FROM, TO]}")
    return changes


def _change(variable: str, part: Part) -> Change:
    how = "write [FROM, TO], where FROM is a value, a list of values or ANY"
    if not isinstance(part.value, list):
        raise part.fail(f"expected [from, to], found {part.describe()}", hint=how)
    if len(part.value) != 2:
        raise part.fail(f"expected [from, to], found {len(part.value)} elements", hint=how)
    origin, end = part.elements()
    if isinstance(end.value, list):
        raise end.fail("a mutation has one end", hint="declare one mutation for each, or a discovery")
    target = terms.value(end)
    if target in (UNKNOWN, ANY):
        raise end.fail(
            f"a mutation cannot lead to {target}", hint="what is forgotten, and when, is said by known_when"
        )
    sources = terms.alternatives(origin, terms.value)
    if CFG_VALUE in sources:
        raise origin.fail(f"{CFG_VALUE} can only be the end of a mutation")
    if target in sources:
        raise origin.fail(f"from {target} to {target} changes nothing", hint=f"leave {target} out")
    return Change(variable, None if sources == (ANY,) else sources, target)


def _fails_to(part: Part | None, changes: tuple[Change, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, entry in terms.entries(part):
        value = terms.value(entry)
        if value in (ANY, CFG_VALUE):
            raise entry.fail(f"fails_to needs a value, found {value}")
        if any(change.variable == name and change.target == value for change in changes):
            raise entry.fail(
                "it fails to what it should bring about", hint="name the value that shows the failure"
            )
        found[name] = value
    return found


def _observes(part: Part) -> tuple[Observes, ...]:
    if isinstance(part.value, dict):
        found = []
        for name, entry in part.items():
            values = terms.alternatives(entry, terms.value)
            if UNKNOWN in values:
                raise entry.fail(f"nobody can see {UNKNOWN}", hint="leave it out")
            found.append(Observes(name, None if values == (ANY,) else values))
    else:
        found = [Observes(terms.value(element)) for element in part.elements("a list of variables")]
    if not found:
        raise part.fail("a discovery must observe something")
    names = [seen.variable for seen in found]
    for name in names:
        if names.count(name) > 1:
            raise part.fail(f"{name} is given twice")
    return tuple(found)


def _narrowed(
    observes: tuple[Observes, ...], sees: Mapping[str, str], fields: Mapping[str, Part]
) -> tuple[Observes, ...]:
    """What a probe observes: exactly what it `sees`."""
    names = [seen.variable for seen in observes]
    if set(names) != set(sees):
        place = fields["tcp"].at(("sees",))
        raise place.fail(
            f"sees names {', '.join(sees)}, but observes names {', '.join(names)}",
            hint="name the same variables in both",
        )
    for seen in observes:
        value = sees[seen.variable]
        if seen.values not in (None, (value,)):
            place = fields["observes"].at((seen.variable,))
            raise place.fail(f"the probe can only see {value}", hint="say the same in observes and in sees")
    return tuple(Observes(seen.variable, (sees[seen.variable],)) for seen in observes)


def _runs_on(fields: Mapping[str, Part], action: Action | None) -> Literal["collector", "node"]:
    part = fields.get("runs_on")
    if part is None:
        return "collector"
    if part.value not in ("collector", "node"):
        known = ("collector", "node")
        raise part.fail(f"runs_on cannot be {part.describe()}", hint=nearest(part.text, known))
    if part.value == "node" and action is not None and action.kind != "ansible":
        raise part.fail("only tasks can run on the node", hint="leave runs_on out: the collector does it")
    return "node" if part.value == "node" else "collector"
