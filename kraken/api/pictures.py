"""Graphs as dot, Mermaid, JSON and, where Graphviz is, SVG. Loaded with the first that is asked for: networkx
takes 11 MB (ADR 49).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from kraken.api.graphviz import GraphvizError, svg_of
from kraken.api.problems import NotAvailableError
from kraken.daemon.collector import Collector
from kraken.daemon.othermodules import others_of
from kraken.model.node import Node
from kraken.planning.drawing import to_dot, to_mermaid
from kraken.planning.graph import causal_graph, mark_path, mutation_graph, to_json
from kraken.planning.picture import picture_of


def graph_of(collector: Collector, kind: str, node: Node | None, only: Sequence[str]) -> Any:
    """What can become what, or (`causal`) which variable needs which.

    Args:
        node: as it can be changed, with its state, path and Cfg, and that other modules than ours decide
            on it, where that is so; None: all mutations.
        only: draw only these variables; empty: all.
    """
    drawing = _drawn(collector, kind, node, only)
    others = "" if node is None else others_of(collector, node.name)
    if others:
        drawing.graph["other_modules"] = others
    return drawing


def _drawn(collector: Collector, kind: str, node: Node | None, only: Sequence[str]) -> Any:
    catalog = collector.catalog
    attributes = None if node is None else node.attribute_values()
    cfg = None if node is None else node.cfg_values()
    if kind == "causal":
        return causal_graph(catalog, attributes, cfg, only)
    if node is None:
        return mutation_graph(catalog, None, only=only)
    known = catalog.known(node.dsc_values(), node.attribute_values())
    drawing = mutation_graph(catalog, attributes, cfg, known, only)
    mark_path(drawing, known, collector.path(node.name))
    return drawing


async def draw(graph: Any, form: str, title: str) -> bytes:
    """The graph in one of the formats of `kraken.api.modules.MEDIA_TYPES`.

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
