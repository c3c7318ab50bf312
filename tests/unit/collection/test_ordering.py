"""The modules that have something done: node, hold, power, plan, collector."""

from __future__ import annotations

import json
import stat
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic

from ansible_collections.kraken.hpc.plugins.modules import power

UP = {"phys_state": "POWER_ON"}


@pytest.fixture(autouse=True)
def nodes(kraken: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kraken.add("n[1-3]", groups=["lab"], attributes={"rack": "r1"}, dsc={"phys_state": "POWER_OFF"})
    monkeypatch.setattr(power, "PAUSE_S", 0.0)


# -- node -------------------------------------------------------------------------------------


def test_nodes_are_made_once_each_with_its_own_attributes(kraken: Any, task: Any) -> None:
    wish = {
        "nodes": "n[8-9]",
        "attributes": {"bmc.protocol": "ipmi"},
        "groups": ["lab"],
        "collectors": ["rack7"],
        "per_node": {"n8": {"bmc.address": "10.1.0.8"}, "n9": {"bmc.address": "10.1.0.9"}},
    }
    first, second = task("node", **wish), task("node", **wish)

    assert (first["changed"], first["created_nodes"], first["changed_nodes"]) == (True, "n[8-9]", "n[8-9]")
    assert [change["nodeset"] for change in first["changes"]] == ["n8", "n9"]
    assert kraken.nodes["n9"]["attributes"] == {
        "bmc.protocol": "ipmi",
        "bmc.address": "10.1.0.9",
        "collectors": ["rack7"],
    }
    assert kraken.nodes["n8"]["groups"] == ["lab"]
    assert (second["changed"], second["changes"], second["created_nodes"]) == (False, [], "")


def test_attributes_and_collectors_are_withdrawn(kraken: Any, task: Any) -> None:
    kraken.nodes["n1"]["attributes"]["collectors"] = ["rack7"]
    result = task("node", nodes="n1", unset=["rack"], collectors=[])

    assert result["changes"][0]["attributes"] == {"rack": ["r1", None], "collectors": [["rack7"], None]}
    assert kraken.nodes["n1"]["attributes"] == {}


def test_check_and_diff_of_a_new_node_make_none(kraken: Any, task: Any) -> None:
    result = task("node", check=True, diff=True, nodes="n9", attributes={"arch": "x86_64"}, groups=["lab"])

    assert "n9" not in kraken.nodes
    assert [part["after"] for part in result["diff"]] == [
        {"declared": True},
        {"arch": "x86_64"},
        {"groups": ["lab"]},
    ]


def test_absent_forgets_those_that_are_declared_once(kraken: Any, task: Any) -> None:
    first = task("node", nodes="n[2-9],m1", state="absent", diff=True)
    second = task("node", nodes="n[2-9],m1", state="absent")

    assert (first["changed"], first["changed_nodes"]) == (True, "n[2-3]")
    assert first["diff"][0]["after"] == {}
    assert list(kraken.nodes) == ["n1"]
    assert (second["failed"], second["changed"], second["changed_nodes"]) == (False, False, "")


def test_absent_in_check_mode_forgets_nobody(kraken: Any, task: Any) -> None:
    assert task("node", check=True, nodes="n[1-9]", state="absent")["changed_nodes"] == "n[1-3]"
    assert len(kraken.nodes) == 3


@pytest.mark.parametrize("state", ["present", "absent"])
def test_many_nodes_want_to_be_confirmed(kraken: Any, task: Any, state: str) -> None:
    if state == "absent":
        kraken.add("m[1-40]")
    refused = task("node", nodes="m[1-40]", state=state)

    assert not refused["changed"]
    assert refused["problem"]["type"] == "needs-confirmation"
    assert refused["msg"].endswith("(confirm_many: true says that so many are meant)")
    assert task("node", nodes="m[1-40]", state=state, confirm_many=True)["changed_nodes"] == "m[1-40]"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({}, "one of the following is required: nodes, per_node"),
        ({"nodes": []}, "nodes selects nobody"),
        ({"nodes": "n1", "attributes": {"rack": None}}, "name it in unset"),
        ({"nodes": "n1", "attributes": {"rack": "a"}, "unset": ["rack"]}, "rack is both in"),
        ({"nodes": "n1", "attributes": {"collectors": "a"}, "collectors": ["b"]}, "give one"),
        ({"per_node": {"n1": "x"}}, "per_node.n1 must map attributes"),
        ({"per_node": {"n1": {}}, "groups": ["a"]}, "are of the nodes in nodes"),
        ({"nodes": "n1", "state": "absent", "groups": ["a"]}, "leave out groups"),
    ],
)
def test_a_wrong_declaration_is_refused_before_kraken_is_asked(
    kraken: Any, task: Any, args: dict[str, Any], says: str
) -> None:
    result = task("node", **args)

    assert result["failed"]
    assert says in result["msg"]
    assert kraken.asked == []


