"""The example of three levels: what its README has you type does what its README says."""

from __future__ import annotations

import doctest
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.e2e
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "03-three-levels"
PORTS = ("7411", "7412")
LOOKS = ("collector list", "explain", "history", "--at rack7 history")  # what may be asked again
PATIENCE_S = 120.0  # only ever reached by a failure
END = "-- end of output --"


class Typed(NamedTuple):
    command: str
    output: str


class Shell:
    """A terminal in which one thing after the other is typed."""

    def __init__(self, directory: Path, environ: dict[str, str]) -> None:
        self._bash = subprocess.Popen(
            ["bash"],
            cwd=directory,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def type(self, command: str) -> str:
        """What it prints. One that fails fails the test."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write(f"{{ {command}\n}} </dev/null; echo '{END}' $?\n")
        self._bash.stdin.flush()
        lines = []
        for line in self._bash.stdout:
            if line.startswith(END):
                assert line == f"{END} 0\n", f"{command}: {''.join(lines)}"
                return "".join(lines)
            lines.append(line)
        raise AssertionError(f"the shell ended: {''.join(lines)}")

    def close(self) -> None:
        """End it and what was started in it, daemons too."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._bash.pid, number)
                self._bash.communicate(timeout=20.0)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


def session(readme: str) -> Iterator[Typed]:
    """What is typed in it, in order, with what is said to come of it."""
    for block in readme.split("```console\n")[1:]:
        for part in ("\n" + block.split("```")[0]).split("\n$ ")[1:]:
            command, _, output = part.partition("\n")
            yield Typed(command, output.rstrip("\n") + "\n" if output.strip() else "")


def agrees(typed: Typed, said: str) -> bool:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(typed.output, said, flags)


@pytest.fixture
def shell(tmp_path: Path, unused_tcp_port_factory: Callable[[], int]) -> Iterator[Shell]:
    """In a copy of the example, on ports that are free."""
    copy = shutil.copytree(EXAMPLE, tmp_path / "three")
    ports = {port: str(unused_tcp_port_factory()) for port in PORTS}
    for file in copy.glob("*.yaml"):
        text = file.read_text()
        for port, free in ports.items():
            text = text.replace(f":{port}", f":{free}")
        file.write_text(text)
    program = tmp_path / "bin" / "kraken"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m kraken.cli "$@"\n')
    program.chmod(0o755)
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("KRAKEN_", "ANSIBLE_"))
    }
    shell = Shell(copy, {**environ, "PATH": f"{program.parent}:{environ['PATH']}"})
    yield shell
    shell.close()


def test_what_is_typed_does_what_the_readme_says(shell: Shell) -> None:
    typed = list(session((EXAMPLE / "README.md").read_text()))

    assert len(typed) > 15
    for one in typed:
        deadline = time.monotonic() + PATIENCE_S
        said = shell.type(one.command)
        while not agrees(one, said):
            can_wait = one.command.startswith(tuple(f"kraken {look}" for look in LOOKS))
            assert can_wait, f"$ {one.command}\n{said}"
            assert time.monotonic() < deadline, f"$ {one.command}\n{said}"
            said = shell.type(one.command)
