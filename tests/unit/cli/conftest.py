"""A scripted daemon, and calls of `kraken` in this process and in one of their own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from kraken.cli.app import run

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"


class Result(NamedTuple):
    """How one call of `kraken` ended."""

    code: int
    out: str
    err: str


def load_scripted() -> ModuleType:
    """tests/scenarios/scripted.py, which no package holds."""
    name = "kraken_scripted_daemon"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, SCENARIOS / "scripted.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture
def socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The socket commands use, which nobody listens at yet."""
    for name in ("KRAKEN_URL", "KRAKEN_TOKEN_FILE", "KRAKEN_CACERT", "NO_COLOR", "KRAKEN_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "k.sock"
    monkeypatch.setenv("KRAKEN_SOCKET", str(path))
    return path


@pytest.fixture
def daemon(socket: Path) -> Iterator[Callable[..., Any]]:
    """Starts a daemon that answers by these rules; `tcp=True` on a free port instead of the socket."""
    scripted = load_scripted()
    with ExitStack() as running:

        def start(*rules: dict[str, Any], tcp: bool = False, token: str | None = None) -> Any:
            server = scripted.Scripted(list(rules), path=None if tcp else socket, token=token)
            return running.enter_context(server)

        yield start


@pytest.fixture
def lab_rules() -> list[dict[str, Any]]:
    """The answers of a cluster of 128 nodes."""
    rules: list[dict[str, Any]] = load_scripted().load(SCENARIOS / "answers/lab.yml")
    return rules


@pytest.fixture
def kraken(socket: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Runs `kraken` with these words, in this process."""

    def call(*words: str) -> Result:
        capsys.readouterr()
        code = run(words)
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return call


@pytest.fixture
def program(socket: Path) -> Callable[..., Result]:
    """Runs `kraken` with these words, as a program of its own."""

    def call(*words: str, stdin: str = "", **environment: str) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "kraken.cli", *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            env=os.environ | environment,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return call
