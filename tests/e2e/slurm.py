"""A Slurm over the nodes of a virtual cluster: munged, slurmctld, and slurmd as a service of each node."""

from __future__ import annotations

import getpass
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from kraken.testing.cluster import Cluster, VirtualNode
from kraken.testing.cluster.packages import find
from kraken.testing.process import die_with_parent

START_S = 60.0
STOP_S = 20.0

CONFIGURATION = """\
ClusterName=kraken
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={place}/munge.sock
CredType=cred/munge
StateSaveLocation={place}/state
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={run}/slurmd.pid
SlurmdSpoolDir={run}/slurmd
SlurmdLogFile={run}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/linear
ReturnToService=2
SlurmdTimeout=30
SlurmdParameters=config_overrides
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""

# /etc/init.d/slurmd of a node. All have one key of Munge; a node with a root of its own has its own munged.
SERVICE = """\
#!/bin/sh
### BEGIN INIT INFO
# Provides:          slurmd
# Required-Start:
# Required-Stop:
# Default-Start:
# Default-Stop:
# Short-Description: the compute node's part of Slurm
### END INIT INFO
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
case "$1" in
start)
    munge --no-input --socket=@PLACE@/munge.sock >/dev/null 2>&1 ||
        munged --force --key-file=@PLACE@/munge.key --socket=@PLACE@/munge.sock --pid-file=@RUN@/munged.pid \\
            --log-file=@RUN@/munged.log --seed-file=@RUN@/munged.seed || exit 1
    start-stop-daemon --start --oknodo --quiet --pidfile @RUN@/slurmd.pid \\
        --exec "$(command -v slurmd)" -- -N @NODE@ -f @PLACE@/slurm.conf ;;
stop)
    start-stop-daemon --stop --oknodo --quiet --retry TERM/5/KILL/5 --pidfile @RUN@/slurmd.pid ;;
restart | force-reload)
    "$0" stop && "$0" start ;;
status)
    start-stop-daemon --status --pidfile @RUN@/slurmd.pid ;;
*)
    echo "usage: $0 {start|stop|restart|force-reload|status}" >&2
    exit 2 ;;
