"""`module`: modules of the daemon (list, show, reload), and in files (new, check, test, path, graph)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from kraken.cli.arguments import comma_pairs, output_option, with_option
from kraken.cli.errors import CommandError, Exit, complain, describe
from kraken.cli.graph import drawing_options, refuse_terminal, split, write
from kraken.cli.group import CommandGroup
from kraken.cli.modulecheck import check
from kraken.cli.modulenew import new
from kraken.cli.moduletest import test
from kraken.cli.output import Output, as_yaml, assignments, span
from kraken.cli.rows import REFUSED, refused_row
from kraken.cli.session import Session, pass_session
from kraken.cli.table import Cell, Column
from kraken.errors import KrakenError

if TYPE_CHECKING:
    from kraken.model.catalog import Catalog

MODULES = (
    Column("MODULE"),
    Column("COLLECTION"),
    Column("VARIABLES", wraps=True),
    Column("SUMMARY", wraps=True),
)


@click.group(cls=CommandGroup, invoke_without_command=True)
@click.pass_context
def module(ctx: click.Context) -> None:
    """Kraken modules: list, show, write, check, try, find paths, draw.

    A Kraken module is a YAML file in an Ansible collection, at extensions/kraken/NAME.yml. `new`,
    `check`, `test`, `path` and `graph` are about files and need no daemon.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(Exit.USAGE)


@module.command(name="list")
@output_option("table", "json", "yaml", "name")
@pass_session
def list_(session: Session, form: str) -> None:
    """The modules the daemon loaded, and those it refused, with the reason."""
    _show_modules(session.output, form, session.client.get("/v1/modules"))


@module.command()
@output_option("table", "json", "yaml", "name")
@pass_session
def reload(session: Session, form: str) -> None:
    """Make the daemon read its modules again."""
    _show_modules(session.output, form, session.change("POST", "/v1/modules/reload", {}))


def _show_modules(output: Output, form: str, answer: dict[str, Any]) -> None:
    found, refused = answer.get("modules", []), answer.get("refused", [])

    def table() -> None:
        if not found:
            output.line("No module is loaded; install a collection, like `kraken.hpc`, on the head.")
        output.table(MODULES, [_module_row(entry) for entry in found])
        if refused:
            output.line("\n" + output.paint("Refused", "bad"))
        output.table(REFUSED, [refused_row(entry) for entry in refused])

    output.show(form, answer, table=table, names=lambda: [str(entry.get("name")) for entry in found])


def _module_row(entry: dict[str, Any]) -> list[str | Cell]:
    return [
        str(entry.get("name", "")),
        str(entry.get("collection", "")),
        ", ".join(_names(entry.get("variables"))),
        str(entry.get("summary", "")),
    ]


def _names(entries: Any) -> list[str]:
    """Names of a list of names, of a list of objects with a name, or of a mapping."""
    return [str(entry.get("name")) if isinstance(entry, dict) else str(entry) for entry in entries or []]


@module.command()
@click.argument("name")
@output_option("table", "json", "yaml", "name")
@pass_session
def show(session: Session, name: str, form: str) -> None:
    """One module, whole: its variables, discoveries and mutations."""
    answer = session.client.get(f"/v1/modules/{quote(name, safe='')}")
    output = session.output
    output.show(
        form,
        answer,
        table=lambda: output.line(as_yaml(answer).rstrip()),
        names=lambda: [str(answer.get("name", name))],
    )


module.add_command(new)
module.add_command(check)
module.add_command(test)


