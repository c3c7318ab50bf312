"""What `wait` and `watch` believe of nodes follows from answers and events alone."""

from __future__ import annotations

from typing import Any

from kraken.cli.client import Event
from kraken.cli.scene import Scene


def node(name: str, cause: str, reason: str = "", **state: Any) -> dict[str, Any]:
    return {"name": name, "cause": cause, "reason": reason, "cfg": {}, "dsc": {}, **state}


def caused(name: str, cause: str, reason: str = "") -> Event:
    return Event("1-1", "cause", {"node": name, "cause": cause, "reason": reason, "at": 1.0})


def test_events_move_nodes_between_causes() -> None:
    scene = Scene()
    scene.load([node("n1", "RUNNING"), node("n2", "CONVERGED")])
    assert (scene.converged, scene.total) == (1, 2)

    scene.take(caused("n1", "CONVERGED"))

    assert scene.all_converged()


def test_an_event_about_nodes_we_do_not_look_at_changes_nothing() -> None:
    scene = Scene()
    scene.load([node("n1", "CONVERGED")])
    scene.take(caused("n9", "RUNNING"))

    assert scene.total == 1
    assert scene.all_converged()


def test_a_cause_of_an_earlier_cfg_does_not_count_as_converged() -> None:
    scene = Scene()
    scene.load([node("n1", "CONVERGED", cfg={"a": "B"}, dsc={"a": "OLD"})])

    assert not scene.all_converged()


def test_nodes_are_stuck_only_when_no_waiting_helps_any_of_them() -> None:
    scene = Scene()
    scene.load([node("n1", "HELD"), node("n2", "BACKOFF"), node("n3", "CONVERGED")])
    assert not scene.is_stuck()

    scene.take(caused("n2", "QUARANTINED"))
    assert scene.is_stuck()

    scene.load([node("n3", "CONVERGED")])
    assert not scene.is_stuck()


def test_nobody_to_wait_for_has_converged() -> None:
    assert Scene().all_converged()


def test_what_happens_to_many_nodes_at_once_is_one_line() -> None:
    scene = Scene()
    for name, at in (("n1", 1.0), ("n2", 1.5), ("n3", 60.0)):
        data = {"node": name, "variable": "a", "was": "X", "value": "Y", "source": "look", "at": at}
        scene.take(Event("1-1", "dsc", data))

    assert [(happening.text, happening.nodes) for happening in scene.recent] == [
        ("a: X -> Y (look)", {"n1", "n2"}),
        ("a: X -> Y (look)", {"n3"}),
    ]


def test_runs_come_and_go() -> None:
    scene = Scene()
    started = {
        "run": "7",
        "name": "power_on",
        "kind": "mutation",
        "nodeset": "n1",
        "timeout_s": 60,
        "at": 1.0,
    }
    scene.take(Event("1-1", "run-started", started))
    assert scene.runs["7"]["issued_at"] == 1.0

    scene.take(
        Event("1-2", "run-ended", {"run": "7", "name": "power_on", "outcomes": {"OK": "n1"}, "at": 2.0})
    )

    assert scene.runs == {}


def test_an_unknown_kind_of_event_is_shown_and_harms_nothing() -> None:
    happening = Scene().take(Event("1-1", "eclipse", {"of": "sun", "at": 1.0}))

    assert happening is not None
    assert happening.text == "eclipse of=sun"


def test_folding_puts_equal_nodes_together_most_first() -> None:
    scene = Scene()
    scene.load([node("n1", "HELD", "x"), node("n2", "WAITING", "y"), node("n3", "WAITING", "y")])

    assert scene.folded() == [
        {"cause": "WAITING", "count": 2, "nodeset": "n[2-3]", "reason": "y"},
        {"cause": "HELD", "count": 1, "nodeset": "n1", "reason": "x"},
    ]


def test_a_run_that_is_only_looked_after_is_not_shown_as_running() -> None:
    scene = Scene()
    run = {"name": "power_on", "nodeset": "n1", "issued_at": 1.0}

    scene.load([], [{**run, "id": "1", "out": 0}, {**run, "id": "2", "out": 1}])

    assert list(scene.runs) == ["2"]


def test_another_reason_is_shown_at_once_and_told_where_a_person_has_to_do_something() -> None:
    scene = Scene()
    scene.load([{"name": "n1", "cause": "NO_PATH", "reason": "no image"}, {"name": "n2", "cause": "BUDGET"}])
    no_path = {"node": "n1", "cause": "NO_PATH", "reason": "no kernel", "at": 1.0}
    told = scene.take(Event("1-1", "reason", no_path))
    quiet = scene.take(Event("1-2", "reason", {"node": "n2", "cause": "BUDGET", "reason": "rack", "at": 2.0}))

    assert told is not None
    assert (told.text, quiet) == ("NO_PATH: no kernel", None)
    assert {row["nodeset"]: row["reason"] for row in scene.folded()} == {"n1": "no kernel", "n2": "rack"}


def test_what_happens_between_collectors_is_told_in_words() -> None:
    scene = Scene()
    two = Event("1-1", "collector", {"collector": "rack7", "twins": True, "at": 1.0})
    one = Event("1-2", "collector", {"collector": "rack7", "twins": False, "at": 2.0})
    rack = {"collector": "rack7", "children": "n[1-8]", "count": 8, "of": 10, "within_s": 11.2, "at": 2.0}
    most = Event("1-2", "collector", {**rack, "outage": True})
    few = Event("1-2", "collector", {**rack, "outage": False})
    nodes = {"nodeset": "n[1-2]", "count": 2}
    nobody = Event("1-3", "nobody", {**nodes, "collector": "", "reason": "it waits", "at": 3.0})
    again = Event("1-4", "nobody", {**nodes, "collector": "rack8", "reason": "", "at": 4.0})
    gone = {"collector": "a[1-2]", "count": 2, "parent": "rack7", "is_up": False, "nodes": 0, "at": 5.0}
    silent = Event("1-5", "collector", gone)
    heard = Event("1-6", "collector", {**gone, "collector": "a1", "count": 1, "is_up": True, "at": 6.0})
    events = (two, one, most, few, nobody, again, silent, heard)
    told = [scene.take(event) for event in events]

    assert [happening.text for happening in told if happening is not None] == [
        "two daemons speak as collector rack7",
        "one daemon alone speaks as collector rack7 again",
        "8 of 10 children of collector rack7 fell silent together: n[1-8]",
        "most children of collector rack7 are heard again",
        "nobody runs n[1-2]: it waits",
        "collector rack8 runs n[1-2]",
        "2 collectors below rack7, a[1-2], are not heard any more: 0 nodes",
        "collector a1 below rack7 is heard",
    ]