@pytest.mark.parametrize(
    ("args", "option"),
    [
        ({"nodes": "n1", "attributes": {"service": "x"}}, "attributes.service"),
        ({"per_node": {"n1": {"service": "x"}}}, "per_node.n1.service"),
        (
            {"nodes": "n1", "attributes": {"rack": "a"}, "per_node": {"n1": {"service": "x"}}},
            "per_node.n1.service",
        ),
    ],
)
def test_what_kraken_refuses_is_told_by_the_option_that_said_it(
    kraken: Any, task: Any, args: dict[str, Any], option: str
) -> None:
    result = task("node", **args)

    assert result["msg"] == f"{option}: a variable is no attribute"
    assert result["problem"]["key"] == "nodes.n1.attributes.service"


# -- hold -------------------------------------------------------------------------------------


def test_a_hold_is_set_once_and_lifted_once(kraken: Any, task: Any) -> None:
    wish = {"nodes": "n[1-2]", "reason": "new fan", "owner": "ada"}
    first, second = task("hold", **wish), task("hold", **wish)
    gone, gone_before = task("hold", state="absent", **wish), task("hold", state="absent", **wish)

    assert (first["changed"], first["changed_nodes"]) == (True, "n[1-2]")
    assert first["holds"] == [
        {"nodeset": "n[1-2]", "count": 2, "owner": "ada", "reason": "new fan", "until": None}
    ]
    assert (second["changed"], second["holds"]) == (False, first["holds"])
    assert (gone["changed"], gone["holds"]) == (True, [])
    assert (gone_before["changed"], gone_before["changed_nodes"]) == (False, "")
    assert kraken.nodes["n1"]["holds"] == []


def test_only_holds_that_are_named_are_lifted_and_never_the_freeze(kraken: Any, task: Any) -> None:
    frozen = {"id": "*f", "owner": "eve", "reason": "move", "created_at": 1.0, "until": None}
    kraken.nodes["n1"]["holds"] = [dict(frozen)]
    task("hold", nodes="n1", reason="new fan", owner="ada")
    task("hold", nodes="n1", reason="new disk", owner="bob")
    task("hold", nodes="n1", state="absent", owner="ada")
    left = task("hold", nodes="n1", state="absent", reason="no such")["holds"]

    assert [hold["reason"] for hold in left] == ["new disk"]
    assert not task("hold", nodes="n1", state="absent", owner="eve")["changed"]
    assert task("hold", nodes="n1", state="absent")["holds"] == []


def test_a_hold_that_ends_at_another_time_is_replaced(kraken: Any, task: Any) -> None:
    wish = {"nodes": "n1", "reason": "new fan"}
    task("hold", **wish)
    short = task("hold", duration="4h", **wish)
    until = task("hold", until="2099-01-02T08:00:00+01:00", **wish)
    again = task("hold", until="2099-01-02T08:00:00+01:00", **wish)

    assert not short["changed"], "one that stands is as long"
    assert until["changed"]
    end = datetime.fromisoformat("2099-01-02T08:00:00+01:00").timestamp()
    assert [hold["until"] for hold in until["holds"]] == pytest.approx([end], abs=30)
    assert not again["changed"]


