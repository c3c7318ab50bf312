"""Whatever documents a BMC gives, a reading ends: in what it says, or in the reason."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kraken.executors.place import Place, Reach
from kraken.executors.reading import Reading, Topic
from kraken.executors.redfish.reader import READERS
from kraken.executors.redfish.resources import Resources
from kraken.executors.redfish.words import Reply, Server, Trouble
from kraken.model.run import Outcome

PLACE = Place(socket.AF_INET, ("10.9.8.7", 443))
NAMES = [
    "@odata.id",
    "Id",
    "Name",
    "Members",
    "Members@odata.nextLink",
    "Links",
    "Chassis",
    "ManagedBy",
    "Managers",
    "Sensors",
    "Thermal",
    "ThermalSubsystem",
    "ThermalMetrics",
    "TemperatureReadingsCelsius",
    "Temperatures",
    "Fans",
    "Power",
    "PowerControl",
    "Status",
    "State",
    "Health",
    "Reading",
    "ReadingCelsius",
    "Thresholds",
    "LogServices",
    "Entries",
    "Created",
    "Severity",
    "Message",
    "UUID",
    "Boot",
    "UpdateService",
    "FirmwareInventory",
    "Version",
    "PowerState",
    "IndicatorLED",
    "LogEntryType",
    "BootSourceOverrideTarget",
    "BootSourceOverrideEnabled",
    "ProtocolFeaturesSupported",
    "ExpandQuery",
    "NoLinks",
]
PATHS = ("/redfish/v1/a", "/redfish/v1/b?$skip=1", "//elsewhere/x", "https://198.51.100.7/x")
WORDS = ("SEL", "Off", "Absent", "Critical", "2026-03-01T10:00:00Z", "0001-01-01T00:00:00+14:00", "")

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from(PATHS + WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=12,
)
links = st.fixed_dictionaries({"@odata.id": st.sampled_from(PATHS)})
documents = st.dictionaries(st.sampled_from(NAMES), values | links | st.lists(links, max_size=3), max_size=8)


def _refuse(reply: Reply, what: str) -> NoReturn:
    raise Trouble(Reach.OK, Outcome.FAILED, f"refused {what} ({reply.status})")


async def _read(topic: Topic, told: list[tuple[int, dict[str, Any]]]) -> Any:
    asked = 0

    async def get(path: str) -> Reply:
        nonlocal asked
        assert path.startswith("/")
        assert not path.startswith("//")
        status, document = told[asked % len(told)]
        asked += 1
        return Reply(status, {}, json.dumps(document).encode())

    return await READERS[topic](Resources(Server(PLACE, "10.9.8.7"), get, _refuse), "/redfish/v1/a")


@pytest.mark.parametrize("topic", Topic)
@given(
    told=st.lists(st.tuples(st.sampled_from((200, 200, 200, 404, 403)), documents), min_size=1, max_size=8)
)
def test_a_reading_ends_whatever_it_is_told(topic: Topic, told: list[tuple[int, dict[str, Any]]]) -> None:
    with contextlib.suppress(Trouble):
        data = asyncio.run(_read(topic, told))
        reading = Reading("n1", topic, Reach.OK, Outcome.OK, data=data)
        assert hash(reading) == hash(reading), "equal answers are told of together"
