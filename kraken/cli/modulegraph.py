"""Pictures of Kraken modules in files, without a daemon: what `module graph` prints."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import networkx as nx

from kraken.api.graphviz import GraphvizError, svg_of
from kraken.cli.errors import CommandError, Exit
from kraken.model.catalog import Catalog
from kraken.planning.drawing import to_dot, to_mermaid
from kraken.planning.graph import causal_graph, mark_path, mutation_graph, to_json
from kraken.planning.picture import picture_of
from kraken.planning.planner import Planner


@dataclass(frozen=True, slots=True)
class Sitter:
    """The node a picture is of; of every kind of node when nothing is said.

    Attributes:
        dsc: checked values; None together with an empty Cfg: nothing is said of its state.
        cfg: checked values; empty: no path is drawn.
    """

    attributes: Mapping[str, str] | None = None
    dsc: Mapping[str, str] | None = None
    cfg: Mapping[str, str] | None = None


def graph_of(
    catalog: Catalog, sitter: Sitter, *, causal: bool = False, only: Iterable[str] = ()
) -> nx.Graph[str]:
    """The mutation graph or the causal graph, with the node's state, path and Cfg.

    Raises:
        DocumentError: `only` names a variable that no module declares.
    """
    attributes, dsc, cfg = sitter.attributes, sitter.dsc, sitter.cfg
    if (dsc is not None or cfg) and attributes is None:
        attributes = {}
    if causal:
        return causal_graph(catalog, attributes, cfg, only)
    known = None if attributes is None or (dsc is None and not cfg) else catalog.known(dsc or {}, attributes)
    graph = mutation_graph(catalog, attributes, cfg, known, only)
    if cfg and known is not None and attributes is not None:
        mark_path(graph, known, Planner(catalog).find_path(attributes, known, cfg))
    return graph


def drawn(graph: nx.Graph[str], form: str, title: str = "") -> str:
    """The graph as dot, mermaid, json or svg.

    Raises:
        CommandError: svg, and Graphviz is not installed or failed.
    """
    if form == "json":
        document: dict[str, Any] = to_json(graph)
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    picture = picture_of(graph, title)
    if form == "mermaid":
        return to_mermaid(picture)
    text = to_dot(picture)
    if form == "dot":
        return text
    try:
        return svg_of(text).decode("utf-8", "replace")
    except GraphvizError as error:
        raise CommandError(error.message, code=Exit.REFUSED, hint=error.hint, part=error.part) from error
