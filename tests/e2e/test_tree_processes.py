"""A root, three collectors and thirty agents, each a process: what befalls them, and what was done meanwhile.

Their clocks of the tree run five times faster (`kraken.testing.hurried`), over one world of files. Its diary
tells afterwards who did what: never two at one node, and nothing twice. Where we are root, some of them are
in networks that can be cut, and one has a disk that can be filled.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kraken.testing.apart import CutNetwork, fill, small_disk
from kraken.testing.treehouse import Treehouse

IS_ROOT = os.geteuid() == 0
apart = pytest.mark.skipif(not IS_ROOT, reason="in namespaces: run it as root")
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("treehouse")]
PATIENCE_S = 180.0  # only ever reached by a failure
NODES = [f"n{number:02}" for number in range(1, 31)]
FIRST = {node: f"c{1 + place // 10}" for place, node in enumerate(NODES)}
NEXT = {"c1": "c2", "c2": "c3", "c3": "c1"}
PLACES = {node: [first, NEXT[first]] for node, first in FIRST.items()}
OF_C1, OF_C2, OF_C3 = NODES[:10], NODES[10:20], NODES[20:]
EVERYBODY = ["c1", "c2", "c3", *NODES]


@pytest.fixture(scope="module")
def networks() -> Iterator[list[CutNetwork]]:
    """One for c1 with its agents, one for the agents of c3; nobody but root can make any."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(CutNetwork()) for _ in range(2 if IS_ROOT else 0)]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, networks: list[CutNetwork]) -> Iterator[Treehouse]:
    """All nodes are off; each is declared to be on, with its service, and is. c2 has a small disk, which
    goes with its process: nobody starts c2 again.
    """
    agents = {"c1": OF_C1, "c2": OF_C2, "c3": OF_C3}
    if networks:
        rack, far = networks
        hosts = {"root": rack.here, "c1": rack.there, "c3": far.here}
        house = Treehouse(tmp_path_factory.mktemp("house"), agents, hosts)
        house.inside |= dict.fromkeys(["c1", *OF_C1], rack.inside) | dict.fromkeys(OF_C3, far.inside)
        house.inside["c2"] = small_disk(house["c2"].state, "16m")
    else:
        house = Treehouse(tmp_path_factory.mktemp("house"), agents)
    for node in NODES:
        house.world.set(node, "power", "OFF")
        house.world.set(node, "service", "STOPPED")
        house.world.set(node, "file", "old")
    with house:
        house.declare(PLACES, power="ON", service="RUNNING")
        until(lambda: house.causes(NODES) == {"CONVERGED"}, lambda: told(house))
        yield house


@pytest.fixture(autouse=True)
def nobody_met(house: Treehouse) -> Iterator[None]:
    yield
    assert list(house.collided()) == []


