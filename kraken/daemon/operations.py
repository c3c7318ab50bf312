"""What people ask of a daemon: each request whole, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kraken.daemon.arrivals import Declared, HoldLifted, HoldSet
from kraken.daemon.collector import Collector
from kraken.daemon.contract import Check, Left, PlanChangedError, stands, wishes_of
from kraken.daemon.daemon import Daemon
from kraken.daemon.declare import Item, check, confirm, plan_items, updates_of
from kraken.daemon.drift import Drift, drift_of
from kraken.daemon.othermodules import Others, other_modules
from kraken.daemon.ours import kernel_problem
from kraken.daemon.plan import Folding, Generation, Plan, fingerprints
from kraken.daemon.promised import read_contract
from kraken.daemon.remembering import abandoned, notes_of_items
from kraken.daemon.rewired import warn
from kraken.daemon.slices import in_slices
from kraken.daemon.strangers import warn_of_strangers
from kraken.daemon.wishes import Wish, check_withdrawn, read_attributes, read_cfg, read_document
from kraken.engine.cause import Cause, Explanation
from kraken.errors import DocumentError, KrakenError, NodeSetError, RefusedError, UnreachableError
from kraken.model.hold import EVERY_NODE, Hold
from kraken.model.node import Node
from kraken.model.nodeset import expand, fold
from kraken.model.update import PRESENCE, VALUE_MAX, Side, StateUpdate
from kraken.store.records import Change, DropHold, EntryKind, Note, SaveHold

HOLD_S_MAX = 100 * 365.25 * 86400.0
PART_NODES = 250  # new nodes let in at once: about 50 ms of deciding


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks, and how far they want to go.

    Attributes:
        dry_run: only say what would change.
        yes: a change of many nodes is meant.
    """

    who: str
    dry_run: bool = False
    allow_unreachable: bool = False
    yes: bool = False


@dataclass(frozen=True, slots=True)
class Applied:
    """What came of a plan: what was declared, and how far each node is on its path."""

    items: list[Item]
    left: Mapping[str, Left]


class UnknownHoldError(KrakenError, LookupError):
    """None of the nodes has the hold that was named."""


