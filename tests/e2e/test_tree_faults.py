"""A network that is cut, a disk that is full: daemons as processes in namespaces of their own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kraken.testing.apart import CutNetwork, fill, small_disk
from kraken.testing.treehouse import Treehouse

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.xdist_group("treehouse"),
    pytest.mark.skipif(os.geteuid() != 0, reason="makes namespaces: run it as root"),
]
PATIENCE_S = 180.0  # only ever reached by a failure


@pytest.fixture
def network() -> Iterator[CutNetwork]:
    with CutNetwork() as network:
        yield network


@pytest.fixture
def house(tmp_path: Path, network: CutNetwork) -> Iterator[Treehouse]:
    """c1 is alone in the network and has a small disk. It runs n1, which c2 could run, too, and n2."""
    house = Treehouse(tmp_path, {"c1": [], "c2": []}, host=network.here)
    house.inside["c1"] = [*network.inside, *small_disk(house["c1"].state, "3m")]
    for node in ("n1", "n2"):
        house.world.set(node, "power", "OFF")
        house.world.set(node, "service", "STOPPED")
    with house:
        house.declare({"n1": ["c1", "c2"], "n2": ["c1"]}, power="ON")
        until(lambda: house.causes(["n1", "n2"]) == {"CONVERGED"}, house)
        yield house
    assert list(house.collided()) == []


def until(holds: Callable[[], bool], house: Treehouse) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        nodes = house.nodes().values()
        assert time.monotonic() < deadline, [(n["name"], n["cause"], n["reason"], n["dsc"]) for n in nodes]
        time.sleep(0.2)


def done(house: Treehouse) -> list[tuple[str, str, str]]:
    return [(deed.by, deed.mutation, deed.node) for deed in house.world.deeds()]


def test_across_a_cut_who_is_alone_goes_on_and_who_is_not_stops(
    house: Treehouse, network: CutNetwork
) -> None:
    before = len(house.world.deeds())
    network.cut()
    until(lambda: house.nodes()["n1"]["collector"] == "c2" and house.causes(["n1"]) == {"CONVERGED"}, house)
    unheard = house.nodes()["n2"]

    assert (unheard["cause"], unheard["reason"].startswith("collector c1 not heard for")) == ("STALE", True)
    assert done(house)[before:] == []

    for node in ("n1", "n2"):
        house.world.set(node, "power", "OFF")
    until(lambda: all(house.world.get(node, "power") == "ON" for node in ("n1", "n2")), house)

    assert sorted(done(house)[before:]) == [("c1", "switch_on", "n2"), ("c2", "switch_on", "n1")]

    house.declare({"n2": ["c1"]}, power="OFF")
    network.mend()
    until(lambda: house.nodes()["n1"]["collector"] == "c1", house)
    until(lambda: house.causes(["n1", "n2"]) == {"CONVERGED"}, house)

    assert house.nodes()["n2"]["dsc"]["power"] == "OFF"
    assert done(house)[before + 2 :] == [("c1", "switch_off", "n2")]


def test_a_full_disk_stops_what_must_be_remembered_and_nothing_else(house: Treehouse) -> None:
    before = len(house.world.deeds())
    filling = fill(house["c1"].pid, house["c1"].state)
    house.world.set("n2", "power", "OFF")
    until(lambda: house.nodes()["n2"]["dsc"].get("power") == "OFF", house)
    until(lambda: house["c1"].get("/v1/health")["status"] == "degraded", house)
    until(lambda: house.root.get("/v1/health")["status"] == "degraded", house)
    time.sleep(5.0)  # long enough for it to begin what it must not
    (unwell,) = house.root.get("/v1/health")["collectors"]["degraded"]

    assert done(house)[before:] == []
    assert unwell["name"] == "c1"
    assert unwell["reason"].startswith("its state cannot be written")
    (c1,) = (row for row in house.root.get("/v1/collectors")["collectors"] if row["name"] == "c1")
    assert c1["state"] == "CONNECTED"

    filling.unlink()
    until(lambda: house.causes(["n1", "n2"]) == {"CONVERGED"}, house)

    assert done(house)[before:] == [("c1", "switch_on", "n2")]
    assert house["c1"].get("/v1/health")["status"] == "ok"
    until(lambda: house.root.get("/v1/health")["status"] == "ok", house)
