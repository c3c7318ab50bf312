"""`module check`: what is wrong with module files, for their author and for a collection's CI."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kraken.cli.arguments import output_option, with_option
from kraken.cli.errors import Exit, describe, printable
from kraken.cli.output import Output, count
from kraken.cli.session import Session, pass_session

if TYPE_CHECKING:
    from kraken.cli.modulefiles import Checked, Located

STYLES = {"error": "bad", "warning": "warn", "note": "dim"}


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR|FILE...")
@with_option
@click.option("--strict", is_flag=True, help="Let warnings fail, too.")
@click.option(
    "--ignore",
    "ignores",
    multiple=True,
    metavar="CODE[:NAME]",
    help="Accept what is found under this code, of this name only if one is given (* stands for any "
    "text); may be given again.",
)
@output_option("table", "json", "yaml")
@pass_session
def check(
    session: Session,
    paths: tuple[Path, ...],
    beside: tuple[Path, ...],
    strict: bool,
    ignores: tuple[str, ...],
    form: str,
) -> int:
    """Check module files, without a daemon: read them, see whether they fit together, and analyse them.

    DIR holds module files, or is a collection or a collections path. Each problem is one line,
    FILE:LINE: KEY: what is wrong; what would be right. Warns of names in conditions that look like
    a variable mistyped: what no module declares counts as an attribute.

    The analysis looks, for every class of nodes the conditions on attributes tell apart, for
    mutations that can never start, values nothing leads to, states without a way back, variables
    nobody discovers, loops and ambiguous paths; docs/modules.md has the list. Each finding ends with
    its [CODE:NAME], by which --ignore accepts it. Name by --with whatever the modules build on.

    Exits with 1 when a module would be refused or an error is found, with --strict also for a
    warning; notes never fail.

    \b
    kraken module check extensions/kraken --with ~/.ansible/collections
    kraken module check . --strict --ignore trap:firmware=NEW
    """
    from kraken.cli.modulefiles import check_files, codes
    from kraken.model.document import nearest

    for ignore in ignores:
        code = ignore.partition(":")[0]
        if code not in codes():
            raise click.UsageError(f"--ignore: there is no code {code!r}; {nearest(code, list(codes()))}")
    checked = check_files(paths, beside, ignores)
    session.output.show(form, checked.as_json(strict=strict), table=lambda: _show(session.output, checked))
    return Exit.DONE if checked.is_ok(strict=strict) else Exit.ERROR


def _show(output: Output, checked: Checked) -> None:
    for problem in checked.problems:
        output.line(output.paint("error: ", "bad") + describe(problem))
    for warning in checked.warnings:
        output.line(output.paint("warning: ", "warn") + describe(warning.error))
    for finding in checked.findings:
        output.line(_told(output, finding))
    if checked.attributes:
        output.line(printable(f"counted as attributes: {', '.join(checked.attributes)}"))
    if checked.coverage is not None:
        output.line(_examined(checked))
    for ignore in checked.unused:
        output.line(printable(f"--ignore {ignore} matches nothing; it can go."))
    fine = f"{count(len(checked.modules), 'module')} fine"
    severities = [finding.severity for finding in (*checked.findings, *checked.warnings)]
    if checked.problems:
        output.line(f"{fine}, {count(len(checked.problems), 'problem')}.")
    elif "error" in severities or "warning" in severities:
        parts = [count(severities.count(s), s) for s in STYLES if s in severities]
        output.line(f"{count(len(checked.modules), 'module')} read, {', '.join(parts)}.")
    elif checked.modules:
        output.line(f"{fine}: {', '.join(checked.modules)}.")
    else:
        output.line(
            "No Kraken module there: they are YAML files that begin with `kraken_module: 1`, in the directory"
        )
        output.line(
            "that is named, or in extensions/kraken of a collection, or of those of a collections path."
        )


def _told(output: Output, finding: Located) -> str:
    whose = f" (nodes with {_any_of(finding.nodes)})" if finding.nodes else ""
    text = f"{describe(finding.error)}{printable(whose)} [{printable(f'{finding.code}:{finding.name}')}]"
    return output.paint(f"{finding.severity}: ", STYLES[finding.severity]) + text


def _any_of(nodes: tuple[str, ...]) -> str:
    more = f", and {count(len(nodes) - 1, 'more class', 'more classes')}" if len(nodes) > 1 else ""
    return nodes[0] + more


def _examined(checked: Checked) -> str:
    """How the analysis came about: exactly, or not."""
    coverage = checked.coverage
    assert coverage is not None, "asked only of what was analysed"
    classes = count(coverage.possible, "class", "classes")
    if coverage.classes < coverage.possible:
        classes = f"{coverage.classes:,} of {classes}"
    parts = []
    if coverage.exact:
        states = count(coverage.states, "state")
        parts.append(f"exactly, {states} of {count(len(coverage.exact), 'variable')}")
    if coverage.conservative:
        parts.append(f"conservatively, being too large: {', '.join(coverage.conservative)}")
    if coverage.skipped:
        parts.append(f"not at all: {', '.join(coverage.skipped)}")
    ignored = f"; {count(len(checked.ignored), 'finding')} ignored" if checked.ignored else ""
    return printable(f"examined for {classes} of nodes: {'; '.join(parts) or 'nothing'}{ignored}")
