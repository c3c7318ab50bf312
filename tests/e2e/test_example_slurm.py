"""The example collection for Slurm: built, installed, and used by a daemon on nodes of a real Slurm."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kraken.errors import KrakenError
from kraken.testing.cluster import Cluster, install_missing
from kraken.testing.cluster.packages import BATCH_SYSTEM
from kraken.testing.demo import Demo
from tests.e2e.conftest import Site
from tests.e2e.slurm import Slurm

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("example_slurm")]

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
EXAMPLE = ROOT / "examples/04-slurm/ansible_collections/acme/slurm"
IN_SERVICE = {"phys_state": "POWER_ON", "run_state": "SYNC", "service": "RUNNING", "slurm_state": "UP"}
A_WEEK = "7-00:00:00"


@dataclass
class Batch:
    """Two nodes of a Slurm, and the Kraken over them, which has its modules from `place`."""

    site: Site
    slurm: Slurm
    place: Path

    @property
    def nodes(self) -> list[Any]:
        return list(self.site.demo.cluster.nodes)

    def declare(self, *words: str) -> None:
        self.site.kraken("set", "@compute", *words)

    def in_service(self) -> None:
        """Both nodes take jobs."""
        self.declare(*(f"{variable}={value}" for variable, value in IN_SERVICE.items()))
        self.site.converged()

    def look_again(self, node: str) -> None:
        """Have Slurm asked, and Kraken decide by its answer."""

        def seen_at() -> float:
            return float(self.site.demo.get(f"/v1/nodes/{node}")["records"]["dsc"]["slurm_jobs"]["seen_at"])

        before = seen_at()
        self.site.kraken("discover", node)
        self.site.until(lambda: seen_at() > before, "Slurm is asked again")

    def dsc(self, node: str, variable: str) -> str:
        return str(self.site.demo.get(f"/v1/nodes/{node}")["dsc"].get(variable))


def galaxy(place: Path, *words: str) -> None:
    done = subprocess.run(
        [str(BIN / "ansible-galaxy"), "collection", *words],
        cwd=place,
        env={"PATH": f"{BIN}:/usr/bin:/bin", "HOME": str(place)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"ansible-galaxy collection {' '.join(words)}\n{done.stdout}{done.stderr}"


def build(collection: Path, place: Path) -> str:
    """The tarball of a collection."""
    before = set(place.glob("*.tar.gz"))
    galaxy(place, "build", str(collection))
    (made,) = set(place.glob("*.tar.gz")) - before
    return str(made)


@pytest.fixture(scope="module")
def batch(programs: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Batch]:
    """Nodes in service but for Slurm; `kraken.hpc` is installed, the example is built and lies there."""
    try:
        install_missing(BATCH_SYSTEM)
    except KrakenError as error:
        pytest.skip(f"Slurm cannot be installed here: {error}")
    place = tmp_path_factory.mktemp("slurm")
    galaxy(
        place, "install", "--offline", "-p", str(place), build(ROOT / "ansible_collections/kraken/hpc", place)
    )
    with (
        Cluster(size=2, boot_delay_s=0.1) as cluster,
        Slurm(cluster) as slurm,
        Demo(cluster, collections=place) as demo,
    ):
        site = Site(demo)
        document = demo.document()
        for node in cluster.nodes:
            document["nodes"][node.name]["attributes"] |= slurm.attributes(node)
        document["groups"]["compute"]["cfg"] = {v: w for v, w in IN_SERVICE.items() if v != "slurm_state"}
        demo.document_file.write_text(json.dumps(document))
        site.kraken("apply", "--yes", str(demo.document_file))
        yield Batch(site, slurm, place)


@pytest.fixture
def taught(batch: Batch) -> Batch:
    """With the example installed."""
    if not (batch.place / "ansible_collections/acme").is_dir():
        galaxy(batch.place, "install", "--offline", "-p", str(batch.place), build(EXAMPLE, batch.place))
        batch.site.kraken("module", "reload")
    batch.in_service()
    return batch


def test_an_idle_node_goes_off_at_once_and_a_busy_one_when_its_job_has_ended(taught: Batch) -> None:
    site, slurm = taught.site, taught.slurm
    busy, idle = taught.nodes
    job = slurm.submit(busy, A_WEEK)
    site.until(lambda: slurm.job(job) == "RUNNING", "the job runs")

    taught.declare("phys_state=POWER_OFF", "slurm_state=DRAIN", "--unset", "run_state", "--unset", "service")
    site.converged(idle.name)
    site.until(lambda: site.cause(busy.name) == "WAITING", "Kraken waits for the job")
    told = site.kraken("explain", busy.name)
    taught.look_again(busy.name)
    taught.look_again(busy.name)

    assert idle.power() == "off"
    assert "slurm.run_dry" in told
    assert slurm.state(busy) == "ALLOCATED+DRAIN"
    assert slurm.job(job) == "RUNNING"
    assert busy.power() == "on"

    slurm.finish(busy)
    site.converged(busy.name)

    assert busy.power() == "off"
    assert slurm.job(job) == "COMPLETED"
    assert [name for name, outcome in site.issues(busy.name) if outcome == "OK"][-2:] == [
        "drain",
        "power_off",
    ]

    taught.in_service()
    again = slurm.submit(idle, A_WEEK)
    site.until(lambda: slurm.job(again) == "RUNNING", "a job runs on a node that was off")
    slurm.finish(idle)
    site.until(lambda: slurm.job(again) == "COMPLETED", "the job ends")


def test_what_somebody_else_has_drained_is_left_to_them(taught: Batch) -> None:
    site, slurm = taught.site, taught.slurm
    node = taught.nodes[0]
    slurm.run("scontrol", "update", f"nodename={node.name}", "state=drain", "reason=bad DIMM")
    site.kraken("discover", node.name)
    site.until(lambda: site.cause(node.name) == "WAITING", "Kraken sees it, and waits")

    assert taught.dsc(node.name, "slurm_state") == "DRAIN_BY_OTHERS"
    assert "given_back" in site.kraken("explain", node.name)
    assert slurm.state(node) == "IDLE+DRAIN"

    slurm.run("scontrol", "update", f"nodename={node.name}", "state=resume")
    site.kraken("discover", node.name)
    site.converged(node.name)


def test_off_by_hand_of_a_node_with_a_job_is_refused_and_told(taught: Batch) -> None:
    site, slurm, node = taught.site, taught.slurm, taught.nodes[0]
    job = slurm.submit(node, A_WEEK)
    site.until(lambda: slurm.job(job) == "RUNNING", "the job runs")
    taught.look_again(node.name)

    undone = site.kraken("power", node.name, "off", code=3)
    held = site.kraken("power", node.name, "off", "--hold", "fans", code=3)
    declared = site.kraken("power", node.name, "off", "--declare", "--yes", code=3)

    assert "it would power_on, for phys_state=POWER_ON is declared" in undone
    assert "slurm.jobs_end_first would keep Kraken from it (slurm_state=UP, slurm_jobs=RUNNING)" in held
    assert "slurm_state=DRAIN first" in held
    assert "phys_state=POWER_OFF cannot be had together with slurm_state=UP" in declared
    assert "`kraken set` declares it together with what can be had with it" in declared
    assert site.cause(node.name) == "CONVERGED"
    assert node.power() == "on"
    slurm.finish(node)
    site.until(lambda: slurm.job(job) == "COMPLETED", "the job ends")


def test_while_slurm_does_not_answer_no_node_of_its_goes_off(taught: Batch) -> None:
    site, slurm, node = taught.site, taught.slurm, taught.nodes[0]
    taught.declare("slurm_state=DRAIN")
    site.converged()

    def is_in_doubt() -> bool:
        site.kraken("discover", node.name)
        return site.cause(node.name) == "STALE"

    slurm.stop_controller()
    try:
        site.until(is_in_doubt, "Kraken notices that nobody answers")
        taught.declare("phys_state=POWER_OFF", "--unset", "run_state", "--unset", "service")
        for _ in range(3):
            site.kraken("discover", node.name)
            site.until(lambda: site.cause(node.name) != "RUNNING", "Slurm was asked in vain")
            told = site.kraken("explain", node.name)
            assert site.cause(node.name) in ("STALE", "UNKNOWN")
            assert "slurm_look" in told
        assert node.power() == "on"
    finally:
        slurm.start_controller()
    site.converged()

    assert node.power() == "off"


def test_without_its_collection_the_guard_is_gone_and_no_node_goes_off_by_that_alone(taught: Batch) -> None:
    site, slurm, node = taught.site, taught.slurm, taught.nodes[0]
    job = slurm.submit(node, A_WEEK)
    site.until(lambda: slurm.job(job) == "RUNNING", "the job runs")
    taught.declare("phys_state=POWER_OFF", "slurm_state=DRAIN", "--unset", "run_state", "--unset", "service")
    site.until(lambda: site.cause(node.name) == "WAITING", "Kraken waits for the job")
    assert "slurm_jobs" in site.kraken("module", "show", "power_ipmi")

    shutil.rmtree(taught.place / "ansible_collections/acme")
    site.kraken("module", "reload")
    site.until(lambda: site.cause(node.name) == "NO_PATH", "what is declared cannot be had any more")
    site.kraken("discover", node.name)
    told = site.kraken("explain", node.name)

    assert "no loaded module declares the variable slurm_state" in told
    assert "slurm_jobs" not in site.kraken("module", "show", "power_ipmi")
    assert node.power() == "on"
    assert slurm.job(job) == "RUNNING"

    site.kraken("set", node.name, "phys_state=POWER_OFF", "--unset", "slurm_state")
    site.converged(node.name)

    assert node.power() == "off"
    slurm.run("scancel", job)
