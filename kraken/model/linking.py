"""The rules between Kraken modules: which of them fit together into one vocabulary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from kraken.errors import LocatedError, ModuleError
from kraken.model.action import BMC_OBSERVATION, BMC_REACH, BMC_REACHED, BMC_VALUES
from kraken.model.catalog import Catalog
from kraken.model.document import nearest
from kraken.model.module import ANY, CFG_VALUE, Condition, Discovery, Guard, KrakenModule, Mutation, Variable
from kraken.model.schema import read_module_document
from kraken.model.update import UNKNOWN

Place = tuple[str | int, ...]


class _Misfit(Exception):
    """Why a module does not fit, and the path of the key at fault."""

    def __init__(self, path: tuple[str | int, ...], message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.message = message
        self.hint = hint


def link(modules: Iterable[KrakenModule]) -> tuple[Catalog, list[ModuleError]]:
    """The vocabulary of those modules that fit together, and one error for each that does not.

    A module that does not fit is refused whole; whoever needs what it declared is refused after it.
    Of two modules that contradict each other the earlier stands.
    """
    errors: list[ModuleError] = []
    standing: dict[str, KrakenModule] = {}
    lost: dict[str, str] = {}  # variable -> the refused module that declared it

    def refuse(module: KrakenModule, misfit: _Misfit) -> None:
        errors.append(_located(module, misfit))
        lost.update(dict.fromkeys(module.variables, module.name))

    for module in modules:
        other = standing.setdefault(module.name, module)
        if other is not module:
            reason = f"a module {module.name} is loaded already, from {other.file}"
            refuse(module, _Misfit(("name",), reason, "rename one of them"))
    while True:
        catalog = Catalog(standing.values())
        verdicts = [(module, _misfit(module, catalog, lost)) for module in standing.values()]
        refused = [(module, misfit) for module, misfit in verdicts if misfit is not None]
        for module, misfit in refused:
            refuse(module, misfit)
            del standing[module.name]
        if not refused:
            return catalog, errors


def _misfit(module: KrakenModule, catalog: Catalog, lost: Mapping[str, str]) -> _Misfit | None:
    """The first reason why a module does not fit into the catalog it is in, None when it does."""
    check = _Check(catalog, lost)
    try:
        for variable in module.variables.values():
            check.variable(variable)
        for discovery in module.discoveries.values():
            check.discovery(discovery)
        for mutation in module.mutations.values():
            check.mutation(mutation)
        for guard in module.guards.values():
            check.guard(guard)
    except _Misfit as misfit:
        return misfit
    return None


class _Check:
    """The rules; each method raises _Misfit at the first that is broken."""

    def __init__(self, catalog: Catalog, lost: Mapping[str, str]) -> None:
        self._variables = catalog.variables
        self._lost = lost

    def variable(self, variable: Variable) -> None:
        path = ("variables", variable.name)
        first = self._variables[variable.name]
        for key, ours, theirs in (
            ("values", variable.values, first.values),
            ("fresh_for", variable.fresh_for_s, first.fresh_for_s),
            ("known_when", variable.known_when, first.known_when),
        ):
            if ours != theirs:
                raise _Misfit(
                    (*path, key),
                    f"{variable.name} is declared otherwise by the module {first.module}",
                    "declare it alike, or in one module only",
                )
        self._conditions((*path, "known_when"), variable.known_when)
        cycle = self._cycle(variable)
        if cycle:
            raise _Misfit((*path, "known_when"), f"goes round in a circle: {' -> '.join(cycle)}")

    def discovery(self, discovery: Discovery) -> None:
        path: Place = ("discoveries", discovery.name)
        for index, seen in enumerate(discovery.observes):
            place: Place = (*path, "observes", seen.variable if seen.values is not None else index)
            variable = self._declared(place, seen.variable)
            for value in seen.values or ():
                self._in_domain(place, variable, value)
            if discovery.action.spec == BMC_OBSERVATION:
                for value in BMC_REACHED if seen.variable == BMC_REACH else BMC_VALUES:
                    self._in_domain(place, variable, value)
        self._operator(path, discovery)

    def mutation(self, mutation: Mutation) -> None:
        path: Place = ("mutations", mutation.name)
        for change in mutation.changes:
            place: Place = (*path, "mutates", change.variable)
            variable = self._declared(place, change.variable)
            for source in change.sources or ():
                self._in_domain((*place, 0), variable, source)
            if change.target != CFG_VALUE:
                if variable.values is None:
                    raise _Misfit(
                        (*place, 1), f"{variable.name} can have any value", f"write [ANY, {CFG_VALUE}]"
                    )
                self._in_domain((*place, 1), variable, change.target)
        for name, value in mutation.fails_to.items():
            self._in_domain((*path, "fails_to", name), self._declared((*path, "fails_to", name), name), value)
        self._operator(path, mutation)
        if mutation.disruptive:
            self._knows_what_it_hits(path, mutation)

    def guard(self, guard: Guard) -> None:
        path: Place = ("guards", guard.name)
        for end in guard.before:
            place = (*path, "before", end.name)
            variable = self._declared(place, end.name)
            for value in end.values:
                if value != ANY:
                    self._in_domain(place, variable, value)
        self._operator(path, guard)
        self._knows_what_it_hits(path, guard)

    def _operator(self, path: Place, operator: Discovery | Mutation | Guard) -> None:
        self._conditions((*path, "requires"), operator.requires)
        self._conditions((*path, "excludes"), operator.excludes)

    def _conditions(self, path: Place, conditions: Sequence[Condition]) -> None:
        """Values of variables are in their domains. Whatever no module declares is an attribute."""
        for condition in conditions:
            place = (*path, condition.name)
            variable = self._variables.get(condition.name)
            if variable is not None and condition.values != (ANY,):
                for value in condition.values:
                    self._in_domain(place, variable, value)
            elif condition.name in self._lost:
                self._declared(place, condition.name)

    def _knows_what_it_hits(self, path: Place, operator: Mutation | Guard) -> None:
        blind = [("requires", c) for c in operator.requires if UNKNOWN in c.values]
        blind += [("excludes", c) for c in operator.excludes if c.values == (ANY,)]
        can_not = (
            "a guard cannot let pass" if isinstance(operator, Guard) else "a disruptive mutation cannot act"
        )
        for key, condition in blind:
            if condition.name in self._variables:
                raise _Misfit(
                    (*path, key, condition.name),
                    f"{can_not} while {condition.name} is {UNKNOWN}",
                    "nothing disruptive acts on what nobody knows; let a discovery find out first",
                )

    def _declared(self, path: Place, name: str) -> Variable:
        variable = self._variables.get(name)
        if variable is not None:
            return variable
        if name in self._lost:
            raise _Misfit(
                path, f"the variable {name} went with the module {self._lost[name]}, which was refused"
            )
        raise _Misfit(path, f"no module declares the variable {name}", nearest(name, sorted(self._variables)))

    def _in_domain(self, path: Place, variable: Variable, value: str) -> None:
        if variable.accepts(value):
            return
        values = variable.values or ()
        hint = nearest(value, values)
        if value in ("true", "false"):
            hint = f"YAML reads on, off, yes and no as booleans; {hint}"
        raise _Misfit(path, f"{variable.name} cannot be {value!r}", hint)

    def _cycle(self, start: Variable) -> list[str]:
        """The variables round which known_when leads back to where it began; empty when it ends."""

        def walk(name: str, trail: tuple[str, ...]) -> Iterator[list[str]]:
            if name == start.name and trail:
                yield [*trail, name]
            elif name in self._variables and name not in trail:
                for condition in self._variables[name].known_when:
                    yield from walk(condition.name, (*trail, name))

        return next(walk(start.name, ()), [])


def _located(module: KrakenModule, misfit: _Misfit) -> ModuleError:
    """The error a person sees; the file is read once more to find the line."""
    path = misfit.path
    try:
        part = read_module_document(module.file).at(path)
    except LocatedError:
        key = ".".join(str(step) for step in path)
        return ModuleError(misfit.message, file=str(module.file), key=key, hint=misfit.hint)
    error = part.fail(misfit.message, misfit.hint)
    assert isinstance(error, ModuleError)
    return error
