"""The process that owns everything a virtual cluster runs, and ends with whoever started it.

It is pid 1 of a pid namespace where the machine allows that, so the kernel ends everything with it, even at
SIGKILL. Elsewhere it adopts the orphans below it and ends them itself; then only its own death by SIGKILL
could leave something, and its direct children are told by the kernel.

Started by cluster.py as `python -m kraken.testing.cluster.supervisor DIRECTORY CONTROL OWNER`: CONTROL is the
descriptor of a socket that speaks JSON lines, OWNER that of a pidfd of the starting process.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from kraken.testing.cluster import layout, processes
from kraken.testing.cluster.bmc import Bmc
from kraken.testing.cluster.children import Children
from kraken.testing.cluster.layout import ClusterPlan
from kraken.testing.cluster.machine import Machine
from kraken.testing.cluster.packages import find

log = logging.getLogger(__name__)

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
SSHD_DIRECTORY = Path("/run/sshd")  # an sshd run by root refuses to start without it
MNT_DETACH = 2  # sys/mount.h
LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"
FIRST = 1  # pid of a namespace's first process


class Supervisor:
    """Runs a cluster from its plan until the owner ends, closes the socket or says so."""

    def __init__(self, directory: Path) -> None:
        plan = ClusterPlan.read(directory)
        if os.geteuid() == 0 and not plan.light:
            SSHD_DIRECTORY.mkdir(mode=0o755, exist_ok=True)
        self._directory = directory
        self._children = Children(prefix=_die_with_me())
        self._machines = {
            node.name: Machine(
                directory, node, self._children, light=plan.light, boot_delay_s=plan.boot_delay_s
            )
            for node in plan.nodes
        }
        self._bmcs = {node.name: Bmc(directory, node, self._children) for node in plan.nodes}
        self._answers = {  # kept open, so that an answer never waits for its reader
            node.name: os.open(directory / "nodes" / node.name / "answer", os.O_RDWR | os.O_NONBLOCK)
            for node in plan.nodes
        }
        self._switch = os.open(directory / "switch", os.O_RDWR | os.O_NONBLOCK)
        self._unread = b""
        self._ending = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()

    async def run(self, control: int, owner: int) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._children.reap)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ending.set)
        loop.add_reader(owner, self._ending.set)
        loop.add_reader(self._switch, self._read_switch)
        for bmc in self._bmcs.values():
            bmc.start()
        self._begin(self._serve(control))
        await self._ending.wait()
        loop.remove_reader(owner)
        loop.remove_reader(self._switch)
        for under_way in self._under_way:
            under_way.cancel()

    async def _serve(self, control: int) -> None:
        """Answer the owner's requests one after the other; its silence for good ends the cluster."""
        reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=control))
        with suppress(ConnectionError):
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(json.loads(line))).encode() + b"\n")
                await writer.drain()
        self._ending.set()

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        action, name = request["do"], request.get("node", "")
        if action not in ACTIONS or name not in self._machines:
            return {"error": f"the supervisor knows no {action} of {name or 'the cluster'}"}
        try:
            result = ACTIONS[action](self._machines[name], self._bmcs[name], request.get("value"))
            return {"result": await result if isinstance(result, Awaitable) else result}
        except OSError as error:
            log.exception("request failed: %s of %s", action, name)
            return {"error": f"{action} of {name}: {error}"}

    def _read_switch(self) -> None:
        """Take what the BMCs' switches wrote: lines of `TOKEN NODE WHAT VALUE`."""
        with suppress(BlockingIOError):
            self._unread += os.read(self._switch, 65536)
        *lines, self._unread = self._unread.split(b"\n")
        for line in lines:
            token, name, what, value = [*line.decode().split(), "", "", ""][:4]
            if name in self._machines:
                self._begin(self._command(token, name, what, value))

    async def _command(self, token: str, name: str, what: str, value: str) -> None:
        """Do what came over IPMI, then let the BMC acknowledge it."""
        understood = what in COMMANDS
        if understood and not self._bmcs[name].ignoring:
            if what == "boot":
                (self._directory / "nodes" / name / "bootdev").write_text(f"{value}\n")
            else:
                await COMMANDS[what](self._machines[name], value)
        with suppress(BlockingIOError):  # full only when nobody has read for a thousand answers
            os.write(self._answers[name], f"{token} {0 if understood else 1}\n".encode())

    def _begin(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)


async def _nothing(_: Machine, __: str) -> None:
    """What identifying does: a light nobody sees."""


COMMANDS: dict[str, Callable[[Machine, str], Awaitable[None]]] = {  # what a BMC can be told
    "power": lambda machine, value: machine.switch(value == "1"),
    "reset": lambda machine, _: machine.reset(),
    "shutdown": lambda machine, _: machine.shut_down(),
    "identify": _nothing,
    "boot": _nothing,
}

ACTIONS: dict[str, Callable[[Machine, Bmc, Any], Any]] = {  # what the owner can ask
    "power": lambda machine, _, __: machine.on,
    "switch": lambda machine, _, on: machine.switch(bool(on)),
    "hang": lambda machine, _, __: machine.hang(),
    "unhang": lambda machine, _, __: machine.unhang(),
    "service_running": lambda machine, _, __: machine.service_running(),
    "kill_service": lambda machine, _, __: machine.kill_service(),
    "boot_delay": lambda machine, _, seconds: setattr(machine, "boot_delay_s", float(seconds)),
    "bmc_running": lambda _, bmc, __: bmc.running,
    "bmc_kill": lambda _, bmc, __: bmc.kill(),
    "bmc_start": lambda _, bmc, __: bmc.start(),
    "bmc_pause": lambda _, bmc, __: bmc.pause(),
    "bmc_resume": lambda _, bmc, __: bmc.resume(),
    "bmc_ignore": lambda _, bmc, on: setattr(bmc, "ignoring", bool(on)),
    "bmc_password": lambda _, bmc, password: bmc.set_password(str(password)),
}


def _die_with_me() -> tuple[str, ...]:
    """How a child ends when this process is killed: by its namespace, else by the parent-death signal."""
    if os.getpid() == FIRST:
        return ()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    return (find("setpriv") or "setpriv", "--pdeathsig", "KILL", "--")


def end_everything() -> None:
    """Kill every process below this one until none is left, adopted orphans included."""
    while left := processes.descendants(os.getpid()):
        processes.send(left, signal.SIGKILL)
        Children().reap()
        time.sleep(0.002)


def main() -> None:
    directory, control, owner = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - what the owner passed is for nobody below
        with suppress(OSError):
            os.set_inheritable(int(name), int(name) <= 2)
    logging.basicConfig(filename=directory / "supervisor.log", level=logging.INFO, format=LOG_FORMAT)

    async def run() -> None:
        await Supervisor(directory).run(control, owner)

    try:
        asyncio.run(run())
    finally:
        end_everything()
        # Detached first: what the nodes wrote goes with the mount, and removing must not walk through it.
        ctypes.CDLL(None).umount2(os.fsencode(directory / "disks"), MNT_DETACH)
        layout.remove(directory)


if __name__ == "__main__":
    main()
