"""Runs typed sessions: what a person types, and what comes back, word by word."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from kraken.cli.app import run

HERE = Path(__file__).parent
NOON = 1_790_164_800.0  # 2026-09-23 12:00:00 UTC: when every session takes place


def load_scripted() -> ModuleType:
    """tests/scenarios/scripted.py, which no package holds."""
    name = "kraken_scripted_daemon"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, HERE / "scripted.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], float]]:
    """It is noon in Greenwich, and stays so."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr(time, "time", lambda: NOON)
    yield lambda: NOON
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noon: Callable[[], float]
) -> Iterator[Callable[[str], None]]:
    """Starts the daemon of a file in answers/, at the socket commands use."""
    scripted = load_scripted()
    socket = tmp_path / "k.sock"
    monkeypatch.setenv("KRAKEN_SOCKET", str(socket))
    monkeypatch.chdir(tmp_path)
    with contextlib.ExitStack() as running:

        def start(answers: str) -> None:
            rules = scripted.load(HERE / "answers" / answers)
            running.enter_context(scripted.Scripted(rules, path=socket, now=noon))

        yield start


@pytest.fixture
def play() -> Callable[[str], str]:
    """Plays a session again; see `replay`."""
    return replay


def replay(text: str) -> str:
    """The session as it goes now: the same commands and remarks, and what they print.

    `$ kraken ...` is run; `$ cat >FILE <<EOF` writes a file, `chmod` closes it, `<<EOF` feeds stdin.
    An exit code other than 0 shows as `[exit N]`. Lines before the first command are kept as they stand.
    """
    lines = text.splitlines()
    first = next((i for i, line in enumerate(lines) if line.startswith("$ ")), len(lines))
    out, i = lines[:first], first
    while i < len(lines):
        line = lines[i]
        i += 1
        if line.startswith("#"):
            out += ["", line] if out and out[-1] else [line]
            continue
        if not line.startswith("$ "):
            continue
        out.append(line)
        fed = None
        if line.endswith("<<EOF"):
            end = lines.index("EOF", i)
            fed = "".join(f"{one}\n" for one in lines[i:end])
            out += lines[i : end + 1]
            i = end + 1
        out += _typed(line.removeprefix("$ ").removesuffix("<<EOF").strip(), fed)
    return "\n".join(out) + "\n"


def _typed(command: str, fed: str | None) -> list[str]:
    words = shlex.split(command)
    if words[0] == "cat":
        Path(words[1].lstrip(">")).write_text(fed or "")
        return []
    if words[0] == "chmod":
        Path(words[2]).chmod(int(words[1], 8))
        return []
    settings = {}
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        settings[name] = value
    assert words[0] == "kraken", f"a session types kraken, not {words[0]}"
    screen = io.StringIO()
    stdin = io.TextIOWrapper(io.BytesIO((fed or "").encode()))
    with (
        contextlib.redirect_stdout(screen),
        contextlib.redirect_stderr(screen),
        pytest.MonkeyPatch.context() as set_,
    ):
        set_.setattr(sys, "stdin", stdin)
        for name, value in settings.items():
            set_.setitem(os.environ, name, value)
        code = run(words[1:])
    shown = [_timeless(line) for line in screen.getvalue().replace(str(Path.cwd()), "~").splitlines()]
    return [*shown, f"[exit {code}]"] if code else shown


def _timeless(line: str) -> str:
    """The line without how long something took here."""
    return re.sub(r"(^\[|after )[\d.]+ m?s\b(?=\]|\.$)", r"\1… s", line)
