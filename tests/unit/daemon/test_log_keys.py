"""Keys of log records: logging raises when one is an attribute of its own."""

from __future__ import annotations

import ast
import logging
from pathlib import Path

import kraken

RESERVED = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}


def keys_of(tree: ast.AST) -> list[tuple[int, str]]:
    """Constant keys of every dict that is given as `extra`, there or under that name just before."""
    found: list[ast.expr] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "extra":
            found.append(node.value)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if (
                any(isinstance(target, ast.Name) and target.id == "extra" for target in targets)
                and node.value
            ):
                found.append(node.value)
    dicts = [node for value in found for node in ast.walk(value) if isinstance(node, ast.Dict)]
    return [
        (key.lineno, str(key.value)) for one in dicts for key in one.keys if isinstance(key, ast.Constant)
    ]


def test_no_log_call_uses_a_key_that_logging_keeps_for_itself() -> None:
    used = {
        f"{file.name}:{line}": key
        for file in Path(kraken.__file__).parent.rglob("*.py")
        for line, key in keys_of(ast.parse(file.read_text()))
    }

    assert len(used) > 20
    assert {place: key for place, key in used.items() if key in RESERVED} == {}
