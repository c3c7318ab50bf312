"""TcpExecutor: looks whether something listens on a port of a node, and greets as expected."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Mapping
from typing import Any, Final

from kraken.errors import ExecutorError
from kraken.executors import Report
from kraken.executors.together import Together
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run

HOST: Final = "ansible_host"

_PATIENCE_S: Final = 5.0
_AT_ONCE: Final = 256
_GREETING_BYTES: Final = 4096
_SSH: Final = b"SSH-"
_GOODBYE_S: Final = 0.5


class TcpExecutor:
    """Connects to the nodes of a discovery, reads what greets it, and leaves.

    Args:
        at_once: connections open at the same time.
    """

    def __init__(self, at_once: int = _AT_ONCE) -> None:
        self._free = asyncio.Semaphore(at_once)

    async def run(self, run: Run, nodes: Mapping[str, NodeFacts], report: Report) -> None:
        """Refuse: a connection changes nothing, so no mutation is done by one."""
        raise ExecutorError(f"{run.operator.key}: tcp only looks, it changes nothing", part=run.operator.key)

    async def discover(self, run: Run, nodes: Mapping[str, NodeFacts], report: Report) -> None:
        """Report what `sees` declares for each node that greets as expected."""
        action = run.operator.action
        if action is None or action.kind != "tcp":
            raise ExecutorError(f"{run.operator.key} is not done over tcp", part=run.operator.key)
        spec: Mapping[str, Any] = action.spec
        ends_at = asyncio.get_running_loop().time() + run.timeout_s

        async def look(name: str) -> NodeResult:
            try:
                async with asyncio.timeout_at(ends_at):
                    await self._free.acquire()
            except TimeoutError:
                reason: str | None = f"no turn to connect came within {run.timeout_s:g} s"
            else:
                rest_s = ends_at - asyncio.get_running_loop().time()
                try:
                    reason = await _reason_not_seen(
                        nodes.get(name) or NodeFacts(name), spec, max(0.0, min(rest_s, _PATIENCE_S))
                    )
                finally:
                    self._free.release()
            if reason is None:
                return NodeResult(run.id, name, Outcome.OK, dict(spec["sees"]))
            return NodeResult(run.id, name, Outcome.UNREACHABLE, {}, reason)

        async with Together(report) as together, asyncio.TaskGroup() as group:
            for name in run.nodes:
                group.create_task(look(name)).add_done_callback(together.add)

    async def close(self) -> None:
        """Nothing is kept between runs."""


async def _reason_not_seen(facts: NodeFacts, spec: Mapping[str, Any], patience_s: float) -> str | None:
    """Connect and read; None when the node greets as expected, else why it does not count as seen."""
    host = str(facts.attributes.get(HOST) or facts.name)
    attribute = spec.get("attribute")
    given = facts.attributes.get(attribute) if attribute else None
    port = spec["port"] if given is None else given
    if isinstance(port, bool) or not str(port).isdecimal() or not 0 < int(str(port)) < 65536:
        return f"{attribute} {str(port)[:20]!r} is not a TCP port: give a number from 1 to 65535"
    where = f"{host} port {port}"
    expect = str(spec.get("expect") or "").encode()
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(patience_s):
            reader, writer = await asyncio.open_connection(host, int(str(port)))
            greeting = await _read_greeting(reader, expect)
        await _leave(reader, writer, ssh=greeting.startswith(_SSH))
    except TimeoutError:
        return f"{where} did not {'answer' if writer is None else 'greet'} within {patience_s:.3g} s"
    except OSError as exc:
        return f"{where}: {_in_words(exc)}"
    finally:
        if writer is not None:
            writer.transport.abort()
    if not greeting.startswith(expect):
        seen = greeting[:40].decode(errors="replace")
        return f"{where} greeted with {seen!r}, not with {expect.decode()!r}: something else listens there"
    return None


async def _read_greeting(reader: asyncio.StreamReader, expect: bytes) -> bytes:
    """Read until it can be told whether the greeting starts as expected; nothing expected, nothing read."""
    greeting = b""
    while len(greeting) < len(expect) and expect.startswith(greeting):
        more = await reader.read(_GREETING_BYTES)
        if not more:
            break
        greeting += more
    return greeting


async def _leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, ssh: bool) -> None:
    """Close so that the other side has nothing to complain of in its log.

    sshd logs an error for a client that goes without a word; one that names itself and disconnects
    (RFC 4253, sections 4.2 and 11.1; reason 11, by application) is one line at level info.
    """
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_GOODBYE_S):
            if ssh:
                writer.write(b"SSH-2.0-Kraken\r\n" + _ssh_disconnect(b"seen"))
            writer.write_eof()
            while await reader.read(_GREETING_BYTES):
                pass


def _ssh_disconnect(text: bytes) -> bytes:
    payload = struct.pack(">BI", 1, 11) + struct.pack(">I", len(text)) + text + struct.pack(">I", 0)
    padding = 8 - (len(payload) + 5) % 8
    padding += 8 if padding < 4 else 0
    return struct.pack(">IB", len(payload) + padding + 1, padding) + payload + bytes(padding)


_REASONS: Final[Mapping[type[OSError], str]] = {
    ConnectionRefusedError: "connection refused: the machine is up and nothing listens there",
    ConnectionResetError: "the connection was reset before it greeted",
}


def _in_words(exc: OSError) -> str:
    return _REASONS.get(type(exc)) or exc.strerror or str(exc) or type(exc).__name__
