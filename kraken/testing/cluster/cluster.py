"""The virtual cluster as its owner uses it: start, nodes, faults, end."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from kraken.testing.cluster import layout, wrapping
from kraken.testing.cluster.addresses import Block
from kraken.testing.cluster.errors import ClusterError
from kraken.testing.cluster.layout import ClusterPlan, NodePlan
from kraken.testing.cluster.packages import find, require_programs
from kraken.testing.cluster.probes import ssh_banner, wait_for_bmcs

PREFIX = "kraken-cluster-"
START_S = 60.0  # 250 BMCs answer after a few seconds on two cores
END_S = 30.0
YOUNG_S = 60.0  # a directory without a lock may be about to get one


class Cluster:
    """A cluster of virtual nodes, powered off at first; everything ends with `close` or with this process.

    Args:
        size: number of nodes, named n0001 and up.
        root: True for light nodes (needs root and namespaces), False for plain ones, None for the best
            this machine allows.
        boot_delay_s: from power on to an answering sshd; each node's own can be changed.

    Raises:
        MissingProgramsError: names the packages to install.
        ClusterError: it could not start; nothing is left behind.
    """

    def __init__(self, size: int = 8, root: bool | None = None, boot_delay_s: float = 1.0) -> None:
        require_programs()
        self.light = wrapping.light_is_possible() if root is None else root
        if self.light and not wrapping.light_is_possible():
            raise ClusterError(
                "light nodes need root and the right to make namespaces and mounts",
                hint="run as root (in a container: with CAP_SYS_ADMIN), or ask for root=False",
            )
        self._block = Block(size)
        self._plan = ClusterPlan(self.light, float(boot_delay_s), _plan_nodes(size, self._block))
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._asking = threading.Lock()
        self._lock = -1
        self.directory = Path()
        self.nodes = tuple(VirtualNode(self, plan, boot_delay_s) for plan in self._plan.nodes)

    def start(self) -> Cluster:
        """Start every BMC and wait until each one answers; the nodes stay off."""
        remove_stale()
        self.directory = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
        try:
            self._lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            layout.write_cluster(self.directory, self._plan)
            self._start_supervisor()
            late = wait_for_bmcs([(node.bmc_address, node.bmc_port) for node in self.nodes], START_S)
            if late:
                raise ClusterError(
                    f"{len(late)} of {len(self.nodes)} BMCs did not answer within {START_S:.0f} s, "
                    f"the first at {late[0][0]} port {late[0][1]}: {self._last_words()}"
                )
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """End every process and remove every file of the cluster; closing twice is harmless."""
        if self._supervisor is not None:
            self._answers.close()
            self._control.close()
            try:
                self._supervisor.wait(END_S)
            except subprocess.TimeoutExpired:
                self._supervisor.kill()
                self._supervisor.wait()
            self._supervisor = None
        if self._lock >= 0:
            layout.remove(self.directory)
            os.close(self._lock)
            self._lock = -1
        self._block.release()

    def __enter__(self) -> Cluster:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getitem__(self, name: str) -> VirtualNode:
        """The node of that name; KeyError when there is none."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    @property
    def credentials_file(self) -> Path:
        """YAML, mode 0600: credential name -> username, password of the BMCs."""
        return self.directory / "credentials.yaml"

    def inventory(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Node -> `{"attributes": {...}}`: all that is needed to manage it."""
        return {
            plan.name: {"attributes": layout.node_attributes(self.directory, self._plan, plan)}
            for plan in self._plan.nodes
        }

    def document(self) -> dict[str, Any]:
        """The inventory as a document to apply to Kraken."""
        return {"nodes": self.inventory()}

    def supervisor_pid(self) -> int:
        """The process whose end ends everything in the cluster; 0 when it is not started."""
        return self._supervisor.pid if self._supervisor else 0

    def ask(self, action: str, node: str, value: Any = None) -> Any:
        """Have the supervisor do something to a node; for VirtualNode and VirtualBmc."""
        if self._supervisor is None:
            raise ClusterError("the cluster is not started", part=node, hint="use it as a context manager")
        request = json.dumps({"do": action, "node": node, "value": value})
        with self._asking:
            try:
                self._control.sendall(request.encode() + b"\n")
                line = self._answers.readline()
            except OSError:
                line = b""
        if not line:
            raise ClusterError(
                f"the cluster's supervisor ended, all nodes with it: {self._last_words()}", part=node
            )
        answer = json.loads(line)
        if "error" in answer:
            raise ClusterError(answer["error"], part=node)
        return answer["result"]

    def _start_supervisor(self) -> None:
        self._control, theirs = socket.socketpair()
        self._answers = self._control.makefile("rb")
        owner = os.pidfd_open(os.getpid())
        package_root = Path(__file__).resolve().parents[3]
        program = [sys.executable, "-m", "kraken.testing.cluster.supervisor", str(self.directory)]
        try:
            self._supervisor = subprocess.Popen(
                [
                    *wrapping.wrapper(self.light, self.directory),
                    *program,
                    str(theirs.fileno()),
                    str(owner),
                ],
                env={**os.environ, "PYTHONPATH": str(package_root), "PYTHONDONTWRITEBYTECODE": "1"},
                cwd="/",
                pass_fds=(theirs.fileno(), owner, self._lock),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=(self.directory / "supervisor.err").open("wb"),
                start_new_session=True,
            )
        finally:
            theirs.close()
            os.close(owner)

    def _last_words(self) -> str:
        for name in ("supervisor.err", "supervisor.log"):
            with suppress(OSError):
                if lines := (self.directory / name).read_text(errors="replace").strip().splitlines():
                    return lines[-1]
        return "it left no message"


class VirtualNode:
    """One node of a cluster. What it tells is the truth of its processes, never what a BMC says."""

    def __init__(self, cluster: Cluster, plan: NodePlan, boot_delay_s: float) -> None:
        self.name = plan.name
        self.bmc_address, self.bmc_port = plan.bmc_address, plan.bmc_port
        self.ssh_address, self.ssh_port = plan.ssh_address, plan.ssh_port
        self.bmc = VirtualBmc(cluster, plan)
        self._cluster = cluster
        self._boot_delay_s = boot_delay_s

    def power(self) -> str:
        """'on' while the node's first process lives, else 'off'."""
        return "on" if self._ask("power") else "off"

    def set_power(self, on: bool) -> None:
        """Plug it in or pull the plug, past the BMC."""
        self._ask("switch", on)

    @property
    def boot_delay_s(self) -> float:
        """From power on to an answering sshd, from the next power on."""
        return self._boot_delay_s

    @boot_delay_s.setter
    def boot_delay_s(self, seconds: float) -> None:
        self._ask("boot_delay", float(seconds))
        self._boot_delay_s = float(seconds)

    def hang(self) -> None:
        """Every process of the node stops: power is on, ssh answers nobody, a soft power off is ignored."""
        self._ask("hang")

    def unhang(self) -> None:
        self._ask("unhang")

    def service_running(self) -> bool:
        return bool(self._ask("service_running"))

    def kill_service(self) -> bool:
        """SIGKILL the service behind everybody's back; False when it was not running."""
        return bool(self._ask("kill_service"))

    def ssh_answers(self, timeout_s: float = 1.0) -> bool:
        """Whether an sshd greets within the time."""
        return ssh_banner(self.ssh_address, self.ssh_port, timeout_s)

    def wait_for_ssh(self, timeout_s: float = 30.0) -> None:
        """Wait until sshd greets; ClusterError when the time is over."""
        deadline = time.monotonic() + timeout_s
        while not self.ssh_answers():
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"{self.name}: no sshd at {self.ssh_address}:{self.ssh_port} within {timeout_s:g} s, "
                    f"power is {self.power()}",
                    part=self.name,
                )
            time.sleep(0.05)

    def ssh(self, *command: str) -> list[str]:
        """The argv of an ssh to the node, running `command` there."""
        return [
            *(find("ssh") or "ssh", *layout.ssh_options(self._cluster.directory)),
            *("-i", str(self._cluster.directory / "id_ed25519"), "-p", str(self.ssh_port)),
            *("-o", "BatchMode=yes", "-o", "ConnectTimeout=5"),
            f"{layout.login_user(self._cluster.light)}@{self.ssh_address}",
            *command,
        ]

    def _ask(self, action: str, value: Any = None) -> Any:
        return self._cluster.ask(action, self.name, value)


