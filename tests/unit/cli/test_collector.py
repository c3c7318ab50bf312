"""`kraken collector`: a token goes to stdout alone, and keys may take a while; and `status` tells of both."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from kraken.cli.errors import Exit

Call = Callable[..., Any]
INVITED = {
    "name": "rack7",
    "parent": "head1",
    "token": "KRK1-c2VjcmV0",
    "expires_at": 2e9,
    "addresses": ["head1:7411"],
    "replaces": False,
}
FLOW = {"letters_in_s": 0.0, "bytes_in_s": 0.0, "letters_out_s": 0.0, "bytes_out_s": 0.0, "dropped": 0}


NUMBERS = {"heard_s": 1.0, "lag_s": 0.02, "nodes": 64}


def row(**more: Any) -> dict[str, Any]:
    standing = {"name": "rack7", "state": "CONNECTED", "since": 1.0, "key": "old", "changing_key": False}
    return {**standing, "parent": "head1", "expires_at": None, "flow": FLOW, **NUMBERS, **more}


def listing(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = {"at": 1.0, "name": "head1", "nodes": 2, "listen": "*:7411", "parent": None, "refused": {}}
    return {"call": "GET /v1/collectors", "answer": {**answer, "collectors": list(rows), **more}}


def above(**more: Any) -> dict[str, Any]:
    parent = {
        "name": "top",
        "state": "CONNECTED",
        "reason": "connected",
        "since": 1.0,
        "key": "K",
        "flow": FLOW,
    }
    return {**parent, "own_key": "old", "changing_key": False, **more}


def test_a_token_is_all_that_a_pipe_gets(daemon: Call, kraken: Call) -> None:
    server = daemon({"call": "POST /v1/collectors/invite", "answer": INVITED})
    done = kraken("collector", "invite", "rack7", "--expires", "10m", "--address", "head1:7411")

    assert done == (Exit.DONE, "KRK1-c2VjcmV0\n", "")
    sent = server.calls[0]["body"]
    assert sent == {"name": "rack7", "expires_s": 600.0, "addresses": ["head1:7411"]}


def test_a_token_can_be_had_as_json_with_all_that_belongs_to_it(daemon: Call, kraken: Call) -> None:
    daemon({"call": "POST /v1/collectors/invite", "answer": INVITED})

    assert json.loads(kraken("collector", "invite", "rack7", "-o", "json").out) == INVITED


def test_the_list_is_a_line_of_json_for_each_when_asked_for(daemon: Call, kraken: Call) -> None:
    daemon(listing(row(), row(name="rack8")))
    lines = kraken("collector", "list", "-o", "ndjson").out.splitlines()

    assert [json.loads(line)["name"] for line in lines] == ["rack7", "rack8"]


def test_an_invitation_for_one_that_is_there_is_seen_beside_its_state(daemon: Call, kraken: Call) -> None:
    daemon(listing(row(expires_at=2e9)))

    assert "connected, invited again" in kraken("collector", "list").out


def test_collectors_are_drawn_below_those_they_hang_from_at_any_depth(daemon: Call, kraken: Call) -> None:
    deeper = {"key": "", "flow": None, "heard_s": None, "lag_s": None}
    rows = [
        row(name="row1"),
        row(name="row2"),
        row(name="agent1", parent="rack1", **deeper),
        row(name="rack1", parent="row1", **deeper),
        row(name="rack2", parent="row1", state="AWAY", **deeper),
        row(name="lost", parent="nobody", **deeper),
        row(name="one", parent="other", **deeper),
        row(name="other", parent="one", **deeper),
    ]
    daemon(listing(*rows))
    lines = kraken("collector", "list").out.splitlines()

    assert [
        line.split("  connected")[0].split("  away")[0].split("  this")[0].rstrip() for line in lines[1:]
    ] == [
        "head1",
        "├─ row1",
        "│  ├─ rack1",
        "│  │  └─ agent1",
        "│  └─ rack2",
        "├─ row2",
        "├─ lost",
        "├─ one",
        "└─ other",
    ]


def test_one_own_key_is_waited_for_until_the_parent_has_seen_the_new(daemon: Call, kraken: Call) -> None:
    rules = [listing(parent=above(**one)) for one in ({}, {"changing_key": True}, {"own_key": "new"})]
    daemon(
        {"call": "POST /v1/collectors/rotate", "answer": {"name": "head1", "key": "old"}},
        *({**rule, "once": True} for rule in rules),
    )
    done = kraken("collector", "rotate")

    assert done.out == "head1: its key begins with new now; it was old.\n"


@pytest.mark.parametrize("standing", [row(), row(changing_key=True), row(key="new", changing_key=True)])
def test_a_key_that_takes_too_long_is_no_failure_but_not_done(
    daemon: Call, kraken: Call, standing: dict[str, Any]
) -> None:
    daemon(
        {"call": "POST /v1/collectors/rotate", "answer": {"name": "rack7", "key": "old"}}, listing(standing)
    )
    done = kraken("collector", "rotate", "rack7", "--timeout", "100ms")

    assert done.code == Exit.TIMEOUT
    assert "it goes on by itself" in done.err


def test_somebody_who_was_revoked_meanwhile_never_gets_the_key_that_is_waited_for(
    daemon: Call, kraken: Call
) -> None:
    daemon({"call": "POST /v1/collectors/rotate", "answer": {"name": "rack7", "key": "old"}}, listing())

    assert kraken("collector", "rotate", "rack7", "--timeout", "100ms").code == Exit.TIMEOUT


def status_of(daemon: Call, kraken: Call, **counts: Any) -> list[str]:
    """What `kraken status` says of collectors."""
    none = {"parent": None, "parent_state": None, "parent_reason": None, "below": 0, "connected": 0}
    health = {"nodes": 1, "causes": {"CONVERGED": 1}, "collectors": {**none, "refused": {}, **counts}}
    daemon(
        {"call": "GET /v1/health", "answer": health},
        *({"call": f"GET /v1/{what}", "answer": {}} for what in ("explain", "runs", "holds")),
    )
    lines = kraken("status").out.splitlines()
    return [line for line in lines if "ollector" in line or line.startswith(("Parent", "Two"))]


def test_status_tells_how_it_stands_with_the_parent_and_who_is_below(daemon: Call, kraken: Call) -> None:
    counts = {
        "below": 4,
        "connected": 3,
        "away": ["rack8"],
        "twins": ["rack7"],
        "refused": {"unknown key": 2},
    }
    parent = {"parent": "top", "parent_state": "REFUSED", "parent_reason": "it must invite us anew"}

    assert status_of(daemon, kraken, **counts, **parent) == [
        "Parent top: it must invite us anew",
        "Collectors: 3 of 4 connected; not heard: rack8",
        "Two daemons speak as rack7: neither begins anything until one of them is stopped",
        "Collectors refused: unknown key (2 times) (the daemon's log names them)",
    ]


@pytest.mark.parametrize(("running", "is_told"), [(3, True), (0, False)])
def test_status_says_how_others_are_asked_what_they_run(
    daemon: Call, kraken: Call, running: int, is_told: bool
) -> None:
    health = {"nodes": 3, "causes": {"RUNNING": running} if running else {}, "version": "1"}
    daemon(
        {"call": "GET /v1/health", "answer": health},
        {"call": "GET /v1/explain", "answer": {"folded": []}},
        {"call": "GET /v1/runs", "answer": {"runs": [], "elsewhere": ["rack7"]}},
        {"call": "GET /v1/holds", "answer": {"holds": []}},
    )

    assert ("What others run: kraken --at rack7 runs --active" in kraken("status").out) == is_told


@pytest.mark.parametrize(
    ("number", "told"), [(1, "c0 (its disk is full)"), (10, "c0 (its disk is full), c1 ... and 2 more")]
)
def test_status_names_collectors_that_are_not_well_and_of_what(
    daemon: Call, kraken: Call, number: int, told: str
) -> None:
    degraded = [{"name": f"c{n}", "reason": "its disk is full", "since": 1.0} for n in range(number)]
    (line,) = status_of(daemon, kraken, below=12, connected=12, degraded=degraded)
    first, _, last = told.partition("...")

    assert line.startswith(f"Collectors: 12 of 12 connected; degraded: {first}")
    assert line.endswith(last)
    assert line.count("full") == min(number, 8)


def test_status_tells_of_what_this_collector_itself_is_not_well(daemon: Call, kraken: Call) -> None:
    degraded = [{"name": "c1", "reason": "its disk is full", "since": 1.0}]
    counts = {"parent": None, "below": 1, "connected": 1, "refused": {}, "degraded": degraded}
    reasons = ["its state cannot be written", "1 Kraken module was refused", "collector c1: its disk is full"]
    daemon(
        {"call": "GET /v1/health", "answer": {"nodes": 1, "reasons": reasons, "collectors": counts}},
        *({"call": f"GET /v1/{what}", "answer": {}} for what in ("explain", "runs", "holds")),
    )

    assert kraken("status").out.splitlines()[1:3] == [
        "This collector is degraded: its state cannot be written; 1 Kraken module was refused",
        "Collectors: 1 of 1 connected; degraded: c1 (its disk is full)",
    ]


def test_the_list_tells_below_it_of_what_a_collector_is_not_well(daemon: Call, kraken: Call) -> None:
    daemon(listing(row(health="its disk is full", health_since=-119.0), row(name="rack8", health="")))
    lines = kraken("collector", "list").out.splitlines()

    assert "connected, degraded" in lines[2]
    assert "degraded" not in lines[3]
    assert lines[4:] == ["rack7 is degraded for 2 min: its disk is full"]


def test_status_of_one_that_is_alone_says_nothing_of_collectors(daemon: Call, kraken: Call) -> None:
    assert status_of(daemon, kraken) == []


def test_parents_further_down_are_asked_and_who_does_not_answer_is_named(daemon: Call, kraken: Call) -> None:
    deeper = {"key": "", "flow": None, "heard_s": None, "lag_s": None}
    rows = [row(), row(name="n1", parent="rack7", **deeper)]
    server = daemon(listing(*rows, unanswered={"rack7": "collector rack7 did not answer within 3 s"}))
    told = kraken("collector", "list").out

    assert server.calls[0]["query"] == {"below": "asked"}
    (line,) = (line for line in told.splitlines() if "└─ n1" in line)
    assert line.split()[-6:] == ["-", "-", "64", "-", "-", "-"]
    assert "rack7 does not tell of those below it: collector rack7 did not answer within 3 s" in told


def test_a_daemon_of_before_names_nobody_that_did_not_answer(daemon: Call, kraken: Call) -> None:
    daemon(listing(row()))

    assert "does not tell" not in kraken("collector", "list").out
