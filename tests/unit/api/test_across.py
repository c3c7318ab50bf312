"""Two daemons in a tree, asked at the root: what is said of nodes that the child runs is the child's word."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from litestar.enums import ScopeType

from kraken.api.relay import BODY_BYTES_MAX, passing_on
from kraken.daemon.condition import said
from kraken.daemon.othermodules import other_modules
from kraken.errors import ExecutorError, StoreError
from kraken.executors.fake import Behaviour
from kraken.model.module import Discovery, Mutation
from kraken.testing.pair import Pair
from tests.unit.api.conftest import BASE, Caller

OTHER = "is for collector c1 to run, which has other Kraken modules than this one"
POWERED = {"bmc.protocol": "ipmi", "bmc.address": "10.1.0.1", "collectors": ["c1"]}


@pytest.fixture
def root(callers: dict[str, Caller]) -> Caller:
    return callers["root"]


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(60.0):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_explain_tells_what_the_nodes_own_collector_says(pair: Pair, root: Caller) -> None:
    await pair.declare("n1", power="ON")
    await until(lambda: pair.cause("root", "n1") == "CONVERGED")
    told = (await root.get("/v1/explain", params={"nodeset": "n1"}))["nodes"][0]

    assert told["collector"] == "c1"
    assert told["reason"] == "power=ON"
    assert told["fact"] is None or told["fact"]["source"]


async def test_where_the_collector_does_not_answer_what_it_said_last_is_told(
    pair: Pair, root: Caller, callers: dict[str, Caller]
) -> None:
    await pair.declare("n1", power="ON")
    await until(lambda: pair.cause("root", "n1") == "CONVERGED")
    assert pair.child.seat is not None
    pair.child.seat.answers.clear()
    told = (await root.get("/v1/explain", params={"nodeset": "n1"}))["nodes"][0]

    assert told["collector"] == "c1"
    assert "as collector c1 says" in told["reason"]
    assert (await root.get("/v1/nodes/n1"))["collector"] == "c1"


async def test_what_was_seen_of_a_node_of_a_silent_collector_is_stale(
    pair: Pair, root: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pair.declare("n1", power="ON")
    await until(lambda: pair.cause("root", "n1") == "CONVERGED")
    heard = (await root.get("/v1/nodes", params={"view": "full"}))["nodes"][0]["records"]["dsc"]["power"]
    assert not heard["stale"]
    assert (await root.get("/v1/drift"))["rows"] == []

    silence = ("c1", pair.root.clock())
    assert pair.root.seat is not None
    monkeypatch.setattr(pair.root.seat.tree, "silence", lambda node: silence)
    told = (await root.get("/v1/nodes", params={"view": "full"}))["nodes"][0]
    (drift,) = (await root.get("/v1/drift"))["rows"]

    assert (told["cause"], told["records"]["dsc"]["power"]["stale"]) == ("STALE", True)
    assert drift["known"] == "unconfirmed"


async def test_a_node_is_told_whole_by_who_runs_it(pair: Pair, root: Caller) -> None:
    await pair.declare("n1", power="ON")
    await until(lambda: pair.cause("root", "n1") == "CONVERGED")
    node = await root.get("/v1/nodes/n1")

    assert (node["collector"], node["cause"], node["dsc"]) == ("c1", "CONVERGED", {"power": "ON"})
    assert node["records"]["dsc"]["power"]["source"].startswith("lab.")


async def test_nodes_are_looked_at_and_released_where_they_are_run(pair: Pair, root: Caller) -> None:
    await pair.declare("n1", power="ON")
    await root.apply({"nodes": {"n2": {"cfg": {"power": "OFF"}}}})
    await until(lambda: pair.cause("root", "n1") == "CONVERGED")
    before = len(pair.worlds["c1"].runs)
    looked = await root.post("/v1/discover", {"nodeset": "n[1-2]", "variable": "power"})
    released = await root.post("/v1/retry", {"nodeset": "n[1-2]"})

    assert {item["node"]: item["discoveries"] for item in looked["items"]} == {
        "n1": ["lab.look_power"],
        "n2": ["lab.look_power"],
    }
    assert [item["node"] for item in released["items"]] == ["n2", "n1"]
    await until(lambda: len(pair.worlds["c1"].runs) > before)


async def test_another_collector_is_asked_whole_requests(pair: Pair, root: Caller) -> None:
    await pair.declare("n1", power="ON")
    await until(lambda: pair.cause("root", "n1") == "CONVERGED")
    there = {"Kraken-At": "c1", "Kraken-User": "ann"}
    history = await root.get("/v1/history", params={"nodeset": "n1"}, headers=there)
    here = await root.get("/v1/history", params={"nodeset": "n1"})

    assert any("switch_on" in entry["text"] for entry in history["entries"])
    assert not any("switch_on" in entry["text"] for entry in here["entries"])
    assert (here["elsewhere"], history["elsewhere"]) == ({"c1": "n1"}, {})
    assert (await root.get("/v1/health", headers=there))["nodes"] == 1
    assert (await root.get("/v1/runs")) == {"runs": [], "elsewhere": ["c1"]}
    runs = await root.get("/v1/runs", headers=there)
    assert ([run["name"] for run in runs["runs"]], runs["elsewhere"]) == (["switch_on"], [])

    problem = await root.problem("GET", "/v1/history", headers={"Kraken-At": "c9"})
    assert (problem["status"], problem["detail"]) == (503, "collector c9 is not reached from root")
    problem = await root.problem("GET", "/v1/nodes/n9", headers=there)
    assert problem["type"] == "unknown-node"
    problem = await root.problem("GET", "/v1/events", headers=there)
    assert problem["status"] == 501
    assert "ask collector c1 itself" in problem["detail"]


async def test_what_a_collector_below_cannot_do_is_told_once_for_its_nodes(pair: Pair, root: Caller) -> None:
    behave = pair.worlds["c1"].behave

    def broken(node: str, operator: Mutation | Discovery) -> Behaviour:
        if isinstance(operator, Mutation):
            raise ExecutorError("there is no ansible-playbook", hint="install it")
        return behave(node, operator)

    pair.worlds["c1"].behave = broken
    await pair.declare("n1", power="ON")
    await pair.declare("n2", power="ON")
    await until(lambda: pair.cause("root", "n1") == pair.cause("root", "n2") == "BACKOFF")
    [fault] = (await root.get("/v1/health"))["faults"]

    assert (fault["collector"], fault["name"]) == ("c1", "lab.switch_on")
    assert fault["reason"] == "there is no ansible-playbook (install it)"
    there = (await root.get("/v1/health", headers={"Kraken-At": "c1"}))["faults"]
    assert [(one["collector"], one["name"]) for one in there] == [("", "lab.switch_on")]

    pair.worlds["c1"].behave = behave
    await until(lambda: pair.cause("root", "n1") == pair.cause("root", "n2") == "CONVERGED")
    assert (await root.get("/v1/health"))["faults"] == []
    said = pair.daemons["root"].collector.table["n1"].summary
    assert said["cannot"].value == ""


async def test_what_a_collector_below_cannot_look_at_is_told_once_until_it_is_silent(
    pair: Pair, root: Caller
) -> None:
    behave = pair.worlds["c1"].behave

    def shut(node: str, operator: Mutation | Discovery) -> Behaviour:
        if isinstance(operator, Discovery):
            raise ExecutorError("the vault is shut")
        return behave(node, operator)

    pair.worlds["c1"].behave = shut
    await pair.declare("n1", power="ON")
    await pair.declare("n2", power="ON")

    def told(node: str) -> object:
        said = pair.daemons["root"].collector.table[node].summary.get("cannot")
        return said and said.value

    await until(lambda: told("n1") == told("n2") == "lab.look_power")
    [fault] = (await root.get("/v1/health"))["faults"]

    assert pair.cause("root", "n1") == "UNKNOWN"
    assert (fault["collector"], fault["name"]) == ("c1", "lab.look_power")
    assert fault["reason"] == "the vault is shut"
    [why] = (await root.get("/v1/explain", params={"nodeset": "n1"}))["nodes"]
    assert "its collector cannot do lab.look_power: the vault is shut" in why["reason"]

    pair.worlds["c1"].behave = behave
    await until(lambda: pair.cause("root", "n1") == pair.cause("root", "n2") == "CONVERGED")
    assert (await root.get("/v1/health"))["faults"] == []
    assert told("n1") == told("n2") == ""


async def fill(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk of c1 takes nothing from now on."""

    async def write(changes: object) -> None:
        raise StoreError("no space is left")

    monkeypatch.setattr(pair.child.journal, "write", write)
    for _ in ("under way", "gathered meanwhile"):  # what ends well would say that all is well
        await pair.child.journal.read(lambda store: None)
    monkeypatch.setattr(pair.child.journal, "is_failing", True)
    pair.child.accept()


