"""What people read of times and values."""

from __future__ import annotations

import json

import pytest
import yaml

from kraken.cli import output
from kraken.cli.output import Output, ago, as_yaml, assignments, clock, count, span, value_text, wants_colours


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (-5, "0 s"),
        (0.4, "0.4 s"),
        (59.6, "1 min"),
        (12.4, "12 s"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (7510, "2 h 5 min"),
        (86400 * 4 + 3600 * 3, "4 d 3 h"),
    ],
)
def test_a_span_is_said_in_two_units_at_most(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_what_lies_ahead_by_another_clock_counts_as_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "now", lambda: 100.0)

    assert ago(160.0) == "0 s"
    assert ago(None) == "-"


def test_a_moment_of_another_day_has_its_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "now", lambda: 1_790_000_000.0)

    assert len(clock(1_790_000_000.0)) == len("12:00:00")
    assert len(clock(1_789_000_000.0)) == len("2026-09-10 12:00")
    assert clock(None) == "-"


def test_numbers_agree_with_their_nouns() -> None:
    assert [count(n, "node") for n in (0, 1, 10_000)] == ["0 nodes", "1 node", "10,000 nodes"]


def test_values_show_as_they_are_typed() -> None:
    assert (
        assignments({"a": "B", "c": True, "d": None, "e": ["x", "y"], "f": []}) == "a=B c=true d=- e=x,y f=-"
    )
    assert value_text({"variables": ["a"]}) == "{variables: a}"


def test_json_and_yaml_are_the_answer_itself(capsys: pytest.CaptureFixture[str]) -> None:
    answer = {"z": 1, "a": [{"name": "é", "none": None}]}
    shown = Output()
    shown.show("json", answer, table=lambda: None)

    assert json.loads(capsys.readouterr().out) == answer
    assert yaml.safe_load(as_yaml(answer)) == answer
    assert list(yaml.safe_load(as_yaml(answer))) == ["z", "a"]


class Terminal:
    def isatty(self) -> bool:
        return True


def test_colours_need_a_terminal_and_no_objection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()

    assert wants_colours(terminal)  # type: ignore[arg-type]
    monkeypatch.setenv("TERM", "dumb")
    assert not wants_colours(terminal)  # type: ignore[arg-type]
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not wants_colours(terminal)  # type: ignore[arg-type]
