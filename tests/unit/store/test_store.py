"""What a store keeps, and gives back after a restart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kraken.model.effort import Effort
from kraken.model.hold import EVERY_NODE, Hold
from kraken.model.node import Node, NodeTable
from kraken.model.run import Outcome
from kraken.model.update import Side, Stamp, StateUpdate, Value
from kraken.store import (
    AdoptNode,
    Change,
    ClearTrouble,
    DropHold,
    EndRun,
    ForgetNode,
    Note,
    Outgrow,
    SaveHold,
    SaveTree,
    SaveUpdates,
    SetTrouble,
    StartRun,
    Store,
    UnfinishedRun,
)
from kraken.store.statements import ABREAST
from kraken.sync.events import Memory as TreeMemory
from kraken.sync.lease import Lease

Reopen = Callable[[], Store]
Update = Callable[..., StateUpdate]


def table_of(store: Store) -> NodeTable:
    table = NodeTable()
    table.merge(store.load().updates)
    return table


def start(run_id: str, *nodes: str, at: float = 50.0) -> StartRun:
    return StartRun(run_id, "power_ipmi.power_on", "mutation", nodes, at, 60.0)


def end(run_id: str, node: str, outcome: Outcome = Outcome.OK, at: float = 55.0) -> EndRun:
    return EndRun(run_id, node, outcome, "done", {"phys_state": "POWER_ON"}, at)


def note(node: str, text: str = "changed", at: float = 10.0) -> Note:
    return Note(at, node, "cfg", text, "alice", {"phys_state": [None, "POWER_ON"]})


def test_what_was_written_comes_back_after_a_restart(store: Store, reopen: Reopen, update: Update) -> None:
    updates = [
        update("n1"),
        update("n1", "bmc.address", "10.0.0.1"),
        update("n1", "groups", ["compute", "gpu"]),
        update("n1", "cores", 128),
        update("n1", "diskless", True),
        update("n1", "weight", 1.5),
        update("n1", "phys_state", "POWER_ON", Side.CFG),
        update("n1", "phys_state", "POWER_OFF", Side.DSC, seen_at=123.25),
    ]
    store.write([SaveUpdates(updates)])

    assert set(map(repr, reopen().load().updates)) == set(map(repr, updates))


def test_nodes_come_back_in_the_order_of_their_declaration(
    store: Store, reopen: Reopen, update: Update
) -> None:
    store.write([SaveUpdates([update(name) for name in ("n9", "login1", "n10")])])

    assert list(table_of(reopen())) == ["n9", "login1", "n10"]


def test_dsc_comes_back_with_the_time_it_was_truly_seen(store: Store, reopen: Reopen, update: Update) -> None:
    store.write([SaveUpdates([update("n1", "phys_state", "POWER_ON", Side.DSC, seen_at=77.5), update("n1")])])

    assert table_of(reopen())["n1"].dsc["phys_state"].seen_at == 77.5


def test_a_withdrawn_cfg_comes_back_as_withdrawn(store: Store, reopen: Reopen, update: Update) -> None:
    late = update("n1", "phys_state", "POWER_ON", Side.CFG)
    store.write([SaveUpdates([update("n1"), late])])
    store.write([SaveUpdates([update("n1", "phys_state", None, Side.CFG)])])
    table = table_of(reopen())

    assert table.merge([late]) == []
    assert table["n1"].cfg == {}


def test_withdrawn_dsc_is_forgotten(store: Store, reopen: Reopen, update: Update) -> None:
    store.write([SaveUpdates([update("n1"), update("n1", "phys_state", "POWER_ON", Side.DSC)])])
    store.write([SaveUpdates([update("n1", "phys_state", None, Side.DSC)])])

    assert [one.variable for one in reopen().load().updates] == ["node"]


def test_a_deleted_node_leaves_only_its_withdrawal(store: Store, reopen: Reopen, update: Update) -> None:
    store.write(
        [
            SaveUpdates(
                [
                    update("n1"),
                    update("n1", "arch", "x86_64"),
                    update("n1", "phys_state", "POWER_ON", Side.CFG),
                    update("n1", "phys_state", "POWER_ON", Side.DSC, stamp=(9, 9)),
                    update("n2"),
                    update("n2", "phys_state", "POWER_ON", Side.CFG),
                ]
            )
        ]
    )
    store.write([SaveUpdates([update("n1", value=None)])])
    kept = [(one.node, one.variable, one.value) for one in reopen().load().updates]

    assert sorted(kept, key=str) == [
        ("n1", "node", None),
        ("n2", "node", "PRESENT"),
        ("n2", "phys_state", "POWER_ON"),
    ]


def test_how_a_node_fares_goes_with_the_node_or_when_nobody_says_so_any_more(
    store: Store, reopen: Reopen, update: Update
) -> None:
    said = [update(name, "cause", "HELD", Side.SUMMARY) for name in ("n1", "n2")]
    store.write([SaveUpdates([update("n1"), update("n2"), *said])])
    store.write([SaveUpdates([update("n1", value=None), update("n2", "cause", None, Side.SUMMARY)])])

    assert [u for u in reopen().load().updates if u.side is Side.SUMMARY] == []


def test_a_parent_replaces_what_is_declared_and_held_of_a_node_and_nothing_that_was_seen(
    store: Store, reopen: Reopen, update: Update
) -> None:
    presence, seen = update("n1"), update("n1", "phys_state", "POWER_ON", Side.DSC)
    other = Hold("h2", "n2", "bob", "his", 10.0)
    store.write([SaveUpdates([presence, update("n1", "arch", "x86_64"), seen, update("n2")])])
    store.write([SaveUpdates([update("n1", "phys_state", "POWER_OFF", Side.CFG, stamp=(9, 9))])])
    store.write([SaveHold(Hold("h1", "n1", "ann", "a fan", 10.0)), SaveHold(other)])
    cfg = update("n1", "phys_state", "POWER_ON", Side.CFG, stamp=(2, 1))
    hold = Hold("h3", "n1", "ann", "a disk", 20.0)
    store.write([AdoptNode("n1", [presence, cfg], [hold])])
    memory = reopen().load()

    assert sorted(u for u in map(repr, memory.updates) if "'n1'" in u) == sorted(
        map(repr, [presence, cfg, seen])
    )
    assert memory.holds == (other, hold)


def test_nothing_is_kept_of_a_node_that_is_another_collectors(
    store: Store, reopen: Reopen, update: Update
) -> None:
    store.write(
        [SaveUpdates([update("n1"), update("n1", "x", "1", Side.CFG), update("n1", "x", "1", Side.DSC)])]
    )
    store.write([SaveUpdates([update("n1", "arch", None), update("n1", "cause", "HELD", Side.SUMMARY)])])
    store.write([SaveHold(Hold("h1", "n1", "ann", "a fan", 10.0)), SetTrouble("n1", {"m.a": 1}, None, 0.0)])
    store.write([ForgetNode("n1")])
    memory = reopen().load()

    assert (memory.updates, memory.holds, memory.troubles) == ((), (), ())


def test_what_a_parent_says_after_it_took_a_node_away_is_kept_though_its_stamps_are_older(
    store: Store, reopen: Reopen, update: Update
) -> None:
    newer, older = update("n1", stamp=(5, 1)), update("n1", stamp=(4, 1))
    store.write([AdoptNode("n1", [newer], []), ForgetNode("n1"), AdoptNode("n1", [older], [])])

    assert reopen().load().updates == (older,)


def test_who_has_which_node_is_remembered_node_by_node(store: Store, reopen: Reopen) -> None:
    whole = TreeMemory(
        {"n1": ("c1", 3, 2, True, False), "n2": ("", 4, 4, False, True)},
        {"n3": ("c1", 2, True)},
        {"n2": Lease(7, True, 6, 5)},
        {"@c1": "c1", "@c9": "c1"},
        ["c2", "c3"],
        610.5,
        doubts=True,
        bmcs={"n1": "10.0.0.1", "n2": "10.0.0.2", "n3": "n3-bmc port 9001"},
    )
    store.write([SaveTree(whole, ["n1", "n2", "n3"])])

    assert reopen().load().tree == whole

    reopen().write([SaveTree(TreeMemory({}, {"n2": ("", 4, False)}, {}, {"@c1": "c1"}, []), ["n2"])])

    assert reopen().load().tree == TreeMemory(
        {"n1": ("c1", 3, 2, True, False)},
        {"n2": ("", 4, False), "n3": ("c1", 2, True)},
        {},
        {"@c1": "c1"},
        [],
        bmcs={"n1": "10.0.0.1", "n3": "n3-bmc port 9001"},
    )


def test_a_tree_without_a_node_is_told_from_none(store: Store, reopen: Reopen) -> None:
    empty = TreeMemory({}, {}, {}, {}, [])

    assert store.load().tree is None

    store.write([SaveTree(empty, [])])

    assert reopen().load().tree == empty


def test_a_node_declared_again_does_not_get_its_former_cfg_back(
    store: Store, reopen: Reopen, update: Update
) -> None:
    store.write([SaveUpdates([update("n1"), update("n1", "phys_state", "POWER_ON", Side.CFG)])])
    store.write([SaveUpdates([update("n1", value=None), update("n1")])])

    assert table_of(reopen())["n1"].cfg_values() == {}


@pytest.mark.parametrize("count", [ABREAST - 1, ABREAST, 2 * ABREAST + 1])
def test_of_many_records_each_is_kept_and_the_newest_of_those_in_one_place(
    store: Store, update: Update, count: int
) -> None:
    names = [f"n{i}" for i in range(count)]
    store.write([SaveUpdates([update(name) for name in names])])
    seen = [update(name, "os", f"x{i % 3}", Side.DSC, stamp=(1, 2)) for i, name in enumerate(names)]
    late = update("n1", "os", "late", Side.DSC, stamp=(1, 1))
    again = update("n2", "os", "again", Side.DSC, stamp=(1, 3))
    store.write([SaveUpdates([*seen, late, again])])

    found = {u.node: u.value for u in store.load().updates if u.side is Side.DSC}
    assert found == {**{u.node: u.value for u in seen}, "n2": "again"}


def test_an_older_stamp_never_replaces_a_newer(store: Store, update: Update) -> None:
    store.write([SaveUpdates([update("n1", "arch", "new", stamp=(2, 1))])])
    store.write([SaveUpdates([update("n1", "arch", "old", stamp=(1, 99))])])

    assert [one.value for one in store.load().updates] == ["new"]


values = st.none() | st.text(max_size=5) | st.integers() | st.booleans() | st.lists(st.text(max_size=3))
names = st.sampled_from(["node", "a", "b"])
declarations = st.lists(
    st.tuples(
        st.sampled_from(["n1", "n2"]), st.sampled_from(Side), st.sampled_from(["node", "a", "b"]), values
    ),
    max_size=20,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(declared=declarations, cut=st.integers(1, 5))
def test_the_table_loaded_is_the_table_that_was_saved(
    tmp_path_factory: pytest.TempPathFactory,
    declared: list[tuple[str, Side, str, Value]],
    cut: int,
) -> None:
    """Whatever one writer declares, sees, withdraws and declares again, in commits of any size."""
    table = NodeTable()
    stood: list[StateUpdate] = []
    for sequence, (node, side, variable, value) in enumerate(declared):
        if node in table or (side, variable) == (Side.ATTRIBUTE, "node"):
            stood += table.merge([StateUpdate(node, side, variable, value, Stamp(1, sequence), 5.0, "x")])
    store = Store.open(tmp_path_factory.mktemp("state") / "kraken.db")
    try:
        for at in range(0, len(stood), cut):
            store.write([SaveUpdates(stood[at : at + cut])])
        loaded = table_of(store)
    finally:
        store.close()

    assert {name: content(loaded[name]) for name in loaded} == {name: content(table[name]) for name in table}


def content(node: Node) -> list[dict[str, Value]]:
    return [{k: r.value for k, r in side.items()} for side in (node.attributes, node.cfg, node.dsc)]


def test_holds_come_back_until_they_are_dropped(store: Store, reopen: Reopen) -> None:
    ours = Hold("h1", "n1", "alice", "new disk", 5.0, 99.0)
    freeze = Hold("h2", EVERY_NODE, "bob", "power works", 6.0)
    store.write([SaveHold(ours), SaveHold(freeze), SaveHold(Hold("h3", "n2", "bob", "x", 7.0))])
    store.write([DropHold("h3"), DropHold("never-was")])

    assert reopen().load().holds == (ours, freeze)


def test_failures_and_quarantine_come_back_until_cleared(store: Store, reopen: Reopen) -> None:
    effort = Effort(7.5, 4, (("power_ipmi.power_on", 9),), 19.0)
    worse = SetTrouble("n1", {"power_ipmi.power_on": 5}, "BMC says no", 20.0, effort)
    store.write([SetTrouble("n1", {"power_ipmi.power_on": 4}, None, 0.0), worse])
    store.write([SetTrouble("n2", {"boot.wait": 1}, None, 0.0), ClearTrouble("n2")])

    assert reopen().load().troubles == (worse,)


def test_a_node_that_is_deleted_leaves_no_trouble_to_the_next_of_its_name(
    store: Store, reopen: Reopen, update: Update
) -> None:
    store.write([SetTrouble("n1", {}, "BMC says no", 20.0), SetTrouble("n2", {}, "BMC says no", 20.0)])
    store.write([SaveUpdates([update("n1", value=None)])])

    assert [trouble.node for trouble in reopen().load().troubles] == ["n2"]


def test_a_run_under_way_is_unfinished_for_each_node_that_did_not_end(store: Store, reopen: Reopen) -> None:
    store.write([start("1-1", "n1", "n2", "n3")])
    store.write([end("1-1", "n2")])
    unfinished = reopen().load().unfinished

    assert unfinished == (
        UnfinishedRun("1-1", "power_ipmi.power_on", "n1", 50.0, 60.0),
        UnfinishedRun("1-1", "power_ipmi.power_on", "n3", 50.0, 60.0),
    )


def test_a_run_interrupted_by_a_restart_stays_unfinished_until_it_is_ended(
    store: Store, reopen: Reopen
) -> None:
    store.write([start("1-1", "n1")])
    reopen()
    again = reopen()
    again.write([end("1-1", one.node, Outcome.INTERRUPTED) for one in again.load().unfinished])

    assert again.load().unfinished == ()


def test_a_run_ends_when_its_last_node_did(store: Store) -> None:
    store.write([start("1-1", "n2", "n1"), end("1-1", "n1", at=58.0)])
    under_way = store.run("1-1")
    store.write([end("1-1", "n2", Outcome.FAILED, at=57.0)])
    ended = store.run("1-1")

    assert under_way is not None
    assert under_way.ended_at is None
    assert ended is not None
    assert ended.ended_at == 58.0
    assert ended.nodes == ("n2", "n1")
    assert ended.outcomes() == {Outcome.FAILED: ["n2"], Outcome.OK: ["n1"]}
    assert ended.results[1].observed == {"phys_state": "POWER_ON"}
    assert (ended.module, ended.name) == ("power_ipmi", "power_on")


def test_the_first_end_of_a_node_stays(store: Store) -> None:
    store.write([start("1-1", "n1"), end("1-1", "n1", Outcome.TIMEOUT), end("1-1", "n1", Outcome.OK)])
    run = store.run("1-1")

    assert run is not None
    assert [result.outcome for result in run.results] == [Outcome.TIMEOUT]


def test_runs_are_listed_newest_first_and_by_whether_they_are_under_way(store: Store) -> None:
    store.write([start("1-1", "n1", at=10.0), start("1-2", "n2", at=20.0), start("1-3", "n3", at=30.0)])
    store.write([end("1-2", "n2")])

    assert [run.run_id for run in store.runs()] == ["1-3", "1-2", "1-1"]
    assert [run.run_id for run in store.runs(limit=1)] == ["1-3"]
    assert [run.run_id for run in store.runs(active=True)] == ["1-3", "1-1"]
    assert [run.run_id for run in store.runs(active=False)] == ["1-2"]
    assert store.run("9-9") is None


def test_history_is_newest_first_and_goes_on_behind_a_cursor(store: Store) -> None:
    store.write([note("n1", f"entry {i}") for i in range(5)])
    first = store.history(limit=2)
    second = store.history(limit=2, before=first[-1].id)

    assert [entry.text for entry in first + second] == ["entry 4", "entry 3", "entry 2", "entry 1"]
    assert first[0].data == {"phys_state": [None, "POWER_ON"]}


@pytest.mark.parametrize("others", [0, 600])
def test_history_can_be_of_some_nodes_only(store: Store, others: int) -> None:
    store.write([note(f"n{i}", f"entry {i}") for i in range(4)])
    wanted = {"n1", "n3"} | {f"m{i}" for i in range(others)}

    assert [entry.text for entry in store.history(wanted)] == ["entry 3", "entry 1"]
    assert [entry.text for entry in store.history(wanted, limit=1)] == ["entry 3"]
    assert [entry.text for entry in store.history(wanted, before=store.history(wanted)[0].id)] == ["entry 1"]
    assert store.history([]) == []


def test_old_entries_and_the_runs_of_their_time_are_pruned(store: Store) -> None:
    store.write([note("n1", f"at {at}", at) for at in (10.0, 20.0, 30.0)])
    store.write([start("1-1", "n1", at=5.0), end("1-1", "n1", at=8.0), start("1-2", "n1", at=6.0)])
    pruned = store.prune(now=100.0, keep_s=75.0)

    assert pruned == 3
    assert [entry.text for entry in store.history()] == ["at 30.0"]
    assert [run.run_id for run in store.runs()] == ["1-2"]  # under way: never pruned
    assert store.prune(now=100.0, keep_s=75.0) == 0


def test_only_so_many_entries_are_kept(store: Store) -> None:
    store.write([note("n1", f"entry {i}", at=float(i)) for i in range(10)])
    store.prune(now=100.0, rows_max=3)

    assert [entry.text for entry in store.history()] == ["entry 9", "entry 8", "entry 7"]


def test_pruning_goes_in_steps(store: Store) -> None:
    store.write([note("n1", at=1.0) for _ in range(10)])

    assert [store.prune(now=100.0, keep_s=1.0, at_once=4) for _ in range(4)] == [4, 4, 2, 0]


def test_a_journal_entry_never_gets_the_id_of_a_pruned_one(store: Store) -> None:
    store.write([note("n1")])
    last = store.history()[0].id
    store.prune(now=100.0, keep_s=1.0)
    store.write([note("n1")])

    assert store.history()[0].id > last


def test_every_start_has_a_greater_incarnation(store: Store, reopen: Reopen) -> None:
    numbers = [store.next_incarnation(), store.next_incarnation(), reopen().next_incarnation()]

    assert numbers == sorted(set(numbers))


def test_a_later_life_is_above_what_somebody_else_stamped(store: Store, reopen: Reopen) -> None:
    far = store.next_incarnation() + 1_000_000
    store.write([Outgrow(far), Outgrow(far - 500)])

    assert reopen().next_incarnation() == far + 1


def test_a_state_that_was_lost_begins_with_a_greater_incarnation(
    store: Store, reopen: Reopen, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kraken.store.store.time.time", lambda: 1_790_000_000.0)
    before = [store.next_incarnation() for _ in range(3)][-1]
    store.close()
    path.unlink()
    monkeypatch.setattr("kraken.store.store.time.time", lambda: 1_790_000_060.0)

    assert reopen().next_incarnation() > before


def test_a_clock_that_went_back_does_not_take_the_incarnation_along(
    store: Store, reopen: Reopen, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = store.next_incarnation()
    monkeypatch.setattr("kraken.store.store.time.time", lambda: 5.0)

    assert reopen().next_incarnation() == before + 1


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(start("1-1", "n1"), id="a run that is there already"),
        pytest.param(Note(1.0, "n1", "cfg", "x", "alice", {"what": object()}), id="no JSON"),
    ],
)
def test_changes_are_kept_all_or_none(store: Store, update: Update, bad: Change) -> None:
    store.write([start("1-1", "n7")])
    with pytest.raises(Exception, match=r"UNIQUE|object"):
        store.write([SaveUpdates([update("n1")]), bad, note("n1")])

    assert store.load().updates == ()
    assert store.history() == []


def test_a_value_that_is_no_number_is_refused(store: Store, update: Update) -> None:
    with pytest.raises(ValueError, match="n1"):
        store.write([SaveUpdates([update("n1", "weight", float("nan"))])])


def test_when_a_mutation_last_ended_on_a_node_is_remembered_whatever_came_of_it(store: Store) -> None:
    for run_id, at in (("1-1", 10.0), ("1-2", 20.0)):
        store.write([StartRun(run_id, "power_ipmi.power_on", "mutation", ("n1", "n2"), at, 60.0)])
    for run_id, node, at, outcome in (
        ("1-1", "n1", 11.0, Outcome.OK),
        ("1-1", "n2", 12.0, Outcome.OK),
        ("1-2", "n1", 21.0, Outcome.INTERRUPTED),
    ):
        store.write([EndRun(run_id, node, outcome, "no", {}, at)])

    touched = {(t.node, t.operator): (t.ended_at, t.outcome) for t in store.load().touched}

    assert touched == {
        ("n1", "power_ipmi.power_on"): (21.0, Outcome.INTERRUPTED),
        ("n2", "power_ipmi.power_on"): (float("inf"), None),
    }
