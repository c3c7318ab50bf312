"""The action plugins of modules that wait: parts of one wait, and what is said meanwhile."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.kraken.hpc.plugins.action import plan, state
from ansible_collections.kraken.hpc.plugins.plugin_utils import waiting


def told(waited_s: float, text: str, away_s: float = 0.0) -> dict[str, Any]:
    return {"_part": {"waited_s": waited_s, "away_s": away_s, "text": text}}


class Parts:
    """An action whose modules return these results, and take so long."""

    def __init__(self, results: list[dict[str, Any]], took_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[dict[str, Any]] = []
        self.said: list[str] = []
        self.now = 100.0
        self._results, self._took_s = results, took_s
        self.action = state.ActionModule.__new__(state.ActionModule)
        args = {"nodes": "n1", "wait": True}
        self.action._task = SimpleNamespace(args=args, action="kraken.hpc.state", no_log=False)
        monkeypatch.setattr(self.action, "_execute_module", self._perform)
        monkeypatch.setattr(waiting.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(waiting.display, "display", lambda text, stderr: self.said.append(text))

    def _perform(self, module_args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(module_args)
        self.now += self._took_s
        return self._results.pop(0)


def test_a_wait_that_is_over_in_its_first_part_is_one_module(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {"invocation": {"module_args": {"nodes": "n1", "part": {"part_s": 5}}}}
    parts = Parts([{"changed": True, "waited_s": 3.0, **shown}], 3.0, monkeypatch)

    assert parts.action._in_parts({}) == {
        "changed": True,
        "waited_s": 3.0,
        "invocation": {"module_args": {"nodes": "n1"}},
    }
    assert parts.asked == [{"nodes": "n1", "wait": True, "part": {"part_s": waiting.FIRST_S}}]
    assert parts.said == []


def test_what_was_declared_is_of_the_first_part_and_how_it_went_of_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    results = [
        {"changed": True, "changed_nodes": "n1", **told(5.0, "1 of 1 nodes remain: n1 RUNNING")},
        {"changed": False, **told(15.0, "1 of 1 nodes remain: n1 BACKOFF")},
        {"changed": False, "failed": True, "msg": "not converged", "waited_s": 20.0},
    ]
    parts = Parts(results, 10.5, monkeypatch)

    assert parts.action._in_parts({}) == {
        "changed": True,
        "changed_nodes": "n1",
        "failed": True,
        "msg": "not converged",
        "waited_s": 20.0,
    }
    assert parts.said == [
        "kraken.hpc.state waits for 5 s: 1 of 1 nodes remain: n1 RUNNING",
        "kraken.hpc.state waits for 15 s: 1 of 1 nodes remain: n1 BACKOFF",
    ]


def test_the_start_of_each_part_counts_as_waiting_and_as_kraken_being_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    results = [told(5.0, "x"), told(15.0, "x", away_s=4.0), {"waited_s": 17.0}]
    parts = Parts(results, 11.0, monkeypatch)
    parts.action._in_parts({})

    befores = [asked["part"].get("before") for asked in parts.asked]
    assert [before and (before["waited_s"], before["away_s"]) for before in befores] == [
        None,
        (5.0, 0.0),
        (16.0, 5.0),
    ]


def test_what_stays_as_it_is_is_said_once_a_minute_and_of_a_secret_task_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    results = [told(5.0 + 10.0 * i, "the same") for i in range(8)]
    parts = Parts([*results, {}], 10.0, monkeypatch)
    parts.action._in_parts({})

    assert [line.split()[3] for line in parts.said] == ["5", "65"]

    parts = Parts([told(5.0, "n1"), {}], 10.0, monkeypatch)
    parts.action._task.no_log = True
    parts.action._in_parts({})

    assert parts.said == []


def test_each_module_that_waits_for_nodes_has_the_action() -> None:
    for plugin in (plan, state):
        assert issubclass(plugin.ActionModule, waiting.WaitingAction)
