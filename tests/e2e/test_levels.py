"""The demo below three levels of daemons: from cold to in service, and what a lost collector looks like."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator

import pytest

from kraken.testing.cluster import Cluster
from kraken.testing.demo import Demo, summary

pytestmark = pytest.mark.e2e
PATIENCE_S = 180.0  # only ever reached by a failure


@pytest.fixture(scope="module")
def demo(programs: None) -> Iterator[Demo]:
    """Two nodes, run by rack1 and rack2 below row1; rack3 and rack4 below row2 have none."""
    with Cluster(size=2) as cluster, Demo(cluster, levels=3) as demo:
        applied = demo.kraken("apply", "--yes", str(demo.document_file))
        assert applied.returncode == 0, applied.stderr
        waited = demo.kraken("wait", "--all", "--timeout", "180s")
        assert waited.returncode == 0, waited.stdout + waited.stderr
        yield demo


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def test_each_rack_brought_its_node_into_service_and_the_root_saw_it(demo: Demo) -> None:
    told = {node["name"]: node for node in demo.get("/v1/nodes")["nodes"]}

    assert {name: node["collector"] for name, node in told.items()} == {"n0001": "rack1", "n0002": "rack2"}
    assert all(node["dsc"]["service"] == "RUNNING" for node in told.values())
    assert "power_ipmi.power_on" in summary(demo, 1.0) or "power_redfish.power_on" in summary(demo, 1.0)
    listed = demo.kraken("collector", "list").stdout
    assert all(f"─ {name}" in listed for name in ("row1", "row2", "rack1", "rack2", "rack3", "rack4"))
    history = demo.kraken("--at", "rack1", "history", "n0001").stdout
    assert "power_on" in history
    assert "collector rack1" in demo.kraken("explain", "n0001").stdout
    assert "CPU" in demo.kraken("bmc", "sensors", "n0001").stdout


def test_a_collector_that_is_killed_is_named_and_comes_back(demo: Demo) -> None:
    assert demo.grove is not None
    rack = demo.grove.daemons["rack2"]
    before = demo.cluster["n0002"].power()
    rack.stop(signal.SIGKILL)
    until(lambda: "not heard" in demo.kraken("explain", "n0002").stdout, "nobody misses rack2")

    told = demo.kraken("explain", "n0002").stdout
    assert "STALE" in told
    assert "collector rack2 not heard for" in told
    assert "rack2 is not reached" in demo.kraken("--at", "rack2", "status").stderr
    lost = "collector rack2 is not heard any more"
    until(lambda: lost in demo.kraken("history", "rack2").stdout, "the root's journal does not miss rack2")
    assert "kraken --at row1 history rack2" in demo.kraken("history", "rack2").stdout

    rack.start()
    until(lambda: "CONVERGED" in demo.kraken("explain", "n0002").stdout, "rack2 does not come back")
    heard = "collector rack2 is heard"
    until(lambda: heard in demo.kraken("history", "rack2").stdout, "the root is not told of it")
    assert demo.cluster["n0002"].power() == before
