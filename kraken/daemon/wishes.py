"""What people write, read into wishes: the document of `apply`, and the parts of smaller requests.

Pure over the table and catalog it is given. What the wishes change, and whether that is allowed, is
decided in `declare`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kraken.errors import DocumentError, JoinError, NodeSetError
from kraken.model.catalog import Catalog
from kraken.model.document import nearest
from kraken.model.node import NodeTable
from kraken.model.nodeset import expand
from kraken.model.update import GROUPS, PRESENCE, VALUE_MAX, Value
from kraken.sync.placing import COLLECTORS
from kraken.transport.token import check_collector

NAME_MAX = 253  # of a host name (RFC 1035)
INTEGER_MAX = 2**63 - 1  # what JSON readers of other languages keep whole

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_ATTRIBUTE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
# As a word of a name: ansible_ssh_pass, api-token, smtp.password, clientSecret; not the name of a file
# that holds one, nor bypass or tokenizer.
_SECRET = re.compile(
    r"(?:^|[._-])(?:\w*pass(?:word|wd|phrase)|pass|\w*secret|\w*token|\w*private_?key|api_?key)s?(?:$|[._-])",
    re.IGNORECASE,
)
_NO_SECRET = re.compile(
    r"[._-](?:file|files|path|dir|command|name|id|store|prompt|method|required|age|ttl|url|length)$",
    re.IGNORECASE,
)


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


def read_document(document: Any, table: NodeTable, catalog: Catalog) -> dict[str, Wish]:
    """The wishes of a document of `apply` (docs/api.md), node by node.

    Raises:
        DocumentError: with the dotted key at fault.
        UnknownNodeError: a group, `cfg` or an `@group` names a node that neither is declared nor is
            being so.
    """
    return _Reader(document, table, catalog).read()


def read_cfg(values: Mapping[str, Any], catalog: Catalog, key: str = "set") -> dict[str, str | None]:
    """Cfg as somebody wrote it; None withdraws a variable.

    Raises:
        DocumentError: as `Catalog.check_cfg`, with the key that leads there. A variable that is
            only withdrawn need not be declared any more.
    """
    checked: dict[str, str | None] = {}
    for name, value in values.items():
        where = f"{key}.{name}"
        if value is None:
            checked[name] = None
        elif isinstance(value, dict | list):
            raise DocumentError(f"expected a value, found {kind_of(value)}", key=where)
        else:
            try:
                checked.update(catalog.check_cfg({name: value}))
            except DocumentError as error:
                raise DocumentError(error.message, key=where, hint=error.hint) from error
    return checked


def check_withdrawn(names: Iterable[str], table: NodeTable, catalog: Catalog, key: str = "unset") -> None:
    """Raise where a variable to be withdrawn is none of any module, nor declared of any node.

    What a module that is gone left behind can be withdrawn.

    Raises:
        DocumentError: with the nearest name there is.
    """
    for name in names:
        if name not in catalog.variables and not any(name in node.cfg for node in table.values()):
            raise DocumentError(
                f"unknown variable {name!r}; nothing was done",
                key=f"{key}.{name}",
                hint=catalog.did_you_mean(name),
            )


def read_attributes(values: Mapping[str, Any], catalog: Catalog, key: str = "set") -> dict[str, Value]:
    """Attributes as somebody wrote them; None withdraws one.

    Raises:
        DocumentError: a name that is reserved, belongs to a variable, or promises a secret; a value
            that is neither a scalar nor a list of texts.
    """
    checked: dict[str, Value] = {}
    for name, value in values.items():
        where = f"{key}.{name}"
        if value is not None:  # what is there by another way can always be withdrawn
            _check_attribute(name, where, catalog)
            _refuse_secret(name, value, where)
        elif name in (PRESENCE, GROUPS):
            raise DocumentError(f"the attribute {name!r} is Kraken's own", key=where)
        if isinstance(value, list) and not all(isinstance(item, str) for item in value):
            raise DocumentError("a list may hold texts only", key=where, hint="quote its numbers")
        if not (value is None or isinstance(value, str | int | float | bool | list)):
            raise DocumentError(f"expected a scalar or a list, found {kind_of(value)}", key=where)
        length = (
            len(value) if isinstance(value, str) else sum(map(len, value)) if isinstance(value, list) else 0
        )
        if length > VALUE_MAX:
            raise DocumentError(
                f"a value of {length:,} characters; {VALUE_MAX:,} at most",
                key=where,
                hint="keep it in a file, and name the file",
            )
        if isinstance(value, int) and abs(value) > INTEGER_MAX:
            raise DocumentError("the number has more than 64 bits", key=where, hint="quote it")
        checked[name] = _read_collectors(value, where) if name == COLLECTORS and value is not None else value
    return checked


def _read_collectors(value: Value, where: str) -> list[str]:
    """Who may run a node, the preferred first: a list, or its words with commas between."""
    words = value if isinstance(value, list) else [word.strip() for word in str(value).split(",")]
    names = list(dict.fromkeys(words))
    for name in names:
        try:
            check_collector(name)
        except JoinError as error:
            raise DocumentError(error.message, key=where, hint="rack7,rack8, the preferred first") from error
    if not names:
        raise DocumentError("an empty list of collectors", key=where, hint="unset it: the root runs the node")
    return names


@functools.lru_cache(maxsize=4096)  # a document names the same attributes for each of 10,000 nodes
def is_secret(name: str) -> bool:
    """Whether an attribute of this name would hold a secret, going by its words."""
    if name.lower() == "bmc.kg":  # IPMI's second key
        return True
    return _SECRET.search(name) is not None and _NO_SECRET.search(name) is None


def kind_of(value: Any) -> str:
    """What it is, for "expected X, found ..."."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    return f"the boolean {str(value).lower()}" if isinstance(value, bool) else repr(value)


