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

VAULT_FILE = click.Path(path_type=Path, exists=True, dir_okay=False, resolve_path=True)
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
@click.option(
    "--vault-password-file",
    type=VAULT_FILE,
    metavar="FILE",
    help="The password of a vault, or a program that prints it.",
)
@click.option(
    "--vault-id",
    "vault_ids",
    multiple=True,
    metavar="LABEL@FILE",
    callback=lambda context, parameter, value: tuple(map(_vault_id, value)),
    help="The password of the vault of this label; may be given again.",
)
@click.option(
    "--vault-file",
    "vault_files",
    multiple=True,
    type=VAULT_FILE,
    metavar="FILE",
    help="Variables for all tasks, as the daemon's ansible.vault_files; may be given again.",
)
@output_option("table", "json", "yaml")
@pass_session
def test(
    session: Session,
    paths: tuple[Path, ...],
    beside: tuple[Path, ...],
    nodes: int | None,
    vault_password_file: Path | None,
    vault_ids: tuple[str, ...],
    vault_files: tuple[Path, ...],
    form: str,
) -> int:
    """Try every mutation of modules: is what it declares what discoveries see afterwards?

    DIR holds module files, or is a collection or a collections path. ansible-playbook reads all
    tasks. Then each mutation is done, once for each value that $cfg can stand for, and every
    discovery that can look has to see its effect. Without --nodes that is done on a pretended node
    which does as is declared, and no task is run: it finds effects nobody can see. With --nodes,
    on virtual nodes on this machine, whose file systems are their own, in a state that the mutations
    themselves lead to.

    What Cfg names, attributes of the nodes, and what is not to be tried stand in the collection's
    tests/kraken/NAME.yml; `kraken module new` writes one. What is encrypted with Ansible Vault is opened
    with the passwords named here; without any, with those that Ansible's own settings name. Exits with 1
    when something failed.

    \b
    kraken module test . --with ~/.ansible/collections
    sudo kraken module test . --with ~/.ansible/collections --nodes 2
    sudo kraken module test . --nodes 1 --vault-id site@~/.vault
    """
    output = session.output
    told = []
    passwords = [] if vault_password_file is None else ["--vault-password-file", str(vault_password_file)]
    passwords += [word for one in vault_ids for word in ("--vault-id", one)]
    passwords += [word for file in vault_files for word in ("--vault-file", str(file))]
    for line in _verdicts(paths, beside, nodes, passwords):
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
    paths: tuple[Path, ...], beside: tuple[Path, ...], nodes: int | None, passwords: list[str]
) -> Iterator[dict[str, Any]]:
    """As they come.

    Raises:
        CommandError: nothing could be tried; says why.
    """
    command = [sys.executable, "-m", "kraken.testing.trial", *map(str, paths), "--nodes", str(nodes or 0)]
    command += passwords
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


def _vault_id(text: str) -> str:
    """`label@/path`, the path in full: tasks are run elsewhere."""
    label, at, path = text.partition("@")
    file = Path(path).expanduser().resolve()
    if not (label and at and path):
        raise click.UsageError(f"--vault-id {text!r} is not LABEL@FILE, like site@/etc/kraken/vault-password")
    if not file.is_file():
        raise click.UsageError(f"--vault-id {text!r}: there is no file {file}")
    if "," in text:
        raise click.UsageError(
            f"--vault-id {text!r} has a comma, which Ansible takes for the next one's beginning"
        )
    return f"{label}@{file}"


def _show(output: Output, line: dict[str, Any]) -> None:
    what = f"{line['tasks']}: its tasks" if "tasks" in line else line["mutation"]
    cfg = f" {assignments(line['cfg'])}" if line.get("cfg") else ""
    why = f": {line['message']}" if line["message"] else ""
    word = output.paint(f"{line['verdict']:<8}", STYLES[line["verdict"]])
    output.line(f"{word} {printable(what + cfg + why)}")
