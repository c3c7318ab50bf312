"""The stage: members, their network, true time, and the promises that must hold whatever happens."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Mapping
from copy import deepcopy

from kraken.model.bmc import ADDRESS
from kraken.model.hold import EVERY_NODE
from kraken.model.node import Node, Record
from kraken.model.update import Side, Stamp
from kraken.sync.link import DEAD_S
from kraken.testing.tree.member import Disk, Member
from kraken.testing.tree.network import Network

EPOCH = 1_000_000.0
SILENCE_S = DEAD_S + 15.0  # a member that slept forgives its neighbours for as long
AGE_SLACK_S = 0.05
EPSILON_S = 1e-3  # what began when another ended
AGE_SLACK = 0.002  # clocks go at different rates


class BrokenPromiseError(AssertionError):
    """What the protocol promises did not hold."""


class Forest:
    """A tree that lives: `run_for` lets time pass.

    Args:
        shape: name -> its parent; None for the root.
        skewed: clocks differ, in what they show and how fast they go.
    """

    def __init__(self, shape: Mapping[str, str | None], seed: int = 0, *, skewed: bool = True) -> None:
        self.time = EPOCH
        self.seed = seed
        self.random = random.Random(seed)
        self.network = Network(seed)
        self._order = itertools.count()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self.members: dict[str, Member] = {}  # by the name of their process
        self._copied: set[str] = set()  # names that two had at some time
        self._routes: dict[tuple[str, str], str] = {}  # of whom, neighbour -> its process that spoke last
        self._turn_at: dict[str, float] = {}
        self._read: dict[tuple[str, str], tuple[Node, dict[str, Record]]] = {}  # of whom, which node
        self._truly_seen: dict[tuple[str, str, Stamp], float] = {}
        self._heard: dict[tuple[str, str], float] = {}  # sender and receiver -> when a letter last came
        self._awake_since: dict[str, float] = {}
        self.busy: dict[str, tuple[float, str]] = {}  # node -> until when, by whom
        self._switched: dict[str, tuple[float, str, str]] = {}  # BMC -> until when, by whom, as which node
        self._names: set[str] = set()  # of all nodes that were ever declared
        for name, parent in shape.items():
            children = [child for child, above in shape.items() if above == name]
            self.members[name] = Member(
                name,
                parent,
                children,
                lambda: self.time,
                self._post,
                skew_s=self.random.uniform(-1e5, 1e5) if skewed else 0.0,
                rate=1 + self.random.uniform(-4e-4, 4e-4) if skewed else 1.0,
            )

    def copy(self, name: str, life: int | None = None) -> str:
        """A second process starts over a copy of this one's disk, on a machine of its own; gives back its
        name on the stage. It has a life of its own, or this one.
        """
        original = self.members[name]
        twin = Member(
            original.name,
            original.parent,
            original.children,
            lambda: self.time,
            self._post,
            skew_s=original.skew_s + 1e4,
            rate=2 - original.rate,
            longest_s=original.longest_s,
            process=f"{name}'",
        )
        twin.disk, twin.known, twin.life = deepcopy(original.disk), set(original.known), original.life
        self.members[twin.process] = twin
        self._copied.add(name)
        twin.start(life)
        self._awake_since[twin.process] = self.time
        self._wake(twin)
        return twin.process

    def put_back(self, name: str, disk: Disk) -> None:
        """It gets a former disk back, and starts anew."""
        member = self.members[name]
        assert member.disk is not None
        disk.incarnation = member.disk.incarnation  # it follows the clock
        self._copied.add(name)
        member.crash()
        member.disk = disk
        self.restart(name)

    def remove(self, process: str) -> None:
        """This machine is switched off, and will not be back."""
        self.members.pop(process).crash()

    @property
    def root(self) -> Member:
        return next(member for member in self.members.values() if member.parent is None)

    def start(self) -> None:
        for member in self.members.values():
            member.start()
            self._awake_since[member.process] = self.time
            self._wake(member)

    # -- time ---------------------------------------------------------------------------------

    def at(self, delay_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (self.time + max(0.0, delay_s), next(self._order), action))

    def run_for(self, seconds: float) -> None:
        end = self.time + seconds
        while self._agenda and self._agenda[0][0] <= end:
            self.time, _, action = heapq.heappop(self._agenda)
            action()
        self.time = end

    def _wake(self, member: Member) -> None:
        """Let the member have a turn when it is due."""
        if not member.is_running or member.is_paused:
            return
        at = max(self.time, member.next_at())
        if (
            self._turn_at.get(member.process, float("inf")) <= at
            and self._turn_at[member.process] >= self.time
        ):
            return
        self._turn_at[member.process] = at

        def turn() -> None:
            if self._turn_at.get(member.process) != at:
                return
            del self._turn_at[member.process]
            member.turn()
            self.look(member)
            self._wake(member)

        self.at(at - self.time, turn)

    def _post(self, sender: str, receiver: str, data: bytes) -> None:
        if sender not in self.members:
            return  # it was removed in the middle of its turn
        name = self.members[sender].name
        process = self._routes.get((sender, receiver), receiver)
        if name != sender and receiver in self.members[sender].children and process == receiver:
            return  # a child goes to one address, and a copy has another

        for delay in self.network.carry(sender, process, data):

            def arrive() -> None:
                member = self.members.get(process)
                if member is None:
                    return
                self._heard[name, process] = self.time
                if self._routes.get((process, name), name) != sender:
                    member.connect(name, sender.count("'"))  # each copy has a connection of its own
                self._routes[process, name] = sender  # as the wire has it: who spoke last is answered
                member.receive(name, data)
                self._wake(member)

            self.at(delay, arrive)

    # -- accidents ----------------------------------------------------------------------------

    def pause(self, name: str) -> None:
        self.members[name].is_paused = True

    def resume(self, name: str) -> None:
        member = self.members[name]
        member.is_paused = False
        self._awake_since[name] = self.time
        self._turn_at.pop(name, None)
        self._wake(member)

    def restart(self, name: str, *, lose_disk: bool = False, life: int | None = None) -> None:
        member = self.members[name]
        if member.is_running:
            member.crash(lose_disk=lose_disk)
        member.start(life)
        self._awake_since[name] = self.time
        self._turn_at.pop(name, None)
        self._wake(member)

    # -- what happens in the world ------------------------------------------------------------

    def see(self, node: str, variable: str, value: str) -> list[str]:
        """Whoever has the node sees this of it."""
        seers = []
        for member in self.members.values():
            if member.is_running and not member.is_paused and member.see(node, variable, value):
                seers.append(member.process)
                self._wake(member)
        for name in seers:
            record = self.members[name].table[node].dsc[variable]
            if record.value != value:
                self.broken(f"{name} saw {node}.{variable} to be {value}, and takes it for {record.value}")
            self._truly_seen[node, variable, record.stamp] = self.time
        return seers

    def try_runs(self, node: str, seconds: float) -> list[str]:
        """Everybody who thinks that he may starts a mutation on it."""
        starters = []
        for member in self.members.values():
            until = member.try_run(node, seconds)
            self._wake(member)
            if until is None:
                continue
            other = self.busy.get(node)
            if other is not None and other[0] > self.time + EPSILON_S:
                self.broken(f"{member.process} runs a mutation on {node} while {other[1]} does")
            self.busy[node] = (until, member.process)
            self._switch(member, node, until)
            starters.append(member.process)
        return starters

    def _switch(self, member: Member, node: str, until: float) -> None:
        """What it began on the node goes to the BMC that it takes for the node's."""
        bmc = member.table[node].attribute(ADDRESS)
        if bmc is None:
            return
        until_then, by, name = self._switched.get(str(bmc), (self.time, "", ""))
        if until_then > self.time and (by, name) != (member.process, node):
            self.broken(f"{member.process} switches {bmc} as {node} while {by} does as {name}")
        self._switched[str(bmc)] = until, member.process, node

    def end_run(self, node: str) -> str | None:
        """What runs on the node is over before its time, if who began it is there to see that; who it was."""
        until, name = self.busy.get(node, (self.time, ""))
        member = self.members.get(name)
        if until <= self.time or member is None or not member.is_running or member.is_paused:
            return None
        if node not in member.runs:
            return None  # it lost its disk, and knows nothing of it
        del self.busy[node]
        ended = [bmc for bmc, (_, *what) in self._switched.items() if what == [name, node]]
        for bmc in ended:
            del self._switched[bmc]
        member.end_run(node)
        self._wake(member)
        return name

    # -- promises -----------------------------------------------------------------------------

    def broken(self, what: str) -> None:
        raise BrokenPromiseError(f"{what} (at {self.time - EPOCH:.3f} s, seed {self.seed})")

    def look(self, member: Member) -> None:
        """What must hold at any moment."""
        if not member.is_running:
            return
        placement, own = member.tree.placement, len(member.table) + len(member.tree.registry)
        self._names.update(self.root.table)
        heard = max(
            2 * own + 2, len(self._names) + len(self.members) + 1
        )  # until it has acknowledged what is gone
        for name, link in member.tree.links.items():
            told = own if name == member.tree.parent else len(placement.of(name)) + 1
            if len(link.feed) > (heard if link.is_up else 2 * (told + 1)):
                self.broken(f"the queue of {member.name} to {link.name} is above the size of the state")
            if link.twins.speak(member.clock()) and link.name not in self._copied:
                self.broken(f"{member.name} takes {link.name} for two")
        if member.is_put_back and member.name not in self._copied:
            self.broken(f"{member.name} takes its disk for a copy")

    def check_reads(self) -> None:
        """While it knows a node, nobody sees a value of it older than one it has seen. What a copy has
        held since the last look was found true then, and growing older makes no age a lie.
        """
        for member in self.members.values():
            if not member.is_running:
                continue
            for name, node in member.table.items():
                before, held = self._read.get((member.process, name), (None, {}))
                if before is node and held == node.dsc:
                    continue
                for variable, record in node.dsc.items():
                    former = held.get(variable) if before is node else None
                    if former is not None and record.stamp < former.stamp:
                        self.broken(f"{member.name} saw {name}.{variable} go back")
                    self._check_age(member, name, variable, record)
                self._read[member.process, name] = (node, dict(node.dsc))
            self._check_silence(member)

    def _check_age(self, member: Member, node: str, variable: str, record: Record) -> None:
        truly = self._truly_seen.get((node, variable, record.stamp))
        if truly is None:
            return
        told = (record.seen_at - member.skew_s) / member.rate
        if told > truly + AGE_SLACK_S + AGE_SLACK * (self.time - truly):
            self.broken(f"{member.name} has {node}.{variable} {told - truly:.3f} s younger than it is")

    def _check_silence(self, member: Member) -> None:
        awake_s = self.time - self._awake_since.get(member.process, EPOCH)
        if member.is_paused or awake_s <= SILENCE_S:
            return
        for name, link in member.tree.links.items():
            silent_s = min(awake_s, self.time - self._heard.get((name, member.process), EPOCH))
            if link.is_up and silent_s > SILENCE_S:
                self.broken(f"{member.name} thinks that {name} lives, silent for {silent_s:.1f} s")

    def differences(self) -> list[str]:
        """Where copies are not equal to their originals, among members that live."""
        found = []
        root = self.root
        for member in self.members.values():
            if member is root:
                continue
            for name, node in member.table.items():
                if name not in root.table:
                    found.append(f"{member.name} has {name}, which is not declared")
                    continue
                for side in (Side.ATTRIBUTE, Side.CFG):
                    theirs = {v: r.value for v, r in root.table[name].side(side).items()}
                    mine = {v: r.value for v, r in node.side(side).items()}
                    if mine != theirs:
                        found.append(f"{member.name} has {side.value} of {name} {mine}, the root {theirs}")
            for key in (*member.table, EVERY_NODE):
                mine_held, theirs_held = ({h.id for h in m.holds.of(key)} for m in (member, root))
                if mine_held != theirs_held:
                    found += [f"{member.name} has other holds of {key} than the root"]
        for name in root.table:
            owners = [m for m in self.members.values() if name in m.table and m.tree.has(name)]
            if len(owners) != 1:
                found.append(f"{name} is run by {[m.name for m in owners]}")
                continue
            owner = owners[0]
            original = {v: (r.value, r.stamp) for v, r in owner.table[name].dsc.items()}
            above = owner
            while above.parent is not None:
                above = self.members[above.parent]
                if name not in above.table:
                    found.append(f"{above.name} lacks {name}")
                    continue
                copy = {v: (r.value, r.stamp) for v, r in above.table[name].dsc.items()}
                if copy != original:
                    found.append(f"{above.name} has dsc of {name} {copy}, {owner.name} {original}")
        return found

    def settle(self, seconds: float = 4 * DEAD_S) -> None:
        """Nothing changes any more and all is well: every copy must become equal."""
        self.run_for(seconds)
        found = self.differences()
        if found:
            self.broken("; ".join(found[:5]) + f" ({len(found)} in all)")
