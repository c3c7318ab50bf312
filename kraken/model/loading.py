"""Kraken modules from their files: found on the collections path, read, validated, linked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from kraken.errors import ModuleError
from kraken.model.catalog import Catalog
from kraken.model.document import Part
from kraken.model.linking import link
from kraken.model.module import KrakenModule
from kraken.model.schema import parse_module, read_module_document
from kraken.model.search import default_collection_paths, search, yaml_files

__all__ = [
    "default_collection_paths",
    "find_modules",
    "link",
    "load_all",
    "load_directory",
    "load_file",
    "load_paths",
    "read_beside",
    "read_paths",
]


def load_all(paths: Iterable[Path], directories: Iterable[Path] = ()) -> tuple[Catalog, list[ModuleError]]:
    """What the collections below these paths, and the modules in these directories after them,
    declare together, and one error for each module refused."""
    found, errors = search(paths)
    modules, wrong = _load_each(found)
    for directory in directories:
        more, misread = load_directory(directory)
        modules += more
        wrong += misread
    catalog, misfits = link(modules)
    return catalog, [*errors, *wrong, *misfits]


def load_directory(directory: Path) -> tuple[list[KrakenModule], list[ModuleError]]:
    """The modules in one directory, by file name, not yet linked, and an error for each refused.

    The directory may also be that of a collection; then its `extensions/kraken` is meant.
    """
    inner = directory / "extensions/kraken"
    if inner.is_dir():
        directory = inner
    if not directory.is_dir():
        return [], [ModuleError("no such directory", file=str(directory))]
    errors: list[ModuleError] = []
    modules, wrong = _load_each((file, "") for file in yaml_files(directory, errors))
    return modules, [*errors, *wrong]


def load_paths(paths: Sequence[Path], beside: Iterable[Path] = ()) -> tuple[Catalog, list[ModuleError]]:
    """What the modules below these paths declare together, those `beside` after them, and an error for
    each one refused."""
    modules, problems = read_paths(paths)
    others, wrong = read_beside(beside, paths, modules)
    catalog, misfits = link([*modules, *others])
    return catalog, [*problems, *wrong, *misfits]


def read_beside(
    beside: Iterable[Path], paths: Sequence[Path], modules: Sequence[KrakenModule]
) -> tuple[list[KrakenModule], list[ModuleError]]:
    """What lies beside `modules`, which were read of `paths`, and is not a copy of them; not linked.

    A collection that is worked on may be installed, too, as it was before. It steps aside: as a whole, or
    with the modules of the same name where `paths` names single files.
    """
    others, problems = read_paths(beside)
    whole = {_collection_of(module.file) for module in modules if module.file not in paths} - {""}
    single = {(_collection_of(module.file), module.name) for module in modules}
    files = {module.file.resolve() for module in modules}

    def is_copy(other: KrakenModule) -> bool:
        collection = _collection_of(other.file)
        if other.file.resolve() in files or collection in whole:
            return True
        return bool(collection) and (collection, other.name) in single

    return [other for other in others if not is_copy(other)], problems


def read_paths(paths: Iterable[Path]) -> tuple[list[KrakenModule], list[ModuleError]]:
    """The modules in files, directories of module files, collections and collections paths; not linked."""
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


def find_modules(paths: Iterable[Path]) -> list[tuple[Path, str]]:
    """Every file that may be a module and its collection, `namespace.name`; see `search`."""
    return search(paths)[0]


def load_file(path: Path, collection: str = "") -> KrakenModule:
    """The module in a file.

    Raises:
        ModuleError: it is wrong; says file, line, key, what was wrong and what would be right.
    """
    return parse_module(read_module_document(path), path, collection)


def _read_file(path: Path) -> tuple[list[KrakenModule], list[ModuleError]]:
    try:
        return [load_file(path)], []
    except ModuleError as error:
        return [], [error]


def _collection_of(file: Path) -> str:
    """`namespace.name` of the collection in whose `extensions/kraken` a module lies; "" elsewhere."""
    parts = file.absolute().parts
    return ".".join(parts[-5:-3]) if parts[-3:-1] == ("extensions", "kraken") else ""


def _load_each(files: Iterable[tuple[Path, str]]) -> tuple[list[KrakenModule], list[ModuleError]]:
    modules: list[KrakenModule] = []
    errors: list[ModuleError] = []
    for file, collection in files:
        try:
            document = read_module_document(file)
            if not _is_tasks(document):
                modules.append(parse_module(document, file, collection))
        except ModuleError as error:
            errors.append(error)
    return modules, errors


def _is_tasks(document: Part) -> bool:
    """Whether it is a file of tasks, which may lie beside the modules that import it."""
    return isinstance(document.value, list) and all(
        isinstance(part.value, dict) and "kraken_module" not in part.value for part in document.value
    )
