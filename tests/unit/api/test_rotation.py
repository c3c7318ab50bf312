"""A new password for BMCs over HTTP: in waves, told of each, journaled, and never a secret."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kraken.daemon.daemon import Daemon
from kraken.daemon.rotation import WAVE
from kraken.executors.accounts import ReportRotated, Rotated, Stand
from kraken.executors.fake import FakeExecutor, FakeWorld
from kraken.model.run import NodeFacts
from tests.unit.api.conftest import Caller

PATH = "/v1/credentials/rotate"


class Accounts(FakeExecutor):
    """Changes passwords, not of `bad`, nor of `mute`, which let nobody in; keeps who was asked together."""

    def __init__(self, *bad: str, mute: tuple[str, ...] = ()) -> None:
        super().__init__(FakeWorld({}))
        self.bad, self.mute = bad, mute
        self.looks: list[tuple[str, ...]] = []
        self.waves: list[tuple[str, ...]] = []

    async def rotate(
        self, nodes: Mapping[str, NodeFacts], timeout_s: float, report: ReportRotated, *, change: bool
    ) -> None:
        (self.waves if change else self.looks).append(tuple(nodes))
        fine = Stand.CHANGED if change else Stand.PREVIOUS
        failing = (*self.mute, *(self.bad if change else ()))
        report([Rotated(n, Stand.FAILED, "no") if n in failing else Rotated(n, fine) for n in nodes])


async def declared(caller: Caller, number: int, **more: str) -> None:
    nodes: dict[str, Any] = {
        f"n{i:02}": {
            "attributes": {"bmc.protocol": "ipmi", "bmc.address": f"10.1.0.{i}", "bmc.credential": "lab"}
        }
        for i in range(1, number + 1)
    }
    for name, protocol in more.items():
        attributes = {"bmc.protocol": protocol, "bmc.address": "10.1.9.1", "bmc.credential": "lab"}
        nodes[name] = {"attributes": attributes}
    nodes["other"] = {
        "attributes": {"bmc.protocol": "ipmi", "bmc.address": "10.1.8.1", "bmc.credential": "x"}
    }
    await caller.apply({"nodes": nodes})


async def rotated(caller: Caller, **body: object) -> dict[str, tuple[str, str]]:
    response = await caller.ask("POST", PATH, {"name": "lab", "all": True, **body})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    *told, end = [json.loads(line) for line in response.text.splitlines() if line]
    assert end == {"count": len(told)}
    return {one["node"]: (one["stand"], one["message"]) for one in told}


async def test_one_bmc_goes_first_and_the_rest_in_small_waves(caller: Caller, daemon: Daemon) -> None:
    accounts = Accounts()
    daemon.executors = {"ipmi": accounts}
    await declared(caller, 20)
    told = await rotated(caller)

    assert [len(wave) for wave in accounts.waves] == [1, WAVE, 3]
    assert set(told.values()) == {("CHANGED", "")}
    assert "other" not in told
    history = await caller.get("/v1/history?nodeset=n20")
    assert "new password of credential lab for its BMC, by hand" in [e["text"] for e in history["entries"]]


async def test_no_wave_is_begun_after_one_that_failed(caller: Caller, daemon: Daemon) -> None:
    accounts = Accounts("n01")
    daemon.executors = {"ipmi": accounts}
    await declared(caller, 3)
    told = await rotated(caller)

    assert accounts.waves == [("n01",)]
    assert told["n01"] == ("FAILED", "no")
    assert told["n03"] == ("NOT_TRIED", "not tried, since n01 failed: mend that, and do it again")
    history = await caller.get("/v1/history?nodeset=n03")
    assert [e for e in history["entries"] if "password" in e["text"]] == []


async def test_a_bmc_that_lets_nobody_in_stops_no_other(caller: Caller, daemon: Daemon) -> None:
    accounts = Accounts(mute=("n01", "n03"))
    daemon.executors = {"ipmi": accounts}
    await declared(caller, 4)
    told = await rotated(caller)

    assert accounts.looks == [("n01", "n02", "n03", "n04")]
    assert accounts.waves == [("n02",), ("n04",)]
    assert {n: stand for n, (stand, _) in told.items()} == {
        "n01": "FAILED",
        "n02": "CHANGED",
        "n03": "FAILED",
        "n04": "CHANGED",
    }


async def test_the_bmc_of_a_held_node_is_left_alone_unless_it_is_meant(
    caller: Caller, daemon: Daemon
) -> None:
    daemon.executors = {"ipmi": Accounts()}
    await declared(caller, 2)
    await caller.post("/v1/holds", {"nodeset": "n01", "reason": "memory"})

    assert {n: stand for n, (stand, _) in (await rotated(caller)).items()} == {
        "n01": "HELD",
        "n02": "CHANGED",
    }
    assert (await rotated(caller, held=True))["n01"][0] == "CHANGED"


async def test_a_look_asks_all_at_once_and_journals_nothing(caller: Caller, daemon: Daemon) -> None:
    accounts = Accounts(mute=("n01",))
    daemon.executors = {"ipmi": accounts}
    await declared(caller, 40)
    told = await rotated(caller, look=True)

    assert ([len(look) for look in accounts.looks], accounts.waves) == ([40], [])
    assert (told["n01"][0], told["n40"][0]) == ("FAILED", "PREVIOUS")
    history = await caller.get("/v1/history?nodeset=n40")
    assert [e for e in history["entries"] if "password" in e["text"]] == []


async def test_a_protocol_that_cannot_is_told_and_stops_nobody(caller: Caller, daemon: Daemon) -> None:
    daemon.executors = {"ipmi": Accounts(), "redfish": FakeExecutor(FakeWorld({}))}
    await declared(caller, 1, r1="redfish")
    told = await rotated(caller)

    assert told["r1"][0] == "FAILED"
    assert "over redfish yet" in told["r1"][1]
    assert told["n01"][0] == "CHANGED"


async def test_nothing_is_changed_where_it_is_not_clear_what_is_meant(caller: Caller, daemon: Daemon) -> None:
    accounts = Accounts()
    daemon.executors = {"ipmi": accounts}
    await declared(caller, 40)

    assert "'lba'" in (await caller.problem("POST", PATH, {"name": "lba", "all": True}))["detail"]
    many = await caller.problem("POST", PATH, {"name": "lab", "all": True})
    assert many["type"] == "needs-confirmation"
    assert (await caller.problem("POST", PATH, {"name": "lab"}))["status"] == 400
    assert (await caller.problem("POST", PATH, {"name": "lab", "nodeset": "n99"}))["status"] == 404
    assert accounts.waves == []
