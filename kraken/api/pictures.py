"""Graphs as dot, JSON and, where Graphviz is, SVG."""

from __future__ import annotations

import asyncio
import shutil
from typing import Any

import msgspec

from kraken.api.problems import NotAvailableError
from kraken.planning.graph import to_dot, to_json

MEDIA_TYPES = {"dot": "text/vnd.graphviz", "json": "application/json", "svg": "image/svg+xml"}
DOT_S = 30.0


async def draw(graph: Any, picture: str) -> bytes:
    """The graph in this format.

    Raises:
        NotAvailableError: svg was asked for, and there is no Graphviz, or it failed.
    """
    if picture == "json":
        return msgspec.json.encode(to_json(graph))
    text = to_dot(graph).encode()
    return text if picture == "dot" else await _svg(text)


async def _svg(text: bytes) -> bytes:
    program = shutil.which("dot")
    if program is None:
        raise NotAvailableError(
            "drawing SVG needs Graphviz on this head",
            hint="apt-get install graphviz, or ask for format=dot",
        )
    process = await asyncio.create_subprocess_exec(
        program, "-Tsvg", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(DOT_S):
            drawn, _ = await process.communicate(text)
    except TimeoutError:
        raise NotAvailableError(f"dot took longer than {DOT_S:g} s", hint="ask for format=dot") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise NotAvailableError(f"dot failed with {process.returncode}", hint="ask for format=dot")
    return drawn
