"""Runs one command and leaves nothing of it behind: a program, started as `python keeper.py`.

    keeper.py LIFELINE ENDS_AT OUTPUT_MAX CONTROL_DIRECTORY GROUP COMMAND [ARGUMENT...]

Whatever the command starts, and whatever that starts, stays below the keeper even when it makes a
session of its own or its parent dies (PR_SET_CHILD_SUBREAPER, prctl(2)); no privilege is needed.
The keeper stops all of it when the writer of the fifo LIFELINE is gone (closed it, or was killed),
on SIGTERM, when its own output has no reader, when the command was killed, when the command
wrote more than OUTPUT_MAX bytes, or at ENDS_AT (seconds of CLOCK_BOOTTIME): who started it may stand still,
and somebody else have taken its place by then. A command that ends by itself keeps what it left running on
purpose. ssh masters below CONTROL_DIRECTORY are spared: other runs share them. The command runs in the cgroup
GROUP, unless that is empty: what is in it is ended at once, whoever it became and however fast it forks.

Knows nothing of Kraken or Ansible, imports only the standard library, and that sparingly: it starts
once per run. Ends with the command's exit status; 256-N when signal N ended it, EXIT_FLOODED when it wrote
too much. Then LIFELINE is removed: where it is left, the keeper was killed, and something may run still,
though the command is sent SIGTERM in that moment (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import time

TYPE_CHECKING = False  # to import typing costs 5 ms at each start
if TYPE_CHECKING:
    from collections.abc import Callable

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
GRACE_S = 2.0  # for the command to end after SIGTERM; ansible-playbook takes 10 ms
KILL_S = 5.0  # for what got SIGKILL to vanish; longer only in uninterruptible sleep
ROUNDS = 1000  # of killing orphans between two walks through all processes
QUIET_ROUNDS = 20  # without one: the list of them may miss one
LOOK_S = 1.0  # at most between two looks whether to go on: waiting has no clock that counts sleep
EXIT_NO_COMMAND = 127
EXIT_FLOODED = 120  # no status of ansible-playbook's, nor of a shell's


def main(argv: list[str]) -> int:
    lifeline_path, ends_at, output_max, control_directory, group, *command = argv
    make_subreaper()
    directory = os.path.dirname(lifeline_path)  # noqa: PTH120 (pathlib costs 8 ms at each start)
    with open(f"{directory}/keeper.pid", "w") as file:  # noqa: PTH123
        file.write(str(os.getpid()))
    lifeline = os.open(lifeline_path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    status = Keeper(lifeline, float(ends_at), int(output_max), control_directory, group).keep(command)
    forget(lifeline_path)
    return status


def now() -> float:
    """The clock of ENDS_AT: it counts the time in which the machine slept, and nobody sets it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def forget(lifeline_path: str) -> None:
    """Show that the keeper has ended in order."""
    with contextlib.suppress(OSError):
        os.unlink(lifeline_path)  # noqa: PTH108


def make_subreaper() -> None:
    """Have whatever is orphaned below this process become its child (prctl(2))."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_with(keeper: int) -> None:
    """Have this process sent SIGTERM when its parent is killed, which was `keeper` (prctl(2))."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != keeper:
        os._exit(EXIT_NO_COMMAND)


def forgo_protection(path: str = "/proc/self/oom_score_adj") -> None:
    """Where a daemon is spared when memory runs out (OOMScoreAdjust), what it runs is not (proc(5))."""
    with contextlib.suppress(OSError):
        with open(path) as file:  # noqa: PTH123
            is_spared = int(file.read()) < 0
        if is_spared:
            with open(path, "w") as file:  # noqa: PTH123
                file.write("0\n")


def move_to(group: str, pid: int = 0) -> None:
    """Move a process into a cgroup, this one by default (cgroups(7))."""
    with open(f"{group}/cgroup.procs", "w") as file:  # noqa: PTH123
        file.write(str(pid))


def members(group: str) -> list[int]:
    """The processes of a cgroup."""
    with open(f"{group}/cgroup.procs") as file:  # noqa: PTH123
        return [int(word) for word in file.read().split()]


def execute(command: list[str]) -> None:
    """Become this program; OSError when it cannot be started."""
    os.execvp(command[0], command)


