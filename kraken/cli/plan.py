"""`plan`: what would be done."""

from __future__ import annotations

from typing import Any

import click

from kraken.cli.arguments import all_option, output_option, pairs, select
from kraken.cli.errors import Exit, printable
from kraken.cli.output import Output, count, span
from kraken.cli.session import Session, pass_session
from kraken.cli.steps import disruptive, show_no_path, show_steps


@click.command()
@click.argument("nodeset", required=False)
@all_option
@click.option("--set", "wishes", multiple=True, metavar="VAR=VALUE", help="As if this were declared too.")
@click.option("--unset", "dropped", multiple=True, metavar="VAR", help="As if this were withdrawn.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 when something would change.")
@output_option("table", "json", "yaml")
@pass_session
def plan(
    session: Session,
    nodeset: str | None,
    everything: bool,
    wishes: tuple[str, ...],
    dropped: tuple[str, ...],
    detailed_exitcode: bool,
    form: str,
) -> int:
    """Show what would be done, and do nothing.

    Without a nodeset, for every node. Nodes before which the same steps lie are shown together.
    Steps that can end somebody's work are marked DISRUPTIVE, with the number of nodes they touch.

    \b
    kraken plan
    kraken plan n[0001-0008] --set image=rocky-9.4
    kraken plan @compute --detailed-exitcode >/dev/null; [ $? = 2 ] && echo drift

    Exits with 3 when no path leads to what is declared, with 4 when that is so for some nodes.
    """
    body = {**select(nodeset, everything, or_all=True), "set": pairs(wishes), "unset": list(dropped)}
    answer = session.client.send("POST", "/v1/plan", body)
    groups = answer.get("groups", [])
    session.output.show(form, answer, table=lambda: _show_plan(session.output, groups))
    stuck = [group for group in groups if group.get("no_path")]
    if stuck:
        return Exit.REFUSED if len(stuck) == len(groups) else Exit.PARTIAL
    return Exit.CHANGES if detailed_exitcode and answer.get("changes") else Exit.DONE


def _show_plan(output: Output, groups: list[dict[str, Any]]) -> None:
    total = sum(group.get("count", 0) for group in groups)
    changing = [group for group in groups if group.get("steps")]
    stuck = [group for group in groups if group.get("no_path")]
    for group in [*changing, *stuck]:
        output.line(_headline(output, group))
        if group.get("no_path"):
            show_no_path(output, group["no_path"])
        else:
            show_steps(output, group["steps"])
        output.line()
    touched = sum(group.get("count", 0) for group in changing)
    if not total:
        output.line("No node is declared yet: `kraken apply FILE` declares some.")
        return
    if not touched and not stuck:
        output.line(f"Nothing to do: {count(total, 'node')} as declared.")
        return
    output.line(f"{touched:,} of {count(total, 'node')} would change.")
    for name, nodes in _disrupted(changing).items():
        output.line(output.paint(f"DISRUPTIVE: {printable(name)} on {count(nodes, 'node')}.", "bad"))
    if stuck:
        lost = sum(group.get("count", 0) for group in stuck)
        output.line(output.paint(f"No path for {count(lost, 'node')}.", "bad"))


def _disrupted(groups: list[dict[str, Any]]) -> dict[str, int]:
    """Disruptive step -> number of nodes it would touch."""
    found: dict[str, int] = {}
    for group in groups:
        for name in dict.fromkeys(disruptive(group["steps"])):
            found[name] = found.get(name, 0) + group.get("count", 0)
    return found


def _headline(output: Output, group: dict[str, Any]) -> str:
    nodeset = output.paint(printable(str(group.get("nodeset"))), "strong")
    text = f"{nodeset}  {count(group.get('count', 0), 'node')}"
    if group.get("no_path"):
        return f"{text}, {output.paint('no path', 'bad')}"
    steps = count(len(group["steps"]), "step")
    return f"{text}, {steps}, about {span(group.get('cost', 0))}"
