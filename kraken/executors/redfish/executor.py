"""RedfishExecutor: a run on nodes becomes orders for their BMCs, and their answers its results."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from typing import Final, NamedTuple

from kraken.errors import CredentialError, ExecutorError
from kraken.executors import Report
from kraken.executors.accounts import ReportRotated, Rotated, Stand
from kraken.executors.credentials import Credentials
from kraken.executors.pace import Pace
from kraken.executors.place import Place, Resolver, find_places, numeric_place
from kraken.executors.reading import Reading, ReportReadings, Topic
from kraken.executors.redfish import accounts, reader
from kraken.executors.redfish.bmc import Bmc
from kraken.executors.redfish.verbs import verb_of
from kraken.executors.redfish.wire import Wire
from kraken.executors.redfish.words import Login, Order, RedfishLimits, Server, Verb
from kraken.executors.refusing import refusals
from kraken.executors.together import Together
from kraken.model.bmc import (
    ADDRESS,
    CA,
    FINGERPRINT,
    SCHEME,
    SYSTEM,
    bmc_address_problem,
    fingerprint_bytes,
    redfish_port,
)
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run
from kraken.model.update import Value

CREDENTIAL = "bmc.credential"

_TICK_S: Final = 1.0


log = logging.getLogger(__name__)


class RedfishExecutor:
    """Asks the BMCs of nodes for their power state, and to change it, their boot device or their light.

    A mutation that comes back OK was acknowledged by the BMC (or a task of it came to its end):
    nothing of the node was observed. A discovery observes `phys_state`. Both observe `bmc.reach`, whenever
    the BMC was truly asked. Everything runs in the loop of the caller.

    Args:
        credentials: what `bmc.credential` of a node names.
        on_news: told a node whose BMC had events, so that it is looked at; None: nobody listens.
    """

    def __init__(
        self,
        credentials: Credentials,
        limits: RedfishLimits | None = None,
        on_news: Callable[[str], None] | None = None,
    ) -> None:
        self._credentials = credentials
        self._limits = limits or RedfishLimits()
        self._on_news = on_news if self._limits.events else None
        self._resolver = Resolver()
        self._wire = Wire(self._limits)
        self._gate = asyncio.Semaphore(self._limits.logins_at_once)
        self._pace: Pace | None = None  # of the loop that it runs in
        self._bmcs: dict[Place, Bmc] = {}
        self._ticker: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()

    async def run(self, run: Run, nodes: Mapping[str, NodeFacts], report: Report) -> None:
        """Command the BMCs; OK means acknowledged."""
        await self._perform(run, nodes, report)

    async def discover(self, run: Run, nodes: Mapping[str, NodeFacts], report: Report) -> None:
        """Ask the BMCs for the power of their nodes."""
        await self._perform(run, nodes, report)

    async def read(
        self, topic: Topic, nodes: Mapping[str, NodeFacts], timeout_s: float, report: ReportReadings
    ) -> None:
        """Ask the BMC of each node, as `BmcReader.read` says."""
        ends_at = asyncio.get_running_loop().time() + timeout_s
        await self._credentials.refresh_aside()
        targets, refused = self._sort(nodes, nodes)
        wanted = {node: (target.host, target.port) for node, target in targets.items()}
        places, lost = await find_places(wanted, self._resolver)
        report([Reading(node, topic, None, *why) for node, why in {**refused, **lost}.items()])
        verb = Verb(f"its {topic}", "status")

        async def visit(node: str, place: Place) -> None:
            target = targets[node]
            order = Order(node, target.login, verb, target.system, ends_at, timeout_s)
            bmc = self._bmc(target.server(place))
            bmc.insist()
            held = nodes[node].held
            reading = await reader.read(bmc, order, topic, held=held)
            if held:
                self._end(bmc.leave())
            report([reading])

        async with asyncio.TaskGroup() as group:
            for node, place in places.items():
                group.create_task(visit(node, place))

    async def rotate(
        self, nodes: Mapping[str, NodeFacts], timeout_s: float, report: ReportRotated, *, change: bool
    ) -> None:
        """Give the BMC of each node the new password, as `BmcAccounts.rotate` says."""
        ends_at = asyncio.get_running_loop().time() + timeout_s
        await self._credentials.refresh_aside()
        targets, refused = self._sort(nodes, nodes)
        wanted = {node: (target.host, target.port) for node, target in targets.items()}
        places, lost = await find_places(wanted, self._resolver)
        report([Rotated(node, Stand.FAILED, text) for node, (_, text) in {**refused, **lost}.items()])
        verb = Verb("its password", "status")

        async def visit(node: str, place: Place) -> None:
            target = targets[node]
            order = Order(node, target.login, verb, target.system, ends_at, timeout_s)
            bmc = self._bmc(target.server(place))
            bmc.insist()
            rotated = await accounts.renew(bmc, order, change=change)
            if nodes[node].held:
                self._end(bmc.leave())
            report([rotated])

        async with asyncio.TaskGroup() as group:
            for node, place in places.items():
                group.create_task(visit(node, place))

    def insist(self, nodes: Collection[str]) -> None:
        """Have the BMCs of these nodes asked when somebody asks next, though they did not answer lately."""
        asked = frozenset(nodes)
        for bmc in self._bmcs.values():
            if bmc.node in asked:
                bmc.insist()

    @property
    def streams(self) -> int:
        """How many BMCs tell us of events now."""
        return sum(bmc.has_stream for bmc in self._bmcs.values())

    def leave(self, nodes: Collection[str]) -> None:
        """Give the sessions with the BMCs of these nodes back, each with the answer it owes, if any."""
        for bmc in self._bmcs.values():
            if bmc.node in nodes and bmc.has_session:
                self._end(bmc.leave())

    async def close(self) -> None:
        """Give every session back and close every connection. Idempotent."""
        self._resolver.close()
        ticker, self._ticker = self._ticker, None
        if ticker is not None:
            ticker.cancel()
            await asyncio.gather(ticker, return_exceptions=True)
        bmcs = list(self._bmcs.values())
        self._bmcs.clear()
        await asyncio.gather(*(bmc.close() for bmc in bmcs), *self._leaving)
        await self._wire.close()

    async def _perform(self, run: Run, nodes: Mapping[str, NodeFacts], report: Report) -> None:
        action = run.operator.action
        if action is None or action.kind != "redfish":
            raise ExecutorError(f"{run.operator.key} is not done over Redfish", part=run.operator.key)
        verb = verb_of(action.spec)
        if verb.is_mutation is not run.is_mutation:
            raise ExecutorError(f"{run.operator.key}: {verb.name} is not what its kind may ask of a BMC")
        ends_at = asyncio.get_running_loop().time() + run.timeout_s
        await self._credentials.refresh_aside()
        targets, refused = self._sort(run.nodes, nodes)
        report(refusals(run, refused, self._credentials.problem()))
        async with Together(report) as together, asyncio.TaskGroup() as group:
            # Names may take seconds, which a poll of the others does not wait for. A mutation does: two
            # names may turn out to be one BMC, and then neither is commanded.
            numbers = {node: target for node, target in targets.items() if target.is_number}
            names = {node: target for node, target in targets.items() if not target.is_number}
            for some in [{**numbers, **names}] if run.is_mutation else [numbers, names]:
                wanted = {node: (target.host, target.port) for node, target in some.items()}
                places, refused = await find_places(wanted, self._resolver)
                report(refusals(run, refused))
                for node, place in places.items():
                    order = Order(node, some[node].login, verb, some[node].system, ends_at, run.timeout_s)
                    work = self._ask(run, some[node].server(place), order)
                    group.create_task(work).add_done_callback(together.add)

    async def _ask(self, run: Run, server: Server, order: Order) -> NodeResult:
        try:
            answer = await self._bmc(server).perform(order)
        except Exception as exc:  # a mistake of ours about one BMC ends no run on the others
            log.exception("BMC not understood", extra={"bmc": str(server.place), "node": order.node})
            text = f"BMC {server.place} was not understood ({type(exc).__name__}): the daemon's log has more"
            return NodeResult(run.id, order.node, Outcome.INTERRUPTED, {}, text)
        return NodeResult(run.id, order.node, answer.outcome, answer.seen, answer.message, answer.is_news)

    def _bmc(self, server: Server) -> Bmc:
        """What is known of the BMC there; nothing when it is to be known by other marks than before."""
        bmc = self._bmcs.get(server.place)
        if bmc is not None and bmc.server != server:
            self._end(bmc.close())
            bmc = None
        if bmc is None:
            lane = self._paced().lane(server.place)
            bmc = self._bmcs[server.place] = Bmc(
                server, self._wire, self._gate, self._limits, lane, on_news=self._on_news
            )
        if self._ticker is None:
            self._ticker = asyncio.get_running_loop().create_task(self._tick())
        return bmc

    def _paced(self) -> Pace:
        if self._pace is None:
            self._pace = Pace(asyncio.get_running_loop(), self._limits.requests_per_s)
        return self._pace

    def _end(self, leaving: Coroutine[None, None, None]) -> None:
        """Have sessions given back while others go on; `close` waits for it."""
        task = asyncio.get_running_loop().create_task(leaving)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _sort(
        self, names: Iterable[str], nodes: Mapping[str, NodeFacts]
    ) -> tuple[dict[str, _Target], dict[str, tuple[Outcome, str]]]:
        """The nodes whose BMC may be asked, and why the others' cannot."""
        targets: dict[str, _Target] = {}
        refused: dict[str, tuple[Outcome, str]] = {}
        logins: dict[str, Login | str] = {}
        for name in names:
            attributes = nodes[name].attributes if name in nodes else {}
            problem = _address_problem(attributes)
            credential = str(attributes.get(CREDENTIAL) or "")
            if credential not in logins:
                logins[credential] = self._login(credential)
            login = logins[credential]
            if problem is not None:
                refused[name] = (Outcome.FAILED, problem)
            elif isinstance(login, str):
                refused[name] = (Outcome.FAILED, login)
            else:
                targets[name] = _Target.of(attributes, login)
        return targets, refused

    def _login(self, credential: str) -> Login | str:
        """With what to log in; a string says why there is nothing."""
        if not credential:
            return f"the node has no attribute {CREDENTIAL}: name one of those in the credentials file"
        try:
            found = self._credentials.get(credential)
        except CredentialError as exc:
            return str(exc)
        previous = None
        if found.previous is not None:
            previous = Login(credential, found.username, found.previous)
        return Login(credential, found.username, found.password, previous)

    async def _tick(self) -> None:
        """Give back what nobody has used for a while."""
        while True:
            await asyncio.sleep(_TICK_S)
            bmcs = list(self._bmcs.items())
            used = await asyncio.gather(*(bmc.rest() for _, bmc in bmcs))
            for (place, bmc), is_used in zip(bmcs, used, strict=True):
                if not is_used and self._bmcs.get(place) is bmc:
                    del self._bmcs[place]


class _Target(NamedTuple):
    """A node whose BMC may be asked, as far as can be said before its name is looked up."""

    host: str
    port: int
    scheme: str
    ca: str | None
    fingerprint: bytes | None
    system: str
    login: Login

    @classmethod
    def of(cls, attributes: Mapping[str, Value], login: Login) -> _Target:
        ca, fingerprint = attributes.get(CA), attributes.get(FINGERPRINT)
        return cls(
            host=str(attributes[ADDRESS]).strip(),
            port=redfish_port(attributes),
            scheme=str(attributes.get(SCHEME) or "https"),
            ca=None if ca is None else str(ca),
            fingerprint=None if fingerprint is None else fingerprint_bytes(str(fingerprint)),
            system=str(attributes.get(SYSTEM) or ""),
            login=login,
        )

    @property
    def is_number(self) -> bool:
        return numeric_place(self.host, self.port) is not None

    def server(self, place: Place) -> Server:
        return Server(place, self.host, self.scheme, self.ca, self.fingerprint)


def _address_problem(attributes: Mapping[str, Value]) -> str | None:
    if ADDRESS not in attributes:
        return f"the node has no attribute {ADDRESS}: declare the address of its BMC"
    return bmc_address_problem(attributes)
