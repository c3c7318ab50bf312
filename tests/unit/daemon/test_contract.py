"""A plan is a contract: done as it stands, or refused with the difference; never half, never backwards."""

from __future__ import annotations

import itertools
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kraken.api import plans
from kraken.daemon.arrivals import Declared
from kraken.daemon.contract import Left, PlanChangedError, rest
from kraken.daemon.daemon import Daemon
from kraken.daemon.declare import NeedsConfirmationError
from kraken.daemon.fingerprint import fingerprint
from kraken.daemon.operations import Applied, Operations, Request
from kraken.daemon.plan import Planned
from kraken.errors import DocumentError, RefusedError, StoreError
from kraken.executors.fake import Behaviour, FakeWorld
from kraken.model.module import Action
from kraken.model.update import Side, Stamp, StateUpdate
from kraken.store.store import Store
from kraken.testing.daemons import LAB

Start = Callable[..., Awaitable[Daemon]]
Eventually = Callable[[Callable[[], Any]], Awaitable[None]]
NODES = ("n1", "n2", "n3")
LATER = itertools.count()
IMAGE = {"attributes": {"image.store": "d"}}


@pytest.fixture
async def lab(start: Start, me: Request, eventually: Eventually) -> Operations:
    """Three nodes, off and seen so, of which nothing is wished."""
    world = FakeWorld({name: {"power": "OFF", "service": "STOPPED", "image": "old"} for name in NODES})
    operations = Operations(await start(world=world))
    await operations.apply({"nodes": {"n[1-3]": IMAGE}}, me)
    engine = operations.daemon.collector.engine
    await eventually(lambda: all(engine.progress(name).state for name in NODES))
    return operations


async def written(operations: Operations, *nodes: str, unset: tuple[str, ...] = (), **values: str) -> Any:
    """The plan for these nodes (without any named: all), as a file would hold it."""
    made = await operations.plan(nodes or NODES, values, unset)
    return json.loads(json.dumps(plans.plan(made)))


def cfg(operations: Operations, name: str = "n1") -> dict[str, str]:
    return operations.daemon.collector.table[name].cfg_values()


def see(operations: Operations, name: str, **values: str) -> None:
    """Somebody saw this of the node, behind Kraken's back."""
    daemon = operations.daemon
    stamp = Stamp(1 << 40, next(LATER))
    updates = [StateUpdate(name, Side.DSC, v, x, stamp, daemon.clock(), "ann") for v, x in values.items()]
    daemon.accept(Declared(updates))


async def refused(operations: Operations, plan: Any, me: Request) -> dict[tuple[str, ...], str]:
    """The refusal's reasons; nothing was declared, in memory or in the file."""
    before = {name: dict(node.cfg) for name, node in operations.daemon.collector.table.items()}
    with pytest.raises(PlanChangedError, match="nothing was done") as error:
        await operations.apply_plan(plan, me)
    assert {name: dict(node.cfg) for name, node in operations.daemon.collector.table.items()} == before
    return {difference.nodes: difference.reason for difference in error.value.differences}


# -- done as it stands ----------------------------------------------------------------------------


async def test_a_plan_that_still_holds_declares_what_it_was_made_for(
    lab: Operations, me: Request, eventually: Eventually
) -> None:
    plan = await written(lab, power="ON", image="new")
    applied = await lab.apply_plan(plan, me)

    assert [item.diff for item in applied.items] == [{"power": (None, "ON"), "image": (None, "new")}] * 3
    assert applied.left == dict.fromkeys(NODES, Left(0, 2))
    engine = lab.daemon.collector.engine
    await eventually(lambda: all(engine.cause(name) == "CONVERGED" for name in NODES))


async def test_what_lies_ahead_of_a_plan_just_applied_is_the_plan(lab: Operations, me: Request) -> None:
    await lab.freeze("so that nothing moves", me)
    plan = await written(lab, power="ON", image="new", service="STOPPED")
    await lab.apply_plan(plan, me)
    ahead = await written(lab)

    assert len(plan["groups"][0]["steps"]) == 3
    assert [group["steps"] for group in ahead["groups"]] == [group["steps"] for group in plan["groups"]]
    assert (ahead["set"], ahead["mutations"]) == ({}, plan["mutations"])


