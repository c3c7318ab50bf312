"""`plan`: what would be done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kraken.cli.arguments import all_option, apart, output_option, pairs, select
from kraken.cli.errors import Exit, complain, printable
from kraken.cli.output import NO_NODES, Output, count, span
from kraken.cli.planfile import write_plan
from kraken.cli.session import Session, pass_session
from kraken.cli.steps import disrupted, show_no_path, show_other_modules, show_steps


@click.command()
@click.argument("nodeset", required=False)
@all_option
@click.option("--set", "wishes", multiple=True, metavar="VAR=VALUE", help="As if this were declared too.")
@click.option("--unset", "dropped", multiple=True, metavar="VAR", help="As if this were withdrawn.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the plan there, for `kraken apply`.",
)
@click.option("--force", is_flag=True, help="Write over FILE.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 when something would change.")
@output_option("table", "json", "yaml")
@pass_session
def plan(
    session: Session,
    nodeset: str | None,
    everything: bool,
    wishes: tuple[str, ...],
    dropped: tuple[str, ...],
    out: Path | None,
    force: bool,
    detailed_exitcode: bool,
    form: str,
) -> int:
    """Show what would be done, and do nothing.

    Without a nodeset, for every node. Nodes before which the same steps lie are shown together. AFTER
    names the steps one waits for; those named under SIDE BY SIDE may run while it does. Steps that
    can end somebody's work are marked DISRUPTIVE, with the number of nodes they touch.

    \b
    kraken plan
    kraken plan n[0001-0008] --set image=rocky-9.4
    kraken plan @compute --set image=rocky-9.4 --out new.plan
    kraken apply new.plan
    kraken plan @compute --detailed-exitcode >/dev/null; [ $? = 2 ] && echo drift

    A plan that was written is a contract: `kraken apply` does exactly what it says, or refuses and
    shows what would be done otherwise by now. It is made for the nodes it names, where they stand.

    It rests on the Kraken modules of the collector that is asked. Nodes that another collector runs, with
    other modules, are named below it, with the command that asks that one; for those no plan is written.

    Exits with 3 when no path leads to what is declared, with 4 when that is so for some nodes; such
    a plan is not written.
    """
    if force and out is None:
        raise click.UsageError("--force is for --out FILE")
    cfg = pairs(wishes)
    apart(cfg, dropped)
    body = {**select(nodeset, everything, or_all=True), "set": cfg, "unset": list(dropped)}
    answer = session.client.send("POST", "/v1/plan", body)
    groups = answer.get("groups", [])
    options = [*(f" --set {pair}" for pair in wishes), *(f" --unset {name}" for name in dropped)]
    asks = "".join(["kraken --at {collector} plan {nodeset}", *options])

    def table() -> None:
        _show_plan(session.output, groups)
        show_other_modules(session.output, answer, f"it may find another way. `{asks}` asks it.")

    session.output.show(form, answer, table=table)
    for name in answer.get("undeclared", []) if groups else ():
        complain(
            f"{printable(name)} was not declared of {'it' if answer.get('nodes') == 1 else 'any of them'}"
        )
    if out is not None:
        write_plan(out, answer, force=force)
        if form == "table":
            session.output.line(printable(f"Written to {out}: `kraken apply {out}` does exactly this."))
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
        output.line(NO_NODES)
        return
    if not touched and not stuck:
        output.line(f"Nothing to do: {count(total, 'node')} as declared.")
        return
    longest = max(map(_duration, changing), default=0.0)
    longest_way = f"; the longest way takes about {span(longest)}" if longest else ""
    output.line(f"{touched:,} of {count(total, 'node')} would change{longest_way}.")
    for name, nodes in disrupted(changing).items():
        output.line(output.paint(f"DISRUPTIVE: {printable(name)} on {count(nodes, 'node')}.", "bad"))
    if stuck:
        lost = sum(group.get("count", 0) for group in stuck)
        output.line(output.paint(f"No path for {count(lost, 'node')}.", "bad"))


def _headline(output: Output, group: dict[str, Any]) -> str:
    nodeset = output.paint(printable(str(group.get("nodeset"))), "strong")
    text = f"{nodeset}  {count(group.get('count', 0), 'node')}"
    if group.get("no_path"):
        return f"{text}, {output.paint('no path', 'bad')}"
    text += f", {count(len(group['steps']), 'step')}, about {span(_duration(group))}"
    cost = group.get("cost", 0)
    return text if cost == _duration(group) else f"{text} ({span(cost)} one after another)"


def _duration(group: dict[str, Any]) -> float:
    """Expected seconds, with side by side what can be."""
    return float(group.get("makespan", group.get("cost", 0)))
