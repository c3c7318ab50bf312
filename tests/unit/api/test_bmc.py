"""What BMCs say, over HTTP: a line per node, and why there is none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kraken.daemon.daemon import Daemon
from kraken.executors import Report
from kraken.executors.fake import FakeExecutor, FakeWorld
from kraken.executors.place import Reach
from kraken.executors.reading import BmcInfo, Reading, ReportReadings, Topic
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run
from tests.unit.api.conftest import Caller


class Reader(FakeExecutor):
    """Reads from each BMC what is due for the topic; `mute` is not told of at all."""

    def __init__(self, fault: Exception | None = None) -> None:
        super().__init__(FakeWorld({}))
        self.fault = fault
        self.asked: list[tuple[Topic, list[str], float]] = []

    async def read(
        self, topic: Topic, nodes: Mapping[str, NodeFacts], timeout_s: float, report: ReportReadings
    ) -> None:
        self.asked.append((topic, list(nodes), timeout_s))
        data = BmcInfo(product="X") if topic is Topic.INFO else ()
        for node in nodes:
            if node != "mute":
                report([Reading(node, topic, Reach.OK, Outcome.OK, data=data)])
        if self.fault is not None:
            raise self.fault


async def declared(caller: Caller, *names: str) -> None:
    attributes = {"bmc.protocol": "ipmi", "bmc.address": "10.1.0.1", "bmc.credential": "lab"}
    nodes: dict[str, Any] = {
        name: {"attributes": {**attributes, "bmc.address": f"10.1.0.{number}"}}
        for number, name in enumerate(names, 1)
    }
    nodes["odd"] = {"attributes": {"bmc.protocol": "redfish", "bmc.address": "10.1.9.1"}}
    nodes["none"] = {"attributes": {"rack": "r1"}}
    await caller.apply({"nodes": nodes})


async def lines(caller: Caller, path: str) -> list[dict[str, Any]]:
    response = await caller.ask("GET", path)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines() if line]


async def test_each_node_is_told_of_by_the_reader_of_its_protocol(caller: Caller, daemon: Daemon) -> None:
    reader = Reader()
    daemon.executors = {"ipmi": reader, "redfish": FakeExecutor(FakeWorld({}))}
    await declared(caller, "n1", "n2")
    told = await lines(caller, "/v1/bmc/info?nodeset=n[1-2],odd,none&timeout=7")

    by_node = {line["node"]: line for line in told[1:-1]}
    assert (told[0], told[-1]) == ({"asked": 4}, {"count": 4, "failed": 2})
    assert reader.asked == [(Topic.INFO, ["n1", "n2"], 7.0)]
    assert by_node["n2"]["data"]["product"] == "X"
    assert {key: by_node["n1"][key] for key in ("address", "protocol", "credential", "reach")} == {
        "address": "10.1.0.1",
        "protocol": "ipmi",
        "credential": "lab",
        "reach": "OK",
    }
    assert by_node["odd"]["message"] == "Kraken does not read this over redfish yet"
    assert "no attribute bmc.protocol" in by_node["none"]["message"]
    assert by_node["odd"]["data"] is None


async def test_whom_a_broken_reader_forgets_is_told_of_all_the_same(caller: Caller, daemon: Daemon) -> None:
    daemon.executors = {"ipmi": Reader(ZeroDivisionError())}
    await declared(caller, "n1", "mute")
    told = await lines(caller, "/v1/bmc/sel?nodeset=n1,mute")

    outcomes = {line["node"]: (line["outcome"], line["message"]) for line in told[1:-1]}
    assert outcomes["n1"] == ("OK", "")
    assert outcomes["mute"] == ("FAILED", "a fault in what reads from its BMC; the daemon's log has it")


async def test_what_cannot_be_asked_is_refused_before_any_bmc_is(caller: Caller, daemon: Daemon) -> None:
    reader = Reader()
    daemon.executors = {"ipmi": reader}
    await declared(caller, "n1")

    assert "not asked for 'sle'" in (await caller.problem("GET", "/v1/bmc/sle?nodeset=n1"))["detail"]
    for timeout in ("0", "-1", "nan", "inf", "4000"):
        problem = await caller.problem("GET", f"/v1/bmc/sel?nodeset=n1&timeout={timeout}")
        assert "is not between 0 and 3600" in problem["detail"]
    assert (await caller.problem("GET", "/v1/bmc/sel"))["status"] == 400
    assert (await caller.problem("GET", "/v1/bmc/sel?nodeset=n9"))["status"] == 404
    assert reader.asked == []


class Lights(FakeExecutor):
    """Switches lights; n2 has none."""

    def __init__(self) -> None:
        super().__init__(FakeWorld({}))
        self.runs: list[Run] = []

    async def run(self, run: Run, nodes: Mapping[str, NodeFacts], report: Report) -> None:
        self.runs.append(run)
        for node in run.nodes:
            outcome = Outcome.FAILED if node == "n2" else Outcome.OK
            report([NodeResult(run.id, node, outcome, message="it has no light" if node == "n2" else "")])


async def test_a_light_is_switched_also_on_held_nodes_and_journaled(caller: Caller, daemon: Daemon) -> None:
    lights = Lights()
    daemon.executors = {"ipmi": lights}
    await declared(caller, "n1", "n2")
    await caller.post("/v1/holds", {"nodeset": "n1", "reason": "memory"})
    answer = await caller.post("/v1/bmc/identify", {"nodeset": "n[1-2],none", "do": "on"})

    told = {row["node"]: (row["outcome"], row["message"]) for row in answer["nodes"]}
    assert told["n1"] == ("OK", "")
    assert told["n2"] == ("FAILED", "it has no light")
    assert told["none"] == ("FAILED", "the attribute bmc.protocol must say ipmi or redfish")
    assert [row["address"] for row in answer["nodes"]] == ["10.1.0.1", "10.1.0.2", ""]
    [run] = lights.runs
    assert run.operator.action is not None
    assert run.operator.action.spec == {"identify": "on"}
    history = await caller.get("/v1/history?nodeset=n1,none")
    assert [e["node"] for e in history["entries"] if e["text"] == "identify on by hand"] == ["n1"]


async def test_a_light_may_go_out_by_itself_where_its_bmc_has_a_clock_for_it(
    caller: Caller, daemon: Daemon
) -> None:
    lights, others = Lights(), Lights()
    daemon.executors = {"ipmi": lights, "redfish": others}
    await declared(caller, "n1")
    answer = await caller.post("/v1/bmc/identify", {"nodeset": "n1,odd", "do": "on", "seconds": 120})

    told = {row["node"]: (row["outcome"], row["message"]) for row in answer["nodes"]}
    assert told["n1"] == ("OK", "")
    assert told["odd"][0] == "FAILED"
    assert "switches its light off itself" in told["odd"][1]
    assert others.runs == []
    [run] = lights.runs
    assert run.operator.action is not None
    assert run.operator.action.spec == {"identify": "on", "seconds": 120}
    history = await caller.get("/v1/history?nodeset=n1")
    assert "identify on by hand for 120 s" in [entry["text"] for entry in history["entries"]]
    for body in ({"do": "on", "seconds": 256}, {"do": "on", "seconds": 0}, {"do": "off", "seconds": 9}):
        problem = await caller.problem("POST", "/v1/bmc/identify", {"nodeset": "n1", **body})
        assert "until it is switched off" in problem["hint"]
    assert len(lights.runs) == 1


async def test_no_light_is_switched_where_it_is_not_clear_which(caller: Caller, daemon: Daemon) -> None:
    lights = Lights()
    daemon.executors = {"ipmi": lights}
    await declared(caller, *(f"m{number}" for number in range(40)))

    many = await caller.problem("POST", "/v1/bmc/identify", {"nodeset": "m[0-39]", "do": "on"})
    assert many["type"] == "needs-confirmation"
    assert (
        "'blink'"
        in (await caller.problem("POST", "/v1/bmc/identify", {"nodeset": "m1", "do": "blink"}))["detail"]
    )
    assert (await caller.problem("POST", "/v1/bmc/identify", {"do": "on"}))["status"] == 400
    assert lights.runs == []