def test_a_hold_that_is_not_in_force_yet_is_warned_of(
    kraken: Any, task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kraken.lacking = {"n1": "collector c1 is not reached from root; not in force before it hears of it"}
    warned: list[str] = []
    monkeypatch.setattr(basic.AnsibleModule, "warn", lambda module, text: warned.append(text))
    result = task("hold", nodes="n1", reason="new fan")

    assert (result["changed"], warned) == (True, [f"n1: {kraken.lacking['n1']}"])


def test_what_kraken_says_of_nodes_that_it_declares_is_a_warning(
    kraken: Any, task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kraken.does.words = dict.fromkeys(["n1", "n2"], "no collector rak7 is known here")
    warned: list[str] = []
    monkeypatch.setattr(basic.AnsibleModule, "warn", lambda module, text: warned.append(text))
    result = task("node", nodes="n[1-2]", collectors=["rak7"])

    assert (result["changed"], warned) == (True, ["n[1-2]: no collector rak7 is known here"])


def test_a_duration_is_told_in_seconds(kraken: Any, task: Any) -> None:
    task("hold", nodes="n1", reason="new fan", duration="1h30m")

    body = next(asked.body for asked in kraken.asked if asked.method == "POST")
    assert body["for_s"] == 5400.0


def test_check_mode_sets_no_hold_and_shows_it(kraken: Any, task: Any) -> None:
    result = task("hold", check=True, diff=True, nodes="n1", reason="new fan", owner="ada")

    assert result["changed"]
    assert result["diff"][0]["after"] == "n1: ada: new fan\n"
    assert kraken.nodes["n1"]["holds"] == []


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({"nodes": "n1"}, "state is present but all of the following are missing: reason"),
        ({"nodes": [], "reason": "x"}, "nodes selects nobody"),
        ({"nodes": "n1", "reason": " "}, "the reason is empty"),
        ({"nodes": "n1", "reason": "x", "duration": "soon"}, "duration soon is none"),
        ({"nodes": "n1", "reason": "x", "duration": "0"}, "is over already"),
        ({"nodes": "n1", "reason": "x", "until": "tomorrow"}, "until tomorrow is no time"),
        ({"nodes": "n1", "reason": "x", "duration": "nan"}, "duration nan is none; write 90m, 4h, 2d"),
        ({"nodes": "n1", "reason": "x", "duration": "inf"}, "inf is too far"),
        ({"nodes": "n1", "reason": "x", "until": "2199-01-02"}, "2199-01-02 is too far"),
        ({"nodes": "n1", "reason": "x", "until": "2001-01-01 00:00"}, "is over already"),
        ({"nodes": "n1", "state": "absent", "duration": "4h"}, "leave them out with state=absent"),
        ({"nodes": "n1", "reason": "x", "owner": "a b"}, "owner a b is no name"),
    ],
)
def test_a_wrong_hold_is_refused_before_kraken_is_asked(
    kraken: Any, task: Any, args: dict[str, Any], says: str
) -> None:
    result = task("hold", **args)

    assert says in result["msg"]
    assert kraken.asked == []


