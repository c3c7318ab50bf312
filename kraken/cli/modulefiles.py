"""Kraken modules in files, read without a daemon: what `module check` and `module path` stand on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kraken.errors import DocumentError, ModuleError
from kraken.model.catalog import Catalog
from kraken.model.document import read_document
from kraken.model.loading import find_modules, link, load_directory, load_file
from kraken.model.module import Condition, KrakenModule
from kraken.model.update import UNKNOWN


@dataclass(frozen=True)
class Checked:
    """What a check came to.

    Attributes:
        modules: names of those that are fine.
        problems: one for each module that would be refused.
        warnings: names in conditions that look like a mistyped variable.
        attributes: names in conditions that no module declares.
    """

    modules: list[str]
    problems: list[ModuleError]
    warnings: list[ModuleError]
    attributes: list[str]

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": bool(self.modules) and not self.problems,
            "modules": self.modules,
            "problems": [_as_json(error) for error in self.problems],
            "warnings": [_as_json(error) for error in self.warnings],
            "attributes": self.attributes,
        }


def check_files(paths: Iterable[Path], beside: Iterable[Path] = ()) -> Checked:
    """Check the modules below `paths`; those in `beside` are there too and not spoken of."""
    modules, problems = read_modules(paths)
    others, _ = read_modules(beside)
    files = {module.file for module in modules}
    catalog, misfits = link([*(other for other in others if other.file not in files), *modules])
    asked = {str(file) for file in files}
    problems += [error for error in misfits if error.file in asked]
    warnings, attributes = _conditions(catalog, files)
    fine = [module.name for module in catalog.modules.values() if module.file in files]
    return Checked(fine, problems, warnings, attributes)


def load_paths(paths: Iterable[Path]) -> tuple[Catalog, list[ModuleError]]:
    """What the modules below these paths declare together, and an error for each one refused."""
    modules, problems = read_modules(paths)
    catalog, misfits = link(modules)
    return catalog, [*problems, *misfits]


def read_modules(paths: Iterable[Path]) -> tuple[list[KrakenModule], list[ModuleError]]:
    """The modules in files, directories of module files, collections and collections paths."""
    modules: list[KrakenModule] = []
    problems: list[ModuleError] = []
    for path in paths:
        if path.name == "ansible_collections" or (path / "ansible_collections").is_dir():
            folders = dict.fromkeys(file.parent for file, _ in find_modules([path]))
            parts = [load_directory(folder) for folder in folders]
        elif path.is_dir() or not path.exists():
            parts = [load_directory(path)]
        else:
            parts = [_read_file(path)]
        for found, wrong in parts:
            modules += found
            problems += wrong
    return modules, problems


def _read_file(path: Path) -> tuple[list[KrakenModule], list[ModuleError]]:
    try:
        return [load_file(path)], []
    except ModuleError as error:
        return [], [error]


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


def _conditions(catalog: Catalog, files: set[Path]) -> tuple[list[ModuleError], list[str]]:
    """Warnings about, and names of, what conditions in these files name and nobody declares."""
    warnings: list[ModuleError] = []
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
                part = read_document(module.file, ModuleError).at((*place, condition.name))
                warnings.append(
                    ModuleError(
                        f"no module declares {condition.name}, so it counts as an attribute",
                        file=str(module.file),
                        line=part.line,
                        key=".".join((*place, condition.name)),
                        hint=f"did you mean {close[0]}?",
                    )
                )
    return warnings, sorted(attributes)


def _named(module: KrakenModule) -> Iterator[tuple[Sequence[str], Condition]]:
    """Every condition of a module, and where its mapping stands."""
    for variable in module.variables.values():
        for condition in variable.known_when:
            yield ("variables", variable.name, "known_when"), condition
    for kind, operators in (("discoveries", module.discoveries), ("mutations", module.mutations)):
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
