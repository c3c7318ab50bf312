"""Requests: whole or not at all, durable before they are answered, one declaration at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from kraken.daemon.daemon import Daemon
from kraken.daemon.declare import Item, NeedsConfirmationError
from kraken.daemon.operations import Operations, Request, UnknownHoldError
from kraken.errors import (
    DocumentError,
    NodeSetError,
    RefusedError,
    StoreError,
    UnknownNodeError,
    UnreachableError,
)
from kraken.executors.fake import Behaviour, FakeWorld
from kraken.model.hold import EVERY_NODE
from kraken.planning.path import NoPath
from kraken.store.records import Entry
from kraken.store.store import Store

Start = Callable[..., Awaitable[Daemon]]
Eventually = Callable[[Callable[[], Any]], Awaitable[None]]

FAN = """\
kraken_module: 1
name: fan
summary: Whether the fan turns.
variables:
  fan: {values: [TURNS, STANDS]}
discoveries:
  look:
    observes: [fan]
    every: 30s
    tasks: [{ansible.builtin.debug: {}}]
"""

ARCH = """\
kraken_module: 1
name: arch
summary: Images of one architecture.
variables:
  image.name: {values: any}
mutations:
  provision:
    mutates: {image.name: [ANY, $cfg]}
    requires: {arch: x86_64}
    timeout: 60s
    asserts: true
    tasks: [{ansible.builtin.debug: {}}]
