"""A member of the tree, without a loop: state in, decisions out. All its doors are synchronous."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from kraken.daemon.arrivals import (
    Arrival,
    Commanded,
    Consequence,
    Declared,
    HoldLifted,
    HoldSet,
    LookAt,
    NodeHeld,
    Observed,
    OfTree,
    Results,
    TreeNews,
)
from kraken.daemon.branch import Branch
from kraken.daemon.elsewhere import (
    CANNOT,
    CAUSE,
    cause_elsewhere,
    explain_elsewhere,
    is_told,
    nobodys,
    summary,
)
from kraken.daemon.fingerprint import modules_fingerprint
from kraken.daemon.recorder import Recorder
from kraken.daemon.rights import RESERVE_MORE_S, Rights
from kraken.engine.cause import Cause, Explanation, Verdict
from kraken.engine.effects import Assert, CauseChanged, ReasonChanged
from kraken.engine.engine import Engine
from kraken.engine.news import Changed, News, Reported
from kraken.engine.progress import Progress
from kraken.engine.settings import Settings
from kraken.model.bmc import ADDRESS, PORT
from kraken.model.byhand import all_by_hand
from kraken.model.catalog import Catalog
from kraken.model.hold import EVERY_NODE, Hold, HoldTable
from kraken.model.node import NodeTable
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run
from kraken.model.update import OBSERVED, PRESENCE, Side, Stamp, StateUpdate
from kraken.planning.path import NoPath, Path
from kraken.planning.planner import Planner
from kraken.sync.machines import bmc_of
from kraken.sync.placement import Placement
from kraken.sync.registry import MODULES
from kraken.sync.tree import Tree

OVER: Final = (Outcome.OK, Outcome.FAILED, Outcome.WITHDRAWN)
"""After these nothing of a run is under way on the node. After others its command may be, until its time is
over; and until then the node is not let go."""
_WIRES: Final = (ADDRESS, PORT, PRESENCE)
"""Attributes by which a node comes to have another BMC, or leaves its own to others."""


class Collector:
    """The state of one member of the tree and the rules that move it.

    Args:
        incarnation: grows with each start; leads stamps and the ids of runs.
        seed: of the jitter in pauses.
        planner: one for this catalog that knows answers already; None: a new one.

    Attributes:
        branch: our place in a tree; None: there is none.
        rights: whether we may begin a mutation, and what of ours is under way.
        unknown_after_s: see `cause_elsewhere`.
    """

    def __init__(
        self,
        catalog: Catalog,
        settings: Settings,
        *,
        incarnation: int = 1,
        seed: int = 0,
        planner: Planner | None = None,
    ) -> None:
        assert planner is None or planner.catalog is catalog
        self.catalog = catalog
        self.table = NodeTable()
        self.holds = HoldTable()
        self.recorder = Recorder(self.table, incarnation, self.runs)
        self.planner = planner or Planner(catalog)
        self._now = float("-inf")  # when we were last asked something
        self.rights = Rights(self.table, lambda node: self.engine.batches.busy_until(node), lambda: self._now)
        self.engine = Engine(
            self.table,
            catalog,
            self.planner,
            self.holds,
            settings,
            incarnation=incarnation,
            seed=seed,
            may_run=self.rights.may_run,
            lacks=self.rights.lacks,
        )
        self.branch: Branch | None = None
        self.unknown_after_s: float | None = None
        self._modules: str | None = None  # their fingerprint, once somebody wanted it
        self._said: Catalog | None = None  # of which those above were told the fingerprint
        self._new: dict[str, None] = {}  # nodes of ours of which those above may not know yet how they fare
        self._heard: set[tuple[str, str]] = set()  # (run, node) of the results taken in just now

    def accept(self, arrivals: Iterable[Arrival], now: float) -> list[Consequence]:
        """The one door in: merge what arrives, decide what follows.

        Args:
            arrivals: in order; none at all is right at any time and does what time has made due.

        Returns:
            What the caller must perform, in order.
        """
        self._now = now
        follows: list[Consequence] = []
        news: list[News] = []
        self._heard.clear()
        for arrival in arrivals:
            self._take(arrival, now, news, follows)
        while True:
            effects = self.engine.reconcile(self._of_ours(news, now), now)
            news = []
            fare: dict[str, None] = {}  # nodes that fare otherwise
            for effect in effects:
                if isinstance(effect, Assert):
                    self.recorder.observe(
                        effect.node, effect.values, effect.source, self.catalog, now, news, follows
                    )
                    continue
                if isinstance(effect, CauseChanged | ReasonChanged):
                    fare[effect.node] = None
                follows.append(effect)
            self._summarise(fare, now)
            self._introduce(now)
            self._say_modules(now)
            self.rights.ask(now)
            self.rights.give_back(now)
            if not news and self.branch is not None:
                self.branch.tick(now)
                self._apply(self.branch.result(), now, news, follows)
            if not news:
                return follows

    def join(self, tree: Tree, now: float) -> None:
        """Be a member of this tree from now on, which has our table and holds. Call `accept` afterwards."""
        recorder = self.recorder
        self.branch = Branch(
            tree, self.table, self.holds, recorder.outgrow, recorder.keep, busy=self.busy_until
        )
        self.recorder.tree = self.rights.tree = tree
        for name in self.table:
            if tree.has(name):
                self._new[name] = None
            else:
                self.engine.disown(name, now)

    # -- of any node, whoever runs it -------------------------------------------------------------

    def runs(self, node: str) -> bool:
        """Whether it is we who run this node, and not another collector."""
        return self.branch is None or self.branch.tree.has(node)

    def runner(self, node: str) -> str:
        """The collector that runs the node; "": nobody does, or it is this one and there is no other."""
        if self.branch is None:
            return ""
        tree = self.branch.tree
        return tree.me if tree.has(node) else tree.runner(node)

    def answers(self, node: str) -> str:
        """The collector to be asked about a node: who runs it, or could not give it to anybody; "" as for
        `runner`.
        """
        nobody = None if self.branch is None or self.runs(node) else self.branch.tree.nobody(node)
        return self.runner(node) if nobody is None else nobody.source

    def is_silent(self, node: str) -> bool:
        """Whether another collector runs the node, and is not heard."""
        return self.branch is not None and not self.runs(node) and self.branch.tree.silence(node) is not None

    def cause(self, node: str) -> Cause:
        """The node's one cause."""
        if self.branch is None or self.runs(node):
            return self.engine.cause(node)
        return cause_elsewhere(self.branch.tree, self.table[node], self._now, self.unknown_after_s)

    def explain(self, node: str, now: float) -> Explanation:
        """The node's one cause, and what of it is known here."""
        if self.branch is None or self.runs(node):
            return self.engine.explain(node, now)
        branch, unknown_after_s = self.branch, self.unknown_after_s
        since = branch.between.nodes.get(node, now)
        return explain_elsewhere(branch.tree, self.table[node], now, since, unknown_after_s, branch.outages)

    @property
    def modules(self) -> str:
        """Fingerprint of the Kraken modules."""
        if self._modules is None:
            self._modules = modules_fingerprint(self.catalog)
        return self._modules

    @property
    def may_be_two(self) -> bool:
        """Our parent said that another daemon speaks as this collector, and not since that none does."""
        return self.branch is not None and self.branch.tree.leases.doubt.stands

    def why_nobody_runs(self, node: str, now: float) -> str:
        """Why something cannot be done to a node that is not ours."""
        runner = self.runner(node)
        if runner:
            return f"collector {runner} runs it"
        return f"no collector that is heard runs it: {self.explain(node, now).reason}"

    def progress(self, node: str) -> Progress:
        """What is known of the node; of one run elsewhere, what its records say. To be read only."""
        if self.branch is None or self.runs(node):
            return self.engine.progress(node)
        said = self.table[node].summary.get(CAUSE)
        since = self.branch.tree.started_at if said is None else said.since
        return self.engine.bystander(node, Verdict(self.cause(node)), since)

    def path(self, node: str, cfg: Mapping[str, str] | None = None) -> Path | NoPath:
        """The path from what is known of the node to its Cfg (or to this one)."""
        return self.engine.path(self.progress(node), cfg)

    def may_begin(self, run: Run, node: str, now: float) -> bool:
        """Whether a run that was decided on may still begin on this node, so long after."""
        self._now = now
        return self.engine.may_begin(run, node, now)

    def busy_until(self, node: str) -> float:
        """When what we began on the node is over at the latest; see `Rights`."""
        return self.rights.busy_until(node)

    @property
    def longest_s(self) -> float:
        """The longest time for which a mutation may be under way, by hand or not, or a lease may have been
        promised for one; seconds.
        """
        mutations = (*self.catalog.mutations.values(), *all_by_hand())
        longest_s = max(mutation.timeout_s for mutation in mutations)
        return longest_s + self.engine.settings.grace_s + RESERVE_MORE_S

    def next_deadline(self, now: float) -> float | None:
        """When `accept` is due although nothing arrives; None: never."""
        at = self.engine.next_deadline(now)
        if self.branch is None:
            return at
        tree_at = self.branch.next_at(now)
        return tree_at if at is None else min(at, tree_at)

    def stamp(self) -> Stamp:
        """The next stamp of this writer."""
        return self.recorder.stamp()

    @property
    def generation(self) -> Stamp:
        """The last stamp given: whatever is declared from now on has a later one."""
        return self.recorder.generation

    @property
    def incarnation(self) -> int:
        """What leads our stamps now."""
        return self.recorder.incarnation

    def adopt(self, catalog: Catalog) -> None:
        """Work with these modules from now on. Call `accept` afterwards."""
        self.catalog = catalog
        self._modules = None
        self.planner = Planner(catalog)
        self.engine.adopt(catalog, self.planner)
        if self.branch is not None:
            self.branch.tree.leases.longest_s = self.longest_s

    def restore(self, updates: Iterable[StateUpdate], holds: Iterable[Hold], now: float) -> None:
        """Take back what a former life knew, with its true age. Call `accept` afterwards."""
        self.table.merge(updates)
        for hold in holds:
            self.holds.add(hold)
        for name in self.table:
            self.engine.know(name, now)

    def facts(self, name: str, now: float) -> NodeFacts:
        """What an executor may know of the node now."""
        node = self.table[name]
        return NodeFacts(
            name,
            node.attribute_values(),
            node.groups,
            node.cfg_values(),
            self.catalog.known(node.dsc_values(), node.attribute_values()),
            held=any(hold.stands(now) for hold in self.holds.of(name)),
        )

    def observed_of(self, wanted: Mapping[str, Collection[str] | None]) -> list[StateUpdate]:
        """The records of Dsc and summary of these nodes, node -> variables (None: all), as far as they are
        still declared.
        """
        found: list[StateUpdate] = []
        dsc, summary = OBSERVED
        for name, variables in wanted.items():
            node = self.table.get(name)
            if node is None:
                continue
            for side, records in ((dsc, node.dsc), (summary, node.summary)):
                for variable in (records if variables is None else variables) if records else ():
                    r = records.get(variable)
                    if r is not None:
                        found.append(StateUpdate(name, side, variable, r.value, r.stamp, r.seen_at, r.source))
        return found

    # -- arrivals -----------------------------------------------------------------------------

    def _of_ours(self, news: list[News], now: float) -> list[News]:
        """What the engine is to know. A node that was forgotten may be declared again by now, for another: it
        is disowned.
        """
        if self.branch is None:
            return news
        found: list[News] = []
        for item in news:
            if isinstance(item, Changed) and item.node in self.table and not self.runs(item.node):
                self.engine.disown(item.node, now)
            else:
                found.append(item)
        return found

    def _take(self, arrival: Arrival, now: float, news: list[News], follows: list[Consequence]) -> None:
        if isinstance(arrival, Results):
            for result in arrival.results:
                self._take_result(result, now, news, follows)
        elif isinstance(arrival, Observed):
            if self.runs(arrival.node) and arrival.node in self.table:
                if arrival.is_so_now:
                    self.engine.settle(arrival.node, arrival.values)
                told = (arrival.node, arrival.values, arrival.source)
                self.recorder.observe(*told, self.catalog, arrival.seen_at, news, follows)
        elif isinstance(arrival, OfTree):
            assert self.branch is not None, "something of a tree came without a tree"
            self.branch.take(arrival, now)
            self._apply(self.branch.result(), now, news, follows)
        elif isinstance(arrival, Declared):
            self._merge_declared(arrival.updates, now, news, follows)
            self._declared(dict.fromkeys(u.node for u in arrival.updates), now)
        elif isinstance(arrival, HoldSet):
            self.holds.add(arrival.hold)
            news.extend(self._held(arrival.hold))
            self._declared([arrival.hold.node], now)
            if arrival.hold.node != EVERY_NODE:
                follows.append(NodeHeld(arrival.hold.node))
        elif isinstance(arrival, HoldLifted):
            self.holds.drop(arrival.hold)
            news.extend(self._held(arrival.hold))
            self._declared([arrival.hold.node], now)
        elif isinstance(arrival, LookAt):
            self.engine.look(arrival.nodes, now)
        elif isinstance(arrival, Commanded):
            self.engine.commands.give(arrival.id, arrival.by, arrival.mutations, now)
        else:
            follows.extend(self.engine.release(arrival.nodes))

    def _merge_declared(
        self, updates: Sequence[StateUpdate], now: float, news: list[News], follows: list[Consequence]
    ) -> None:
        wired = {u.node: bmc_of(self.table.get(u.node)) for u in updates if u.variable in _WIRES}
        self.recorder.merge(updates, news, follows)
        for name in self.rights.rewired(wired, now):
            if name in self.table and self.runs(name):
                self.engine.renew(name, now)

    def _declared(self, nodes: Collection[str], now: float) -> None:
        if self.branch is not None:
            self.branch.declared(nodes, now)

    def _introduce(self, now: float) -> None:
        """Tell above the cause of nodes that are new to us. One that is UNKNOWN from the first on has not
        changed, and what stands there is the word of who ran the node before, or of a former life.
        """
        new, self._new = self._new, {}
        if self.branch is None:
            return
        for name in new:
            if name not in self.table or not self.runs(name):
                continue
            if not is_told(self.table[name], self.engine.cause(name), self.branch.tree.me):
                self._summarise([name], now)

    def _say_modules(self, now: float) -> None:
        """Tell those above with which modules we run nodes; who runs none, as most agents, keeps quiet."""
        if self.branch is None or self._said is self.catalog:
            return
        if self.branch.tree.placement.of(Placement.OURS):
            self._said = self.catalog
            self.branch.tree.say(MODULES, self.modules, now)

    def _summarise(self, nodes: Iterable[str], now: float) -> None:
        """Tell above how these nodes of ours fare."""
        if self.branch is None:
            return
        for name in nodes:
            could_not = CANNOT in self.table[name].summary
            how, stamp, me = self.engine.progress(name).verdict, self.stamp(), self.branch.tree.me
            self.recorder.summarise(summary(name, how, stamp, now, me, could_not=could_not))

    def _apply(self, result: TreeNews, now: float, news: list[News], follows: list[Consequence]) -> None:
        """What the tree told: the engine decides for what is ours, and for nothing else."""
        follows += result.turned
        follows += [NodeHeld(name) for name in result.held if self.runs(name)]
        for name in result.lost:
            self.engine.disown(name, now)
        self._new.update(dict.fromkeys(result.gained))
        for name in result.nobodys:
            if name in self.table and self.branch is not None:
                self.recorder.summarise(nobodys(self.branch.tree, name, self.stamp(), now))
        table, runs = self.table, self.runs
        concerned = dict.fromkeys((*result.touched, *result.gained))
        ours = {name for name in concerned if name not in table or runs(name)}
        if ours:
            for name, variables in self._seen_elsewhere(result, ours).items():
                self.engine.doubt(name, variables, now)
            news += [Changed(name) for name in concerned if name in ours]
        news += [Changed(name) for name in result.forgotten if name not in ours]
        if result or (self.branch is not None and self.branch.tree.placement.changed):
            follows.append(result)

    def _seen_elsewhere(self, result: TreeNews, ours: Collection[str]) -> dict[str, list[str]]:
        """What of the nodes that we run is known by the word of others alone: those who ran them until now,
        or a former life of ours that is forgotten. What they did to the nodes afterwards, nobody told us.
        """
        found: dict[str, list[str]] = {}
        for name in result.gained:
            node = self.table.get(name)
            said = None if node is None else node.summary.get(CAUSE)
            if node is not None and said is not None and self.branch and said.source != self.branch.tree.me:
                found[name] = list(node.dsc)
        for turned in result.turned:
            update = turned.update
            if update.node in ours and update.side is Side.DSC and update.node in self.table:
                found.setdefault(update.node, []).append(update.variable)
        return found

    def _take_result(
        self, result: NodeResult, now: float, news: list[News], follows: list[Consequence]
    ) -> None:
        active = self.engine.batches.active.get(result.run_id)
        word = (result.run_id, result.node)
        if word in self._heard:
            return  # each node of a run reports once
        self._heard.add(word)
        if active is not None and active.run.is_mutation:
            if result.outcome in OVER:
                self.rights.ended(result.node)
            else:
                self.rights.remember(result.node, self.engine.batches.busy_until(result.node))
        if active is not None and result.node in self.table:
            observed = self.engine.admit(result)
            if observed:
                source = active.run.operator.key
                self.recorder.observe(result.node, observed, source, self.catalog, now, news, follows)
        news.append(Reported(result))

    def _held(self, hold: Hold) -> list[News]:
        if hold.node == EVERY_NODE:
            return [Changed(name) for name in self.table if self.runs(name)]
        return [Changed(hold.node)] if hold.node in self.table and self.runs(hold.node) else []
