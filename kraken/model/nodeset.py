"""Nodesets: ClusterShell's syntax, behind this one file."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence

from ClusterShell.NodeSet import NodeSet, NodeSetException
from ClusterShell.NodeUtils import GroupResolver, GroupResolverError, GroupSource, GroupSourceError

from kraken.errors import NodeSetError

EXPAND_MAX = 1_000_000  # a typing error like n[1-99999999] must not eat the machine


def expand(text: str, groups: Mapping[str, Sequence[str]] | None = None) -> list[str]:
    """The names a nodeset selects, sorted, each once.

    Args:
        text: ClusterShell syntax: `n[0001-0128],login1`, `@group`, `a!b`, `a&b`, `a^b`; `@*` is
            every node that is in some group.
        groups: group -> names, for `@group`.

    Raises:
        NodeSetError: empty, unreadable, an unknown group, or selects nobody.
    """
    if not text or not text.strip():
        raise NodeSetError(
            "no nodes selected", part=text, hint="name a nodeset like n[0001-0008] or @group, or say --all"
        )
    known = dict(groups or {})
    _check_size(text)
    _check_groups(text, known)
    try:
        selected = NodeSet(text, resolver=_resolver(known))
    except (NodeSetException, GroupResolverError, GroupSourceError) as error:
        reason = str(error).strip() or type(error).__name__
        raise NodeSetError(
            f"cannot read nodeset {text!r}: {reason}",
            part=text,
            hint="write it like n[0001-0008],login1 or @group",
        ) from error
    if not selected:
        raise NodeSetError(f"nodeset {text!r} selects no node", part=text)
    return [str(name) for name in selected]


def fold(names: Iterable[str]) -> str:
    """The shortest nodeset that names exactly these; "" for none."""
    return str(NodeSet.fromlist(list(names)))


def check_name(name: str) -> str:
    """The name, if one node can have it.

    Raises:
        NodeSetError: it is empty, has a character a nodeset reads as syntax, or names several.
    """
    if not name or any(c in "[],!&^@/\\ \t\n'\"" for c in name) or name.startswith("-"):
        raise NodeSetError(
            f"{name!r} cannot be the name of a node",
            part=name,
            hint="use letters, digits, dots, dashes and underscores",
        )
    return name


def _check_size(text: str) -> None:
    """Count what the ranges would give before ClusterShell makes every name of it."""
    total = 0
    for pattern in re.split(r"[,!&^](?![^\[\]]*\])", text):
        total += math.prod(_width(ranges) for ranges in re.findall(r"\[([^\[\]]*)\]", pattern))
    if total > EXPAND_MAX:
        raise NodeSetError(f"nodeset {text!r} names {total} nodes, more than {EXPAND_MAX}", part=text)


def _width(ranges: str) -> int:
    """How many numbers `1-8/2,12` stands for; what is no range counts as one."""
    total = 0
    for part in ranges.split(","):
        found = re.fullmatch(r"\s*(\d+)-(\d+)(?:/(\d+))?\s*", part)
        if found is None:
            total += 1
            continue
        first, last, step = int(found[1]), int(found[2]), int(found[3] or 1)
        total += max(0, last - first) // max(step, 1) + 1
    return total


def _resolver(groups: dict[str, Sequence[str]]) -> GroupResolver:
    source = GroupSource("kraken", {name: ",".join(nodes) for name, nodes in groups.items()})
    return GroupResolver(default_source=source)


def _check_groups(text: str, groups: Mapping[str, Sequence[str]]) -> None:
    for name in re.findall(r"@([^\s,&!^@\[\]*]+)(?![^,&!^]*[\[*])", text):
        if name not in groups:
            known = ", ".join(f"@{group}" for group in sorted(groups)) or "none is declared"
            raise NodeSetError(
                f"nodeset {text!r} names the unknown group @{name} (groups: {known})", part=text
            )