def test_over_tcp_the_token_says_who_holds(task: Any, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret-token-of-ada")
    token.chmod(0o600)
    result = task(
        "hold", nodes="n1", reason="x", owner="bob", url="https://head.example", token_file=str(token)
    )

    assert "over url the token says who holds the nodes" in result["msg"]


# -- power ------------------------------------------------------------------------------------


def test_an_order_is_followed_until_its_effect_is_seen_and_is_always_a_change(kraken: Any, task: Any) -> None:
    kraken.does.stages = ["SENT", "ACKNOWLEDGED", "OK"]
    first = task("power", nodes="n[1-2]", command="on")
    second = task("power", nodes="n[1-2]", command="on")

    assert (first["changed"], first["commanded"], first["failed_nodes"]) == (True, "n[1-2]", "")
    assert first["nodes"]["n2"] == {"power": "POWER_ON", "stage": "OK", "message": ""}
    assert second["changed"], "it was ordered again"


def test_what_is_under_way_already_is_not_ordered_again(kraken: Any, task: Any) -> None:
    kraken.does.stages = ["SENT"]
    task("power", nodes="n1", command="on", wait=False)
    checked = task("power", check=True, nodes="n[1-2]", command="on")
    both = task("power", nodes="n[1-2]", command="on", wait=False)
    again = task("power", nodes="n[1-2]", command="on", wait=False)

    assert (checked["commanded"], checked["repeated"]) == ("n2", "n1")
    assert (both["changed"], both["commanded"], both["repeated"]) == (True, "n2", "n1")
    assert (again["changed"], again["commanded"]) == (False, "")


def test_a_failure_names_the_nodes_and_why(kraken: Any, task: Any) -> None:
    kraken.does.stages = ["SENT", "UNREACHABLE"]
    result = task("power", nodes="n[1-3]", command="on")

    assert result["failed"]
    assert result["changed"]
    assert result["failed_nodes"] == "n[1-3]"
    assert result["msg"].endswith("was not seen on 3 of 3 nodes: n[1-3] UNREACHABLE: no answer")


def test_the_wait_ends_with_how_far_it_is(kraken: Any, task: Any) -> None:
    kraken.does.stages = ["SENT"]

    assert task("power", nodes="n1", command="on", wait_timeout=0)["msg"].endswith("n1 SENT")


def test_what_ends_work_wants_to_be_confirmed(kraken: Any, task: Any) -> None:
    kraken.become("n1", "CONVERGED", phys_state="POWER_ON")
    refused = task("power", nodes="n1", command="off")

    assert (refused["failed"], refused["changed"]) == (True, False)
    assert refused["msg"].endswith("(confirm: true says that it is meant)")
    assert task("power", nodes="n1", command="off", confirm=True)["nodes"]["n1"]["power"] == "POWER_OFF"


def test_what_kraken_would_undo_is_refused_with_the_ways_out(kraken: Any, fake_api: Any, task: Any) -> None:
    told = {"n1": "it would power_on, for phys_state=POWER_ON"}
    kraken.refusals["POST", "/v1/power"] = fake_api.Refusal("opposed", "Kraken would undo it", details=told)
    result = task("power", nodes="n1", command="off", confirm=True)

    assert "it would power_on" in result["msg"]
    assert "hold: REASON keeps Kraken from it" in result["msg"]
    assert not result["changed"]


def test_check_mode_judges_and_orders_nothing(kraken: Any, task: Any) -> None:
    kraken.become("n1", "CONVERGED", phys_state="POWER_ON")

    assert task("power", check=True, nodes="n1", command="off")["problem"]["type"] == "needs-confirmation"
    assert task("power", check=True, nodes="n1", command="off", confirm=True)["commanded"] == "n1"
    assert kraken.does.commands == {}


@pytest.mark.parametrize("check", [True, False])
def test_an_order_shows_what_was_seen_and_what_is_ordered(kraken: Any, task: Any, check: bool) -> None:
    kraken.become("n1", "CONVERGED", phys_state="POWER_ON")
    kraken.become("n2", "CONVERGED", phys_state="POWER_ON")
    kraken.become("n3", "CONVERGED", phys_state="POWER_OFF")
    off = task(
        "power", check=check, diff=True, nodes="n[1-3]", command="off", confirm=True, hold="fan", wait=False
    )

    ordered = {"power": "POWER_OFF", "command": "off", "hold": "fan"}
    assert [(part["after_header"], part["before"], part["after"]) for part in off["diff"]] == [
        ("Power of n[1-2]", {"power": "POWER_ON"}, ordered),
        ("Power of n3", {"power": "POWER_OFF"}, ordered),
    ]


def test_an_order_whose_answer_is_lost_may_have_been_given(kraken: Any, task: Any, tmp_path: Path) -> None:
    kraken.raw = [(200, "cut", b"")]
    lost = task("power", nodes="n1", command="on")
    never = task("power", nodes="n1", command="on", socket=str(tmp_path / "none"))

    assert (lost["failed"], lost["changed"]) == (True, True)
    assert "whether power on was ordered is not known" in lost["msg"]
    assert (never["failed"], never["changed"]) == (True, False)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({"nodes": [], "command": "on"}, "nodes selects nobody"),
        ({"nodes": "n1"}, "missing required arguments: command"),
        ({"nodes": "n1", "command": "on", "hold": " "}, "the reason in hold is empty"),
        ({"nodes": "n9", "command": "on"}, "unknown node n9; nothing was done (kraken.hpc.node declares"),
        ({"nodes": "n1", "command": "on", "wait_timeout": -1}, "wait_timeout is below zero"),
    ],
)
def test_a_wrong_order_is_refused(kraken: Any, task: Any, args: dict[str, Any], says: str) -> None:
    assert says in task("power", **args)["msg"]
    assert kraken.does.commands == {}


# -- plan -------------------------------------------------------------------------------------


