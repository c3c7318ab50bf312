"""docs/errors.md says which test keeps each of its promises; this keeps it saying so truly."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "errors.md").read_text()
TRANSPORT = sorted((TESTS.parent / "kraken" / "transport").glob("*.py"))


def test_every_test_and_file_the_page_names_exists() -> None:
    written = "\n".join(file.read_text() for file in TESTS.rglob("test_*.py"))
    # without its backticks a name is a file's: `test_loading.py`
    names = set(re.findall(r"`(test_\w+)`", PAGE))
    files = set(re.findall(r"`(tests/[\w/]+\.py)`", PAGE))

    assert len(names) > 15
    assert not {name for name in names if f"def {name}(" not in written}
    assert not {file for file in files if not (TESTS.parent / file).is_file()}


@pytest.mark.parametrize("file", TRANSPORT, ids=lambda file: file.name)
def test_the_page_shows_each_refusal_about_the_tree_of_collectors(file: Path) -> None:
    missing = [said for said in _refusals(ast.parse(file.read_text())) if said not in PAGE]

    assert not missing


def test_refusals_about_the_tree_are_found_in_the_code() -> None:
    assert sum(len(list(_refusals(ast.parse(file.read_text())))) for file in TRANSPORT) > 20


def _refusals(code: ast.AST) -> Iterator[str]:
    """What is the same in every message of an error that a person may see: the longest part of each."""
    for node in ast.walk(code):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("WireError", "JoinError"):
            parts = [part.value for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant)]
            yield max((part for part in parts if isinstance(part, str)), key=len).strip(" ;:")
