"""The daemon's life: nodes converge, what is known survives, hands that fail cost only themselves."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pytest

from kraken.api.views import health
from kraken.daemon import daemon as daemon_module
from kraken.daemon import performing
from kraken.daemon.clock import Clock
from kraken.daemon.daemon import Daemon
from kraken.daemon.operations import Operations, Request
from kraken.engine.cause import Cause
from kraken.errors import ExecutorError, StoreError
from kraken.executors import Executor, Report
from kraken.executors.fake import FakeExecutor, FakeWorld
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run
from kraken.model.update import Side
from kraken.store.records import Entry, RunEntry, StartRun
from kraken.store.store import Store
from kraken.testing.daemons import KINDS, LAB

Start = Callable[..., Awaitable[Daemon]]
Eventually = Callable[[Callable[[], Any]], Awaitable[None]]

ON: dict[str, Any] = {"nodes": {"n1": {"cfg": {"power": "ON"}}}}
SERVICE: dict[str, Any] = {
    "nodes": {"n[1-3]": {"attributes": {"service.unit": "d"}, "cfg": {"power": "ON", "service": "RUNNING"}}}
}


def cause(daemon: Daemon, name: str = "n1") -> Cause:
    return daemon.collector.engine.cause(name)


def reason(daemon: Daemon, name: str = "n1") -> str:
    return daemon.collector.engine.explain(name, daemon.clock()).reason


async def runs(daemon: Daemon) -> list[RunEntry]:
    return await daemon.journal.read(lambda store: store.runs())


async def history(daemon: Daemon, name: str) -> list[Entry]:
    return await daemon.journal.read(lambda store: store.history(nodes=[name]))


def events(daemon: Daemon, kind: str) -> list[Mapping[str, Any]]:
    return [event.data for event in daemon.events.newer(0) if event.kind == kind]


def modules(place: Path, timeout: str) -> Path:
    """The directory of module files; their mutations time out so soon."""
    directory = place / "modules"
    directory.mkdir()
    (directory / "lab.yml").write_text(LAB.replace("timeout: 60s", f"timeout: {timeout}"))
    return directory


class Hands(FakeExecutor):
    """Does as the fake world says, unless `doing` is told to do otherwise with mutations."""

    def __init__(self, world: FakeWorld) -> None:
        super().__init__(world)
        self.doing: Callable[[Run, Report], Awaitable[None]] | None = None
        self.asked: list[Run] = []
        self.closed = False
        self.left: list[str] = []
        self.insisted: list[str] = []

    def leave(self, nodes: Collection[str]) -> None:
        self.left += nodes

    def insist(self, nodes: Collection[str]) -> None:
        self.insisted += nodes

    async def run(self, run: Run, nodes: Mapping[str, NodeFacts], report: Report) -> None:
        self.asked.append(run)
        if run.is_mutation and self.doing is not None:
            await self.doing(run, report)
        else:
            await super().run(run, nodes, report)

    async def close(self) -> None:
        self.closed = True
        await super().close()

    @property
    def mutations(self) -> list[str]:
        return [run.operator.name for run in self.asked if run.is_mutation]


@pytest.fixture
def hands() -> Hands:
    return Hands(FakeWorld({"n1": {"power": "OFF"}}))


@pytest.fixture
def executors(hands: Hands) -> dict[str, Executor]:
    return dict.fromkeys(KINDS, hands)


# -- converging ---------------------------------------------------------------------------------


async def test_nodes_converge_and_the_journal_tells_how(
    start: Start, me: Request, eventually: Eventually
) -> None:
    world = FakeWorld({f"n{i}": {"power": "OFF", "service": "STOPPED"} for i in (1, 2, 3)})
    daemon = await start(world=world)
    await Operations(daemon).apply(SERVICE, me)
    await eventually(lambda: all(cause(daemon, f"n{i}") == "CONVERGED" for i in (1, 2, 3)))
    started, switched = await runs(daemon)
    told = [(entry.kind, entry.text) for entry in reversed(await history(daemon, "n1"))]

    assert world.truth["n2"] == {"power": "ON", "service": "RUNNING"}
    assert [(run.module, run.name, run.kind) for run in (switched, started)] == [
        ("lab", "switch_on", "mutation"), ("lab", "start_service", "mutation"),
    ]  # fmt: skip
    assert switched.nodes == ("n1", "n2", "n3")
    assert switched.outcomes() == {Outcome.OK: ["n1", "n2", "n3"]}
    assert switched.results[0].observed == {"power": "ON"}
    assert switched.ended_at is not None
    assert [text for kind, text in told if kind in ("node", "dsc")] == [
        "declared: 1 attribute; power=ON, service=RUNNING",
        "power: - -> OFF",
        "power: OFF -> ON",
        "service: - -> STOPPED",
        "service: STOPPED -> RUNNING",
    ]
    assert [text.split(":")[0] for kind, text in told if kind == "run"] == ["switch_on", "start_service"]


async def test_the_events_tell_it_too_and_in_order(start: Start, me: Request, eventually: Eventually) -> None:
    daemon = await start(world=FakeWorld({"n1": {"power": "OFF"}}))
    await Operations(daemon).apply(ON, me)
    await eventually(lambda: cause(daemon) == "CONVERGED")
    await eventually(lambda: [e for e in events(daemon, "run-ended") if e["kind"] == "mutation"])
    (begun,) = [e for e in events(daemon, "run-started") if e["kind"] == "mutation"]
    (result,) = events(daemon, "run-result")
    (ended,) = [e for e in events(daemon, "run-ended") if e["kind"] == "mutation"]

    assert begun["nodeset"] == "n1"
    assert begun["run"] == result["run"] == ended["run"]
    assert (result["node"], result["outcome"], ended["outcomes"]) == ("n1", "OK", {"OK": "n1"})
    assert [(e["was"], e["value"]) for e in events(daemon, "dsc")] == [(None, "OFF"), ("OFF", "ON")]
    causes = events(daemon, "cause")
    assert causes[-1]["cause"] == "CONVERGED"
    assert all(a["cause"] == b["was"] for a, b in itertools.pairwise(causes))
    assert [e["value"] for e in events(daemon, "cfg")] == ["ON"]


async def test_a_run_is_active_until_its_effect_is_seen(
    start: Start, me: Request, eventually: Eventually
) -> None:
    daemon = await start(world=FakeWorld({"liar1": {"power": "OFF"}}))
    await Operations(daemon).apply({"nodes": {"liar1": {"cfg": {"power": "ON"}}}}, me)
    await eventually(lambda: [e for e in events(daemon, "run-ended") if e["kind"] == "mutation"])
    (run,) = await runs(daemon)

    assert cause(daemon, "liar1") == "RUNNING"
    assert "acknowledged; looking for power=ON" in reason(daemon, "liar1")
    assert (run.ended_at, run.outcomes()) == (None, {})
    assert [run.run_id] == [r.run_id for r in await daemon.journal.read(lambda s: s.runs(active=True))]


# -- restarts -----------------------------------------------------------------------------------


async def test_a_restart_knows_what_it_knew_with_its_true_age(
    start: Start, me: Request, eventually: Eventually, tmp_path: Path
) -> None:
    now = 1_000_000.0
    world = FakeWorld({"n1": {"power": "OFF"}, "refuse1": {"power": "OFF"}, "n3": {}})
    daemon = await start(world=world, clock=lambda: now)
    operations = Operations(daemon)
    await operations.apply(
        {"nodes": {"n1": {"attributes": {"rack": 1}, "cfg": {"power": "OFF"}, "groups": ["g"]}}}, me
    )
    await operations.apply({"nodes": {"n3": {}}}, me)
    await operations.hold(["n3"], "why", None, me)
    await eventually(lambda: cause(daemon) == "CONVERGED")
    now += 5000.0
    again = await start(world=FakeWorld(), clock=lambda: now)
    node = again.collector.table["n1"]
    seen = node.dsc["power"]

    assert daemon is not again
    assert again.collector.incarnation > daemon.collector.incarnation
    assert (node.attribute_values(), node.groups, node.cfg_values()) == (
        {"rack": 1},
        ("g",),
        {"power": "OFF"},
    )
    assert (seen.value, seen.seen_at, seen.source) == ("OFF", 1_000_000.0, "lab.look_power")
    assert [(hold.node, hold.reason) for hold in again.collector.holds] == [("n3", "why")]
    assert list(again.collector.table) == ["n1", "n3"]


async def test_quarantine_outlives_a_restart(start: Start, me: Request, eventually: Eventually) -> None:
    def world() -> FakeWorld:
        return FakeWorld({"refuse1": {"power": "OFF"}})

    daemon = await start(world=world())
    await Operations(daemon).apply({"nodes": {"refuse1": {"cfg": {"power": "ON"}}}}, me)
    await eventually(lambda: cause(daemon, "refuse1") == "QUARANTINED")
    told = reason(daemon, "refuse1")
    hands = Hands(world())
    again = await start(executors=dict.fromkeys(KINDS, hands))
    await eventually(lambda: again.collector.engine.progress("refuse1").state)

    assert cause(again, "refuse1") == "QUARANTINED"
    assert reason(again, "refuse1") == told
    assert hands.mutations == []


async def test_after_a_crash_nothing_is_done_again_before_it_was_looked_for(
    start: Start, me: Request, eventually: Eventually, tmp_path: Path, hands: Hands, executors: Any
) -> None:
    """The state file of a daemon that lives on stands for that of one that was killed."""
    reached = asyncio.Event()

    async def hang(run: Run, report: Report) -> None:
        reached.set()
        await asyncio.Event().wait()

    hands.doing = hang
    daemon = await start(tmp_path / "first", executors=executors)
    await Operations(daemon).apply(ON, me)
    await eventually(reached.is_set)
    shutil.copytree(tmp_path / "first" / "state", tmp_path / "second" / "state")
    shutil.copytree(tmp_path / "first" / "modules", tmp_path / "second" / "modules")

    world = FakeWorld({"n1": {"power": "ON"}})  # it was done after all
    after = Hands(world)
    again = await start(tmp_path / "second", executors=dict.fromkeys(KINDS, after))
    await eventually(lambda: cause(again) == "CONVERGED")
    (run,) = await runs(again)

    assert after.mutations == []
    assert after.asked[0].operator.name == "look_power"
    assert run.outcomes() == {Outcome.INTERRUPTED: ["n1"]}
    assert "the daemon ended while it was under way" in run.results[0].message
    assert any("the daemon ended" in entry.text for entry in await history(again, "n1"))


@pytest.mark.parametrize("set_by_s", [-86_400.0, 86_400.0])
async def test_what_was_under_way_is_waited_for_from_the_restart_whatever_the_clock_says(
    start: Start, me: Request, hands: Hands, executors: Any, eventually: Eventually, set_by_s: float
) -> None:
    never = asyncio.Event()

    async def hang(run: Run, report: Report) -> None:
        await never.wait()

    hands.doing = hang
    daemon = await start(executors=executors)
    await Operations(daemon).apply(ON, me)
    await eventually(lambda: hands.mutations)
    clock = Clock()
    again = await start(executors=executors, clock=lambda: clock() + set_by_s)
    left_s = again.collector.busy_until("n1") - again.started_at

    assert left_s == pytest.approx(60.0 + again.collector.engine.settings.grace_s, abs=5.0)


async def test_a_clean_end_stops_what_is_under_way_and_starts_nothing_more(
    start: Start, me: Request, eventually: Eventually, hands: Hands, executors: Any
) -> None:
    reached = asyncio.Event()
    stopped = asyncio.Event()

    async def hang(run: Run, report: Report) -> None:
        reached.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    hands.doing = hang
    daemon = await start(executors=executors)
    await Operations(daemon).apply(ON, me)
    await eventually(reached.is_set)
    asked = len(hands.asked)
    await daemon.close()
    await daemon.close()

    assert stopped.is_set()
    assert hands.closed
    assert len(hands.asked) == asked
    again = await start(world=FakeWorld({"n1": {"power": "OFF"}}))
    await eventually(lambda: cause(again) == "CONVERGED")
    ends: list[list[Outcome]] = [[]]
    async with asyncio.timeout(60):  # the journal is written a little later
        while [] in ends:
            ends = [list(run.outcomes()) for run in await runs(again)]
            await asyncio.sleep(0.01)
    assert ends == [[Outcome.OK], [Outcome.INTERRUPTED]]


async def test_a_hand_that_cannot_be_closed_does_not_lose_what_was_seen(
    start: Start,
    me: Request,
    eventually: Eventually,
    hands: Hands,
    executors: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken() -> None:
        raise OSError("no such process")

    daemon = await start(executors=executors)
    await Operations(daemon).apply({"nodes": {"n1": {}}}, me)
    await eventually(lambda: daemon.collector.engine.progress("n1").state)
    monkeypatch.setattr(hands, "close", broken)
    await daemon.close()
    again = await start()

    assert again.collector.table["n1"].dsc_values() == {"power": "OFF"}


async def test_hands_leave_a_node_once_when_it_is_held_and_none_when_all_are_frozen(
    start: Start, me: Request, hands: Hands, executors: dict[str, Executor]
) -> None:
    operations = Operations(await start(executors=executors))
    await operations.apply({"nodes": {"n1": {}, "n2": {}}}, me)
    await operations.hold(["n2"], "a new fan", None, me)
    await operations.freeze("power works", me)

    assert hands.left == ["n2"]


async def test_hands_are_told_once_that_somebody_waits_for_a_look(
    start: Start, me: Request, hands: Hands, executors: dict[str, Executor]
) -> None:
    daemon = await start(executors=executors)
    await Operations(daemon).apply({"nodes": {"n1": {}, "n2": {}}}, me)
    assert hands.insisted == [], "looks by itself are no reason"

    daemon.look(["n2"])

    assert hands.insisted == ["n2"]


# -- hands that fail ----------------------------------------------------------------------------


async def misbehave(how: str, run: Run, report: Report) -> None:
    if how == "silent":
        return
    if how == "raises":
        raise RuntimeError("a bug")
    if how == "time-out":
        raise TimeoutError
    if how == "cancelled":
        raise asyncio.CancelledError
    if how == "broken":
        raise ExecutorError("there is no ansible-playbook", hint="install it")
    report([NodeResult(run.id, "stranger", Outcome.OK), NodeResult(run.id, "n1", Outcome.FAILED, {}, "no")])
    report([NodeResult(run.id, "n1", Outcome.OK, {"power": "ON"})])  # a second word does not count


@pytest.mark.parametrize(
    ("how", "told", "outcome"),
    [
        ("silent", "ended without a word of it; what it did is not known", Outcome.INTERRUPTED),
        ("raises", "a fault in its executor", Outcome.INTERRUPTED),
        ("time-out", "a fault in its executor", Outcome.INTERRUPTED),
        ("cancelled", "its executor stopped by itself", Outcome.INTERRUPTED),
        ("babbles", "no", Outcome.FAILED),
    ],
)
async def test_a_hand_that_fails_is_told_of_and_tried_again(
    start: Start,
    me: Request,
    eventually: Eventually,
    hands: Hands,
    executors: Any,
    how: str,
    told: str,
    outcome: Outcome,
) -> None:
    hands.doing = lambda run, report: misbehave(how, run, report)
    daemon = await start(executors=executors)
    await Operations(daemon).apply(ON, me)
    await eventually(lambda: cause(daemon) == "QUARANTINED")

    assert told in reason(daemon)
    assert daemon.collector.table["n1"].dsc_values() == {"power": "OFF"}  # fails_to is for time-outs alone
    assert len(hands.mutations) == 5
    async with asyncio.timeout(60):  # the journal is written a little later
        ends: list[Any] = []
        while len(ends) < 5:
            ends = [run.outcomes() for run in await runs(daemon) if run.outcomes()]
            await asyncio.sleep(0.01)
    assert ends == [{outcome: ["n1"]}] * 5
    hands.doing = None
    await Operations(daemon).retry(["n1"], me)
    await eventually(lambda: cause(daemon) == "CONVERGED")


async def test_a_hand_that_is_broken_is_held_against_no_node_and_tried_until_it_is_mended(
    start: Start,
    me: Request,
    eventually: Eventually,
    hands: Hands,
    executors: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    hands.doing = lambda run, report: misbehave("broken", run, report)
    daemon = await start(executors=executors)
    await Operations(daemon).apply(ON, me)
    await eventually(lambda: len(hands.mutations) > 6)  # more often than what fails may
    await eventually(lambda: cause(daemon) == "BACKOFF")

    told = "its collector cannot do lab.switch_on: there is no ansible-playbook (install it)"
    assert reason(daemon) == told
    assert [fault["reason"] for fault in health(daemon)["faults"]] == [
        "there is no ansible-playbook (install it)"
    ]
    assert daemon.collector.table["n1"].dsc_values() == {"power": "OFF"}
    outcomes = {o for run in await runs(daemon) for o in run.outcomes()}
    assert outcomes == {Outcome.WITHDRAWN}
    assert "mutation not begun" in caplog.messages
    assert "mutation failed" not in caplog.messages
    hands.doing = None
    await eventually(lambda: cause(daemon) == "CONVERGED")
    assert health(daemon)["faults"] == []


@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_hand_that_hangs_is_given_up(
    start: Start,
    me: Request,
    eventually: Eventually,
    hands: Hands,
    executors: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    stubborn: bool,
) -> None:
    """Also one that does not even stop when it is told to."""
    monkeypatch.setattr(performing, "PATIENCE_S", 0.05)
    monkeypatch.setattr(performing, "STOPPING_S", 0.05)
    free = asyncio.Event()

    async def hang(run: Run, report: Report) -> None:
        while not free.is_set():
            try:
                await free.wait()
            except asyncio.CancelledError:
                if not stubborn:
                    raise

    def results() -> list[Any]:  # of those that the disk did not hold up for too long
        return [e for e in events(daemon, "run-result") if e["outcome"] != "WITHDRAWN"]

    modules(tmp_path, "1s")
    daemon = await start(executors=executors)
    hands.doing = hang
    await Operations(daemon).apply(ON, me)
    await eventually(results)
    free.set()
    (result, *_) = results()

    assert result["outcome"] == "TIMEOUT"
    assert "did not end within" in result["message"]
    assert "HUNG" in [e["value"] for e in events(daemon, "dsc")]  # what a time-out asserts


async def test_an_action_nobody_has_a_hand_for_waits_in_words(
    start: Start, me: Request, eventually: Eventually, hands: Hands
) -> None:
    daemon = await start(executors={"ansible": hands})
    await Operations(daemon).apply(ON, me)
    await eventually(lambda: cause(daemon) == "BACKOFF")

    assert "no hand for 'ipmi' actions" in reason(daemon)


async def test_what_cannot_be_journaled_is_not_sent_and_is_tried_again_when_it_can(
    start: Start,
    me: Request,
    eventually: Eventually,
    hands: Hands,
    executors: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A full disk is no fault of the nodes."""
    monkeypatch.setattr(daemon_module, "FLUSH_S", 0.02)
    daemon = await start(executors=executors)
    operations = Operations(daemon)
    await operations.apply({"nodes": {"n1": {}}}, me)
    write = daemon.journal.write
    full = True

    async def attempt(changes: Any) -> None:
        changes = list(changes)
        if full and any(
            isinstance(change, StartRun) or change.__class__.__name__ == "Note" for change in changes
        ):
            raise StoreError("no space is left", hint="make room")
        await write(changes)

    await operations.change_cfg(["n1"], {"power": "ON"}, [], Request("me", dry_run=True))
    await operations.freeze("not yet", me)
    await operations.change_cfg(["n1"], {"power": "ON"}, [], me)
    holds = list(daemon.collector.holds)
    monkeypatch.setattr(daemon.journal, "write", attempt)
    daemon.accept(*(daemon_module.HoldLifted(hold) for hold in holds))
    await eventually(lambda: cause(daemon) == "BACKOFF")

    assert hands.mutations == []
    assert "nothing was sent, because the run could not be journaled: no space is left" in reason(daemon)
    assert daemon.is_degraded
    full = False
    await eventually(lambda: cause(daemon) == "CONVERGED")
    assert hands.mutations == ["switch_on"]
    assert not daemon.is_degraded