def test_a_plan_is_asked_for_reviewed_and_applied_once(kraken: Any, task: Any) -> None:
    planned = task("plan", nodes="n[1-2]", cfg=UP)
    checked = task("plan", check=True, diff=True, state="applied", plan=planned["plan"])
    applied = task("plan", state="applied", plan=planned["plan"])
    again = task("plan", state="applied", plan=planned["plan"])

    assert (planned["changed"], planned["would_change"]) == (False, True)
    assert planned["lines"] == ["n1 (1): power_on (5 s)", "n2 (1): power_on (5 s)"]
    assert (planned["disruptive_nodes"], planned["unreachable_nodes"]) == ("", "")
    assert checked["changed"]
    assert checked["diff"][0]["after"] == UP
    assert (applied["changed"], applied["changed_nodes"]) == (True, "n[1-2]")
    assert applied["left"][0]["left"] == 1
    assert kraken.nodes["n1"]["cfg"] == UP
    assert not again["changed"]


def test_a_plan_tells_whose_work_it_ends_and_whom_no_path_leads_on(kraken: Any, task: Any) -> None:
    kraken.nodes["n2"]["cause"] = "STALE"
    kraken.unreachable["run_state", "SYNC"] = "nothing leads to SYNC"
    lost = task("plan", nodes="n1", cfg={"run_state": "SYNC"})

    assert task("plan", nodes="n[1-2]", cfg=UP)["disruptive_nodes"] == "n2"
    assert (lost["unreachable_nodes"], lost["would_change"]) == ("n1", False)
    assert lost["lines"] == ["n1 (1): no path: nothing leads to SYNC"]


def test_a_plan_warns_of_collectors_that_may_find_another(
    kraken: Any, task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []
    monkeypatch.setattr(basic.AnsibleModule, "warn", lambda self, text: warned.append(text))
    kraken.does.others = [{"message": "n1 is for collector c1 to run, which has other Kraken modules"}]
    task("plan", nodes="n1", cfg=UP)

    assert warned == [
        "n1 is for collector c1 to run, which has other Kraken modules: it may find another way than this "
        "plan, which cannot be applied to these nodes"
    ]


def test_a_plan_can_be_waited_for(kraken: Any, task: Any) -> None:
    plan = task("plan", nodes="n1", cfg=UP)["plan"]
    kraken.script = [lambda: kraken.converge("n1")]

    assert task("plan", state="applied", plan=plan, wait=True)["causes"] == {"CONVERGED": "n1"}


def test_a_plan_that_no_longer_holds_is_refused_with_the_differences(
    kraken: Any, fake_api: Any, task: Any
) -> None:
    plan = task("plan", nodes="n1", cfg=UP)["plan"]
    rows = [{"nodeset": "n1", "count": 1, "reason": "declared since", "planned": ["power_on"], "now": []}]
    refusal = fake_api.Refusal("plan-changed", "it is no longer so for n1", differences=rows)
    kraken.refusals["POST", "/v1/plan/apply"] = refusal
    result = task("plan", state="applied", plan=plan)

    assert result["problem"]["differences"] == rows
    assert "plan again" in result["msg"]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({}, "state is planned but all of the following are missing: nodes"),
        ({"state": "applied"}, "state is applied but all of the following are missing: plan"),
        ({"nodes": []}, "nodes selects nobody"),
        ({"nodes": "n1", "plan": {}}, "plan: not with state=planned"),
        ({"state": "applied", "plan": {"a": 1}, "nodes": "n1"}, "nodes: not with state=applied"),
        ({"nodes": "n1", "cfg": {"phys_state": True}}, "YAML read the value as True"),
        ({"nodes": "n1", "cfg": UP, "unset": ["phys_state"]}, "both in cfg and in unset"),
        ({"state": "applied", "plan": {"a": 1}}, "this is no plan"),
        ({"nodes": "n9"}, "unknown node n9"),
    ],
)
def test_a_wrong_plan_is_refused(task: Any, args: dict[str, Any], says: str) -> None:
    assert says in task("plan", **args)["msg"]


# -- collector --------------------------------------------------------------------------------


