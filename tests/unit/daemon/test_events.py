"""The stream of events: in order, resumed without loss or repetition, bounded, and ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable

import pytest

from kraken.daemon.arrivals import ValueChanged
from kraken.daemon.events import IDLE, KEPT, Event, EventLog
from kraken.model.hold import EVERY_NODE
from kraken.model.update import Side, Stamp, StateUpdate

Stream = AsyncGenerator[Event, None]


def numbers(events: list[Event]) -> list[object]:
    return [event.data.get("i", event.kind) for event in events]


async def take(stream: Stream, count: int) -> list[Event]:
    async with asyncio.timeout(60):
        return [await anext(stream) for _ in range(count)]


async def begun(stream: Stream) -> asyncio.Task[Event]:
    """Wait for the stream's next event, from now on."""
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    return waiting


def fill(log: EventLog, first: int, last: int) -> None:
    for i in range(first, last + 1):
        log.add("cfg", {"i": i})


async def test_events_come_in_order_from_now_on() -> None:
    log = EventLog(7)
    fill(log, 1, 3)
    async with contextlib.aclosing(log.follow(None)) as stream:
        first = await begun(stream)
        fill(log, 4, 6)

        assert numbers([await first, *await take(stream, 2)]) == [4, 5, 6]


async def test_a_cursor_resumes_without_loss_or_repetition() -> None:
    log = EventLog(7)
    fill(log, 1, 3)
    async with contextlib.aclosing(log.follow("7-0")) as stream:
        seen = await take(stream, 2)
    cursor = log.cursor(seen[-1].sequence)
    fill(log, 4, 5)
    async with contextlib.aclosing(log.follow(cursor)) as stream:
        rest = await take(stream, 3)

    assert cursor == "7-2"
    assert numbers(seen + rest) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "cursor", ["6-1", "7-9", "7-", "7-x", "7--1", "", "nonsense", "7-٣", "7-" + "9" * 5000]
)
async def test_a_cursor_that_means_nothing_here_is_lost_and_then_goes_on(cursor: str) -> None:
    log = EventLog(7)
    fill(log, 1, 3)
    async with contextlib.aclosing(log.follow(cursor)) as stream:
        (lost,) = await take(stream, 1)
        fill(log, 4, 4)
        (after,) = await take(stream, 1)

    assert (lost.kind, log.cursor(lost.sequence)) == ("lost", "7-3")
    assert numbers([after]) == [4]


async def test_only_the_last_ten_thousand_are_kept() -> None:
    log = EventLog(7)
    fill(log, 1, KEPT + 1)
    async with contextlib.aclosing(log.follow("7-0")) as stream:
        assert numbers(await take(stream, 1)) == ["lost"]
    async with contextlib.aclosing(log.follow("7-1")) as stream:
        assert numbers(await take(stream, KEPT)) == list(range(2, KEPT + 2))


async def test_who_reads_too_slowly_is_told_what_it_lost() -> None:
    log = EventLog(7)
    async with contextlib.aclosing(log.follow(None)) as stream:
        first = await begun(stream)
        fill(log, 1, 2)
        seen = [await first]
        fill(log, 3, KEPT + 5)  # meanwhile
        seen += await take(stream, 2)
        fill(log, 0, 0)
        seen += await take(stream, 1)

    assert numbers(seen) == [1, 2, "lost", 0]


async def test_values_that_changed_are_events_of_their_nodes_among_the_others() -> None:
    log = EventLog(7)
    update = StateUpdate("n1", Side.DSC, "os", "UP", Stamp(1, 1), 2.0, "look")
    log.add("cfg", {"node": "n1"})
    log.changed([ValueChanged(update, None), ValueChanged(update, "DOWN")], 3.0)
    log.add("cfg", {"node": "n2"})
    first, second = log.newer(1)[:2]

    assert [(event.sequence, event.kind) for event in log.newer(0)] == [
        (1, "cfg"),
        (2, "dsc"),
        (3, "dsc"),
        (4, "cfg"),
    ]
    assert first.nodes == second.nodes == ("n1",)
    assert (first.data["was"], second.data["was"]) == (None, "DOWN")
    told = {"node": "n1", "variable": "os", "value": "UP", "source": "look", "at": 3.0}
    assert second.data == {**told, "was": "DOWN"}