async def test_nothing_is_begun_once_the_state_directory_is_gone(
    start: Start, me: Request, eventually: Eventually, hands: Hands, executors: Any, tmp_path: Path
) -> None:
    daemon = await start(executors=executors)
    operations = Operations(daemon)
    await operations.apply({"nodes": {"n1": {}}}, me)
    await operations.freeze("not yet", me)
    await operations.change_cfg(["n1"], {"power": "ON"}, [], me)
    await eventually(lambda: daemon.collector.table["n1"].dsc_values() == {"power": "OFF"})
    assert not daemon.is_degraded

    shutil.rmtree(tmp_path / "state")
    with pytest.raises(StoreError, match="deleted, moved or replaced"):
        await operations.change_cfg(["n1"], {"power": "OFF"}, [], me)

    assert daemon.is_degraded
    daemon.accept(*(daemon_module.HoldLifted(hold) for hold in list(daemon.collector.holds)))
    await eventually(lambda: cause(daemon) == "BACKOFF")

    assert hands.mutations == []


async def test_what_the_journal_took_too_long_to_keep_is_not_begun_but_decided_anew(
    start: Start,
    me: Request,
    eventually: Eventually,
    hands: Hands,
    executors: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """What it was decided on is old by then, and it may count as failed already."""
    modules(tmp_path, "1s")
    daemon = await start(executors=executors)
    write, stalls, flows = daemon.journal.write, asyncio.Event(), asyncio.Event()

    async def keep(changes: Any) -> None:
        changes = list(changes)
        if any(isinstance(change, StartRun) for change in changes) and not flows.is_set():
            stalls.set()
            await flows.wait()
        await write(changes)

    monkeypatch.setattr(daemon.journal, "write", keep)
    await Operations(daemon).apply(ON, me)
    await stalls.wait()
    (begun,) = [event for event in events(daemon, "run-started") if event["kind"] == "mutation"]
    await asyncio.sleep(1.5)  # more than the grace and such a time-out
    flows.set()
    await eventually(lambda: [e for e in events(daemon, "run-ended") if e["run"] == begun["run"]])
    (ended,) = [event for event in events(daemon, "run-ended") if event["run"] == begun["run"]]

    assert ended["outcomes"] == {"WITHDRAWN": "n1"}
    await eventually(lambda: hands.mutations)
    assert begun["run"] not in [run.id for run in hands.asked]


async def test_a_fault_in_deciding_does_not_stop_the_daemon_for_good(
    start: Start, me: Request, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon_module, "RECOVER_S", 0.01)
    daemon = await start(world=FakeWorld({"n1": {"power": "OFF"}}))
    accept, faults = daemon.collector.accept, iter([RuntimeError("a bug")] * 3)

    def faulty(*arguments: Any) -> Any:
        for fault in faults:
            raise fault
        return accept(*arguments)

    monkeypatch.setattr(daemon.collector, "accept", faulty)
    daemon._ring()
    await eventually(lambda: next(faults, None) is None)
    await Operations(daemon).apply(ON, me)

    await eventually(lambda: cause(daemon) == "CONVERGED")


# -- modules ------------------------------------------------------------------------------------


async def test_modules_are_read_again_while_they_are_in_use(
    start: Start, me: Request, eventually: Eventually, tmp_path: Path, hands: Hands, executors: Any
) -> None:
    free = asyncio.Event()

    async def wait(run: Run, report: Report) -> None:
        await free.wait()
        hands.world.truth["n1"]["power"] = "ON"
        report([NodeResult(run.id, "n1", Outcome.OK)])

    hands.doing = wait
    directory = modules(tmp_path, "1s")  # long after which what nobody can see any more is given up
    daemon = await start(executors=executors)
    await Operations(daemon).apply(ON, me)
    await eventually(lambda: hands.mutations)
    text = (directory / "lab.yml").read_text()

    (directory / "more.yml").write_text(
        "kraken_module: 1\nname: more\nvariables: {colour: {values: [RED]}}\n"
    )
    (directory / "broken.yml").write_text("kraken_module: 1\nname: broken\nvariabels: {}\n")
    await daemon.reload()
    assert set(daemon.collector.catalog.modules) == {"lab", "more"}
    assert [Path(str(problem.file)).name for problem in daemon.problems] == ["broken.yml"]
    assert events(daemon, "module")[-1]["loaded"] == ["lab", "more"]

    (directory / "lab.yml").unlink()
    (directory / "broken.yml").unlink()
    await daemon.reload()
    assert (set(daemon.collector.catalog.modules), daemon.problems) == ({"more"}, [])
    free.set()
    await eventually(lambda: cause(daemon) in ("NO_PATH", "CONVERGED"))

    (directory / "lab.yml").write_text(text)
    await daemon.reload()
    await eventually(lambda: cause(daemon) == "CONVERGED")
    assert hands.mutations == ["switch_on"]


async def test_a_reload_that_fails_changes_nothing(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = await start()

    def broken() -> Any:
        raise OSError("the disk is gone")

    monkeypatch.setattr(daemon, "_load_modules", broken)
    with pytest.raises(OSError, match="the disk is gone"):
        await daemon.reload()

    assert set(daemon.collector.catalog.modules) == {"lab"}


# -- memory -------------------------------------------------------------------------------------


async def test_what_is_seen_is_kept_soon_without_being_asked(
    start: Start, me: Request, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon_module, "FLUSH_S", 0.02)
    daemon = await start(world=FakeWorld({"n1": {"power": "OFF"}}))
    await Operations(daemon).apply({"nodes": {"n1": {}}}, me)
    kept: list[Any] = []
    async with asyncio.timeout(60):
        while not kept:
            memory = await daemon.journal.read(Store.load)
            kept = [update.value for update in memory.updates if update.side is Side.DSC]
            await asyncio.sleep(0.01)

    assert kept == ["OFF"]