def test_a_collector_is_invited_once_with_the_token_in_a_file_of_its_own(
    kraken: Any, task: Any, tmp_path: Path
) -> None:
    dest = tmp_path / "rack7.token"
    checked = task("collector", check=True, name="rack7", dest=str(dest))
    first = task("collector", name="rack7", dest=str(dest))
    second = task("collector", name="rack7", dest=str(dest))

    assert (checked["changed"], checked["collector"]) == (True, None)
    assert first["changed"]
    assert dest.read_text() == "KRK1-secret1\n"
    assert stat.S_IMODE(dest.stat().st_mode) == 0o600
    assert "secret1" not in json.dumps(first)
    assert not second["changed"]
    assert second["collector"]["state"] == "INVITED"
    dest.unlink()
    assert task("collector", name="rack7", dest=str(dest))["changed"], "nobody has the former token"


def test_the_token_is_returned_to_a_task_that_is_not_logged_and_to_no_other(kraken: Any, task: Any) -> None:
    shown = task("collector", name="rack7")
    assert "the token is a secret" in shown["msg"]
    assert kraken.asked == []

    assert task("collector", no_log=True, name="rack7")["token"] == "KRK1-secret1"


def test_a_collector_that_has_joined_is_replaced_only_by_force(kraken: Any, task: Any) -> None:
    kraken.does.collectors["rack7"] = "AWAY"

    assert not task("collector", no_log=True, name="rack7")["changed"]
    assert task("collector", no_log=True, name="rack7", force=True)["replaces"]


def test_a_check_says_that_nobody_takes_collectors(kraken: Any, task: Any) -> None:
    kraken.does.listen = None
    kraken.does.collectors["rack8"] = "CONNECTED"
    checked = task("collector", check=True, no_log=True, name="rack7")

    assert checked["failed"]
    assert "does not listen for collectors; nothing was done (set tree.listen" in checked["msg"]
    assert not task("collector", check=True, no_log=True, name="rack8")["changed"], "it has joined already"


def test_a_check_says_that_a_revocation_is_not_confirmed(kraken: Any, task: Any) -> None:
    kraken.does.collectors |= {"rack7": "SILENT", "rack8": "INVITED"}
    checked = task("collector", check=True, name="rack7", state="absent")

    assert checked["failed"]
    assert "nothing was done (confirm: true says that it is meant)" in checked["msg"]
    assert task("collector", check=True, name="rack8", state="absent")["changed"]
    assert kraken.does.collectors == {"rack7": "SILENT", "rack8": "INVITED"}


def test_a_collector_is_revoked_once_and_only_when_that_is_meant(kraken: Any, task: Any) -> None:
    kraken.does.collectors["rack7"] = "CONNECTED"
    checked = task("collector", check=True, name="rack7", state="absent", confirm=True)
    refused = task("collector", name="rack7", state="absent")
    done = task("collector", name="rack7", state="absent", confirm=True)
    again = task("collector", name="rack7", state="absent", confirm=True)

    assert checked["changed"]
    assert (refused["failed"], refused["changed"]) == (True, False)
    assert refused["msg"].endswith("(confirm: true says that it is meant)")
    assert (done["changed"], done["elsewhere"], done["nowhere"]) == (True, "n1", "n[2-3]")
    assert done["endless"] == "n4"
    assert not again["changed"]
    assert not task("collector", name="nobody", state="absent")["changed"]


@pytest.mark.parametrize("state", ["REVOKED", None])
def test_one_that_is_revoked_is_said_to_be_stopped_later(kraken: Any, task: Any, state: str | None) -> None:
    if state is not None:
        kraken.does.collectors["rack7"] = state
    kraken.does.waiting.add("rack7")
    silent = task("collector", name="rack7", state="absent", confirm=True)
    checked = task("collector", check=True, name="rack7", state="absent", stopped=True, confirm=True)
    refused = task("collector", name="rack7", state="absent", stopped=True)
    assert (silent["changed"], checked["changed"]) == (False, False)
    assert (refused["failed"], refused["changed"]) == (True, False)
    assert kraken.does.waiting == {"rack7"}

    done = task("collector", name="rack7", state="absent", stopped=True, confirm=True)
    again = task("collector", name="rack7", state="absent", stopped=True, confirm=True)

    assert (done["changed"], again["changed"]) == (True, False)
    assert kraken.does.waiting == set()


