"""Kraken modules in files, read without a daemon: what `module check` and `module path` stand on."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kraken.cli.templates import UNKNOWN_NAME, UNREADABLE, template_faults
from kraken.errors import DocumentError, ModuleError
from kraken.model.catalog import Catalog
from kraken.model.loading import link, read_beside, read_paths
from kraken.model.module import Condition, Discovery, Guard, KrakenModule, Mutation
from kraken.model.schema import read_module_document
from kraken.model.update import UNKNOWN

if TYPE_CHECKING:
    from kraken.planning.analysis.findings import Coverage


MISTYPED = "mistyped-name"
"""The code of the warning about a name in a condition that nearly is a variable's."""


@dataclass(frozen=True)
class Located:
    """Something to tell the author of a module, and where.

    Attributes:
        code, name: what one ignores it by, as `CODE:NAME`.
        nodes: the kinds of nodes it is true for; empty: all.
    """

    code: str
    severity: str
    name: str
    error: ModuleError
    nodes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "severity": self.severity,
            "name": self.name,
            **_as_json(self.error),
            "nodes": list(self.nodes),
        }


@dataclass(frozen=True)
class Checked:
    """What a check came to.

    Attributes:
        modules: names of those that are fine.
        problems: one for each module that would be refused.
        warnings: names in conditions that look like a mistyped variable.
        attributes: names in conditions that no module declares.
        findings: what the analysis found, the worst first; nothing while there are problems.
        coverage: how much was analysed; None while there are problems.
        ignored: findings and warnings that were accepted; of what was to be accepted, `unused`
            matched none.
    """

    modules: list[str]
    problems: list[ModuleError]
    warnings: list[Located]
    attributes: list[str]
    findings: list[Located] = field(default_factory=list)
    coverage: Coverage | None = None
    ignored: list[Located] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def is_ok(self, *, strict: bool) -> bool:
        """Whether a collection with these modules may be released; `strict`: without a warning."""
        severities = {finding.severity for finding in (*self.findings, *self.warnings)}
        bad = {"error", "warning"} if strict else {"error"}
        return bool(self.modules) and not self.problems and not severities & bad

    def as_json(self, *, strict: bool = False) -> dict[str, Any]:
        coverage = self.coverage
        return {
            "ok": self.is_ok(strict=strict),
            "modules": self.modules,
            "problems": [_as_json(error) for error in self.problems],
            "warnings": [_as_json(warning.error) for warning in self.warnings],
            "attributes": self.attributes,
            "findings": [finding.as_json() for finding in self.findings],
            "ignored": [finding.as_json() for finding in self.ignored],
            "unused_ignores": self.unused,
            "analysis": None
            if coverage is None
            else {
                "classes": coverage.classes,
                "possible_classes": coverage.possible,
                "states": coverage.states,
                "exact": list(coverage.exact),
                "conservative": list(coverage.conservative),
                "skipped": list(coverage.skipped),
            },
        }


def check_files(paths: Sequence[Path], beside: Iterable[Path] = (), ignores: Sequence[str] = ()) -> Checked:
    """Check the modules below `paths`; those in `beside` are there too and not spoken of.

    Args:
        ignores: `CODE` or `CODE:NAME` of what is accepted; NAME may hold `*`.
    """
    modules, problems = read_paths(paths)
    others, _ = read_beside(beside, paths, modules)
    files = {module.file for module in modules}
    catalog, misfits = link([*others, *modules])
    asked = {str(file) for file in files}
    problems += [error for error in misfits if error.file in asked]
    warnings, attributes = _conditions(catalog, files)
    warnings += _templates(catalog, files)
    fine = [module.name for module in catalog.modules.values() if module.file in files]
    findings, coverage = ([], None) if problems or not fine else _analysed(catalog, files)
    used = {i: [f for f in (*findings, *warnings) if _is_accepted(f, i)] for i in ignores}
    accepted = [f for f in (*findings, *warnings) if any(f in found for found in used.values())]
    return Checked(
        modules=fine,
        problems=problems,
        warnings=[warning for warning in warnings if warning not in accepted],
        attributes=attributes,
        findings=[finding for finding in findings if finding not in accepted],
        coverage=coverage,
        ignored=accepted,
        unused=[ignore for ignore, found in used.items() if not found],
    )


