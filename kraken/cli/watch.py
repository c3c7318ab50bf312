"""`watch`: nodes converging, live on a terminal, as lines elsewhere."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from kraken.cli.arguments import output_option
from kraken.cli.client import Event
from kraken.cli.errors import CommandError, Exit, complain, printable
from kraken.cli.feed import AWAY, Feed
from kraken.cli.looking import Looking
from kraken.cli.output import Output, clock, span
from kraken.cli.rows import FOLDED_SHORT, RUNS, by_trouble, fold_rows, run_row
from kraken.cli.scene import Happening, Scene
from kraken.cli.session import Session, pass_session
from kraken.cli.table import Painter, layout
from kraken.cli.wait import STUCK_S, progress_text, try_look

if TYPE_CHECKING:
    from rich.console import RenderableType

BEAT_S = 0.5  # how often the picture is drawn; events of one beat share lines


@click.command()
@click.argument("nodeset", required=False)
@click.option("--exit", "ends", is_flag=True, help="End when all have converged, or when none can any more.")
@output_option("table", "json")
@pass_session
def watch(session: Session, nodeset: str | None, ends: bool, form: str) -> int:
    """See nodes converge, live.

    Ctrl-C ends it; nothing else does without --exit. On a terminal: how many have converged, why
    the others have not, what this collector runs now and what happened lately. Elsewhere a line for
    each thing that happens, and whenever more or fewer have converged; with -o json the daemon's events
    as they come, one per line.
    """
    scene = Scene()
    with Feed(session.client, nodeset) as feed:
        if form == "json":
            return _Loop(session, feed, scene, nodeset, ends, _Raw(session.output)).run()
        if session.output.width is None:
            return _Loop(session, feed, scene, nodeset, ends, _Lines(session.output)).run()
        with _Picture(session.output) as picture:
            code = _Loop(session, feed, scene, nodeset, ends, picture).run()
    return code


class View:
    """What shows the scene. Each beat: the events since the last, then the scene as it is."""

    def happened(self, event: Event, happening: Happening | None) -> None:
        """One event came; `happening` is what to tell of it."""

    def beat(self, scene: Scene, note: str) -> None:
        """Show it as it stands; `note`: what hinders us, "" for nothing."""


class _Loop:
    def __init__(
        self, session: Session, feed: Feed, scene: Scene, nodeset: str | None, ends: bool, view: View
    ) -> None:
        self._session = session
        self._feed = feed
        self._scene = scene
        self._nodeset = nodeset
        self._ends = ends
        self._view = view
        self._note = ""
        self._looking = Looking()
        self._stuck_since: float | None = None

    def run(self) -> Exit:
        self._look()
        while True:
            self._view.beat(self._scene, self._note)
            code = self._verdict() if self._ends and not self._note else None
            if code is not None:
                self._view.beat(self._scene, self._note)
                return code
            until = time.monotonic() + BEAT_S
            while (left := until - time.monotonic()) > 0:
                events = self._feed.next(left)
                self._looking.hear(events)
                for event in events:
                    self._take(event)
            if self._looking.is_due():
                self._look()

    def _take(self, event: Event) -> None:
        if event is AWAY:
            self._note = "the daemon went away; waiting for it to come back"
        elif event.kind != "lost":
            self._view.happened(event, self._scene.take(event))

    def _look(self) -> None:
        def tell(scene: Scene, note: str = "") -> None:
            self._note = note

        self._note = ""
        with self._looking:
            try_look(self._session, self._scene, self._nodeset, tell, runs=True)

    def _verdict(self) -> Exit | None:
        """How it ends, None when it does not; what events say is checked with the daemon first."""
        if self._scene.all_converged():
            self._look()
            return Exit.DONE if self._scene.all_converged() and not self._note else None
        if not self._scene.is_stuck():
            self._stuck_since = None
            return None
        now = time.monotonic()
        self._stuck_since = self._stuck_since or now
        if now - self._stuck_since < STUCK_S:
            return None
        self._look()
        if not self._scene.is_stuck():
            return None
        raise CommandError(
            f"waiting helps none of the others: {progress_text(self._scene)}",
            code=Exit.REFUSED,
            hint="`kraken explain --all` says why",
        )


class _Raw(View):
    def __init__(self, output: Output) -> None:
        self._output = output

    def happened(self, event: Event, happening: Happening | None) -> None:
        self._output.line(json.dumps({"id": event.id, "event": event.kind, "data": event.data}))

    def beat(self, scene: Scene, note: str) -> None:
        self._output.flush()


class _Lines(View):
    """Lines for a pipe or a log file."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._waiting: list[Happening] = []
        self._said = ""
        self._noted = ""

    def happened(self, event: Event, happening: Happening | None) -> None:
        if happening is not None and not any(happening is other for other in self._waiting):
            self._waiting.append(happening)

    def beat(self, scene: Scene, note: str) -> None:
        for happening in self._waiting:
            self._output.line(happening_text(happening))
            # told: what is equal and comes later is a line of its own
            if happening in scene.recent:
                scene.recent.remove(happening)
        self._waiting = []
        text = progress_text(scene)
        if text != self._said:
            self._output.line(f"{clock(time.time())}  {text}")
            self._said = text
        if note and note != self._noted:
            complain(note)
        self._noted = note
        self._output.flush()


