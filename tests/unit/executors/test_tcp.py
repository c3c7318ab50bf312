"""What a connection to a node tells."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from kraken.errors import ExecutorError
from kraken.executors.tcp import TcpExecutor
from kraken.model.module import Action, Discovery, Mutation
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
SPEC = {"port": 22, "attribute": "ansible_port", "expect": "SSH-", "sees": {"run_state": "INIT"}}


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[int]:
    listening = await asyncio.start_server(handler, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        await listening.wait_closed()


def greets(greeting: bytes, heard: list[bytes] | None = None) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        said = await reader.read()
        if heard is not None:
            heard.append(said)
        writer.close()

    return handle


async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def look(
    ports: dict[str, object], timeout_s: float = 2.0, executor: TcpExecutor | None = None, **spec: Any
) -> dict[str, NodeResult]:
    nodes = {n: NodeFacts(n, {"ansible_host": "127.0.0.1", "ansible_port": p}) for n, p in ports.items()}  # type: ignore[dict-item]
    discovery = Discovery("boot", "ssh", (), Action("tcp", SPEC | spec, Path()))
    results: list[NodeResult] = []
    run = Run("1", discovery, tuple(nodes), 0.0, timeout_s)
    await (executor or TcpExecutor()).discover(run, nodes, results.extend)
    assert len(results) == len(nodes)
    return {result.node: result for result in results}


async def test_a_node_that_greets_as_expected_is_seen() -> None:
    async with server(greets(b"SSH-2.0-OpenSSH_9.2\r\n")) as port:
        seen = await look({"n1": port})

    assert seen["n1"].outcome is Outcome.OK
    assert seen["n1"].observed == {"run_state": "INIT"}


async def test_a_greeting_may_come_in_pieces() -> None:
    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in (b"S", b"SH", b"-2.0-x\r\n"):
            writer.write(piece)
            await asyncio.sleep(0.01)
        await reader.read()
        writer.close()

    async with server(slowly) as port:
        assert (await look({"n1": port}))["n1"].outcome is Outcome.OK


async def test_nothing_expected_means_that_listening_is_enough() -> None:
    async with server(mute) as port:
        assert (await look({"n1": port}, expect=None))["n1"].outcome is Outcome.OK


async def test_each_way_of_not_being_seen_has_its_reason_and_observes_nothing() -> None:
    async with server(greets(b"220 mail ready\r\n")) as other, server(mute) as silent:
        seen = await look({"other": other, "closed": free_port()}, timeout_s=60.0)
        seen |= await look({"silent": silent})

    assert {result.outcome for result in seen.values()} == {Outcome.UNREACHABLE}
    assert not any(result.observed for result in seen.values())
    assert "greeted with '220 mail ready" in seen["other"].message
    assert "did not greet within" in seen["silent"].message
    assert "connection refused" in seen["closed"].message


async def test_a_port_attribute_that_is_no_port_is_named() -> None:
    seen = await look({"n1": "22a", "n2": 0, "n3": True})

    assert all("ansible_port" in result.message for result in seen.values())


async def test_the_port_of_the_module_counts_where_the_node_has_none() -> None:
    async with server(greets(b"SSH-2.0-x\r\n")) as port:
        assert (await look({"n1": None}, port=port))["n1"].outcome is Outcome.OK


async def test_a_silent_node_does_not_delay_the_report_of_another() -> None:
    reported: list[str] = []
    both = asyncio.Event()

    def report(results: Any) -> None:
        reported.extend(result.node for result in results)
        both.set()

    async with server(greets(b"SSH-2.0-x\r\n")) as port, server(mute) as silent:
        nodes = {
            n: NodeFacts(n, {"ansible_host": "127.0.0.1", "ansible_port": p})
            for n, p in (("slow", silent), ("quick", port))
        }
        discovery = Discovery("boot", "ssh", (), Action("tcp", SPEC, Path()))
        run = Run("1", discovery, tuple(nodes), 0.0, 60.0)
        looking = asyncio.create_task(TcpExecutor().discover(run, nodes, report))
        await both.wait()
        looking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looking

    assert reported == ["quick"]


async def test_no_more_connections_are_open_at_once_than_allowed() -> None:
    now, most = 0, 0

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1
        writer.write(b"SSH-2.0-x\r\n")
        await reader.read()
        writer.close()

    async with server(count) as port:
        seen = await look({f"n{i}": port for i in range(12)}, executor=TcpExecutor(at_once=3))

    assert {result.outcome for result in seen.values()} == {Outcome.OK}
    assert most <= 3


async def test_an_ssh_server_hears_a_name_and_a_goodbye() -> None:
    heard: list[bytes] = []
    async with server(greets(b"SSH-2.0-OpenSSH_9.2\r\n", heard)) as port:
        await look({"n1": port})

    name, _, packet = heard[0].partition(b"\r\n")
    length, padding, kind, reason = packet[:4], packet[4], packet[5], packet[6:10]
    assert name == b"SSH-2.0-Kraken"
    assert int.from_bytes(length) == len(packet) - 4
    assert (len(packet) % 8, padding >= 4, kind, int.from_bytes(reason)) == (0, True, 1, 11)


async def test_a_mutation_by_tcp_is_a_broken_hand() -> None:
    mutation = Mutation("boot", "ssh", (), action=Action("tcp", SPEC, Path()))

    with pytest.raises(ExecutorError, match="only looks"):
        await TcpExecutor().run(Run("1", mutation, ("n1",), 0.0, 1.0), {}, lambda results: None)