class Keeper:
    """The loop around one command.

    Args:
        group: the directory of a cgroup that the command runs in; empty: that of the keeper.
        become: what its child does to become the command; does not return.
    """

    def __init__(
        self,
        lifeline: int,
        ends_at: float,
        output_max: int,
        control_directory: str,
        group: str = "",
        become: Callable[[list[str]], None] = execute,
    ) -> None:
        self.become = become
        self.lifeline = lifeline
        self.ends_at = ends_at
        self.output_left = output_max
        self.group = group
        self.spared = f"ssh: {control_directory}/".encode()
        self.child = 0
        self.status: int | None = None  # of the child, as wait(2) gives it
        self.stopping = False

    def keep(self, command: list[str]) -> int:
        if not self._goes_on():  # poll(2) tells only of a writer that was there
            return EXIT_NO_COMMAND
        os.set_blocking(1, False)
        wake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(waker)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        output = self._start(command)
        poller = select.poll()
        for descriptor in (wake, self.lifeline, output):
            poller.register(descriptor, select.POLLIN)
        while self.status is None and self._goes_on():
            for descriptor, _ in poller.poll(1000 * min(LOOK_S, max(0.0, self.ends_at - now()))):
                if descriptor == wake:
                    os.read(wake, 512)
                    self._reap()
                elif descriptor == output and not self._forward(output):
                    poller.unregister(output)
        if self.stopping:
            self._terminate()
        else:
            os.set_blocking(output, False)
            with contextlib.suppress(BlockingIOError):
                while self._forward(output):
                    pass
        if self.stopping or self.status is None or os.WIFSIGNALED(self.status):
            self._kill_descendants()
        if self.output_left < 0:
            return EXIT_FLOODED
        return 1 if self.status is None else os.waitstatus_to_exitcode(self.status) % 256

    def _on_stop(self, *_: object) -> None:
        self.stopping = True

    def _start(self, command: list[str]) -> int:
        """Start the command in a session without terminal (nothing can ask a person); its output."""
        output, theirs = os.pipe2(os.O_CLOEXEC)
        keeper = os.getpid()
        self.child = os.fork()
        if self.child == 0:
            try:
                os.setsid()
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.dup2(theirs, 1)
                os.dup2(theirs, 2)
                for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
                    signal.signal(number, signal.SIG_DFL)
                end_with(keeper)
                forgo_protection()
                if self.group:
                    move_to(self.group)
                self.become(command)
            except OSError as error:
                os.write(2, f"cannot start {command[0]}: {error.strerror}\n".encode())
            finally:
                os._exit(EXIT_NO_COMMAND)
        os.close(theirs)
        return output

    def _forward(self, output: int) -> bool:
        """Pass on what there is; False at its end or when nobody may hear more."""
        data = os.read(output, 65536)
        self.output_left -= len(data)
        if self.output_left < 0:
            self.stopping = True
            return False
        view = memoryview(data)
        try:
            while view and self._is_read():
                with contextlib.suppress(BlockingIOError):  # less room than it seemed
                    view = view[os.write(1, view) :]
        except OSError:  # the reader is gone
            self.stopping = True
        return bool(data) and not self.stopping

    def _is_read(self) -> bool:
        """Wait until the reader takes more; False when it is waited for no more."""
        poller = select.poll()
        poller.register(1, select.POLLOUT)
        while self._goes_on():
            if poller.poll(1000 * LOOK_S):
                return True
        return False

    def _goes_on(self) -> bool:
        """Whether somebody wants the command, and it has ended or its time is not over."""
        with contextlib.suppress(BlockingIOError):
            self.stopping |= not os.read(self.lifeline, 512)
        self._reap()
        self.stopping |= self.status is None and now() >= self.ends_at
        return not self.stopping

    def _reap(self) -> bool:
        """Take in who has ended; whether there are children left."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return True
                if pid == self.child:
                    self.status = status
        return False

    def _terminate(self) -> None:
        """Ask the command to end, and give it the time to tidy up behind itself."""
        self._reap()
        if self.status is None:
            os.kill(self.child, signal.SIGTERM)
        end = time.monotonic() + GRACE_S
        while self.status is None and time.monotonic() < end:
            time.sleep(0.01)
            self._reap()

    def _kill_descendants(self) -> None:
        """SIGKILL, again and again until nothing new appears: a process may fork meanwhile."""
        if self.group:
            self._kill_group()
        end = time.monotonic() + KILL_S
        while time.monotonic() < end:
            victims = [pid for pid in descendants(os.getpid()) if not self._is_spared(pid)]
            kill(victims)
            if self._kill_children() and not victims:
                return
            time.sleep(0.01)

    def _kill_group(self) -> None:
        """SIGKILL to all in the cgroup in one step, but to what is spared, which leaves it before."""
        with contextlib.suppress(OSError):  # one has ended, or this is Linux before 5.14
            for pid in members(self.group):
                if self._is_spared(pid):
                    move_to(f"{self.group}/../../left", pid)
            with open(f"{self.group}/cgroup.kill", "w") as file:  # noqa: PTH123
                file.write("1")

    def _kill_children(self) -> bool:
        """SIGKILL to what is a child of the keeper itself, as every orphan below it is; False when more come.

        What forks and ends, over and over, is always such an orphan, and has another number before a walk
        through all processes has come to it.
        """
        quiet = 0
        for _ in range(ROUNDS):
            if not self._reap():
                return True  # without a child there is nobody below
            victims = [pid for pid in children() if not self._is_spared(pid)]
            kill(victims)
            quiet = 0 if victims else quiet + 1
            if quiet == QUIET_ROUNDS:
                return True
        return False

    def _is_spared(self, pid: int) -> bool:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123
                title = file.read()
        except OSError:
            return False
        return title.startswith(self.spared) and b"[mux]" in title


def kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def children() -> list[int]:
    """Of this process, at the price of one read; one may be missing while they change (proc(5)).

    Empty where the kernel does not tell (CONFIG_PROC_CHILDREN).
    """
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", "rb") as file:  # noqa: PTH123
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def descendants(*roots: int) -> list[int]:
    """The living processes below these, zombies left out."""
    below: dict[int, list[int]] = {}
    dead = set()
    for entry in os.listdir("/proc"):  # noqa: PTH208
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:  # noqa: PTH123
                state, parent = file.read().rpartition(b")")[2].split()[:2]
        except OSError:
            continue
        below.setdefault(int(parent), []).append(int(entry))
        if state in b"ZX":
            dead.add(int(entry))
    found = list(roots)
    for pid in found:  # grows while it is walked
        found += below.get(pid, ())
    return [pid for pid in found[len(roots) :] if pid not in dead]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