async def test_a_change_that_leaves_the_path_as_it_was_is_no_refusal(lab: Operations, me: Request) -> None:
    plan = await written(lab, power="ON")
    await lab.change_attributes(NODES, {"rack": 4}, [], me)
    await lab.hold(["n2"], "broken fan", None, me)
    see(lab, "n3", image="other")

    assert len((await lab.apply_plan(plan, me)).items) == 3


async def test_a_dry_run_and_a_missing_yes_declare_nothing(start: Start, me: Request) -> None:
    operations = Operations(await start())
    many = [f"n{i}" for i in range(40)]
    await operations.apply({"nodes": {"n[0-39]": {}}}, replace(me, yes=True))
    plan = await written(operations, *many, power="ON")
    dry = await operations.apply_plan(plan, replace(me, dry_run=True))

    assert len([item for item in dry.items if item.changed]) == 40
    with pytest.raises(NeedsConfirmationError):
        await operations.apply_plan(plan, me)
    assert cfg(operations, "n0") == {}
    await operations.apply_plan(plan, replace(me, yes=True))
    assert cfg(operations, "n0") == {"power": "ON"}


async def test_withdrawing_is_a_wish_too(lab: Operations, me: Request) -> None:
    await lab.change_cfg(["n1"], {"power": "OFF"}, [], me)
    plan = await written(lab, "n1", unset=("power",))
    await lab.apply_plan(plan, me)

    assert cfg(lab) == {}


# -- refused with the difference ------------------------------------------------------------------


async def test_another_start_state_is_refused_for_all_and_told_for_whom(lab: Operations, me: Request) -> None:
    plan = await written(lab, power="ON", image="new")
    see(lab, "n2", power="ON")

    with pytest.raises(PlanChangedError) as error:
        await lab.apply_plan(plan, me)
    (difference,) = error.value.differences
    assert difference.nodes == ("n2",)
    assert difference.reason == "power is ON, was OFF"
    assert difference.planned == ("lab.switch_on", "lab.write_image")
    assert difference.now == ("lab.write_image",)
    assert [cfg(lab, name) for name in NODES] == [{}, {}, {}]


async def test_another_cfg_that_changes_the_path_is_refused_and_names_who_did_it(
    lab: Operations, me: Request
) -> None:
    plan = await written(lab, "n1", image="new")
    assert [step["name"] for step in plan["groups"][0]["steps"]] == ["switch_on", "write_image"]
    await lab.hold(["n1"], "stays as it is", None, me)
    await lab.change_cfg(["n1"], {"power": "OFF"}, [], Request("ann"))

    (reason,) = (await refused(lab, plan, me)).values()
    assert "power was declared by ann" in reason


async def test_a_disruptive_step_nobody_agreed_to_is_named(lab: Operations, me: Request) -> None:
    plan = await written(lab, "n1", power="OFF")
    assert plan["groups"][0]["steps"] == []
    see(lab, "n1", power="ON")

    assert "DISRUPTIVE and not planned: lab.switch_off" in (await refused(lab, plan, me))["n1",]


async def test_a_node_that_is_gone_or_another_by_now_is_refused(lab: Operations, me: Request) -> None:
    plan = await written(lab, power="OFF")
    await lab.delete(["n1", "n2"], me)
    await lab.apply({"nodes": {"n2": IMAGE}}, Request("ann"))

    assert await refused(lab, plan, me) == {
        ("n1",): "is not declared",
        ("n2",): "was declared anew by ann after the plan was made",
    }