class _Picture(View):
    """A picture that is drawn anew each beat and stays when it ends."""

    def __init__(self, output: Output) -> None:
        from rich.console import Console
        from rich.live import Live

        self._output = output
        self._start = time.monotonic()
        self._console = Console(no_color=not output.paint.colours, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, vertical_overflow="crop")

    def __enter__(self) -> _Picture:
        self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._live.__exit__(*error)

    def beat(self, scene: Scene, note: str) -> None:
        width, height = self._console.size
        elapsed = time.monotonic() - self._start
        self._live.update(self._draw(scene, note, width, height - 1, elapsed), refresh=True)

    def _draw(self, scene: Scene, note: str, width: int, height: int, elapsed: float) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        lines = picture(scene, note, width=width, height=height - 1, paint=self._output.paint)
        body = Text.from_ansi("\n".join(lines)) if lines else Text("")
        body.no_wrap = True
        return Group(self._bar(scene, width, elapsed), body)

    def _bar(self, scene: Scene, width: int, elapsed: float) -> RenderableType:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        text = f"{scene.converged:,} of {scene.total:,} converged  {span(elapsed)}"
        grid = Table.grid(padding=(0, 2))
        bar = ProgressBar(
            total=max(1, scene.total), completed=scene.converged, width=max(10, width - len(text) - 2)
        )
        grid.add_row(bar, text)
        return grid


def picture(scene: Scene, note: str, *, width: int, height: int, paint: Painter) -> list[str]:
    """What lies below the bar: causes, what runs, what happened lately; at most `height` lines."""
    lines: list[str] = [paint(printable(note), "bad")[: width * 2]] if note else []
    room = height - len(lines)
    causes = _part(
        "",
        layout(
            FOLDED_SHORT,
            fold_rows(by_trouble(scene.folded(converged=False))[: max(1, room // 3)]),
            width=width,
            paint=paint,
        ),
    )
    running = sorted(scene.runs.values(), key=lambda run: run.get("kind") == "discovery")
    rows = [run_row(run) for run in running[: max(1, room // 4)]]
    runs = _part(paint("Now", "strong"), layout(RUNS, rows, width=width, paint=paint)[1:])
    left = room - len(causes) - len(runs) - 2
    recent = (
        [_recent(happening, width, paint) for happening in list(scene.recent)[-max(0, left) :]]
        if left > 0
        else []
    )
    lines += causes + runs + _part(paint("Lately", "strong"), recent)
    return lines[:height]


def _part(title: str, lines: list[str]) -> list[str]:
    if not lines:
        return []
    return [title, *lines]


def _recent(happening: Happening, width: int, paint: Callable[[str, str], str]) -> str:
    text = happening_text(happening)
    return paint(text if len(text) <= width else text[: width - 1] + "…", happening.style)


def happening_text(happening: Happening) -> str:
    """`12:00:01  n[0001-0008]  phys_state: POWER_OFF -> POWER_ON`."""
    from kraken.cli.nodes import fold

    nodes = f"{fold(happening.nodes)}  " if happening.nodes else ""
    return printable(f"{clock(happening.at)}  {nodes}{happening.text}")
