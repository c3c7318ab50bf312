"""A state directory was copied and both daemons run: the parent notices, and neither begins anything.

Their clocks of the tree run five times faster (`kraken.testing.hurried`). When one may begin again, which
takes as long as the longest mutation, is shown by the simulated tree.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from kraken.testing.grove import free_port
from kraken.testing.process import DaemonProcess
from kraken.testing.treehouse import Treehouse

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("twins")]
PATIENCE_S = 180.0  # only ever reached by a failure


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Treehouse]:
    """n1 is for c1 alone, n2 for c1 and then c2; c1 has switched both on."""
    house = Treehouse(tmp_path, {"c1": [], "c2": []})
    for node in ("n1", "n2"):
        house.world.set(node, "power", "OFF")
        house.world.set(node, "service", "STOPPED")
    with house:
        house.declare({"n1": ["c1"], "n2": ["c1", "c2"]}, power="ON")
        until(lambda: house.causes(["n1", "n2"]) == {"CONVERGED"}, lambda: json.dumps(house.nodes()))
        until(lambda: is_known_to_be_shared(house.root, "n2"), lambda: json.dumps(house.nodes()))
        yield house


@pytest.fixture
def copy(house: Treehouse, tmp_path: Path) -> Iterator[DaemonProcess]:
    """Made of c1 while that was down; both are to be started."""
    house["c1"].stop()
    settings = yaml.safe_load(house["c1"].config_file.read_text())
    copy = DaemonProcess(
        tmp_path,
        "copy",
        {
            **{key: settings[key] for key in ("module_dirs", "collections_paths")},
            "tree": {"listen": f"127.0.0.1:{free_port()}"},
        },
    )
    shutil.copytree(house["c1"].state, copy.state)
    copy.configure()
    copy.command = house.command("copy")
    yield copy
    copy.stop()


def until(holds: Callable[[], bool], what: Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, what()
        time.sleep(0.2)


def twins(daemon: DaemonProcess) -> list[str]:
    return list(daemon.get("/v1/health")["collectors"]["twins"])


def is_known_to_be_shared(root: DaemonProcess, node: str) -> bool:
    """Whether who has the node has said that it knows of others who may have it. One who does not may go on
    with it for ever, and of two under one name nobody's word is taken later.
    """
    state = sqlite3.connect(f"file:{root.state / 'kraken.db'}?mode=ro", uri=True)
    with contextlib.closing(state):
        found = state.execute("SELECT value FROM tree WHERE kind = 'placed' AND key = ?", (node,)).fetchone()
    if found is None:
        return False
    *_, is_shared, may_not_know = json.loads(found[0])
    return bool(is_shared and not may_not_know)


def told_of(daemon: DaemonProcess, node: str) -> str:
    return str(daemon.get(f"/v1/nodes/{node}")["reason"])


def test_two_from_one_state_directory_begin_nothing_and_the_next_candidate_has_what_it_may(
    house: Treehouse, copy: DaemonProcess
) -> None:
    house["c1"].start()
    copy.start()
    everybody = (house.root, house["c1"], copy)
    until(
        lambda: [twins(daemon) for daemon in everybody] == [["c1"]] * 3,
        lambda: str([twins(daemon) for daemon in everybody]),
    )
    rows = {row["name"]: row["state"] for row in house.root.get("/v1/collectors")["collectors"]}

    assert rows["c1"] == "TWINS"
    assert "Two daemons speak as c1" in house.root.kraken("status").stdout
    assert "two daemons speak as collector c1" in copy.kraken("history", "c1").stdout

    house.declare({"n1": ["c1"], "n2": ["c1", "c2"]}, power="OFF")
    until(lambda: house.world.get("n2", "power") == "OFF", lambda: json.dumps(house.nodes()))
    until(lambda: "another daemon may speak" in told_of(house.root, "n1"), lambda: told_of(house.root, "n1"))

    deeds = [(deed.by, deed.mutation, deed.node) for deed in house.world.deeds() if deed.node == "n1"]
    assert deeds == [("c1", "switch_on", "n1")], "neither switches what nobody else may"
    assert [deed.by for deed in house.world.deeds() if deed.mutation == "switch_off"] == ["c2"]

    house["c1"].stop()
    until(lambda: twins(house.root) == [], lambda: str(twins(house.root)))

    assert twins(copy) == ["c1"], "what the other may have begun is waited for"
    assert "switch_off" not in [deed.mutation for deed in house.world.deeds() if deed.node == "n1"]
    assert list(house.collided()) == []