def until(holds: Callable[[], bool], what: Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, what()
        time.sleep(0.2)


def told(house: Treehouse) -> str:
    return json.dumps(
        {n: (d["cause"], d["reason"], d["collector"]) for n, d in house.nodes().items()}, indent=1
    )


def told_of(house: Treehouse, node: str) -> str:
    row = house.nodes()[node]
    return f"{row['cause']}: {row['reason']}"


def explained(house: Treehouse, node: str) -> str:
    (row,) = house.root.get("/v1/explain", nodeset=node)["nodes"]
    return f"{row['cause']}: {row['reason']}"


def degraded(house: Treehouse) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = house.root.get("/v1/health")["collectors"]["degraded"]
    return found


def done_since(house: Treehouse, before: int) -> Counter[tuple[str, str, str]]:
    return Counter((deed.by, deed.mutation, deed.node) for deed in house.world.deeds()[before:])


def each(by: str, mutation: str, nodes: list[str]) -> Counter[tuple[str, str, str]]:
    return Counter((by, mutation, node) for node in nodes)


def as_at_first(house: Treehouse) -> bool:
    told = house.nodes()
    return all(told[n]["collector"] == FIRST[n] and told[n]["cause"] == "CONVERGED" for n in NODES)


def states(house: Treehouse) -> dict[str, str]:
    return {row["name"]: row["state"] for row in house.root.get("/v1/collectors")["collectors"]}


def is_whole(house: Treehouse) -> bool:
    return states(house) == dict.fromkeys(EVERYBODY, "CONNECTED")


def run_by(house: Treehouse, collector: str, nodes: list[str]) -> bool:
    told = house.nodes()
    return all(told[n]["collector"] == collector and told[n]["cause"] == "CONVERGED" for n in nodes)


def deafen_us(network: CutNetwork) -> None:
    """What is in there is not heard, and hears."""
    network.deafen(network.here)


def deafen_them(network: CutNetwork) -> None:
    """What is in there hears nothing, and is heard."""
    network.deafen(network.there)


def test_each_node_is_done_by_its_collector_and_its_service_by_its_agent(house: Treehouse) -> None:
    done = done_since(house, 0)

    assert {(by, node) for by, mutation, node in done if mutation == "switch_on"} == {
        (first, node) for node, first in FIRST.items()
    }
    assert {(by, node) for by, mutation, node in done if mutation == "start"} == {(n, n) for n in NODES}
    assert set(done.values()) == {1}
    until(lambda: is_whole(house), lambda: json.dumps(states(house)))


def test_a_collector_that_is_killed_is_followed_by_the_next_and_gets_its_nodes_back(house: Treehouse) -> None:
    before = len(house.world.deeds())
    house["c1"].stop(signal.SIGKILL)
    until(lambda: run_by(house, "c2", OF_C1), lambda: told(house))

    assert not done_since(house, before), "nothing is done because somebody fell silent"

    house.declare({node: PLACES[node] for node in OF_C1}, power="OFF")
    until(lambda: run_by(house, "c2", OF_C1), lambda: told(house))

    assert done_since(house, before) == each("c2", "switch_off", OF_C1)

    house["c1"].start()
    until(lambda: run_by(house, "c1", OF_C1), lambda: told(house))

    assert done_since(house, before) == each("c2", "switch_off", OF_C1)


def test_a_collector_that_stands_still_does_nothing_afterwards_that_another_did(house: Treehouse) -> None:
    before = len(house.world.deeds())
    house["c2"].signal(signal.SIGSTOP)
    try:
        until(lambda: "STALE: collector c2 not heard" in told_of(house, OF_C2[0]), lambda: told(house))
        until(lambda: run_by(house, "c3", OF_C2), lambda: told(house))

        assert not done_since(house, before)

        house.declare({node: PLACES[node] for node in OF_C2}, power="OFF")
        until(lambda: run_by(house, "c3", OF_C2), lambda: told(house))
    finally:
        house["c2"].signal(signal.SIGCONT)
    until(lambda: run_by(house, "c2", OF_C2), lambda: told(house))

    assert done_since(house, before) == each("c3", "switch_off", OF_C2)


def test_agents_that_stand_still_or_are_killed_do_once_what_is_to_be_done_when_they_are_back(
    house: Treehouse,
) -> None:
    """What was said to one that stands still its collector gives up: it is said anew, and done then."""
    before = len(house.world.deeds())
    still, dead = OF_C3[4:6]
    house[still].signal(signal.SIGSTOP)
    try:
        house[dead].stop(signal.SIGKILL)
        for node in (still, dead):
            house.world.set(node, "service", "STOPPED")
        # Before its silence is known, so that something is said to it.
        house.root.post("/v1/discover", {"nodeset": still, "variable": "service"})
        until(
            lambda: f"agent of {still}: collector {still} did not answer" in told_of(house, still),
            lambda: told(house),
        )
        until(lambda: f"agent of {dead}: " in told_of(house, dead), lambda: told(house))

        assert not done_since(house, before)
    finally:
        house[still].signal(signal.SIGCONT)
    house[dead].start()
    until(lambda: run_by(house, "c3", [still, dead]), lambda: told(house))

    assert done_since(house, before) == each(still, "start", [still]) + each(dead, "start", [dead])


def test_a_newer_version_of_the_protocol_comes_one_by_one(house: Treehouse) -> None:
    before = len(house.world.deeds())
    for name in ("c3", "root", "c1"):
        house.restart(name, "--speaks", "2")
        until(lambda: house.causes(NODES) == {"CONVERGED"}, lambda: told(house))

    until(lambda: set(states(house).values()) == {"CONNECTED"}, lambda: json.dumps(states(house)))
    assert not done_since(house, before)

    house.declare({node: PLACES[node] for node in OF_C3[:2]}, power="OFF")
    until(lambda: house.world.get(OF_C3[1], "power") == "OFF", lambda: told(house))
    until(lambda: run_by(house, "c3", OF_C3), lambda: told(house))

    assert done_since(house, before) == each("c3", "switch_off", OF_C3[:2])


CUTS: dict[str, tuple[Callable[[CutNetwork], None], Callable[[CutNetwork], None]]] = {
    "c1 is not heard, and agents hear nothing": (deafen_us, deafen_them),
    "c1 hears nothing, and agents are not heard": (deafen_them, deafen_us),
}


@apart
@pytest.mark.parametrize("cut", CUTS)
def test_what_is_wished_during_a_cut_is_done_once_by_the_agents_when_it_is_over(
    house: Treehouse, networks: list[CutNetwork], cut: str
) -> None:
    """c1 and its agents are cut from the root, and the agents of c3 from c3."""
    house.declare({node: ["c1"] for node in OF_C1}, file=house.world.get(OF_C1[0], "file"))
    house.declare({node: ["c3"] for node in OF_C3}, file=house.world.get(OF_C3[0], "file"))
    until(lambda: run_by(house, "c1", OF_C1) and run_by(house, "c3", OF_C3), lambda: told(house))
    before = len(house.world.deeds())
    for network, part in zip(networks, CUTS[cut], strict=True):
        part(network)
    try:
        until(lambda: house.causes([*OF_C1, *OF_C3]) == {"STALE"}, lambda: told(house))
        last = OF_C3[-1]
        unreached = f"agent of {last}: collector {last} is not reached from c3; c3 is not well: "
        until(lambda: unreached in explained(house, last), lambda: explained(house, last))

        until(lambda: len(degraded(house)) == 1, lambda: str(degraded(house)))
        (unwell,) = degraded(house)

        assert told_of(house, OF_C1[0]).startswith("STALE: collector c1 not heard for")
        assert unwell["name"] == "c3"
        assert "children fell silent within" in unwell["reason"], "but for those just switched off"

        house.declare({node: ["c1"] for node in OF_C1}, file=cut)
        house.declare({node: ["c3"] for node in OF_C3}, file=cut)
        time.sleep(3.0)  # long enough for somebody to begin what they must not

        assert not done_since(house, before)
    finally:
        for network in networks:
            network.mend()
    until(lambda: run_by(house, "c1", OF_C1) and run_by(house, "c3", OF_C3), lambda: told(house))

    assert {house.world.get(node, "file") for node in (*OF_C1, *OF_C3)} == {cut}
    assert done_since(house, before) == Counter((node, "write", node) for node in (*OF_C1, *OF_C3))

    until(lambda: degraded(house) == [], lambda: str(degraded(house)))
    house.declare({node: PLACES[node] for node in (*OF_C1, *OF_C3)}, file=None)


@apart
def test_across_a_cut_who_is_alone_goes_on_and_who_is_not_stops(
    house: Treehouse, networks: list[CutNetwork]
) -> None:
    """c1 and its agents are cut from the root. Of its nodes c2 could run the first, too."""
    rack, (shared, alone) = networks[0], OF_C1[:2]
    house.declare({alone: ["c1"]}, power="ON", file=house.world.get(alone, "file"))
    house.declare({shared: PLACES[shared]}, power="ON")
    until(lambda: run_by(house, "c1", [shared, alone]), lambda: told(house))
    before = len(house.world.deeds())
    rack.cut()
    try:
        until(lambda: run_by(house, "c2", [shared]), lambda: told(house))

        assert told_of(house, alone).startswith("STALE: collector c1 not heard for")
        assert not done_since(house, before)

        for node in (shared, alone):
            house.world.set(node, "power", "OFF")
        until(lambda: house.world.get(shared, "power") == "ON", lambda: told(house))
        until(lambda: house.world.get(alone, "power") == "ON", lambda: told(house))
        house.world.set(alone, "file", "torn")
        until(lambda: house.world.get(alone, "file") != "torn", lambda: told(house))
        repaired = [("c2", "switch_on", shared), ("c1", "switch_on", alone), (alone, "write", alone)]

        assert done_since(house, before) == Counter(repaired)
    finally:
        rack.mend()
    until(lambda: run_by(house, "c1", [shared, alone]), lambda: told(house))

    assert done_since(house, before) == Counter(repaired)

    house.declare({alone: PLACES[alone]}, file=None)


@apart
def test_a_full_disk_stops_what_must_be_remembered_and_nothing_else(house: Treehouse) -> None:
    """That of c2, while its agents report, and something else is wished of its nodes."""
    house.declare({node: ["c2"] for node in OF_C2}, file=house.world.get(OF_C2[0], "file"))
    until(lambda: run_by(house, "c2", OF_C2), lambda: told(house))
    before = len(house.world.deeds())
    filling = fill(house["c2"].pid, house["c2"].state)
    torn, *wished = OF_C2
    house.world.set(torn, "file", "torn")
    house.declare({node: ["c2"] for node in wished}, file="wished when there was no room")
    until(lambda: house.nodes()[torn]["dsc"].get("file") == "torn", lambda: told(house))
    until(lambda: house["c2"].get("/v1/health")["status"] == "degraded", lambda: told(house))
    until(lambda: house.root.get("/v1/health")["status"] == "degraded", lambda: told(house))
    time.sleep(5.0)  # long enough for it to begin what it must not
    (unwell,) = degraded(house)

    assert not done_since(house, before)
    assert unwell["name"] == "c2"
    assert unwell["reason"].startswith("its state cannot be written")
    assert states(house)["c2"] == "CONNECTED"

    filling.unlink()
    until(lambda: run_by(house, "c2", OF_C2), lambda: told(house))

    assert {house.world.get(node, "file") for node in wished} == {"wished when there was no room"}
    assert done_since(house, before) == Counter((node, "write", node) for node in OF_C2)
    assert house["c2"].get("/v1/health")["status"] == "ok"
    until(lambda: house.root.get("/v1/health")["status"] == "ok", lambda: told(house))

    house.declare({node: PLACES[node] for node in OF_C2}, file=None)


def test_a_root_that_lost_its_disk_changes_nothing_when_all_is_declared_again(house: Treehouse) -> None:
    """It remembers neither who has which node, nor what it began; its keys are in the backup."""
    before = len(house.world.deeds())
    was = house.nodes()
    house.root.stop(signal.SIGKILL)
    for file in house.root.state.glob("kraken.db*"):
        file.unlink()
    house.restart("root", "--speaks", "2")

    assert house.nodes() == {}

    for node in NODES:
        house.declare({node: PLACES[node]}, **was[node]["cfg"])
    until(lambda: is_whole(house) and as_at_first(house), lambda: told(house))

    assert not done_since(house, before)
    assert {n: d["dsc"] for n, d in house.nodes().items()} == {n: d["dsc"] for n, d in was.items()}