def codes() -> dict[str, str]:
    """Every code that can be ignored, and what it means."""
    from kraken.planning.analysis.findings import CODES

    return {
        **CODES,
        MISTYPED: "a name in a condition that nearly is a variable's",
        UNREADABLE: "a template in tasks that Ansible cannot read",
        UNKNOWN_NAME: "a template in tasks asks of `kraken` what is not there",
    }


def _is_accepted(finding: Located, ignore: str) -> bool:
    code, _, name = ignore.partition(":")
    return code == finding.code and (not name or fnmatch.fnmatchcase(finding.name, name))


def _analysed(catalog: Catalog, files: set[Path]) -> tuple[list[Located], Coverage]:
    """What the analysis finds in these files, and how much of the question it answered."""
    from kraken.planning.analysis.analyse import analyse

    report = analyse(catalog)
    documents = {
        module.name: read_module_document(module.file)
        for module in catalog.modules.values()
        if module.file in files
    }
    found = []
    for finding in report.findings:
        place = next((place for place in finding.places if place.module in documents), None)
        if place is not None:
            error = ModuleError(
                finding.what,
                file=str(catalog.modules[place.module].file),
                line=documents[place.module].at(place.key).line,
                key=".".join(place.key),
                hint=finding.todo,
            )
            found.append(Located(finding.code, finding.severity.value, finding.name, error, finding.classes))
    return found, report.coverage


def check_state(catalog: Catalog, dsc: Mapping[str, str]) -> dict[str, str]:
    """A discovered state whose variables are declared and whose values are in their domains.

    Raises:
        DocumentError: they are not; its key is the variable.
    """
    return catalog.check_cfg(
        {name: value for name, value in dsc.items() if not _is_unknown(catalog, name, value)}
    )


def _is_unknown(catalog: Catalog, name: str, value: str) -> bool:
    if value != UNKNOWN:
        return False
    if name not in catalog.variables:
        close = difflib.get_close_matches(name, catalog.variables, n=1)
        hint = f"did you mean {close[0]}?" if close else None
        raise DocumentError(f"unknown variable {name!r}", key=name, hint=hint)
    return True


def _conditions(catalog: Catalog, files: set[Path]) -> tuple[list[Located], list[str]]:
    """Warnings about, and names of, what conditions in these files name and nobody declares."""
    warnings: list[Located] = []
    attributes: set[str] = set()
    for module in catalog.modules.values():
        if module.file not in files:
            continue
        for place, condition in _named(module):
            if condition.name in catalog.variables:
                continue
            attributes.add(condition.name)
            close = difflib.get_close_matches(condition.name, catalog.variables, n=1, cutoff=0.75)
            if close:
                part = read_module_document(module.file).at((*place, condition.name))
                error = ModuleError(
                    f"no module declares {condition.name}, so it counts as an attribute",
                    file=str(module.file),
                    line=part.line,
                    key=".".join((*place, condition.name)),
                    hint=f"did you mean {close[0]}?",
                )
                warnings.append(Located(MISTYPED, "warning", condition.name, error))
    return warnings, sorted(attributes)


def _templates(catalog: Catalog, files: set[Path]) -> list[Located]:
    """Warnings about templates in tasks of these files that fail whatever the node."""
    found = []
    for module in catalog.modules.values():
        for fault in (
            template_faults(read_module_document(module.file), catalog.variables.keys())
            if module.file in files
            else ()
        ):
            part = fault.part
            error = ModuleError(
                fault.what, file=str(module.file), line=part.line, key=part.key, hint=fault.todo
            )
            found.append(Located(fault.code, "warning", f"{module.name}.{part.path[1]}", error))
    return found


def _named(module: KrakenModule) -> Iterator[tuple[Sequence[str], Condition]]:
    """Every condition of a module, and where its mapping stands."""
    for variable in module.variables.values():
        for condition in variable.known_when:
            yield ("variables", variable.name, "known_when"), condition
    sections: dict[str, Mapping[str, Discovery | Mutation | Guard]] = {
        "discoveries": dict(module.discoveries),
        "mutations": dict(module.mutations),
        "guards": dict(module.guards),
    }
    for kind, operators in sections.items():
        for operator in operators.values():
            for condition in operator.requires:
                yield (kind, operator.name, "requires"), condition
            for condition in operator.excludes:
                yield (kind, operator.name, "excludes"), condition


def _as_json(error: ModuleError) -> dict[str, Any]:
    return {
        "file": error.file,
        "line": error.line,
        "key": error.key,
        "error": error.message,
        "hint": error.hint,
    }