class VirtualBmc:
    """A node's BMC and what can be wrong with it. None of it changes the node's power."""

    def __init__(self, cluster: Cluster, plan: NodePlan) -> None:
        self._cluster = cluster
        self._plan = plan

    def pause(self) -> None:
        """It answers nothing until `resume`."""
        self._ask("bmc_pause")

    def resume(self) -> None:
        self._ask("bmc_resume")

    def kill(self) -> None:
        """It is gone: nobody holds its address; all sessions are lost."""
        self._ask("bmc_kill")

    def restart(self) -> None:
        """It comes up anew, after a kill or from running, and answers when this returns."""
        self._ask("bmc_kill")
        self._ask("bmc_start")
        self._wait()

    def ignore_commands(self, ignore: bool) -> None:
        """While set it acknowledges power and boot commands and does nothing."""
        self._ask("bmc_ignore", ignore)

    def set_password(self, password: str) -> None:
        """Accept another password than the credentials file says; sessions are lost."""
        if not 1 <= len(password) <= 16 or not password.isalnum():
            raise ClusterError(
                "a BMC's password has 1 to 16 letters and digits", part=self._plan.name, hint="choose another"
            )
        self._ask("bmc_password", password)
        self._wait()

    def running(self) -> bool:
        return bool(self._ask("bmc_running"))

    def ipmitool(self, *words: str) -> list[str]:
        """The argv of a real ipmitool to this BMC, with the password it accepts now (read from a file)."""
        password = self._cluster.directory / "nodes" / self._plan.name / "bmc_password"
        connection: Sequence[str] = ("-H", self._plan.bmc_address, "-p", str(self._plan.bmc_port))
        login = ("-U", layout.BMC_USER, "-f", str(password))
        return [find("ipmitool") or "ipmitool", "-I", "lanplus", "-C", "3", *connection, *login, *words]

    def _wait(self) -> None:
        if wait_for_bmcs([(self._plan.bmc_address, self._plan.bmc_port)], START_S):
            raise ClusterError(f"the BMC of {self._plan.name} does not come back", part=self._plan.name)

    def _ask(self, action: str, value: Any = None) -> Any:
        return self._cluster.ask(action, self._plan.name, value)


def remove_stale() -> None:
    """Remove directories of clusters whose owner and supervisor were both killed."""
    for directory in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            about = directory.lstat()
            if directory.is_symlink() or about.st_uid != os.geteuid():
                continue
            lock = directory / "lock"
            if not lock.exists():
                if time.time() - about.st_mtime > YOUNG_S:
                    layout.remove(directory)
                continue
            with lock.open() as held:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: somebody needs it
                layout.remove(directory)


def _plan_nodes(size: int, block: Block) -> tuple[NodePlan, ...]:
    return tuple(
        NodePlan(f"n{number:04}", bmc_address, block.bmc_port, ssh_address, block.ssh_port)
        for number, (bmc_address, ssh_address) in enumerate(
            zip(block.bmc_addresses, block.ssh_addresses, strict=True), start=1
        )
    )
