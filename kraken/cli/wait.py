"""`wait`: until nodes have converged, or until nothing can be expected any more."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import click

from kraken.cli.arguments import Duration, all_option, select
from kraken.cli.errors import CommandError, Exit, complain, describe
from kraken.cli.feed import AWAY, Feed
from kraken.cli.looking import Looking
from kraken.cli.output import count, span, wants_colours
from kraken.cli.rows import FOLDED, fold_rows
from kraken.cli.scene import Scene
from kraken.cli.session import Session, pass_session
from kraken.cli.table import Painter, layout
from kraken.errors import DaemonAwayError

STUCK_S = 1.5  # a cause may be that of an earlier Cfg for as long as the engine takes to look


@click.command()
@click.argument("nodeset", required=False)
@all_option
@click.option("--timeout", type=Duration(), default="10m", show_default=True, help="Give up after this long.")
@pass_session
def wait(session: Session, nodeset: str | None, everything: bool, timeout: float) -> int:
    """Wait until nodes have converged.

    Ends early, with exit code 3, when waiting helps none of the nodes that are left: no path, an
    unmet requirement, quarantine or a hold; says which and why. Exit code 5 when time is up. A
    daemon that restarts meanwhile is waited for.

    \b
    kraken set @compute service=RUNNING && kraken wait @compute --timeout 30m
    """
    return wait_for(session, select(nodeset, everything), timeout)


def wait_for(session: Session, selection: dict[str, Any], timeout_s: float) -> int:
    """Wait for the selected nodes; the exit code. Raises CommandError for how it ended badly."""
    nodeset = selection.get("nodeset")
    start = time.monotonic()
    scene = Scene()
    with Feed(session.client, nodeset) as feed, _teller() as tell:
        ended = _follow(session, feed, scene, nodeset, start + timeout_s, tell)
    waited = span(time.monotonic() - start)
    if ended == Exit.DONE:
        output = session.output
        output.line(output.paint(f"{count(scene.total, 'node')} converged", "good") + f", after {waited}.")
        return ended
    left = f"{scene.total - scene.converged:,} of {count(scene.total, 'node')}"
    lines = tuple(_left(scene))
    if ended == Exit.REFUSED:
        raise CommandError(
            f"no waiting will make {left} converge",
            code=ended,
            hint="`kraken explain` says more, `kraken retry` and `kraken release` end quarantine and holds",
            lines=lines,
        )
    raise CommandError(
        f"timed out after {span(timeout_s)}, not converged: {left}",
        code=ended,
        hint="wait longer with --timeout",
        lines=lines,
    )


class Teller(Protocol):
    """Tells a person how far it is."""

    def __call__(self, scene: Scene, note: str = "") -> None: ...


def _follow(
    session: Session, feed: Feed, scene: Scene, nodeset: str | None, deadline: float, tell: Teller
) -> Exit:
    """Read until everything converged, nothing more can, or time is up."""
    looking = Looking()
    with looking:
        look(session, scene, nodeset)
    stuck_since: float | None = None
    while True:
        now = time.monotonic()
        if scene.all_converged() and _agrees(session, scene, nodeset):
            tell(scene)
            return Exit.DONE
        stuck_since = None if not scene.is_stuck() else stuck_since if stuck_since is not None else now
        if stuck_since is not None and now - stuck_since >= STUCK_S:
            try_look(session, scene, nodeset, tell)
            if scene.is_stuck():
                return Exit.REFUSED
            stuck_since = None
        if now >= deadline:
            return Exit.TIMEOUT
        tell(scene)
        pause = min(deadline - now, STUCK_S / 3 if stuck_since is not None else 1.0)
        events = feed.next(pause)
        for event in events:
            scene.take(event)
        if AWAY in events:
            tell(scene, "the daemon went away; waiting for it to come back")
        looking.hear(events)
        if looking.is_due():
            with looking:
                try_look(session, scene, nodeset, tell)


def look(session: Session, scene: Scene, nodeset: str | None, *, runs: bool = False) -> None:
    """Read how the nodes stand now."""
    nodes = session.client.get("/v1/nodes", nodeset=nodeset).get("nodes", [])
    active = session.client.get("/v1/runs", active=True).get("runs", []) if runs else []
    scene.load(nodes, active)


def try_look(
    session: Session, scene: Scene, nodeset: str | None, tell: Teller, *, runs: bool = False
) -> bool:
    """As `look`; a daemon that is away for the moment is told and waited for."""
    try:
        look(session, scene, nodeset, runs=runs)
    except DaemonAwayError as error:
        tell(scene, describe(error))
        return False
    return True


def _agrees(session: Session, scene: Scene, nodeset: str | None) -> bool:
    """Whether a fresh answer too says that everything converged."""
    try:
        look(session, scene, nodeset)
    except DaemonAwayError:
        return False
    return scene.all_converged()


def _left(scene: Scene) -> Iterator[str]:
    rows = fold_rows(scene.folded(converged=False, rows_max=20))
    terminal = sys.stderr.isatty()
    paint = Painter(wants_colours(sys.stderr))
    width = session_width() if terminal else None
    for line in layout(FOLDED, rows, width=width, paint=paint):
        yield "  " + line


def session_width() -> int:
    """Columns for lines that are indented by two on a terminal."""
    import shutil

    return shutil.get_terminal_size().columns - 2


@contextmanager
def _teller() -> Iterator[Teller]:
    """A progress bar where a person watches, lines elsewhere; both on stderr."""
    if not sys.stderr.isatty() or not sys.stdout.isatty():
        yield _Lines()
        return
    with _bar() as tell:
        yield tell


class _Lines:
    """A line whenever the numbers change, at most one a second."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._said = ""
        self._at = -1.0

    def __call__(self, scene: Scene, note: str = "") -> None:
        if note:
            complain(note)
            return
        text = progress_text(scene)
        now = time.monotonic()
        if text == self._said or (now - self._at < 1.0 and not scene.all_converged()):
            return
        print(f"[{span(now - self._start)}] {text}", file=sys.stderr, flush=True)
        self._said, self._at = text, now


@contextmanager
def _bar() -> Iterator[Teller]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=None)

        def tell(scene: Scene, note: str = "") -> None:
            causes = ", ".join(f"{cause} {number}" for cause, number in scene.causes().items())
            progress.update(bar, total=scene.total, completed=scene.converged, description=note or causes)

        yield tell


def progress_text(scene: Scene) -> str:
    """`3 of 8 nodes converged; RUNNING 4, WAITING 1`."""
    text = f"{scene.converged:,} of {count(scene.total, 'node')} converged"
    causes = ", ".join(f"{cause} {number}" for cause, number in scene.causes().items())
    return f"{text}; {causes}" if causes else text
