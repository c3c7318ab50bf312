"""What neighbours tell is applied to the table, and what becomes another is told on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from kraken.daemon.arrivals import Letters
from kraken.daemon.branch import Branch
from kraken.model.hold import EVERY_NODE, Hold, HoldTable
from kraken.model.node import NodeTable
from kraken.model.update import PRESENCE, PRESENT, SeenAgain, Side, Stamp, StateUpdate, Value
from kraken.sync.events import Again, Ours
from kraken.sync.letters import Touch, decode, encode
from kraken.sync.tree import TOUCH_S, Tree


class One:
    """One member, with its table; its letters go into the wire."""

    def __init__(self, name: str, parent: str | None, *children: str) -> None:
        self.name = name
        self.table = NodeTable()
        self.holds = HoldTable()
        self.incarnation = 1
        self.sequence = 0
        self.told: list[object] = []
        tree = Tree(name, 1, self.table, self.holds, 0.0, parent=parent)
        for child in children:
            tree.add_child(child, 0.0)
        self.kept: set[tuple[str, str]] = set()
        outgrow, keep = self.outgrow, self.keep
        self.branch = Branch(tree, self.table, self.holds, outgrow, keep, lambda node: float("-inf"))
        self.gained: set[str] = set()
        self.turned: list[tuple[str, str, Value, Value]] = []
        self.forgotten: list[str] = []

    def outgrow(self, incarnation: int) -> bool:
        grows = incarnation >= self.incarnation
        self.incarnation = max(self.incarnation, incarnation + 1)
        return grows

    def keep(self, updates: Iterable[StateUpdate]) -> None:
        self.kept |= {(update.node, update.variable) for update in updates}

    def update(self, node: str, side: Side, variable: str, value: Value, now: float) -> StateUpdate:
        self.sequence += 1
        return StateUpdate(
            node, side, variable, value, Stamp(self.incarnation, self.sequence), now, self.name
        )

    def declare(self, node: str, now: float, collectors: str | None = None, **cfg: Value) -> None:
        updates = []
        if node not in self.table:
            updates.append(self.update(node, Side.ATTRIBUTE, PRESENCE, PRESENT, now))
        if collectors is not None:
            updates.append(self.update(node, Side.ATTRIBUTE, "collectors", [collectors], now))
        updates += [self.update(node, Side.CFG, k, v, now) for k, v in cfg.items()]
        self.table.merge(updates)
        self.branch.declared([node], now)

    def see(self, node: str, variable: str, value: str, now: float) -> None:
        update = self.update(node, Side.DSC, variable, value, now)
        self.branch.tree.observed(self.table.merge([update]))

    def see_again(self, node: str, variable: str, now: float) -> None:
        """The same value, of the same stamp."""
        old = self.table[node].dsc[variable]
        self.table.merge([StateUpdate(node, Side.DSC, variable, old.value, old.stamp, now, old.source)])
        self.branch.tree.seen_again(node, variable, now, old.stamp, ours=True)


class Wire:
    """Carries letters between members at once; time goes on by `wait`. `cut` loses what a member says."""

    def __init__(self, *members: One) -> None:
        self.members = {member.name: member for member in members}
        self.now = 0.0
        self.cut: set[str] = set()

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += 0.5
            for member in self.members.values():
                member.branch.tick(self.now)
            self.carry()

    def carry(self) -> None:
        posts: deque[tuple[str, str, bytes]] = deque()

        def collect(member: One) -> None:
            result = member.branch.result()
            member.gained |= set(result.gained)
            member.gained -= set(result.lost)
            member.turned += [
                (t.update.node, t.update.variable, t.was, t.update.value) for t in result.turned
            ]
            member.forgotten += result.forgotten
            member.told += result.told
            if member.name not in self.cut:
                posts.extend((member.name, s.neighbour, encode(s.letter)) for s in result.letters)

        for member in self.members.values():
            collect(member)
        for _ in range(10_000):
            if not posts:
                return
            sender, receiver, data = posts.popleft()
            if receiver in self.cut:
                continue
            self.members[receiver].branch.take(Letters(sender, [decode(data)]), self.now)
            collect(self.members[receiver])
        raise AssertionError("the members never stop writing")


def pair() -> tuple[Wire, One, One]:
    root, child = One("root", None, "c1"), One("c1", "root")
    wire = Wire(root, child)
    root.declare("n1", 0.0, collectors="c1", os="UP")
    root.declare("n2", 0.0, os="UP")
    wire.wait(30.0)
    return wire, root, child


def test_a_node_is_run_by_the_collector_it_names_and_by_nobody_else() -> None:
    _, root, child = pair()

    assert (root.gained, child.gained) == ({"n2"}, {"n1"})
    assert list(child.table) == ["n1"]
    assert child.table["n1"].cfg_values() == {"os": "UP"}


def test_a_wish_that_changes_above_is_told_with_what_it_was() -> None:
    wire, root, child = pair()
    child.turned.clear()
    root.declare("n1", wire.now, os="DOWN")
    wire.wait(5.0)

    assert child.turned == [("n1", "os", "UP", "DOWN")]


def test_what_is_seen_below_is_known_above_with_its_stamp() -> None:
    wire, root, child = pair()
    child.see("n1", "os", "DOWN", wire.now)
    wire.wait(5.0)

    assert root.table["n1"].dsc["os"].stamp == child.table["n1"].dsc["os"].stamp
    assert ("n1", "os", None, "DOWN") in root.turned
    assert root.kept == {("n1", "os")}


def test_a_hold_set_above_holds_below_until_it_is_lifted() -> None:
    wire, root, child = pair()
    hold, freeze = Hold("h1", "n1", "ann", "a fan", 1.0), Hold("h2", EVERY_NODE, "ann", "power works", 1.0)
    for one in (hold, freeze):
        root.holds.add(one)
        root.branch.declared([one.node], wire.now)
    wire.wait(5.0)

    assert {h.id for h in child.holds.on("n1", wire.now)} == {"h1", "h2"}

    for one in (hold, freeze):
        root.holds.drop(one)
        root.branch.declared([one.node], wire.now)
    wire.wait(5.0)

    assert child.holds.on("n1", wire.now) == []


def test_a_node_that_is_deleted_above_is_forgotten_below() -> None:
    wire, root, child = pair()
    root.table.merge([root.update("n1", Side.ATTRIBUTE, PRESENCE, None, wire.now)])
    root.branch.declared(["n1"], wire.now)
    wire.wait(5.0)

    assert "n1" not in child.table
    assert child.forgotten == ["n1"]


def test_a_child_that_falls_silent_is_named_and_keeps_its_node() -> None:
    wire, root, child = pair()
    wire.cut.add("c1")
    wire.wait(120.0)
    silence = root.branch.tree.silence("n1")

    assert silence is not None
    assert silence[0] == "c1"
    assert root.gained == {"n2"}
    assert child.gained == {"n1"}


def test_a_value_that_is_seen_again_two_levels_below_is_as_young_at_the_root() -> None:
    root, middle, leaf = One("root", None, "m"), One("m", "root", "c1"), One("c1", "m")
    wire = Wire(root, middle, leaf)
    root.declare("n1", 0.0, collectors="c1")
    wire.wait(30.0)
    leaf.see("n1", "os", "UP", wire.now)
    wire.wait(5.0)
    first = root.table["n1"].dsc["os"]
    for _ in range(60):
        wire.wait(1.0)
        leaf.see_again("n1", "os", wire.now)
    wire.wait(1.0)
    last = root.table["n1"].dsc["os"]

    assert leaf.table["n1"].dsc["os"].stamp == last.stamp == first.stamp
    assert first.seen_at <= 31.0
    assert wire.now - last.seen_at < TOUCH_S + 5.0, "it is told that often, and is under way for a moment"
    assert [word for word in root.turned if word[1] == "os"] == [("n1", "os", None, "UP")]


def test_that_a_value_was_seen_before_what_is_known_is_not_told_on_nor_of_what_is_not_known() -> None:
    middle = One("m", "root", "c1")
    middle.table.merge(
        [
            StateUpdate("n1", Side.ATTRIBUTE, PRESENCE, PRESENT, Stamp(1, 1), 0.0, "ann"),
            StateUpdate("n1", Side.DSC, "os", "UP", Stamp(1, 2), 50.0, "look"),
            StateUpdate("n1", Side.DSC, "web", "UP", Stamp(1, 3), 50.0, "look"),
        ]
    )
    told = {"os": SeenAgain(20_000, 1, 2), "web": SeenAgain(5_000, 1, 3), "disk": SeenAgain(0, 1, 4)}
    middle.branch._apply([Again("c1", 60.0, {"n1": told, "n2": told})], 60.0)
    above = middle.branch.tree.links["root"]
    above.is_up, above.feed.acked = True, 0
    touches = [letter.body.seen for letter in above.outgoing(60.0) if isinstance(letter.body, Touch)]

    assert [{node: list(seen) for node, seen in touch.items()} for touch in touches] == [{"n1": ["web"]}]


def test_of_a_node_that_is_lost_and_gained_in_one_letter_the_last_stands() -> None:
    _, _, child = pair()
    both = Ours(["n1"], []), Ours([], ["n1"])
    child.branch._apply(both, 30.0)
    lost = child.branch.result()
    child.branch._apply(reversed(both), 30.0)
    gained = child.branch.result()

    assert (lost.gained, lost.lost) == ([], ["n1"])
    assert (gained.gained, gained.lost) == (["n1"], [])