async def test_of_a_storm_the_newest_are_kept_and_the_loss_is_told() -> None:
    log = EventLog(7)
    update = StateUpdate("n1", Side.DSC, "os", "UP", Stamp(1, 1), 2.0, "look")
    log.changed([ValueChanged(update, str(i)) for i in range(KEPT + 5)], 3.0)

    assert [event.data["was"] for event in log.newer(0)] == [str(i) for i in range(5, KEPT + 5)]
    async with contextlib.aclosing(log.follow("7-0")) as stream:
        assert numbers(await take(stream, 1)) == ["lost"]


async def test_only_what_is_wanted_comes() -> None:
    log = EventLog(7)
    async with contextlib.aclosing(log.follow("7-0", lambda event: event.kind == "dsc")) as stream:
        fill(log, 1, 3)
        log.add("dsc", {"i": 4})

        assert numbers(await take(stream, 1)) == [4]


async def test_silence_is_broken_also_while_others_make_noise() -> None:
    """Who listens gives up after long silence, however much happens that it does not want to hear."""
    log = EventLog(7)

    async def chatter() -> None:
        while True:
            log.add("cfg", {})
            await asyncio.sleep(0.001)

    noise = asyncio.create_task(chatter())
    async with contextlib.aclosing(
        log.follow(None, lambda event: event.kind == "dsc", idle_s=0.05)
    ) as stream:
        seen = await take(stream, 2)
    noise.cancel()

    assert [event.kind for event in seen] == [IDLE, IDLE]
    assert 0 < seen[0].sequence < seen[1].sequence, "its cursor is past what was not wanted"


async def test_a_quiet_reader_resumes_where_it_was_told_to_be() -> None:
    """Though more than is kept has happened that it did not want to hear."""
    log = EventLog(7)

    def wanted(event: Event) -> bool:
        return event.kind == "dsc"

    fill(log, 1, KEPT)
    async with contextlib.aclosing(log.follow("7-0", wanted, idle_s=0.01)) as stream:
        (idle,) = await take(stream, 1)
    log.add("dsc", {"i": "heard"})
    fill(log, 1, KEPT - 1)
    async with contextlib.aclosing(log.follow(log.cursor(idle.sequence), wanted)) as stream:
        (event,) = await take(stream, 1)

    assert (idle.kind, event.data) == (IDLE, {"i": "heard"})


async def test_closing_ends_every_stream_also_those_that_begin_later() -> None:
    log = EventLog(7)
    streams = [log.follow(None) for _ in range(3)]
    waiting = [await begun(stream) for stream in streams]
    log.close()
    async with asyncio.timeout(60):
        ended = await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(end) for end in ended] == [StopAsyncIteration] * 3
    assert [event async for event in log.follow("7-0")] == []


@pytest.mark.parametrize(
    ("add", "nodes"),
    [
        (lambda log: log.add("dsc", {"node": "n1"}), ("n1",)),
        (lambda log: log.add("freeze", {"node": EVERY_NODE}), ()),
        (lambda log: log.add("run-started", {"nodeset": "n[1-2]"}, ("n1", "n2")), ("n1", "n2")),
        (lambda log: log.add("module", {}), ()),
    ],
)
async def test_an_event_knows_the_nodes_it_is_about(
    add: Callable[[EventLog], None], nodes: tuple[str, ...]
) -> None:
    log = EventLog(7)
    add(log)
    async with contextlib.aclosing(log.follow("7-0")) as stream:
        (event,) = await take(stream, 1)

    assert event.nodes == nodes
