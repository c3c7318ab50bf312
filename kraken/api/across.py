"""Requests about nodes of which other collectors run some: each part is asked where its nodes are run, and
the answers become one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote

import msgspec

from kraken.api.relay import HOLD_S, Relay
from kraken.daemon.declare import CONFIRM_ABOVE, NeedsConfirmationError
from kraken.daemon.operations import Operations, Request
from kraken.daemon.power import OpposedError, Ordered, UnconfirmedError, command_power, new_id
from kraken.errors import RefusedError
from kraken.model.nodeset import expand, fold

if TYPE_CHECKING:  # what is only written down costs an agent nothing
    from kraken.api.answers import AskedNode, ChangedNode, Explanation

EXPLAINED_MAX: Final = 64
"""Nodes up to which each is explained by its own collector; of more, what it said last is told at once."""
EXPLAIN_S: Final = 3.0
BMC_MORE_S: Final = 5.0
NOTHING_DONE: Final = "; nothing was done"


class Across:
    """One caller's request to this daemon and those below it.

    Attributes:
        here: the nodes that are not run by another collector.
        parts: collector -> those it runs.
    """

    def __init__(self, operations: Operations, names: Sequence[str], caller: str) -> None:
        self._operations = operations
        self._relay = Relay(operations.daemon)
        self._caller = caller
        self.names = names
        self.parts = self._relay.elsewhere(names)
        others = {name for part in self.parts.values() for name in part}
        self.here = [name for name in names if name not in others]

    async def explain(self) -> dict[str, Explanation]:
        """What their collectors say of nodes run elsewhere, if those are few; a silent one says nothing."""
        if not 0 < len(self.names) - len(self.here) <= EXPLAINED_MAX:
            return {}
        answers = await self._get("/v1/explain?nodeset={nodeset}", EXPLAIN_S)
        return {
            told["node"]: cast("Explanation", told)
            for status, answer in answers.values()
            if status == 200
            for told in answer["nodes"]
        }

    async def node(self, name: str) -> dict[str, Any] | None:
        """Everything about a node, as who runs it tells; None: it does not, or it is we."""
        for collector in self.parts:
            path = f"/v1/nodes/{quote(name)}"
            status, told = await self._relay.ask(collector, "GET", path, self._caller, within_s=EXPLAIN_S)
            if status == 200:
                found: dict[str, Any] = msgspec.json.decode(told.body)
                return found
        return None

    async def look(self, variable: str | None) -> list[AskedNode]:
        """Have nodes run elsewhere looked at; of those that nobody runs, why not."""
        more = {} if variable is None else {"variable": variable}
        daemon = self._operations.daemon
        nobodys = [n for n in self.here if n in daemon.collector.table and not daemon.collector.runs(n)]
        whys = {name: daemon.collector.why_nobody_runs(name, daemon.clock()) for name in nobodys}
        looked = await self._items("/v1/discover", lambda part: {"nodeset": fold(part), **more})
        return [*looked, *(_not_done(name, why) for name, why in whys.items())]

    async def retry(self) -> list[AskedNode]:
        """End quarantine and pauses of nodes run elsewhere."""
        return await self._items("/v1/retry", lambda part: {"nodeset": fold(part)})

    async def observe(
        self, seen: Mapping[str, Mapping[str, str]], age_s: float, *, dry_run: bool
    ) -> list[ChangedNode]:
        """Tell collectors what was seen of nodes that they run; what it changes.

        Raises:
            RefusedError: one would not take it in, or is not reached. Without `dry_run` others may have.
        """

        def body(part: Sequence[str]) -> dict[str, Any]:
            told = {"observations": {name: seen[name] for name in part}, "age_s": age_s}
            return {**told, "dry_run": dry_run, "yes": True}

        answers = await self._post("/v1/observations", body)
        self._insist(answers, None if dry_run else self.here, "it was taken in of")
        return [item for _, answer in answers.values() for item in answer["items"]]

    async def power(self) -> list[dict[str, Any]]:
        """How the power of nodes run elsewhere stands. Of a collector that does not answer, nothing."""
        answers = await self._get("/v1/power?nodeset={nodeset}", EXPLAIN_S)
        return [row for status, answer in answers.values() if status == 200 for row in answer["nodes"]]

    async def command(self, word: str, hold: str | None, request: Request) -> Ordered:
        """Command power on all of the nodes, or on none: everybody is asked first whether it would.

        Raises:
            RefusedError: a collector would not, or is not reached, and nothing was done; or one was lost
                between the question and the order, and the message says where it was done.
            NeedsConfirmationError: whoever would not wants a yes, or the nodes are many, however few of them
                each runs.
            OpposedError: collectors would undo it.
            KrakenError: as `command_power`.
        """
        if not self.parts:
            return await command_power(self._operations, self.names, word, hold, request)
        await self._ask_power(word, hold, request)
        if request.dry_run:
            return Ordered("", self._operations.daemon.clock(), tuple(self.names), ())
        agreed = Request(request.who, yes=True)
        held: dict[str, list[str]] = {}
        if hold is not None:
            await self._operations.hold(self.names, hold, None, agreed)
            holds = self._operations.daemon.collector.holds
            for collector, part in self.parts.items():
                held[collector] = [max(holds.of(name), key=lambda one: one.created_at).id for name in part]
        id = new_id()
        repeated: list[str] = []
        if self.here:
            done = await command_power(self._operations, self.here, word, None, agreed, id)
            repeated += done.repeated
        order = {"do": word, "yes": True, "id": id}
        answers = await self._ask_each(
            "POST",
            "/v1/power",
            {c: {**order, "nodeset": fold(part), "held": held.get(c, [])} for c, part in self.parts.items()},
        )
        self._insist(answers, done=self.here)
        for _, answer in answers.values():
            repeated += expand(answer["repeated"], None) if answer["repeated"] else []
        return Ordered(id, self._operations.daemon.clock(), tuple(self.names), tuple(repeated))

    async def light(self, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Switch the lights of nodes run elsewhere."""
        answers = await self._post("/v1/bmc/identify", lambda part: {**body, "nodeset": fold(part)}, 35.0)
        rows: list[dict[str, Any]] = []
        for collector, (status, answer) in answers.items():
            if status == 200:
                rows += answer["nodes"]
                continue
            why = {"address": "", "outcome": "FAILED", "message": _why(collector, answer)}
            rows += [{"node": name, **why} for name in self.parts[collector]]
        return rows

    async def read(self, topic: str, timeout_s: float) -> AsyncIterator[tuple[bytes, int, int]]:
        """What collectors read from BMCs: lines, of how many nodes, of how many of them in vain."""

        async def one(collector: str) -> tuple[bytes, int, int]:
            part = self.parts[collector]
            path = f"/v1/bmc/{topic}?nodeset={quote(fold(part))}&timeout={timeout_s:g}"
            status, told = await self._relay.ask(
                collector, "GET", path, self._caller, within_s=timeout_s + BMC_MORE_S
            )
            lines = told.body.splitlines(keepends=True)
            if status == 200 and lines:
                last = msgspec.json.decode(lines[-1])
                return b"".join(line for line in lines[1:-1] if line.strip()), last["count"], last["failed"]
            message = _why(collector, _json(told.body))
            rest = {"address": "", "protocol": "", "credential": "", "reach": None, "outcome": "UNREACHABLE"}
            rows = [{"node": name, **rest, "message": message, "data": None} for name in part]
            return b"".join(msgspec.json.encode(row) + b"\n" for row in rows), len(part), len(part)

        for done in asyncio.as_completed([one(collector) for collector in self.parts]):
            yield await done

    # -- helpers ------------------------------------------------------------------------------

    async def _ask_power(self, word: str, hold: str | None, request: Request) -> None:
        """Return when everybody would do it."""
        asked = Request(request.who, dry_run=True, yes=request.yes)
        unconfirmed: UnconfirmedError | None = None
        if self.here:
            try:
                await command_power(self._operations, self.here, word, hold, asked)
            except UnconfirmedError as error:  # who is asked for a yes is told of all that it is for
                unconfirmed = error
        check = {"do": word, "hold": hold, "yes": request.yes, "dry_run": True, "id": new_id()}
        answers = await self._post("/v1/power", lambda part: {**check, "nodeset": fold(part)})
        self._insist(answers, unconfirmed=unconfirmed)
        if len(self.names) > CONFIRM_ABOVE and not request.yes:
            raise UnconfirmedError(word, self.names, [f"more than {CONFIRM_ABOVE} nodes want a yes"])

    async def _items(self, path: str, body: Callable[[Sequence[str]], dict[str, Any]]) -> list[AskedNode]:
        items: list[AskedNode] = []
        for collector, (status, answer) in (await self._post(path, body)).items():
            if status == 200:
                items += answer["items"]
                continue
            message = _why(collector, answer)
            items += [_not_done(name, message) for name in self.parts[collector]]
        return items

    async def _get(self, path: str, within_s: float) -> dict[str, tuple[int, Any]]:
        return await self._ask_each("GET", path, {}, within_s)

    async def _post(
        self, path: str, body: Callable[[Sequence[str]], dict[str, Any]], within_s: float = 10.0
    ) -> dict[str, tuple[int, Any]]:
        return await self._ask_each("POST", path, {c: body(part) for c, part in self.parts.items()}, within_s)

    async def _ask_each(
        self, method: str, path: str, bodies: Mapping[str, Any], within_s: float = 10.0
    ) -> dict[str, tuple[int, Any]]:
        async def one(collector: str) -> tuple[int, Any]:
            body = bodies.get(collector)
            sent = b"" if body is None else msgspec.json.encode(body)
            where = path.replace("{nodeset}", quote(fold(self.parts[collector])))
            status, told = await self._relay.ask(collector, method, where, self._caller, sent, within_s)
            return status, _json(told.body)

        answers = await asyncio.gather(*map(one, self.parts))
        return dict(zip(self.parts, answers, strict=True))

    def _insist(
        self,
        answers: Mapping[str, tuple[int, Any]],
        done: Sequence[str] | None = None,
        what: str = "it was commanded on",
        unconfirmed: UnconfirmedError | None = None,
    ) -> None:
        """Raise what was refused; `done`: it was done on these, and where others agreed.

        Args:
            unconfirmed: here a yes is wanted, too.
        """
        refused = {c: answer for c, (status, answer) in answers.items() if status != 200}
        if not refused:
            if unconfirmed is not None:
                raise unconfirmed
            return
        text = "; ".join(_why(collector, answer) for collector, answer in refused.items())
        if done is None:
            raise self._refusal(text, refused, unconfirmed)
        nodes = [*done, *(n for c, part in self.parts.items() if c not in refused for n in part)]
        where = f"{what} {fold(nodes)}" if nodes else "nothing was done"
        raise RefusedError(
            f"{text}; {where}", part=", ".join(refused), hint="look at the others before you repeat it"
        )

    def _refusal(
        self, text: str, refused: Mapping[str, Any], unconfirmed: UnconfirmedError | None
    ) -> RefusedError:
        """Nothing was done: of the kind that all collectors name who refused, so that it can be answered."""
        hint = next((answer.get("hint") for answer in refused.values() if answer.get("hint")), None)
        kinds = {str(answer.get("type", "")).rpartition(":")[2] for answer in refused.values()}
        if kinds == {"needs-confirmation"}:
            names = [name for collector in refused for name in self.parts[collector]]
            if unconfirmed is not None:
                text = f"{unconfirmed.message.removesuffix(NOTHING_DONE)}; {text}"
                names += self.here
            return NeedsConfirmationError(text + NOTHING_DONE, names, hint=hint)
        if kinds == {"opposed"}:
            details = {k: str(v) for a in refused.values() for k, v in (a.get("details") or {}).items()}
            return OpposedError(text + NOTHING_DONE, details, hint=hint)
        return RefusedError(text + NOTHING_DONE, part=", ".join(refused), hint=hint)


async def await_holds(operations: Operations, names: Sequence[str], ids: Sequence[str]) -> None:
    """Return when these holds have come down to us.

    Raises:
        RefusedError: they did not; nothing was done.
    """
    holds = operations.daemon.collector.holds
    wanted = set(ids)
    try:
        async with asyncio.timeout(HOLD_S):
            while wanted - {hold.id for name in names for hold in holds.of(name)}:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise RefusedError(
            f"the hold of {fold(names)} did not come down within {HOLD_S:g} s; nothing was done here",
            part=fold(names),
            hint="`kraken release` lifts the hold, if it is not wanted without the command",
        ) from None


def _not_done(node: str, why: str) -> AskedNode:
    return {"node": node, "changed": False, "diff": {}, "message": why, "discoveries": []}


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {"detail": body.decode("utf-8", "replace")}


def _why(collector: str, answer: Any) -> str:
    detail = str(answer.get("detail", "")) if isinstance(answer, dict) else ""
    told = detail.removesuffix(NOTHING_DONE)
    return told if collector in told else f"collector {collector}: {told}"