"""
THREE: dict[str, Any] = {
    "groups": {"lab": {"nodes": "n[1-3]"}},
    "nodes": {"n[1-3]": {"attributes": {"image.store": "here"}}},
}


async def history(operations: Operations, *nodes: str) -> list[Entry]:
    return await operations.daemon.journal.read(lambda store: store.history(nodes=list(nodes) or None))


def state(operations: Operations) -> dict[str, Any]:
    """All that is declared."""
    table, now = operations.daemon.collector.table, operations.daemon.clock()
    return {
        name: (
            node.attribute_values(),
            node.groups,
            node.cfg_values(),
            operations.daemon.collector.holds.on(name, now),
        )
        for name, node in table.items()
    }


async def remembered(operations: Operations) -> list[tuple[str, str, str, object]]:
    """The same as the file has it."""
    memory = await operations.daemon.journal.read(Store.load)
    return [(u.node, u.side.value, u.variable, u.value) for u in memory.updates if u.side.value != "dsc"]


def changed(items: list[Item]) -> list[str]:
    return [item.node for item in items if item.changed]


# -- choosing -----------------------------------------------------------------------------------


async def test_no_nodes_is_an_error_and_never_means_all(operations: Operations, me: Request) -> None:
    await operations.apply(THREE, me)

    for nothing in (None, "", " "):
        with pytest.raises(NodeSetError, match="no nodes selected"):
            operations.select(nothing)
    with pytest.raises(NodeSetError, match="both"):
        operations.select("n1", everything=True)
    assert operations.select(None, everything=True) == ["n1", "n2", "n3"]
    assert operations.select("@lab!n2") == ["n1", "n3"]


async def test_an_unknown_node_is_named_and_nothing_is_done(operations: Operations, me: Request) -> None:
    await operations.apply(THREE, me)
    before = state(operations)
    for attempt in (
        operations.change_cfg(["n1", "n8", "n9"], {"power": "ON"}, [], me),
        operations.change_attributes(["n1", "n8", "n9"], {"rack": 1}, [], me),
        operations.delete(["n1", "n8", "n9"], me),
        operations.hold(["n1", "n8", "n9"], "why", None, me),
        operations.release(["n1", "n8", "n9"], me),
        operations.retry(["n1", "n8", "n9"], me),
    ):
        with pytest.raises(UnknownNodeError, match=r"n\[8-9\]; nothing was done"):
            await attempt

    assert state(operations) == before


# -- declaring ----------------------------------------------------------------------------------


async def test_what_is_declared_stands_in_memory_and_in_the_file(operations: Operations, me: Request) -> None:
    items = await operations.apply(THREE, me)
    again = await operations.apply(THREE, me)

    assert changed(items) == ["n1", "n2", "n3"]
    assert all(item.created and item.groups == ((), ("lab",)) for item in items)
    assert changed(again) == []
    assert ("n3", "attribute", "image.store", "here") in await remembered(operations)


async def test_who_declared_is_kept(operations: Operations) -> None:
    await operations.apply(THREE, Request("ann"))
    await operations.change_cfg(["n1"], {"power": "ON"}, [], Request("bob"))
    node = operations.node("n1")

    assert node.attributes["image.store"].source == "ann"
    assert node.cfg["power"].source == "bob"
    assert {entry.source for entry in await history(operations, "n1") if entry.kind in ("node", "cfg")} == {
        "ann",
        "bob",
    }


async def test_a_new_node_is_one_line_of_history_and_a_later_value_its_own(
    operations: Operations, me: Request
) -> None:
    new = {"attributes": {"a": 1, "b": 2}, "cfg": {"power": "ON"}, "groups": ["g"]}
    await operations.apply({"nodes": {"x": new}}, me)
    await operations.change_attributes(["x"], {"a": 3}, ["b"], me)
    await operations.change_cfg(["x"], {}, ["power"], me)
    told = [entry for entry in reversed(await history(operations, "x")) if entry.kind != "dsc"]

    assert [entry.text for entry in told] == [
        "declared: groups g; 2 attributes; power=ON", "b: 2 -> -", "a: 1 -> 3", "power: ON -> -",
    ]  # fmt: skip
    assert told[0].data == new
    assert told[2].data == {"variable": "a", "was": 1, "value": 3}


async def test_a_number_is_not_the_boolean_it_equals(operations: Operations, me: Request) -> None:
    await operations.apply({"nodes": {"x": {"attributes": {"a": 1}}}}, me)
    items = await operations.change_attributes(["x"], {"a": True}, [], me)

    assert changed(items) == ["x"]
    assert operations.node("x").attribute("a") is True


async def test_a_dry_run_says_the_same_and_changes_nothing(operations: Operations, me: Request) -> None:
    dry = Request("me", dry_run=True)
    before, kept = state(operations), await remembered(operations)
    told = await operations.apply(THREE, dry)

    assert changed(told) == ["n1", "n2", "n3"]
    assert (state(operations), await remembered(operations)) == (before, kept)
    assert told == await operations.apply(THREE, me)
    before = state(operations)
    await operations.change_cfg(["n1"], {"power": "ON"}, [], dry)
    await operations.delete(["n1"], dry)
    assert state(operations) == before


async def test_a_cfg_no_path_reaches_is_refused_with_the_reason_of_each_nodeset(
    operations: Operations, me: Request
) -> None:
    await operations.apply({"nodes": {"n[1-3]": {}, "ok": {"attributes": {"image.store": "x"}}}}, me)
    before = state(operations)
    with pytest.raises(UnreachableError) as caught:
        await operations.change_cfg(["n1", "n2", "n3", "ok"], {"image": "a"}, [], me)

    assert list(caught.value.details) == ["n[1-3]"]
    assert caught.value.details["n[1-3]"] == (
        "no mutation sets image without image.store; the nearest is write_image, which requires image.store"
    )
    assert caught.value.reachable == {"n[1-3]": {"image": []}}
    assert "nothing was done" in caught.value.message
    assert "--allow-unreachable" in str(caught.value.hint)
    assert state(operations) == before

    allowed = Request("me", allow_unreachable=True)
    items = await operations.change_cfg(["n1"], {"image": "a"}, [], allowed)
    assert changed(items) == ["n1"]


async def test_a_refusal_names_what_can_be_had_instead(operations: Operations, me: Request) -> None:
    await operations.apply({"nodes": {"n1": {"cfg": {"power": "ON"}}}}, me)
    with pytest.raises(UnreachableError) as caught:
        await operations.change_cfg(["n1"], {"power": "HUNG"}, [], me)

    assert caught.value.reachable == {"n1": {"power": ["OFF", "ON"]}}
    assert "; reachable instead: power=OFF|ON; nothing was done" in caught.value.message


async def test_a_refusal_names_the_value_an_attribute_has_on_each_node(
    operations: Operations, me: Request, tmp_path: Path
) -> None:
    (tmp_path / "modules" / "arch.yml").write_text(ARCH)
    await operations.daemon.reload()
    nodes = {"n1": "aarch64", "n2": "riscv64", "n3": "aarch64"}
    await operations.apply({"nodes": {n: {"attributes": {"arch": a}} for n, a in nodes.items()}}, me)
    with pytest.raises(UnreachableError) as caught:
        await operations.change_cfg(list(nodes), {"image.name": "a"}, [], me)

    assert caught.value.details == {
        names: f"no mutation sets image.name on arch={arch}; "
        "the nearest is provision, which requires arch=x86_64"
        for names, arch in (("n[1,3]", "aarch64"), ("n2", "riscv64"))
    }


async def test_what_is_only_looked_at_cannot_be_declared_by_accident(
    operations: Operations, me: Request, tmp_path: Path
) -> None:
    (tmp_path / "modules" / "fan.yml").write_text(FAN)
    await operations.daemon.reload()
    await operations.apply({"nodes": {"n[1-3]": {}}}, me)
    before = state(operations)
    with pytest.raises(UnreachableError) as caught:
        await operations.change_cfg(["n1", "n2"], {"fan": "TURNS", "power": "ON"}, [], me)

    told = "fan is only looked at, no mutation of the loaded modules changes it"
    assert caught.value.details == {"n[1-2]": told}
    assert f"n[1-2]: {told}; nothing was done" in caught.value.message
    assert "--allow-unreachable" in str(caught.value.hint)
    assert state(operations) == before

    allowed = Request("me", allow_unreachable=True)
    assert changed(await operations.change_cfg(["n1"], {"fan": "TURNS"}, [], allowed)) == ["n1"]
    assert changed(await operations.change_cfg(["n1"], {}, ["fan"], me)) == ["n1"]


async def test_what_was_declared_before_and_is_out_of_reach_is_named_in_the_hint(
    operations: Operations, me: Request
) -> None:
    allowed = Request("me", allow_unreachable=True)
    await operations.apply({"nodes": {"n1": {"cfg": {"image": "a"}}}}, allowed)
    with pytest.raises(UnreachableError) as caught:
        await operations.change_cfg(["n1"], {"power": "ON"}, [], me)

    assert str(caught.value.hint).startswith("--unset image withdraws what was declared before")
    assert changed(await operations.change_cfg(["n1"], {"power": "ON"}, ["image"], me)) == ["n1"]


async def test_an_attribute_and_the_cfg_that_needs_it_may_come_together(
    operations: Operations, me: Request
) -> None:
    document = {"nodes": {"x": {"attributes": {"image.store": "d"}, "cfg": {"image": "a"}}}}

    assert changed(await operations.apply(document, me)) == ["x"]


async def test_more_than_32_nodes_want_a_yes(operations: Operations, me: Request) -> None:
    nodes = [f"n{i:02}" for i in range(33)]
    document: Mapping[str, Any] = {"nodes": {"n[00-32]": {}}}
    with pytest.raises(NeedsConfirmationError) as caught:
        await operations.apply(document, me)

    assert caught.value.nodes == 33
    assert caught.value.part == "n[00-32]"
    assert not operations.daemon.collector.table

    sure = Request("me", yes=True)
    await operations.apply(document, sure)
    assert changed(await operations.apply(document, me)) == []  # nothing changes: no yes is needed
    for attempt in (
        operations.change_cfg(nodes, {"power": "ON"}, [], me),
        operations.change_attributes(nodes, {"rack": 1}, [], me),
        operations.hold(nodes, "why", None, me),
        operations.delete(nodes, me),
    ):
        with pytest.raises(NeedsConfirmationError):
            await attempt
    assert len(changed(await operations.change_attributes(nodes[:32], {"rack": 1}, [], me))) == 32
    assert len(changed(await operations.delete(nodes, sure))) == 33


@pytest.mark.parametrize(
    "address", ["", "  ", "0.0.0.0", "224.0.0.1", "169.254.1.1", "127.1", "a b", "255.255.255.255"]
)
async def test_a_bmc_address_that_is_none_is_refused(
    operations: Operations, me: Request, address: str
) -> None:
    await operations.apply({"nodes": {"a": {}}}, me)
    for attempt in (
        operations.apply({"nodes": {"x": {"attributes": {"bmc.address": address}}}}, me),
        operations.change_attributes(["a"], {"bmc.address": address}, [], me),
    ):
        with pytest.raises(RefusedError, match="nothing was done"):
            await attempt

    assert list(state(operations)) == ["a"]
    assert operations.node("a").attribute("bmc.address") is None


async def test_the_address_of_this_machine_is_no_bmc(
    operations: Operations, me: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems = {"203.0.113.7": "is an address of this machine"}
    monkeypatch.setattr("kraken.daemon.operations.kernel_problem", problems.get)
    with pytest.raises(RefusedError, match=r"x: bmc\.address 203\.0\.113\.7 is an address of this machine"):
        await operations.apply({"nodes": {"x": {"attributes": {"bmc.address": "203.0.113.7"}}}}, me)
    with pytest.raises(RefusedError, match=r"x: bmc\.address localhost is what every machine calls itself"):
        await operations.apply({"nodes": {"x": {"attributes": {"bmc.address": "localhost"}}}}, me)

    assert state(operations) == {}


async def test_a_bmc_belongs_to_one_node_within_a_document_and_beyond(
    operations: Operations, me: Request
) -> None:
    await operations.apply({"nodes": {"a": {"attributes": {"bmc.address": "198.51.100.1"}}, "b": {}}}, me)
    shared: list[dict[str, Any]] = [
        {"nodes": {"x": {"attributes": {"bmc.address": "198.51.100.1"}}}},
        {"nodes": {"x": {"attributes": {"bmc.address": "198.51.100.1", "bmc.port": 623}}}},
        {"nodes": {"x,y": {"attributes": {"bmc.address": "198.51.100.2"}}}},
        {"groups": {"g": {"nodes": "b", "attributes": {"bmc.address": "198.51.100.1"}}}},
    ]
    for document in shared:
        with pytest.raises(RefusedError, match="would belong to"):
            await operations.apply(document, me)

    assert list(state(operations)) == ["a", "b"]
    other_port = {"nodes": {"x": {"attributes": {"bmc.address": "198.51.100.1", "bmc.port": 6230}}}}
    assert changed(await operations.apply(other_port, me)) == ["x"]
    with pytest.raises(RefusedError, match=r"198\.51\.100\.1 port 623 would belong to"):
        await operations.change_attributes(["x"], {}, ["bmc.port"], me)


async def test_two_nodes_may_swap_their_bmcs_in_one_document(operations: Operations, me: Request) -> None:
    def addresses(a: str, b: str) -> dict[str, Any]:
        return {"nodes": {n: {"attributes": {"bmc.address": x}} for n, x in (("a", a), ("b", b))}}

    await operations.apply(addresses("198.51.100.1", "198.51.100.2"), me)
    await operations.apply(addresses("198.51.100.2", "198.51.100.1"), me)

    assert operations.node("a").attribute("bmc.address") == "198.51.100.2"


async def test_two_declarations_at_once_are_both_right(operations: Operations, me: Request) -> None:
    await operations.apply({"nodes": {"n[1-3]": {}}}, me)
    await asyncio.gather(
        *(operations.change_attributes(["n1"], {f"a{i}": i}, [], me) for i in range(20)),
        operations.apply({"groups": {"g": {"nodes": "n1"}}}, me),
        operations.apply({"groups": {"h": {"nodes": "n1"}}}, me),
    )

    assert operations.node("n1").attribute_values() == {f"a{i}": i for i in range(20)}
    assert set(operations.node("n1").groups) == {"g", "h"}


async def test_of_two_that_claim_one_bmc_at_once_the_later_is_refused(
    operations: Operations, me: Request
) -> None:
    claims = [
        operations.apply({"nodes": {name: {"attributes": {"bmc.address": "198.51.100.1"}}}}, me)
        for name in "ab"
    ]
    first, second = await asyncio.gather(*claims, return_exceptions=True)

    assert isinstance(first, list)
    assert isinstance(second, RefusedError)
    assert list(state(operations)) == ["a"]


async def test_who_waited_for_a_deletion_learns_of_it(operations: Operations, me: Request) -> None:
    await operations.apply(THREE, me)
    _, late = await asyncio.gather(
        operations.delete(["n1"], me), operations.hold(["n1"], "why", None, me), return_exceptions=True
    )

    assert isinstance(late, UnknownNodeError)
    assert len(operations.daemon.collector.holds) == 0


# -- a store that fails -------------------------------------------------------------------------


@pytest.fixture
def full_disk(operations: Operations, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Lets the disk be full, or not any more."""
    write = operations.daemon.journal.write
    is_full = False

    async def attempt(changes: Any) -> None:
        if is_full:
            raise StoreError("no space is left", hint="make room")
        await write(changes)

    def fill(full: bool) -> None:
        nonlocal is_full
        is_full = full

    monkeypatch.setattr(operations.daemon.journal, "write", attempt)
    return fill


