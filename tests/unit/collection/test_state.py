"""kraken.hpc.state declares Cfg, says what changed, and waits truthfully."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic

from ansible_collections.kraken.hpc.plugins.module_utils import convergence
from ansible_collections.kraken.hpc.plugins.modules import state

CFG = {"phys_state": "POWER_ON", "run_state": "SYNC"}


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    real = convergence.wait

    def by_this_clock(client: Any, wish: Any, timeout_s: float, *part: Any) -> Any:
        return real(client, wish, timeout_s, *part, clock.monotonic, clock.sleep)

    monkeypatch.setattr(convergence, "wait", by_this_clock)
    return clock


@pytest.fixture
def run(
    kraken: Any,
    socket: str,
    clock: Clock,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., dict[str, Any]]:
    """Run the module as Ansible does: arguments in, result out; `failed` is always there."""

    def run_module(check: bool = False, diff: bool = False, **args: Any) -> dict[str, Any]:
        args = {"socket": socket, **args, "_ansible_check_mode": check, "_ansible_diff": diff}
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": args}).encode())
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)  # since 2.19
        with pytest.raises(SystemExit):
            state.main()
        return {"failed": False, **json.loads(capsys.readouterr().out)}

    return run_module


def test_a_declaration_changes_the_cfg_once(kraken: Any, run: Any) -> None:
    kraken.add("n[1-3]", cfg={"phys_state": "POWER_OFF"})
    first = run(nodes="n[1-3]", cfg=CFG)
    second = run(nodes="n[1-3]", cfg=CFG)

    assert first["changed"]
    assert first["changed_nodes"] == "n[1-3]"
    assert first["changes"] == [
        {
            "nodeset": "n[1-3]",
            "count": 3,
            "cfg": {"phys_state": ["POWER_OFF", "POWER_ON"], "run_state": [None, "SYNC"]},
        }
    ]
    assert not second["changed"]
    assert (second["changed_nodes"], second["changes"]) == ("", [])
    assert kraken.nodes["n2"]["cfg"] == CFG


def test_nodes_that_change_differently_are_told_apart(kraken: Any, run: Any) -> None:
    kraken.add("n[1-2]", cfg=CFG)
    kraken.add("n[3-4]", cfg={"run_state": "SYNC"})
    kraken.add("n5")
    result = run(nodes=["n[1-3]", "n[4-5]"], cfg=CFG)

    assert result["changed_nodes"] == "n[3-5]"
    assert {change["nodeset"]: change["cfg"] for change in result["changes"]} == {
        "n[3-4]": {"phys_state": [None, "POWER_ON"]},
        "n5": {"phys_state": [None, "POWER_ON"], "run_state": [None, "SYNC"]},
    }


def test_unset_withdraws_variables(kraken: Any, run: Any) -> None:
    kraken.add("n1", cfg=CFG)
    result = run(nodes="n1", unset=["run_state", "service"])

    assert result["changed"]
    assert kraken.nodes["n1"]["cfg"] == {"phys_state": "POWER_ON"}


def test_check_mode_says_the_same_and_changes_nothing(kraken: Any, run: Any) -> None:
    kraken.add("n[1-3]")
    checked = run(check=True, nodes="n[1-3]", cfg=CFG, wait=True)

    assert kraken.nodes["n1"]["cfg"] == {}
    assert kraken.asked[-1].method == "PATCH", "nothing is waited for"
    done = run(nodes="n[1-3]", cfg=CFG)
    assert {k: checked[k] for k in ("changed", "changes", "changed_nodes")} == {
        k: done[k] for k in ("changed", "changes", "changed_nodes")
    }


def test_diff_shows_the_cfg_before_and_after_for_each_fold(kraken: Any, run: Any) -> None:
    kraken.add("n[1-3]", cfg={"phys_state": "POWER_OFF", "service": "RUNNING"})
    result = run(check=True, diff=True, nodes="n[1-3]", cfg=CFG, unset=["service"])

    assert result["diff"] == [
        {
            "before_header": "Cfg of n[1-3]",
            "after_header": "Cfg of n[1-3]",
            "before": {"phys_state": "POWER_OFF", "service": "RUNNING"},
            "after": {"phys_state": "POWER_ON", "run_state": "SYNC"},
        }
    ]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({"nodes": [], "cfg": CFG}, "nodes selects nobody; nothing was done"),
        ({"nodes": " , ", "cfg": CFG}, "nodes selects nobody; nothing was done"),
        ({"nodes": "n1"}, "any of the following are missing: cfg, unset"),
        ({"nodes": "n1", "cfg": {}}, "there is nothing to declare"),
        (
            {"nodes": "n1", "cfg": {"phys_state": True}},
            "cfg.phys_state: YAML read the value as True; quote it",
        ),
        ({"nodes": "n1", "cfg": {"image": 1.1}}, "cfg.image: YAML read the value as 1.1; quote it"),
        ({"nodes": "n1", "cfg": {"phys_state": None}}, "name it in unset"),
        ({"nodes": "n1", "cfg": {"phys_state": ["A"]}}, "cfg.phys_state must be one value, not a list"),
        ({"nodes": "n1", "cfg": CFG, "unset": ["run_state"]}, "run_state is both in cfg and in unset"),
        ({"nodes": "n1", "cfg": CFG, "url": "https://head"}, "parameters are mutually exclusive: socket|url"),
    ],
)
def test_wrong_parameters_are_refused_before_kraken_is_asked(
    kraken: Any, run: Any, args: dict[str, Any], says: str
) -> None:
    kraken.add("n1")
    result = run(**args)

    assert result["failed"]
    assert says in result["msg"]
    assert kraken.asked == []


@pytest.mark.parametrize(
    ("args", "kind", "says"),
    [
        ({"nodes": "n[1-2],n9"}, "unknown-node", "unknown node n9; nothing was done"),
        ({"nodes": "n[1-"}, "nodeset", "cannot read nodeset"),
        ({"nodes": "n1", "cfg": {"colour": "RED"}}, "document", "cfg.colour: no variable colour"),
        ({"nodes": "n1", "cfg": {"run_state": "INIT"}}, "unreachable", "[n1: nothing leads to INIT]"),
        ({"nodes": "n[1-40]"}, "needs-confirmation", "40 nodes would change; nothing was done"),
    ],
)
def test_what_kraken_refuses_fails_with_its_reason_and_nothing_done(
    kraken: Any, run: Any, args: dict[str, Any], kind: str, says: str
) -> None:
    kraken.add("n[1-8]")
    kraken.add("n[10-41]")
    if kind == "needs-confirmation":
        args["nodes"] = "n[1-8,10-41]"
    kraken.unreachable["run_state", "INIT"] = "nothing leads to INIT"
    result = run(**{"cfg": CFG, **args})

    assert result["failed"]
    assert not result["changed"]
    assert says in result["msg"]
    assert result["problem"]["type"] == kind
    assert all(node["cfg"] == {} for node in kraken.nodes.values())


def test_a_refusal_names_the_option_of_this_module_that_lifts_it(kraken: Any, run: Any) -> None:
    kraken.add("n[1-40]")
    kraken.unreachable["run_state", "INIT"] = "nothing leads to INIT"

    assert run(nodes="n[1-40]", cfg=CFG)["msg"].endswith("(confirm_many: true says that so many are meant)")
    unreachable = run(nodes="n1", cfg={"run_state": "INIT"})["msg"]
    assert unreachable.endswith("(allow_unreachable: true declares it all the same)")


def test_many_nodes_change_when_that_is_said_to_be_meant(kraken: Any, run: Any) -> None:
    kraken.add("n[1-40]")

    assert run(nodes="n[1-40]", cfg=CFG, confirm_many=True)["changed_nodes"] == "n[1-40]"


def test_the_unreachable_is_declared_when_that_is_allowed(kraken: Any, run: Any) -> None:
    kraken.add("n1")
    kraken.unreachable["run_state", "INIT"] = "nothing leads to INIT"

    assert run(nodes="n1", cfg={"run_state": "INIT"}, allow_unreachable=True)["changed"]


def test_a_kraken_that_is_away_fails_the_task_with_where_and_why(run: Any, tmp_path: Path) -> None:
    result = run(nodes="n1", cfg=CFG, socket=str(tmp_path / "none.sock"))

    assert result["failed"]
    assert "cannot reach Kraken at" in result["msg"]


def test_waiting_ends_when_every_node_is_there(kraken: Any, run: Any, clock: Clock) -> None:
    kraken.add("n[1-3]")
    kraken.script = [lambda: kraken.converge("n[1-2]"), lambda: None, lambda: kraken.converge("n3")]
    result = run(nodes="n[1-3]", cfg=CFG, wait=True)

    assert not result["failed"]
    assert result["changed"]
    assert result["causes"] == {"CONVERGED": "n[1-3]"}
    assert result["remaining"] == []
    assert result["waited_s"] == pytest.approx(sum(clock.slept), abs=0.1)
    looked = [asked.query["nodeset"] for asked in kraken.asked if asked.method == "GET"]
    assert looked == ["n[1-3]", "n[1-3]", "n3", "n3", "n[1-3]"], (
        "those there are not asked for again until the end"
    )


def test_nodes_that_are_there_already_are_not_waited_for(kraken: Any, run: Any, clock: Clock) -> None:
    kraken.add("n1", cfg=CFG, dsc=CFG)
    result = run(nodes="n1", cfg=CFG, wait=True)

    assert (result["changed"], result["failed"], clock.slept) == (False, False, [])


def test_a_verdict_from_before_the_declaration_does_not_end_the_wait(kraken: Any, run: Any) -> None:
    kraken.add("n1", dsc={"phys_state": "POWER_OFF"})
    kraken.script = [lambda: kraken.converge("n1")]
    set_cfg = kraken._set
    kraken._set = lambda *args: (set_cfg(*args), kraken.become("n1", "CONVERGED"))
    result = run(nodes="n1", cfg=CFG, wait=True)

    assert result["causes"] == {"CONVERGED": "n1"}
    assert len([asked for asked in kraken.asked if asked.method == "GET"]) == 2


def test_a_node_that_drifts_while_others_converge_is_waited_for_again(kraken: Any, run: Any) -> None:
    kraken.add("n[1-2]")
    kraken.script = [
        lambda: kraken.converge("n1"),
        lambda: (kraken.converge("n2"), kraken.become("n1", "RUNNING", "power_on", phys_state="POWER_OFF")),
        lambda: None,
        lambda: kraken.converge("n1"),
    ]

    assert run(nodes="n[1-2]", cfg=CFG, wait=True)["causes"] == {"CONVERGED": "n[1-2]"}


@pytest.mark.parametrize("cause", ["NO_PATH", "REQUIRES_UNMET", "QUARANTINED", "HELD"])
def test_a_wait_that_cannot_end_fails_at_once_with_the_true_reason(
    kraken: Any, run: Any, clock: Clock, cause: str
) -> None:
    kraken.add("n[1-4]")
    kraken.script = [lambda: (kraken.converge("n[1-2]"), kraken.become("n[3-4]", cause, "that is why"))]
    result = run(nodes="n[1-4]", cfg=CFG, wait=True)

    assert result["failed"]
    assert result["changed"], "the Cfg was declared all the same"
    assert result["msg"] == f"cannot converge: 2 of 4 nodes remain: n[3-4] {cause}: that is why"
    assert result["causes"] == {"CONVERGED": "n[1-2]", cause: "n[3-4]"}
    assert result["remaining"] == [{"nodeset": "n[3-4]", "count": 2, "cause": cause, "reason": "that is why"}]
    assert sum(clock.slept) < 5


def test_a_passing_verdict_of_no_path_is_not_the_end(kraken: Any, run: Any) -> None:
    kraken.add("n1")
    kraken.script = [
        lambda: kraken.become("n1", "NO_PATH", "as before the declaration"),
        lambda: kraken.become("n1", "RUNNING", "power_on"),
        lambda: kraken.converge("n1"),
    ]

    assert not run(nodes="n1", cfg=CFG, wait=True)["failed"]


def test_while_one_node_goes_on_the_hopeless_ones_do_not_end_the_wait(kraken: Any, run: Any) -> None:
    kraken.add("n[1-2]")
    kraken.become("n1", "RUNNING", "boot")
    kraken.script = [lambda: kraken.become("n2", "QUARANTINED", "failed 3 times")]
    kraken.script += [lambda: None] * 5 + [lambda: kraken.converge("n1")]
    result = run(nodes="n[1-2]", cfg=CFG, wait=True)

    assert result["causes"] == {"CONVERGED": "n1", "QUARANTINED": "n2"}


def test_a_hold_that_expires_in_time_is_waited_for(kraken: Any, run: Any) -> None:
    kraken.add("n1", holds=[hold(until=time.time() + 60)])
    hold_it = lambda: kraken.become("n1", "HELD", "ops: new fan")  # noqa: E731
    kraken.script = [hold_it] + [lambda: None] * 8 + [lambda: kraken.converge("n1")]

    assert not run(nodes="n1", cfg=CFG, wait=True, wait_timeout=600)["failed"]


@pytest.mark.parametrize(
    "holds", [[], [{"until": None}], [{"until": 4e9}], [{"until": 1.0}, {"until": None}]]
)
def test_a_hold_that_outlasts_the_wait_ends_it(kraken: Any, run: Any, clock: Clock, holds: Any) -> None:
    kraken.add("n1", holds=[hold(**parts) for parts in holds])
    kraken.script = [lambda: kraken.become("n1", "HELD", "ops: new fan")]
    result = run(nodes="n1", cfg=CFG, wait=True, wait_timeout=600)

    assert result["msg"] == "cannot converge: 1 of 1 nodes remain: n1 HELD: ops: new fan"


def test_the_time_limit_says_which_nodes_remain_and_why(kraken: Any, run: Any, clock: Clock) -> None:
    kraken.add("n[1-4]")
    kraken.become("n[1-3]", "RUNNING")
    kraken.script = [lambda: kraken.become("n4", "BACKOFF", "power_on failed; again in 30 s")]
    result = run(nodes="n[1-4]", cfg=CFG, wait=True, wait_timeout=20)

    assert result["failed"]
    assert result["msg"] == (
        "not converged within 20 s: 4 of 4 nodes remain: "
        "n[1-3] RUNNING: power_on; n4 BACKOFF: power_on failed; again in 30 s"
    )
    assert sum(clock.slept) == pytest.approx(20)


def test_a_cfg_that_somebody_else_changes_meanwhile_ends_the_wait(kraken: Any, run: Any) -> None:
    kraken.add("n1")
    kraken.script = [lambda: kraken.nodes["n1"]["cfg"].update(phys_state="POWER_OFF")]
    result = run(nodes="n1", cfg=CFG, wait=True)

    assert "n1 SUPERSEDED: phys_state is declared POWER_OFF now, by somebody else" in result["msg"]


def test_a_node_deleted_meanwhile_ends_the_wait(kraken: Any, run: Any) -> None:
    kraken.add("n[1-2]")
    kraken.script = [lambda: kraken.nodes.pop("n2")]
    result = run(nodes="n[1-2]", cfg=CFG, wait=True)

    assert result["problem"]["type"] == "unknown-node"
    assert result["changed"]


def test_a_daemon_that_restarts_during_the_wait_is_waited_for(kraken: Any, run: Any) -> None:
    kraken.add("n1")
    kraken.script = [lambda: kraken.raw.extend([(200, "cut", b"")] * 3), lambda: kraken.converge("n1")]

    assert not run(nodes="n1", cfg=CFG, wait=True)["failed"]


def test_a_daemon_that_stays_away_fails_the_wait_long_before_its_limit(
    kraken: Any, run: Any, clock: Clock
) -> None:
    kraken.add("n1")
    kraken.script = [lambda: kraken.raw.extend([(200, "cut", b"")] * 100)]
    result = run(nodes="n1", cfg=CFG, wait=True, wait_timeout=3600)

    assert "broke off its answer" in result["msg"]
    assert result["changed"]
    assert convergence.AWAY_S_MAX <= sum(clock.slept) < 60


def test_a_wait_in_parts_declares_once_and_goes_on_with_what_it_knew(
    kraken: Any, run: Any, clock: Clock
) -> None:
    kraken.add("n[1-3]")
    kraken.script = [lambda: kraken.converge("n1"), lambda: kraken.become("n2", "BACKOFF", "again in 30 s")]
    first = run(nodes="n[1-3]", cfg=CFG, wait=True, part={"part_s": 5})
    told = first["_part"]

    assert (first["changed"], first["failed"], "waited_s" in first) == (True, False, False)
    assert told["waited_s"] == pytest.approx(sum(clock.slept))
    assert 5.0 <= told["waited_s"] < 10.0
    assert told["text"].startswith("2 of 3 nodes remain: ")
    assert "n2 BACKOFF: again in 30 s" in told["text"]

    asked = len(kraken.asked)
    kraken.script = [lambda: kraken.converge("n2"), lambda: kraken.converge("n3")]
    last = run(nodes="n[1-3]", cfg=CFG, wait=True, part={"part_s": 10, "before": told})

    assert (last["changed"], last["failed"]) == (False, False)
    assert last["causes"] == {"CONVERGED": "n[1-3]"}
    assert last["waited_s"] == pytest.approx(sum(clock.slept), abs=0.1)
    assert {request.method for request in kraken.asked[asked:]} == {"GET"}


def test_what_somebody_declares_between_two_parts_of_a_wait_is_theirs(kraken: Any, run: Any) -> None:
    kraken.add("n1")
    told = run(nodes="n1", cfg=CFG, wait=True, part={"part_s": 5})["_part"]
    kraken.nodes["n1"]["cfg"].update(phys_state="POWER_OFF")
    result = run(nodes="n1", cfg=CFG, wait=True, part={"part_s": 10, "before": told})

    assert "n1 SUPERSEDED: phys_state is declared POWER_OFF now, by somebody else" in result["msg"]
    assert kraken.nodes["n1"]["cfg"]["phys_state"] == "POWER_OFF"


def test_parts_of_a_wait_end_together_when_its_time_is_up_or_kraken_is_away_for_long(
    kraken: Any, run: Any, clock: Clock
) -> None:
    def to_the_end(**wait: Any) -> dict[str, Any]:
        result = run(nodes="n1", cfg=CFG, wait=True, part={"part_s": 5}, **wait)
        while "_part" in result:
            result = run(
                nodes="n1", cfg=CFG, wait=True, part={"part_s": 10, "before": result["_part"]}, **wait
            )
        return dict(result)

    kraken.add("n1")
    late = to_the_end(wait_timeout=33)

    assert "not converged within 33 s: 1 of 1 nodes remain" in late["msg"]
    assert sum(clock.slept) == pytest.approx(33)

    clock.slept.clear()
    kraken.script = [lambda: kraken.raw.extend([(200, "cut", b"")] * 100)]
    away = to_the_end(wait_timeout=3600)

    assert "broke off its answer" in away["msg"]
    assert convergence.AWAY_S_MAX <= sum(clock.slept) < 60


def test_a_message_names_a_few_groups_and_counts_the_rest(kraken: Any, run: Any) -> None:
    kraken.add("n[1-20]")
    kraken.script = [lambda: [kraken.become(f"n{i}", "NO_PATH", f"reason {i}") for i in range(1, 21)]]
    result = run(nodes="n[1-20]", cfg=CFG, wait=True)

    assert result["msg"].endswith("; and 14 nodes more")
    assert len(result["remaining"]) == 20


def test_the_module_defaults_group_names_every_module() -> None:
    root = Path(state.__file__).parents[2]
    modules = sorted(
        path.stem for path in (root / "plugins" / "modules").glob("*.py") if path.stem != "__init__"
    )
    runtime = (root / "meta" / "runtime.yml").read_text()

    assert all(f"kraken.hpc.{name}\n" in runtime for name in modules)


def hold(until: float | None) -> dict[str, Any]:
    return {"id": "h1", "owner": "ops", "reason": "new fan", "created_at": 1.0, "until": until}


class TestWhatIsDeclaredForAWhile:
    """What it replaces is kept with Kraken, and declared again whoever asks for it."""

    SERVED = {"phys_state": "POWER_ON", "service": "RUNNING"}

    def test_each_node_is_again_what_it_was(self, kraken: Any, run: Any) -> None:
        kraken.add("n[1-2]", cfg=self.SERVED)
        kraken.add("n3", cfg={"service": "FAILED"}, attributes={"rack": "r1"})
        run(nodes="n[1-3]", cfg={"service": "STOPPED"}, unset=["phys_state"], remember=True)
        for_a_while = {name: dict(node["cfg"]) for name, node in kraken.nodes.items()}
        result = run(nodes="n[1-3]", state="restored")

        assert for_a_while == {f"n{number}": {"service": "STOPPED"} for number in (1, 2, 3)}
        assert result["changed_nodes"] == "n[1-3]"
        assert kraken.nodes["n1"]["cfg"] == kraken.nodes["n2"]["cfg"] == self.SERVED
        assert kraken.nodes["n3"]["cfg"] == {"service": "FAILED"}
        assert [kraken.nodes[name]["attributes"] for name in ("n1", "n3")] == [{}, {"rack": "r1"}]
        assert not run(nodes="n[1-3]", state="restored")["changed"]

    def test_done_again_before_it_was_restored_it_keeps_what_was_before_the_first(
        self, kraken: Any, run: Any
    ) -> None:
        kraken.add("n1", cfg=self.SERVED)
        run(nodes="n1", cfg={"service": "STOPPED"}, remember=True)
        run(nodes="n1", cfg={"service": "STOPPED"}, remember=True)
        run(nodes="n1", cfg={"phys_state": "POWER_OFF"}, remember=True)
        run(nodes="n1", state="restored")

        assert kraken.nodes["n1"]["cfg"] == self.SERVED

    def test_what_somebody_has_declared_since_is_theirs(self, kraken: Any, run: Any) -> None:
        kraken.add("n1", cfg=self.SERVED)
        run(nodes="n1", cfg={"service": "STOPPED", "phys_state": "POWER_OFF"}, remember=True)
        run(nodes="n1", cfg={"service": "FAILED", "run_state": "SYNC"})
        run(nodes="n1", state="restored")

        assert kraken.nodes["n1"]["cfg"] == {
            "phys_state": "POWER_ON",
            "service": "FAILED",
            "run_state": "SYNC",
        }

    def test_what_is_given_besides_goes_over_what_was_kept(self, kraken: Any, run: Any) -> None:
        kraken.add("n[1-2]", cfg=self.SERVED)
        run(nodes="n1", cfg={"service": "STOPPED"}, unset=["phys_state"], remember=True)
        run(nodes="n[1-2]", state="restored", cfg={"service": "FAILED"}, unset=["phys_state"])

        assert kraken.nodes["n1"]["cfg"] == kraken.nodes["n2"]["cfg"] == {"service": "FAILED"}

    def test_nothing_is_kept_of_what_kraken_refuses_nor_in_check_mode(self, kraken: Any, run: Any) -> None:
        kraken.add("n1", cfg=self.SERVED)

        assert run(nodes="n1", cfg={"colour": "RED"}, remember=True)["failed"]
        assert run(check=True, nodes="n1", cfg={"service": "STOPPED"}, remember=True)["changed"]
        assert kraken.nodes["n1"]["attributes"] == {}

    def test_check_mode_tells_what_would_be_restored(self, kraken: Any, run: Any) -> None:
        kraken.add("n1", cfg=self.SERVED)
        run(nodes="n1", cfg={"service": "STOPPED"}, remember=True)
        result = run(check=True, nodes="n1", state="restored")

        assert result["changes"][0]["cfg"] == {"service": ["STOPPED", "RUNNING"]}
        assert kraken.nodes["n1"]["cfg"]["service"] == "STOPPED"

    def test_an_attribute_that_somebody_else_wrote_is_no_memory(self, kraken: Any, run: Any) -> None:
        for number, text in enumerate(("{", "[]", '{"service": "RUNNING"}', 7), 1):
            kraken.add(f"n{number}", cfg={"service": "STOPPED"}, attributes={"cfg.before": text})

        assert not run(nodes="n[1-4]", state="restored")["changed"]

    def test_each_node_is_waited_for_as_it_shall_be(self, kraken: Any, run: Any) -> None:
        kraken.add("n1", cfg=self.SERVED, dsc=self.SERVED)
        kraken.add("n2", cfg={"service": "FAILED"}, dsc={"service": "FAILED"})
        run(nodes="n[1-2]", cfg={"service": "STOPPED"}, remember=True)
        result = run(nodes="n[1-2]", state="restored", wait=True)

        assert result["causes"] == {"CONVERGED": "n[1-2]"}
