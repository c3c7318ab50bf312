"""Real daemons in a tree over loopback: what the root declares its collectors do, and it sees them do it."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kraken.api.collectorcounts import collector_counts
from kraken.daemon.arrivals import Arrival, Letters, TreeNews
from kraken.daemon.config import Tree
from kraken.daemon.deeper import DeeperChanged
from kraken.daemon.neighbours import Neighbours
from kraken.daemon.operations import Operations, Request
from kraken.daemon.outage import Outage, OutageChanged
from kraken.errors import RefusedError, StoreError
from kraken.store.group import GroupCommit
from kraken.store.records import SaveTree
from kraken.sync.events import LinkChanged
from kraken.sync.lease import LEASE_S
from kraken.sync.letters import Ack, Call, Delta, Doc, Hello, Letter, Row, decode, encode
from kraken.sync.registry import DOWN, UP
from kraken.sync.twins import ALONE, TWIN
from kraken.testing.pair import Pair
from kraken.transport import Keyring, join

Eventually = Callable[[Callable[[], Any]], Awaitable[None]]
ME = Request("ann", yes=True)


async def test_the_child_does_what_the_root_declares_and_the_root_sees_it(
    pair: Pair, eventually: Eventually
) -> None:
    await pair.declare("n1", power="ON")

    await eventually(lambda: pair.cause("root", "n1") == "CONVERGED")
    assert pair.mutations("c1") == ["switch_on"]
    assert pair.worlds["root"].runs == []
    assert pair.root.collector.table["n1"].dsc_values() == {"power": "ON"}
    assert pair.root.collector.runner("n1") == "c1"
    assert "as collector c1 says" in pair.root.collector.explain("n1", pair.root.clock()).reason
    assert pair.child.collector.cause("n1") == "CONVERGED"


async def test_a_collector_that_called_a_node_converged_did_not_speak_of_what_is_wished_since(
    pair: Pair, eventually: Eventually
) -> None:
    """Whoever types `kraken set` and then `kraken wait` at the root must not be told that all is done."""
    await pair.declare("n1", power="ON")
    await eventually(lambda: pair.cause("root", "n1") == "CONVERGED")
    await pair.declare("n1", power="OFF")

    assert pair.cause("root", "n1") == "UNKNOWN"
    assert "has not said yet" in pair.root.collector.explain("n1", pair.root.clock()).reason
    await eventually(lambda: pair.cause("root", "n1") == "CONVERGED")
    assert pair.worlds["c1"].truth["n1"]["power"] == "OFF"


async def test_both_go_on_after_a_restart_and_nothing_is_done_twice(
    pair: Pair, eventually: Eventually
) -> None:
    await pair.declare("n1", power="ON")
    await eventually(lambda: pair.cause("root", "n1") == "CONVERGED")
    await pair.stop("root")
    await pair.start("root")

    assert pair.root.collector.runner("n1") == "c1"

    await pair.declare("n1", power="OFF")
    await eventually(lambda: pair.worlds["c1"].truth["n1"]["power"] == "OFF")
    await eventually(lambda: pair.cause("root", "n1") == "CONVERGED")
    await pair.stop("c1")
    await pair.start("c1")
    await pair.declare("n1", power="ON")
    await eventually(lambda: pair.root.collector.table["n1"].dsc_values() == {"power": "ON"})

    assert pair.mutations("c1") == ["switch_on", "switch_off", "switch_on"]
    assert pair.mutations("root") == []


async def test_what_may_outlast_the_common_lease_is_begun_under_a_longer_one(
    pair: Pair, eventually: Eventually
) -> None:
    attributes = {"collectors": ["c1", "root"]}
    document = {"nodes": {"n1": {"attributes": attributes, "cfg": {"power": "ON"}}}}
    assert pair.root.collector.catalog.mutations["lab.switch_on"].timeout_s > LEASE_S
    seat = pair.root.seat
    assert seat is not None
    await eventually(lambda: "c1" in seat.tree.links and seat.tree.links["c1"].is_up)  # or root begins it
    await Operations(pair.root).apply(document, ME)
    await eventually(lambda: pair.cause("root", "n1") == "CONVERGED")

    assert pair.mutations("c1") == ["switch_on"]
    assert pair.mutations("root") == []


def say_of_twins(pair: Pair, twin: int, your_life: int) -> None:
    """The child hears its root say this, to that life."""
    assert pair.child.seat is not None
    link = pair.child.seat.tree.links["root"]
    hello = Hello("root", 1, int(pair.root.clock() * 1000), link.mirror.have, 0, -1, -1, True, twin=twin)
    pair.child.accept(Letters("root", [Letter(link.their_life, your_life, 0, hello)]))


async def test_who_is_told_that_another_has_its_name_begins_nothing_until_it_is_told_that_none_has(
    pair: Pair, eventually: Eventually
) -> None:
    await pair.declare("n1", power="ON")
    await eventually(lambda: pair.cause("root", "n1") == "CONVERGED")
    say_of_twins(pair, TWIN, 77)
    await pair.declare("n1", power="OFF")
    await eventually(lambda: pair.cause("c1", "n1") == "BUDGET")
    told = pair.child.collector.explain("n1", pair.child.clock())

    assert told.reason.startswith("lab.switch_off")
    assert "another daemon may speak under this collector's name" in told.reason
    assert "one of the two is stopped" in told.next
    assert collector_counts(pair.child)["twins"] == ["c1"]

    await pair.stop("c1")
    await pair.start("c1")
    await eventually(lambda: pair.cause("c1", "n1") == "BUDGET")

    assert pair.mutations("c1") == ["switch_on"], "a restart is no proof"

    seat = pair.child.seat
    assert seat is not None
    await eventually(lambda: seat.tree.links["root"].mirror.have >= 0)
    say_of_twins(pair, ALONE, seat.tree.links["root"].life)
    await eventually(lambda: pair.mutations("c1") == ["switch_on", "switch_off"])
    assert collector_counts(pair.child)["twins"] == []
    texts = [entry.text for entry in await pair.child.journal.read(lambda store: store.history(nodes=["c1"]))]
    assert any("two daemons speak as collector c1" in text for text in texts)
    assert any("one daemon alone speaks as collector c1" in text for text in texts)


async def test_that_nobody_runs_nodes_is_an_event_of_all_and_in_the_history_of_each(
    pair: Pair, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "kraken.tree")

    async def declare(collector: str) -> None:
        nodes = {"nodes": {"n[1-2]": {"attributes": {"collectors": [collector]}, "cfg": {"power": "ON"}}}}
        await Operations(pair.root).apply(nodes, ME)

    seat = pair.root.seat
    assert seat is not None
    await eventually(lambda: "c1" in seat.tree.links and seat.tree.links["c1"].is_up)
    await declare("c9")
    await declare("c1")
    await eventually(lambda: pair.cause("root", "n1") == "CONVERGED")

    why = "its collector c9 has not joined"
    told = [event for event in pair.root.events.newer(0) if event.kind == "nobody"]
    assert [(event.nodes, event.data["collector"], event.data["reason"]) for event in told] == [
        (("n1", "n2"), "", why),
        (("n1", "n2"), "c1", ""),
    ]
    assert [event.data["nodeset"] for event in told] == ["n[1-2]"] * 2
    logged = [message for message in caplog.messages if message.startswith(("nobody runs", "nodes are run"))]
    assert logged == ["nobody runs nodes", "nodes are run again"]
    for node in ("n1", "n2"):
        entries = await pair.root.journal.read(
            lambda store, node=node: store.history(nodes=[node], limit=100)
        )
        texts = [entry.text for entry in entries if "run" in entry.text]
        assert texts == ["collector c1 runs it", f"nobody runs it: {why}"]


async def test_that_ones_further_down_are_not_heard_is_one_event_and_in_the_history_of_all_but_agents(
    pair: Pair, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    """An agent is called like its node, and comes and goes with it: its parent's journal has that."""
    await pair.declare("n1", power="ON")
    seat, now = pair.root.seat, pair.root.clock()
    assert seat is not None
    for how, was in ((DOWN, UP), (UP, DOWN)):
        told = [DeeperChanged("c1", {"g1": 3, "n1": 1}, how, was, now - 40.0)]
        seat.perform(TreeNews((), (), (), (), (), (), (), (), (), told, (), None), now)
    of_collectors = [event for event in pair.root.events.newer(0) if event.kind == "collector"]
    events = [event.data for event in of_collectors if event.data.get("count")]
    await eventually(lambda: "collectors are not heard any more" in caplog.messages)
    async with asyncio.timeout(60.0):
        while len(found := await pair.root.journal.read(lambda store: store.history(nodes=["g1"]))) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    of_node = await pair.root.journal.read(lambda store: store.history(nodes=["n1"]))

    assert [(e["collector"], e["count"], e["parent"], e["is_up"], e["nodes"]) for e in events] == [
        ("g1,n1", 2, "c1", False, 4),
        ("g1,n1", 2, "c1", True, 4),
    ]
    assert [(e.text, e.source, e.data["nodes"]) for e in found] == [
        ("collector g1 is heard", "c1", 3),
        ("collector g1 is not heard any more", "c1", 3),
    ]
    assert not [entry for entry in of_node if "heard" in entry.text]