async def test_what_cannot_be_kept_is_not_done_and_can_be_done_later(
    operations: Operations, me: Request, full_disk: Callable[[bool], None]
) -> None:
    await operations.apply(THREE, me)
    await operations.hold(["n3"], "old", None, me)
    before, kept = state(operations), await remembered(operations)

    def attempts() -> list[Awaitable[Any]]:
        return [
            operations.apply({"nodes": {"x": {}, "n1": {"cfg": {"power": "ON"}}}}, me),
            operations.change_cfg(["n1"], {"image": "a"}, [], me),
            operations.change_attributes(["n1"], {"rack": 1}, [], me),
            operations.hold(["n1"], "new", None, me),
            operations.freeze("all", me),
            operations.release(["n3"], me),
            operations.delete(["n2"], me),
        ]

    full_disk(True)
    for attempt in attempts():
        with pytest.raises(StoreError):
            await attempt
    assert (state(operations), await remembered(operations)) == (before, kept)
    assert not operations.daemon.collector.holds.of(EVERY_NODE)

    full_disk(False)
    for attempt in attempts():
        await attempt
    assert list(state(operations)) == ["n1", "n3", "x"]
    assert operations.daemon.collector.holds.of(EVERY_NODE)


# -- deleting -----------------------------------------------------------------------------------