class _Reader:
    """One document, in three passes: nodes are made, groups are filled, then everything is wished.

    So a document may use a group it fills itself, in whatever order it is written.
    """

    def __init__(self, document: Any, table: NodeTable, catalog: Catalog) -> None:
        top = _mapping(document, "", ("groups", "nodes", "cfg"))
        self._table = table
        self._catalog = catalog
        self._groups = _mapping(top.get("groups"), "groups")
        self._nodes = _mapping(top.get("nodes"), "nodes")
        self._cfg = _mapping(top.get("cfg"), "cfg")
        self._wishes: dict[str, Wish] = {}
        self._known = table.groups()  # group -> its nodes, as the document leaves them

    def read(self) -> dict[str, Wish]:
        for nodeset in self._nodes:
            if "@" not in nodeset:  # a group selects nodes, it makes none
                for name in self._expand(nodeset, f"nodes.{nodeset}"):
                    _check_name(name, f"nodes.{nodeset}", "a node")
                    self._wishes.setdefault(name, Wish(create=True))
        filled = {group: self._fill(group, body) for group, body in self._groups.items()}
        own = {nodeset: self._own_groups(nodeset, body) for nodeset, body in self._nodes.items()}
        for group, fields in filled.items():
            self._wish(f"groups.{group}", fields, self._known.get(group, []))
        for nodeset, fields in own.items():
            key = f"nodes.{nodeset}"
            self._wish(key, fields, self._named(nodeset, key))
        for nodeset, body in self._cfg.items():
            key = f"cfg.{nodeset}"
            cfg = read_cfg(_mapping(body, key), self._catalog, key)
            for name in self._named(nodeset, key):
                self._of(name).cfg.update(cfg)
        return self._wishes

    def _fill(self, group: str, body: Any) -> dict[str, Any]:
        """Put the nodes of a group into it, and others out of it."""
        key = f"groups.{group}"
        _check_name(group, key, "a group")
        fields = _mapping(body, key, ("nodes", "attributes", "cfg"))
        nodeset = fields.get("nodes")
        if nodeset is None:
            if group not in self._known:
                raise DocumentError(f"the group {group!r} has no nodes", key=key, hint="say `nodes:`")
            return fields
        if not isinstance(nodeset, str):
            raise DocumentError(
                f"expected a nodeset, found {kind_of(nodeset)}",
                key=f"{key}.nodes",
                hint="write it like n[0001-0008]; '' empties the group",
            )
        names = self._named(nodeset, f"{key}.nodes") if nodeset.strip() else []
        inside = set(names)
        for name in self._known.get(group, []):
            if name not in inside:
                self._set_groups(name, [other for other in self._groups_of(name) if other != group])
        for name in names:
            groups = self._groups_of(name)
            self._set_groups(name, groups if group in groups else [*groups, group])
        self._known[group] = names
        return fields

    def _own_groups(self, nodeset: str, body: Any) -> dict[str, Any]:
        """A node's own list of groups, which wins over what `groups` says."""
        key = f"nodes.{nodeset}"
        fields = _mapping(body, key, ("attributes", "cfg", "groups"))
        if fields.get("groups") is not None:
            groups = _group_names(fields["groups"], f"{key}.groups")
            for name in self._named(nodeset, key):
                for left in self._groups_of(name):
                    self._known[left] = [other for other in self._known.get(left, []) if other != name]
                for group in groups:
                    self._known.setdefault(group, []).append(name)
                self._set_groups(name, groups)
        return fields

    def _wish(self, key: str, fields: Mapping[str, Any], names: Iterable[str]) -> None:
        where = f"{key}.attributes"
        attributes = read_attributes(_mapping(fields.get("attributes"), where), self._catalog, where)
        where = f"{key}.cfg"
        cfg = read_cfg(_mapping(fields.get("cfg"), where), self._catalog, where)
        for name in names:
            wish = self._of(name)
            wish.attributes.update(attributes)
            wish.cfg.update(cfg)

    def _named(self, nodeset: str, key: str) -> list[str]:
        names = self._expand(nodeset, key)
        self._table.require(name for name in names if name not in self._wishes)
        return names

    def _expand(self, nodeset: str, key: str) -> list[str]:
        if _NAME.fullmatch(nodeset):
            return [nodeset]
        try:
            return expand(nodeset, self._known if "@" in nodeset else None)
        except NodeSetError as error:
            raise DocumentError(error.message, key=key, hint=error.hint) from error

    def _of(self, name: str) -> Wish:
        return self._wishes.setdefault(name, Wish())

    def _groups_of(self, name: str) -> list[str]:
        groups = self._of(name).groups
        if groups is not None:
            return groups
        return list(self._table[name].groups) if name in self._table else []

    def _set_groups(self, name: str, groups: list[str]) -> None:
        self._of(name).groups = groups


