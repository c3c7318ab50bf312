"""Typed sessions: each file of sessions/ prints, word by word, what it says it prints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kraken.cli.app import COMMANDS

SESSIONS = sorted((Path(__file__).parent / "sessions").glob("*.txt"))


@pytest.mark.parametrize("file", SESSIONS, ids=lambda file: file.stem)
def test_a_session_prints_what_it_says(
    file: Path,
    serve: Callable[[str], None],
    play: Callable[[str], str],
    request: pytest.FixtureRequest,
) -> None:
    expected = file.read_text()
    serve(_answers(expected))
    printed = play(expected)
    if request.config.getoption("rewrite"):
        file.write_text(printed)
        return

    assert printed == expected


def test_every_command_is_in_a_session() -> None:
    typed = {
        line.split("kraken ", 1)[1].split()[0]
        for file in SESSIONS
        for line in file.read_text().splitlines()
        if line.startswith("$ ") and "kraken " in line
    }
    commands = {name for section in COMMANDS.values() for name in section}

    assert commands - typed <= {"daemon", "watch"}  # these stay until they are ended


def _answers(session: str) -> str:
    """The daemon a session says it speaks to in its first line, `# daemon: FILE`."""
    first = session.split("\n", 1)[0]
    return first.removeprefix("# daemon: ") if first.startswith("# daemon: ") else "lab.yml"