async def test_a_deleted_node_takes_its_holds_with_it_and_comes_back_free(
    operations: Operations, me: Request
) -> None:
    await operations.apply(THREE, me)
    await operations.hold(["n1", "n2"], "why", None, me)
    await operations.delete(["n1"], me)
    await operations.apply({"nodes": {"n1": {}}}, me)
    memory = await operations.daemon.journal.read(Store.load)

    assert operations.node("n1").attribute_values() == {}
    assert operations.node("n1").groups == ()
    assert not operations.daemon.collector.holds.of("n1")
    assert [hold.node for hold in memory.holds] == ["n2"]
    assert "forgotten" in [entry.text for entry in await history(operations, "n1")]


@pytest.mark.parametrize(("delay_s", "phase"), [(0.0, "confirming"), (float("inf"), "issued")])
async def test_a_node_deleted_under_a_run_leaves_no_run_open(
    start: Start, me: Request, eventually: Eventually, delay_s: float, phase: str
) -> None:
    """Whether its executor is still at it, or has acknowledged and the effect is looked for."""

    def behave(_: str, operator: Any) -> Behaviour:
        return Behaviour(delay_s, effect=False) if operator.name == "switch_on" else Behaviour()

    daemon = await start(world=FakeWorld({"n1": {"power": "OFF"}}, behave=behave))
    operations = Operations(daemon)
    await operations.apply({"nodes": {"n1": {"cfg": {"power": "ON"}}}}, me)
    engine = daemon.collector.engine
    await eventually(
        lambda: [1 for step in engine.progress("n1").underway.values() if step.phase.value == phase]
    )
    await operations.delete(["n1"], me)
    await operations.apply({"nodes": {"n1": {}}}, me)
    active = await daemon.journal.read(lambda store: store.runs(active=True))
    (run,) = await daemon.journal.read(lambda store: store.runs())

    assert active == []
    assert "forgotten" in run.results[0].message