async def test_that_children_fell_silent_together_is_an_event_and_in_the_log_and_the_history(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "kraken.tree")
    outage = Outage(("a1", "a2", "a3"), 4, 77.0, 11.2)
    seat = pair.root.seat
    assert seat is not None
    for is_over in (False, True):
        told = [OutageChanged(outage, is_over)]
        seat.perform(TreeNews([], [], [], [], [], [], [], [], [], told, [], None), 99.0)

    about = {"collector": "root", "children": "a[1-3]", "count": 3, "of": 4, "since": 77.0, "within_s": 11.2}
    events = [event.data for event in pair.root.events.newer(0) if "outage" in event.data]
    assert events == [{**about, "outage": begins, "at": 99.0} for begins in (True, False)]
    logged = [message for message in caplog.messages if "children" in message]
    assert logged == ["children fell silent together", "most children are heard again"]
    texts: list[str] = []
    while len(texts) < 2:
        entries = await pair.root.journal.read(lambda store: store.history(nodes=["root"], limit=100))
        texts = [entry.text for entry in entries if "children" in entry.text]
        await asyncio.sleep(0.01)
    assert texts == ["most children of root are heard again", f"root is not well: {outage.text}"]


async def test_a_hold_set_at_the_root_holds_at_the_child(pair: Pair, eventually: Eventually) -> None:
    operations = Operations(pair.root)
    await pair.declare("n1", power="OFF")
    await eventually(lambda: pair.cause("root", "n1") == "CONVERGED")
    await operations.hold(["n1"], "I look at it", None, ME)
    await eventually(lambda: pair.cause("c1", "n1") == "HELD")
    await pair.declare("n1", power="ON")
    await eventually(lambda: pair.child.collector.table["n1"].cfg_values() == {"power": "ON"})

    assert pair.mutations("c1") == []

    await operations.release(["n1"], ME)
    await eventually(lambda: pair.cause("root", "n1") == "CONVERGED")
    assert pair.mutations("c1") == ["switch_on"]


