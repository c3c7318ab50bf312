"""`kraken power` where its daemon goes away, and where others interfere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kraken.cli import following
from kraken.cli.app import run
from kraken.cli.errors import Exit
from kraken.errors import DaemonAwayError

ORDERED = {"id": "a1", "at": 1.0, "do": "off", "nodeset": "n1", "count": 1, "repeated": ""}


def row(stage: str, over: bool, id: str = "a1") -> dict[str, Any]:
    command = {"id": id, "name": "power_off", "by": "ada", "at": 1.0, "stage": stage, "over": over}
    return {
        "node": "n1",
        "value": "POWER_OFF",
        "seen_at": 1.0,
        "stale": False,
        "looking": False,
        "said": "",
        "reach": "OK",
        "command": {**command, "ended_at": 1.0 if over else None, "message": ""},
    }


def rules(*answers: dict[str, Any]) -> list[dict[str, Any]]:
    """A daemon that takes the command, and tells so of how far it is; the last answer for ever."""
    told = [
        {"call": "GET /v1/power", "once": one is not answers[-1], "answer": {"at": 1.0, "nodes": [one]}}
        for one in answers
    ]
    return [
        {"call": "POST /v1/power", "answer": ORDERED},
        {"call": "GET /v1/events", "events": []},
        *told,
    ]


def test_a_command_is_followed_until_it_is_over(
    daemon: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    daemon(*rules(row("QUEUED", False), row("SENT", False), row("OK", True)))

    assert run(["power", "n1", "off", "--yes"]) == Exit.DONE
    assert capsys.readouterr().out == "POWER_OFF   n1\n"


def test_a_node_that_was_done_stays_so_whatever_others_command_then(
    daemon: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    both = [row("OK", True), {**row("SENT", False), "node": "n2"}]
    later = [row("SENT", False, id="b2"), {**row("OK", True), "node": "n2"}]
    daemon(
        {"call": "POST /v1/power", "answer": ORDERED},
        {"call": "GET /v1/events", "events": []},
        {"call": "GET /v1/power", "once": True, "answer": {"at": 1.0, "nodes": both}},
        {"call": "GET /v1/power", "answer": {"at": 1.0, "nodes": later}},
    )

    assert run(["power", "n[1-2]", "off", "--yes"]) == Exit.DONE
    assert capsys.readouterr().out == "POWER_OFF   n1\nPOWER_OFF   n2\n"


def test_a_daemon_that_is_gone_for_good_is_a_time_out_and_said_once(
    daemon: Callable[..., Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any) -> Any:
        raise DaemonAwayError("no daemon listens")

    daemon(*rules(row("SENT", False)))
    monkeypatch.setattr(following, "power_of", gone)

    assert run(["power", "n1", "off", "--yes", "--timeout", "2s"]) == Exit.TIMEOUT
    told = capsys.readouterr().err
    assert told.count("no daemon listens; waiting for it to come back") == 1
    assert "the daemon did not answer" in told


def test_power_that_cannot_be_declared_alone_points_to_where_more_can_be_said(
    daemon: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    refusal = {
        "type": "urn:kraken:problem:unreachable",
        "title": "No path",
        "status": 409,
        "detail": "no path leads there: n1: phys_state=POWER_OFF cannot be had together with slurm_state=UP",
        "hint": "--allow-unreachable declares it all the same",
    }
    daemon({"call": "POST /v1/power/declare", "status": 409, "answer": refusal})

    assert run(["power", "n1", "off", "--declare", "--yes"]) == Exit.REFUSED
    told = capsys.readouterr().err
    assert "slurm_state=UP" in told
    assert "`kraken set` declares it together with what can be had with it" in told
    assert "--allow-unreachable" not in told, "it is no option here"


def test_power_that_nobody_could_look_at_says_why(
    daemon: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Its BMC answered as long as its collector did."""
    silent = {**row("OK", True), "value": "POWER_ON", "command": None, "stale": True}
    why = "collector rack4 did not answer within 10 s"
    item = {"node": "n1", "changed": False, "diff": {}, "message": why, "discoveries": []}
    daemon(
        {"call": "GET /v1/power", "answer": {"at": 1000.0, "nodes": [silent]}},
        {"call": "GET /v1/events", "events": []},
        {"call": "POST /v1/discover", "answer": {"changed": 0, "items": [item]}},
    )

    assert run(["power", "n1", "status"]) == Exit.PARTIAL
    assert capsys.readouterr().out.startswith(f"UNSEEN      n1  {why}; POWER_ON was seen ")