class Operations:
    """The requests of docs/api.md, over one daemon. All raise KrakenErrors and then changed nothing."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon

    # -- choosing nodes -----------------------------------------------------------------------

    def select(self, nodeset: str | None, everything: bool = False) -> list[str]:
        """The declared nodes that are meant.

        Raises:
            NodeSetError: none or both of nodeset and everything; unreadable.
            UnknownNodeError: a name that is not declared.
        """
        table = self.daemon.collector.table
        if everything:
            if nodeset:
                raise NodeSetError("both a nodeset and all were given", part=nodeset, hint="give one")
            return list(table)
        names = self.named(nodeset or "")
        table.require(names)
        return names

    def named(self, nodeset: str) -> list[str]:
        """The nodes that are meant, declared or not.

        Raises:
            NodeSetError: none, or unreadable.
        """
        return expand(nodeset, self.daemon.collector.table.groups() if "@" in nodeset else None)

    # -- declaring ----------------------------------------------------------------------------

    async def apply(self, document: Any, request: Request) -> list[Item]:
        """Declare what a document says (docs/api.md)."""
        async with self.daemon.declaring:
            collector = self.daemon.collector
            # In a thread, for 10,000 nodes take half a second: who is declared changes only under
            # the lock that is held here.
            wishes = await asyncio.to_thread(read_document, document, collector.table, collector.catalog)
            return await self._declare(wishes, request)

    async def change_cfg(
        self, names: Sequence[str], values: Mapping[str, Any], unset: Sequence[str], request: Request
    ) -> list[Item]:
        """Set and withdraw variables of Cfg."""
        async with self._declared(names) as collector:
            check_withdrawn(unset, collector.table, collector.catalog)
            cfg = read_cfg({**dict.fromkeys(unset), **values}, collector.catalog)
            return await self._declare({name: Wish(cfg=dict(cfg)) for name in names}, request)

    async def change_attributes(
        self, names: Sequence[str], values: Mapping[str, Any], unset: Sequence[str], request: Request
    ) -> list[Item]:
        """Set and withdraw attributes."""
        async with self._declared(names) as collector:
            attributes = read_attributes({**dict.fromkeys(unset), **values}, collector.catalog)
            return await self._declare({name: Wish(attributes=dict(attributes)) for name in names}, request)

    async def apply_plan(self, document: Any, request: Request) -> Applied:
        """Declare what a plan was made for, if it is what would be done now; else nothing at all.

        A plan whose wishes all stand already declares nothing; it must still be what goes on.

        Raises:
            PlanChangedError: somewhere something else would be done, or nobody here can tell what would,
                or wishes of the plan were declared anew since it was made.
            RefusedError: it was made by another daemon, or before this one lost its state.
        """
        async with self.daemon.declaring:
            collector = self.daemon.collector
            contract = await asyncio.to_thread(read_contract, document)
            change = wishes_of(contract, collector)
            whole = stands(contract, collector)
            check = Check(contract, collector, stands=whole)
            await in_slices(contract.places(), check.look)
            check.insist()

            def still() -> None:
                again = Check(contract, collector, stands=whole)
                for place in contract.places():
                    again.look(place)
                again.insist()

            wishes = {name: Wish(cfg=dict(change)) for name in contract.nodes}
            # that there is a path is what was compared; to ask again would cost as much
            items = await self._declare(wishes, replace(request, allow_unreachable=True), still)
            return Applied(items, check.left)

    async def delete(self, names: Sequence[str], request: Request) -> list[Item]:
        """Forget nodes, with all that was declared and seen of them."""
        self._insist_on_root()
        async with self._declared(names) as collector:
            items = [Item(name, message=_forgotten(collector, name)) for name in names]
            if request.dry_run:
                return items
            confirm(items, yes=request.yes)
            now = self.daemon.clock()
            updates = [
                StateUpdate(n, Side.ATTRIBUTE, PRESENCE, None, collector.stamp(), now, request.who)
                for n in names
            ]
            changes: list[Change] = [Note(now, name, "node", "forgotten", request.who) for name in names]
            holds = [hold for name in names for hold in collector.holds.of(name)]
            changes += [DropHold(hold.id) for hold in holds]
            for name in names:
                changes += abandoned(collector, name, now)
            await self.daemon.declare([Declared(updates)], changes)
            self.daemon.accept(*(HoldLifted(hold) for hold in holds))
            return items

    # -- holding ------------------------------------------------------------------------------

    async def hold(
        self, names: Sequence[str], reason: str, for_s: float | None, request: Request
    ) -> list[Item]:
        """Have these nodes left alone."""
        async with self._declared(names):
            items = [Item(name, message=f"held: {reason.strip()}") for name in names]
            confirm(items, yes=request.yes)
            await self._set_holds(names, reason, for_s, request.who)
            return items

    async def freeze(self, reason: str, request: Request) -> Hold:
        """Have every node left alone."""
        async with self.daemon.declaring:
            return (await self._set_holds([EVERY_NODE], reason, None, request.who))[0]

    async def release(
        self, names: Sequence[str], request: Request, *, hold_id: str | None = None, owner: str | None = None
    ) -> list[Item]:
        """Lift the holds of these nodes, or only that of this id, or this owner's.

        Raises:
            UnknownHoldError: none of the nodes has the hold of this id.
        """
        async with self._declared(names) as collector:
            now = self.daemon.clock()
            lifted = {
                name: [
                    hold
                    for hold in collector.holds.of(name)
                    if hold_id in (None, hold.id) and owner in (None, hold.owner) and hold.stands(now)
                ]
                for name in names
            }
            if hold_id is not None and not any(lifted.values()):
                raise UnknownHoldError(
                    f"{fold(names)} has no hold {hold_id!r}" + (f" of {owner}" if owner else ""),
                    part=hold_id,
                    hint="`kraken show` lists them",
                )
            await self._lift([hold for holds in lifted.values() for hold in holds], request.who, now)
            return [
                Item(name, message="; ".join(f"released: {hold.reason}" for hold in holds))
                for name, holds in lifted.items()
            ]

    async def thaw(self, request: Request) -> list[Hold]:
        """Lift the freeze; the holds of single nodes stay."""
        async with self.daemon.declaring:
            holds = self.daemon.collector.holds.of(EVERY_NODE)
            await self._lift(holds, request.who, self.daemon.clock())
            return holds

    async def retry(self, names: Sequence[str], request: Request) -> list[Item]:
        """End quarantine and pauses."""
        async with self._declared(names) as collector:
            troubled = [
                name
                for name in names
                if collector.progress(name).trouble or collector.cause(name) == Cause.BACKOFF
            ]
            now = self.daemon.clock()
            await self.daemon.journal.write(
                Note(now, name, "quarantine", "released", request.who) for name in troubled
            )
            self.daemon.release(names)
            return [Item(name, message="released" if name in set(troubled) else "") for name in names]

    # -- asking -------------------------------------------------------------------------------

    def explain(self, names: Sequence[str]) -> list[Explanation]:
        """The cause of each node, in order."""
        now = self.daemon.clock()
        return [self.daemon.collector.explain(name, now) for name in names]

    async def plan(self, names: Sequence[str], values: Mapping[str, Any], unset: Sequence[str]) -> Plan:
        """What would be done if these values were declared, nodes folded by equal paths.

        Raises:
            DocumentError: as for declaring.
        """
        collector = self.daemon.collector
        check_withdrawn(unset, collector.table, collector.catalog)
        change = read_cfg({**dict.fromkeys(unset), **values}, collector.catalog)
        async with self.daemon.declaring:  # what is stamped and not let in yet would go unnoticed
            generation = Generation(collector.generation, collector.modules)
        made_at = self.daemon.clock()
        folding, others = Folding(collector, change), Others(collector)
        await in_slices(names, folding.add)
        await in_slices(names, others.add)
        groups = folding.groups()
        undeclared = tuple(variable for variable in change if variable in folding.undeclared)
        return Plan(made_at, generation, change, groups, fingerprints(groups), undeclared, others.found())

    def drift(self, name: str) -> list[Drift]:
        """What of the node is not surely as declared; nothing of one that is not declared (any more)."""
        collector = self.daemon.collector
        if name not in collector.table:
            return []
        silent = collector.is_silent(name)
        return drift_of(collector.catalog, collector.progress(name), self.daemon.clock(), silent=silent)

    def node(self, name: str) -> Node:
        """The declared node.

        Raises:
            UnknownNodeError: nobody declared it.
        """
        return self.daemon.collector.table.require([name])[0]

    # -- helpers ------------------------------------------------------------------------------

    def _insist_on_root(self) -> None:
        """What is declared, holds among it, is the root's to say.

        Raises:
            RefusedError: this daemon is below another.
        """
        seat = self.daemon.seat
        if seat is not None and seat.tree.parent is not None:
            raise RefusedError(
                f"this is collector {seat.tree.me} below {seat.tree.parent}; nodes, wishes and holds are "
                "declared at the root of the tree; nothing was done",
                part=seat.tree.me,
                hint="ask the root's daemon for it",
            )

    @contextlib.asynccontextmanager
    async def _declared(self, names: Sequence[str]) -> AsyncIterator[Collector]:
        """The one who declares now; the nodes stay declared until it is done.

        Raises:
            UnknownNodeError: somebody has deleted one of them meanwhile.
        """
        async with self.daemon.declaring:
            self.daemon.collector.table.require(names)
            yield self.daemon.collector

    async def _declare(
        self, wishes: dict[str, Wish], request: Request, still: Callable[[], None] | None = None
    ) -> list[Item]:
        """Check everything, then make it durable, then let it in; the caller holds `declaring`.

        Args:
            still: raises PlanChangedError when it must not be let in after all; see `Daemon.declare`.
        """
        self._insist_on_root()
        collector = self.daemon.collector
        items = plan_items(wishes, collector.table)
        await asyncio.sleep(0)  # each step can take a while; others have their turn in between
        try:
            check(
                items,
                collector.table,
                collector.catalog,
                collector.planner,
                allow_unreachable=request.allow_unreachable,
                kernel_problem=kernel_problem,
            )
        except UnreachableError as error:
            found = other_modules(collector, (item.node for item in items))
            error.hint = "; ".join([*(one.text for one in found), str(error.hint)])
            raise
        if collector.branch is not None:
            items = warn(collector.branch.tree, items, self.daemon.clock())
        items = warn_of_strangers(self.daemon, items)
        if request.dry_run:
            return items
        confirm(items, yes=request.yes)
        now = self.daemon.clock()
        parts: list[Declared] = []
        notes: list[Change] = []
        for part in _in_parts(items):
            await asyncio.sleep(0)
            parts.append(Declared(updates_of(part, collector.stamp, now, request.who)))
            notes += notes_of_items(part, now, request.who)
        if parts:
            try:
                await self.daemon.declare(parts, notes, still)
            except PlanChangedError:
                await self._take_back(items, request.who)
                raise
        return items

    async def _take_back(self, items: Sequence[Item], who: str) -> None:
        """Wishes that are durable and were not let in: what stood before them is made durable again."""
        now = self.daemon.clock()
        back = [Item(i.node, {name: (new, old) for name, (old, new) in i.diff.items()}) for i in items]
        updates = updates_of(back, self.daemon.collector.stamp, now, who)
        await self.daemon.declare([Declared(updates)], notes_of_items(back, now, who))

    async def _set_holds(
        self, names: Sequence[str], reason: str, for_s: float | None, who: str
    ) -> list[Hold]:
        self._insist_on_root()
        if not reason.strip():
            raise DocumentError("a hold needs a reason", key="reason", hint="say why, for whoever finds it")
        if len(reason) > VALUE_MAX:
            raise DocumentError(
                f"a reason of {len(reason):,} characters", key="reason", hint=f"{VALUE_MAX:,} at most"
            )
        if for_s is not None and not 0 < for_s <= HOLD_S_MAX:
            raise DocumentError(
                f"a hold cannot last {for_s:g} s", key="for_s", hint="null: until it is released"
            )
        now = self.daemon.clock()
        until = None if for_s is None else now + for_s
        holds = [Hold(secrets.token_hex(4), name, who, reason.strip(), now, until) for name in names]
        changes: list[Change] = []
        for hold in holds:
            changes += [SaveHold(hold), _note_of_hold(hold, f"held: {hold.reason}", now, who)]
        await self.daemon.journal.write(changes)
        self.daemon.accept(*(HoldSet(hold) for hold in holds))
        self._tell_of_holds(holds, "set", now)
        return holds

    async def _lift(self, holds: Sequence[Hold], who: str, now: float) -> None:
        self._insist_on_root()
        changes: list[Change] = []
        for hold in holds:
            changes += [DropHold(hold.id), _note_of_hold(hold, f"released: {hold.reason}", now, who)]
        await self.daemon.journal.write(changes)
        self.daemon.accept(*(HoldLifted(hold) for hold in holds))
        self._tell_of_holds(holds, "lifted", now)

    def _tell_of_holds(self, holds: Sequence[Hold], what: str, now: float) -> None:
        for hold in holds:
            kind = "freeze" if hold.node == EVERY_NODE else "hold"
            data = {"node": hold.node, "what": what, "reason": hold.reason, "owner": hold.owner, "at": now}
            self.daemon.events.add(kind, data)


def _forgotten(collector: Collector, name: str) -> str:
    """What is said of a node that is deleted."""
    silent = collector.branch.tree.silence(name) if collector.is_silent(name) and collector.branch else None
    if silent is None:
        return "forgotten"
    return f"forgotten; collector {silent[0]} is not heard, and goes on with it until it hears of that"


def _in_parts(items: Sequence[Item]) -> list[Sequence[Item]]:
    """What is let in together: all changes of nodes there are, then new nodes, PART_NODES at a time.

    So no two nodes share a BMC at any instant, also when a new one takes over that of another.
    """
    old = [item for item in items if item.changed and not item.created]
    new = [item for item in items if item.created]
    parts: list[Sequence[Item]] = [old] if old else []
    return parts + [new[i : i + PART_NODES] for i in range(0, len(new), PART_NODES)]


def _note_of_hold(hold: Hold, text: str, now: float, who: str) -> Note:
    kind: EntryKind = "hold"
    return Note(now, hold.node, kind, text, who, {"hold": hold.id, "until": hold.until})
