"""Declare: `apply`, `set`, `unset`, `delete`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import click

from kraken.cli.arguments import (
    Duration,
    all_option,
    apart,
    output_option,
    pairs,
    select,
    split_words,
    yes_option,
)
from kraken.cli.document import Document, read_document
from kraken.cli.errors import CommandError, Exit, ProblemError, complain, describe
from kraken.cli.output import Output, count, value_text
from kraken.cli.planfile import apply_plan, is_plan, show_left
from kraken.cli.session import Session, pass_session
from kraken.cli.table import Cell, Column
from kraken.errors import DocumentError, KrakenError

dry_run_option = click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
unreachable_option = click.option(
    "--allow-unreachable",
    is_flag=True,
    help="Declare it even where no path leads there yet.",
)


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@dry_run_option
@unreachable_option
@yes_option
@click.option("--wait", "waits", is_flag=True, help="Then wait until the nodes named have converged.")
@click.option(
    "--timeout", type=Duration(), default="10m", show_default=True, help="How long --wait waits at most."
)
@output_option("table", "json", "yaml", "name")
@pass_session
def apply(
    session: Session,
    files: tuple[str, ...],
    dry_run: bool,
    allow_unreachable: bool,
    yes: bool,
    waits: bool,
    timeout: float,
    form: str,
) -> int:
    """Declare what files say: nodes, groups, desired state.

    `-` reads stdin. A file is YAML:

    \b
    groups:
      compute:
        nodes: n[0001-0008]
        attributes: {bmc.protocol: ipmi}
        cfg: {phys_state: POWER_ON}
    nodes:                            # created when they are new
      n0001:
        attributes: {bmc.address: 10.1.0.1}
    cfg:                              # for nodes declared already
      "@compute": {run_state: SYNC}

    Later entries win over earlier ones, a node's own over its groups'. What a file does not name
    stays as it is; null withdraws. A file is taken whole or not at all. All files are read before
    the first is sent; when a later one is refused, the exit code is 4.

    A file may also be a plan that `kraken plan --out` wrote. It is done exactly as it stands: when
    anything would be done otherwise by now, it is refused with the difference, and with exit code 3.
    """
    documents = [read_document(file) for file in files]
    if allow_unreachable and any(map(is_plan, documents)):
        raise click.UsageError("--allow-unreachable is not for a plan: what it says is done, or refused")
    answers: list[dict[str, Any]] = []
    for document in documents:
        try:
            if is_plan(document):
                answers.append(apply_plan(session, document, dry_run, yes))
            else:
                answers.append(_apply_one(session, document, dry_run, allow_unreachable, yes))
        except KrakenError as error:
            if not answers or dry_run:
                raise
            complain(describe(error))
            done = ", ".join(document.file for document in documents[: len(answers)])
            raise CommandError(
                f"{document.file} was refused; {done} stands already",
                code=Exit.PARTIAL,
                hint="mend it and apply again, what stands does no harm",
            ) from error
    answer = answers[0] if len(answers) == 1 else _joined(answers)
    show_change(session.output, form, answer, dry_run, none="declared so already")
    if form == "table":
        show_left(session.output, answer, dry_run)
    if not waits or dry_run:
        return Exit.DONE
    from kraken.cli.nodes import fold
    from kraken.cli.wait import wait_for

    names = sorted({str(item["node"]) for item in answer.get("items", [])})
    return wait_for(session, {"nodeset": fold(names)}, timeout) if names else Exit.DONE


def _apply_one(
    session: Session, document: Document, dry_run: bool, allow_unreachable: bool, yes: bool
) -> dict[str, Any]:
    body = {"document": document.content, "dry_run": dry_run, "allow_unreachable": allow_unreachable}
    try:
        return session.change("POST", "/v1/apply", body, yes=yes, subject=document.file)
    except ProblemError as problem:
        if problem.kind not in ("document", "unknown-node"):
            raise
        key = str(problem.document.get("key") or "")
        raise DocumentError(
            problem.message, file=document.file, line=document.line_of(key), key=key, hint=problem.hint
        ) from problem


def _joined(answers: list[dict[str, Any]]) -> dict[str, Any]:
    joined: dict[str, Any] = {
        "changed": sum(answer.get("changed", 0) for answer in answers),
        "items": [item for answer in answers for item in answer.get("items", [])],
    }
    plans = [answer["left"] for answer in answers if "left" in answer]
    return {**joined, "left": [row for left in plans for row in left]} if plans else joined


@click.command(name="set")
@click.argument("words", nargs=-1, metavar="NODESET VAR=VALUE...")
@click.option("--attr", "attributes", multiple=True, metavar="NAME=VALUE", help="An attribute to declare.")
@click.option("--unset", "dropped", multiple=True, metavar="VAR", help="A variable to withdraw meanwhile.")
@all_option
@dry_run_option
@unreachable_option
@yes_option
@output_option("table", "json", "yaml", "name")
@pass_session
def set_(
    session: Session,
    words: tuple[str, ...],
    attributes: tuple[str, ...],
    dropped: tuple[str, ...],
    everything: bool,
    dry_run: bool,
    allow_unreachable: bool,
    yes: bool,
    form: str,
) -> int:
    """Declare the desired state of nodes.

    Kraken finds the way there, and keeps them there.

    \b
    kraken set n[0001-0008] phys_state=POWER_ON service=RUNNING
    kraken set @compute run_state=SYNC --dry-run
    kraken set n0003 --attr bmc.address=10.1.0.3
    kraken set n0003 phys_state=POWER_OFF --unset run_state --unset service

    A variable, value or node that nobody declared is refused and nothing is done, as is a state no
    path leads to. What one command says is declared whole or not at all.
    """
    nodeset, rest = split_words(words, everything)
    chosen = select(nodeset, everything)
    cfg, facts = pairs(rest), pairs(attributes, what="NAME=VALUE")
    apart(cfg, dropped)
    if not cfg and not facts:
        raise click.UsageError("nothing to set; say VAR=VALUE or --attr NAME=VALUE")
    flags = {"dry_run": dry_run, "allow_unreachable": allow_unreachable}
    answer = _declare(session, chosen, facts, {**dict.fromkeys(dropped), **cfg}, flags, yes)
    show_change(session.output, form, answer, dry_run, none="declared so already")
    _tell_of_undeclared(answer, dropped)
    return Exit.DONE


@click.command()
@click.argument("words", nargs=-1, metavar="NODESET VAR...")
@click.option("--attr", "attributes", multiple=True, metavar="NAME", help="An attribute to withdraw.")
@all_option
@dry_run_option
@yes_option
@output_option("table", "json", "yaml", "name")
@pass_session
def unset(
    session: Session,
    words: tuple[str, ...],
    attributes: tuple[str, ...],
    everything: bool,
    dry_run: bool,
    yes: bool,
    form: str,
) -> int:
    """Withdraw desired state.

    Kraken does not care about these variables any more. Nothing is undone on the nodes. What a file
    or group declared is withdrawn alike; applying the file again declares it again.
    """
    nodeset, rest = split_words(words, everything)
    chosen = select(nodeset, everything)
    if any("=" in word for word in (*rest, *attributes)):
        raise click.UsageError("unset takes names of variables without =VALUE")
    if not rest and not attributes:
        raise click.UsageError("nothing to unset; say which variables, or --attr NAME")
    cfg, facts = dict.fromkeys(rest), dict.fromkeys(attributes)
    answer = _declare(session, chosen, facts, cfg, {"dry_run": dry_run}, yes)
    show_change(session.output, form, answer, dry_run, none="none of these was declared")
    _tell_of_undeclared(answer, (*rest, *attributes))
    return Exit.DONE


def _tell_of_undeclared(answer: dict[str, Any], names: Iterable[str]) -> None:
    """Say which of these were to be withdrawn and no node had: perhaps a slip of the pen."""
    items = answer.get("items", [])
    for name in dict.fromkeys(names if items else ()):
        if not any(name in (item.get(part) or {}) for item in items for part in ("diff", "attributes")):
            complain(f"{name} was not declared of {'it' if len(items) == 1 else 'any of them'}")


def _declare(
    session: Session,
    chosen: dict[str, Any],
    facts: Mapping[str, str | None],
    cfg: Mapping[str, str | None],
    flags: dict[str, bool],
    yes: bool,
) -> dict[str, Any]:
    """Declare attributes and Cfg of nodes that are declared already, all or nothing; None withdraws."""
    if facts and cfg:
        from kraken.cli.nodes import fold

        # one document, because two calls could stop between the attributes and the Cfg
        names = session.client.get("/v1/nodes", nodeset=chosen.get("nodeset"), view="names").get("nodes", [])
        wish = {"attributes": dict(facts), "cfg": dict(cfg)}
        document = {"nodes": {fold(names): wish} if names else {}}
        method, path, body = "POST", "/v1/apply", {"document": document, **flags}
    else:
        changes = facts or cfg
        body = {
            **chosen,
            **flags,
            "set": {name: value for name, value in changes.items() if value is not None},
            "unset": [name for name, value in changes.items() if value is None],
        }
        method, path = "PATCH", "/v1/attributes" if facts else "/v1/cfg"
    try:
        return session.change(method, path, body, yes=yes, subject=str(chosen.get("nodeset") or "every node"))
    except ProblemError as problem:
        if _CONFLICT in json.dumps(problem.document) and "allow_unreachable" in flags:
            problem.hint = "--unset VAR withdraws the other, --allow-unreachable declares it all the same"
        raise


@click.command()
@click.argument("nodeset", required=False)
@all_option
@yes_option
@output_option("table", "json", "yaml", "name")
@pass_session
def delete(session: Session, nodeset: str | None, everything: bool, yes: bool, form: str) -> None:
    """Forget nodes.

    What was declared of them, what was seen and their holds are gone. Nothing is done to the
    machines themselves. The journal keeps its entries.
    """
    answer = session.change("POST", "/v1/nodes/delete", select(nodeset, everything), yes=yes)
    show_change(session.output, form, answer, done="forgotten")


_CONFLICT = "cannot be had together"  # the planner's words of wishes that exclude each other


DIFF = (Column("NODESET", wraps=True, lines_max=3), Column("NODES", right=True), Column("CHANGE", wraps=True))


def show_change(
    output: Output,
    form: str,
    answer: dict[str, Any],
    dry_run: bool = False,
    done: str = "changed",
    none: str = "",
) -> None:
    """Show the results of a change: nodes that changed alike share a line.

    Args:
        done: what became of the nodes.
        none: why nothing became of any, when that is so.
    """
    items = answer.get("items", [])
    changed = [item for item in items if item.get("changed")]

    def names() -> Iterable[str]:
        from kraken.cli.nodes import fold

        return [fold({str(item["node"]) for item in changed})] if changed else []

    def table() -> None:
        _show_alike(output, items)
        would = "would be " if dry_run else ""
        nodes = {item.get("node") for item in items}
        touched = {item.get("node") for item in changed}
        why = f": {none}" if none and nodes and not touched else ""
        output.line(f"{len(touched):,} of {count(len(nodes), 'node')} {would}{done}{why}.")

    output.show(form, answer, table=table, names=names)


def _show_alike(output: Output, items: list[dict[str, Any]]) -> None:
    from kraken.cli.nodes import fold

    alike: dict[tuple[str, ...], list[str]] = {}
    for item in items:
        changes = tuple(_changes(item))
        if changes:
            alike.setdefault(changes, []).append(str(item.get("node", "")))
    rows: list[list[str | Cell]] = []
    for changes, names in alike.items():
        lead = [fold(names), f"{len(names):,}"]
        for change in changes:
            rows.append([*lead, change])
            lead = ["", ""]
    output.table(DIFF, rows)


def _changes(item: dict[str, Any]) -> list[str]:
    """What changed of one node, as lines."""
    pairs_of = [*(item.get("diff") or {}).items(), *(item.get("attributes") or {}).items()]
    if item.get("groups"):
        pairs_of.append(("groups", item["groups"]))
    lines = ["declared: new"] if item.get("created") else []
    lines += [f"{name}: {value_text(was)} -> {value_text(now)}" for name, (was, now) in pairs_of]
    return [*lines, str(item["message"])] if item.get("message") else lines