# -- holding ------------------------------------------------------------------------------------


async def test_holds_stack_and_are_lifted_by_id_owner_or_all(operations: Operations, me: Request) -> None:
    await operations.apply(THREE, me)
    await operations.hold(["n1", "n2"], "disk", None, Request("ann"))
    await operations.hold(["n1"], "fan", 3600.0, Request("bob"))
    holds = operations.daemon.collector.holds
    (disk, fan) = sorted(holds.of("n1"), key=lambda hold: hold.reason)
    assert fan.until == pytest.approx(fan.created_at + 3600)

    await operations.release(["n1", "n2", "n3"], me, owner="bob")
    assert [hold.reason for hold in holds.of("n1")] == ["disk"]
    items = await operations.release(["n1", "n2"], me, hold_id=disk.id)
    assert changed(items) == ["n1"]
    assert items[0].message == "released: disk"
    items = await operations.release(["n1", "n2", "n3"], me)
    assert changed(items) == ["n2"]
    assert len(holds) == 0


async def test_a_hold_nobody_has_is_not_found_and_nothing_is_lifted(
    operations: Operations, me: Request
) -> None:
    await operations.apply(THREE, me)
    await operations.hold(["n1"], "why", None, me)
    with pytest.raises(UnknownHoldError, match="n\\[1-3\\] has no hold 'beef'"):
        await operations.release(["n1", "n2", "n3"], me, hold_id="beef")

    assert len(operations.daemon.collector.holds) == 1


