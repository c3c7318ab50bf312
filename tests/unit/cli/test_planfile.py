"""Plans in files: for their owner's eyes, whole or not at all, and read again as they were."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kraken.cli.document import parse_document, read_document
from kraken.cli.errors import CommandError, Exit
from kraken.cli.output import as_yaml
from kraken.cli.planfile import write_plan
from kraken.daemon.promised import read_contract

Call = Callable[..., Any]

STEP: dict[str, Any] = {
    "name": "off", "module": "power", "kind": "mutation", "summary": "Off: at once.", "effects": {"p": "OFF"},
    "disruptive": True, "cost": 0.00001, "after": [],
}  # fmt: skip


def plan(**more: Any) -> dict[str, Any]:
    group = {"nodeset": "n[1-40]", "count": 40, "start": {"p": ["ON"]}, "cost": 5, "makespan": 5}
    return {
        "kraken_plan": 1, "made_at": 1790000000.25, "generation": {"declared": "7-12", "modules": "12e4567"},
        "set": {"p": "OFF", "image": "9.40"}, "unset": ["x"], "changes": True,
        "undeclared": [], "mutations": {"power.off": "1e5"}, "nodes": 40,
        "groups": [{**group, "steps": [STEP]}], **more,
    }  # fmt: skip


def test_a_plan_is_read_again_as_it_was_written(tmp_path: Path) -> None:
    write_plan(tmp_path / "a.plan", plan(), force=False)
    found = read_document(str(tmp_path / "a.plan")).content
    head = (tmp_path / "a.plan").read_text().split("kraken_plan")[0]

    assert read_contract(found) == read_contract(plan())
    assert head == (
        "# A plan of Kraken, made at 2026-09-21 14:13:20 UTC, for p=OFF image=9.40 x=-.\n"
        "# 40 nodes would change; the longest way takes about 5 s.\n"
        "# DISRUPTIVE: off on 40 nodes.\n"
        "# `kraken apply a.plan` does exactly this, or refuses and shows what has changed.\n"
    )


@given(st.text(min_size=1).filter(lambda value: value.isprintable()))
def test_no_value_becomes_another_by_being_written_down(value: str) -> None:
    """Not even one that YAML would take for a number, a date or a boolean."""
    made = plan(set={"image": value}, mutations={"power.off": value})

    assert read_contract(parse_document(as_yaml(made), "x").content) == read_contract(made)


def test_no_plan_is_written_for_nodes_of_a_collector_with_other_modules(tmp_path: Path) -> None:
    row = {"collector": "rack7", "nodeset": "n1", "count": 1, "since": 5.0, "message": "n1 is for rack7"}
    with pytest.raises(CommandError, match=r"n1 is for rack7, so .*a\.plan was not written"):
        write_plan(tmp_path / "a.plan", plan(other_modules=[row]), force=False)

    assert not (tmp_path / "a.plan").exists()


def test_only_its_owner_may_read_a_plan(tmp_path: Path) -> None:
    file = tmp_path / "a.plan"
    write_plan(file, plan(), force=False)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o644)
    write_plan(file, plan(unset=[]), force=True)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_plan_never_replaces_a_file_unasked_nor_promises_what_cannot_be(tmp_path: Path) -> None:
    file = tmp_path / "a.plan"
    file.write_text("mine")
    with pytest.raises(CommandError, match="exists already") as exists:
        write_plan(file, plan(), force=False)
    with pytest.raises(CommandError, match="no path for n9") as stuck:
        write_plan(file, plan(groups=[{"nodeset": "n9", "count": 1, "no_path": {}}]), force=True)
    with pytest.raises(CommandError, match="no nodes to plan for"):
        write_plan(file, plan(groups=[]), force=True)
    with pytest.raises(CommandError, match="cannot write"):
        write_plan(tmp_path / "none" / "a.plan", plan(), force=False)

    assert exists.value.code == stuck.value.code == Exit.REFUSED
    assert file.read_text() == "mine"


def test_half_a_plan_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    for force in (False, True):
        with monkeypatch.context() as patched:
            patched.setattr("kraken.cli.planfile.os.fdopen", full)
            with pytest.raises(CommandError, match="No space left"):
                write_plan(tmp_path / "a.plan", plan(), force=force)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("kind", "code"), [("plan-changed", 3), ("refused", 3), ("store", 1)])
def test_a_refused_plan_ends_with_its_code(
    daemon: Call, kraken: Call, tmp_path: Path, kind: str, code: int
) -> None:
    problem = {"type": f"urn:kraken:problem:{kind}", "detail": "not as planned; nothing was done"}
    served = daemon({"call": "POST /v1/plan/apply", "status": 409, "answer": problem})
    write_plan(tmp_path / "a.plan", plan(), force=False)

    assert kraken("apply", str(tmp_path / "a.plan")).code == code
    assert read_contract(served.calls[0]["body"]["plan"]) == read_contract(plan())


def test_a_plan_that_was_spoilt_is_told_with_its_line(daemon: Call, kraken: Call, tmp_path: Path) -> None:
    problem = {"type": "urn:kraken:problem:document", "detail": "expected text", "key": "set.p"}
    daemon({"call": "POST /v1/plan/apply", "status": 422, "answer": problem})
    file = tmp_path / "a.plan"
    write_plan(file, plan(), force=False)
    line = file.read_text().splitlines().index("  p: 'OFF'") + 1
    told = kraken("apply", str(file))

    assert (told.code, f"a.plan:{line}: set.p: expected text" in told.err) == (1, True)


def test_many_differences_are_cut_and_counted(daemon: Call, kraken: Call, tmp_path: Path) -> None:
    rows = [
        {"nodeset": f"n{i}", "count": 1, "reason": "p is X", "planned": ["a"], "now": ["b", "a"]}
        for i in range(30)
    ]
    problem = {"type": "urn:kraken:problem:plan-changed", "detail": "changed", "differences": rows}
    daemon({"call": "POST /v1/plan/apply", "status": 409, "answer": problem})
    write_plan(tmp_path / "a.plan", plan(), force=False)
    told = kraken("apply", str(tmp_path / "a.plan")).err.splitlines()

    assert told[1:4] == ["  n0 (1 node): p is X", "    + b", "      and 1 step as planned"]
    assert told[-1] == "  and 10 nodes more"
