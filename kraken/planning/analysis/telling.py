"""Traps, loops and ties in sentences: what is wrong, and what to do."""

from __future__ import annotations

from collections.abc import Iterable

from kraken.model.catalog import Catalog
from kraken.planning.analysis.declared import places_in
from kraken.planning.analysis.findings import Finding, Severity, listed, place_of, places_of
from kraken.planning.analysis.loops import FailingLoop, UndoLoop
from kraken.planning.analysis.reaching import Trap, where_text
from kraken.planning.analysis.slices import Fact, Slice
from kraken.planning.analysis.ties import Tie


def trap_finding(catalog: Catalog, where: tuple[Fact, ...], traps: list[Trap]) -> Finding:
    lost = [where_text([fact]) for fact in dict.fromkeys(f for trap in traps for f in trap.lost)]
    name = where_text(where)
    severity = Severity.WARNING if traps[0].wished else Severity.ERROR
    if lost:
        what = f"from {name} no path leads to {listed(lost)}, which a node can be brought to before"
    else:
        what = f"nothing leads out of {name} again"
        if not any(trap.disruptive for trap in traps):
            severity = Severity.NOTE  # as when something was mended
    todo = "add a mutation that leads back"
    if all(trap.passing for trap in traps):
        severity = Severity.NOTE
        todo = "it lasts until a look sees the node again; add a mutation that leads out, for when none does"
    elif severity is not Severity.ERROR:
        todo += f", or accept it with --ignore trap:{name.replace(' ', ',')}"
    places = tuple(place for variable, _ in where for place in places_of(catalog, variable))
    return Finding("trap", severity, name.replace(" ", ","), places, (), what, todo)


def _words(slice_: Slice, facts: Iterable[tuple[int, int]]) -> str:
    return where_text(slice_.fact(*fact) for fact in facts)


def undo_finding(slice_: Slice, loop: UndoLoop) -> Finding:
    keys = [mutation.key for mutation in loop.mutations]
    back = _words(slice_, loop.seen)
    what = (
        f"with Cfg {_words(slice_, loop.wishes)} the engine would do {', '.join(keys)} again and again: "
        f"{back} is forgotten on the way and may be seen again as it was"
    )
    return Finding(
        "undo-loop",
        Severity.WARNING,
        "+".join(sorted(keys)),
        tuple(place_of(mutation) for mutation in loop.mutations),
        (),
        what,
        f"add a mutation that starts from {back}, or let its discovery report only what it can see then",
    )


def failing_finding(slice_: Slice, loop: FailingLoop) -> Finding:
    serious = loop.always and bool(loop.disruptive)
    by = [mutation.key for mutation in loop.by]
    fails_to = ", ".join(f"{name}={value}" for name, value in loop.mutation.fails_to.items())
    what = (
        f"{loop.mutation.key} fails to {fails_to}, and from there the cheapest path to "
        f"{_words(slice_, loop.wishes)} leads by {listed(by)} into it again, until quarantine"
    )
    if serious:
        what += f"; {listed([m.key for m in loop.disruptive])} is disruptive each time"
    return Finding(
        "fails-to-loop",
        Severity.WARNING if serious else Severity.NOTE,
        loop.mutation.key,
        (place_of(loop.mutation), *map(place_of, loop.by)),
        (),
        what,
        "let the mutation start from what it fails to as well, so that it is merely tried again"
        if serious
        else "nothing needs to be done, if that is the way to try it again",
    )


def tie_finding(catalog: Catalog, slice_: Slice, tie: Tie) -> Finding:
    keys = [key for way in tie.ways for key in way]
    places = tuple(places_in(catalog, key) for key in dict.fromkeys(keys))
    modules = {place.module for place in places}
    state = _words(slice_, ((v, value) for v, value in enumerate(tie.state) if value)) or "a state unknown"
    one, other = (", ".join(way) for way in tie.ways)
    decides = "the order in which modules are found" if len(modules) > 1 else "the order of declaration"
    return Finding(
        "equal-paths",
        Severity.WARNING if len(modules) > 1 else Severity.NOTE,
        "+".join(sorted(dict.fromkeys(keys))),
        places,
        (),
        f"from {state} to {_words(slice_, tie.wishes.items())} the ways by {one} and by {other} cost the "
        f"same; {decides} says which is taken",
        "give the one that is to be preferred a lower cost",
    )
