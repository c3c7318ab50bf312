"""Plans in files: `plan --out` writes one, `apply` does what it says or shows what has changed."""

from __future__ import annotations

import contextlib
import difflib
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kraken.cli.document import Document
from kraken.cli.errors import CommandError, Exit, ProblemError, printable
from kraken.cli.output import Output, as_yaml, assignments, count, span
from kraken.cli.session import Session
from kraken.cli.steps import disrupted
from kraken.cli.table import Cell, Column
from kraken.errors import DocumentError

MARK = "kraken_plan"
"""The key by which a file is known as a plan."""

DIFFERENCES_MAX = 20  # shown; the API has them all

LEFT = (
    Column("NODESET", wraps=True, lines_max=3),
    Column("NODES", right=True),
    Column("STEPS DONE", right=True),
    Column("AHEAD", right=True),
    Column("CAUSE"),
)


def write_plan(file: Path, answer: dict[str, Any], *, force: bool) -> None:
    """Write a plan for `kraken apply`: for its owner's eyes only, whole or not at all.

    Raises:
        CommandError: there is such a file (without `force`), it cannot be written, or the plan has
            nodes without a path, or of collectors with other Kraken modules: what cannot be done, or is not
            known, cannot be promised.
    """
    groups = answer.get("groups", [])
    stuck = [str(group.get("nodeset")) for group in groups if "no_path" in group]
    if stuck:
        from kraken.cli.nodes import fold

        raise CommandError(
            f"no path for {fold(stuck)}, so {file} was not written",
            code=Exit.REFUSED,
            hint=f"leave them out: 'NODESET!{fold(stuck)}' is all of NODESET but these",
        )
    others = answer.get("other_modules", [])
    if others:
        told = "; ".join(str(row.get("message")) for row in others)
        raise CommandError(
            f"{told}, so {file} was not written: nobody here can hold it to a plan",
            code=Exit.REFUSED,
            hint="have it load the same modules, or leave these nodes out",
        )
    if not groups:
        raise CommandError(f"there are no nodes to plan for, so {file} was not written", code=Exit.REFUSED)
    text = _headline(file, answer) + as_yaml(answer)
    try:
        _replace(file, text) if force else _create(file, text)
    except FileExistsError:
        raise CommandError(
            f"{file} exists already", code=Exit.REFUSED, hint="--force writes over it"
        ) from None
    except OSError as error:
        raise CommandError(f"cannot write {file}: {error.strerror}") from error


def is_plan(document: Document) -> bool:
    """Whether the file is a plan, rather than what people write."""
    return MARK in document.content


def apply_plan(session: Session, document: Document, dry_run: bool, yes: bool) -> dict[str, Any]:
    """Have a plan done as it stands.

    Raises:
        ProblemError: it no longer holds, with the difference in its lines; nothing was done.
    """
    body = {"plan": document.content, "dry_run": dry_run}
    try:
        return session.change("POST", "/v1/plan/apply", body, yes=yes, subject=document.file)
    except ProblemError as problem:
        if problem.kind == "document":
            key = str(problem.document.get("key") or "")
            raise DocumentError(
                problem.message, file=document.file, line=document.line_of(key), key=key, hint=problem.hint
            ) from problem
        if problem.kind == "plan-changed":
            problem.message = f"{document.file}: {problem.message}"
            problem.lines = tuple(_difference(problem.document.get("differences") or []))
        raise


def show_left(output: Output, answer: dict[str, Any], dry_run: bool) -> None:
    """What of plans lies ahead, and how the nodes fare with it."""
    left = answer.get("left")
    if left is None or dry_run:
        return
    if not left:
        output.line("Nothing of the plan lies ahead.")
        return
    output.table(
        LEFT,
        [
            [
                str(row.get("nodeset")),
                f"{row.get('count', 0):,}",
                f"{row.get('done', 0)}",
                f"{row.get('left', 0)}",
                Cell(str(row.get("cause")), str(row.get("cause"))),
            ]
            for row in left
        ],
    )
    output.line("The causes say how it goes; `kraken explain` tells more.")


def _headline(file: Path, answer: dict[str, Any]) -> str:
    """Comments for whoever opens the file at night."""
    groups = [group for group in answer.get("groups", []) if group.get("steps")]
    made = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(answer.get("made_at")))
    wishes = assignments({**answer.get("set", {}), **dict.fromkeys(answer.get("unset", []))})
    touched = sum(group.get("count", 0) for group in groups)
    longest = max((group.get("makespan", 0) for group in groups), default=0)
    lines = [
        f"A plan of Kraken, made at {made}" + (f", for {wishes}." if wishes else "."),
        f"{count(touched, 'node')} would change; the longest way takes about {span(longest)}.",
    ]
    lines += [f"DISRUPTIVE: {name} on {count(nodes, 'node')}." for name, nodes in disrupted(groups).items()]
    lines.append(f"`kraken apply {file.name}` does exactly this, or refuses and shows what has changed.")
    return "".join(f"# {printable(line)}\n" for line in lines)


def _create(file: Path, text: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
    except BaseException:
        file.unlink(missing_ok=True)  # half a plan is none
        raise


def _replace(file: Path, text: str) -> None:
    descriptor, beside = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(beside).replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(beside).unlink()
        raise


def _difference(differences: Sequence[dict[str, Any]]) -> list[str]:
    """What was planned (-) and what would be done now (+), for each kind of nodes."""
    lines: list[str] = []
    for row in differences[:DIFFERENCES_MAX]:
        nodes = count(row.get("count", 0), "node")
        lines.append(printable(f"  {row.get('nodeset')} ({nodes}): {row.get('reason')}"))
        planned, now = row.get("planned") or [], row.get("now")
        if now is not None:
            lines += [printable(f"    {line}") for line in _steps_that_differ(planned, now)]
    more = sum(row.get("count", 0) for row in differences[DIFFERENCES_MAX:])
    return [*lines, f"  and {count(more, 'node')} more"] if more else lines


def _steps_that_differ(planned: Sequence[str], now: Sequence[str]) -> list[str]:
    found: list[str] = []
    alike = 0
    for what, a, b, c, d in difflib.SequenceMatcher(None, planned, now, autojunk=False).get_opcodes():
        if what == "equal":
            alike += b - a
            continue
        found += [f"- {name}" for name in planned[a:b]]
        found += [f"+ {name}" for name in now[c:d]]
    if not found:
        return ["  the same steps, to another end or in another order"] if planned else []
    return [*found, f"  and {count(alike, 'step')} as planned"] if alike else found
