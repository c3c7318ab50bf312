"""A node's BMC as its supervisor runs it: one ipmi_sim process that can fail alone."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

from kraken.testing.cluster import layout
from kraken.testing.cluster.children import Child, Children
from kraken.testing.cluster.layout import MODULE_PATH, NodePlan
from kraken.testing.cluster.packages import find

ENDING_S = 0.005


class Bmc:
    """Attributes:
    ignoring: acknowledges every command and does nothing.
    """

    def __init__(self, directory: Path, plan: NodePlan, children: Children) -> None:
        self.ignoring = False
        self._directory = directory
        self._plan = plan
        self._files = directory / "nodes" / plan.name
        self._children = children
        self._child: Child | None = None

    @property
    def running(self) -> bool:
        return self._child is not None and not self._child.ended

    def start(self) -> None:
        if self.running:
            return
        argv = [find("ipmi_sim") or "/usr/bin/ipmi_sim", "-n"]
        argv += ["-c", str(self._files / "lan.conf"), "-f", str(self._directory / "bmc.emu")]
        argv += ["-s", str(self._files / "bmc")]
        self._child = self._children.start(argv, self._files / "bmc.log", {"PATH": MODULE_PATH})

    async def kill(self) -> None:
        """End it and the switch it may be waiting for, which holds its socket."""
        child = self._child
        while child is not None and not child.ended:
            self._signal(signal.SIGKILL)
            await asyncio.sleep(ENDING_S)
        self._child = None

    def pause(self) -> None:
        """It keeps its address and answers nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    async def set_password(self, password: str) -> None:
        """Accept this password from now on; the simulator starts anew and forgets its sessions."""
        await self.kill()
        layout.write_bmc(self._directory, self._plan, password)
        for stored in (self._files / "bmc").rglob("*"):  # users changed over IPMI are kept there
            if stored.is_file():
                stored.unlink()
        self.start()

    def _signal(self, number: signal.Signals) -> None:
        if self._child is not None and not self._child.ended:
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, number)
