"""Nodes that wait because somebody may still switch a BMC of theirs, by what was declared before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kraken.daemon.declare import Item
from kraken.model.bmc import ADDRESS, PORT, bmc_text
from kraken.sync.machines import bmc_of
from kraken.sync.tree import Tree


@dataclass(frozen=True, slots=True)
class Switched:
    """Who may switch a BMC still, and as which node.

    Attributes:
        node: the very node that waits, where the BMC is the one that it had before.
        free_at: when nothing of theirs can run any more; infinity: when they, or a person, say so.
    """

    bmc: str
    node: str
    collector: str
    free_at: float


def who_switches(tree: Tree, node: str, bmc: str | None, now: float) -> Switched | None:
    """Whom a node that has this BMC, or is to have it, must wait for; None: nobody, for the sake of a BMC."""
    place = tree.placement
    name, switched = place.switched_as(node, bmc, now), bmc
    if name is None or switched is None:
        name, switched = node, place.machines.of.get(node)
        if switched is None or switched == bmc:
            return None
    former, free_at = place.former(name), place.free_at(name)
    if free_at is not None and free_at <= now:
        return None
    collector = place.holder.get(name, "") if former is None else former[0]
    return Switched(switched, name, collector or tree.me, float("inf") if free_at is None else free_at)


def why_it_waits(tree: Tree, node: str, now: float) -> tuple[str, str, str] | None:
    """Why nobody has the node, shorter for all alike, and what follows; None: no BMC is why."""
    found = who_switches(tree, node, bmc_of(tree.table.get(node)), now)
    if found is None:
        return None
    who = f"collector {found.collector}"
    if found.node == node:
        topic = f"{who} may still switch its former BMC"
        reason = f"{topic} {found.bmc}"
    else:
        topic = f"{who} may still switch its BMC as another's"
        reason = f"{who} may still switch its BMC {found.bmc} as that of {found.node}"
        silent = tree.silence(found.node)
        if silent is not None:
            reason += f"; collector {silent[0]} not heard for {now - silent[1]:.0f} s"
    if found.free_at == float("inf"):
        vouch = f"`kraken collector revoke {found.collector} --stopped`"
        return reason, topic, f"is run when that one says that it let go, or after {vouch} by who made sure"
    return reason, topic, f"is run when its lease is over, in {found.free_at - now:.0f} s"


def warn(tree: Tree, items: Sequence[Item], now: float) -> list[Item]:
    """The items, those whose node is going to wait for a collector that is not heard with a word on it."""
    return [
        replace(item, message=_warning(tree, item, now)) if {ADDRESS, PORT} & item.attributes.keys() else item
        for item in items
    ]


def _warning(tree: Tree, item: Item, now: float) -> str:
    node = tree.table.get(item.node)
    values = {name: None if node is None else node.attribute(name) for name in (ADDRESS, PORT)}
    values |= {name: after for name, (_, after) in item.attributes.items() if name in values}
    found = who_switches(tree, item.node, bmc_text(values[ADDRESS], values[PORT]), now)
    if found is None or tree.silence(found.node) is None:
        return item.message
    what = "it" if found.node == item.node else found.node
    return f"nobody runs it until collector {found.collector}, which is not heard, has let go of {what}"
