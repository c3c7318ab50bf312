"""What a person reads of each cause, with the fact behind it and what comes next."""

from __future__ import annotations

import pytest

from kraken.daemon.arrivals import HoldSet, Results
from kraken.engine.cause import Cause, Explanation, Fact, Verdict
from kraken.engine.settings import Settings
from kraken.model.hold import EVERY_NODE, Hold
from kraken.model.module import Change, Condition, Mutation, Variable
from kraken.model.run import NodeResult, Outcome
from kraken.model.update import Side
from kraken.planning.path import Path
from kraken.planning.planner import Planner

from .conftest import IPMI, Bench, vocabulary


def told(bench: Bench, node: str = "n1") -> Explanation:
    explanation = bench.engine.explain(node, bench.now)

    assert explanation.next_at is None or explanation.next_at >= bench.now

    return explanation


def test_converged_names_the_wishes(bench: Bench) -> None:
    bench.declare("n1", "n2", cfg={"power": "OFF"})
    bench.declare("n2", cfg={"power": None})
    bench.report("see_power", {"power": "OFF"})

    assert told(bench).reason == "power=OFF"
    assert told(bench, "n2").reason == "nothing is wished of it"


def test_running_says_how_far_it_is_and_when_it_is_given_up(off: Bench) -> None:
    issued_at = off.now

    assert told(off).reason == "m.switch_on is being done"
    assert told(off).next == "gives up and takes it for power=HUNG"
    assert told(off).next_at == issued_at + 60.0 + off.engine.settings.grace_s

    off.report("switch_on")

    assert told(off).reason == "m.switch_on was acknowledged; looking for power=ON"
    assert told(off).next_at == issued_at + 60.0

    fact = told(off).fact
    assert fact is not None
    assert (fact.variable, fact.value, fact.wanted, fact.source) == ("power", "OFF", "ON", "m.see_power")


def test_waiting_says_for_what(off: Bench) -> None:
    off.declare("n1", cfg={"os": "UP"})
    off.report("switch_on", {"power": "ON"})
    off.report("see_os")

    assert told(off).reason == "m.boot: waits for os=UP"


def test_held_names_the_reason_and_the_owner(bench: Bench) -> None:
    bench.declare("n1")
    bench.accept(HoldSet(Hold("h", "n1", "ann", "new memory", bench.now)))

    assert told(bench).reason == "new memory (ann)"
    assert told(bench).next == "`kraken release` lifts the hold"


def test_a_freeze_is_told_as_one_and_how_to_end_it(bench: Bench) -> None:
    bench.declare("n1")
    bench.accept(HoldSet(Hold("h", EVERY_NODE, "ann", "power work", bench.now)))

    assert told(bench).reason == "frozen: power work (ann)"
    assert told(bench).next == "`kraken thaw` lifts the freeze"


def test_a_pause_names_what_failed_how_often_and_when_it_goes_on(off: Bench) -> None:
    off.report("switch_on", {"power": "OFF"}, Outcome.FAILED)

    assert told(off).topic == "m.switch_on failed once"
    assert told(off).next == "tries again"
    assert told(off).next_at is not None


def test_who_waits_for_a_place_hears_its_place() -> None:
    bench = Bench(settings=Settings(linger_s={}, runs_max={"ipmi": 1}, batch_max=1))
    bench.declare("n1", cfg={"power": "ON"})
    bench.report("see_power", {"power": "OFF"})
    bench.declare("n2", cfg={"power": "ON"})
    bench.report("see_power", {"power": "OFF"})

    assert told(bench, "n2").reason == ("m.switch_on waits for its turn: 1 of 1; 1 of 1 ipmi runs under way")


def test_unknown_says_what_those_who_looked_had_to_say(bench: Bench) -> None:
    bench.declare("n1", cfg={"power": "ON"})

    assert told(bench).reason == "power is not known yet"
    assert told(bench).next == "is being looked at now"

    bench.report("see_power", outcome=Outcome.UNREACHABLE)

    assert told(bench).reason == "power cannot be seen"
    assert told(bench).next == "looks again"


