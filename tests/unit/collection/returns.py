"""Holds what modules return to what they document."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

MODULES = Path(__file__).resolve().parents[3] / "ansible_collections/kraken/hpc/plugins/modules"
ANSIBLES = {"changed", "failed", "msg", "diff", "invocation", "warnings", "deprecations", "exception"}
TYPES = {"str": str, "int": int, "float": (int, float), "bool": bool, "dict": dict, "list": list}

RETURNED: dict[str, set[str]] = {}  # module -> paths of keys that its runs returned


def check(name: str, result: dict[str, Any]) -> None:
    """What a module returned is what it says that it returns."""
    source = (MODULES / f"{name}.py").read_text(encoding="utf-8")
    documented = yaml.safe_load(re.search(r'^RETURN = r"""(.*?)^"""', source, re.S | re.M)[1])  # type: ignore[index]
    own = {key: value for key, value in result.items() if key not in ANSIBLES}
    undocumented = sorted(_undocumented(own, documented, "", RETURNED.setdefault(name, set())))
    assert not undocumented, f"{name} returns what it does not document: {undocumented}"


def _undocumented(values: Any, documented: Any, lead: str, seen: set[str]) -> Iterator[str]:
    for key, value in values.items():
        entry = documented.get(key) or documented.get("NODE")  # NODE stands for the name of any
        if entry is None:
            yield lead + key
            continue
        path = f"{lead}{key if key in documented else 'NODE'}"
        seen.add(path)
        assert value is None or isinstance(value, TYPES[entry["type"]]), f"{path} is no {entry['type']}"
        if "contains" in entry and value is not None:
            for one in value if isinstance(value, list) else [value]:
                yield from _undocumented(one, entry["contains"], f"{path}.", seen)