esac
"""


class Slurm:
    """Use it as a context manager, round the life of the nodes.

    Attributes:
        place: its files; not in /tmp, of which nodes with a root of their own have another.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.place = Path(tempfile.mkdtemp(prefix="kraken-slurm-", dir="/var/tmp"))
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Slurm:
        try:
            self._write()
            names = ("munge.key", "munge.sock", "munged.pid", "munged.log", "munged.seed")
            key, sock, pid, log, seed = (str(self.place / name) for name in names)
            self._start(
                "munged",
                *("--foreground", "--force", "--key-file", key, "--socket", sock),
                *("--pid-file", pid, "--log-file", log, "--seed-file", seed),
            )
            self._await(lambda: self._says("munge", "--no-input", "--socket", sock), "munged answers")
            self.start_controller()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End its programs and remove its files. Idempotent."""
        for process in reversed(self._running):
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()
        shutil.rmtree(self.place, ignore_errors=True)

    def start_controller(self) -> None:
        """Start slurmctld, which knows what it knew."""
        self._start("slurmctld", "-D", "-f", str(self.configuration))
        self._await(lambda: self._says("scontrol", "ping"), "slurmctld answers")

    def stop_controller(self) -> None:
        """End slurmctld, which was started last; jobs and nodes go on."""
        controller = self._running.pop()
        controller.terminate()
        controller.wait(STOP_S)

    @property
    def configuration(self) -> Path:
        return self.place / "slurm.conf"

    def attributes(self, node: VirtualNode) -> dict[str, Any]:
        """What Kraken has to know of a node of Slurm."""
        script = self.cluster.directory / "nodes" / node.name / "init.d" / "slurmd"
        return {
            "service.unit": "slurmd" if self.cluster.light else str(script),
            "slurm.controller": "localhost",
            "slurm.conf": str(self.configuration),
        }

    def run(self, *words: str) -> str:
        """What a command of Slurm's says; any other end than success fails."""
        done = self._ask(*words)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}{self.told()}"
        return done.stdout.strip()

    def submit(self, node: VirtualNode, time_limit: str) -> str:
        """A job that works on this node until `finish`; its number."""
        script = self.place / f"{node.name}.job"
        script.write_text(f"#!/bin/sh\nuntil [ -e {self._go(node)} ]; do sleep 0.2; done\n")
        where = ("--nodelist", node.name, "--chdir", "/", "--output", "/dev/null")
        return self.run("sbatch", "--parsable", *where, "--time", time_limit, str(script))

    def finish(self, node: VirtualNode) -> None:
        """What the job on this node waits for comes to pass."""
        done = subprocess.run(node.ssh("touch", self._go(node)), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def job(self, number: str) -> str:
        """The state of a job: PENDING, RUNNING, COMPLETED, ..."""
        return self._field(self.run("scontrol", "--oneliner", "show", "job", number), "JobState")

    def state(self, node: VirtualNode) -> str:
        """Slurm's word for a node: IDLE, ALLOCATED+DRAIN, ..."""
        return self._field(self.run("scontrol", "--oneliner", "show", "node", node.name), "State")

    def told(self) -> str:
        """The end of what its daemons have said."""
        logs = sorted(self.place.glob("*.log"))
        return "".join(f"\n-- {log.name}\n{log.read_text(errors='replace')[-2000:]}" for log in logs)

    def _write(self) -> None:
        self.place.chmod(0o755)
        (self.place / "state").mkdir()
        key = self.place / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        nodes = self.cluster.nodes
        port, *ports = _free_ports(len(nodes) + 1)
        here = [
            f"NodeName={n.name} NodeAddr=127.0.0.1 Port={p} CPUs=1" for n, p in zip(nodes, ports, strict=True)
        ]
        self.configuration.write_text(
            CONFIGURATION.format(
                host=socket.gethostname().partition(".")[0],
                port=port,
                user=getpass.getuser(),
                place=self.place,
                run=self._run("%n"),
                nodes="\n".join(here),
            )
        )
        (self.place / "cgroup.conf").write_text(
            "CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n"
        )  # nodes have no control groups
        for node in nodes:
            script = self.cluster.directory / "nodes" / node.name / "init.d" / "slurmd"
            words = {"@PLACE@": str(self.place), "@RUN@": self._run(node.name), "@NODE@": node.name}
            text = SERVICE
            for word, meaning in words.items():
                text = text.replace(word, meaning)
            script.write_text(text)
            script.chmod(0o755)

    def _run(self, node: str) -> str:
        """Where a node keeps what is gone when it goes off."""
        return "/run" if self.cluster.light else str(self.cluster.directory / "nodes" / node / "run")

    def _go(self, node: VirtualNode) -> str:
        return f"{self._run(node.name)}/job-may-end"

    def _start(self, program: str, *words: str) -> None:
        with (self.place / f"{program}.out.log").open("wb") as log:
            self._running.append(
                subprocess.Popen(
                    [find(program) or program, *words],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.place,
                    start_new_session=True,
                    preexec_fn=die_with_parent,
                )
            )

    def _await(self, holds: Any, what: str) -> None:
        deadline = time.monotonic() + START_S
        while not holds():
            fallen = [process.args for process in self._running if process.poll() is not None]
            assert not fallen, f"{fallen} ended{self.told()}"
            assert time.monotonic() < deadline, f"did not come to pass: {what}{self.told()}"
            time.sleep(0.05)

    def _says(self, *words: str) -> bool:
        return self._ask(*words).returncode == 0

    def _ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        command: Sequence[str] = [find(words[0]) or words[0], *words[1:]]
        environ = {"SLURM_CONF": str(self.configuration), "PATH": "/usr/bin:/bin"}
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    @staticmethod
    def _field(line: str, name: str) -> str:
        return next(word.partition("=")[2] for word in line.split() if word.startswith(f"{name}="))


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("0.0.0.0", 0))
        return [probe.getsockname()[1] for probe in probes]