def test_no_path_says_why(bench: Bench) -> None:
    bench.declare("n1", cfg={"power": "HUNG"})
    bench.report("see_power", {"power": "OFF"})

    assert bench.cause() == "NO_PATH"
    assert "power" in told(bench).reason
    assert told(bench).topic == "power"
    assert told(bench).next == "another Cfg or Kraken module would open a way"
    assert told(bench).reachable == {"power": ("OFF", "ON")}

    fact = told(bench).fact
    assert fact is not None
    assert (fact.variable, fact.value, fact.wanted, fact.source) == ("power", "OFF", "HUNG", "m.see_power")


def test_what_was_given_up_and_is_found_when_asked_again_is_told_as_it_was_decided(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.declare("n1", cfg={"power": "HUNG"})
    bench.report("see_power", {"power": "OFF"})
    before = told(bench)
    monkeypatch.setattr(Planner, "find_path_in", lambda *_: Path())

    assert before.cause == "NO_PATH"
    assert (told(bench).cause, told(bench).reason, told(bench).topic, told(bench).fact) == (
        before.cause,
        before.reason,
        before.topic,
        before.fact,
    )


def test_a_missing_attribute_is_the_fact_with_who_declared_it() -> None:
    led = Variable("m", "led", ("DARK", "LIT"))
    light = Mutation(
        "m",
        "light",
        (Change("led", None, "LIT"),),
        requires=(Condition("colour", ("red",)),),
        timeout_s=9.0,
        action=IPMI,
    )
    bench = Bench(vocabulary(led, light))
    bench.declare("n1", "n2", cfg={"led": "LIT"}, attributes={"colour": "blue"})
    bench.declare("n2", attributes={"colour": None})
    bench.wait(7.0)

    assert told(bench).cause == told(bench, "n2").cause == "REQUIRES_UNMET"
    assert told(bench).reason == (
        "no mutation sets led to LIT on colour=blue; the nearest is light, which requires colour=red"
    )
    assert told(bench).topic == told(bench, "n2").topic == "led"
    assert told(bench).next == "declaring colour=red would open a way"
    assert told(bench).fact == Fact("colour", "blue", "red", "test", 7.0, Side.ATTRIBUTE)
    assert told(bench, "n2").fact == Fact("colour", "", "red", "", None, Side.ATTRIBUTE)


def test_what_a_look_said_before_the_power_went_is_not_said_of_what_came_after(bench: Bench) -> None:
    bench.declare("n1", cfg={"os": "UP"})
    bench.report("see_power", {"power": "ON"})
    (look,) = bench.out("see_os")
    bench.accept(Results([NodeResult(look.id, "n1", Outcome.UNREACHABLE, {}, "connection refused")]))
    bench.wait(30.0)
    bench.report("see_power", {"power": "OFF"})
    bench.report("switch_on", {"power": "ON"})

    assert told(bench).reason == "os is not known yet"

    def hear(message: str) -> str:
        (look,) = bench.out("see_os")
        bench.accept(Results([NodeResult(look.id, "n1", Outcome.UNREACHABLE, {}, message)]))
        bench.engine.progress("n1").verdict = Verdict(Cause.UNKNOWN, "os", "os is not known yet")
        return told(bench).reason

    assert hear("no route to host") == "os is not known yet"  # it was sent before the power went
    bench.wait(5.0)
    assert hear("connection refused") == "os is not known yet: m.see_os: connection refused"


def test_who_pauses_or_waits_for_its_turn_shows_what_its_mutation_is_to_change(off: Bench) -> None:
    off.declare("n1", cfg={"os": "UP"})
    off.report("switch_on", {"power": "OFF"}, Outcome.FAILED)
    fact = told(off).fact

    assert told(off).cause == "BACKOFF"
    assert fact is not None
    assert (fact.variable, fact.value, fact.wanted) == ("power", "OFF", "ON")
