"""A plan that was written down (`kraken plan --out`, docs/api.md), read again; what people may have
edited in it is held to the same rules as any other document."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kraken.daemon.contract import Contract, Promise
from kraken.daemon.plan import FORMAT, Generation, Planned
from kraken.daemon.wishes import kind_of
from kraken.errors import DocumentError, NodeSetError
from kraken.model.document import nearest
from kraken.model.nodeset import expand
from kraken.model.update import Stamp

KEYS = (
    "kraken_plan", "made_at", "generation", "set", "unset", "undeclared", "changes", "mutations",
    "nodes", "groups", "other_modules",
)  # fmt: skip
"""Those of a plan: one that is misspelt would be a wish, or a check, that is left out."""

_STAMP = re.compile(r"(\d{1,18})-(\d{1,18})")


def read_contract(document: Any) -> Contract:
    """The plan in a document.

    Raises:
        DocumentError: with the dotted key at fault; a plan that was made where some node had no path
            is none.
    """
    top = _mapping(document, "")
    format_ = top.get("kraken_plan")
    if isinstance(format_, bool) or format_ != FORMAT:
        raise DocumentError(
            f"this is no plan of format {FORMAT}, but of {kind_of(format_)}",
            key="kraken_plan",
            hint="`kraken plan --out FILE` writes one" if not isinstance(format_, int) else "make a new plan",
        )
    for key in top:
        if key not in KEYS:
            raise DocumentError(f"unknown key {key!r}", key=key, hint=nearest(key, list(KEYS)))
    generation = _mapping(top.get("generation"), "generation")
    stamp = _STAMP.fullmatch(str(generation.get("declared", "")))
    if stamp is None:
        raise _wrong("INCARNATION-SEQUENCE", generation.get("declared"), "generation.declared")
    set_ = _mapping(top.get("set"), "set")
    unset = _texts(top.get("unset"), "unset")
    both = sorted(set(set_) & set(unset))
    if both:
        raise DocumentError(f"both set and unset: {', '.join(both)}", key="unset")
    groups = top.get("groups")
    if not isinstance(groups, list):
        raise _wrong("a list of groups", groups, "groups")
    if not groups:
        raise DocumentError("the plan is for no nodes", key="groups", hint="make a new plan")
    contract = Contract(
        generation=Generation(
            Stamp(int(stamp.group(1)), int(stamp.group(2))),
            _text(generation.get("modules"), "generation.modules"),
        ),
        change={**dict.fromkeys(unset), **{name: _text(v, f"set.{name}") for name, v in set_.items()}},
        promises=tuple(_promise(group, f"groups.{i}") for i, group in enumerate(groups)),
        mutations={
            key: _text(value, f"mutations.{key}")
            for key, value in _mapping(top.get("mutations"), "mutations").items()
        },
    )
    _check_once(contract)
    _check_whole(contract, top.get("nodes"))
    return contract


def _promise(group: Any, key: str) -> Promise:
    fields = _mapping(group, key)
    if fields.get("no_path") is not None:
        raise DocumentError("these nodes have no path", key=f"{key}.no_path", hint="plan for the others")
    nodeset = _text(fields.get("nodeset"), f"{key}.nodeset")
    try:
        nodes = expand(nodeset)  # no groups: a plan names its nodes
    except NodeSetError as error:
        raise DocumentError(error.message, key=f"{key}.nodeset", hint=error.hint) from error
    steps = fields.get("steps")
    if not isinstance(steps, list):
        raise _wrong("a list of steps", steps, f"{key}.steps")
    start = _mapping(fields.get("start", {}), f"{key}.start")
    return Promise(
        tuple(nodes),
        tuple(_step(step, i, f"{key}.steps.{i}") for i, step in enumerate(steps)),
        {name: tuple(_texts(values, f"{key}.start.{name}")) for name, values in start.items()},
    )


def _step(step: Any, place: int, key: str) -> Planned:
    fields = _mapping(step, key)
    name = f"{_text(fields.get('module'), f'{key}.module')}.{_text(fields.get('name'), f'{key}.name')}"
    effects = _mapping(fields.get("effects"), f"{key}.effects")
    disruptive, after = fields.get("disruptive"), fields.get("after")
    if not isinstance(disruptive, bool):
        raise _wrong("true or false", disruptive, f"{key}.disruptive")
    if not isinstance(after, list) or not all(type(i) is int and 0 <= i < place for i in after):
        raise _wrong("positions of earlier steps, from 0", after, f"{key}.after")
    return Planned(
        name,
        tuple(sorted((variable, _text(v, f"{key}.effects.{variable}")) for variable, v in effects.items())),
        disruptive,
        tuple(after),
    )


def _check_once(contract: Contract) -> None:
    seen: set[str] = set()
    for i, promise in enumerate(contract.promises):
        for name in promise.nodes:
            if name in seen:
                raise DocumentError(f"{name} is in another group already", key=f"groups.{i}.nodeset")
            seen.add(name)


def _check_whole(contract: Contract, nodes: Any) -> None:
    """That no end was cut off, and no check left out."""
    found = len(contract.nodes)
    if type(nodes) is not int or nodes != found:
        raise DocumentError(
            f"the groups have {found} nodes, not {kind_of(nodes)}: the plan was cut short, or edited",
            key="nodes",
            hint="make a new plan",
        )
    for promise in contract.promises:
        for step in promise.steps:
            if step.key not in contract.mutations:
                raise DocumentError(
                    f"no fingerprint of the step {step.key}", key="mutations", hint="make a new plan"
                )


def _mapping(value: Any, key: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise _wrong("a mapping", value, key)
    return value


def _texts(value: Any, key: str) -> list[str]:
    if not isinstance(value, list):
        raise _wrong("a list of texts", value, key)
    return [_text(item, key) for item in value]


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str) or not value:
        raise _wrong("text", value, key)
    return value


def _wrong(expected: str, value: Any, key: str) -> DocumentError:
    found = kind_of(value)
    shown = found if len(found) < 80 else f"{found[:77]}..."
    return DocumentError(f"expected {expected}, found {shown}", key=key, hint="make a new plan")
