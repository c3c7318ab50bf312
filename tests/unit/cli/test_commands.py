"""Each call of `kraken` ends with the exit code it promises, and says why in one line on stderr."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from kraken.cli.app import COMMANDS, cli
from kraken.cli.errors import Exit, describe, exit_code
from kraken.errors import (
    CredentialError,
    KrakenError,
    ModuleError,
    NodeSetError,
    RefusedError,
    UnreachableError,
)

Call = Callable[..., Any]


def problem(kind: str, status: int, **more: Any) -> dict[str, Any]:
    """A rule that refuses a change of Cfg."""
    document = {"type": f"urn:kraken:problem:{kind}", "detail": f"a case of {kind}", **more}
    return {"call": "PATCH /v1/cfg", "status": status, "answer": document}


def plan_rule(*groups: dict[str, Any], changes: bool) -> dict[str, Any]:
    return {"call": "POST /v1/plan", "answer": {"changes": changes, "groups": list(groups)}}


DONE = {"nodeset": "n1", "count": 1, "cost": 0, "steps": []}
STEP = {"name": "power_on", "module": "power", "kind": "mutation", "effects": {}, "cost": 5, "after": []}
TODO = {"nodeset": "n2", "count": 1, "cost": 5, "steps": [STEP]}
STUCK = {"nodeset": "n3", "count": 1, "no_path": {"variables": ["a"], "reasons": ["no"], "unmet": []}}


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("nodeset", 400, Exit.USAGE),
        ("malformed", 400, Exit.ERROR),
        ("unauthorized", 401, Exit.ERROR),
        ("unknown-node", 404, Exit.ERROR),
        ("not-found", 404, Exit.ERROR),
        ("needs-confirmation", 409, Exit.REFUSED),
        ("unreachable", 409, Exit.REFUSED),
        ("refused", 409, Exit.REFUSED),
        ("too-large", 413, Exit.ERROR),
        ("document", 422, Exit.ERROR),
        ("store", 507, Exit.ERROR),
        ("internal", 500, Exit.ERROR),
    ],
)
def test_every_problem_has_its_exit_code_and_one_line(
    daemon: Call, kraken: Call, kind: str, status: int, code: Exit
) -> None:
    daemon(problem(kind, status, nodes=99))
    result = kraken("set", "n1", "a=B")

    assert result.code == code
    assert result.out == ""
    assert result.err.startswith("kraken: ")
    assert result.err.count("\n") == 1


def test_details_of_a_refusal_fold_nodes_of_equal_reason(daemon: Call, kraken: Call) -> None:
    daemon(problem("unreachable", 409, details={"n1": "no BMC", "n3": "held", "n2": "no BMC"}))
    lines = kraken("set", "n[1-3]", "a=B").err.splitlines()

    assert lines[1:] == ["  n[1-2]: no BMC", "  n3: held"]


@pytest.mark.parametrize(
    ("groups", "changes", "words", "code"),
    [
        ([DONE], False, [], Exit.DONE),
        ([DONE], False, ["--detailed-exitcode"], Exit.DONE),
        ([DONE, TODO], True, [], Exit.DONE),
        ([DONE, TODO], True, ["--detailed-exitcode"], Exit.CHANGES),
        ([TODO, STUCK], True, ["--detailed-exitcode"], Exit.PARTIAL),
        ([STUCK], True, [], Exit.REFUSED),
        ([], False, ["--detailed-exitcode"], Exit.DONE),
    ],
)
def test_a_plan_tells_scripts_what_lies_ahead(
    daemon: Call, kraken: Call, groups: list[dict[str, Any]], changes: bool, words: list[str], code: Exit
) -> None:
    daemon(plan_rule(*groups, changes=changes))

    assert kraken("plan", *words).code == code


def test_a_plan_counts_the_nodes_a_disruptive_step_touches(daemon: Call, kraken: Call) -> None:
    cut = {**STEP, "name": "power_off", "disruptive": True}
    first = {"nodeset": "n[1-8]", "count": 8, "cost": 5, "steps": [cut, STEP]}
    second = {"nodeset": "n[9-12]", "count": 4, "cost": 5, "steps": [cut]}
    daemon(plan_rule(first, second, changes=True))

    assert "DISRUPTIVE: power_off on 12 nodes." in kraken("plan").out


def test_attributes_and_cfg_of_one_command_are_one_declaration(daemon: Call, kraken: Call) -> None:
    server = daemon(
        {"call": "GET /v1/nodes", "answer": {"nodes": ["n1", "n2"]}},
        {"call": "POST /v1/apply", "answer": {"changed": 2, "items": []}},
    )
    assert kraken("set", "n[1-2]", "a=B", "--unset", "c", "--attr", "x=y").code == Exit.DONE

    (call,) = [call for call in server.calls if call["method"] == "POST"]
    wish = {"attributes": {"x": "y"}, "cfg": {"a": "B", "c": None}}
    assert call["body"]["document"] == {"nodes": {"n[1-2]": wish}}


def test_a_variable_is_withdrawn_in_the_call_that_sets_another(daemon: Call, kraken: Call) -> None:
    server = daemon({"call": "PATCH /v1/cfg", "answer": {"changed": 1, "items": []}})

    assert kraken("set", "n1", "a=B", "--unset", "c").code == Exit.DONE
    assert [(call["body"]["set"], call["body"]["unset"]) for call in server.calls] == [({"a": "B"}, ["c"])]
    assert kraken("set", "n1", "a=B", "--unset", "a").code == Exit.USAGE


def test_who_wishes_what_excludes_another_wish_learns_how_to_withdraw(daemon: Call, kraken: Call) -> None:
    daemon(
        problem("unreachable", 409, details={"n1": "a=B cannot be had together with c=D"})
        | {"body": {"nodeset": "n1"}},
        problem("unreachable", 409, details={"n2": "a=B: build requires gpu, the node has none"}),
    )

    assert "--unset VAR" in kraken("set", "n1", "a=B").err
    assert "--unset" not in kraken("set", "n2", "a=B").err


@pytest.mark.parametrize("door", ["set", "apply"])
def test_what_no_path_reaches_is_refused_and_declared_only_when_somebody_says_so(
    door: str, daemon: Call, kraken: Call, tmp_path: Path
) -> None:
    file = tmp_path / "wishes.yml"
    file.write_text("cfg: {n1: {image: a}}")
    words = ("set", "n1", "image=a") if door == "set" else ("apply", str(file))
    call = "PATCH /v1/cfg" if door == "set" else "POST /v1/apply"
    reason = "no mutation sets image on arch=arm; the nearest is write, which requires arch=x86"
    refusal = problem("unreachable", 409, details={"n1": f"{reason}; reachable instead: image=b"})
    server = daemon(
        {"call": call, "body": {"allow_unreachable": True}, "answer": {"changed": 1, "items": []}},
        refusal | {"call": call},
    )

    refused = kraken(*words)
    assert refused.code == Exit.REFUSED
    assert f"n1: {reason}; reachable instead: image=b" in refused.err
    assert kraken(*words, "--allow-unreachable").code == Exit.DONE
    assert [sent["body"]["allow_unreachable"] for sent in server.calls] == [False, True]


def test_what_was_to_be_withdrawn_and_nobody_had_is_named(daemon: Call, kraken: Call) -> None:
    items = [{"node": "n1", "changed": True, "diff": {"a": ["B", None]}}, {"node": "n2", "diff": {}}]
    daemon({"call": "PATCH /v1/cfg", "answer": {"changed": 1, "items": items}})

    assert kraken("unset", "n[1-2]", "a", "colour").err == "kraken: colour was not declared of any of them\n"
    assert kraken("set", "n[1-2]", "x=Y", "--unset", "colour").err.startswith("kraken: colour was not")
    assert kraken("unset", "n[1-2]", "a").err == ""


def test_a_plan_says_what_it_was_to_withdraw_and_nobody_had(daemon: Call, kraken: Call) -> None:
    group = {"nodeset": "n[1-2]", "count": 2, "cost": 0, "steps": []}
    answer = {"changes": False, "undeclared": ["colour"], "nodes": 2, "groups": [group]}
    daemon({"call": "POST /v1/plan", "answer": answer})
    told = kraken("plan", "n[1-2]", "--unset", "colour")

    assert (told.code, told.err) == (Exit.DONE, "kraken: colour was not declared of any of them\n")


@pytest.mark.parametrize("command", ["plan", "set"])
def test_nothing_is_both_set_and_withdrawn(kraken: Call, command: str) -> None:
    words = ("--set", "a=B") if command == "plan" else ("a=B",)
    told = kraken(command, "n1", *words, "--unset", "a")

    assert (told.code, "a is set and unset at once" in told.err) == (Exit.USAGE, True)


def test_without_nodes_explain_says_so(daemon: Call, kraken: Call) -> None:
    daemon({"call": "GET /v1/explain", "answer": {"nodes": [], "folded": []}})

    assert "No node is declared yet" in kraken("explain", "--all").out


def test_a_thaw_of_nothing_says_so(daemon: Call, kraken: Call) -> None:
    daemon({"call": "POST /v1/thaw", "answer": {"frozen": None, "lifted": []}})
    result = kraken("thaw")

    assert (result.code, result.out) == (Exit.DONE, "Nothing was frozen.\n")


def test_every_freeze_that_stands_is_shown(daemon: Call, kraken: Call, lab_rules: Any) -> None:
    freezes = [
        {"id": n, "nodeset": "*", "owner": who, "reason": why, "created_at": 0.0, "until": None}
        for n, who, why in (("1", "ann", "cabling"), ("2", "bob", "cooling"))
    ]
    daemon({"call": "GET /v1/holds", "answer": {"holds": freezes}}, *lab_rules)
    shown = kraken("status").out

    assert "FROZEN by ann since" in shown
    assert "FROZEN by bob since" in shown
    assert shown.count("cooling") == 1


def test_limits_that_hold_nodes_back_or_nothing_at_all_are_shown(
    daemon: Call, kraken: Call, lab_rules: Any
) -> None:
    use = {"counts": ["phys_state=POWER_ON"], "by": "rack", "in_flight": 8, "watts": 0.0, "waiting": 1472}
    measures = {"in_flight_max": 8, "per_second": 0.5, "watts_max": 12000.0}
    busy = {"name": "rack-power", "mutations": ["power_ipmi.power_on"], **use, **measures}
    calm = busy | {"name": "calm", "waiting": 0}
    slip = busy | {"name": "slip", "waiting": 0, "mutations": [], "counts": ["phys_state=POWRON"]}
    health = {"nodes": 5, "limits": [busy, calm, slip]}
    daemon({"call": "GET /v1/health", "answer": health}, *lab_rules)
    lines = kraken("status").out.splitlines()
    told = {line.split()[0]: line for line in lines if line}

    assert "8 under way, 0.5 per second, 12,000 W for each rack" in told["rack-power"]
    assert told["rack-power"].split()[-2:] == ["8", "1,472"]
    assert "counts nothing: no loaded mutation is phys_state=POWRON" in told["slip"]
    assert "calm" not in told


def test_what_the_collector_cannot_do_is_shown(daemon: Call, kraken: Call, lab_rules: Any) -> None:
    fault = {"name": "site.key", "reason": "cannot decrypt /etc/kraken/secrets.yml", "since": 1.0}
    daemon({"call": "GET /v1/health", "answer": {"nodes": 5, "faults": [fault]}}, *lab_rules)
    lines = kraken("status").out.splitlines()
    (at,) = [number for number, line in enumerate(lines) if line == "This collector cannot do"]

    assert "site.key" in lines[at + 2]
    assert "cannot decrypt /etc/kraken/secrets.yml" in lines[at + 2]


def test_what_collectors_below_cannot_do_is_shown_by_name(daemon: Call, kraken: Call, lab_rules: Any) -> None:
    said = {"name": "site.key", "reason": "there is no ansible-playbook", "since": 1.0}
    faults = [said | {"collector": ""}, said | {"collector": "rack7"}]
    daemon({"call": "GET /v1/health", "answer": {"nodes": 5, "faults": faults}}, *lab_rules)
    lines = kraken("status").out.splitlines()
    (at,) = [number for number, line in enumerate(lines) if line == "Collectors cannot do"]

    assert [line.split()[:3] for line in lines[at + 2 : at + 4]] == [
        ["this", "one", "site.key"],
        ["rack7", "site.key", "there"],
    ]


def test_an_unknown_group_is_a_slip_of_the_pen_by_either_name(daemon: Call, kraken: Call) -> None:
    daemon(problem("nodeset", 400) | {"call": "GET /v1/nodes"})

    assert kraken("nodes", "--group", "nope").code == kraken("nodes", "@nope").code == Exit.USAGE


def test_who_changes_nothing_learns_why(daemon: Call, kraken: Call) -> None:
    nothing = {"changed": 0, "items": [{"node": "n1", "changed": False}]}
    daemon(
        {"call": "PATCH /v1/cfg", "answer": nothing},
        {"call": "POST /v1/holds/release", "answer": nothing},
        {"call": "POST /v1/retry", "answer": nothing},
    )

    assert kraken("set", "n1", "a=B").out == "0 of 1 node changed: declared so already.\n"
    assert kraken("release", "n1").out == "0 of 1 node released: no such hold.\n"
    assert kraken("retry", "n1").out == "0 of 1 node tried again: none was in quarantine or back-off.\n"


def test_who_holds_what_is_out_of_reach_learns_so(daemon: Call, kraken: Call) -> None:
    items = [{"node": f"n{i}", "changed": True, "message": "held: fan"} for i in (1, 2)]
    why = "collector c1 is not reached from root; not in force before it hears of it"
    daemon(
        {"call": "POST /v1/holds", "answer": {"changed": 2, "items": items, "lacking": {"n2": why}}},
        {"call": "POST /v1/freeze", "answer": {"frozen": {"nodeset": "*"}, "lacking": {"c1": why}}},
    )
    held, frozen = kraken("hold", "n[1-2]", "--reason", "fan"), kraken("freeze", "--reason", "fan")

    assert (held.code, held.err) == (Exit.PARTIAL, f"kraken: n2: {why}\n")
    assert held.out.endswith("2 of 2 nodes held.\n")
    assert (frozen.code, frozen.err) == (Exit.PARTIAL, f"kraken: c1: {why}\n")
    assert frozen.out == "Frozen where it is known: no mutation starts until `kraken thaw`.\n"


def test_nodes_that_are_new_are_told(daemon: Call, kraken: Call, tmp_path: Path) -> None:
    items = [{"node": f"n{i}", "changed": True, "created": True} for i in (1, 2)]
    daemon({"call": "POST /v1/apply", "answer": {"changed": 2, "items": items}})
    (tmp_path / "new.yml").write_text("nodes: {'n[1-2]': {}}")

    assert "n[1-2]       2  declared: new" in kraken("apply", str(tmp_path / "new.yml")).out


def test_a_refusal_of_a_file_names_the_file(daemon: Call, kraken: Call, tmp_path: Path) -> None:
    answer = {"type": "urn:kraken:problem:unknown-node", "detail": "unknown node n9", "part": "n9"}
    daemon({"call": "POST /v1/apply", "status": 404, "answer": answer})
    file = tmp_path / "wrong.yml"
    file.write_text("cfg: {n9: {a: B}}")
    result = kraken("apply", str(file))

    assert result.code == Exit.ERROR
    assert result.err.startswith(f"kraken: {file}: unknown node n9")


def test_runs_of_different_length_are_one_line_of_history(daemon: Call, kraken: Call) -> None:
    def entry(number: int, seconds: float) -> dict[str, Any]:
        text = f"power_on: seen after {seconds} s"
        return {"id": number, "at": 50.0, "node": f"n{number}", "kind": "run", "text": text, "source": "p.on"}

    daemon({"call": "GET /v1/history", "answer": {"entries": [entry(3, 5.2), entry(2, 4.9), entry(1, 5.4)]}})
    folded, each = kraken("history").out, kraken("history", "--each").out

    assert "n[1-3]" in folded
    assert "power_on: seen after 4.9 to 5.4 s" in folded
    assert [line.split()[-3] for line in each.splitlines()[1:]] == ["5.2", "4.9", "5.4"]


@pytest.mark.parametrize(
    ("others", "words", "told"),
    [
        ([], (), "Nothing ran yet.\n"),
        (["c1"], (), "Nothing ran here yet.\nWhat others run: kraken --at c1 runs\n"),
        (
            ["c1", "c2", "c3"],
            ("--active",),
            "Nothing runs here.\nWhat others run: kraken --at COLLECTOR runs --active, for each of c[1-3]\n",
        ),
    ],
)
def test_that_other_collectors_have_runs_of_their_own_is_told(
    daemon: Call, kraken: Call, others: list[str], words: tuple[str, ...], told: str
) -> None:
    daemon({"call": "GET /v1/runs", "answer": {"runs": [], "elsewhere": others}})

    assert kraken("runs", *words).out == told


@pytest.mark.parametrize(
    ("elsewhere", "told"),
    [
        ({}, []),
        ({"c1": ""}, ["What others saw and did: kraken --at c1 history"]),
        (
            {"c1": "", "c2": ""},
            ["What others saw and did: kraken --at COLLECTOR history, for each of c[1-2]"],
        ),
        ({"c1": "n[1-2]"}, ["What was seen and done: kraken --at c1 history n[1-2]"]),
        (
            {f"c{i}": f"n{i}" for i in range(1, 11)},
            [
                *(f"What was seen and done: kraken --at c{i} history n{i}" for i in range(1, 9)),
                "… and 2 more collectors: -o json has them",
            ],
        ),
    ],
)
def test_a_history_says_whose_journals_have_more(
    daemon: Call, kraken: Call, elsewhere: dict[str, str], told: list[str]
) -> None:
    daemon({"call": "GET /v1/history", "answer": {"entries": [], "next": None, "elsewhere": elsewhere}})

    assert kraken("history").out.splitlines() == ["Nothing has happened yet.", *told]


def test_no_node_found_says_what_was_looked_for(daemon: Call, kraken: Call) -> None:
    daemon({"call": "GET /v1/nodes", "answer": {"nodes": []}})

    assert kraken("nodes", "--cause", "STALE").out == "No node is STALE.\n"
    assert kraken("nodes", "@gpu", "--cause", "stale").out == "No node of @gpu is STALE.\n"
    assert kraken("nodes").out.startswith("No node is declared yet")
    assert "QUARANTINED, NO_PATH" in kraken("nodes", "--cause", "BAD").err


def test_modules_said_to_be_there_too_must_be_there(kraken: Call, tmp_path: Path) -> None:
    (tmp_path / "m.yml").write_text("kraken_module: 1\nname: m\nvariables: {v: {values: [A]}}\n")
    result = kraken("module", "check", str(tmp_path), "--with", str(tmp_path / "absent"))

    assert result.code == Exit.USAGE
    assert "absent" in result.err


def test_a_group_of_commands_without_one_shows_its_help(kraken: Call) -> None:
    result = kraken("module")

    assert result.code == Exit.USAGE
    assert result.err.startswith("Usage: kraken module")


def test_nothing_is_sent_when_the_second_of_two_files_is_wrong(
    daemon: Call, kraken: Call, tmp_path: Path
) -> None:
    server = daemon({"call": "POST /v1/apply", "answer": {"changed": 0, "items": []}})
    (tmp_path / "good.yml").write_text("nodes: {n1: {}}")
    (tmp_path / "bad.yml").write_text("nodes: [")

    assert kraken("apply", str(tmp_path / "good.yml"), str(tmp_path / "bad.yml")).code == Exit.ERROR
    assert server.calls == []


def test_yes_is_said_only_by_who_says_yes(daemon: Call, kraken: Call) -> None:
    server = daemon({"call": "PATCH /v1/cfg", "answer": {"changed": 0, "items": []}})
    kraken("set", "n1", "a=B")
    kraken("set", "n1", "a=B", "--yes")

    assert [call["body"].get("yes") for call in server.calls] == [None, True]


def test_all_is_said_only_by_who_says_all(daemon: Call, kraken: Call) -> None:
    server = daemon({"call": "POST /v1/retry", "answer": {"changed": 0, "items": []}})

    assert kraken("retry").code == Exit.USAGE
    assert server.calls == []
    assert kraken("retry", "--all").code == Exit.DONE
    assert server.calls[0]["body"] == {"all": True}


@pytest.mark.parametrize(
    "words",
    [
        ("nodes",),
        ("show", "n0113"),
        ("explain", "--all"),
        ("plan", "n0001"),
        ("runs",),
        ("history",),
        ("module", "list"),
        ("set", "n0003", "a=B"),
        ("discover", "n0003"),
    ],
)
def test_json_and_yaml_show_what_the_daemon_gave(
    daemon: Call, kraken: Call, lab_rules: list[dict[str, Any]], words: tuple[str, ...]
) -> None:
    server = daemon(*lab_rules)
    server.now = lambda: 1_790_000_000.0
    shown = json.loads(kraken(*words, "-o", "json").out)
    method, path = (server.calls[-1][key] for key in ("method", "path"))
    given = server.timed(server.answer(server.calls[-1])["answer"])

    assert shown == given, f"of {method} {path}"
    assert yaml.safe_load(kraken(*words, "-o", "yaml").out) == given


def test_a_socket_typed_wins_over_an_address_in_the_environment(
    daemon: Call, kraken: Call, socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = daemon({"call": "GET /v1/nodes", "answer": {"nodes": []}})
    monkeypatch.setenv("KRAKEN_URL", "http://127.0.0.1:9")

    assert kraken("--socket", str(socket), "nodes").code == Exit.DONE
    assert len(server.calls) == 1


def test_an_address_and_its_token_come_from_the_environment(
    daemon: Call, kraken: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = daemon({"call": "GET /v1/nodes", "answer": {"nodes": []}}, tcp=True, token="s3cret")
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    file.chmod(0o600)
    monkeypatch.setenv("KRAKEN_URL", server.url)
    monkeypatch.setenv("KRAKEN_TOKEN_FILE", str(file))

    assert kraken("nodes").code == Exit.DONE

    file.write_text("wrong\n")
    result = kraken("nodes")

    assert result.code == Exit.ERROR
    assert "KRAKEN_TOKEN_FILE" in result.err
    assert "wrong" not in result.err


def test_nodes_that_are_alike_share_a_line_however_many(daemon: Call, kraken: Call) -> None:
    state = {"cfg": {"a": "B"}, "dsc": {"a": "B"}, "cause": "CONVERGED", "reason": "", "since": 0.0}
    nodes = [{"name": f"n{i:05}", **state} for i in range(1, 10_001)]
    nodes[4999] |= {"dsc": {}, "cause": "UNKNOWN"}
    daemon({"call": "GET /v1/nodes", "answer": {"nodes": nodes}})
    lines = kraken("nodes").out.splitlines()

    assert [line.split() for line in lines[1:]] == [
        ["n[00001-04999,05001-10000]", "9,999", "CONVERGED", "a=B"],
        ["n05000", "1", "UNKNOWN", "nothing", "yet", "a=B"],
    ]


def test_a_fault_of_our_own_shows_no_traceback(
    daemon: Call, kraken: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon({"call": "GET /v1/nodes", "answer": {"nodes": [5]}})
    result = kraken("nodes")

    assert result.code == Exit.ERROR
    assert "a fault of Kraken's own: AttributeError" in result.err
    assert "Traceback" not in result.err
    monkeypatch.setenv("KRAKEN_DEBUG", "1")
    with pytest.raises(AttributeError):
        kraken("nodes")


def test_every_error_of_kraken_has_an_exit_code_and_says_where() -> None:
    wrong = ModuleError("no such key", file="a.yml", line=3, key="x.y", hint="drop it")

    assert exit_code(wrong) == Exit.ERROR
    assert describe(wrong) == "a.yml:3: x.y: no such key; drop it"
    assert exit_code(RefusedError("no")) == Exit.REFUSED
    assert exit_code(NodeSetError("what?")) == Exit.USAGE
    assert exit_code(CredentialError("no")) == Exit.ERROR
    assert describe(UnreachableError("no", details={"n1": "far"})) == "no\n  n1: far"
    assert describe(KrakenError("said \x1b[2J", hint="b")) == "said \\x1b[2J; b"


def test_the_summaries_of_help_are_those_of_the_commands() -> None:
    context = click.Context(cli)
    for commands in COMMANDS.values():
        for name, (_, summary) in commands.items():
            command = cli.get_command(context, name)
            assert command is not None

            assert str(command.help).split("\n\n")[0].strip() == summary, name


def test_every_command_has_a_page_of_help_that_fits_eighty_columns(kraken: Call) -> None:
    def pages(command: click.Command, words: tuple[str, ...]) -> list[tuple[str, ...]]:
        if not isinstance(command, click.Group):
            return [words]
        context = click.Context(command)
        inner = [
            page
            for name in command.list_commands(context)
            for page in pages(command.get_command(context, name) or command, (*words, name))
        ]
        return [words, *inner]

    for words in pages(cli, ()):
        result = kraken(*words, "--help")

        assert result.code == Exit.DONE
        assert max(map(len, result.out.splitlines())) <= 80, words
        assert "--help" in result.out


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_is_a_script_for_the_shell(kraken: Call, shell: str) -> None:
    result = kraken("completion", shell)

    assert result.code == Exit.DONE
    assert "_KRAKEN_COMPLETE" in result.out