async def test_modules_that_change_the_path_are_refused(
    start: Start, lab: Operations, me: Request, tmp_path: Path
) -> None:
    plan = await written(lab, "n1", power="ON")
    file = tmp_path / "modules" / "lab.yml"
    file.write_text(LAB.replace("cost: 5", "cost: 6"))
    await lab.daemon.reload()
    await lab.apply_plan(plan, replace(me, dry_run=True))  # the same steps, as dear as they may be
    file.write_text(LAB.replace("  switch_on:\n", "  switch_on:\n    disruptive: true\n"))
    await lab.daemon.reload()
    dear = await refused(lab, plan, me)
    file.write_text(LAB.replace("ipmi: {power: 'on'}", "ipmi: {power: cycle}"))
    await lab.daemon.reload()
    redone = await refused(lab, plan, me)
    file.write_text(LAB.replace("'OFF', 'ON', HUNG", "'OFF', HUNG"))
    await lab.daemon.reload()

    assert "the Kraken modules have changed" in dear["n1",]
    assert "lab.switch_on is done in another way" in redone["n1",]
    with pytest.raises(RefusedError, match="modules have changed"):
        await lab.apply_plan(plan, me)


async def test_where_no_path_is_left_the_reason_is_told(lab: Operations, me: Request) -> None:
    plan = await written(lab, "n1", image="new")
    await lab.change_attributes(["n1"], {}, ["image.store"], me)

    assert (await refused(lab, plan, me))["n1",].startswith("no path any more; ")