async def test_another_reason_for_the_same_cause_is_an_event_at_each_level(
    pair: Pair, eventually: Eventually
) -> None:
    """Who watches was shown the first reason until the next look."""
    operations = Operations(pair.root)
    await pair.declare("n1", power="OFF")
    await eventually(lambda: pair.cause("root", "n1") == "CONVERGED")

    def told(name: str) -> list[tuple[str, str, str]]:
        """Of HELD, as the daemon told it: kind, cause, reason."""
        events = [event for event in pair.daemons[name].events.newer(0) if event.nodes == ("n1",)]
        found = [e for e in events if e.kind in ("cause", "reason") and e.data["cause"] == "HELD"]
        return [(e.kind, e.data["cause"], e.data["reason"]) for e in found]

    await operations.hold(["n1"], "a new fan", None, ME)
    await eventually(lambda: told("root"))
    await operations.hold(["n1"], "memory", None, ME)
    await eventually(lambda: len(told("root")) == 2)

    assert [(kind, cause) for kind, cause, _ in told("root")] == [("cause", "HELD"), ("reason", "HELD")]
    assert ["memory" in reason for _, _, reason in told("root")] == [False, True]
    assert told("c1") == told("root")


async def test_a_node_that_is_deleted_at_the_root_is_forgotten_below(
    pair: Pair, eventually: Eventually
) -> None:
    await pair.declare("n1", power="OFF")
    await eventually(lambda: pair.cause("root", "n1") == "CONVERGED")
    await Operations(pair.root).delete(["n1"], ME)
    await eventually(lambda: "n1" not in pair.child.collector.table)
    await pair.stop("c1")

    assert "n1" not in (await pair.start("c1")).collector.table


