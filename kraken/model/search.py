"""Where Kraken modules lie: `extensions/kraken` of every collection on the collections path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from kraken.errors import ModuleError

SYSTEM_PATH = Path("/usr/share/ansible/collections")
"""Where Ansible looks after ~/.ansible/collections."""

_SUFFIXES = (".yml", ".yaml")


def default_collection_paths(env: Mapping[str, str]) -> list[Path]:
    """The collections paths Ansible would use in this environment, without its ansible.cfg."""
    home = Path(env.get("HOME") or "/")
    given = env.get("ANSIBLE_COLLECTIONS_PATH", "")
    if not given:
        return [home / ".ansible/collections", SYSTEM_PATH]
    return [_under(home, text) for text in given.split(":") if text]


def search(paths: Iterable[Path]) -> tuple[list[tuple[Path, str]], list[ModuleError]]:
    """Every candidate `(file, namespace.name)`, in the order of the paths, and what cannot be read.

    A path may be an `ansible_collections` directory or its parent. Of a collection that lies on two
    paths the first counts, whole, as in Ansible. Paths that do not exist are skipped.
    """
    found: list[tuple[Path, str]] = []
    errors: list[ModuleError] = []
    seen: set[str] = set()
    for path in paths:
        root = path if path.name == "ansible_collections" else path / "ansible_collections"
        for namespace in _inside(root, errors):
            for collection in _inside(namespace, errors):
                name = f"{namespace.name}.{collection.name}"
                if name in seen or not collection.is_dir():
                    continue
                seen.add(name)
                found += [(file, name) for file in yaml_files(collection / "extensions/kraken", errors)]
    return found, errors


def yaml_files(directory: Path, errors: list[ModuleError]) -> list[Path]:
    """The files in a directory that end in .yml or .yaml, by name; hidden ones are left out."""
    return [file for file in _inside(directory, errors) if file.suffix in _SUFFIXES]


def _inside(directory: Path, errors: list[ModuleError]) -> list[Path]:
    """What lies in a directory, by name; nothing when it is none. Adds to `errors` when unreadable."""
    try:
        return sorted(entry for entry in directory.iterdir() if not entry.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as cause:
        reason = cause.strerror or type(cause).__name__
        errors.append(ModuleError(f"cannot look for Kraken modules: {reason}", file=str(directory)))
        return []


def _under(home: Path, text: str) -> Path:
    return home / text[2:] if text.startswith("~/") else home if text == "~" else Path(text)
