"""A virtual node as its supervisor runs it: power on starts it, power off ends everything in it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import suppress
from pathlib import Path

from kraken.testing.cluster import processes, scripts
from kraken.testing.cluster.children import Child, Children
from kraken.testing.cluster.layout import MODULE_PATH, NodePlan
from kraken.testing.cluster.packages import find

log = logging.getLogger(__name__)

MARK = "KRAKEN_NODE"  # environment variable that everything in a plain node carries
ENDING_S = 0.005  # between two looks at what is still ending
PATIENCE_S = 10.0  # SIGKILL takes milliseconds; longer is a broken machine


class Machine:
    """One node. Its power is whether its first process lives; nothing else is believed.

    Args:
        light: boot it in namespaces of its own; otherwise as the same user beside the supervisor.
    """

    def __init__(
        self, directory: Path, plan: NodePlan, children: Children, *, light: bool, boot_delay_s: float
    ) -> None:
        self.name = plan.name
        self.boot_delay_s = boot_delay_s
        self.hung = False
        self._light = light
        self._directory = directory
        self._files = directory / "nodes" / plan.name
        self._children = children
        self._child: Child | None = None
        self._switching = asyncio.Lock()

    @property
    def on(self) -> bool:
        return self._child is not None

    async def switch(self, on: bool) -> None:
        """Bring the power to on or off; nothing happens when it is there already."""
        async with self._switching:
            if on and not self.on:
                self._start()
            elif not on and self.on:
                await self._kill()

    async def reset(self) -> None:
        """Power off and on again; a node that is off stays off, as on metal."""
        async with self._switching:
            if self.on:
                await self._kill()
                self._start()

    async def shut_down(self) -> None:
        """What a power button asks: end the services, then power off. A hung node ignores it."""
        async with self._switching:
            if self.on and not self.hung:
                processes.send(self._service(), signal.SIGTERM)
                await self._kill()

    def hang(self) -> None:
        """Stop every process of a node that is on: it answers nobody and its power stays on."""
        self._stop()
        self.hung = self.on

    def unhang(self) -> None:
        processes.send(self._inside(), signal.SIGCONT)
        self.hung = False

    def service_running(self) -> bool:
        return bool(self._service())

    def kill_service(self) -> bool:
        """SIGKILL the service; False when it was not running."""
        service = self._service()
        processes.send(service, signal.SIGKILL)
        return bool(service)

    def _start(self) -> None:
        self.hung = False
        boot = [str(self._directory / "boot"), str(self._files), self.name, str(self.boot_delay_s)]
        if self._light:
            inside = ["--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child"]
            boot = [find("unshare") or "unshare", *inside, "sh", *boot]
            boot.append(str(self._directory / "disks" / self.name))
            home = "/root"
        else:
            boot = ["/bin/sh", *boot]
            home = str(self._files / "home")
        environment = {"PATH": MODULE_PATH, "HOME": home, "TERM": "linux", MARK: str(self._files)}
        self._child = self._children.start(boot, self._files / "console.log", environment)
        self._child.when_ended(self._ended)
        self._show_power()

    def _ended(self, child: Child) -> None:
        if self._child is child:
            log.info("%s ended, status %s", self.name, child.status)
            self._child = None
            self.hung = False
            processes.send(self._inside(), signal.SIGKILL)
            self._show_power()

    async def _kill(self) -> None:
        """SIGKILL everything in the node until nothing is left.

        Of a light node only what is below `unshare` is killed: unshare ends when the kernel has emptied the
        namespace, so its end is the proof. A plain node is stopped first, so that nobody forks out of sight.
        """
        child = self._child
        assert child is not None, "only a node that is on can be killed"
        if not self._light:
            self._stop()
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while not child.ended or self._inside():
            if asyncio.get_running_loop().time() > deadline:
                log.error("%s does not end: %s", self.name, sorted(self._inside()))
                break
            processes.send(self._inside(), signal.SIGKILL)
            await asyncio.sleep(ENDING_S)

    def _stop(self) -> None:
        stopped: set[int] = set()
        while new := self._inside() - stopped:  # whoever was forked meanwhile is found by the next look
            processes.send(new, signal.SIGSTOP)
            stopped |= new

    def _inside(self) -> set[int]:
        """Every process of the node: by descent, and for plain nodes also by the mark its orphans carry."""
        below = processes.descendants(self._child.pid) if self._child else set()
        if self._light:
            return below
        own = {self._child.pid} if self._child else set()
        return (below | own | processes.marked(MARK, str(self._files))) - {os.getpid()}

    def _service(self) -> set[int]:
        """The service's process by its pid file; empty when it does not run."""
        inside = self._inside()
        if not inside:
            return set()
        run = self._files / "run"
        if self._light:
            run = Path(f"/proc/{min(inside)}/root/run")  # its pid 1 is the oldest
        with suppress(OSError, ValueError):
            wanted = int((run / f"{scripts.SERVICE}.pid").read_text())
            return {pid for pid in inside if processes.inner_pid(pid) == wanted}
        return set()

    def _show_power(self) -> None:
        """Tell the BMC's switch, which only reads a file; renamed into place so that it never reads half."""
        fresh = self._files / "power.new"
        fresh.write_text("1\n" if self.on else "0\n")
        fresh.rename(self._files / "power")