async def test_declaring_at_a_child_is_refused_and_the_root_is_named(
    pair: Pair, eventually: Eventually
) -> None:
    await pair.declare("n1", power="OFF")
    await eventually(lambda: pair.cause("c1", "n1") == "CONVERGED")
    operations = Operations(pair.child)
    for asked in (
        operations.change_cfg(["n1"], {"power": "ON"}, [], ME),
        operations.delete(["n1"], ME),
        operations.hold(["n1"], "no", None, ME),
        operations.freeze("no", ME),
    ):
        with pytest.raises(RefusedError, match=r"collector c1 below root.*declared at the root"):
            await asked

    assert pair.child.collector.table["n1"].cfg_values() == {"power": "OFF"}
    assert pair.mutations("c1") == []


@pytest.mark.parametrize("listens", [False, True])
async def test_a_daemon_with_nodes_of_its_own_does_not_start_below_another(
    tmp_path: Path, unused_tcp_port_factory: Callable[[], int], listens: bool
) -> None:
    """Nor one that was the root of a tree, which would take its nodes for withdrawn."""
    pair = Pair(tmp_path, unused_tcp_port_factory())
    if listens:
        pair.trees["c1"] = Tree(name="c1", listen=f"127.0.0.1:{unused_tcp_port_factory()}")
    try:
        alone = await pair.start("c1")
        await Operations(alone).apply({"nodes": {"n7": {}}}, ME)
        await pair.stop("c1")
        await pair.start("root")
        neighbours = pair.root.neighbours
        assert neighbours is not None
        await join(neighbours.invite("c1", 60.0), Keyring(tmp_path / "c1" / "state"))
        with pytest.raises(RefusedError, match=r"1 node .n7. was declared at this daemon"):
            await pair.start("c1")
    finally:
        await pair.stop("root")


async def test_a_root_that_had_nodes_before_it_had_children_goes_on_with_them_at_once(
    tmp_path: Path, unused_tcp_port: int, eventually: Eventually
) -> None:
    pair = Pair(tmp_path, unused_tcp_port)
    pair.trees["root"] = Tree()
    try:
        await Operations(await pair.start("root")).apply({"nodes": {"n1": {"cfg": {"power": "OFF"}}}}, ME)
        await pair.stop("root")
        pair.trees["root"] = Tree(name="root", listen=f"127.0.0.1:{unused_tcp_port}")
        await Operations(await pair.start("root")).apply({"nodes": {"n1": {"cfg": {"power": "ON"}}}}, ME)
        assert pair.root.seat is not None
        assert not pair.root.seat.tree.placement.strange, "no former life gave anybody anything"
        await eventually(lambda: pair.cause("root", "n1") == "CONVERGED")

        assert pair.mutations("root") == ["switch_on"]
    finally:
        await pair.stop("root")