async def test_what_changes_while_the_wishes_are_written_is_noticed_in_the_turn_they_are_let_in(
    lab: Operations, me: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lab.change_cfg(["n1"], {"image": "old"}, [], replace(me, allow_unreachable=True))
    await lab.freeze("so that nothing moves", me)
    plan = await written(lab, "n1", "n2", power="ON", image="new")
    write = lab.daemon.journal.write
    once = iter([True])

    async def slow(changes: Any) -> None:
        await write(changes)
        if next(once, False):
            see(lab, "n1", power="ON")

    monkeypatch.setattr(lab.daemon.journal, "write", slow)
    with pytest.raises(PlanChangedError, match="1 of 2 nodes \\(n1\\)"):
        await lab.apply_plan(plan, me)
    memory = await lab.daemon.journal.read(Store.load)
    kept = {(u.node, u.variable): u.value for u in memory.updates if u.side is Side.CFG}

    assert (cfg(lab, "n1"), cfg(lab, "n2")) == ({"image": "old"}, {})
    assert {place: value for place, value in kept.items() if value is not None} == {("n1", "image"): "old"}


async def test_a_full_disk_refuses_it_whole(
    lab: Operations, me: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = await written(lab, power="ON")

    async def full(_: Any) -> None:
        raise StoreError("no space left")

    monkeypatch.setattr(lab.daemon.journal, "write", full)
    with pytest.raises(StoreError):
        await lab.apply_plan(plan, me)
    assert cfg(lab) == {}


# -- never backwards ------------------------------------------------------------------------------


async def test_wishes_that_were_declared_anew_are_never_undone_by_an_older_plan(
    lab: Operations, me: Request
) -> None:
    """Though the path is the same as planned: the later word stands."""
    await lab.freeze("so that nothing moves", me)
    plan = await written(lab, image="old_release")
    await lab.change_cfg(["n2"], {"image": "new_release"}, [], Request("ann"))
    withdrawn = await written(lab, "n3", image="x")
    await lab.change_cfg(["n3"], {"image": "y"}, [], me)
    await lab.change_cfg(["n3"], {}, ["image"], Request("ann"))

    assert (await refused(lab, plan, me))["n2",] == (
        "image was declared as new_release by ann after the plan was made"
    )
    assert (await refused(lab, withdrawn, me))["n3",] == "image was withdrawn by ann after the plan was made"


async def test_after_a_restart_an_older_plan_is_still_older(
    start: Start, lab: Operations, me: Request, eventually: Eventually
) -> None:
    await lab.freeze("so that nothing moves", me)
    plan = await written(lab, image="old_release")
    other = await written(lab, "n1", power="ON")
    await lab.change_cfg(["n2"], {"image": "new_release"}, [], Request("ann"))
    again = Operations(await start())
    await eventually(lambda: all(again.daemon.collector.engine.progress(name).state for name in NODES))

    assert ("n2",) in await refused(again, plan, me)
    assert (await again.apply_plan(other, me)).items[0].changed


async def test_a_plan_of_another_daemon_is_refused(lab: Operations, me: Request) -> None:
    plan = await written(lab, power="ON")
    plan["generation"]["declared"] = f"{1 << 40}-1"

    with pytest.raises(RefusedError, match="another daemon"):
        await lab.apply_plan(plan, me)


async def test_a_plan_applied_twice_is_done_once(start: Start, me: Request, eventually: Eventually) -> None:
    """Again at once, while it is performed, and when it is done: nothing is declared, and it says how far."""
    slow = Behaviour(delay_s=0.2)
    world = FakeWorld({"n1": {"power": "OFF", "image": "old"}}, behave=lambda *_: slow)
    operations = Operations(await start(world=world))
    await operations.apply({"nodes": {"n1": IMAGE}}, me)
    engine = operations.daemon.collector.engine
    await eventually(lambda: engine.progress("n1").state)
    plan = await written(operations, "n1", power="ON", image="new")
    await operations.apply_plan(plan, me)
    at_once = await operations.apply_plan(plan, me)
    await eventually(lambda: engine.progress("n1").value("power") == "ON")
    under_way = await operations.apply_plan(plan, me)
    await eventually(lambda: engine.cause("n1") == "CONVERGED")
    done = await operations.apply_plan(plan, me)

    assert nothing_declared(at_once, under_way, done)
    assert [one.left["n1"] for one in (at_once, under_way, done)] == [Left(0, 2), Left(1, 1), Left(2, 0)]
    await operations.change_cfg(["n1"], {"image": "newer"}, [], Request("ann"))
    assert "by ann" in (await refused(operations, plan, me))["n1",]


def nothing_declared(*applied: Applied) -> bool:
    return not any(item.changed for one in applied for item in one.items)


async def test_a_plan_without_wishes_is_checked_and_declares_nothing(lab: Operations, me: Request) -> None:
    await lab.hold(["n1"], "first the plan", None, me)
    await lab.change_cfg(["n1"], {"power": "ON"}, [], me)
    plan = await written(lab, "n1")
    applied = await lab.apply_plan(plan, me)

    assert nothing_declared(applied)
    assert applied.left == {"n1": Left(0, 1)}
    await lab.change_cfg(["n1"], {"image": "new"}, [], Request("ann"))
    assert "image was declared by ann" in (await refused(lab, plan, me))["n1",]


# -- what is written down -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "value", "key"),
    [
        (("kraken_plan",), 2, "kraken_plan"),
        (("sets",), {}, "sets"),
        (("set",), None, "set"),
        (("unset",), None, "unset"),
        (("mutations",), None, "mutations"),
        (("mutations",), {}, "mutations"),
        (("nodes",), 4, "nodes"),
        (("nodes",), None, "nodes"),
        (("groups", 0, "nodeset"), "n[1-2]", "nodes"),
        (("generation", "declared"), "yesterday", "generation.declared"),
        (("groups",), [], "groups"),
        (("groups", 0, "nodeset"), "n[", "groups.0.nodeset"),
        (("groups", 0, "steps", 0, "after"), [0], "groups.0.steps.0.after"),
        (("groups", 0, "steps", 0, "disruptive"), "no", "groups.0.steps.0.disruptive"),
        (("groups", 0, "no_path"), {}, "groups.0.no_path"),
        (("set", "power"), True, "set.power"),
        (("set", "powr"), "ON", "set.powr"),
        (("unset",), ["power"], "unset"),
    ],
)
async def test_a_plan_that_was_spoilt_names_the_place(
    lab: Operations, me: Request, place: tuple[Any, ...], value: Any, key: str
) -> None:
    plan = await written(lab, power="ON")
    inner = plan
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value

    with pytest.raises(DocumentError) as error:
        await lab.apply_plan(plan, me)
    assert error.value.key == key


async def test_a_plan_cut_off_between_two_groups_is_not_taken_for_whole(lab: Operations, me: Request) -> None:
    see(lab, "n1", power="ON")
    plan = await written(lab, power="ON")
    del plan["groups"][1:]

    with pytest.raises(DocumentError, match="have 2 nodes, not 3: the plan was cut short"):
        await lab.apply_plan(plan, me)


async def test_what_is_withdrawn_and_no_node_had_is_told_in_the_plan(lab: Operations, me: Request) -> None:
    await lab.change_cfg(["n2"], {"power": "OFF"}, [], me)
    some = await written(lab, unset=("power", "image"))
    none = await written(lab, "n1", unset=("power", "image"))

    assert some["undeclared"] == ["image"]
    assert none["undeclared"] == ["power", "image"]
    assert nothing_declared(await lab.apply_plan(none, me))


async def test_a_variable_that_nobody_knows_cannot_be_withdrawn(lab: Operations, me: Request) -> None:
    with pytest.raises(DocumentError, match="unknown variable 'powr'; nothing was done") as refused:
        await lab.change_cfg(["n1"], {"image": "x"}, ["powr"], me)
    with pytest.raises(DocumentError, match="unknown variable 'powr'"):
        await lab.plan(["n1"], {}, ["powr"])

    assert (refused.value.key, str(refused.value.hint)[:20]) == ("unset.powr", "did you mean power? ")
    assert "image" not in lab.node("n1").cfg


async def test_a_new_step_is_told_with_what_it_starts_from(lab: Operations, me: Request) -> None:
    await lab.hold(["n1"], "stays as it is", None, me)
    see(lab, "n1", power="ON")
    plan = await written(lab, "n1", image="new")
    see(lab, "n1", power="OFF")

    assert await refused(lab, plan, me) == {("n1",): "power is OFF"}


async def test_a_node_twice_in_a_plan_is_refused(lab: Operations, me: Request) -> None:
    plan = await written(lab, power="ON")
    plan["groups"].append({**plan["groups"][0], "nodeset": "n3"})

    with pytest.raises(DocumentError, match="n3 is in another group"):
        await lab.apply_plan(plan, me)


def test_a_fingerprint_is_of_what_is_done_not_of_where_it_is_written(lab: Operations) -> None:
    mutation = lab.daemon.collector.catalog.mutations["lab.start_service"]
    assert mutation.action is not None
    moved = replace(mutation, summary="x", cost=9, action=replace(mutation.action, directory=Path("/else")))
    other = replace(mutation, action=Action("ansible", [{"ansible.builtin.ping": {}}], Path("/else")))

    assert fingerprint(moved) == fingerprint(mutation) != fingerprint(other)


# -- how far along --------------------------------------------------------------------------------


@st.composite
def partial_orders(draw: st.DrawFn) -> tuple[list[Planned], frozenset[int]]:
    """A planned path, and positions of steps of it that are done: with each those it waited for."""
    count = draw(st.integers(1, 7))
    steps: list[Planned] = []
    for i in range(count):
        after = draw(st.frozensets(st.integers(0, i - 1), max_size=3)) if i else frozenset()
        steps.append(Planned(draw(st.sampled_from("abc")), (), False, tuple(sorted(after))))
    done: set[int] = set()
    for i in range(count):
        if set(steps[i].after) <= done and draw(st.booleans()):
            done.add(i)
    return steps, frozenset(done)


@given(partial_orders())
def test_whoever_has_done_some_first_steps_of_a_plan_is_on_it(
    case: tuple[list[Planned], frozenset[int]],
) -> None:
    planned, done = case
    kept = [i for i in range(len(planned)) if i not in done]
    place = {i: new for new, i in enumerate(kept)}
    now = [
        planned[i]._replace(key=f"{i}", after=tuple(place[j] for j in planned[i].after if j in place))
        for i in kept
    ]
    named = [step._replace(key=f"{i}") for i, step in enumerate(planned)]

    assert rest(named, now) == Left(len(done), len(kept))


def test_another_order_a_missing_step_or_another_effect_is_another_path() -> None:
    a, b = Planned("a", (("x", "1"),), False, ()), Planned("b", (), False, (0,))

    assert rest([a, b], [a, b]) == Left(0, 2)
    assert rest([a, b], [b._replace(after=())]) == Left(1, 1)
    assert rest([a, b], [a]) is None  # what is missing is its end
    assert rest([a, b], [a, b._replace(after=())]) is None
    assert rest([a, b], [a._replace(effects=(("x", "2"),)), b]) is None
    assert rest([a, b], [a._replace(disruptive=True), b]) is None
    assert rest([a, b], [a, b, b._replace(after=(1,))]) is None
    assert rest([a, b], []) == Left(2, 0)
