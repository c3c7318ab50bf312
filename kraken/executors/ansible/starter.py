"""The fork server of an executor: started when it is first of use, and anew when something has changed."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path

log = logging.getLogger(__name__)

HERE = Path(__file__).parent
FORKSERVER = HERE / "forkserver.py"
KEEPER = HERE / "keeper.py"
END_S = 5.0
WAITING_MAX = 128  # runs that have asked and are not yet forked
ENTRY_POINT = "ansible.cli.playbook"
"""What an `ansible-playbook` imports that a fork server can stand in for."""


class Starter:
    """Keeps one fork server, for the runs of one executor. Thread-safe.

    It listens from the moment it is started, and who asks before it has Ansible imported waits until it has:
    as long as the run itself would import. It ends by itself when nothing was asked of it for a while, and
    when Ansible or its configuration has changed; the next run has it started again. Where it failed, the
    runs that wait, and all from then on, start without one.

    Args:
        directory: where its socket lies; of mode 0700, its path of 90 bytes at most.
    """

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "starter"
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._lifeline = -1
        self._refused: set[str] = set()  # programs that it cannot stand in for

    @property
    def pid(self) -> int | None:
        """Of the fork server; None when there is none."""
        server = self._server
        return server.pid if server is not None and server.poll() is None else None

    def offer(self, program: str, environment: Mapping[str, str]) -> Path | None:
        """Where a run of this program in this environment may ask for a fork; None when nowhere.

        Nobody may listen there any more.
        """
        with self._lock:
            if program in self._refused:
                return None
            status = 0 if self._server is None else self._server.poll()
            if status is not None and status > 0:  # one that was killed is started anew
                log.warning("fork server failed", extra={"program": program, "status": status})
                self._refused.add(program)
                return None
            if self._server is None or status is not None:
                interpreter = interpreter_of(program)
                if interpreter is None:
                    log.info("no fork server for this ansible-playbook", extra={"program": program})
                    self._refused.add(program)
                    return None
                self._stop()
                self._start(interpreter, program, environment)
            return self.socket

    def close(self) -> None:
        """End it; runs under way go on. Idempotent."""
        with self._lock:
            self._stop()

    def _start(self, interpreter: list[str], program: str, environment: Mapping[str, str]) -> None:
        self.socket.unlink(missing_ok=True)
        theirs, self._lifeline = os.pipe2(os.O_CLOEXEC)
        # Its own copy of the listener is the only one left: when it is gone, who waits there is told.
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as listener:
            listener.bind(str(self.socket))
            listener.listen(WAITING_MAX)
            arguments = [str(listener.fileno()), str(theirs), str(KEEPER), program]
            try:
                self._server = subprocess.Popen(
                    [*interpreter, str(FORKSERVER), *arguments],
                    env=dict(environment),
                    cwd="/",
                    pass_fds=(listener.fileno(), theirs),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            except OSError as error:
                log.warning("fork server not started", extra={"program": program, "error": str(error)})
                self._refused.add(program)
            finally:
                os.close(theirs)

    def _stop(self) -> None:
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
        if self._server is not None:
            try:
                self._server.wait(END_S)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
            self._server = None


def interpreter_of(program: str) -> list[str] | None:
    """How the Python of this `ansible-playbook` is started; None when it is no plain Python script of it."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        first, _, rest = Path(program).read_text("utf-8").partition("\n")
        words = first.removeprefix("#!").split()
        if first.startswith("#!") and words and "python" in Path(words[-1]).name and ENTRY_POINT in rest:
            return words
    return None