async def test_a_state_from_before_there_was_a_tree_is_known_by_the_children_to_be_one(
    tmp_path: Path, unused_tcp_port: int, eventually: Eventually
) -> None:
    """It was put back from a copy. Children were heard since, and may have any node of it."""
    pair = Pair(tmp_path, unused_tcp_port)
    pair.trees["root"] = Tree()
    state, copy = tmp_path / "root" / "state", tmp_path / "copy"
    try:
        await Operations(await pair.start("root")).apply({"nodes": {"n1": {"cfg": {"power": "OFF"}}}}, ME)
        await pair.stop("root")
        shutil.copytree(state, copy)
        pair.trees["root"] = Tree(name="root", listen=f"127.0.0.1:{unused_tcp_port}")
        await pair.start("root")
        await pair.join()
        await pair.start("c1")
        await pair.declare("n1", power="ON")
        await eventually(lambda: pair.cause("root", "n1") == "CONVERGED")
        await pair.stop("root")
        for path in state.glob("kraken.db*"):
            path.unlink()
        shutil.copytree(copy, state, dirs_exist_ok=True)
        await pair.start("root")
        assert pair.root.seat is not None
        tree = pair.root.seat.tree

        assert "c1" in tree.placement.strange
        assert not tree.may_begin, "c1 may be switching n1"
    finally:
        await pair.stop("c1")
        await pair.stop("root")


async def test_a_child_that_joined_before_its_parent_restarted_begins_as_soon_as_it_is_heard(
    tmp_path: Path, unused_tcp_port: int, eventually: Eventually
) -> None:
    pair = Pair(tmp_path, unused_tcp_port)
    try:
        await pair.start("root")
        await pair.join()
        await pair.stop("root")
        await pair.start("root")
        await pair.start("c1")
        await pair.declare("n1", power="ON")
        await eventually(lambda: pair.cause("root", "n1") == "CONVERGED")

        assert pair.mutations("c1") == ["switch_on"]
    finally:
        await pair.stop("c1")
        await pair.stop("root")


async def test_a_collector_is_asked_and_answers(pair: Pair, eventually: Eventually) -> None:
    async def answer(call: Call) -> tuple[int, bytes]:
        return 200, b"you said " + call.body

    root, child = pair.root.seat, pair.child.seat
    assert root is not None
    assert child is not None
    child.answers["echo"] = answer
    await eventually(
        lambda: all(
            seat.tree.links and link.is_up for seat in (root, child) for link in seat.tree.links.values()
        )
    )

    assert await root.ask("c1", "echo", b"hello") == (200, b"you said hello")
    assert await root.ask("c9", "echo", b"hello") == (503, b"collector c9 is not reached from root")
    assert await child.ask("root", "echo", b"hello") == (503, b"collector root is not reached from c1")
    child.answers.clear()
    assert (await root.ask("c1", "echo", b"hello"))[0] == 501


async def test_an_answer_that_is_lost_with_its_link_is_awaited_no_longer_than_was_said(
    pair: Pair, eventually: Eventually
) -> None:
    """Long before the link counts as dead; and the next request is answered when there is a link again."""
    root, child = pair.root.seat, pair.child.seat
    assert root is not None
    assert child is not None
    begun = asyncio.Event()

    async def answer(call: Call) -> tuple[int, bytes]:
        begun.set()
        await asyncio.Event().wait()
        return 200, b"never"

    child.answers["hang"] = answer
    await eventually(lambda: "c1" in root.tree.links and root.tree.links["c1"].is_up)
    asked = asyncio.create_task(root.ask("c1", "hang", b"", 1.0))
    await begun.wait()
    await pair.stop("c1")

    assert await asked == (504, b"collector c1 did not answer within 1 s")
    assert await root.ask("c1", "hang", b"", 0.1) == (504, b"collector c1 did not answer within 0.1 s")

    again = (await pair.start("c1")).seat
    assert again is not None

    async def echo(call: Call) -> tuple[int, bytes]:
        return 200, call.body

    again.answers["hang"] = echo
    await eventually(lambda: root.tree.links["c1"].their_life == again.tree.life)
    await eventually(lambda: root.tree.links["c1"].is_up)

    assert await root.ask("c1", "hang", b"hello") == (200, b"hello")


