"""Power by hand: what is commanded, and how the power of nodes stands."""

from __future__ import annotations

from typing import Any, TypedDict, cast

from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody

from kraken.api import answers, bodies, views
from kraken.api.across import Across, await_holds
from kraken.api.problems import fails
from kraken.api.routes import Nodeset
from kraken.api.security import who
from kraken.daemon.daemon import Daemon
from kraken.daemon.operations import Operations
from kraken.daemon.operations import Request as Asked
from kraken.daemon.power import command_power, declare_power
from kraken.daemon.slices import in_slices
from kraken.engine.doubt import is_stale
from kraken.engine.progress import Command, Phase, Progress
from kraken.model.action import BMC_VARIABLE
from kraken.model.nodeset import fold

REACH = "bmc.reach"


class Ordered(TypedDict):
    """`repeated`: nodes on which just this is under way already, folded."""

    id: str
    at: float
    do: str
    nodeset: str
    count: int
    repeated: str


class PowerCommand(TypedDict):
    """The last one given by hand in this life of the daemon.

    `stage`: QUEUED, SENT, ACKNOWLEDGED, or how it ended: OK, FAILED, UNREACHABLE, TIMEOUT, ...
    """

    id: str
    name: str
    by: str
    at: float
    stage: str
    over: bool
    ended_at: float | None
    message: str


class NodePower(TypedDict):
    """`looking`: its BMC is being asked now; `said`: what the last look in vain said."""

    node: str
    value: str
    seen_at: float | None
    stale: bool
    looking: bool
    said: str
    reach: str
    command: PowerCommand | None


class Powers(TypedDict):
    """`at`: seconds since the epoch, by the daemon's clock."""

    at: float
    nodes: list[NodePower]


@post(
    "/v1/power",
    status_code=200,
    summary="Command the power of nodes",
    responses=fails(404, 409, 413, 422, 507),
)
async def command(
    request: Request[Any, Any, Any],
    operations: NamedDependency[Operations],
    data: JSONBody[bodies.PowerOrder],
) -> Ordered:
    """Command power at once, whatever is declared; on all of the nodes, or on none."""
    names = operations.select(data.nodeset, data.all)
    asked = Asked(who(request), data.dry_run, yes=data.yes)
    if data.id is None:
        ordered = await Across(operations, names, asked.who).command(data.do, data.hold, asked)
    else:  # a part of what somebody above commands
        await await_holds(operations, names, data.held)
        ordered = await command_power(operations, names, data.do, data.hold, asked, data.id)
    return {
        "id": ordered.id,
        "at": ordered.at,
        "do": data.do,
        "nodeset": fold(ordered.nodes),
        "count": len(ordered.nodes),
        "repeated": fold(ordered.repeated),
    }


@post(
    "/v1/power/declare",
    status_code=200,
    summary="Declare the power of nodes",
    responses=fails(404, 409, 413, 422, 507),
)
async def declare(
    request: Request[Any, Any, Any], operations: NamedDependency[Operations], data: JSONBody[bodies.PowerWish]
) -> answers.Changes:
    """Declare that nodes are on, or off, and withdraw what cannot be had with it."""
    names = operations.select(data.nodeset, data.all)
    return views.changes(await declare_power(operations, names, data.do, Asked(who(request), yes=data.yes)))


@get("/v1/power", summary="The power of nodes, and what is commanded of it", responses=fails(404, 422))
async def power(
    request: Request[Any, Any, Any],
    operations: NamedDependency[Operations],
    nodeset: Nodeset = None,
    all: FromQuery[bool] = False,
) -> Powers:
    """What is known of the power of nodes, how old that is, and how far commands are."""
    names = operations.select(nodeset, all)
    daemon = operations.daemon
    theirs = {row["node"]: row for row in await Across(operations, names, who(request)).power()}
    table, now = daemon.collector.table, daemon.clock()
    rows = await in_slices(
        names, lambda name: theirs.get(name) or (_row(daemon, name, now) if name in table else None)
    )
    return {"at": now, "nodes": [cast(NodePower, row) for row in rows if row is not None]}


def _row(daemon: Daemon, name: str, now: float) -> NodePower:
    collector = daemon.collector
    progress = collector.progress(name)
    record = progress.node.dsc.get(BMC_VARIABLE)
    declared = collector.catalog.variables.get(BMC_VARIABLE)
    fresh_for_s = None if declared is None else declared.fresh_for_s
    looks = [
        look
        for look in progress.looks.values()
        if any(observes.variable == BMC_VARIABLE for observes in look.discovery.observes)
    ]
    in_vain = [look.message for look in looks if look.message]
    return {
        "node": name,
        "value": progress.value(BMC_VARIABLE),
        "seen_at": None if record is None else record.seen_at,
        "stale": record is None
        or BMC_VARIABLE in progress.unsettled
        or collector.is_silent(name)
        or is_stale(fresh_for_s, record.seen_at, now),
        "looking": any(look.queued or look.run_id is not None for look in looks),
        "said": in_vain[0] if in_vain else "",
        "reach": progress.value(REACH),
        "command": None if progress.command is None else _command(progress, progress.command),
    }


def _command(progress: Progress, command: Command) -> PowerCommand:
    over = command.outcome is not None
    return {
        "id": command.id,
        "name": command.mutation.name,
        "by": command.by,
        "at": command.at,
        "stage": command.outcome if command.outcome is not None else _stage(progress, command),
        "over": over,
        "ended_at": command.ended_at if over else None,
        "message": command.message,
    }


def _stage(progress: Progress, command: Command) -> str:
    step = progress.underway.get(command.mutation.key)
    if command.run_id is None or step is None:
        return "QUEUED"
    return "SENT" if step.phase is Phase.ISSUED else "ACKNOWLEDGED"


HANDLERS = [command, declare, power]
