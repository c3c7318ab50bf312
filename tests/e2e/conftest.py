"""A virtual cluster with a real daemon over it, for tests of the whole."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kraken.testing.cluster import Cluster, install_missing
from kraken.testing.demo import WISHES, Demo

LONGEST = (
    "test_roles",
    "test_tree_processes",
    "test_collection",
    "test_converge",
    "test_joining",
    "test_cluster",
    "test_playbooks",
    "test_example_slurm",
    "test_redfish",
    "test_ipmi_faults",
    "test_dead_system",
    "test_power",
    "test_ipmi_loss",
    "test_password_change",
    "test_secrets",
    "test_limits",
    "test_plan_contract",
)
"""Files whose tests wait longest, and those whose tests share something that takes long to make."""

PATIENCE_S = 240.0  # a loaded machine with two cores; nothing here asserts how long things take


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first, so that nobody waits for it alone at the end."""
    place = {Path(__file__).with_name(f"{name}.py"): number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(LONGEST)))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Groups must be kept together where that was asked for: each has servers that its tests share."""
    if hasattr(session.config, "workerinput") and session.config.getvalue("loadgroup"):
        grouped = [item for item in session.items if item.get_closest_marker("xdist_group")]
        if not all("@" in item.nodeid for item in grouped):
            pytest.exit("this pytest does not know the groups of this pytest-xdist: see ADR 12", 3)


class Site:
    """A demo cluster in the hands of a test: what a user would type, and what is true of the nodes."""

    def __init__(self, demo: Demo) -> None:
        self.demo = demo
        self.nodes = [node.name for node in demo.cluster.nodes]

    def kraken(self, *words: str, code: int = 0) -> str:
        """Type a command; its output. Any other exit code than the expected one fails the test."""
        done = self.demo.kraken(*words)
        assert done.returncode == code, f"kraken {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def apply(self, cfg: dict[str, str] | None = None) -> None:
        """Declare the nodes and, unless it is empty, what is wished of all of them."""
        document = self.demo.document()
        document["groups"]["compute"]["cfg"] = dict(WISHES if cfg is None else cfg)
        self.demo.document_file.write_text(json.dumps(document))
        self.kraken("apply", "--yes", str(self.demo.document_file))

    def explanation(self, node: str) -> dict[str, Any]:
        """The node's cause, as the API gives it."""
        found: dict[str, Any] = self.demo.get("/v1/explain", nodeset=node)["nodes"][0]
        return found

    def cause(self, node: str) -> str:
        return str(self.explanation(node)["cause"])

    def converged(self, *nodes: str) -> None:
        """Wait until these nodes (without any named: all) have converged."""
        for node in nodes or self.nodes:
            self.until(lambda node=node: self.cause(node) == "CONVERGED", f"{node} converges")

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until it holds; the daemon's log tells more when it never does."""
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            if time.monotonic() > deadline:
                told = self.demo.kraken("explain", "--all").stdout
                log = self.demo.log.read_text(errors="replace")[-4000:]
                pytest.fail(f"did not come to pass: {what}\n{told}\n{log}")
            time.sleep(0.2)

    def issues(self, node: str) -> list[tuple[str, str]]:
        """(mutation, outcome) of every run of this node that the journal has, oldest first."""
        found = []
        for run in self.demo.get("/v1/runs", limit="10000")["runs"]:
            results = self.demo.get(f"/v1/runs/{run['id']}")["results"]
            found += [(run["name"], str(r["outcome"])) for r in results if r["node"] == node]
        return found[::-1]


@pytest.fixture(scope="session")
def programs() -> None:
    """The programs of the virtual cluster, installed when they are missing and we may."""
    install_missing()


@pytest.fixture
def make_site(programs: None) -> Iterator[Callable[[int], Site]]:
    """Start clusters of a size, all nodes off, nothing declared; they end with the test."""
    open_ones: list[Any] = []

    def make(size: int) -> Site:
        cluster = Cluster(size=size, boot_delay_s=0.5)
        open_ones.append(cluster)
        cluster.start()
        demo = Demo(cluster)
        open_ones.append(demo)
        demo.__enter__()
        return Site(demo)

    yield make
    for one in reversed(open_ones):
        one.close()