async def test_what_the_disk_does_not_take_is_not_told_below(
    pair: Pair, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pair.declare("n1", power="OFF")
    await eventually(lambda: pair.cause("root", "n1") == "CONVERGED")
    write = GroupCommit.write
    full = True

    async def no_tree(self: GroupCommit, changes: Any) -> None:
        batch = list(changes)
        if full and self is pair.root.journal and any(isinstance(change, SaveTree) for change in batch):
            raise StoreError("no space left on device")
        await write(self, batch)

    monkeypatch.setattr(GroupCommit, "write", no_tree)
    await pair.declare("n2", power="ON")
    seat = pair.root.seat
    assert seat is not None
    await eventually(lambda: seat.outbox.is_failing)

    assert "n2" not in pair.child.collector.table

    full = False
    pair.root.accept()
    await eventually(lambda: pair.cause("root", "n2") == "CONVERGED")
    assert pair.mutations("c1") == ["switch_on"]


async def test_a_revoked_child_is_heard_no_more_and_its_nodes_say_so(
    pair: Pair, eventually: Eventually
) -> None:
    await pair.declare("n1", power="OFF")
    await eventually(lambda: pair.cause("root", "n1") == "CONVERGED")
    assert pair.root.neighbours is not None
    pair.root.neighbours.revoke("c1")
    await eventually(lambda: pair.root.collector.runner("n1") == "")

    told = pair.root.collector.explain("n1", pair.root.clock())
    assert told.cause == "UNKNOWN"
    assert "c1" in told.reason
    assert dataclasses.asdict(told)["node"] == "n1"


async def test_all_who_come_at_once_are_decided_on_once_and_what_each_says_stays_in_order(pair: Pair) -> None:
    seat = pair.root.seat
    assert seat is not None
    taken: list[list[tuple[str, str, int]]] = []

    def accept(*arrivals: Arrival) -> None:
        of_them = [a for a in arrivals if getattr(a, "neighbour", getattr(a, "name", "")) in ("c8", "c9")]
        taken.append([_told(a) for a in of_them])

    seat.accept = accept
    letter = encode(Letter(7, 0, 0, Ack(0)))
    for name in ("c8", "c9"):
        seat.reach(name, 1)
        seat.hear(name, letter)
    seat.hear("c8", letter)
    seat.reach("c8", 2)
    seat.hear("c8", letter)
    await asyncio.sleep(0)

    assert [one for one in taken if one] == [
        [
            ("ChildAdded", "c8", 0),
            ("Connected", "c8", 0),
            ("Letters", "c8", 2),
            ("ChildAdded", "c9", 0),
            ("Connected", "c9", 0),
            ("Letters", "c9", 1),
            ("Connected", "c8", 0),
            ("Letters", "c8", 1),
        ]
    ]


async def test_much_that_comes_at_once_is_decided_on_in_parts_and_in_order(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole copies of a thousand nodes from each of a hundred children would take memory all at once."""
    letter = encode(Letter(7, 0, 0, Ack(0)))
    monkeypatch.setattr("kraken.daemon.seat.TOGETHER_BYTES", 2 * len(letter))
    seat = pair.root.seat
    assert seat is not None
    names = [f"c{number}" for number in range(5, 10)]
    taken: list[list[str]] = []

    def accept(*arrivals: Arrival) -> None:
        part = [a.neighbour for a in arrivals if isinstance(a, Letters) and a.neighbour in names]
        taken.extend([part] if part else [])

    seat.accept = accept
    for name in names:
        seat.hear(name, letter)
    for _ in range(4):
        await asyncio.sleep(0)

    assert taken == [names[:2], names[2:4], names[4:]]


def _told(arrival: Arrival) -> tuple[str, str, int]:
    name = getattr(arrival, "neighbour", getattr(arrival, "name", ""))
    return type(arrival).__name__, name, len(getattr(arrival, "letters", ()))


async def test_who_is_heard_after_a_letter_that_is_none_is_heard(pair: Pair, eventually: Eventually) -> None:
    await pair.declare("n1", power="ON")
    await eventually(lambda: pair.cause("root", "n1") == "CONVERGED")
    assert pair.root.seat is not None
    pair.root.seat.hear("c1", encode(Letter(1, 1, 1, Ack(1))).replace(b"ack", b"\xc3ck"))
    await pair.declare("n1", power="OFF")

    await eventually(lambda: pair.root.collector.table["n1"].dsc_values() == {"power": "OFF"})
    assert pair.root.seat.refused == {"c1": 1}


async def test_a_fault_over_one_letter_keeps_no_later_one_from_being_read(
    pair: Pair, eventually: Eventually
) -> None:
    await pair.declare("n1", power="ON")
    await eventually(lambda: pair.cause("root", "n1") == "CONVERGED")
    seat = pair.root.seat
    assert seat is not None
    accept, failed = seat.accept, False

    def fails_once(*arrivals: Arrival) -> None:
        nonlocal failed
        if not failed:
            failed = True
            raise RuntimeError("a fault of ours")
        accept(*arrivals)

    seat.accept = fails_once
    seat.hear("c1", encode(Letter(1, 1, 1, Ack(1))))
    await pair.declare("n1", power="OFF")

    await eventually(lambda: pair.root.collector.table["n1"].dsc_values() == {"power": "OFF"})
    assert failed


async def test_a_state_that_was_put_back_from_a_copy_is_not_believed(
    pair: Pair, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    """A child has heard of a lease that was given since the copy was made."""
    await pair.declare("n1", power="ON")
    await eventually(lambda: pair.cause("root", "n1") == "CONVERGED")
    await pair.stop("root")
    await pair.start("root")
    assert pair.root.seat is not None
    tree = pair.root.seat.tree
    await eventually(lambda: tree.links["c1"].is_up)
    assert tree._remembers, "it is not put back because it starts"
    told = Hello("c1", 1, 0, 0, 0, -1, -1, True, given=tree._known + 1)
    link = tree.links["c1"]
    pair.root.accept(Letters("c1", [Letter(link.their_life, link.life, 0, told)]))

    assert "older than what collectors know" in caplog.text
    assert not tree._remembers
    assert (
        "nothing that root may have begun can run any more, in"
        in pair.root.collector.explain("n1", pair.root.clock()).reason
    )
    assert pair.child.collector.runs("n1"), "it goes on with what nobody else may have"


async def test_that_a_connection_is_gone_makes_nobody_a_child(pair: Pair) -> None:
    seat = pair.root.seat
    assert seat is not None
    seat.reach("c8", 0)
    await asyncio.sleep(0)

    assert "c8" not in seat.tree.links


async def test_a_root_that_lost_its_disk_knows_who_was_revoked_and_may_have_any_node(
    pair: Pair, tmp_path: Path
) -> None:
    assert pair.root.neighbours is not None
    pair.root.neighbours.invite("c2", 60.0)
    for name in ("c1", "c2"):
        pair.root.neighbours.revoke(name)
    await pair.stop("root")
    for path in (tmp_path / "root" / "state").glob("kraken.db*"):
        path.unlink()
    await pair.start("root")
    assert pair.root.seat is not None
    tree = pair.root.seat.tree

    assert tree.revoked == {"c1", "c2"}
    assert "c1" in tree.placement.strange
    assert "c2" not in tree.placement.strange, "it never joined"


async def test_how_many_nodes_a_collector_has_that_is_not_heard_counts_those_it_has_not_let_go(
    pair: Pair, eventually: Eventually
) -> None:
    await pair.declare("n1", power="ON")
    await eventually(lambda: pair.cause("root", "n1") == "CONVERGED")
    await pair.declare("n2", power="ON")
    await pair.stop("c1")
    await Operations(pair.root).delete(["n2"], ME)
    seat, now = pair.root.seat, pair.root.clock()
    assert seat is not None
    told = [LinkChanged("c1", False, now - 40.0)]
    seat.perform(TreeNews((), (), (), (), (), (), (), (), (), told, (), None), now)
    last = [event.data for event in pair.root.events.newer(0) if event.kind == "collector"][-1]

    assert (last["collector"], last["is_up"], last["nodes"]) == ("c1", False, 2)


async def test_what_a_revoked_child_said_last_does_not_bring_it_back(pair: Pair) -> None:
    seat = pair.root.seat
    assert seat is not None
    seat.reach("c8", 1)
    await asyncio.sleep(0)
    was_there = "c8" in seat.tree.links
    seat.hear("c8", encode(Letter(7, 0, 0, Ack(0))))
    seat.remove_child("c8")
    await asyncio.sleep(0)

    assert was_there
    assert "c8" not in seat.tree.links


async def test_a_child_that_claims_nodes_of_others_is_not_believed_and_that_is_counted_logged_once_and_shown(
    pair: Pair, eventually: Eventually, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await Operations(pair.root).apply({"nodes": {"n2": {"cfg": {"power": "OFF"}}}}, ME)
    await eventually(lambda: pair.cause("root", "n2") == "CONVERGED")
    seat = pair.root.seat
    assert seat is not None
    numbers = {"n2": seat.tree.placement.epoch["n2"], "n9": 1}  # under the very number of the root's lease
    claim = [Row("d", "power", "ON", 99, 99, 0, "lab.look_power")]
    send = Neighbours.send

    def claiming(self: Neighbours, neighbour: str, data: bytes) -> None:
        letter = decode(data)
        if neighbour == "root" and isinstance(letter.body, Delta):
            forged = [Doc(node, claim, number) for node, number in numbers.items()]
            body = msgspec.structs.replace(letter.body, docs=[*letter.body.docs, *forged])
            data = encode(msgspec.structs.replace(letter, body=body))
        send(self, neighbour, data)

    await pair.stop("c1")
    monkeypatch.setattr(Neighbours, "send", claiming)
    await pair.start("c1")
    for power in ("ON", "OFF"):
        await pair.declare("n1", power=power)
        await eventually(lambda: pair.cause("root", "n1") == "CONVERGED")  # what it may say is heard

    assert pair.root.collector.table["n2"].dsc_values() == {"power": "OFF"}
    assert pair.cause("root", "n9") == "nobody knows it"
    assert pair.mutations("root") == []
    assert seat.refused["c1"] >= 4
    logged = [record for record in caplog.records if record.getMessage() == "a neighbour was not believed"]
    assert [vars(record)["what"] for record in logged] == ["it speaks of n2, which it does not have"]
    assert collector_counts(pair.root)["refused"] == {"c1 not believed": seat.refused["c1"]}


async def test_letters_are_in_the_first_version_until_both_are_known_to_read_a_newer_one(
    tmp_path: Path, unused_tcp_port: int, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    first: list[int] = []  # of whoever speaks first
    versions: list[int] = []
    send = Neighbours.send

    def note(self: Neighbours, neighbour: str, letter: bytes) -> None:
        first.append(letter[0])
        if neighbour == "c1":
            versions.append(letter[0])
        send(self, neighbour, letter)

    monkeypatch.setattr(Neighbours, "send", note)
    monkeypatch.setattr("kraken.sync.link.VERSION", 2)
    monkeypatch.setattr("kraken.sync.letters.VERSION", 2)
    pair = Pair(tmp_path, unused_tcp_port)
    try:
        await pair.start("root")
        await pair.join()
        await pair.start("c1")
        await pair.declare("n1", power="ON")
        await eventually(lambda: pair.cause("root", "n1") == "CONVERGED")
        assert first[0] == 1
        assert versions == sorted(versions)
        assert versions[-1] == 2

        monkeypatch.setattr("kraken.sync.letters.VERSION", 1)  # older code is put back, everywhere
        monkeypatch.setattr("kraken.sync.link.VERSION", 1)
        for name in ("c1", "root"):
            await pair.stop(name)
        versions.clear()
        for name in ("root", "c1"):
            await pair.start(name)
        await pair.declare("n1", power="OFF")
        await eventually(lambda: pair.worlds["c1"].truth["n1"]["power"] == "OFF")
        assert set(versions) == {1}
    finally:
        await pair.stop("c1")
        await pair.stop("root")