def _check_attribute(name: str, where: str, catalog: Catalog) -> None:
    if name in (PRESENCE, GROUPS):
        raise DocumentError(
            f"the attribute {name!r} is Kraken's own", key=where, hint="declare groups under `groups`"
        )
    if name in catalog.variables:
        raise DocumentError(f"{name!r} is a variable, not an attribute", key=where, hint="declare it as Cfg")
    if not _ATTRIBUTE.fullmatch(name):
        raise DocumentError(
            f"{name!r} cannot be the name of an attribute",
            key=where,
            hint="use letters, digits, dots, dashes and underscores, a letter first",
        )


def _refuse_secret(name: str, value: Any, where: str) -> None:
    """State, logs and answers are no place for a password; its value is not repeated either."""
    if not is_secret(name) or isinstance(value, bool) or value in ("", []):
        return
    if name.startswith("bmc."):
        hint = "name a credential in bmc.credential; credentials_file holds it, encrypted with Ansible Vault"
    else:
        hint = "put it into a file encrypted with Ansible Vault, and name that in ansible.vault_files"
    raise DocumentError(
        f"the attribute {name!r} would hold a secret, and attributes are shown to everybody",
        key=where,
        hint=hint,
    )


def _check_name(name: str, key: str, what: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > NAME_MAX:
        raise DocumentError(
            f"{name[:80]!r} cannot be the name of {what}",
            key=key,
            hint=f"use letters, digits, dots, dashes and underscores, at most {NAME_MAX}",
        )


def _group_names(value: Any, key: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise DocumentError(f"expected a list of groups, found {kind_of(value)}", key=key)
    for name in value:
        _check_name(name, key, "a group")
    return list(dict.fromkeys(value))


def _mapping(value: Any, key: str, allowed: Sequence[str] | None = None) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise DocumentError(f"expected a mapping, found {kind_of(value)}", key=key)
    for name in value:
        if not isinstance(name, str):
            raise DocumentError(f"the key {name!r} is not text", key=key, hint="quote it")
        if allowed is not None and name not in allowed:
            raise DocumentError(
                f"unknown key {name!r}", key=f"{key}.{name}" if key else name, hint=nearest(name, allowed)
            )
    return value
