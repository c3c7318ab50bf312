"""The executor: asyncio on this side, one thread and one ansible-playbook per run on the other."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import shutil
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kraken.errors import ExecutorError
from kraken.executors import Report
from kraken.executors.ansible import content, keeper
from kraken.executors.ansible.account import Account
from kraken.executors.ansible.content import SshSettings, VaultSettings
from kraken.executors.ansible.groups import Limits
from kraken.executors.ansible.playrun import Ending, PlayRun
from kraken.executors.ansible.workspace import Workspace, discard, stop_masters
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run

log = logging.getLogger(__name__)

OUTPUT_MAX = 64 * 1024 * 1024  # bytes of a run's output; 64 hosts with 10 tasks write 0.3 MB
PLAYBOOK = "kraken-playbook.yml"
LATE_S = 1.0
"""How long after the time of a run its keeper ends it: when we did not, who stand still. With what the keeper
takes for that (8 s) it is within the grace by which a mutation may be over later than its time-out (10 s)."""


class AnsibleExecutor:
    """Performs actions of kind "ansible": one ansible-playbook per run, over all its nodes.

    Args:
        playbook_command: the program; None: the one beside this Python, else the one on PATH.
        forks: hosts under way at once within a run; the others wait, within the time of the run.
        work_directory: where inventories lie while a run is under way; None: a tmpfs if possible.
        config: an ansible.cfg to honour; None: none, whatever lies about.
        collections: paths to search for collections; empty: Ansible's own.
        output_max: bytes a run may write before it is stopped.
        forkserver: whether runs are forked from a process that has Ansible imported (ADR 55), where this
            `ansible-playbook` allows it, and the module brings no plugins of its own beside it.
        forks_here: whether those on this machine alone are, too.
        limits: what one run may have of this machine; None: no limit.
    """

    def __init__(
        self,
        *,
        playbook_command: str | None = None,
        forks: int = 32,
        work_directory: Path | None = None,
        vault: VaultSettings | None = None,
        ssh: SshSettings | None = None,
        config: Path | None = None,
        collections: Sequence[Path] = (),
        output_max: int = OUTPUT_MAX,
        forkserver: bool = False,
        forks_here: bool = True,
        limits: Limits | None = None,
    ) -> None:
        self.playbook_command = playbook_command
        self.forks = forks
        self.vault = vault
        self.ssh = ssh or SshSettings()
        self.config = config
        self.collections = tuple(collections)
        self.output_max = output_max
        self.forkserver = forkserver
        self.forks_here = forks_here
        self.workspace = Workspace(work_directory, limits)
        self.salt = secrets.token_bytes(16)
        self._flights: set[_Flight] = set()
        self._closed = False

    async def run(self, run: Run, nodes: Mapping[str, NodeFacts], report: Report) -> None:
        """Perform a mutation; see `kraken.executors.Executor.run`."""
        if self._closed:
            raise ExecutorError("the ansible executor is closed; no node was touched", part=run.id)
        if not run.nodes:
            return
        self.find_playbook_command()
        flight = _Flight(self, run, nodes, report)
        self._flights.add(flight)
        try:
            await flight.fly()
        finally:
            self._flights.discard(flight)

    async def discover(self, run: Run, nodes: Mapping[str, NodeFacts], report: Report) -> None:
        """Observe; for Ansible there is no difference."""
        await self.run(run, nodes, report)

    async def close(self) -> None:
        """Stop what is under way, end the ssh masters, remove the directory. Idempotent."""
        self._closed = True
        flights = list(self._flights)
        for flight in flights:
            flight.stop()
        for flight in flights:
            await flight.landed.wait()
        await asyncio.to_thread(self.workspace.close)

    def find_playbook_command(self) -> str:
        """The ansible-playbook that is used.

        Raises:
            ExecutorError: there is none.
        """
        wanted = self.playbook_command
        beside = str(Path(sys.executable).with_name("ansible-playbook"))
        found = shutil.which(wanted) if wanted else shutil.which(beside) or shutil.which("ansible-playbook")
        if found is None:
            raise ExecutorError(
                f"cannot find {wanted or 'ansible-playbook'}; no node was touched",
                part=wanted or "ansible-playbook",
                hint="install ansible-core (pip install ansible-core, or apt-get install ansible-core), "
                "or name the program in the configuration",
            )
        return found

    def lay_out(self, directory: Path, flight: _Flight) -> PlayRun:
        """Write what ansible-playbook reads into the directory of a run. Blocks for milliseconds."""
        run = flight.run
        action, control = run.operator.action, self.workspace.control
        assert action is not None, "what has no action is never run"
        assert control is not None, "a workspace that gave a run directory has a control directory"
        if not isinstance(action.spec, list):
            key = run.operator.key
            raise ExecutorError(f"the tasks of {key} are no list; no node was touched", part=key)
        project, scratch = directory / "project", directory / "tmp"
        for path in (project, scratch):
            path.mkdir(mode=0o700)
        content.link_beside(action.directory, project, leave_out=PLAYBOOK)
        title = f"{run.operator.module}: {run.operator.name}"
        (project / PLAYBOOK).write_text(content.playbook(action, title, self.vault))
        inventory = directory / "inventory.json"
        inventory.write_text(content.inventory(flight.names, flight.nodes, flight.keys))
        config = self.config or self.workspace.own_config
        forks = str(min(len(run.nodes), self.forks))
        return PlayRun(
            directory,
            [self.find_playbook_command(), "-i", str(inventory), "--forks", forks, PLAYBOOK],
            environment=content.environment(
                ssh=self.ssh,
                vault=self.vault,
                config=config,
                control=control,
                scratch=scratch,
                collections=self.collections,
            ),
            ends_at=flight.ends_at,
            output_max=self.output_max,
            on_event=flight.on_event,
            starter=self.workspace.starter if self._forks(flight.nodes, project) else None,
            groups=self.workspace.groups,
        )

    def _forks(self, nodes: Mapping[str, NodeFacts], project: Path) -> bool:
        if not self.forkserver or content.brings_plugins(project):
            return False
        return self.forks_here or not all(map(_is_here, nodes.values()))


class _Flight:
    """One run under way: `fly` and what it calls are the loop's; `_perform` is the thread's.

    Attributes:
        ends_at: when its keeper ends it, on that one's clock.
        landed: nothing of the run is left, neither process nor file.
    """

    def __init__(
        self, executor: AnsibleExecutor, run: Run, nodes: Mapping[str, NodeFacts], report: Report
    ) -> None:
        self.run = run
        self.ends_at = keeper.now() + run.timeout_s + LATE_S
        self.nodes = nodes
        self.names = content.host_names(run.nodes)
        self.keys = {node: content.connection_key(nodes[node], executor.salt) for node in run.nodes}
        self.landed = asyncio.Event()
        self._executor = executor
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()  # over all below, which both threads touch
        self._account = Account(run, self.names, nodes)
        self._post: list[NodeResult] = []  # results on their way to the loop
        self._play: PlayRun | None = None
        self._stopped = False
        self._late: tuple[str, ...] = ()  # nodes still out when their time was over
        self._silent = False  # nobody wants to hear more
        self._error: BaseException | None = None

    async def fly(self) -> None:
        """Run to the end; every node is reported when it returns."""
        threading.Thread(target=self._perform, name=f"ansible {self.run.id}", daemon=True).start()
        try:
            await asyncio.wait_for(self.landed.wait(), self.run.timeout_s)
        except TimeoutError:
            with self._lock:
                self._late = self._account.out
                late = self._account.time_out()
                self._post += [_with_limit(result, self._play) for result in late]
            self._deliver()
        except asyncio.CancelledError:
            self._silent = True
            raise
        finally:
            self.stop()
            while not self.landed.is_set():  # seconds at most, whoever loses patience meanwhile
                with contextlib.suppress(asyncio.CancelledError):
                    await self.landed.wait()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Have it end. From any thread, idempotent; `landed` tells when it did."""
        with self._lock:
            self._stopped = True
            if self._play is not None:
                self._play.stop()

    def on_event(self, event: Mapping[str, Any]) -> None:
        """Take an event, in the run's thread."""
        with self._lock:
            results = [] if self._stopped else self._account.take(event)
            play = self._play
        if results:
            self._send([_with_limit(result, play) for result in results])

    def _perform(self) -> None:
        directory: Path | None = None
        ending = Ending("")
        try:
            directory = self._executor.workspace.run_directory()
            play = self._executor.lay_out(directory, self)
        except Exception as error:
            self._error = _as_executor_error(error)
        else:
            with self._lock:
                self._play = play
                if self._stopped:
                    play.stop()
            try:
                ending = play.perform()
            except Exception as error:
                log.exception("run not followed to its end", extra={"run": self.run.id})
                text = f"Kraken could not follow ansible-playbook: {type(error).__name__}"
                ending = Ending(text, heard_all=False)
        finally:
            self._clean_up(directory)
            self._settle(ending)

    def _clean_up(self, directory: Path | None) -> None:
        """Remove the directory, and the ssh masters of nodes that hang: they would hang the next run."""
        if directory is not None:
            discard(directory)
        control = self._executor.workspace.control
        keys = [self.keys[node] for node in {*self._late, *self._account.out}]
        if keys and control is not None:
            stop_masters(control, keys)

    def _settle(self, ending: Ending) -> None:
        with self._lock:
            if self._error is not None:
                results = []
            elif self._stopped:
                text = "stopped by Kraken; what it did is not known"
                results = self._account.give_up(Outcome.CANCELLED, text)
            else:
                in_time = keeper.now() < self.ends_at  # or its last words may be lost
                is_followed = ending.heard_all and in_time
                results = self._account.ended(ending.text, says_why=ending.says_why, is_followed=is_followed)
        self._send(results, last=True)

    def _send(self, results: list[NodeResult], *, last: bool = False) -> None:
        """Hand results to the loop, many in one go when it is busy."""
        with self._lock:
            waiting = bool(self._post)
            self._post += results
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to hear
            if not waiting:
                self._loop.call_soon_threadsafe(self._deliver)
            if last:
                self._loop.call_soon_threadsafe(self.landed.set)

    def _deliver(self) -> None:
        with self._lock:
            results, self._post = self._post, []
        if not results or self._silent:
            return
        try:
            self._report(results)
        except Exception as error:
            self._silent, self._error = True, error
            self.stop()


def _with_limit(result: NodeResult, play: PlayRun | None) -> NodeResult:
    """A failure, with the limit that the run came to: mostly it is the reason."""
    is_failure = result.outcome in (Outcome.FAILED, Outcome.TIMEOUT)
    reached = play.reached() if play is not None and is_failure else ""
    return replace(result, message=f"{result.message} ({reached})") if reached else result


def _is_here(node: NodeFacts) -> bool:
    return node.attributes.get("ansible_connection") == "local"


def _as_executor_error(error: Exception) -> ExecutorError:
    if isinstance(error, ExecutorError):
        return error
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return ExecutorError(f"cannot prepare a run of ansible-playbook: {reason}; no node was touched")
