"""The keeper leaves nothing of its command behind, and takes away nothing that should stay."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kraken.executors.ansible import keeper
from kraken.executors.ansible.keeper import Keeper, descendants, forgo_protection, now
from kraken.executors.ansible.starter import KEEPER


class Kept:
    """A shell command under a keeper, and the writer of its lifeline."""

    def __init__(
        self,
        directory: Path,
        script: str,
        output_max: int = 1_000_000,
        *,
        within_s: float = 3600.0,
        inherit: tuple[int, ...] = (),
    ) -> None:
        lifeline = directory / "lifeline"
        os.mkfifo(lifeline)
        self.lifeline = os.open(lifeline, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        limits = [str(lifeline), str(now() + within_s), str(output_max), str(directory / "c"), ""]
        command = [sys.executable, "-I", "-S", str(KEEPER), *limits, "sh", "-c", script]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, pass_fds=inherit)
        self.pids: set[int] = set()

    def wait_for(self, count: int) -> None:
        """Until so many processes live below the keeper; remembers them."""
        while len(self.pids) < count:
            assert self.process.poll() is None, "the keeper ended before its command had begun"
            self.pids = set(descendants(self.process.pid))
            time.sleep(0.01)

    def drop_lifeline(self) -> None:
        if self.lifeline >= 0:
            os.close(self.lifeline)
        self.lifeline = -1

    def end(self) -> None:
        self.drop_lifeline()
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        for pid in alive(self.pids):
            os.kill(pid, signal.SIGKILL)


def alive(pids: set[int]) -> set[int]:
    """Those of the processes that run; a zombie does not."""
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            found |= {pid} - ({pid} if state in "ZX" else set())
    return found


@pytest.fixture
def started() -> Iterator[list[Kept]]:
    kept: list[Kept] = []
    yield kept
    for one in kept:
        one.end()


STRAYS = "sleep 631 & setsid sleep 632 & env -i setsid sh -c 'sleep 633 & setsid sleep 634' & "


def test_the_exit_status_and_output_are_those_of_the_command(tmp_path: Path, started: list[Kept]) -> None:
    started.append(kept := Kept(tmp_path, "echo said; echo warned >&2; exit 3"))

    assert kept.process.communicate() == ("said\nwarned\n", None)
    assert kept.process.returncode == 3


@pytest.mark.parametrize("how", ["lifeline", "SIGTERM", "output unread"])
def test_everything_below_ends_with_its_keeper(tmp_path: Path, started: list[Kept], how: str) -> None:
    talk = "while sleep 0.05; do echo x; done" if how == "output unread" else "wait"
    started.append(kept := Kept(tmp_path, f"trap '' TERM; {STRAYS} {talk}"))
    kept.wait_for(6)
    if how == "lifeline":
        kept.drop_lifeline()
    elif how == "SIGTERM":
        kept.process.terminate()
    else:
        assert kept.process.stdout is not None
        kept.process.stdout.close()
    kept.process.wait()

    assert alive(kept.pids) == set()


@pytest.mark.parametrize("talk", ["wait", "yes"], ids=["quiet", "unread"])
def test_what_runs_ends_in_time_though_who_started_it_stands_still(
    tmp_path: Path, started: list[Kept], talk: str
) -> None:
    """Its lifeline is there, and nobody reads what it says."""
    started.append(kept := Kept(tmp_path, f"trap '' TERM; {STRAYS} {talk}", within_s=4.0))
    while kept.process.poll() is None:
        kept.pids |= set(descendants(kept.process.pid))
        time.sleep(0.05)

    assert len(kept.pids) >= 6
    assert alive(kept.pids) == set()


def test_what_has_ended_by_itself_is_heard_late_and_keeps_what_it_left(
    tmp_path: Path, started: list[Kept]
) -> None:
    script = "setsid sleep 637 > /dev/null 2>&1 & echo $!; head -c 100000 /dev/zero | tr '\\0' x"
    ends_at = now() + 4.0
    started.append(kept := Kept(tmp_path, script, within_s=4.0))
    kept.wait_for(1)
    while now() < ends_at + 1.5:
        time.sleep(0.1)
    output, _ = kept.process.communicate()
    pid, said = output.split("\n")
    kept.pids = {int(pid)}

    assert len(said) == 100_000
    assert alive(kept.pids) == {int(pid)}


def test_what_is_begun_too_late_is_not_begun(tmp_path: Path, started: list[Kept]) -> None:
    started.append(kept := Kept(tmp_path, f"touch {tmp_path / 'ran'}", within_s=-0.1))
    kept.process.wait()

    assert not (tmp_path / "ran").exists()


HOP = "import os\nwhile not os.fork() or os._exit(0):\n    os.setsid()\n    os.write({out}, b'.')\n"
"""A process that is another one, in another session, every millisecond."""


def test_what_forks_and_ends_over_and_over_ends_with_its_keeper(tmp_path: Path, started: list[Kept]) -> None:
    hop, (alive_while_open, out) = tmp_path / "hop.py", os.pipe()
    hop.write_text(HOP.format(out=out))
    script = f"{sys.executable} -I -S {hop} & {sys.executable} -I -S {hop} & sleep 636"
    started.append(kept := Kept(tmp_path, script, inherit=(out,)))
    os.close(out)
    said = b""
    while len(said) < 50:
        said += os.read(alive_while_open, 10)
    kept.drop_lifeline()
    kept.process.wait()
    os.set_blocking(alive_while_open, False)
    is_over = False
    with contextlib.suppress(BlockingIOError):  # somebody could still write
        while os.read(alive_while_open, 65536):
            pass
        is_over = True
    os.close(alive_while_open)  # with which whoever is left ends

    assert is_over


def test_a_killed_keeper_has_its_command_asked_to_end_and_does_not_seem_to_have_ended_in_order(
    tmp_path: Path, started: list[Kept]
) -> None:
    script = f"trap 'touch {tmp_path}/asked; exit' TERM; while :; do sleep 0.01; done"
    started.append(kept := Kept(tmp_path, script))
    kept.wait_for(2)
    kept.process.kill()
    kept.process.wait()
    while alive(kept.pids):
        time.sleep(0.01)

    assert (tmp_path / "asked").exists()
    assert (tmp_path / "lifeline").exists()


def test_a_keeper_that_ends_in_order_shows_it(tmp_path: Path, started: list[Kept]) -> None:
    started.append(kept := Kept(tmp_path, "exit 3"))
    kept.process.wait()

    assert not (tmp_path / "lifeline").exists()


def test_a_killed_command_takes_its_strays_along(tmp_path: Path, started: list[Kept]) -> None:
    started.append(kept := Kept(tmp_path, f"{STRAYS} wait"))
    kept.wait_for(6)
    shell = min(kept.pids)
    os.kill(shell, signal.SIGKILL)
    kept.process.communicate()

    assert alive(kept.pids) == set()
    assert kept.process.returncode == 256 - signal.SIGKILL


@pytest.mark.parametrize(("daemons", "runs"), [("-500\n", "0\n"), ("0\n", "0\n"), ("300\n", "300\n")])
def test_what_a_spared_daemon_runs_is_not_spared_when_memory_runs_out(
    tmp_path: Path, daemons: str, runs: str
) -> None:
    """On a file: to be spared takes a privilege that root has not everywhere."""
    score = tmp_path / "oom_score_adj"
    score.write_text(daemons)
    forgo_protection(str(score))

    assert score.read_text() == runs


def test_what_a_command_left_running_on_purpose_stays(tmp_path: Path, started: list[Kept]) -> None:
    started.append(kept := Kept(tmp_path, "setsid sleep 635 > /dev/null 2>&1 & echo $!"))
    output, _ = kept.process.communicate()
    kept.pids = {int(output)}

    assert kept.process.returncode == 0
    assert alive(kept.pids) == {int(output)}


def test_output_past_its_limit_ends_the_command(tmp_path: Path, started: list[Kept]) -> None:
    started.append(kept := Kept(tmp_path, "yes", output_max=100_000))
    output, _ = kept.process.communicate()

    assert 0 < len(output) <= 100_000
    assert kept.process.returncode == keeper.EXIT_FLOODED


def test_a_lifeline_dropped_before_the_start_starts_nothing(tmp_path: Path, started: list[Kept]) -> None:
    (tmp_path / "keeper").mkdir()
    lifeline = tmp_path / "keeper" / "lifeline"
    os.mkfifo(lifeline)
    command = [
        sys.executable,
        "-I",
        "-S",
        str(KEEPER),
        str(lifeline),
        str(now() + 3600.0),
        "1000",
        "/c",
        "touch",
        str(tmp_path / "ran"),
    ]
    done = subprocess.run(command, check=False, timeout=120)

    assert done.returncode != 0
    assert not (tmp_path / "ran").exists()


def test_a_command_that_cannot_start_says_so(tmp_path: Path) -> None:
    lifeline = tmp_path / "lifeline"
    os.mkfifo(lifeline)
    writer = os.open(lifeline, os.O_RDWR)
    limits = [str(lifeline), str(now() + 3600.0), "1000", "/c", ""]
    command = [sys.executable, "-I", "-S", str(KEEPER), *limits, "/nowhere/program"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    os.close(writer)

    assert done.returncode == 127
    assert done.stdout == "cannot start /nowhere/program: No such file or directory\n"


def test_a_reader_with_less_room_than_it_seemed_is_not_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal may say that it takes more, and then take nothing."""
    lifeline, writer = os.pipe2(os.O_NONBLOCK)
    said, saying = os.pipe()
    os.write(saying, b"a line")
    answers = iter([BlockingIOError(), 2, BlockingIOError(), 4])
    written: list[bytes] = []

    def write(descriptor: int, data: memoryview) -> int:
        answer = next(answers)
        if isinstance(answer, BlockingIOError):
            raise answer
        written.append(bytes(data[:answer]))
        return answer

    kept = Keeper(lifeline, now() + 60.0, 1000, "nowhere")
    monkeypatch.setattr(kept, "_reap", lambda: True)
    monkeypatch.setattr(keeper.os, "write", write)
    goes_on = kept._forward(said)
    monkeypatch.undo()
    for descriptor in (lifeline, writer, said, saying):
        os.close(descriptor)

    assert goes_on
    assert b"".join(written) == b"a line"
    assert not kept.stopping
