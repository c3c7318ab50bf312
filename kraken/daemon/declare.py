"""What people declare, read and checked: a whole document or request, before any of it is done.

Pure over the state it is given; the daemon makes the result durable and lets it in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kraken.errors import DocumentError, NodeSetError, RefusedError, UnreachableError
from kraken.model.bmc import bmc_address_problem, shared_bmcs
from kraken.model.catalog import Catalog
from kraken.model.node import NodeTable
from kraken.model.nodeset import check_name, expand, fold
from kraken.model.update import GROUPS, PRESENCE, PRESENT, Side, Stamp, StateUpdate, Value
from kraken.planning.path import NoPath
from kraken.planning.planner import Planner

CONFIRM_ABOVE = 32
"""A change of more nodes than this wants an explicit yes."""


@dataclass(slots=True)
class Wish:
    """What is newly declared of one node; None as a value withdraws it.

    Attributes:
        groups: None: as they are.
        create: the node may be new.
    """

    attributes: dict[str, Value] = field(default_factory=dict)
    cfg: dict[str, str | None] = field(default_factory=dict)
    groups: list[str] | None = None
    create: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """What a declaration changes on one node: name -> (before, after), None for not declared."""

    node: str
    diff: Mapping[str, tuple[Value, Value]] = field(default_factory=dict)
    attributes: Mapping[str, tuple[Value, Value]] = field(default_factory=dict)
    groups: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    created: bool = False
    message: str = ""

    @property
    def changed(self) -> bool:
        return bool(self.diff or self.attributes or self.groups or self.created or self.message)


class NeedsConfirmationError(RefusedError):
    """More nodes would change than without a yes; `nodes` says how many."""

    def __init__(self, names: Sequence[str]) -> None:
        folded = fold(names)
        super().__init__(
            f"this changes {len(names)} nodes ({folded}); nothing was done",
            part=folded,
            hint=f'more than {CONFIRM_ABOVE} nodes want an explicit yes: --yes, or "yes": true',
        )
        self.nodes = len(names)


def read_document(document: Any, table: NodeTable, catalog: Catalog) -> dict[str, Wish]:
    """The wishes of a document of `apply` (docs/api.md), node by node.

    Raises:
        DocumentError: with the dotted key at fault.
        UnknownNodeError: `cfg` or a group names a node that neither is declared nor is being so.
    """
    top = _mapping(document, "", ("groups", "nodes", "cfg"))
    wishes: dict[str, Wish] = {}
    known = table.groups()
    groups = _mapping(top.get("groups"), "groups")
    for nodeset, body in _mapping(top.get("nodes"), "nodes").items():
        for name in _expand(nodeset, known, f"nodes.{nodeset}"):
            _check_name(name, f"nodes.{nodeset}")
            wishes.setdefault(name, Wish(create=True))
        _mapping(body, f"nodes.{nodeset}", ("attributes", "cfg", "groups"))
    for group, body in groups.items():
        _read_group(group, body, wishes, table, known, catalog)
    for nodeset, body in _mapping(top.get("nodes"), "nodes").items():
        key = f"nodes.{nodeset}"
        fields = _mapping(body, key)
        names = _expand(nodeset, known, key)
        _read_fields(fields, key, [wishes[name] for name in names], catalog)
        if fields.get("groups") is not None:
            for name in names:
                wishes[name].groups = _group_names(fields["groups"], f"{key}.groups")
    for nodeset, body in _mapping(top.get("cfg"), "cfg").items():
        names = _expand(nodeset, known, f"cfg.{nodeset}")
        table.require(name for name in names if name not in wishes)
        cfg = read_cfg(_mapping(body, f"cfg.{nodeset}"), catalog, f"cfg.{nodeset}")
        for name in names:
            wishes.setdefault(name, Wish()).cfg.update(cfg)
    return wishes


def read_cfg(values: Mapping[str, Any], catalog: Catalog, key: str = "set") -> dict[str, str | None]:
    """Cfg as somebody wrote it; None withdraws a variable.

    Raises:
        DocumentError: as `Catalog.check_cfg`, with the key that leads there. A variable that is
            only withdrawn need not be declared any more.
    """
    checked: dict[str, str | None] = {}
    for name, value in values.items():
        if value is None:
            checked[name] = None
            continue
        try:
            checked.update(catalog.check_cfg({name: value}))
        except DocumentError as error:
            where = f"{key}.{name}" if key else name
            raise DocumentError(error.message, key=where, hint=error.hint) from error
    return checked


def read_attributes(values: Mapping[str, Any], catalog: Catalog, key: str) -> dict[str, Value]:
    """Attributes as somebody wrote them; None withdraws one.

    Raises:
        DocumentError: a name that is reserved or belongs to a variable; a value that is neither a
            scalar nor a list of strings.
    """
    checked: dict[str, Value] = {}
    for name, value in values.items():
        where = f"{key}.{name}"
        if name in (PRESENCE, GROUPS):
            raise DocumentError(f"the attribute {name!r} is Kraken's own", key=where)
        if name in catalog.variables:
            raise DocumentError(
                f"{name!r} is a variable, not an attribute", key=where, hint="declare it under cfg"
            )
        if isinstance(value, list) and not all(isinstance(item, str) for item in value):
            raise DocumentError("a list may hold strings only", key=where)
        if not (value is None or isinstance(value, str | int | float | bool | list)):
            raise DocumentError(f"expected a scalar or a list, found {_kind(value)}", key=where)
        checked[name] = value
    return checked


def plan_items(wishes: Mapping[str, Wish], table: NodeTable) -> list[Item]:
    """What the wishes change, node by node, in their order."""
    items: list[Item] = []
    for name, wish in wishes.items():
        node = table.get(name)
        attributes = {} if node is None else node.attribute_values()
        cfg = {} if node is None else node.cfg_values()
        groups = () if node is None else node.groups
        new_groups = groups if wish.groups is None else tuple(wish.groups)
        items.append(
            Item(
                name,
                {k: (cfg.get(k), v) for k, v in wish.cfg.items() if cfg.get(k) != v},
                {k: (attributes.get(k), v) for k, v in wish.attributes.items() if attributes.get(k) != v},
                None if groups == new_groups else (groups, new_groups),
                created=node is None,
            )
        )
    return items


def check(
    items: Sequence[Item],
    table: NodeTable,
    catalog: Catalog,
    planner: Planner,
    *,
    allow_unreachable: bool,
) -> None:
    """Refuse what safety or the planner forbids, before anything is done.

    Raises:
        RefusedError: a BMC address that may not be commanded, or that two nodes share.
        UnreachableError: no path leads from what is known of a node to its new Cfg.
    """
    _check_bmcs(items, table)
    if allow_unreachable:
        return
    reasons: dict[str, list[str]] = {}
    for item in items:
        if not any(after is not None for _, after in item.diff.values()):
            continue
        node = table.get(item.node)
        attributes = _after({} if node is None else node.attribute_values(), item.attributes)
        cfg = _after({} if node is None else node.cfg_values(), item.diff)
        dsc = {} if node is None else catalog.known(node.dsc_values(), attributes)
        path = planner.find_path(attributes, dsc, {name: str(value) for name, value in cfg.items()})
        if isinstance(path, NoPath):
            reasons.setdefault("; ".join(path.reasons), []).append(item.node)
    if reasons:
        details = {fold(names): reason for reason, names in reasons.items()}
        told = "; ".join(f"{nodes}: {reason}" for nodes, reason in details.items())
        raise UnreachableError(
            f"no path leads there: {told}; nothing was done",
            details=details,
            part=", ".join(details),
            hint="--allow-unreachable declares it all the same",
        )


def updates_of(items: Sequence[Item], stamp: Callable[[], Stamp], now: float, who: str) -> list[StateUpdate]:
    """The records that make the items so; nothing for what stays as it is."""
    updates: list[StateUpdate] = []

    def add(node: str, side: Side, variable: str, value: Value) -> None:
        updates.append(StateUpdate(node, side, variable, value, stamp(), now, who))

    for item in items:
        if item.created:
            add(item.node, Side.ATTRIBUTE, PRESENCE, PRESENT)
        if item.groups is not None:
            add(item.node, Side.ATTRIBUTE, GROUPS, list(item.groups[1]) or None)
        for name, (_, value) in item.attributes.items():
            add(item.node, Side.ATTRIBUTE, name, value)
        for name, (_, value) in item.diff.items():
            add(item.node, Side.CFG, name, value)
    return updates


def confirm(items: Iterable[Item], *, yes: bool) -> None:
    """Refuse a change of many nodes that nobody confirmed.

    Raises:
        NeedsConfirmationError: more than CONFIRM_ABOVE nodes would change and `yes` is not set.
    """
    changed = [item.node for item in items if item.changed]
    if len(changed) > CONFIRM_ABOVE and not yes:
        raise NeedsConfirmationError(changed)


def _read_group(
    group: str,
    body: Any,
    wishes: dict[str, Wish],
    table: NodeTable,
    known: dict[str, list[str]],
    catalog: Catalog,
) -> None:
    key = f"groups.{group}"
    _check_name(group, key)
    fields = _mapping(body, key, ("nodes", "attributes", "cfg"))
    names = known.get(group, [])
    if fields.get("nodes") is not None:
        if not isinstance(fields["nodes"], str):
            raise DocumentError(f"expected a nodeset, found {_kind(fields['nodes'])}", key=f"{key}.nodes")
        names = _expand(fields["nodes"], known, f"{key}.nodes")
        table.require(name for name in names if name not in wishes)
        known[group] = names
        for name in names:
            wish = wishes.setdefault(name, Wish())
            standing = table[name].groups if name in table else ()
            groups = list(standing) if wish.groups is None else wish.groups
            wish.groups = groups if group in groups else [*groups, group]
        for name in (n for n in table if group in table[n].groups and n not in names):
            wish = wishes.setdefault(name, Wish())
            groups = list(table[name].groups) if wish.groups is None else wish.groups
            wish.groups = [other for other in groups if other != group]
    elif group not in known:
        raise DocumentError(f"the group {group!r} has no nodes", key=key, hint="say `nodes:`")
    _read_fields(fields, key, [wishes.setdefault(name, Wish()) for name in names], catalog)


def _read_fields(fields: Mapping[str, Any], key: str, wishes: Iterable[Wish], catalog: Catalog) -> None:
    attributes = read_attributes(
        _mapping(fields.get("attributes"), f"{key}.attributes"), catalog, f"{key}.attributes"
    )
    cfg = read_cfg(_mapping(fields.get("cfg"), f"{key}.cfg"), catalog, f"{key}.cfg")
    for wish in wishes:
        wish.attributes.update(attributes)
        wish.cfg.update(cfg)


def _check_bmcs(items: Sequence[Item], table: NodeTable) -> None:
    touched = {item.node: item for item in items if any(k.startswith("bmc.") for k in item.attributes)}
    if not touched:
        return
    after: dict[str, Mapping[str, Value]] = {n: table[n].attribute_values() for n in table}
    for name, item in touched.items():
        after[name] = _after(dict(after.get(name, {})), item.attributes)
        problem = bmc_address_problem(after[name])
        if problem is not None:
            raise RefusedError(f"{name}: {problem}; nothing was done", part=name)
    for (host, port), names in shared_bmcs(after).items():
        if any(name in touched for name in names):
            raise RefusedError(
                f"the BMC {host} port {port} would belong to {fold(names)}; nothing was done",
                part=fold(names),
                hint="a BMC belongs to one node: a command for one would hit the other",
            )


def _after(values: Mapping[str, Value], diff: Mapping[str, tuple[Value, Value]]) -> dict[str, Value]:
    merged = {**values, **{name: after for name, (_, after) in diff.items()}}
    return {name: value for name, value in merged.items() if value is not None}


def _expand(nodeset: Any, groups: Mapping[str, Sequence[str]], key: str) -> list[str]:
    try:
        return expand(str(nodeset), groups)
    except NodeSetError as error:
        raise DocumentError(error.message, key=key, hint=error.hint) from error


def _check_name(name: str, key: str) -> None:
    try:
        check_name(name)
    except NodeSetError as error:
        raise DocumentError(error.message, key=key, hint=error.hint) from error


def _group_names(value: Any, key: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise DocumentError(f"expected a list of groups, found {_kind(value)}", key=key)
    for name in value:
        _check_name(name, key)
    return list(dict.fromkeys(value))


def _mapping(value: Any, key: str, allowed: Sequence[str] | None = None) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise DocumentError(f"expected a mapping, found {_kind(value)}", key=key)
    for name in value:
        if not isinstance(name, str):
            raise DocumentError(f"the key {name!r} is not text", key=key, hint="quote it")
        if allowed is not None and name not in allowed:
            raise DocumentError(
                f"unknown key {name!r}",
                key=f"{key}.{name}" if key else name,
                hint=f"one of {', '.join(allowed)}",
            )
    return value


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list) else repr(value)
