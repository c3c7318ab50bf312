"""A root, three collectors and thirty agents, each a process: what befalls them, and what was done meanwhile.

Their clocks of the tree run five times faster (`kraken.testing.hurried`), over one world of files. Its diary
tells afterwards who did what: never two at one node, and nothing twice.
"""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from kraken.testing.treehouse import Treehouse

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("treehouse")]
PATIENCE_S = 180.0  # only ever reached by a failure
NODES = [f"n{number:02}" for number in range(1, 31)]
FIRST = {node: f"c{1 + place // 10}" for place, node in enumerate(NODES)}
NEXT = {"c1": "c2", "c2": "c3", "c3": "c1"}
PLACES = {node: [first, NEXT[first]] for node, first in FIRST.items()}
OF_C1, OF_C2, OF_C3 = NODES[:10], NODES[10:20], NODES[20:]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Treehouse]:
    """All nodes are off; each is declared to be on, with its service, and is."""
    house = Treehouse(tmp_path_factory.mktemp("house"), {"c1": OF_C1, "c2": OF_C2, "c3": OF_C3})
    for node in NODES:
        house.world.set(node, "power", "OFF")
        house.world.set(node, "service", "STOPPED")
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


def done_since(house: Treehouse, before: int) -> Counter[tuple[str, str, str]]:
    return Counter((deed.by, deed.mutation, deed.node) for deed in house.world.deeds()[before:])


def each(by: str, mutation: str, nodes: list[str]) -> Counter[tuple[str, str, str]]:
    return Counter((by, mutation, node) for node in nodes)


def states(house: Treehouse) -> dict[str, str]:
    return {row["name"]: row["state"] for row in house.root.get("/v1/collectors")["collectors"]}


def run_by(house: Treehouse, collector: str, nodes: list[str]) -> bool:
    told = house.nodes()
    return all(told[n]["collector"] == collector and told[n]["cause"] == "CONVERGED" for n in nodes)


def test_each_node_is_done_by_its_collector_and_its_service_by_its_agent(house: Treehouse) -> None:
    done = done_since(house, 0)

    assert {(by, node) for by, mutation, node in done if mutation == "switch_on"} == {
        (first, node) for node, first in FIRST.items()
    }
    assert {(by, node) for by, mutation, node in done if mutation == "start"} == {(n, n) for n in NODES}
    assert set(done.values()) == {1}
    everybody = dict.fromkeys(["c1", "c2", "c3", *NODES], "CONNECTED")
    until(lambda: states(house) == everybody, lambda: json.dumps(states(house)))


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
