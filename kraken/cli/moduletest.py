"""`module test`: modules tried on nodes, by the program `kraken.testing.trial`; here it is shown."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from kraken.cli.arguments import output_option, with_option
from kraken.cli.errors import CommandError, Exit, printable
from kraken.cli.output import Output, assignments, count
from kraken.cli.session import Session, pass_session

STYLES = {"OK": "good", "FAILED": "bad", "SKIPPED": "dim"}


@click.command(name="test")
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True), metavar="DIR..."
)
@with_option
@click.option(
    "--nodes",
    type=click.IntRange(1, 16),
    metavar="N",
    help="Try them on so many virtual nodes with a real sshd and BMC, made for it (as root).",
)
@output_option("table", "json", "yaml")
@pass_session
def test(
    session: Session, paths: tuple[Path, ...], beside: tuple[Path, ...], nodes: int | None, form: str
) -> int:
    """Try every mutation of modules: is what it declares what discoveries see afterwards?

    DIR holds module files, or is a collection or a collections path. ansible-playbook reads all
    tasks. Then each mutation is done, once for each value that $cfg can stand for, and every
    discovery that can look has to see its effect. Without --nodes that is done on a pretended node
    which does as is declared, and no task is run: it finds effects nobody can see. With --nodes,
    on virtual nodes on this machine, whose file systems are their own, in a state that the mutations
    themselves lead to.

    What Cfg names, attributes of the nodes, and what is not to be tried stand in the collection's
    tests/kraken/NAME.yml; `kraken module new` writes one. Exits with 1 when something failed.

    \b
    kraken module test . --with ~/.ansible/collections
    sudo kraken module test . --with ~/.ansible/collections --nodes 2
    """
    output = session.output
    told = []
    for line in _verdicts(paths, beside, nodes):
        told.append(line)
        if form == "table":
            _show(output, line)
    if not told:
        raise CommandError("the trial ended without a word", hint="see what it said above")
    failed = sum(line["verdict"] == "FAILED" for line in told)
    skipped = sum(line["verdict"] == "SKIPPED" for line in told)

    def summary() -> None:
        where = "on a pretended node" if nodes is None else f"on {count(nodes, 'virtual node')}"
        more = f", {skipped} skipped" if skipped else ""
        output.line(f"{count(len(told), 'check')} {where}, {failed or 'none'} failed{more}.")

    output.show(form, {"ok": not failed, "checks": told}, table=summary)
    return Exit.ERROR if failed else Exit.DONE


def _verdicts(
    paths: tuple[Path, ...], beside: tuple[Path, ...], nodes: int | None
) -> Iterator[dict[str, Any]]:
    """As they come.

    Raises:
        CommandError: nothing could be tried; says why.
    """
    command = [sys.executable, "-m", "kraken.testing.trial", *map(str, paths), "--nodes", str(nodes or 0)]
    for path in beside:
        command += ["--with", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as trial:
        assert trial.stdout is not None, "it is piped"
        try:
            for text in trial.stdout:
                line = json.loads(text)
                if "error" in line:
                    raise CommandError(line["error"], hint=line["hint"])
                yield line
        except BaseException:
            trial.terminate()
            raise
    if trial.returncode not in (0, 1):
        raise CommandError(
            f"the trial broke off with status {trial.returncode}", hint="see what it said above"
        )


def _show(output: Output, line: dict[str, Any]) -> None:
    what = f"{line['tasks']}: its tasks" if "tasks" in line else line["mutation"]
    cfg = f" {assignments(line['cfg'])}" if line.get("cfg") else ""
    why = f": {line['message']}" if line["message"] else ""
    word = output.paint(f"{line['verdict']:<8}", STYLES[line["verdict"]])
    output.line(f"{word} {printable(what + cfg + why)}")