@module.command()
@click.argument("directory", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--dsc", multiple=True, metavar="VAR=VALUE,…", help="What is seen; the rest is unknown.")
@click.option("--cfg", multiple=True, metavar="VAR=VALUE,…", help="What is wanted.")
@click.option("--attr", multiple=True, metavar="NAME=VALUE,…", help="Attributes of the node.")
@with_option
@output_option("table", "json", "yaml", "name")
@pass_session
def path(
    session: Session,
    directory: Path,
    dsc: Sequence[str],
    cfg: Sequence[str],
    attr: Sequence[str],
    beside: Sequence[Path],
    form: str,
) -> int:
    """The cheapest path from one state to another, without a daemon.

    A look may find anything, as the module format has it. No daemon forgets what it knows in the
    hope to see something better: where the path does, what a daemon answers is shown too.

    Exits with 3 when there is none, and says why. With -o json:
    {"cost": number, "path": [names]} or {"no_path": {...}}.

    \b
    kraken module path extensions/kraken --dsc phys_state=POWER_OFF \\
        --cfg run_state=SYNC --attr bmc.protocol=ipmi
    """
    from kraken.cli.modulefiles import check_state
    from kraken.planning.offline import plan_offline

    wanted = comma_pairs(cfg, what="VAR=VALUE")
    if not wanted:
        raise click.UsageError("nothing is wanted; say --cfg VAR=VALUE")
    catalog = _loaded([directory], beside)
    attributes = comma_pairs(attr, what="NAME=VALUE")
    _refuse_variables(attributes, catalog.variables)
    found = plan_offline(
        catalog,
        dict(attributes),
        check_state(catalog, comma_pairs(dsc, what="VAR=VALUE")),
        catalog.check_cfg(wanted),
    )
    output = session.output
    output.show(form, found, table=lambda: _show_path(output, found), names=lambda: found.get("path", []))
    return Exit.REFUSED if "no_path" in found else Exit.DONE


@module.command(name="graph")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR|FILE...")
@drawing_options
@click.option("--attr", multiple=True, metavar="NAME=VALUE,…", help="Attributes of the node drawn.")
@click.option("--dsc", multiple=True, metavar="VAR=VALUE,…", help="What is seen of it.")
@click.option("--cfg", multiple=True, metavar="VAR=VALUE,…", help="What is wanted: draws the path, too.")
@with_option
def graph_(
    paths: Sequence[Path],
    form: str,
    causal: bool,
    variables: Sequence[str],
    attr: Sequence[str],
    dsc: Sequence[str],
    cfg: Sequence[str],
    beside: Sequence[Path],
) -> None:
    """Picture of the mutations in module files, without a daemon.

    Drawn as by `kraken graph`: what any kind of node can use or, with --attr, --dsc or --cfg, one
    node with these attributes, what is seen of it, and its path to what is wanted. svg needs
    Graphviz.

    \b
    kraken module graph extensions/kraken --format svg >modules.svg
    kraken module graph extensions/kraken --attr bmc.protocol=ipmi \\
        --dsc phys_state=POWER_OFF --cfg run_state=SYNC --format mermaid
    """
    from kraken.cli.modulefiles import check_state
    from kraken.cli.modulegraph import Sitter, drawn, graph_of

    refuse_terminal(form)
    catalog = _loaded(paths, beside)
    attributes = comma_pairs(attr, what="NAME=VALUE")
    _refuse_variables(attributes, catalog.variables)
    sitter = Sitter(
        attributes or None,
        check_state(catalog, comma_pairs(dsc, what="VAR=VALUE")) if dsc else None,
        catalog.check_cfg(comma_pairs(cfg, what="VAR=VALUE")),
    )
    graph = graph_of(catalog, sitter, causal=causal, only=split(variables))
    write(drawn(graph, form, ", ".join(catalog.modules)).encode())


def _loaded(paths: Sequence[Path], beside: Sequence[Path]) -> Catalog:
    """What the modules declare together; says which were refused."""
    from kraken.model.loading import load_paths

    catalog, problems = load_paths(paths, beside)
    for problem in problems:
        complain(f"module refused: {describe(problem)}")
    if not catalog.modules:
        raise CommandError(
            f"no Kraken module in {', '.join(map(str, paths))}", hint="see `kraken module check`"
        )
    return catalog


def _refuse_variables(attributes: dict[str, str], variables: Any) -> None:
    for name in attributes:
        if name in variables:
            raise KrakenError(f"{name} is a variable, not an attribute", part=name, hint="give it with --dsc")


def _show_path(output: Output, found: dict[str, Any]) -> None:
    from kraken.cli.steps import show_no_path

    if "no_path" in found:
        output.line(output.paint("No path.", "bad"))
        show_no_path(output, found["no_path"])
        return
    if not found["path"]:
        output.line("Nothing to do.")
        return
    for number, name in enumerate(found["path"], 1):
        output.line(f"{number:>3}  {name}")
    output.line(assignments({"cost": found["cost"]}) + f" (about {span(found['cost'])})")
    if "hopes" in found:
        output.line()
        output.line(f"It forgets what was seen, and hopes to see {assignments(found['hopes'])} then.")
        output.line("A daemon does nothing in such a hope. It answers:")
        _show_path(output, found["daemon"])
