"""The collectors of a subtree, as the tree's protocol knows them: at any depth, as each parent tells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kraken.sync.registry import DOWN, LINK, PARENT, TWINS
from kraken.sync.shelf import COLLECTOR
from kraken.sync.tree import Tree


@dataclass(frozen=True, slots=True)
class Member:
    """A collector below us.

    Attributes:
        parent: the name of the one it hangs below, as far as is known.
        is_up: its parent hears it. `since`: when that became so of this life of its daemon, in seconds since
            the epoch; None: unknown.
        heard_s: since we had its last letter; None for one that is not our own child, or was never heard.
        twins: its parent hears two daemons under its name.
        lag_s: how long its last letter was on its way, and our clock's time to it before, at most.
    """

    name: str
    parent: str
    is_up: bool
    since: float | None
    heard_s: float | None = None
    lag_s: float | None = None
    twins: bool = False


def members(tree: Tree, now: float) -> Iterator[Member]:
    """Every one below us, in the order in which they were met; who was never heard is among them."""
    for name in tree.links.children:
        link = tree.links[name]
        said = tree.registry[tree.registry.me].get(LINK + name)
        yield Member(
            name,
            tree.me,
            link.is_up,
            None if said is None else said.since,
            None if link.heard_at is None else max(0.0, now - link.heard_at),
            link.lag_s,
            link.twins.speak(now),
        )
    for key in tree.registry:
        name = key.removeprefix(COLLECTOR)
        if name in tree.links or tree.registry.via.get(key) not in tree.links:
            continue  # one of those above; or we ourselves, or one whose way is gone
        parent = tree.registry[key].get(PARENT)
        above = "" if parent is None else str(parent.value)
        said = tree.registry.get(COLLECTOR + above, {}).get(LINK + name)
        silent_since = _silent_since(tree, name)
        if silent_since is not None:
            yield Member(name, above, False, silent_since)
        else:
            is_up, twins = said is not None and said.value != DOWN, said is not None and said.value == TWINS
            yield Member(name, above, is_up, None if said is None else said.since, twins=twins)
    yield from _missed(tree)


def _missed(tree: Tree) -> Iterator[Member]:
    """Of whom nothing but this is known: a parent below us does not hear them, in this life of its."""
    registry = tree.registry
    for key in registry.via:
        for variable, said in registry.get(key, {}).items():
            name = variable.removeprefix(LINK)
            if said.value != DOWN or name == variable or name == tree.me or name in tree.links:
                continue
            if COLLECTOR + name not in registry.via:
                yield Member(name, key.removeprefix(COLLECTOR), False, said.since)


def _silent_since(tree: Tree, name: str) -> float | None:
    """Since when one on the way to this collector is not heard by its parent; None: every one is."""
    link = tree.links[tree.registry.via[COLLECTOR + name]]
    if not link.is_up:
        return link.silent_since()
    broken = tree.registry.broken(name)
    return None if broken is None else broken[1].seen_at
