"""Power by hand: what is commanded, whether it may be, and how far it is."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from kraken.daemon.arrivals import Commanded
from kraken.daemon.declare import CONFIRM_ABOVE, Item, NeedsConfirmationError
from kraken.daemon.operations import PART_NODES, Operations, Request
from kraken.daemon.slices import in_slices
from kraken.errors import DocumentError, RefusedError
from kraken.model.action import BMC_VARIABLE
from kraken.model.bmc import ADDRESS, bmc_address_problem
from kraken.model.byhand import PROTOCOL, PROTOCOLS, WORDS, power_by_hand, restarts, target_of
from kraken.model.catalog import Catalog
from kraken.model.document import nearest
from kraken.model.hold import EVERY_NODE, Hold
from kraken.model.module import Change, Mutation
from kraken.model.nodeset import fold
from kraken.model.update import UNKNOWN, Value
from kraken.store.records import Note

DECLARABLE = ("on", "off")


class OpposedError(RefusedError):
    """What is commanded contradicts what is declared: Kraken would undo it.

    Attributes:
        details: folded nodes -> what Kraken would do there, and for which wish.
    """

    def __init__(self, message: str, details: Mapping[str, str], *, hint: str | None = None) -> None:
        super().__init__(message, part=", ".join(details), hint=hint)
        self.details = dict(details)


class UnconfirmedError(NeedsConfirmationError):
    """It may end somebody's work, or break somebody's hold, and nobody said that this is meant."""

    def __init__(self, word: str, names: Sequence[str], reasons: Sequence[str]) -> None:
        super().__init__(
            f"power {word} of {len(names)} {'node' if len(names) == 1 else 'nodes'} ({fold(names)}): "
            f"{'; '.join(reasons)}; nothing was done",
            names,
        )


@dataclass(frozen=True, slots=True)
class Ordered:
    """What came of a request.

    Attributes:
        id: of the commands that were given by it.
        at: when, seconds since the epoch.
        nodes: every node that was meant.
        repeated: those on which just this is under way already; it was not given again.
    """

    id: str
    at: float
    nodes: tuple[str, ...]
    repeated: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Finding:
    """One node, and what speaks against the command there; "" and empty where nothing does."""

    node: str
    mutation: Mutation | None
    impossible: str = ""
    opposed: str = ""
    held: tuple[Hold, ...] = ()
    guarded: str = ""
    power: str = UNKNOWN


async def command_power(
    operations: Operations,
    names: Sequence[str],
    word: str,
    hold: str | None,
    request: Request,
    id: str | None = None,
) -> Ordered:
    """Have it done now, whatever is declared: on all of the nodes, or on none.

    Args:
        word: one of `WORDS`.
        hold: a reason; the nodes are held for it first, until they are released.
        request: with `dry_run` it is only checked.
        id: of the request this is a part of; None: a new one.

    Raises:
        DocumentError: no such word, or an empty reason.
        RefusedError: a node has no BMC that could do it, or nothing would see the effect.
        OpposedError: Kraken would undo it, and no hold keeps it from that.
        UnconfirmedError: it wants a yes.
    """
    if word not in WORDS:
        raise DocumentError(f"power cannot be {word!r}", key="do", hint=nearest(word, list(WORDS)))
    daemon = operations.daemon
    if request.dry_run:
        await _check(operations, names, word, hold, request)
        return Ordered(id or "", daemon.clock(), tuple(names), ())
    if hold is not None:
        await _check(operations, names, word, hold, request)
        await operations.hold(names, hold, None, replace(request, yes=True))
    async with daemon.declaring:  # what is declared stays so until it is given
        daemon.collector.table.require(names)
        # Who has set a hold has been heard: only what makes it impossible may still end it here.
        agreed = request if hold is None else replace(request, yes=True)
        mutations = await _check(operations, names, word, hold, agreed)
        now = daemon.clock()
        engine = daemon.collector.engine
        repeated = [
            n for n, m in mutations.items() if engine.commands.repeats(daemon.collector.progress(n), m)
        ]
        fresh = {name: mutation for name, mutation in mutations.items() if name not in set(repeated)}
        text = f"power {word} commanded by hand"
        await daemon.journal.write([Note(now, name, "run", text, request.who) for name in fresh])
        id = id or new_id()
        given = list(fresh.items())
        for start in range(0, len(given), PART_NODES):  # others have their turn between the parts
            daemon.accept(Commanded(id, request.who, dict(given[start : start + PART_NODES])))
            await asyncio.sleep(0)
        return Ordered(id, now, tuple(names), tuple(repeated))


def new_id() -> str:
    """Of a request."""
    return secrets.token_hex(4)


async def declare_power(
    operations: Operations, names: Sequence[str], word: str, request: Request
) -> list[Item]:
    """Declare the power that on or off lead to, and withdraw the wishes that cannot be had with it.

    Raises:
        DocumentError: the word is neither on nor off, or no module declares the power of nodes.
        UnconfirmedError: it wants a yes.
    """
    if word not in DECLARABLE:
        hint = f"only {' and '.join(DECLARABLE)} lead to a state that stays"
        raise DocumentError(f"power {word} cannot be declared", key="do", hint=hint)
    collector = operations.daemon.collector
    target, withdrawn = target_of(word), dict[str, None]()
    table = collector.table
    table.require(names)
    for name in names:
        wishes, attributes = table[name].cfg_values(), table[name].attribute_values()
        kept = collector.catalog.known({**wishes, BMC_VARIABLE: target}, attributes)
        withdrawn |= dict.fromkeys(variable for variable in wishes if variable not in kept)
    if word != "on" and not request.yes:
        on = [n for n in names if collector.progress(n).value(BMC_VARIABLE) != target]
        reasons = [f"it ends whatever runs on {fold(on)}"] if on else []
        reasons += [f"{' and '.join(withdrawn)} would be wished no more"] if withdrawn else []
        if reasons:
            raise UnconfirmedError(word, names, reasons)
    return await operations.change_cfg(names, {BMC_VARIABLE: target}, list(withdrawn), request)


def _would_undo(word: str, details: Mapping[str, str]) -> OpposedError:
    told = "; ".join(f"{nodes}: {reason}" for nodes, reason in details.items())
    ways = "--hold REASON keeps Kraken from it until `kraken release`"
    if word in DECLARABLE:
        ways += f"; --declare declares {BMC_VARIABLE}={target_of(word)} instead"
    return OpposedError(f"Kraken would undo power {word}: {told}; nothing was done", details, hint=ways)


async def _check(
    operations: Operations, names: Sequence[str], word: str, hold: str | None, request: Request
) -> dict[str, Mutation]:
    """What is to be done on each node; raises what `command_power` does."""
    table = operations.daemon.collector.table
    findings = await in_slices(names, lambda name: _find(operations, name, word) if name in table else None)
    found = [finding for finding in findings if finding is not None]
    impossible = _folded((finding.node, finding.impossible) for finding in found)
    if impossible:
        told = "; ".join(f"{nodes}: {reason}" for nodes, reason in impossible.items())
        raise RefusedError(
            f"power {word} is not possible: {told}; nothing was done", part=next(iter(impossible))
        )
    if hold is None:
        opposed = _folded((finding.node, "" if finding.held else finding.opposed) for finding in found)
        if opposed:
            raise _would_undo(word, opposed)
    reasons = _wants_yes(found, word, hold, request.who)
    if reasons and not request.yes:
        raise UnconfirmedError(word, names, reasons)
    return {finding.node: finding.mutation for finding in found if finding.mutation is not None}


def _find(operations: Operations, name: str, word: str) -> _Finding:
    daemon = operations.daemon
    collector = daemon.collector
    if not collector.runs(name):
        return _Finding(name, None, collector.why_nobody_runs(name, daemon.clock()))
    engine = collector.engine
    progress = collector.progress(name)
    attributes = progress.attributes
    mutation = power_by_hand(word, attributes)
    if mutation is None:
        known = " or ".join(PROTOCOLS)
        return _Finding(name, None, f"the attribute {PROTOCOL} must say {known}")
    problem = bmc_address_problem(attributes)
    if problem is None and ADDRESS not in attributes:
        problem = f"it has no attribute {ADDRESS}: declare the address of its BMC"
    if problem is None and not engine.commands.is_seen(name, mutation):
        problem = f"no loaded Kraken module has a discovery that sees its {BMC_VARIABLE}"
    if problem is not None:
        return _Finding(name, None, problem)
    return _Finding(
        name,
        mutation,
        opposed=_opposed(operations, name, mutation),
        held=tuple(collector.holds.on(name, daemon.clock())),
        guarded=_guarded(collector.catalog, mutation, progress.state, attributes),
        power=progress.value(BMC_VARIABLE),
    )


def _opposed(operations: Operations, name: str, mutation: Mutation) -> str:
    """What Kraken would do against it, and for whose wish; "" when nothing."""
    collector = operations.daemon.collector
    opposition = collector.engine.commands.opposition(name, mutation)
    if opposition is None:
        return ""
    would = f"it would {opposition.undoes}, for" if opposition.undoes else "for"
    records = collector.table[name].cfg
    wishes = [
        f"{variable}={record.value} is declared ({record.source}, {_when(record.seen_at)})"
        for variable, record in ((variable, records[variable]) for variable in opposition.wishes)
    ]
    return f"{would} {' and '.join(wishes)}"


def _guarded(
    catalog: Catalog, mutation: Mutation, state: Mapping[str, str], attributes: Mapping[str, Value]
) -> str:
    """The guards that would keep Kraken itself from it, and why; "" when none would.

    What restarts the node is as much as off to who works on it.
    """
    ways = [mutation]
    if restarts(mutation):
        ways.append(replace(mutation, changes=(Change(BMC_VARIABLE, None, target_of("off")),)))
    told = []
    for guard in catalog.guards:
        unmet = catalog.unmet(guard, state, attributes) if any(map(guard.concerns, ways)) else []
        if unmet:
            about = f": {guard.summary.rstrip('.')}" if guard.summary else ""
            told.append(f"{guard.module}.{guard.name} would keep Kraken from it ({', '.join(unmet)}){about}")
    return "; ".join(told)


def _wants_yes(found: Sequence[_Finding], word: str, hold: str | None, who: str) -> list[str]:
    """Why a yes is wanted; empty when the command goes without one.

    Who gives a reason for a hold has said what is meant, for as many nodes as may be changed unasked,
    but not that a guard is to be broken.
    """
    reasons: list[str] = []
    if word != "on" and (hold is None or len(found) > CONFIRM_ABOVE):
        running = [f.node for f in found if f.power not in ("POWER_OFF", UNKNOWN)]
        unknown = [f.node for f in found if f.power == UNKNOWN]
        if running:
            reasons.append(f"it ends whatever runs on {fold(running)}")
        if unknown:
            reasons.append(f"nobody knows whether {fold(unknown)} has power")
    for nodes, text in _folded((f.node, _others(f.held, who)) for f in found).items():
        reasons.append(f"{nodes}: held by {text}")
    for nodes, text in _folded((f.node, f.guarded) for f in found).items():
        reasons.append(f"{nodes}: {text}")
    if len(found) > CONFIRM_ABOVE and not reasons:
        reasons.append(f"more than {CONFIRM_ABOVE} nodes want a yes")
    return reasons


def _others(holds: Iterable[Hold], who: str) -> str:
    """The holds of others: whose, and why."""
    return ", ".join(
        f"{hold.owner} ({'frozen: ' if hold.node == EVERY_NODE else ''}{hold.reason})"
        for hold in holds
        if hold.owner != who
    )


def _folded(reasons: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Folded nodes -> reason; those without one are left out."""
    alike: dict[str, list[str]] = {}
    for node, reason in reasons:
        if reason:
            alike.setdefault(reason, []).append(node)
    return {fold(names): reason for reason, names in alike.items()}


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))