@pytest.mark.parametrize(
    ("reason", "for_s", "key"),
    [
        ("", None, "reason"),
        (" ", None, "reason"),
        ("x" * 16_385, None, "reason"),
        ("x", 0, "for_s"),
        ("x", -1, "for_s"),
        ("x", 1e300, "for_s"),
    ],
)
async def test_a_hold_needs_a_reason_and_an_end_that_makes_sense(
    operations: Operations, me: Request, reason: str, for_s: float | None, key: str
) -> None:
    await operations.apply(THREE, me)
    with pytest.raises(DocumentError) as caught:
        await operations.hold(["n1"], reason, for_s, me)

    assert caught.value.key == key
    assert len(operations.daemon.collector.holds) == 0


async def test_frozen_nothing_starts_and_thawed_it_does(
    start: Start, me: Request, eventually: Eventually
) -> None:
    daemon = await start(world=FakeWorld({"n1": {"power": "OFF"}}))
    operations = Operations(daemon)
    await operations.freeze("moving house", me)
    await operations.apply({"nodes": {"n1": {"cfg": {"power": "ON"}}}}, me)
    await eventually(lambda: daemon.collector.engine.progress("n1").state)  # discovery goes on

    assert operations.explain(["n1"])[0].cause == "HELD"
    assert await daemon.journal.read(lambda store: store.runs()) == []
    assert [hold.reason for hold in await operations.thaw(me)] == ["moving house"]
    assert await operations.thaw(me) == []
    await eventually(lambda: daemon.collector.engine.cause("n1") == "CONVERGED")


async def test_holds_whose_time_is_over_are_forgotten(start: Start, me: Request) -> None:
    ahead = 0.0
    daemon = await start(clock=lambda: asyncio.get_running_loop().time() + ahead)
    operations = Operations(daemon)
    await operations.apply(THREE, me)
    await operations.hold(["n1"], "short", 5.0, me)
    await operations.hold(["n1"], "long", 5000.0, me)
    ahead = 60.0
    await daemon._drop_expired()
    memory = await daemon.journal.read(Store.load)

    assert [hold.reason for hold in daemon.collector.holds] == ["long"]
    assert [hold.reason for hold in memory.holds] == ["long"]


async def test_retry_ends_quarantine(start: Start, me: Request, eventually: Eventually) -> None:
    world = FakeWorld({"refuse1": {"power": "OFF"}})
    daemon = await start(world=world)
    operations = Operations(daemon)
    await operations.apply({"nodes": {"refuse1": {"cfg": {"power": "ON"}}, "n2": {}}}, me)
    await eventually(lambda: daemon.collector.engine.cause("refuse1") == "QUARANTINED")
    world.behave = lambda *_: Behaviour()
    items = await operations.retry(["refuse1", "n2"], me)
    await eventually(lambda: daemon.collector.engine.cause("refuse1") == "CONVERGED")
    told: list[tuple[str, str]] = []
    async with asyncio.timeout(60):  # the journal is written a little later
        while len(told) < 2:
            entries = await history(operations, "refuse1")
            told = [(e.text, e.source) for e in entries if e.kind == "quarantine"]

    assert changed(items) == ["refuse1"]
    assert told[0] == ("released", "me")
    assert told[-1][0].startswith("quarantined: lab.switch_on failed 5 times")


# -- asking -------------------------------------------------------------------------------------


async def test_a_plan_folds_nodes_of_equal_plan_and_declares_nothing(
    start: Start, me: Request, eventually: Eventually
) -> None:
    world = FakeWorld({f"n{i}": {"power": "OFF"} for i in range(1, 5)})
    daemon = await start(world=world)
    operations = Operations(daemon)
    store = {"attributes": {"image.store": "d"}}
    await operations.apply({"nodes": {"n[1-4]": {}, "n1": store, "n3": store}}, me)
    await eventually(lambda: all(daemon.collector.engine.progress(f"n{i}").state for i in range(1, 5)))
    before = state(operations)
    groups = (await operations.plan(["n1", "n2", "n3"], {"image": "new"}, [])).groups
    by_nodes = {group.nodes: group.answer for group in groups}
    reachable = by_nodes["n1", "n3"]

    assert set(by_nodes) == {("n1", "n3"), ("n2",)}
    assert isinstance(by_nodes["n2",], NoPath)
    assert not isinstance(reachable, NoPath)
    assert [step.operator.name for step in reachable.steps] == ["switch_on", "write_image"]
    assert state(operations) == before
    with pytest.raises(DocumentError, match="unknown variable"):
        await operations.plan(["n1"], {"servic": "RUNNING"}, [])
