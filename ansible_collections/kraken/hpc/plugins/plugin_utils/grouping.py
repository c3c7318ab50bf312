# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""The groups of inventory plugin kraken.hpc.nodes: by Kraken's groups, causes, collectors and values."""

from __future__ import annotations

import difflib

from ansible_collections.kraken.hpc.plugins.module_utils.client import SettingsError

CAUSES = (
    "CONVERGED", "RUNNING", "HELD", "BACKOFF", "QUARANTINED", "BUDGET", "STALE", "UNKNOWN", "NO_PATH",
    "REQUIRES_UNMET", "WAITING",
)  # fmt: skip
PREFIXES = {
    "group": "", "cause": "kraken_cause", "collector": "kraken_collector", "cfg": "kraken_cfg", "dsc": "kraken_dsc",
}  # fmt: skip


class Grouping:
    """Which groups nodes are in; names are as they come, before Ansible makes them safe.

    Args:
        kinds, prefixes, separator, variables: the options of OPTIONS, in their order.

    Raises:
        SettingsError: a kind that does not exist has a prefix, or a prefix is no text.
    """

    OPTIONS = ("group_by", "group_prefixes", "group_separator", "group_variables")

    def __init__(self, kinds, prefixes, separator, variables):
        unknown = sorted(set(prefixes or {}) - set(PREFIXES))
        if unknown:
            raise SettingsError("group_prefixes: %s is none of %s" % (unknown[0], ", ".join(PREFIXES)))
        for kind, prefix in (prefixes or {}).items():
            if prefix is not None and not isinstance(prefix, str):
                raise SettingsError("group_prefixes.%s is %r, and no text: quote it" % (kind, prefix))
        self._kinds = tuple(kinds or ())
        self._prefixes = {**PREFIXES, **(prefixes or {})}
        self._separator = separator
        self._variables = None if variables is None else frozenset(variables)
        self._known = {}

    def names(self, nodes):
        """Every group there is to be, as (name, what it stands for), those of all causes with them."""
        found = dict.fromkeys(name for node in nodes for name in self._meanings(node))
        if "cause" in self._kinds:
            found.update(dict.fromkeys(("cause", cause) for cause in CAUSES))
        return [(self._name(*meaning), _said(meaning)) for meaning in sorted(found)]

    def unknown(self, nodes):
        """Of the variables that have groups those that no node has, each with a hint."""
        if not nodes or not self._variables or not {"cfg", "dsc"} & set(self._kinds):
            return
        known = set().union(*(self._named(node) for node in nodes))
        for variable in sorted(self._variables - known):
            near = difflib.get_close_matches(variable, sorted(known), 1)
            yield variable, " (did you mean %s?)" % near[0] if near else ""

    def of(self, node):
        """The names of the groups a node is in, in the order of the kinds."""
        return [self._name(*meaning) for meaning in self._meanings(node)]

    def _meanings(self, node):
        """(kind, group), (kind, cause), (kind, collector) or (kind, variable, value)."""
        for kind in self._kinds:
            if kind == "group":
                for group in node["groups"]:
                    yield kind, group
            elif kind == "cause":
                yield kind, node["cause"]
            elif kind == "collector":
                if node.get("collector"):
                    yield kind, node["collector"]
            else:
                for variable, value in self._values(kind, node):
                    if self._variables is None or variable in self._variables:
                        yield kind, variable, str(value)

    @staticmethod
    def _named(node):
        return {*node["cfg"], *node["dsc"], *node.get("records", {}).get("dsc", {})}

    def _values(self, kind, node):
        if kind == "cfg":
            return node["cfg"].items()
        known = node["dsc"]
        unknown = [*node["cfg"], *node.get("records", {}).get("dsc", {})]
        return {**dict.fromkeys(unknown, "UNKNOWN"), **known}.items()

    def _name(self, kind, *parts):
        name = self._known.get((kind, *parts))
        if name is None:
            shown = [part.lower() for part in parts] if kind == "cause" else list(parts)
            lead = self._prefixes[kind]
            name = self._known[(kind, *parts)] = self._separator.join([lead, *shown] if lead else shown)
        return name


def _said(meaning):
    """What a group stands for, in words: `group rack-1`, `dsc phys_state=POWER_ON`."""
    return "%s %s" % (meaning[0], "=".join(meaning[1:]))


def cause_group(cause):
    """The group of nodes that have this cause, by default."""
    return "%s_%s" % (PREFIXES["cause"], cause.lower())
