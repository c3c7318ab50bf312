"""Where modules are tried: on nodes that are pretended, or on virtual ones, reached as real ones are."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import TracebackType
from typing import Protocol

from msgspec.structs import replace

from kraken.daemon.assembly import build_credentials, build_executors
from kraken.daemon.config import Config
from kraken.executors import Executor
from kraken.executors.fake import Behaviour, FakeExecutor, FakeWorld
from kraken.model.catalog import Catalog
from kraken.model.module import Discovery, Mutation
from kraken.model.run import NodeFacts, NodeResult, Run
from kraken.model.search import default_collection_paths
from kraken.model.update import Value
from kraken.testing.cluster import Cluster

BOOT_S = 60.0


class Stage(Protocol):
    """Nodes, and what is done to them.

    Attributes:
        patience_s: how long the world may take until an effect is to be seen.
    """

    nodes: Mapping[str, Mapping[str, Value]]  # name -> attributes
    patience_s: float

    def pretend(self, state: Mapping[str, str]) -> bool:
        """Make this state the truth of all nodes; False where the truth is not ours to make."""

    async def perform(
        self, operator: Mutation | Discovery, cfg: Mapping[str, str], dsc: Mapping[str, str]
    ) -> dict[str, NodeResult]:
        """Have it done on all nodes; the result of each."""


class _Hands(AbstractAsyncContextManager["Stage"]):
    """What both stages do alike: give runs to executors."""

    patience_s = 0.0

    def __init__(self, nodes: Mapping[str, Mapping[str, Value]]) -> None:
        self.nodes = nodes
        self._numbers = itertools.count(1)
        self._executors: Mapping[str, Executor] = {}

    def pretend(self, state: Mapping[str, str]) -> bool:
        return False

    async def perform(
        self, operator: Mutation | Discovery, cfg: Mapping[str, str], dsc: Mapping[str, str]
    ) -> dict[str, NodeResult]:
        if operator.action is None:
            return {}
        executor = self._executors[operator.action.kind]
        name = f"trial-{next(self._numbers)}"
        run = Run(name, operator, tuple(self.nodes), time.time(), operator.timeout_s)
        facts = {node: NodeFacts(node, attrs, cfg=cfg, dsc=dsc) for node, attrs in self.nodes.items()}
        told: list[NodeResult] = []

        def report(results: Sequence[NodeResult]) -> None:
            told.extend(results)

        await (executor.run if run.is_mutation else executor.discover)(run, facts, report)
        return {result.node: result for result in told}

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for executor in {id(one): one for one in self._executors.values()}.values():
            await executor.close()


class Pretended(_Hands):
    """One node that does what modules declare, as the simulation's do: nothing is run."""

    def __init__(self, catalog: Catalog, attributes: Mapping[str, Value]) -> None:
        super().__init__({"fake": attributes})
        self._world = FakeWorld(catalog=catalog, behave=lambda node, operator: Behaviour(0.0))

    async def __aenter__(self) -> Pretended:
        hand = FakeExecutor(self._world)
        self._executors = dict.fromkeys(("ansible", "ipmi", "redfish", "tcp"), hand)
        return self

    def pretend(self, state: Mapping[str, str]) -> bool:
        for node in self.nodes:
            self._world.truth[node] = dict(state)
        return True


class Virtual(_Hands):
    """Virtual nodes with a root file system, a BMC and an sshd each, powered on; needs root.

    Args:
        paths: collections paths for Ansible, before its own.
        attributes: of the nodes, beside those by which they are reached.
        config: of the executors, for what the nodes do not say themselves.
    """

    patience_s = 30.0

    def __init__(
        self, count: int, paths: Iterable[Path], attributes: Mapping[str, Value], config: Config
    ) -> None:
        self._cluster = Cluster(size=count, root=True, boot_delay_s=0.1)
        self._config = config
        self._paths = list(paths)
        self._more = attributes
        super().__init__({})

    async def __aenter__(self) -> Virtual:
        self._cluster.start()
        try:
            for node in self._cluster.nodes:
                node.set_power(True)
            for node in self._cluster.nodes:
                node.wait_for_ssh(BOOT_S)
            self.nodes = {
                name: {**fields["attributes"], **self._more}
                for name, fields in self._cluster.inventory().items()
            }
            config = replace(
                self._config,
                collections_paths=self._paths,
                credentials_file=self._cluster.credentials_file,
            )
            self._executors = build_executors(config, dict(os.environ), build_credentials(config))
        except BaseException:
            self._cluster.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await super().__aexit__(kind, value, trace)
        finally:
            self._cluster.close()


def collection_paths(paths: Iterable[Path]) -> list[Path]:
    """The collections paths that these files and directories lie on, or are; then Ansible's own."""
    found: dict[Path, None] = {}
    for path in (path.resolve() for path in paths):
        if (path / "ansible_collections").is_dir():
            found[path] = None
        for above in (path, *path.parents):
            if above.name == "ansible_collections":
                found[above.parent] = None
    return [*found, *default_collection_paths(os.environ)]
