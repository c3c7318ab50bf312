"""Events of BMCs say where to look, and a BMC that is bad at them is polled as before."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kraken.executors.place import Place
from kraken.executors.reading import BmcInfo, Reading, Topic
from kraken.executors.reading import Listening as Told
from kraken.executors.redfish import RedfishExecutor, RedfishLimits, events
from kraken.executors.redfish.events import EVENT_BYTES_MAX, LINE_BYTES_MAX, EventLines
from kraken.executors.redfish.system import event_stream
from kraken.executors.redfish.words import Server
from kraken.model.run import NodeFacts
from kraken.testing.redfish import FakeBmc
from kraken.testing.redfish.bmc import ROOT
from kraken.testing.redfish.events import EVENTS, FLOOD, STREAM
from tests.unit.executors.redfish_site import QUICK, Site, seen

SERVER = Server(Place("10.0.0.1", 443), "10.0.0.1", "https", None, None)


class Listening(Site):
    """A site whose executor tells its news."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.news: list[str] = []
        self.executor = RedfishExecutor(self.credentials, QUICK, self.news.append)

    async def add_one(self) -> FakeBmc:
        bmc = FakeBmc()
        bmc.events.offered = True
        return await self.add(bmc)


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Listening]:
    monkeypatch.setattr(events, "NEWS_S", 0.01)
    made = Listening(tmp_path)
    yield made
    await made.close()


async def until(holds: Callable[[], bool]) -> None:
    """Wait until it does; the test ends in a timeout otherwise."""
    async with asyncio.timeout(60):
        for pause_s in itertools.repeat(0.005):
            if holds():
                return
            await asyncio.sleep(pause_s)


# Streams.


async def test_an_event_is_news_of_its_node_and_the_next_look_asks_for_all(site: Listening) -> None:
    bmc = await site.add_one()
    bmc.etag_of_power = False
    await site.one("power_status")
    await until(lambda: site.executor.streams == 1)

    bmc.power = "On"
    bmc.events.send()
    await until(lambda: site.news == ["n0"])

    assert (await site.one("power_status")).observed == seen("POWER_ON")
    assert len(bmc.sessions) == 1, "the stream logs in to nothing"


async def test_there_is_one_stream_however_often_it_is_polled(site: Listening) -> None:
    bmc = await site.add_one()
    for _ in range(3):
        await site.one("power_status")
        await until(lambda: site.executor.streams == 1)

    assert bmc.events.opened == 1


async def test_a_hold_ends_the_stream_with_the_session(site: Listening) -> None:
    bmc = await site.add_one()
    await site.one("power_status")
    await until(lambda: bmc.events.listeners == 1)
    site.executor.leave(["n0"])

    await until(lambda: not bmc.sessions and bmc.events.listeners == 0 and site.executor.streams == 0)


async def test_a_new_session_gets_a_stream_of_its_own(site: Listening) -> None:
    bmc = await site.add_one()
    await site.one("power_status")
    await until(lambda: site.executor.streams == 1)
    bmc.sessions.clear()
    await site.one("power_status")

    await until(lambda: (bmc.events.opened, bmc.events.listeners, site.executor.streams) == (2, 1, 1))


async def test_where_nobody_wants_news_no_stream_is_asked_for(site: Listening) -> None:
    bmc = await site.add_one()
    await site.executor.close()
    limits = RedfishLimits(events=False)
    site.executor = RedfishExecutor(site.credentials, limits, site.news.append)
    await site.one("power_status")

    assert bmc.count("GET", EVENTS) == 0


async def test_a_bmc_without_event_service_is_never_asked_for_one(site: Listening) -> None:
    bmc = await site.add()
    await site.one("power_status")
    await site.one("power_status")

    assert bmc.count("GET", EVENTS) == 0


async def test_a_link_to_events_that_is_none_costs_only_the_events(site: Listening) -> None:
    bmc = await site.add_one()
    bmc.resources[ROOT] = {"EventService": {"@odata.id": "https://198.51.100.7/"}}

    assert (await site.one("power_status")).observed == seen("POWER_OFF")
    assert site.executor.streams == 0


