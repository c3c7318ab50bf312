"""What wishes change, and whether that is allowed: all of it is checked before any of it is done.

Pure over the state it is given; the daemon makes the result durable and lets it in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from kraken.daemon.wishes import Wish
from kraken.errors import RefusedError, UnreachableError
from kraken.model.bmc import ADDRESS, bmc_address_problem, shared_bmcs
from kraken.model.catalog import Catalog
from kraken.model.node import NodeTable
from kraken.model.nodeset import fold
from kraken.model.update import GROUPS, PRESENCE, PRESENT, Side, Stamp, StateUpdate, Value
from kraken.planning.path import NoPath
from kraken.planning.planner import Planner

CONFIRM_ABOVE = 32
"""A change of more nodes than this wants an explicit yes."""

YES = 'it wants an explicit yes: --yes, or "yes": true'

REASONS_TOLD_MAX = 5  # in the message of a refusal; all of them are in its details


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
    """Somebody must say that this is meant; `nodes` says how many it concerns.

    Args:
        names: those nodes. part: where that is something else.
    """

    def __init__(
        self, message: str, names: Sequence[str], *, part: str | None = None, hint: str | None = YES
    ) -> None:
        super().__init__(message, part=part or fold(names), hint=hint)
        self.nodes = len(names)


def too_many(names: Sequence[str]) -> NeedsConfirmationError:
    """That more nodes would change than without a yes."""
    return NeedsConfirmationError(
        f"this changes {len(names)} nodes ({fold(names)}); nothing was done",
        names,
        hint=f'more than {CONFIRM_ABOVE} nodes want an explicit yes: --yes, or "yes": true',
    )


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
                {
                    k: (attributes.get(k), v)
                    for k, v in wish.attributes.items()
                    if attributes.get(k) != v or type(attributes.get(k)) is not type(v)  # 1 is not true
                },
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
    kernel_problem: Callable[[str], str | None] = lambda _: None,
) -> None:
    """Refuse what safety or the planner forbids, before anything is done.

    Args:
        kernel_problem: what the kernel knows against an address.

    Raises:
        RefusedError: a BMC address that may not be commanded, or that two nodes share.
        UnreachableError: no path leads from what is known of a node to its new Cfg, whatever a
            discovery may find of what is not known.
    """
    _check_bmcs(items, table, kernel_problem)
    if allow_unreachable:
        return
    _check_changeable(items, catalog)
    refusal = _Refusal()
    for item in items:
        if not any(after is not None for _, after in item.diff.values()):
            continue
        node = table.get(item.node)
        attributes = _after({} if node is None else node.attribute_values(), item.attributes)
        cfg = _after({} if node is None else node.cfg_values(), item.diff)
        dsc = {} if node is None else catalog.known(node.dsc_values(), attributes)
        path = planner.find_path(attributes, dsc, {name: str(value) for name, value in cfg.items()})
        if isinstance(path, NoPath):
            refusal.add(item, path.on(attributes))
    if refusal:
        raise refusal.error()


def _check_changeable(items: Sequence[Item], catalog: Catalog) -> None:
    """Refuse wishes that nobody can fulfil: a look might find them so, and find them otherwise next time."""
    wished: dict[str, list[str]] = defaultdict(list)
    for item in items:
        for name, (_, after) in item.diff.items():
            if after is not None and name not in catalog.changeable:
                wished[name].append(item.node)
    if not wished:
        return
    reasons: dict[str, str] = {}
    for name, nodes in wished.items():
        told = f"{name} is only looked at, no mutation of the loaded modules changes it"
        reasons[fold(nodes)] = "; ".join(filter(None, (reasons.get(fold(nodes)), told)))
    raise UnreachableError(
        f"no path leads there: {'; '.join(f'{n}: {why}' for n, why in reasons.items())}; nothing was done",
        details=reasons,
        part=", ".join(reasons),
        hint="leave it out, or load the module that changes it; --allow-unreachable declares it all the same",
    )


class _Refusal:
    """Nodes whose new Cfg no path reaches, equal reasons together."""

    def __init__(self) -> None:
        self._alike: dict[str, tuple[NoPath, list[str]]] = {}
        self._older: dict[str, None] = {}  # out of reach, and not declared now

    def __bool__(self) -> bool:
        return bool(self._alike)

    def add(self, item: Item, answer: NoPath) -> None:
        reason = "; ".join(dict.fromkeys(answer.reasons))
        if answer.instead:
            reason += f"; reachable instead: {answer.instead}"
        self._alike.setdefault(reason, (answer, []))[1].append(item.node)
        self._older.update(dict.fromkeys(name for name in answer.variables if name not in item.diff))

    def error(self) -> UnreachableError:
        reasons = {fold(names): reason for reason, (_, names) in self._alike.items()}
        told = [f"{nodes}: {reason}" for nodes, reason in reasons.items()]
        if len(told) > REASONS_TOLD_MAX:
            told[REASONS_TOLD_MAX:] = [f"and {len(told) - REASONS_TOLD_MAX} more reasons"]
        hint = "--allow-unreachable declares it all the same"
        if self._older:
            unset = " ".join(f"--unset {name}" for name in self._older)
            hint = f"{unset} withdraws what was declared before; {hint}"
        return UnreachableError(
            f"no path leads there: {'; '.join(told)}; nothing was done",
            details=reasons,
            reachable={
                fold(names): {name: list(values) for name, values in answer.reachable.items()}
                for answer, names in self._alike.values()
            },
            part=", ".join(reasons),
            hint=hint,
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
        raise too_many(changed)


def _check_bmcs(items: Sequence[Item], table: NodeTable, kernel_problem: Callable[[str], str | None]) -> None:
    touched = {item.node: item for item in items if any(k.startswith("bmc.") for k in item.attributes)}
    if not touched:
        return
    after: dict[str, Mapping[str, Value]] = {n: table[n].attribute_values() for n in table}
    for name, item in touched.items():
        after[name] = _after(dict(after.get(name, {})), item.attributes)
        problem = bmc_address_problem(after[name])
        if problem is not None:
            raise RefusedError(f"{name}: {problem}; nothing was done", part=name)
        address = after[name].get(ADDRESS)
        problem = None if address is None else kernel_problem(str(address).strip())
        if problem is not None:
            raise RefusedError(
                f"{name}: {ADDRESS} {address} {problem}; nothing was done",
                part=name,
                hint="give the node's own BMC: another machine, or many, would be switched off instead",
            )
    for (host, port), names in shared_bmcs(after).items():
        if any(name in touched for name in names):
            raise RefusedError(
                f"the BMC {host} port {port} would belong to {fold(names)}; nothing was done",
                part=fold(names),
                hint="a BMC belongs to one node: give each its own; two that exchange theirs are declared in "
                "one document",
            )


def _after(values: Mapping[str, Value], diff: Mapping[str, tuple[Value, Value]]) -> dict[str, Value]:
    merged = {**values, **{name: after for name, (_, after) in diff.items()}}
    return {name: value for name, value in merged.items() if value is not None}
