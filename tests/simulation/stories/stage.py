"""What stories are told with: a tree that has settled, deeds of an administrator, faults of the network."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kraken.sync.letters import Body, decode
from kraken.testing.tree.forest import Forest
from kraken.testing.tree.network import Rule

Shape = dict[str, str | None]


def tree(shape: Shape, nodes: Iterable[str] = (), *collectors: str, settled_s: float = 30.0) -> Forest:
    """A tree that has settled, with these nodes; they list these collectors."""
    forest = Forest(shape)
    forest.start()
    forest.run_for(15.0)
    for node in nodes:
        declare(forest, node, *collectors)
    forest.settle(settled_s)
    return forest


def declare(forest: Forest, node: str, *collectors: str, wish: str = "ON") -> None:
    forest.root.declare(node, node="PRESENT", collectors=list(collectors) or None, wish=wish)
    forest._wake(forest.root)


def rewire(forest: Forest, **addresses: str | None) -> None:
    """These nodes have these BMCs from now on, by one declaration."""
    forest.root.rewire(addresses)
    forest._wake(forest.root)


def delete(forest: Forest, node: str) -> None:
    forest.root.declare(node, node=None)
    forest._wake(forest.root)


def owners(forest: Forest, node: str) -> list[str]:
    return [name for name, m in forest.members.items() if node in m.table and m.tree.has(node)]


def known(forest: Forest, name: str, node: str, variable: str = "power") -> object:
    """What this member knows of the node."""
    record = forest.members[name].table[node].dsc.get(variable)
    return None if record is None else record.value


def move(forest: Forest, name: str, new: str) -> None:
    """A collector is moved below another, as an administrator does it: drained, parted with, taken in."""
    member = forest.members[name]
    assert member.parent is not None
    old = forest.members[member.parent]
    old.drain(name)
    forest._wake(old)
    for _ in range(200):
        forest.run_for(1.0)
        if old.is_empty(name):
            break
    else:
        forest.broken(f"{old.name} never thinks that {name} is empty")
    old.part_with(name)
    member.parent = new
    forest.members[new].take_in(name)
    forest.restart(name)
    forest._wake(old)
    forest._wake(forest.members[new])


def run_everywhere(forest: Forest, node: str, seconds: int, *more: str) -> None:
    """Every second everybody who may starts a short mutation; two at once break a promise of the forest."""
    for _ in range(seconds):
        forest.run_for(1.0)
        for name in (node, *more):
            forest.try_runs(name, 0.5)


def of_kind(
    kind: type[Body], sender: str, receiver: str, becomes: list[float], *, once: bool = False
) -> Rule:
    """Letters of this kind, or the first, arrive after these seconds; none: they are lost."""
    done = False

    def rule(a: str, b: str, data: bytes) -> list[float] | None:
        nonlocal done
        if (a, b) != (sender, receiver) or done or not isinstance(decode(data).body, kind):
            return None
        done = once
        return becomes

    return rule


def the_last(sender: str, receiver: str, is_it: Callable[[Body], bool], delay_s: float) -> Rule:
    """The first letter that is it is the last of this sender that arrives, so late; and it hears nothing."""
    done = False

    def rule(a: str, b: str, data: bytes) -> list[float] | None:
        nonlocal done
        if {a, b} != {sender, receiver}:
            return None
        if (a, b) == (sender, receiver) and not done and is_it(decode(data).body):
            done = True
            return [delay_s]
        return []

    return rule


def a_node_stays_with_b_while_its_mutation_runs(forest: Forest) -> None:
    """Whatever somebody else remembers of n1."""
    for _ in range(500):
        forest.try_runs("n1", 0.05)
        forest.run_for(0.1)
    forest.settle(60.0)

    assert owners(forest, "n1") == ["b"]
