"""Events of ansible-runner become exactly one result per node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kraken.executors.ansible.account import Account
from kraken.executors.ansible.content import DONE_MARK, REFUSED_MARK, host_names
from kraken.executors.ansible.reasons import NO_ROOM
from kraken.model.module import Action, Change, Discovery, Mutation, Observes
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run


def account(
    *names: str,
    tasks: list[Any] | None = None,
    play: dict[str, Any] | None = None,
    looks: bool = False,
    **attributes: str,
) -> Account:
    action = Action("ansible", tasks or [], Path("/nowhere"), play or {})
    changes = (Change("service", None, "RUNNING"),)
    operator: Mutation | Discovery = Mutation(
        "web", "start", changes, action=action, asserts=play is not None
    )
    if looks:
        operator = Discovery("web", "look", (Observes("service"),), action)
    facts = {name: NodeFacts(name, dict(attributes)) for name in names}
    return Account(Run("r1", operator, names, 0.0, 29.978), host_names(names), facts)


def event(kind: str, host: str, task: str = "Work", res: Any = None, **data: Any) -> dict[str, Any]:
    return {"event": kind, "event_data": {"host": host, "task": task, "res": res, **data}}


def outcomes(results: list[NodeResult]) -> list[tuple[str, Outcome, str]]:
    return [(result.node, result.outcome, result.message) for result in results]


@pytest.mark.parametrize("kind", ["runner_on_ok", "runner_on_skipped"])
def test_the_result_of_the_last_task_tells_that_the_host_is_through(kind: str) -> None:
    book = account("n1", "n2")

    assert book.take(event(kind, "n1", "Work")) == []
    assert outcomes(book.take(event(kind, "n1", f"Work{DONE_MARK}"))) == [("n1", Outcome.OK, "")]
    assert book.out == ("n2",)


def test_a_failure_counts_when_the_host_was_refused_not_before() -> None:
    book = account("n1")

    assert book.take(event("runner_on_failed", "n1", "Work", {"msg": "no"})) == []
    assert outcomes(book.take(event("runner_on_ok", "n1", REFUSED_MARK))) == [
        ("n1", Outcome.FAILED, "Work: no")
    ]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ((), "dry run: it would change nothing"),
        (("Write", "Start"), "dry run: it would change by 'Write', 'Start'"),
    ],
)
def test_a_dry_run_tells_what_it_would_change_and_asserts_nothing(
    changed: tuple[str, ...], told: str
) -> None:
    book = account("n1", play={"check_mode": True})
    for task in ("Look", "Write"):
        book.take(event("runner_on_ok", "n1", task, {"changed": task in changed}))
    (result,) = book.take(event("runner_on_ok", "n1", f"Start{DONE_MARK}", {"changed": "Start" in changed}))

    assert outcomes([result]) == [("n1", Outcome.FAILED, told)]
    assert result.observed == {}


def test_an_ignored_failure_of_the_last_task_is_no_failure() -> None:
    book = account("n1")
    results = book.take(
        event("runner_on_failed", "n1", f"Work{DONE_MARK}", {"msg": "no"}, ignore_errors=True)
    )

    assert outcomes(results) == [("n1", Outcome.OK, "")]


def test_a_host_is_told_once_whatever_comes_after() -> None:
    book = account("n1")
    book.take(event("runner_on_ok", "n1", f"Work{DONE_MARK}"))

    assert book.take(event("runner_on_unreachable", "n1", "Work", {"msg": "gone"})) == []
    assert book.take({"event": "playbook_on_stats", "event_data": {"dark": {"n1": 1}}}) == []
    assert book.ended("ansible-playbook ended with status 4") == []


def test_an_unreachable_host_that_may_be_ignored_waits_for_the_end() -> None:
    book = account("n1", "n2", tasks=[{"ping": {}, "ignore_unreachable": True}])

    assert book.take(event("runner_on_unreachable", "n1", "Work", {"msg": "Connection refused"})) == []
    assert outcomes(book.take(event("runner_on_ok", "n1", f"Work{DONE_MARK}"))) == [("n1", Outcome.OK, "")]

    book.take(event("runner_on_unreachable", "n2", "Work", {"msg": "Connection refused"}))
    (told,) = book.take({"event": "playbook_on_stats", "event_data": {"dark": {"n2": 1}}})

    assert told.outcome is Outcome.UNREACHABLE
    assert told.message.startswith("connection refused")


def test_a_host_not_through_at_the_end_has_failed_unless_it_may_end_early() -> None:
    stats = {"event": "playbook_on_stats", "event_data": {"processed": {"n1": 1}}}
    early = [{"ansible.builtin.meta": "end_host"}]

    assert outcomes(account("n1").take(stats)) == [("n1", Outcome.FAILED, "ended before its last task")]
    assert outcomes(account("n1", tasks=early).take(stats)) == [("n1", Outcome.OK, "")]
    fatal = account("n1", tasks=[*early, {"block": [], "any_errors_fatal": True}])
    assert fatal.take(stats)[0].outcome is Outcome.FAILED


def test_a_gone_playbook_is_told_with_its_first_error() -> None:
    book = account("n1")
    book.take({"event": "verbose", "stdout": "[WARNING]: hm\nERROR! no such thing\nHint: look"})

    assert book.ended("status 4")[0].message == "no such thing (status 4)"


def test_a_gone_playbook_leaves_doubt_of_whom_it_had_in_hand() -> None:
    book = account("n1", "n2")
    book.take(event("runner_on_start", "n1", "Work"))

    assert outcomes(book.ended("killed")) == [
        ("n1", Outcome.INTERRUPTED, "killed; what it did is not known"),
        ("n2", Outcome.WITHDRAWN, "killed"),
    ]


def test_a_playbook_that_could_not_begin_is_no_fault_of_its_nodes() -> None:
    results = account("n1", "n2").ended("status 1")

    assert [(r.outcome, r.ours, r.asked) for r in results] == [(Outcome.WITHDRAWN, True, False)] * 2


SEALED_ITEM = {"failed": True, "msg": "Attempt to use undecryptable variable: Decryption failed"}
SEALED = "Error rendering template: Attempt to use undecryptable variable: Decryption failed"


@pytest.mark.parametrize(
    ("before", "res", "outcome", "ours"),
    [
        (None, {"msg": SEALED}, Outcome.WITHDRAWN, True),
        (None, {"msg": "All items completed", "results": [SEALED_ITEM]}, Outcome.WITHDRAWN, True),
        ({"changed": False}, {"msg": SEALED}, Outcome.WITHDRAWN, True),
        ({"changed": True}, {"msg": SEALED}, Outcome.FAILED, True),  # something was done before
        (None, {"msg": "failed", "changed": True, "results": [SEALED_ITEM]}, Outcome.FAILED, True),
        (
            None,
            {"msg": "non-zero return code", "stdout": SEALED},
            Outcome.FAILED,
            False,
        ),  # its command's words
    ],
)
def test_what_no_password_opens_is_no_fault_of_the_node_and_what_was_done_to_it_is_told(
    before: dict[str, Any] | None, res: dict[str, Any], outcome: Outcome, ours: bool
) -> None:
    book = account("n1")
    if before is not None:
        book.take(event("runner_on_ok", "n1", "Look", before))
    book.take(event("runner_on_failed", "n1", "Work", res))
    [result] = book.take(event("runner_on_ok", "n1", REFUSED_MARK))

    assert (result.ours, result.outcome) == (ours, outcome)
    assert "Work: " in result.message


@pytest.mark.parametrize("how", [{"play": {"check_mode": True}}, {"looks": True}])
def test_what_only_looks_has_done_nothing_whatever_its_tasks_say(how: dict[str, Any]) -> None:
    book = account("n1", **how)
    book.take(event("runner_on_ok", "n1", "Look", {"changed": True}))
    book.take(event("runner_on_failed", "n1", "Work", {"msg": SEALED}))
    [result] = book.take(event("runner_on_ok", "n1", REFUSED_MARK))

    assert (result.ours, result.outcome) == (True, Outcome.WITHDRAWN)


def test_what_failed_after_the_rescue_counts() -> None:
    book = account("n1")
    book.take(event("runner_on_failed", "n1", "Work", {"msg": SEALED}))
    book.take(event("runner_on_failed", "n1", "Rescue", {"msg": "no"}))

    assert not book.take(event("runner_on_ok", "n1", REFUSED_MARK))[0].ours


def test_and_of_everybody_where_it_was_not_heard_to_its_end() -> None:
    book = account("n1")

    assert outcomes(book.ended("not followed", is_followed=False)) == [
        ("n1", Outcome.INTERRUPTED, "not followed; what it did is not known")
    ]


def test_and_of_everybody_where_its_disk_was_full() -> None:
    """That somebody began may be what could not be told."""
    book = account("n1")
    book.take({"event": "verbose", "stdout": "OSError: [Errno 28] No space left on device"})
    (result,) = book.ended("status 1")

    assert result.outcome is Outcome.INTERRUPTED
    assert result.message == f"{NO_ROOM} (status 1); what it did is not known"


def test_time_over_tells_who_was_in_which_task_and_who_never_began() -> None:
    book = account("n1", "n2")
    book.take(event("runner_on_start", "n1", f"Work{DONE_MARK}"))

    assert outcomes(book.time_out()) == [
        ("n1", Outcome.TIMEOUT, "not through after 30 s, in 'Work'; what it did is not known"),
        ("n2", Outcome.CANCELLED, "its turn did not come within 30 s; nothing was done"),
    ]


@pytest.mark.parametrize(
    ("res", "observed"),
    [
        ({"kraken_dsc": {"a": "B"}}, {"a": "B"}),
        ({"ansible_facts": {"kraken_dsc": {"a": "B"}}}, {"a": "B"}),
        ({"results": [{"kraken_dsc": {"a": "B"}}, {"kraken_dsc": {"a": "C"}}]}, {"a": "C"}),
        ({"kraken_dsc": {"a": 3}}, {"a": "3"}),
    ],
)
def test_kraken_dsc_is_an_observation_wherever_a_result_carries_it(
    res: Any, observed: dict[str, str]
) -> None:
    (told,) = account("n1").take(event("runner_on_ok", "n1", f"Work{DONE_MARK}", res))

    assert (told.observed, told.message) == (observed, "")


@pytest.mark.parametrize(
    ("seen", "message"),
    [
        ("UP", "Work: kraken_dsc is not a mapping of variables to values"),
        ({"a": True}, "Work: kraken_dsc of a is not a text"),
        ({"a": ""}, "Work: kraken_dsc of a is not a text"),
        ({"a": ["B"]}, "Work: kraken_dsc of a is not a text"),
    ],
)
def test_a_malformed_kraken_dsc_is_mentioned_and_not_observed(seen: Any, message: str) -> None:
    (told,) = account("n1").take(event("runner_on_ok", "n1", f"Work{DONE_MARK}", {"kraken_dsc": seen}))

    assert (told.outcome, told.observed, told.message) == (Outcome.OK, {}, message)


def test_what_a_failing_task_saw_counts_too() -> None:
    book = account("n1")
    book.take(event("runner_on_failed", "n1", "Work", {"msg": "no", "kraken_dsc": {"service": "FAILED"}}))
    (told,) = book.take(event("runner_on_ok", "n1", REFUSED_MARK))

    assert told.observed == {"service": "FAILED"}


SAW = event("runner_on_ok", "n1", "Look", {"kraken_dsc": {"service": "STOPPED", "os": "UP"}})


def test_what_was_seen_before_a_task_failed_is_no_word_on_what_it_was_to_change() -> None:
    book = account("n1")
    book.take(SAW)
    book.take(event("runner_on_failed", "n1", "Work", {"msg": "no"}))
    (told,) = book.take(event("runner_on_ok", "n1", REFUSED_MARK))

    assert (told.outcome, told.observed) == (Outcome.FAILED, {"os": "UP"})


@pytest.mark.parametrize("said", ["fail", "ansible.builtin.fail", "ansible.builtin.assert"])
def test_what_was_seen_and_then_told_by_failing_is(said: str) -> None:
    book = account("n1")
    book.take(event("runner_on_failed", "n1", "Look", {"msg": "unfit"}, task_action="ansible.builtin.shell"))
    book.take({**SAW, "event_data": {**SAW["event_data"], "task_action": "ansible.builtin.set_fact"}})
    book.take(event("runner_on_failed", "n1", "Say so", {"msg": "unfit"}, task_action=said))
    (told,) = book.take(event("runner_on_ok", "n1", REFUSED_MARK))

    assert (told.outcome, told.observed) == (Outcome.FAILED, {"service": "STOPPED", "os": "UP"})


@pytest.mark.parametrize("ended", ["runner_on_ok", "runner_on_failed"])
def test_but_not_where_a_task_did_something_in_between(ended: str) -> None:
    book = account("n1")
    book.take({**SAW, "event_data": {**SAW["event_data"], "task_action": "ansible.builtin.set_fact"}})
    work = {"task_action": "ansible.builtin.command", "ignore_errors": True}
    book.take(event(ended, "n1", "Work", {"changed": True}, **work))
    book.take(event("runner_on_failed", "n1", "Say so", {"msg": "no"}, task_action="ansible.builtin.fail"))
    (told,) = book.take(event("runner_on_ok", "n1", REFUSED_MARK))

    assert (told.outcome, told.observed) == (Outcome.FAILED, {"os": "UP"})


@pytest.mark.parametrize("how", ["unreachable", "late", "killed", "stopped"])
def test_nor_is_what_was_seen_before_its_end_was_lost(how: str) -> None:
    book = account("n1")
    book.take(event("runner_on_start", "n1", "Look"))
    book.take(SAW)
    if how == "unreachable":
        results = book.take(event("runner_on_unreachable", "n1", "Work", {"msg": "gone"}))
    elif how == "late":
        results = book.time_out()
    elif how == "killed":
        results = book.ended("killed")
    else:
        results = book.give_up(Outcome.CANCELLED, "stopped")

    assert [told.observed for told in results] == [{"os": "UP"}]


def test_a_result_that_was_dropped_for_its_size_is_mentioned() -> None:
    (told,) = account("n1").take(event("runner_on_ok", "n1", f"Work{DONE_MARK}", {}))

    assert "too large" in told.message


def test_no_message_holds_a_password_of_its_node() -> None:
    book = account("n1", ansible_become_password="s3cret", ansible_ssh_private_key_file="/keys/a")
    book.take(event("runner_on_failed", "n1", "Work", {"msg": "s3cret is wrong for /keys/a"}))

    assert (
        book.take(event("runner_on_ok", "n1", REFUSED_MARK))[0].message
        == "Work: ******** is wrong for /keys/a"
    )


def test_events_of_hosts_nobody_asked_for_change_nothing() -> None:
    book = account("n1")

    assert book.take(event("runner_on_ok", "other", f"Work{DONE_MARK}")) == []
    assert book.out == ("n1",)


def test_what_no_log_hides_of_it_is_told_of_the_first_host_alone() -> None:
    book = account("n1", "n2", "n3")
    hidden = event("runner_on_failed", "n1", "Work", {"censored": "hidden"}) | {"stdout": SEALED}
    book.take(hidden)
    book.take(event("runner_on_failed", "n2", "Work", {"censored": "hidden"}))
    book.take(event("runner_on_failed", "n3", "Other", {"censored": "hidden"}))
    results = [book.take(event("runner_on_ok", name, REFUSED_MARK))[0] for name in ("n1", "n2", "n3")]

    assert [result.ours for result in results] == [True, True, False]
