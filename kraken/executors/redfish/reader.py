"""Reading from a BMC over Redfish: question by question, so that a mutation need not wait for all of it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Final

from kraken.executors.place import Answer, Reach
from kraken.executors.reading import BmcInfo, Listening, Reading, ReadingData, Topic
from kraken.executors.redfish.bmc import Bmc
from kraken.executors.redfish.inventory import read_info
from kraken.executors.redfish.logs import read_log
from kraken.executors.redfish.resources import Resources, UnansweredError
from kraken.executors.redfish.sensors import read_sensors
from kraken.executors.redfish.words import Order, Reply, Trouble
from kraken.model.run import Outcome

log = logging.getLogger(__name__)

READERS: Final[Mapping[Topic, Callable[[Resources, str], Awaitable[ReadingData]]]] = {
    Topic.INFO: read_info,
    Topic.SENSORS: read_sensors,
    Topic.SEL: read_log,
}


async def read(bmc: Bmc, order: Order, topic: Topic, *, held: bool = False) -> Reading:
    """Ask for all of a topic and say what it came to, by `order.ends_at`; raises nothing.

    Args:
        held: the session, and the stream of events with it, is given back when this is read.
    """

    async def get(path: str) -> Reply:
        came_to = await bmc.look_up(order, path)
        if isinstance(came_to, Answer):
            raise UnansweredError(came_to)
        return came_to

    resources = Resources(bmc.server, get, bmc.refuse)
    try:
        at = await bmc.system_path(order)
        if isinstance(at, Answer):
            raise UnansweredError(at)
        data = await READERS[topic](resources, at)
        if isinstance(data, BmcInfo):
            listening = Listening(why="the node is held") if held else bmc.listening
            data = replace(data, events=listening)
    except UnansweredError as exc:
        answer = exc.answer
        return Reading(order.node, topic, answer.reach, answer.outcome, answer.message)
    except Trouble as trouble:
        text = f"BMC {bmc.server.place} {trouble.text}"
        return Reading(order.node, topic, trouble.reach, trouble.outcome, text)
    except Exception as exc:  # a mistake of ours about one BMC ends no reading of the others
        log.exception("BMC not understood", extra={"bmc": str(bmc.server.place), "node": order.node})
        text = f"BMC {bmc.server.place} was not understood ({type(exc).__name__}): the daemon's log has more"
        return Reading(order.node, topic, Reach.REFUSED, Outcome.FAILED, text)
    return Reading(order.node, topic, Reach.OK, Outcome.OK, data=data)
