"""One ansible-playbook, from start to the last trace: the only user of ansible-runner.

What is done about ansible-runner's ways is written in docs/decisions/0006-run-ansible-under-a-keeper.md.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ansible_runner import Runner, RunnerConfig

from kraken.executors.ansible.entry import LOST
from kraken.executors.ansible.groups import Group, Groups
from kraken.executors.ansible.keeper import EXIT_FLOODED
from kraken.executors.ansible.reasons import NO_ROOM
from kraken.executors.ansible.starter import KEEPER, Starter
from kraken.executors.ansible.strays import end_strays

CALLBACKS = Path(__file__).with_name("callback")
ENTRY = Path(__file__).with_name("entry.py")
LOOK_S = 0.2  # how often ansible-runner looks whether the child ended without closing its output
KEEPER_END_S = 10.0  # the keeper needs 7 s at most to kill what it keeps


class Ending(NamedTuple):
    """How a run came to its end.

    Attributes:
        says_why: it is the whole reason; nothing that ansible-playbook said is.
        heard_all: nothing of what it told can have been lost.
    """

    text: str
    says_why: bool = False
    heard_all: bool = True


class PlayRun:
    """One run of ansible-playbook in a directory of its own.

    Args:
        directory: of mode 0700, with all that the command names; it starts in `project` below.
        command: ansible-playbook and its arguments.
        environment: the whole environment of the program.
        ends_at: on the keeper's clock (`keeper.now`): then it is ended, whatever became of us.
        starter: who may fork it; None: it is started as a program.
        groups: where its cgroup is made; None: it has none of its own.
        on_event: called with each event of ansible-runner, in the thread of `perform`. When it
            raises, the run is stopped and `perform` raises the same.
    """

    def __init__(
        self,
        directory: Path,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        ends_at: float,
        output_max: int,
        on_event: Callable[[Mapping[str, Any]], None],
        starter: Starter | None = None,
        groups: Groups | None = None,
    ) -> None:
        self.directory = directory
        self.command = command
        self.environment = environment
        self.ends_at = ends_at
        self.output_max = output_max
        self.on_event = on_event
        self.starter = starter
        self.groups = groups
        self.group: Group | None = None
        self.failure: BaseException | None = None
        self.lifeline = directory / "lifeline"
        os.mkfifo(self.lifeline, 0o600)
        self._closing = threading.Lock()
        self._lifeline = os.open(self.lifeline, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def perform(self) -> Ending:
        """Run to the end, or until `stop`. Blocks. Nothing is left running."""
        if self.groups is not None:
            self.group = self.groups.make(self.directory.name)
        finished = False
        try:
            runner = Runner(self._config(), event_handler=self._on_event, cancel_callback=lambda: False)
            runner.run()
            finished = True
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        finally:
            self.stop()
            if not finished:
                self._end_keeper()
            if self.lifeline.exists():
                if self.group is not None:
                    self.group.kill()
                end_strays(self.directory)
            reached = self._leave_group()
        if self.failure is not None:
            raise self.failure
        if not finished:
            return Ending(NO_ROOM, says_why=True, heard_all=False)
        return self._ending(runner.rc, reached)

    def reached(self) -> str:
        """Which limit it came to while it is under way, in words; empty for none."""
        group = self.group
        return "" if group is None else group.reached()

    def _leave_group(self) -> str:
        """Remove its cgroup; which limit it came to."""
        reached, group = self.reached(), self.group
        self.group = None
        if group is not None:
            group.close()
        return reached

    def _ending(self, status: int | None, reached: str) -> Ending:
        """What the status of the keeper, or of who asked for one, tells; None: a signal ended it."""
        if status == EXIT_FLOODED:
            megabytes = f"{self.output_max / 1e6:,g} MB"
            return Ending(f"its run wrote more than {megabytes} of output, and was stopped", says_why=True)
        if status is None or status == LOST:
            return Ending("the process that keeps ansible-playbook was killed", says_why=True)
        if reached and status != 0:
            return Ending(reached, says_why=True)
        if status == 256 - signal.SIGKILL:
            return Ending("ansible-playbook was killed (memory may have run out)", says_why=True)
        return Ending(f"ansible-playbook ended with status {status}")

    def stop(self) -> None:
        """Have everything ended that runs; from any thread, idempotent. `perform` then returns."""
        with self._closing:
            if self._lifeline >= 0:
                os.close(self._lifeline)
            self._lifeline = -1

    def _config(self) -> RunnerConfig:
        settings = {
            "pexpect_timeout": LOOK_S,
            "suppress_ansible_output": True,
            "suppress_output_file": True,
        }
        env = self.directory / "env"
        env.mkdir(mode=0o700)
        (env / "settings").write_text(json.dumps(settings))  # given as an argument they are dropped
        config = RunnerConfig(
            private_data_dir=str(self.directory),
            playbook=self.command[-1],
            ident="run",
            fact_cache_type="",
            envvars={"ANSIBLE_CALLBACK_PLUGINS": ""},
        )
        config.prepare()
        config.env = {
            **self.environment,
            "ANSIBLE_CALLBACK_PLUGINS": f"{CALLBACKS}{os.pathsep}{config.env['ANSIBLE_CALLBACK_PLUGINS']}",
            "ANSIBLE_STDOUT_CALLBACK": "kraken_events",
            "AWX_ISOLATED_DATA_DIR": config.env["AWX_ISOLATED_DATA_DIR"],
        }
        control = self.environment["ANSIBLE_SSH_CONTROL_PATH_DIR"]
        limits = [str(self.ends_at), str(self.output_max)]
        group = "" if self.group is None else str(self.group.place)
        kept = [str(self.lifeline), *limits, control, group, *self.command]
        socket = None if self.starter is None else self.starter.offer(self.command[0], config.env)
        first = [str(KEEPER)] if socket is None else [str(ENTRY), str(socket), str(KEEPER)]
        config.command = [sys.executable, "-I", "-S", *first, *kept]
        return config

    def _on_event(self, event: dict[str, Any]) -> bool:
        """Never raises into ansible-runner, which would forget its child; False: do not store it."""
        if self.failure is None:
            try:
                self.on_event(event)
            except BaseException as error:
                self.failure = error
                self.stop()
        return False

    def _end_keeper(self) -> None:
        """Wait for a keeper that ansible-runner forgot."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.directory / "keeper.pid").read_text())
            end = time.monotonic() + KEEPER_END_S
            while os.waitpid(pid, os.WNOHANG) == (0, 0):
                if time.monotonic() > end:
                    os.kill(pid, signal.SIGKILL)
                time.sleep(0.02)