async def test_a_stream_that_failed_is_tried_again_later_and_told_once(
    site: Listening, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(events, "_AGAIN_S", (0.0, 0.0))
    caplog.set_level(logging.INFO, events.__name__)
    bmc = await site.add_one()
    bmc.say("GET", EVENTS, 503, times=2)
    async with asyncio.timeout(60):
        for _ in itertools.takewhile(lambda _: site.executor.streams == 0, itertools.count()):
            await site.one("power_status")

    assert [record.__dict__["reason"] for record in caplog.records] == ["told nothing of its events (503)"]


def _closes(bmc: FakeBmc) -> None:
    bmc.events.closes = True


def _garbage(bmc: FakeBmc) -> None:
    bmc.events.wrong_type = True


def _silent(bmc: FakeBmc) -> None:
    bmc.events.silent = True


def _huge_line(bmc: FakeBmc) -> None:
    bmc.events.first = b"data: " + b"x" * (2 * LINE_BYTES_MAX)


def _flood(bmc: FakeBmc) -> None:
    bmc.events.first = FLOOD


def _away(bmc: FakeBmc) -> None:
    bmc.say("GET", EVENTS, 503, times=None)


def _elsewhere(bmc: FakeBmc) -> None:
    bmc.resources[EVENTS] = {"ServerSentEventUri": "https://198.51.100.7/sse"}


def _nonsense(bmc: FakeBmc) -> None:
    bmc.say("GET", EVENTS, 200, body=b"<html>", times=None)


@pytest.mark.parametrize(
    "fault", [_closes, _garbage, _silent, _huge_line, _flood, _away, _elsewhere, _nonsense]
)
async def test_a_bmc_that_is_bad_at_events_is_polled_as_before(
    site: Listening, fault: Callable[[FakeBmc], None]
) -> None:
    bmc = await site.add_one()
    fault(bmc)
    await site.one("power_status", timeout_s=60.0)
    tasks = [task for task in asyncio.all_tasks() if task.get_name().startswith("events of")]
    await asyncio.wait(tasks, timeout=60)
    asked = bmc.count("GET", EVENTS)
    for power, value in (("On", "POWER_ON"), ("Off", "POWER_OFF")):
        bmc.power = power
        assert (await site.one("power_status", timeout_s=60.0)).observed == seen(value)

    assert asked >= 1
    assert site.executor.streams == 0
    assert bmc.count("GET", EVENTS) == asked, "it is not tried again at once"


# What a person is told of it.


async def listening(site: Listening, *, held: bool = False) -> Told | None:
    """What is told of the events of n0."""
    found: list[Reading] = []
    facts = {"n0": NodeFacts("n0", site.attributes["n0"], held=held)}
    await site.executor.read(Topic.INFO, facts, 5.0, found.extend)
    assert isinstance(found[0].data, BmcInfo), found[0].message
    return found[0].data.events


async def test_who_asks_is_told_since_when_a_stream_stands(
    site: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "time", lambda: 1_000_000.0)
    await site.add_one()

    assert await listening(site) == Told(why=events.OPENING), "the first answer opens it"

    await until(lambda: site.executor.streams == 1)
    monkeypatch.setattr(events, "time", lambda: 1_000_060.0)

    assert await listening(site) == Told(since=1_000_000.0)


async def test_who_asks_is_told_why_a_stream_ended_and_when_it_is_tried_again(
    site: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "time", lambda: 1_000_000.0)
    bmc = await site.add_one()
    await site.one("power_status")
    await until(lambda: bmc.events.listeners == 1)
    bmc.events.drop()
    await until(lambda: site.executor.streams == 0)

    assert await listening(site) == Told(why="the BMC ended its event stream", again_at=1_000_030.0)


def _none_linked(bmc: FakeBmc) -> None:
    bmc.events.offered = False


def _no_stream(bmc: FakeBmc) -> None:
    bmc.resources[EVENTS] = {"ServerSentEventUri": ""}


def _no_service(bmc: FakeBmc) -> None:
    bmc.say("GET", EVENTS, 404, times=None)


def _switched_off(bmc: FakeBmc) -> None:
    bmc.resources[EVENTS] = {"ServiceEnabled": False}


def _basic_only(bmc: FakeBmc) -> None:
    bmc.offers_sessions = False


@pytest.mark.parametrize(
    ("of", "why"),
    [
        (_none_linked, events.NO_STREAM),
        (_no_stream, events.NO_STREAM),
        (_no_service, events.NO_STREAM),
        (_switched_off, events.SWITCHED_OFF),
        (_basic_only, "the BMC has no sessions, only basic authentication"),
        (_garbage, "the BMC gave no event stream (200, 'text/html')"),
        (_flood, "the BMC sent more than 100 events in 60 s"),
        (_away, "the BMC told nothing of its events (503)"),
    ],
)
async def test_who_asks_is_told_why_there_is_no_stream(
    site: Listening, of: Callable[[FakeBmc], None], why: str
) -> None:
    bmc = await site.add_one()
    of(bmc)
    await site.one("power_status")
    tasks = [task for task in asyncio.all_tasks() if task.get_name().startswith("events of")]
    if tasks:
        await asyncio.wait(tasks, timeout=60)
    told = await listening(site)

    assert told is not None
    assert told.why == why


async def test_the_bmc_of_a_held_node_is_not_listened_to_and_that_is_told(site: Listening) -> None:
    await site.add_one()

    assert await listening(site, held=True) == Told(why="the node is held")


async def test_who_asks_is_told_that_the_configuration_wants_no_streams(site: Listening) -> None:
    await site.add_one()
    await site.executor.close()
    site.executor = RedfishExecutor(site.credentials, RedfishLimits(events=False), site.news.append)

    assert await listening(site) == Told(why="redfish.events is false in the configuration")


# What a stream is made of.


@given(
    st.lists(st.sampled_from([b"data: x\n\n", b": alive\n\n", b"id: 7\n\n", b"data: a\r\ndata: b\r\n\r\n"])),
    st.integers(1, 9),
)
def test_events_are_counted_however_the_bytes_are_cut(parts: list[bytes], size: int) -> None:
    whole = b"".join(parts)
    lines = EventLines()
    count = sum(lines.feed(whole[at : at + size]) for at in range(0, len(whole), size))

    assert count == sum(part.startswith(b"data") for part in parts)


def test_a_line_without_end_is_not_kept_but_refused() -> None:
    lines = EventLines()
    lines.feed(b"data: " + b"x" * (LINE_BYTES_MAX - 6))

    with pytest.raises(ValueError, match="a line of more than"):
        lines.feed(b"x")


def test_an_event_without_end_is_refused() -> None:
    lines = EventLines()
    endless = b"data: " + b"x" * 1000 + b"\n"

    with pytest.raises(ValueError, match="an event of more than"):
        lines.feed(endless * (EVENT_BYTES_MAX // 1000 + 1))


def test_years_of_signs_of_life_are_no_long_event() -> None:
    lines = EventLines()

    assert sum(lines.feed(b": still here\n" * 1000) for _ in range(200)) == 0


def test_a_stream_that_can_leave_out_reports_is_asked_to() -> None:
    service = {"ServerSentEventUri": STREAM, "SSEFilterPropertiesSupported": {"EventFormatType": True}}

    assert event_stream(service, SERVER) == f"{STREAM}?$filter=EventFormatType%20eq%20Event"


@pytest.mark.parametrize(
    "service", [{}, {"ServerSentEventUri": ""}, {"ServerSentEventUri": STREAM, "ServiceEnabled": False}]
)
def test_a_service_without_stream_offers_none(service: dict[str, object]) -> None:
    assert event_stream(service, SERVER) is None
