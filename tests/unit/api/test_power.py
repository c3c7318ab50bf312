"""Power by hand over HTTP: one command, and how far it is."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from kraken.executors.fake import FakeWorld
from tests.unit.api.conftest import BASE, Caller


@pytest.fixture
def world() -> FakeWorld:
    return FakeWorld({f"n{i}": {"phys_state": "POWER_ON"} for i in range(1, 4)})


@pytest.fixture(autouse=True)
def modules(tmp_path: Path) -> None:
    """The daemon has the base module for power over IPMI."""
    (tmp_path / "modules").mkdir()
    shutil.copy(BASE / "power_ipmi.yml", tmp_path / "modules")


async def declared(caller: Caller, cfg: dict[str, str] | None = None) -> None:
    for i in (1, 2):
        attributes = {"bmc.protocol": "ipmi", "bmc.address": f"10.1.0.{i}"}
        document = {"nodes": {f"n{i}": {"attributes": attributes, "cfg": cfg or {}}}}
        await caller.apply(document, user="bob")


async def row(caller: Caller, until: str, node: str = "n1") -> dict[str, Any]:
    """The node's row when its command has come to this stage, or its power to this value."""
    while True:
        found: dict[str, Any] = (await caller.get("/v1/power", params={"nodeset": node}))["nodes"][0]
        if until in (found["value"], (found["command"] or {}).get("stage")):
            return found
        await asyncio.sleep(0.01)


async def test_a_command_is_given_and_can_be_followed_to_its_end(caller: Caller) -> None:
    await declared(caller)
    before = await row(caller, "POWER_ON")
    assert before["command"] is None

    body = {"nodeset": "n[1-2]", "do": "off", "yes": True}
    ordered = await caller.post("/v1/power", body, headers={"Kraken-User": "alice"})
    after = await row(caller, "OK")

    assert (ordered["nodeset"], ordered["count"], ordered["repeated"]) == ("n[1-2]", 2, "")
    assert after["value"] == "POWER_OFF"
    assert after["command"]["id"] == ordered["id"]
    assert (after["command"]["name"], after["command"]["by"]) == ("power_off", "alice")
    assert after["command"]["over"]


async def test_what_kraken_would_undo_is_a_problem_of_its_own_with_the_reasons(caller: Caller) -> None:
    await declared(caller, {"phys_state": "POWER_ON"})
    await row(caller, "POWER_ON")
    await row(caller, "POWER_ON", "n2")

    problem = await caller.problem("POST", "/v1/power", {"nodeset": "n[1-2]", "do": "off", "yes": True})

    assert (problem["type"], problem["status"]) == ("opposed", 409)
    assert list(problem["details"]) == ["n[1-2]"]
    assert "bob" in problem["details"]["n[1-2]"]


async def test_what_ends_work_wants_a_yes(caller: Caller) -> None:
    await declared(caller)
    await row(caller, "POWER_ON")

    problem = await caller.problem("POST", "/v1/power", {"nodeset": "n1", "do": "reset"})

    assert (problem["type"], problem["nodes"]) == ("needs-confirmation", 1)


async def test_nobody_selected_is_an_error_and_never_all(caller: Caller) -> None:
    await declared(caller)

    assert (await caller.problem("POST", "/v1/power", {"do": "on"}))["type"] == "nodeset"
    assert (await caller.problem("GET", "/v1/power"))["type"] == "nodeset"
    assert (await caller.problem("POST", "/v1/power", {"nodeset": "n9", "do": "on"}))[
        "type"
    ] == "unknown-node"


async def test_a_node_without_power_to_be_seen_is_shown_so(caller: Caller) -> None:
    await caller.apply({"nodes": {"n3": {}}})

    found = (await caller.get("/v1/power", params={"all": "true"}))["nodes"]

    assert found == [
        {
            "node": "n3",
            "value": "UNKNOWN",
            "seen_at": None,
            "stale": True,
            "looking": False,
            "said": "",
            "reach": "UNKNOWN",
            "command": None,
        }
    ]


async def test_declaring_power_is_a_change_like_any(caller: Caller) -> None:
    await declared(caller, {"phys_state": "POWER_ON"})
    await row(caller, "POWER_ON")

    answer = await caller.post("/v1/power/declare", {"nodeset": "n1", "do": "off", "yes": True})

    assert answer["changed"] == 1
    assert answer["items"][0]["diff"] == {"phys_state": ["POWER_ON", "POWER_OFF"]}
    await row(caller, "POWER_OFF")


async def test_a_look_can_be_of_one_variable_and_names_it_when_nobody_knows_it(caller: Caller) -> None:
    await declared(caller)

    asked = await caller.post("/v1/discover", {"nodeset": "n1", "variable": "phys_state"})
    problem = await caller.problem("POST", "/v1/discover", {"nodeset": "n1", "variable": "phys_stat"})

    assert asked["items"][0]["discoveries"] == ["power_ipmi.power_status"]
    assert (problem["type"], problem["key"]) == ("document", "variable")
    assert "phys_state" in problem["hint"]
