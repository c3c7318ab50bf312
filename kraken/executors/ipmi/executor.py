"""IpmiExecutor: a run on nodes becomes orders for their BMCs, and their answers its results."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

from kraken.errors import CredentialError, ExecutorError
from kraken.executors import Report
from kraken.executors.accounts import ReportRotated, Rotated, Stand
from kraken.executors.aside import in_thread
from kraken.executors.credentials import Credentials
from kraken.executors.ipmi.asker import Asker
from kraken.executors.ipmi.fleet import FleetThread
from kraken.executors.ipmi.reader import Visit, reading_threads
from kraken.executors.ipmi.records import KeptRecords
from kraken.executors.ipmi.users import Renewal
from kraken.executors.ipmi.verbs import Verb, verb_of
from kraken.executors.ipmi.words import PRIVILEGES, IpmiLimits, Login, Order
from kraken.executors.place import Answer, Place, Resolver, find_places, numeric_place
from kraken.executors.reading import Reading, ReportReadings, Topic
from kraken.executors.refusing import refusals
from kraken.model.bmc import ADDRESS, bmc_address_problem, bmc_port
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run
from kraken.model.update import Value

CREDENTIAL = "bmc.credential"
PRIVILEGE = "bmc.privilege"
CIPHER_SUITE = "bmc.cipher_suite"

_SUITES = {"": None, "17": 17, "3": 3}
_PRIVILEGES = {**{word: level for level, word in PRIVILEGES.items()}, "admin": 4}
_MAX_USER_BYTES = 16  # IPMI 2.0, section 13.24
_MAX_PASSWORD_BYTES = 20
_MAX_KG_BYTES = 20
_GATHER_S = 0.005


class IpmiExecutor:
    """Asks the BMCs of nodes for their power state and boot device, and to change them.

    A mutation that comes back OK was acknowledged by the BMC: nothing of the node was observed. A
    discovery observes `phys_state`. Both observe `bmc.reach` whenever the BMC was truly asked. The
    thread that holds the sessions starts with the first run.

    Args:
        credentials: what `bmc.credential` of a node names.
    """

    def __init__(self, credentials: Credentials, limits: IpmiLimits | None = None) -> None:
        self._credentials = credentials
        self._limits = limits or IpmiLimits()
        self._resolver = Resolver()
        self._thread: FleetThread | None = None
        self._readers: ThreadPoolExecutor | None = None
        self._records = KeptRecords()

    async def run(self, run: Run, nodes: Mapping[str, NodeFacts], report: Report) -> None:
        """Command the BMCs; OK means acknowledged."""
        await self._perform(run, nodes, report)

    async def discover(self, run: Run, nodes: Mapping[str, NodeFacts], report: Report) -> None:
        """Ask the BMCs for the power of their nodes."""
        await self._perform(run, nodes, report)

    def leave(self, nodes: Collection[str]) -> None:
        """Give the sessions with the BMCs of these nodes back, each with the answer it owes, if any."""
        if self._thread is not None:
            self._thread.call(lambda fleet: fleet.leave(nodes))

    def insist(self, nodes: Collection[str]) -> None:
        """Have the BMCs of these nodes asked when somebody asks next, though they did not answer lately."""
        if self._thread is not None:
            asked = frozenset(nodes)
            self._thread.call(lambda fleet: fleet.insist(asked))

    async def read(
        self, topic: Topic, nodes: Mapping[str, NodeFacts], timeout_s: float, report: ReportReadings
    ) -> None:
        """Ask the BMC of each node, as `BmcReader.read` says."""
        ends_at = time.monotonic() + timeout_s
        await self._credentials.refresh_aside()
        known, named, refused = self._sort(nodes, nodes)
        targets = {target.node: target for target in known + named}
        wanted = {node: (target.host, target.port) for node, target in targets.items()}
        places, lost = await find_places(wanted, self._resolver)
        report([Reading(n, topic, None, *why) for n, why in {**refused, **lost}.items()])
        if not places:
            return
        thread = self._started()
        self.insist(places.keys())
        self._readers = self._readers or reading_threads()
        visits = [
            Visit(
                Asker(thread, node, place, targets[node].login, ends_at),
                self._records.of(place),
                gives_back=targets[node].held,
            )
            for node, place in places.items()
        ]
        await asyncio.gather(*(visit.read(topic, self._readers, report) for visit in visits))

    async def rotate(
        self, nodes: Mapping[str, NodeFacts], timeout_s: float, report: ReportRotated, *, change: bool
    ) -> None:
        """Give the BMC of each node the new password, as `BmcAccounts.rotate` says."""
        ends_at = time.monotonic() + timeout_s
        await self._credentials.refresh_aside()
        known, named, refused = self._sort(nodes, nodes)
        targets = {target.node: target for target in known + named}
        wanted = {node: (target.host, target.port) for node, target in targets.items()}
        places, lost = await find_places(wanted, self._resolver)
        report([Rotated(n, Stand.FAILED, text) for n, (_, text) in {**refused, **lost}.items()])
        if not places:
            return
        thread = self._started()
        self.insist(places.keys())

        async def renew(node: str, place: Place) -> None:
            target = targets[node]
            renewal = Renewal(thread, node, place, target.login, ends_at, gives_back=target.held)
            report([await renewal.perform(change=change)])

        async with asyncio.TaskGroup() as group:
            for node, place in places.items():
                group.create_task(renew(node, place))

    async def close(self) -> None:
        """Give every session back and end the thread. Idempotent."""
        self._resolver.close()
        readers, self._readers = self._readers, None
        if readers is not None:
            readers.shutdown(wait=False, cancel_futures=True)
        thread, self._thread = self._thread, None
        if thread is not None:
            await in_thread(thread.stop)

    async def _perform(self, run: Run, nodes: Mapping[str, NodeFacts], report: Report) -> None:
        action = run.operator.action
        if action is None or action.kind != "ipmi":
            raise ExecutorError(f"{run.operator.key} is not done over IPMI", part=run.operator.key)
        verb = verb_of(action.spec)
        if verb.is_mutation is not run.is_mutation:
            raise ExecutorError(f"{run.operator.key}: {verb.name} is not what its kind may ask of a BMC")
        batch = _Batch(run, report)
        await self._credentials.refresh_aside()
        known, named, refused = self._sort(run.nodes, nodes)
        batch.report_refused(refused, self._credentials.problem())
        # Names may take seconds, which a poll of the others does not wait for. A mutation does: two
        # names may turn out to be one BMC, and then neither is commanded.
        groups = [known + named] if run.is_mutation else [known, named]
        orders: list[Order] = []
        try:
            for group in groups:
                orders += await self._submit(group, verb, batch)
            await batch.wait()
        except asyncio.CancelledError:
            batch.abandon()
            if self._thread is not None:
                self._thread.call(lambda fleet: fleet.withdraw(orders))
            raise

    async def _submit(self, targets: Sequence[_Target], verb: Verb, batch: _Batch) -> list[Order]:
        """Order what is asked for from each BMC; those that cannot be are reported, with the reason."""
        wanted = {target.node: (target.host, target.port) for target in targets}
        places, refused = await find_places(wanted, self._resolver)
        orders = [
            Order(
                target.node,
                places[target.node],
                target.login,
                verb,
                batch.answered,
                gives_back=target.held,
                ends_at=batch.ends_at,
            )
            for target in targets
            if target.node in places
        ]
        batch.report_refused(refused)
        if orders:
            rest_s = max(0.0, batch.ends_at - time.monotonic())
            thread = self._started()
            thread.call(lambda _: batch.expect(len(orders)))
            thread.call(lambda fleet: fleet.submit(orders, rest_s))
        return orders

    def _sort(
        self, names: Iterable[str], nodes: Mapping[str, NodeFacts]
    ) -> tuple[list[_Target], list[_Target], dict[str, tuple[Outcome, str]]]:
        """The nodes whose BMC is given by number, those by name, and those that cannot be asked."""
        known: list[_Target] = []
        named: list[_Target] = []
        refused: dict[str, tuple[Outcome, str]] = {}
        logins: dict[tuple[str, ...], Login | str] = {}
        for name in names:
            attributes = nodes[name].attributes if name in nodes else {}
            problem = _address_problem(attributes)
            if problem is not None:
                refused[name] = (Outcome.FAILED, problem)
                continue
            key = tuple(str(attributes.get(what) or "") for what in (CREDENTIAL, PRIVILEGE, CIPHER_SUITE))
            if key not in logins:
                logins[key] = self._login(*key)
            login = logins[key]
            if isinstance(login, str):
                refused[name] = (Outcome.FAILED, login)
                continue
            host, port = str(attributes[ADDRESS]).strip(), bmc_port(attributes)
            place = numeric_place(host, port)
            (named if place is None else known).append(
                _Target(name, host, port, place, login, nodes[name].held)
            )
        return known, named, refused

    def _login(self, credential: str, privilege: str, suite: str) -> Login | str:
        """With what to log in; a string says why there is nothing."""
        if not credential:
            return f"the node has no attribute {CREDENTIAL}: name one of those in the credentials file"
        if privilege and privilege.lower() not in _PRIVILEGES:
            return f"{PRIVILEGE} {privilege!r} is none of user, operator, administrator"
        if suite not in _SUITES:
            return f"{CIPHER_SUITE} {suite[:20]!r} is neither 17 nor 3, which are those spoken"
        try:
            found = self._credentials.get(credential)
        except CredentialError as exc:
            return str(exc)
        login = Login(
            credential=credential,
            username=found.username.encode(),
            password=found.password.encode(),
            kg=None if found.kg is None else found.kg.encode(),
            privilege=_PRIVILEGES[privilege.lower()] if privilege else None,
            suite=_SUITES[suite],
        )
        if found.previous is not None:
            login = replace(login, previous=replace(login, password=found.previous.encode()))
        previous = b"" if login.previous is None else login.previous.password
        for what, secret, most in (
            ("user name", login.username, _MAX_USER_BYTES),
            ("password", login.password, _MAX_PASSWORD_BYTES),
            ("previous password", previous, _MAX_PASSWORD_BYTES),
            ("kg", login.kg or b"", _MAX_KG_BYTES),
        ):
            if len(secret) > most:
                return f"the {what} of credential {credential!r} is longer than the {most} bytes of IPMI 2.0"
        return login

    def _started(self) -> FleetThread:
        if self._thread is None:
            self._thread = FleetThread(self._limits)
        return self._thread


class _Target(NamedTuple):
    """A node whose BMC may be asked, as far as can be said before its name is looked up."""

    node: str
    host: str
    port: int
    place: Place | None  # where the address is a number
    login: Login
    held: bool


def _address_problem(attributes: Mapping[str, Value]) -> str | None:
    if ADDRESS not in attributes:
        return f"the node has no attribute {ADDRESS}: declare the address of its BMC"
    return bmc_address_problem(attributes)


class _Batch:
    """Carries answers from the thread of the BMCs to the loop of the daemon, many at a time."""

    def __init__(self, run: Run, report: Report) -> None:
        self._run = run
        self._report: Report | None = report
        self._loop = asyncio.get_running_loop()
        self.ends_at = time.monotonic() + run.timeout_s
        self._missing = len(run.nodes)
        self._all_reported = self._loop.create_future()
        self._arrived: deque[NodeResult] = deque()
        self._out = 0  # orders without an answer, known to the thread of the BMCs alone
        self._gathering = False

    async def wait(self) -> None:
        """Return when every node of the run was reported."""
        if self._missing:
            await self._all_reported

    def abandon(self) -> None:
        """Report nothing more."""
        self._report = None

    def expect(self, orders: int) -> None:
        """So many more answers will come; said in the thread of the BMCs."""
        self._out += orders

    def answered(self, order: Order, answer: Answer) -> None:
        """Take an answer, in the thread of the BMCs; those of a few milliseconds travel together."""
        self._arrived.append(
            NodeResult(self._run.id, order.node, answer.outcome, answer.seen, answer.message, answer.is_news)
        )
        self._out -= 1
        if self._out <= 0:
            self._send()
        elif not self._gathering:
            self._gathering = True
            asyncio.get_running_loop().call_later(_GATHER_S, self._send)

    def _send(self) -> None:
        self._gathering = False
        if self._arrived:
            with contextlib.suppress(RuntimeError):  # the daemon's loop is closed: nobody is left to tell
                self._loop.call_soon_threadsafe(self._deliver)

    def report_refused(self, refused: Mapping[str, tuple[Outcome, str]], problem: str | None = None) -> None:
        """Report nodes for which nothing was sent, in the daemon's thread, as `refusals` has them."""
        self._tell(refusals(self._run, refused, problem))

    def _deliver(self) -> None:
        results = []
        while self._arrived:
            results.append(self._arrived.popleft())
        self._tell(results)

    def _tell(self, results: Sequence[NodeResult]) -> None:
        if not results or self._report is None:
            return
        self._missing -= len(results)
        assert self._missing >= 0, "each node is reported once"
        try:
            self._report(results)
        finally:
            if not self._missing and not self._all_reported.done():
                self._all_reported.set_result(None)
