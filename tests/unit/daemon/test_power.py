"""Power by hand, over a whole daemon and a fake world: who may do what, and what is refused."""

from __future__ import annotations

import math
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kraken.daemon.daemon import Daemon
from kraken.daemon.operations import Operations, Request
from kraken.daemon.power import OpposedError, UnconfirmedError, command_power, declare_power
from kraken.errors import DocumentError, RefusedError
from kraken.executors.fake import Behaviour, FakeWorld
from kraken.model.module import Discovery, Mutation
from kraken.testing.daemons import living

BASE = Path(__file__).parents[3] / "ansible_collections/kraken/hpc/extensions/kraken"
Eventually = Callable[[Callable[[], Any]], Awaitable[None]]

BATCH = """\
kraken_module: 1
name: batch
variables:
  jobs: {values: [NONE, RUNNING], known_when: {batch.server: ANY}}
guards:
  jobs_end_first:
    summary: No node goes off while a job is on it.
    before: {phys_state: POWER_OFF}
    excludes: {jobs: RUNNING}
discoveries:
  ask:
    observes: [jobs]
    requires: {batch.server: ANY}
    every: 30s
    tasks: [{ansible.builtin.debug: {}}]
"""
YES = Request("alice", yes=True)
ALICE = Request("alice")


def document(nodes: str, cfg: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    """Nodes with BMCs; what is wished of them."""
    attributes = {"bmc.protocol": "ipmi", "bmc.credential": "lab", **more}
    return {"nodes": {nodes: {"attributes": attributes, "cfg": cfg or {}}}}


@pytest.fixture
def world() -> FakeWorld:
    return FakeWorld({f"n{i}": {"phys_state": "POWER_ON"} for i in range(1, 5)})


@pytest.fixture
async def operations(tmp_path: Path, world: FakeWorld) -> AsyncIterator[Operations]:
    """Four nodes that have power, of which nothing is wished."""
    (tmp_path / "state").mkdir()
    (tmp_path / "modules").mkdir()
    shutil.copy(BASE / "power_ipmi.yml", tmp_path / "modules")
    async with living(tmp_path, world=world) as daemon:
        operations = Operations(daemon)
        for i in range(1, 5):
            await operations.apply(document(f"n{i}", **{"bmc.address": f"10.1.0.{i}"}), YES)
        yield operations


@pytest.fixture
def seen(operations: Operations, eventually: Eventually) -> Callable[[str], Awaitable[None]]:
    """Waits until the power of n1 is known to be so."""

    async def wait(value: str) -> None:
        await eventually(
            lambda: operations.daemon.collector.engine.progress("n1").value("phys_state") == value
        )

    return wait


def stuck(node: str, operator: Mutation | Discovery) -> Behaviour:
    """Mutations never come to an end."""
    return Behaviour(delay_s=math.inf if isinstance(operator, Mutation) else 0.0)


def outcome(daemon: Daemon, node: str = "n1") -> str | None:
    command = daemon.collector.engine.progress(node).command
    return None if command is None or command.outcome is None else command.outcome.value


def held_by(operations: Operations, node: str = "n1") -> list[str]:
    return [hold.owner for hold in operations.daemon.collector.holds.of(node)]


async def test_a_command_is_done_when_its_effect_was_seen_and_the_journal_says_who(
    operations: Operations, world: FakeWorld, eventually: Eventually
) -> None:
    ordered = await command_power(operations, ["n1"], "off", None, YES)
    await eventually(lambda: outcome(operations.daemon))

    assert (ordered.nodes, ordered.repeated) == (("n1",), ())
    assert outcome(operations.daemon) == "OK"
    assert world.truth["n1"]["phys_state"] == "POWER_OFF"
    told: list[tuple[str, str]] = []
    while len(told) < 2:
        entries = await operations.daemon.journal.read(lambda store: store.history(nodes=["n1"]))
        told = [(entry.text, entry.source) for entry in entries if entry.kind == "run"]

    assert all(source == "alice" for _, source in told)
    assert any("power off commanded by hand" in text for text, _ in told)
    assert any(text.startswith("power_off: seen after") for text, _ in told)


async def test_what_kraken_would_undo_is_refused_with_the_wish_and_who_declared_it(
    operations: Operations, world: FakeWorld, seen: Callable[[str], Awaitable[None]]
) -> None:
    await operations.change_cfg(["n1", "n2"], {"phys_state": "POWER_ON"}, [], Request("bob"))
    await seen("POWER_ON")

    with pytest.raises(OpposedError) as refused:
        await command_power(operations, ["n1", "n2"], "off", None, YES)

    assert list(refused.value.details) == ["n[1-2]"]
    assert "it would power_on, for phys_state=POWER_ON is declared (bob, " in refused.value.message
    assert "--hold" in str(refused.value.hint)
    assert "--declare" in str(refused.value.hint)
    assert not [run for run in world.runs if run.is_mutation]


async def test_a_hold_is_set_first_and_keeps_kraken_from_undoing_it(
    operations: Operations,
    world: FakeWorld,
    seen: Callable[[str], Awaitable[None]],
    eventually: Eventually,
) -> None:
    await operations.change_cfg(["n1"], {"phys_state": "POWER_ON"}, [], Request("bob"))
    await seen("POWER_ON")
    await command_power(operations, ["n1"], "off", "memory exchange", ALICE)
    await eventually(lambda: outcome(operations.daemon))

    assert held_by(operations) == ["alice"]
    assert operations.explain(["n1"])[0].cause == "HELD"
    assert world.truth["n1"]["phys_state"] == "POWER_OFF"

    await operations.release(["n1"], ALICE)
    await eventually(lambda: world.truth["n1"]["phys_state"] == "POWER_ON")


async def test_what_ends_work_wants_a_yes_and_what_does_not_goes_without(
    operations: Operations, world: FakeWorld, seen: Callable[[str], Awaitable[None]]
) -> None:
    await seen("POWER_ON")
    for word in ("off", "cycle", "reset", "soft"):
        with pytest.raises(UnconfirmedError, match="it ends whatever runs on n1"):
            await command_power(operations, ["n1"], word, None, ALICE)
    assert not [run for run in world.runs if run.is_mutation]

    await command_power(operations, ["n1"], "on", None, ALICE)

    assert operations.daemon.collector.engine.progress("n1").command is not None


@pytest.mark.parametrize("word", ["off", "soft", "cycle", "reset"])
async def test_a_guard_that_keeps_kraken_from_it_is_told_and_wants_a_yes_with_a_hold_too(
    tmp_path: Path, operations: Operations, world: FakeWorld, eventually: Eventually, word: str
) -> None:
    (tmp_path / "modules/batch.yml").write_text(BATCH)
    await operations.daemon.reload()
    world.truth["n1"]["jobs"] = "RUNNING"
    await operations.apply({"nodes": {"n[1,3]": {"attributes": {"batch.server": "x"}}}}, YES)
    progress = operations.daemon.collector.engine.progress("n1")
    await eventually(lambda: progress.value("jobs") == "RUNNING")

    with pytest.raises(UnconfirmedError) as refused:
        await command_power(operations, ["n1", "n2"], word, "fans", ALICE)

    assert refused.value.message == (
        f"power {word} of 2 nodes (n[1-2]): n1: batch.jobs_end_first would keep Kraken from it "
        "(jobs=RUNNING): No node goes off while a job is on it; nothing was done"
    )
    with pytest.raises(UnconfirmedError, match=r"n3: .* \(jobs=UNKNOWN\)"):
        await command_power(operations, ["n3"], word, "fans", ALICE)
    assert held_by(operations) == held_by(operations, "n3") == []
    await command_power(operations, ["n2"], word, "fans", ALICE)
    await command_power(operations, ["n1"], word, "fans", YES)
    await eventually(lambda: outcome(operations.daemon))


async def test_the_hold_of_somebody_else_is_named_and_wants_a_yes(
    operations: Operations, seen: Callable[[str], Awaitable[None]]
) -> None:
    await operations.hold(["n1"], "my benchmark", None, Request("bob"))

    with pytest.raises(UnconfirmedError, match=r"n1: held by bob \(my benchmark\)"):
        await command_power(operations, ["n1"], "on", None, ALICE)

    await command_power(operations, ["n1"], "on", None, Request("bob"))
    await command_power(operations, ["n1"], "on", None, YES)


async def test_many_nodes_want_a_yes_with_a_hold_too(operations: Operations, world: FakeWorld) -> None:
    for i in range(33):
        address = {"bmc.address": f"10.2.0.{i + 1}"}
        await operations.apply(document(f"m{i}", {"phys_state": "POWER_ON"}, **address), YES)
    names = [f"m{i}" for i in range(33)]

    with pytest.raises(UnconfirmedError):
        await command_power(operations, names, "off", "cooling", ALICE)
    with pytest.raises(UnconfirmedError, match="more than 32 nodes"):
        await command_power(operations, names, "on", None, ALICE)
    assert held_by(operations, "m0") == []


async def test_a_node_that_cannot_be_commanded_keeps_all_from_being(
    operations: Operations, world: FakeWorld
) -> None:
    await operations.apply({"nodes": {"bare": {}}}, YES)
    await operations.apply({"nodes": {"mute": {"attributes": {"bmc.protocol": "ipmi"}}}}, YES)
    await operations.apply(document("other", **{"bmc.protocol": "redfish", "bmc.address": "10.3.0.1"}), YES)

    for node, reason in (
        ("bare", "bmc.protocol must say ipmi or redfish"),
        ("mute", "no attribute bmc.address"),
        ("other", "no loaded Kraken module has a discovery that sees its phys_state"),
    ):
        with pytest.raises(RefusedError, match=f"{node}: .*{reason}"):
            await command_power(operations, ["n1", node], "on", "why", YES)
    assert held_by(operations) == []
    assert operations.daemon.collector.engine.progress("n1").command is None


async def test_an_unknown_word_and_an_empty_reason_are_refused(operations: Operations) -> None:
    with pytest.raises(DocumentError, match="power cannot be 'of'"):
        await command_power(operations, ["n1"], "of", None, YES)
    with pytest.raises(DocumentError, match="needs a reason"):
        await command_power(operations, ["n1"], "off", " ", YES)


async def test_declaring_withdraws_what_cannot_be_had_with_it(
    tmp_path: Path, world: FakeWorld, eventually: Eventually
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "modules").mkdir()
    for name in ("power_ipmi", "boot"):
        shutil.copy(BASE / f"{name}.yml", tmp_path / "modules")
    async with living(tmp_path, world=world) as daemon:
        operations = Operations(daemon)
        wishes = {"phys_state": "POWER_ON", "run_state": "SYNC"}
        await operations.apply(document("n1", wishes, **{"bmc.address": "10.1.0.1"}), YES)
        await eventually(lambda: daemon.collector.engine.progress("n1").value("phys_state") == "POWER_ON")

        with pytest.raises(UnconfirmedError, match="run_state would be wished no more"):
            await declare_power(operations, ["n1"], "off", ALICE)
        await declare_power(operations, ["n1"], "off", YES)
        await eventually(lambda: world.truth["n1"]["phys_state"] == "POWER_OFF")

        assert daemon.collector.table["n1"].cfg_values() == {"phys_state": "POWER_OFF"}
        with pytest.raises(DocumentError, match="cannot be declared"):
            await declare_power(operations, ["n1"], "soft", replace(YES, who="bob"))


async def test_a_restart_in_the_middle_neither_repeats_nor_forgets_it(
    tmp_path: Path, world: FakeWorld, eventually: Eventually
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "modules").mkdir()
    shutil.copy(BASE / "power_ipmi.yml", tmp_path / "modules")
    async with living(tmp_path, world=world) as daemon:
        operations = Operations(daemon)
        await operations.apply(document("n1", **{"bmc.address": "10.1.0.1"}), YES)
        await eventually(lambda: daemon.collector.engine.progress("n1").value("phys_state") == "POWER_ON")
        world.behave = stuck
        await command_power(operations, ["n1"], "cycle", None, YES)
        await eventually(lambda: [run for run in world.runs if run.is_mutation])
    world.behave = FakeWorld().behave

    async with living(tmp_path, world=world) as daemon:
        await eventually(lambda: not daemon.collector.engine.progress("n1").unsettled)
        runs = await daemon.journal.read(lambda store: store.runs())

    assert [run.operator.name for run in world.runs if run.is_mutation] == ["power_cycle"]
    assert [run.operator for run in runs if run.kind == "mutation"] == ["by_hand/ipmi.power_cycle"]
