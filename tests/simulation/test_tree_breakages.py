"""The simulated tree itself: rules of its protocol, broken on purpose, are noticed by some seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from kraken.sync import feed as feed_module
from kraken.sync import link as link_module
from kraken.sync import tree as tree_module
from kraken.sync.feed import Feed
from kraken.sync.lease import Placement
from kraken.sync.letters import Delta, Doc, Hello
from kraken.sync.mirror import Mirror
from kraken.sync.shelf import updates_of
from kraken.testing.tree.chaos import Chaos
from kraken.testing.tree.forest import BrokenPromiseError

SEEDS = 100

Breaks = Callable[[pytest.MonkeyPatch], None]


def replaces(owner: Any, name: str, does: Callable[..., Any]) -> Breaks:
    return lambda monkeypatch: monkeypatch.setattr(owner, name, does)


def sets(owner: Any, name: str, value: float) -> Breaks:
    return lambda monkeypatch: monkeypatch.setattr(owner, name, value)


TELL = Feed.delta


def tells_nobody_is_gone(feed: Feed, read: Any, now: float) -> Delta | None:
    delta = TELL(feed, read, now)
    return None if delta is None else msgspec.structs.replace(delta, gone=[])


def takes_late_ones(mirror: Mirror, delta: Delta) -> bool:
    if mirror.have < 0 or delta.base > mirror.have:
        return False
    mirror.have = max(mirror.have, delta.upto)
    return True


def believes_to_be_whole(mirror: Mirror, hello: Hello) -> bool:
    if not hello.whole or mirror.have >= 0:
        return False
    mirror.have = hello.upto
    return True


def gives_at_once(placement: Placement, key: str, *rest: Any) -> bool:
    return key not in placement.holder


def binds_by_the_lease_alone(placement: Placement, key: str) -> float:
    known = placement._let_go.get(key)
    return placement.promise_to(placement._leaving[key][0]).binds(key) if known is None else known


def forgets_the_way(doc: Doc, now: float, lag_s: float, sides: Any) -> Any:
    return updates_of(doc, now, 0.0, sides)


GIVEN = Mirror._given


def gives_what_it_gave(mirror: Mirror, keys: Any) -> list[Doc]:
    exchange = mirror._exchange
    former: dict[int, list[Doc]] = mirror.__dict__.setdefault("former", {})
    if exchange is None or exchange.asked is None:
        return GIVEN(mirror, keys)
    return former.setdefault(exchange.asked.number, GIVEN(mirror, keys))


BREAKAGES: dict[str, Breaks] = {
    "withdrawals are left out": replaces(Feed, "delta", tells_nobody_is_gone),
    "nobody ever dies": sets(link_module, "DEAD_S", 1e9),
    "what changed is told once": sets(feed_module, "RESEND_S", 1e9),
    "late changes are taken in again": replaces(Mirror, "delta", takes_late_ones),
    "copies are never compared": replaces(Mirror, "hello", believes_to_be_whole),
    "nothing is given back": replaces(Mirror, "_given", lambda *args: []),
    "nodes are given away at once": replaces(Placement, "is_free", gives_at_once),
    "holders who think they are alone are not waited for": replaces(
        Placement, "_bound", binds_by_the_lease_alone
    ),
    "the way of a letter takes no time": replaces(tree_module, "updates_of", forgets_the_way),
    "what is given back does not grow older": replaces(Mirror, "_given", gives_what_it_gave),
}


def notices(seed: int) -> str | None:
    """Which promise this seed sees broken; a crash of the protocol is noticed, too."""
    try:
        Chaos(seed).run()
    except (BrokenPromiseError, AssertionError, KeyError) as error:
        return f"{type(error).__name__}: {error}"
    return None


@pytest.mark.simulation
@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_rule_of_the_tree_is_noticed(breakage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BREAKAGES[breakage](monkeypatch)

    assert any(notices(seed) for seed in range(SEEDS)), f"{breakage}, and nobody noticed"
