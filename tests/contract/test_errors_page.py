"""docs/errors.md says which test keeps each of its promises; this keeps it saying so truly."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "errors.md").read_text()


def test_every_test_and_file_the_page_names_exists() -> None:
    written = "\n".join(file.read_text() for file in TESTS.rglob("test_*.py"))
    # without its backticks a name is a file's: `test_loading.py`
    names = set(re.findall(r"`(test_\w+)`", PAGE))
    files = set(re.findall(r"`(tests/[\w/]+\.py)`", PAGE))

    assert len(names) > 15
    assert not {name for name in names if f"def {name}(" not in written}
    assert not {file for file in files if not (TESTS.parent / file).is_file()}