def test_what_becomes_of_a_collector_is_shown_and_its_token_is_not(
    kraken: Any, task: Any, tmp_path: Path
) -> None:
    dest = str(tmp_path / "token")
    checked = task("collector", check=True, diff=True, name="rack7", dest=dest)
    invited = task("collector", diff=True, name="rack7", dest=dest)
    again = task("collector", diff=True, name="rack7", dest=dest)
    revoked = task("collector", diff=True, name="rack7", state="absent")

    assert checked["diff"] == invited["diff"]
    assert invited["diff"]["before"] == {}
    assert invited["diff"]["after"] == {"state": "INVITED", "token": "a new one"}
    assert "diff" not in again
    assert (revoked["diff"]["before"], revoked["diff"]["after"]) == (
        {"state": "INVITED"},
        {"state": "REVOKED"},
    )


def test_where_the_token_cannot_be_written_nobody_is_invited(kraken: Any, task: Any, tmp_path: Path) -> None:
    result = task("collector", name="rack7", dest=str(tmp_path / "none" / "token"))

    assert "cannot be written" in result["msg"]
    assert kraken.does.collectors == {}


def test_a_daemon_that_takes_no_collectors_says_so(kraken: Any, fake_api: Any, task: Any) -> None:
    kraken.refusals["POST", "/v1/collectors/invite"] = fake_api.Refusal(
        "refused", "it does not listen", hint="set tree.listen"
    )
    result = task("collector", no_log=True, name="rack7")

    assert (result["msg"], result["changed"]) == ("it does not listen (set tree.listen)", False)


# -- discovery --------------------------------------------------------------------------------


def test_what_was_seen_is_told_once(kraken: Any, task: Any) -> None:
    wish = {"nodes": "n[1-2]", "dsc": {"service": "RUNNING"}, "per_node": {"n2": {"phys_state": "POWER_ON"}}}
    first, second = task("discovery", diff=True, **wish), task("discovery", **wish)

    assert (first["changed"], first["changed_nodes"]) == (True, "n[1-2]")
    assert first["diff"][0]["after"] == {"service": "RUNNING"}
    assert kraken.nodes["n2"]["dsc"] == {"phys_state": "POWER_ON", "service": "RUNNING"}
    assert (second["changed"], second["changes"]) == (False, [])


def test_check_mode_tells_nothing(kraken: Any, task: Any) -> None:
    assert task("discovery", check=True, nodes="n1", dsc={"service": "RUNNING"}, age=2.5)["changed"]
    assert kraken.asked[-1].body["age_s"] == 2.5
    assert "service" not in kraken.nodes["n1"]["dsc"]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({}, "one of the following is required: dsc, per_node"),
        ({"nodes": "n1"}, "parameters are required together: nodes, dsc"),
        ({"dsc": {"service": "RUNNING"}}, "parameters are required together: nodes, dsc"),
        ({"nodes": [], "dsc": {"service": "RUNNING"}}, "nodes selects nobody"),
        ({"nodes": "n1", "dsc": {}}, "nothing was seen of n1"),
        ({"nodes": "n1", "dsc": {"service": True}}, "YAML read the value as True"),
        ({"per_node": {"n1": "x"}}, "per_node.n1 must map variables to values"),
        ({"nodes": "n9", "dsc": {"service": "RUNNING"}}, "unknown node n9"),
        ({"nodes": "n1", "dsc": {"service": "RUNNING"}, "age": float("nan")}, "infinite, or none (nan)"),
        ({"nodes": "n1", "dsc": {"service": "RUNNING"}, "age": -1}, "age: an observation cannot be -1 s old"),
        ({"nodes": "n1", "dsc": {"service": "BROKEN"}}, "dsc.service: no variable service with value BROKEN"),
        ({"per_node": {"n1": {"service": "BROKEN"}}}, "per_node.n1.service: no variable service"),
    ],
)
def test_what_cannot_have_been_seen_is_refused(
    kraken: Any, task: Any, args: dict[str, Any], says: str
) -> None:
    assert says in task("discovery", **args)["msg"]
    assert kraken.nodes["n1"]["dsc"] == {"phys_state": "POWER_OFF"}


def test_news_of_many_nodes_want_to_be_confirmed(kraken: Any, task: Any) -> None:
    kraken.add("m[1-40]")
    wish = {"nodes": "m[1-40]", "dsc": {"service": "RUNNING"}}

    assert task("discovery", **wish)["problem"]["type"] == "needs-confirmation"
