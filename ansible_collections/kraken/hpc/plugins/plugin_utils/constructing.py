# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Does `compose`, `groups` and `keyed_groups` once for all hosts that are alike in what an expression reads.

Ansible's own methods evaluate each expression for the first of such hosts; what came of it is done to
the others without evaluating it again. Where that could differ from what Ansible would do (see reading.py),
Ansible does it for each host.
"""

from __future__ import annotations

import re

from ansible import constants as C
from ansible.utils.vars import combine_vars

from ansible_collections.kraken.hpc.plugins.plugin_utils.reading import MARKS, reads

try:
    # Its presence says: text is data unless it is trusted.
    from ansible.template import trust_as_template  # noqa: F401 pylint: disable=unused-import
except ImportError:  # ansible-core before 2.19 renders every text that is not marked
    from ansible.utils.unsafe_proxy import AnsibleUnsafeText as Data
else:
    Data = str
MISSING = ("no value",)  # no variable has a tuple for its value
ADDRESS = re.compile("[ _]at[ _]0x[0-9a-f]+")  # how what has no text of its own is printed
KEPT = (str, int, float, list, dict)


class Constructor:
    """What one inventory source constructs of its hosts.

    Args:
        plugin: an inventory plugin that is Constructable, with its options set and its inventory.
    """

    def __init__(self, plugin):
        self._plugin = plugin
        self._strict = plugin.get_option("strict")
        extra = plugin._vars if plugin.get_option("use_extra_vars") else None
        usual = C.DEFAULT_HASH_BEHAVIOUR == "replace" and not getattr(C, "DEFAULT_JINJA2_EXTENSIONS", None)
        compose, groups, keyed = (plugin.get_option(key) for key in ("compose", "groups", "keyed_groups"))
        self._compose = [(name, text, Memory(text if usual else None, extra)) for name, text in (compose or {}).items()]
        self._groups = [(name, text, Memory(text if usual else None, None)) for name, text in (groups or {}).items()]
        self._keyed = [(entry, Memory(_key_of(entry) if usual else None, extra)) for entry in keyed or []]

    def construct(self, name, variables):
        """Set the composed variables of a host, and add it to its constructed groups.

        Args:
            variables: those the source gives it; the inventory has them already.
        """
        host = self._plugin.inventory.hosts[name]
        for variable, text, memory in self._compose:
            self._set(host, variable, text, memory, variables)
        if not self._groups and not self._keyed:
            return
        known = combine_vars(variables, host.get_vars())
        for group, text, memory in self._groups:
            key = memory.key(known, is_condition=True)
            self._join(host, memory, key, self._plugin._add_host_to_composed_groups, {group: text}, known, False)
        for entry, memory in self._keyed:
            key = memory.key(known)
            self._join(host, memory, key, self._plugin._add_host_to_keyed_groups, [entry], variables, True)

    def _set(self, host, variable, text, memory, variables):
        inventory = self._plugin.inventory
        key = None if variable in host.vars or host.name in inventory.groups else memory.key(variables)
        if key is not None and key in memory.kept:
            value = memory.kept[key]
            if value is not MISSING:
                host.set_variable(variable, value)
            return
        self._plugin._set_composite_vars({variable: text}, variables, host.name, strict=self._strict)
        value = host.vars.get(variable, MISSING)
        plain = value is None or value is MISSING or isinstance(value, KEPT)
        if key is not None and plain and not ADDRESS.search(str(value)):
            memory.kept[key] = value  # hosts share it, as they share the variables of a group

    def _join(self, host, memory, key, construct, entries, variables, fetch):
        inventory = self._plugin.inventory
        if host.name in inventory.groups:
            key = None  # Ansible takes the group of that name for what is meant
        if key is not None and key in memory.kept:
            for group in memory.kept[key]:
                inventory.groups[group].add_host(host)
            return
        self._plugin.inventory = watched = Watched(inventory, host.name)
        try:
            construct(entries, variables, host.name, strict=self._strict, fetch_hostvars=fetch)
        finally:
            self._plugin.inventory = inventory
        if key is not None and not any(ADDRESS.search(group) for group in watched.joined):
            memory.kept[key] = tuple(watched.joined)


class Memory:
    """What came of one expression, by what it read.

    Args:
        text: the expression; None: it is evaluated for each host.
        extra: variables that win over those of a host, or None.

    Attributes:
        kept: key -> what came of it.
    """

    def __init__(self, text, extra):
        self._paths = reads(text)
        self._extra = extra or {}
        self._alive = {}  # values known by their identity
        self.kept = {}

    def key(self, variables, is_condition=False):
        """What the expression would read of these variables; None where that cannot be told."""
        if self._paths is None:
            return None
        try:
            return tuple([self._read(variables, path, is_condition) for path in self._paths])
        except TypeError:
            return None

    def _read(self, variables, path, is_condition):
        name, steps = path
        if name in self._extra:
            variables = self._extra
        elif name not in variables:
            return MISSING, -1
        value, depth = variables[name], 0
        for by_dot, step in steps:
            kind = type(value)  # one derived from dict may answer otherwise
            if kind is dict and step in value and not (by_dot and hasattr(dict, step)):
                value, depth = value[step], depth + 1
            elif hasattr(value, step):
                raise TypeError(step)  # a method: no two are alike
            elif kind is dict:
                return MISSING, depth
            else:
                break
        return self._frozen(value, is_condition), depth

    def _frozen(self, value, is_condition):
        """Something hashable, equal only for values that are the same to every expression.

        Raises:
            TypeError: there is no telling.
        """
        kind = type(value)
        if kind is Data or kind is int or kind is bool or value is None:
            return (kind, value)
        if isinstance(value, dict):
            frozen = [(self._frozen(k, is_condition), self._frozen(v, is_condition)) for k, v in value.items()]
            return (kind, tuple(frozen))
        if isinstance(value, list):
            return (kind, tuple([self._frozen(part, is_condition) for part in value]))
        if kind is float:
            return (float, repr(value))
        if not isinstance(value, str) or is_condition and kind is not str or any(mark in value for mark in MARKS):
            raise TypeError(kind)
        if kind is str:
            return (str, value)
        self._alive[id(value)] = value
        return (kind, id(value))


class Watched:
    """An inventory, and which groups a host joins in it.

    Attributes:
        joined: names, in order.
    """

    def __init__(self, inventory, host):
        self._inventory = inventory
        self._host = host
        self.joined = []

    def __getattr__(self, name):
        return getattr(self._inventory, name)

    def add_host(self, host, group=None, port=None):
        if group and host == self._host:
            self.joined.append(group)
        return self._inventory.add_host(host, group, port)

    def add_child(self, group, child):
        if child == self._host:
            self.joined.append(group)
        return self._inventory.add_child(group, child)


def _key_of(entry):
    """The expression of a keyed group, where it alone decides."""
    if not isinstance(entry, dict) or any(mark in str(entry.get("parent_group") or "") for mark in MARKS):
        return None
    return entry.get("key")
