"""The pictures of the base modules in docs/: `make pictures`, or `python -m kraken.cli.pictures`.

Made in the directory of the repository. A test keeps what is text of them true, and each SVG names
the text it was drawn from; the SVG itself differs between versions of Graphviz.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import networkx as nx

from kraken.api.graphviz import svg_of
from kraken.cli.errors import CommandError
from kraken.cli.modulegraph import Sitter, drawn, graph_of
from kraken.errors import KrakenError
from kraken.model.catalog import Catalog
from kraken.model.loading import load_paths

MODULES = Path("ansible_collections/kraken/hpc/extensions/kraken")
PAGE = "base-modules.md"
ATTRIBUTES = {"bmc.protocol": "ipmi", "bmc.address": "10.1.0.1", "service.unit": "slurmd"}
UP = {"phys_state": "POWER_ON", "run_state": "SYNC", "service": "RUNNING"}


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture on the page.

    Attributes:
        name: of its files in docs/pictures, without suffix.
        text: what stands above it.
    """

    name: str
    heading: str
    text: str
    sitter: Sitter
    causal: bool = False


SHOWN = (
    Shown(
        "base-modules",
        "What they can do",
        "Each frame is a variable, each box one of its values. Nobody asks a node in which order to do\n"
        "what: the conditions (`known while`) tie the frames together.",
        Sitter(ATTRIBUTES),
    ),
    Shown(
        "cold-boot",
        "From power off to a running service",
        "Of this node is known that it has no power, and its Cfg wishes `service: RUNNING`. The numbers\n"
        "are the steps of its path; what a discovery hopes for need not come true, then the path is\n"
        "another one.",
        Sitter(ATTRIBUTES, {"phys_state": "POWER_OFF"}, {"service": "RUNNING"}),
    ),
    Shown(
        "power-off",
        "From work to power off",
        "One disruptive step, and everything that was known of the operating system is forgotten.",
        Sitter(ATTRIBUTES, UP, {"phys_state": "POWER_OFF"}),
    ),
    Shown(
        "causal",
        "Which variable matters for which",
        "What is needed stands left of what needs it. Attributes are round.",
        Sitter(),
        causal=True,
    ),
)

HEAD = """\
# The base modules in pictures

The Kraken modules that come with the collection `kraken.hpc`, drawn by `kraken module graph`. This
page and its pictures are made by `make pictures`; a test keeps them true. How a module is written is
in [Kraken modules](modules.md).
"""

MERMAID = """\
## Module by module

The same in Mermaid, which many wikis and forges draw where it stands in a page
(`kraken module graph DIR --format mermaid`).
"""


def files(modules: Path) -> dict[str, str]:
    """Everything below docs/ that is text: its path there -> what is in it.

    Raises:
        CommandError: a module cannot be read.
    """
    catalog, problems = load_paths([modules])
    if problems or not catalog.modules:
        raise CommandError(f"{modules} has modules that cannot be read", hint="see `kraken module check`")
    graphs = {shown.name: _graph(catalog, shown) for shown in SHOWN}
    made = {f"pictures/{name}.dot": drawn(graph, "dot") for name, graph in graphs.items()}
    made[PAGE] = "\n".join(_page(catalog))
    return made


def stamp(text: str) -> str:
    """The line in an SVG that says which text it was drawn from."""
    return f"<!-- drawn from the text with SHA-256 {hashlib.sha256(text.encode()).hexdigest()} -->"


def _graph(catalog: Catalog, shown: Shown) -> nx.Graph[str]:
    return graph_of(catalog, shown.sitter, causal=shown.causal)


def _page(catalog: Catalog) -> Iterator[str]:
    yield HEAD
    for shown in SHOWN:
        yield f"## {shown.heading}\n\n{shown.text}\n"
        yield f"![{shown.heading}](pictures/{shown.name}.svg)\n"
    yield MERMAID
    for module in catalog.modules.values():
        graph = graph_of(catalog, Sitter(ATTRIBUTES), only=module.variables)
        yield f"### {module.name}\n\n{module.summary}\n\n```mermaid\n{drawn(graph, 'mermaid')}```\n"


def main(arguments: Sequence[str]) -> int:
    """Write the page, the texts and the SVGs below the directory named, or docs."""
    docs = Path(arguments[0]) if arguments else Path("docs")
    try:
        made = files(MODULES)
        svgs = {name: svg_of(text) for name, text in made.items() if name.endswith(".dot")}
    except KrakenError as error:
        print(f"pictures: {error}", file=sys.stderr)
        return 1
    (docs / "pictures").mkdir(parents=True, exist_ok=True)
    for name, text in made.items():
        (docs / name).write_text(text)
    for name, svg in svgs.items():
        drawing = svg.decode().rstrip("\n")
        (docs / name).with_suffix(".svg").write_text(f"{drawing}\n{stamp(made[name])}\n")
    print(f"{len(made) + len(svgs)} files below {docs}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