async def test_of_what_a_collector_below_is_not_well_is_told_until_it_is_well(
    pair: Pair, root: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told() -> Any:
        return said(pair.root.collector, "c1")

    assert (await root.get("/v1/health"))["status"] == "ok"
    await fill(pair, monkeypatch)
    await until(told)
    health = await root.get("/v1/health")
    [row] = (await root.get("/v1/collectors"))["collectors"]

    assert health["status"] == "degraded"
    assert health["reasons"] == ["collector c1: its state cannot be written"]
    [one] = health["collectors"]["degraded"]
    assert (one["name"], one["reason"]) == ("c1", "its state cannot be written")
    assert (row["health"], row["health_since"]) == ("its state cannot be written", one["since"])
    there = await root.get("/v1/health", headers={"Kraken-At": "c1"})
    assert (there["status"], there["reasons"]) == ("degraded", ["its state cannot be written"])

    monkeypatch.undo()
    pair.child.accept()
    await until(lambda: not told())
    health = await root.get("/v1/health")
    assert (health["status"], health["reasons"], health["collectors"]["degraded"]) == ("ok", [], [])
    [row] = (await root.get("/v1/collectors"))["collectors"]
    assert (row["health"], row["health_since"]) == ("", None)


async def test_what_a_silent_collector_said_of_itself_is_not_told_as_if_it_were_so(
    pair: Pair, root: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    neighbours = pair.root.neighbours
    assert neighbours is not None
    await fill(pair, monkeypatch)
    await until(lambda: said(pair.root.collector, "c1"))
    await pair.stop("c1")
    await until(lambda: not neighbours.is_connected("c1"))
    health = await root.get("/v1/health")

    assert said(pair.root.collector, "c1"), "it was the last word"
    assert (health["status"], health["collectors"]["away"]) == ("ok", ["c1"])


async def test_bmcs_are_read_by_the_collector_of_their_nodes(pair: Pair, root: Caller) -> None:
    await pair.declare("n1", power="ON")
    await root.apply({"nodes": {"n2": {}}})
    await until(lambda: pair.cause("root", "n1") == "CONVERGED")
    answer = await root.ask("GET", "/v1/bmc/sensors", params={"nodeset": "n[1-2]"})
    lines = [json.loads(line) for line in answer.text.splitlines() if line]

    assert lines[0] == {"asked": 2}
    assert {line["node"] for line in lines[1:-1]} == {"n1", "n2"}
    assert all("bmc.protocol" in line["message"] for line in lines[1:-1])
    assert lines[-1] == {"count": 2, "failed": 2}

    assert pair.child.seat is not None
    pair.child.seat.answers.clear()
    answer = await root.ask("GET", "/v1/bmc/sensors", params={"nodeset": "n1"})
    line = json.loads(answer.text.splitlines()[1])
    assert (line["node"], line["outcome"]) == ("n1", "UNREACHABLE")
    assert "c1" in line["message"]


async def test_lights_are_switched_by_the_collector_of_their_nodes(pair: Pair, root: Caller) -> None:
    await pair.declare("n1", power="ON")
    await until(lambda: pair.cause("root", "n1") == "CONVERGED")
    lit = await root.post("/v1/bmc/identify", {"nodeset": "n1", "do": "on"})

    assert [(row["node"], row["outcome"]) for row in lit["nodes"]] == [("n1", "FAILED")]
    assert "bmc.protocol" in lit["nodes"][0]["message"]


async def test_a_daemon_without_a_tree_knows_no_other_collector(caller: Caller) -> None:
    problem = await caller.problem("GET", "/v1/health", headers={"Kraken-At": "c1"})

    assert problem["status"] == 404
    assert "is in no tree" in problem["detail"]


@pytest.fixture
async def skewed(pair: Pair, root: Caller, tmp_path: Path) -> None:
    """c1 runs n1, and has lost the way to switch it on that the root has; n2 is the root's."""
    await pair.declare("n1", power="OFF")
    await root.apply({"nodes": {"n2": {"cfg": {"power": "OFF"}}}})
    await until(lambda: pair.cause("root", "n1") == "CONVERGED")
    file = tmp_path / "c1" / "modules" / "lab.yml"
    text = file.read_text()
    file.write_text(text[: text.index("  switch_on:")] + text[text.index("  switch_off:") :])
    await pair.child.reload()
    await until(lambda: other_modules(pair.root.collector, ["n1"]))


@pytest.mark.usefixtures("skewed")
class TestOtherModules:
    async def test_a_plan_names_the_nodes_whose_collector_may_find_another(self, root: Caller) -> None:
        body = {"nodeset": "n[1-2]", "set": {"power": "ON"}, "unset": []}
        (told,) = (await root.post("/v1/plan", body))["other_modules"]
        theirs = await root.post("/v1/plan", {**body, "nodeset": "n1"}, headers={"Kraken-At": "c1"})

        assert (told["collector"], told["nodeset"], told["count"]) == ("c1", "n1", 1)
        assert told["since"] is not None
        assert (
            told["message"] == "n1 is for collector c1 to run, which has other Kraken modules than this one"
        )
        assert "no_path" in theirs["groups"][0]
        assert theirs["other_modules"] == []

    async def test_no_node_of_such_a_collector_is_held_to_a_plan(self, pair: Pair, root: Caller) -> None:
        plan = await root.post("/v1/plan", {"nodeset": "n[1-2]", "set": {"power": "ON"}, "unset": []})
        problem = await root.problem("POST", "/v1/plan/apply", {"plan": plan, "yes": True})

        assert problem["type"] == "plan-changed"
        assert [(row["nodeset"], row["reason"], row.get("now")) for row in problem["differences"]] == [
            ("n1", OTHER, None)
        ]
        assert pair.root.collector.table["n2"].cfg_values() == {"power": "OFF"}

        alone = await root.post("/v1/plan", {"nodeset": "n2", "set": {"power": "ON"}, "unset": []})
        assert (await root.post("/v1/plan/apply", {"plan": alone, "yes": True}))["changed"] == 1

    async def test_it_is_shown_with_the_collectors_and_in_the_counts(self, root: Caller) -> None:
        (row,) = (await root.get("/v1/collectors"))["collectors"]

        assert row["modules"] == "OTHER"
        assert row["modules_since"] is not None
        assert (await root.get("/v1/health"))["collectors"]["other_modules"] == ["c1"]

    async def test_explain_says_so_where_modules_lack_something(self, pair: Pair, root: Caller) -> None:
        before = await root.get("/v1/explain", params={"nodeset": "n1"})
        await pair.declare("n1", power="ON")
        await until(lambda: pair.cause("root", "n1") == "NO_PATH")
        after = await root.get("/v1/explain", params={"nodeset": "n1"})

        assert (before["nodes"][0]["cause"], before["other_modules"]) == ("CONVERGED", [])
        assert [(row["collector"], row["nodeset"]) for row in after["other_modules"]] == [("c1", "n1")]

    async def test_a_path_that_was_found_here_is_told_with_that(self, pair: Pair, root: Caller) -> None:
        (first, second) = (await root.get("/v1/nodes", params={"view": "full"}))["nodes"]
        own = await root.get("/v1/nodes/n1")

        assert (first["other_modules"], second["other_modules"]) == (f"n1 {OTHER}", "")
        assert own["other_modules"] == ""

    @pytest.mark.parametrize("kind", ["mutation", "causal"])
    async def test_a_picture_of_a_node_is_drawn_with_that(self, root: Caller, kind: str) -> None:
        async def drawn(form: str, node: str) -> bytes:
            asked = {"kind": kind, "format": form, "node": node}
            return (await root.ask("GET", "/v1/graph", params=asked)).content

        for form in ("dot", "mermaid", "json"):
            assert f"n1 {OTHER}".encode() in await drawn(form, "n1")
            assert OTHER.encode() not in await drawn(form, "n2")

    async def test_a_refusal_by_the_roots_modules_says_that_others_decide(self, root: Caller) -> None:
        body = {"nodeset": "n1", "set": {"service": "RUNNING"}, "unset": []}
        problem = await root.problem("PATCH", "/v1/cfg", body)

        assert problem["type"] == "unreachable"
        assert problem["hint"].startswith("n1 is for collector c1 to run, which has other Kraken modules")
        assert "--allow-unreachable" in problem["hint"]


async def test_a_collector_that_has_not_said_which_modules_it_has_may_have_others(
    pair: Pair, root: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon of an older version, for one."""
    monkeypatch.setattr(pair.child.collector, "_say_modules", lambda now: None)
    await pair.declare("n1", power="ON")
    await until(lambda: pair.cause("root", "n1") == "CONVERGED")
    (told,) = (await root.post("/v1/plan", {"nodeset": "n1", "set": {}, "unset": []}))["other_modules"]
    (row,) = (await root.get("/v1/collectors"))["collectors"]

    assert told["since"] is None
    assert told["message"] == "n1 is for collector c1 to run, which has not said which Kraken modules it has"
    assert (row["modules"], row["modules_since"]) == ("", None)
    assert (await root.get("/v1/explain", params={"nodeset": "n1"}))["other_modules"] == []


@pytest.fixture
def power(tmp_path: Path) -> None:
    """Both have the base module for power over IPMI."""
    for name in ("root", "c1"):
        (tmp_path / name / "modules").mkdir(parents=True)
        shutil.copy(BASE / "power_ipmi.yml", tmp_path / name / "modules")


@pytest.mark.usefixtures("power")
class TestPower:
    async def declare(self, pair: Pair, root: Caller, **cfg: str) -> None:
        for world in pair.worlds.values():
            world.truth["n1"] = {"phys_state": "POWER_ON"}
        await root.apply({"nodes": {"n1": {"attributes": POWERED, "cfg": cfg}}}, user="bob")
        await until(lambda: "phys_state" in pair.root.collector.table["n1"].dsc)

    async def row(self, root: Caller, stage: str) -> dict[str, Any]:
        while True:
            found: dict[str, Any] = (await root.get("/v1/power?nodeset=n1"))["nodes"][0]
            if (found["command"] or {}).get("stage") == stage:
                return found
            await asyncio.sleep(0.01)

    async def test_power_is_commanded_and_followed_over_the_tree(self, pair: Pair, root: Caller) -> None:
        await self.declare(pair, root)
        body = {"nodeset": "n1", "do": "off", "yes": True}
        ordered = await root.post("/v1/power", body, headers={"Kraken-User": "alice"})
        row = await self.row(root, "OK")

        assert row["command"]["id"] == ordered["id"]
        assert row["command"]["by"] == "alice@root"
        assert pair.mutations("c1") == ["power_off"]
        assert pair.mutations("root") == []

    async def test_what_opposes_what_is_declared_is_refused_by_the_collector(
        self, pair: Pair, root: Caller
    ) -> None:
        await self.declare(pair, root, phys_state="POWER_ON")
        problem = await root.problem("POST", "/v1/power", {"nodeset": "n1", "do": "off", "yes": True})

        assert problem["type"] == "opposed"
        assert list(problem["details"]) == ["n1"]
        assert "phys_state=POWER_ON is declared" in problem["detail"]
        assert "nothing was done" in problem["detail"]
        assert pair.mutations("c1") == []

    async def test_whether_it_would_be_done_is_asked_where_the_nodes_are_run(
        self, pair: Pair, root: Caller
    ) -> None:
        await self.declare(pair, root)
        would = await root.post("/v1/power", {"nodeset": "n1", "do": "off", "yes": True, "dry_run": True})
        wants = await root.problem("POST", "/v1/power", {"nodeset": "n1", "do": "off", "dry_run": True})

        assert (would["nodeset"], would["id"]) == ("n1", "")
        assert wants["type"] == "needs-confirmation"
        assert pair.mutations("c1") == []

    async def test_who_is_asked_for_a_yes_is_told_of_the_nodes_of_every_collector(
        self, pair: Pair, root: Caller
    ) -> None:
        await self.declare(pair, root)
        attributes = {"bmc.protocol": "ipmi", "bmc.address": "10.1.0.2"}
        await root.apply({"nodes": {"n2": {"attributes": attributes}}})
        problem = await root.problem("POST", "/v1/power", {"nodeset": "n[1-2]", "do": "off"})

        assert (problem["type"], problem["nodes"], problem["part"]) == ("needs-confirmation", 2, "n[1-2]")
        assert "it ends whatever runs on n1" in problem["detail"]
        assert "n2" in problem["detail"]
        assert problem["detail"].count("nothing was done") == 1
        assert pair.mutations("c1") == pair.mutations("root") == []

    async def test_many_nodes_want_a_yes_however_few_of_them_each_collector_runs(
        self, pair: Pair, root: Caller
    ) -> None:
        await self.declare(pair, root)
        for name in (f"n{number}" for number in range(2, 34)):
            pair.worlds["root"].truth[name] = {"phys_state": "POWER_ON"}
        attributes = {"bmc.protocol": "ipmi"}
        nodes = {f"n{i}": {"attributes": {**attributes, "bmc.address": f"10.1.0.{i}"}} for i in range(2, 34)}
        await root.apply({"nodes": nodes})
        problem = await root.problem("POST", "/v1/power", {"nodeset": "n[1-33]", "do": "on"})

        assert (problem["type"], problem["nodes"]) == ("needs-confirmation", 33)
        assert "more than 32 nodes want a yes" in problem["detail"]
        assert pair.mutations("c1") == pair.mutations("root") == []

    async def test_with_a_hold_it_is_done_when_the_hold_is_there(self, pair: Pair, root: Caller) -> None:
        await self.declare(pair, root, phys_state="POWER_ON")
        await root.post("/v1/power", {"nodeset": "n1", "do": "off", "yes": True, "hold": "new fan"})
        await self.row(root, "OK")

        assert [hold.reason for hold in pair.child.collector.holds.of("n1")] == ["new fan"]
        assert pair.worlds["c1"].truth["n1"]["phys_state"] == "POWER_OFF"
        assert pair.cause("c1", "n1") == "HELD"

    async def test_it_is_refused_whole_where_a_collector_is_not_reached(
        self, pair: Pair, root: Caller
    ) -> None:
        await self.declare(pair, root)
        attributes = {"bmc.protocol": "ipmi", "bmc.address": "10.1.0.2"}
        await root.apply({"nodes": {"n2": {"attributes": attributes}}})
        assert pair.child.seat is not None
        pair.child.seat.answers.clear()
        problem = await root.problem("POST", "/v1/power", {"nodeset": "n[1-2]", "do": "on", "yes": True})

        assert "c1" in problem["detail"]
        assert problem["detail"].endswith("nothing was done")
        assert pair.mutations("root") == pair.mutations("c1") == []


async def test_a_node_that_nobody_runs_is_not_switched_or_looked_at_and_the_reason_is_told(
    pair: Pair, root: Caller
) -> None:
    attributes = {"bmc.protocol": "ipmi", "bmc.address": "10.1.0.2", "collectors": ["c9"]}
    await root.apply({"nodes": {"n2": {"attributes": attributes}}})
    why = "no collector that is heard runs it: its collector c9 has not joined"
    problem = await root.problem(
        "POST", "/v1/power", {"nodeset": "n2", "do": "off", "yes": True, "hold": "new fan"}
    )
    looked = await root.post("/v1/discover", {"nodeset": "n2"})

    assert problem["detail"] == f"power off is not possible: n2: {why}; nothing was done"
    assert pair.root.collector.holds.of("n2") == []
    assert [(item["node"], item["changed"], item["message"]) for item in looked["items"]] == [
        ("n2", False, why)
    ]


async def test_the_bmc_of_a_node_that_nobody_runs_is_left_alone_and_the_reason_is_told(
    pair: Pair, root: Caller
) -> None:
    attributes = {"bmc.protocol": "ipmi", "bmc.address": "10.1.0.2", "collectors": ["c9"]}
    await root.apply({"nodes": {"n2": {"attributes": attributes}}})
    why = "no collector that is heard runs it: its collector c9 has not joined"
    lit = await root.post("/v1/bmc/identify", {"nodeset": "n2", "do": "on"})
    answer = await root.ask("GET", "/v1/bmc/info", params={"nodeset": "n2"})
    _, line, last = (json.loads(line) for line in answer.text.splitlines() if line)

    assert [(row["outcome"], row["message"]) for row in lit["nodes"]] == [("FAILED", why)]
    assert (line["node"], line["outcome"], line["message"]) == ("n2", "UNREACHABLE", why)
    assert last == {"count": 1, "failed": 1}
    history = await root.get("/v1/history?nodeset=n2")
    assert [entry["text"] for entry in history["entries"] if "identify" in entry["text"]] == []


async def test_a_request_that_is_too_long_for_the_tree_is_refused_and_not_read_to_its_end(pair: Pair) -> None:
    part = bytes(1024 * 1024)
    taken, said = 0, []

    async def never_asked(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("it is for another collector")

    async def receive() -> Any:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": part, "more_body": taken < 64}

    async def send(message: Any) -> None:
        said.append(message)

    headers = [(b"kraken-at", b"c1")]
    scope: Any = {
        "type": ScopeType.HTTP,
        "method": "POST",
        "path": "/v1/apply",
        "query_string": b"",
        "headers": headers,
    }
    await passing_on(never_asked, pair.root)(scope, receive, send)
    problem = json.loads(said[1]["body"])

    assert taken == BODY_BYTES_MAX // len(part) + 1
    assert said[0]["status"] == problem["status"] == 413
    assert problem["detail"] == "a request of more than 4,128,768 bytes does not cross the tree"
    assert problem["hint"] == "do it in several, each of fewer nodes, or ask collector c1 itself"


async def test_nodes_are_chosen_by_the_collector_that_runs_them(pair: Pair, root: Caller) -> None:
    await pair.declare("n1", power="ON")
    await root.apply({"nodes": {"n2": {"attributes": {"collectors": ["root"]}}}})
    await until(lambda: pair.root.collector.runner("n1") == "c1")

    async def names(query: str) -> Any:
        return (await root.get(f"/v1/nodes?view=names&{query}"))["nodes"]

    assert await names("collector=c1") == ["n1"]
    assert await names("collector=root") == ["n2"]
    assert await names("collector=c1&nodeset=n2") == []


async def test_a_collector_that_nobody_knows_is_an_error(root: Caller) -> None:
    problem = await root.problem("GET", "/v1/nodes?collector=c2")

    assert (problem["type"], problem["part"]) == ("not-found", "c2")
    assert "c1" in problem["hint"]
