"""An executor of Redfish and the fake services it asks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kraken.executors.credentials import Credentials
from kraken.executors.redfish import RedfishExecutor, RedfishLimits
from kraken.model.module import Action, Discovery, Mutation
from kraken.model.run import NodeFacts, NodeResult, Run
from kraken.testing.redfish import FakeBmc

QUICK = RedfishLimits(connect_s=1.0, request_s=0.4, back_off_s=(0.02, 0.05), busy_s=0.05, goodbye_s=0.4)


CREDENTIALS = """
lab: {username: admin, password: secret}
wrong: {username: admin, password: wr0ng-one}
"""


class Site:
    """An executor, and BMCs to ask: n0, n1, ... in the order they were added."""

    def __init__(self, directory: Path, limits: RedfishLimits = QUICK) -> None:
        file = directory / "credentials.yaml"
        file.write_text(CREDENTIALS)
        file.chmod(0o600)
        self.file = file
        self.directory = directory
        self.credentials = Credentials(file)
        self.executor = RedfishExecutor(self.credentials, limits)
        self.bmcs: list[FakeBmc] = []
        self.attributes: dict[str, dict[str, Any]] = {}
        self._runs = 0

    async def add(self, bmc: FakeBmc | None = None, **attributes: str) -> FakeBmc:
        bmc = bmc or FakeBmc()
        await bmc.start()
        self.attributes[f"n{len(self.bmcs)}"] = {
            "bmc.address": bmc.address,
            "bmc.port": bmc.port,
            "bmc.credential": "lab",
            **({"bmc.scheme": "http"} if bmc.certificate is None else {}),
            **{f"bmc.{key}": value for key, value in attributes.items()},
        }
        self.bmcs.append(bmc)
        return bmc

    async def ask(self, spec: Any, *nodes: str, timeout_s: float = 5.0) -> dict[str, NodeResult]:
        """Do it on these nodes (none named: all); node -> its result."""
        self._runs += 1
        action = Action("redfish", spec, Path("/"))
        operator: Mutation | Discovery = Mutation("m", "change", (), action=action)
        if spec == "power_status":
            operator = Discovery("m", "look", (), action)
        names = nodes or tuple(self.attributes)
        run = Run(f"1-{self._runs}", operator, names, 0.0, timeout_s)
        facts = {name: NodeFacts(name, self.attributes[name]) for name in names}
        found: dict[str, NodeResult] = {}

        def report(results: Any) -> None:
            for result in results:
                assert result.node not in found, "each node is reported once"
                found[result.node] = result

        work = self.executor.run if run.is_mutation else self.executor.discover
        await work(run, facts, report)
        return found

    async def one(self, spec: Any, timeout_s: float = 5.0) -> NodeResult:
        """Do it on n0."""
        return (await self.ask(spec, "n0", timeout_s=timeout_s))["n0"]

    async def close(self) -> None:
        await self.executor.close()
        for bmc in self.bmcs:
            await bmc.stop()


def seen(power: str | None = None, reach: str = "OK") -> dict[str, str]:
    """What is observed of a node whose BMC was asked."""
    return {"bmc.reach": reach} if power is None else {"phys_state": power, "bmc.reach": reach}


async def until(holds: Callable[[], object]) -> None:
    """Wait until it holds, for a few seconds."""
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come to pass")
