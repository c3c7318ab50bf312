"""docs/cli.md says what the commands say."""

from __future__ import annotations

from pathlib import Path

import pytest

from kraken.cli.manual import manual

PAGE = Path(__file__).resolve().parents[3] / "docs/cli.md"


def test_the_manual_is_that_of_these_commands(request: pytest.FixtureRequest) -> None:
    made = manual()
    if request.config.getoption("rewrite"):
        PAGE.write_text(made)

    assert PAGE.read_text() == made, "renew it: python -m kraken.cli.manual >docs/cli.md"
