"""Graphs as dot, Mermaid, JSON and, where Graphviz is, SVG."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from kraken.api.graphviz import GraphvizError, svg_of
from kraken.api.problems import NotAvailableError
from kraken.planning.drawing import to_dot, to_mermaid
from kraken.planning.graph import to_json
from kraken.planning.picture import picture_of

MEDIA_TYPES = {
    "dot": "text/vnd.graphviz",
    "json": "application/json",
    "svg": "image/svg+xml",
    "mermaid": "text/vnd.mermaid",
}


async def draw(graph: Any, form: str, title: str) -> bytes:
    """The graph in one of the formats of MEDIA_TYPES.

    Raises:
        NotAvailableError: svg was asked for, and there is no Graphviz, or it failed.
    """
    if form == "json":
        return msgspec.json.encode(to_json(graph))
    picture = picture_of(graph, title)
    if form == "mermaid":
        return to_mermaid(picture).encode()
    text = to_dot(picture)
    if form == "dot":
        return text.encode()
    try:
        return await asyncio.to_thread(svg_of, text)
    except GraphvizError as error:
        raise NotAvailableError(f"{error.message} on this head", part=error.part, hint=error.hint) from error
