"""What BMCs say, over HTTP: a line of JSON for each node, as it answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, TypedDict, cast

import msgspec
from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromQuery, JSONBody, PathParameter, QueryParameter
from litestar.response import Stream

from kraken.api import bodies
from kraken.api.across import Across
from kraken.api.problems import fails
from kraken.api.routes import Nodeset
from kraken.api.security import who
from kraken.daemon.bmc import read_bmcs
from kraken.daemon.declare import Item, confirm
from kraken.daemon.light import switch_lights
from kraken.daemon.operations import Operations
from kraken.daemon.operations import Request as Asked
from kraken.errors import DocumentError
from kraken.executors.reading import Reading, Topic
from kraken.model.document import nearest
from kraken.model.module import as_text
from kraken.model.run import Outcome

NDJSON = "application/x-ndjson"
STILL_HERE_S = 15.0
TIMEOUT_S = 60.0
TIMEOUT_S_MAX = 3600.0

_TOPICS = [topic.value for topic in Topic]


@get(
    "/v1/bmc/{topic:str}",
    summary="What BMCs say of themselves, as they say it",
    responses={
        200: ResponseSpec(
            str, generate_examples=False, description="A line of JSON per node.", media_type=NDJSON
        ),
        **fails(404, 422),
    },
)
async def bmc(
    request: Request[Any, Any, Any],
    operations: NamedDependency[Operations],
    topic: Annotated[str, PathParameter(description="info, sensors or sel")],
    nodeset: Nodeset = None,
    all: FromQuery[bool] = False,
    timeout_s: Annotated[
        float, QueryParameter(name="timeout", description="seconds for all of it")
    ] = TIMEOUT_S,
) -> Stream:
    """Ask BMCs; the first line says how many nodes are meant, the last how many were told of."""
    if topic not in _TOPICS:
        hint = nearest(topic, _TOPICS)
        raise DocumentError(f"BMCs are not asked for {topic!r}", key="topic", hint=hint)
    if not 0 < timeout_s <= TIMEOUT_S_MAX:  # nan is neither
        text = f"a timeout of {timeout_s:g} s is not between 0 and {TIMEOUT_S_MAX:g} s"
        raise DocumentError(text, key="timeout")
    names = operations.select(nodeset, all)
    return Stream(
        _lines(Across(operations, names, who(request)), operations, Topic(topic), timeout_s),
        media_type=NDJSON,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _lines(
    across: Across, operations: Operations, topic: Topic, timeout_s: float
) -> AsyncIterator[bytes]:
    told = failed = 0
    yield msgspec.json.encode({"asked": len(across.names)}) + b"\n"
    async for readings in read_bmcs(operations.daemon, topic, across.here, timeout_s, STILL_HERE_S):
        yield b"".join(_line(operations, reading) for reading in readings) or b"\n"
        told += len(readings)
        failed += sum(reading.outcome is not Outcome.OK for reading in readings)
    async for lines, count, in_vain in across.read(topic, timeout_s):
        yield lines
        told += count
        failed += in_vain
    yield msgspec.json.encode({"count": told, "failed": failed}) + b"\n"


def _line(operations: Operations, reading: Reading) -> bytes:
    line = {
        "node": reading.node,
        **_attributes(operations, reading.node),
        "reach": reading.reach,
        "outcome": reading.outcome,
        "message": reading.message,
        "data": reading.data,
    }
    return msgspec.json.encode(line) + b"\n"


def _attributes(operations: Operations, name: str) -> dict[str, str]:
    """Which BMC a node has and how it is asked; "" for what is not declared."""
    node = operations.daemon.collector.table.get(name)
    attributes: dict[str, Any] = {} if node is None else dict(node.attribute_values())
    return {word: as_text(attributes.get(f"bmc.{word}")) for word in ("address", "protocol", "credential")}


class Lit(TypedDict):
    """`outcome`: OK where the BMC acknowledged it."""

    node: str
    address: str
    outcome: str
    message: str


class Lights(TypedDict):
    """Of each node that was meant."""

    nodes: list[Lit]


@post(
    "/v1/bmc/identify",
    status_code=200,
    summary="Light by which nodes are found",
    responses=fails(404, 409, 413, 422, 507),
)
async def identify(
    request: Request[Any, Any, Any],
    operations: NamedDependency[Operations],
    data: JSONBody[bodies.LightOrder],
) -> Lights:
    """Have BMCs switch the light by which their nodes are found; answers when all have, or 30 s are over."""
    names = operations.select(data.nodeset, data.all)
    asked = Asked(who(request), yes=data.yes)
    across = Across(operations, names, asked.who)
    confirm([Item(name, message=f"light {data.do}") for name in names], yes=asked.yes)
    lit = await switch_lights(operations.daemon, across.here, data.do, asked, data.seconds)
    theirs = await across.light({"do": data.do, "seconds": data.seconds, "yes": True})
    rows: list[Lit] = [
        {
            "node": result.node,
            "address": _attributes(operations, result.node)["address"],
            "outcome": result.outcome,
            "message": result.message,
        }
        for result in lit
    ]
    return {"nodes": [*rows, *(cast(Lit, row) for row in theirs)]}


HANDLERS = [bmc, identify]
