from __future__ import annotations

import pytest

from kraken.sync import calls as calls_module
from kraken.sync.calls import Calls
from kraken.sync.events import Answered, Called, Event, Refused
from kraken.sync.letters import Body, Call, Reply
from tests.unit.sync.conftest import Neighbourhood

NOW = 0.0  # as in `Neighbourhood.sent`
UNTIL = NOW + 1.0


def call(to: str, number: str = "1") -> Call:
    return Call(number, to, "explain", b"n1", 1000)


def ask(calls: Calls, to: str, source: str | None, number: str = "1", until: float = UNTIL) -> list[Event]:
    return calls.call(call(to, number), source, until, NOW)


@pytest.fixture
def around() -> Neighbourhood:
    """A collector with a parent and two children that are heard."""
    found = Neighbourhood("m", parent="root")
    for name in ("root", "a", "b"):
        found.add(name, is_up=True)
    return found


def calls_of(around: Neighbourhood) -> Calls:
    return Calls("m", around.links, lambda name: {"a": "a", "aa": "a", "b": "b"}.get(name))


def sent(around: Neighbourhood) -> list[tuple[str, Body]]:
    """Calls and replies only."""
    return [(name, body) for name, body in around.sent() if isinstance(body, Call | Reply)]


def test_a_call_to_us_is_taken(around: Neighbourhood) -> None:
    assert ask(calls_of(around), "m", "root") == [Called(call("m"), UNTIL)]
    assert sent(around) == []


@pytest.mark.parametrize("source", ["root", None])
def test_a_call_goes_down_to_who_has_the_collector_below(around: Neighbourhood, source: str | None) -> None:
    assert ask(calls_of(around), "aa", source) == []
    assert sent(around) == [("a", call("aa"))]


def test_a_call_from_below_is_forbidden(around: Neighbourhood) -> None:
    calls = calls_of(around)
    for to in ("m", "b"):
        assert ask(calls, to, "a") == []

    assert [(name, body.status) for name, body in sent(around) if isinstance(body, Reply)] == [("a", 403)] * 2


def test_an_answer_finds_back_the_way_its_call_came(around: Neighbourhood) -> None:
    calls = calls_of(around)
    ask(calls, "aa", "root")
    calls.reply(Reply("1", 200, b"part", last=False), "a")
    calls.reply(Reply("1", 200, b"end"), "a")

    assert [(name, body.body) for name, body in sent(around) if isinstance(body, Reply)] == [
        ("root", b"part"),
        ("root", b"end"),
    ]


def test_an_answer_to_our_own_call_is_ours(around: Neighbourhood) -> None:
    calls = calls_of(around)
    ask(calls, "aa", None)

    assert calls.reply(Reply("1", 200, b"yes"), "a") == [Answered(Reply("1", 200, b"yes"))]


@pytest.mark.parametrize("to", ["aa", "elsewhere"])
def test_who_is_not_reached_is_answered_for_with_503(around: Neighbourhood, to: str) -> None:
    around.links["a"].is_up = False
    events = ask(calls_of(around), to, None)

    assert events == [Answered(Reply("1", 503, f"collector {to} is not reached from m".encode()))]


def test_a_parent_that_asks_for_who_is_not_reached_is_told_so(around: Neighbourhood) -> None:
    assert ask(calls_of(around), "elsewhere", "root") == []
    assert sent(around) == [("root", Reply("1", 503, b"collector elsewhere is not reached from m"))]


def test_answers_awaited_are_bounded_and_the_oldest_is_given_up(
    around: Neighbourhood, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls_module, "CALLS_MAX", 3)
    calls = calls_of(around)
    for number in range(4):
        ask(calls, "aa", "root", str(number))
    sent(around)
    for number in ("0", "3"):
        calls.reply(Reply(number, 200, b""), "a")

    assert sent(around) == [("root", Reply("3", 200, b""))]


def test_an_answer_for_a_parent_that_is_gone_is_dropped(around: Neighbourhood) -> None:
    calls = calls_of(around)
    ask(calls, "aa", "root")
    around.links.remove("root")

    assert calls.reply(Reply("1", 200, b""), "a") == []
    assert not [name for name, body in sent(around) if isinstance(body, Reply)]


def test_nobody_answers_but_who_was_asked(around: Neighbourhood) -> None:
    calls = calls_of(around)
    ask(calls, "aa", "root")
    sent(around)

    assert calls.reply(Reply("1", 200, b"lies"), "b") == [Refused("b", "it answers what it was not asked")]
    assert calls.reply(Reply("1", 200, b"lies"), None) == []
    assert sent(around) == []

    calls.reply(Reply("1", 200, b"yes"), "a")

    assert sent(around) == [("root", Reply("1", 200, b"yes"))]


def test_an_answer_that_comes_twice_counts_once(around: Neighbourhood) -> None:
    calls = calls_of(around)
    ask(calls, "aa", None)

    assert calls.reply(Reply("1", 200, b"yes"), "a") == [Answered(Reply("1", 200, b"yes"))]
    assert calls.reply(Reply("1", 200, b"yes"), "a") == []


@pytest.mark.parametrize("to", ["m", "aa"])
def test_what_came_so_late_that_perhaps_nobody_waits_is_neither_begun_nor_passed_on(
    around: Neighbourhood, to: str
) -> None:
    assert ask(calls_of(around), to, "root", until=NOW) == []
    assert sent(around) == [("root", Reply("1", 408, b"it came to m too late to be begun"))]


def test_a_call_that_comes_twice_is_taken_once(around: Neighbourhood) -> None:
    calls = calls_of(around)

    assert ask(calls, "m", "root") == [Called(call("m"), UNTIL)]
    assert ask(calls, "m", "root") == []

    calls.reply(Reply("1", 200, b"done"), None)

    assert ask(calls, "m", "root") == []
    assert calls.call(call("m"), "root", UNTIL, UNTIL + 1.0) == []
    assert [body for _, body in sent(around)] == [Reply("1", 200, b"done")]


def test_a_call_that_comes_twice_is_passed_on_once(around: Neighbourhood) -> None:
    calls = calls_of(around)
    ask(calls, "aa", "root")
    ask(calls, "aa", "root")

    assert sent(around) == [("a", call("aa"))]


def test_of_calls_that_are_long_over_nothing_is_kept(around: Neighbourhood) -> None:
    calls = calls_of(around)
    ask(calls, "m", "root")
    calls.call(call("m", "2"), "root", UNTIL + 100.0, UNTIL + 60.0)

    assert calls.call(call("m"), "root", UNTIL + 100.0, UNTIL + 60.0) == [Called(call("m"), UNTIL + 100.0)]
