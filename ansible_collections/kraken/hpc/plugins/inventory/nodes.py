# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""An inventory that asks Kraken: its nodes, their attributes, Cfg, Dsc and causes."""

from __future__ import annotations

DOCUMENTATION = r"""
name: nodes
short_description: The nodes Kraken knows, as inventory
version_added: 0.1.0
description:
  - Asks Kraken's daemon, in one request, for its nodes and all it knows about them.
  - Hosts are Kraken's nodes. Groups are Kraken's groups, and those O(group_by) asks for, which the plugin makes without
    evaluating an expression for each host.
  - Attributes whose name begins with C(ansible_) become host variables of that name (C(ansible_host), C(ansible_user)).
  - Of what is declared, every host has C(kraken_attributes), C(kraken_groups), C(kraken_cfg) (desired) and
    C(kraken_cfg_source) (who declared each variable).
  - Of what was seen it has C(kraken_dsc) (discovered; a variable that is unknown now is absent), and for each variable
    C(kraken_dsc_seen_at) (when it was last seen, seconds since the epoch), C(kraken_dsc_age) (how long ago that was when the
    inventory was read, in seconds), C(kraken_dsc_source) (what saw it) and C(kraken_stale) (variables whose observation is
    older than they allow).
  - Why it is so say C(kraken_cause), C(kraken_reason), C(kraken_since), C(kraken_next) (what comes next), C(kraken_path)
    (names of the mutations that are to come), C(kraken_running), C(kraken_holds), C(kraken_failures), C(kraken_quarantined)
    (for what reason, or null) and C(kraken_collector) (who runs the node). Where that one has other Kraken modules than the
    daemon that was asked, and so may go another way than C(kraken_path), C(kraken_other_modules) says so; else it is empty.
  - What Kraken says is data. Text in it that looks like a template is never rendered.
  - When Kraken is away the source fails whole, unless O(cache_when_away); there is never half an inventory. Set
    C(any_unparsed_is_failed=true) in the section C([inventory]) of C(ansible.cfg), so that the run ends there.
  - O(compose), O(groups) and O(keyed_groups) give what they give in every inventory. An expression is evaluated once for all
    hosts that are alike in what it reads, C(kraken_attributes['rack']) once for each rack. One that calls a lookup or a filter
    this plugin does not know, or reads C(inventory_hostname), is evaluated for each host.
  - The configuration is a file named C(nodes.yml), C(kraken.yml) or C(*.kraken.yml) (or C(.yaml)).
options:
  plugin:
    description: The plugin's own name, so that a file is known to be its configuration.
    type: str
    required: true
    choices: [kraken.hpc.nodes]
  nodeset:
    description:
      - Only these nodes, in ClusterShell's syntax. V(n[0001-0128],login1), V(@compute).
      - The server selects them. Without it every node is meant.
    type: str
  cause:
    description: Only nodes of this cause, V(CONVERGED) for example. The server selects them.
    type: str
  group:
    description: Only nodes of this Kraken group. The server selects them.
    type: str
  collector:
    description: Only nodes that this collector runs. The server selects them; one that does not exist is an error.
    type: str
  group_by:
    description:
      - Which groups are made. V(group) are Kraken's own. V(cause) has a group for every cause there is, also when no node has
        it. V(collector) has one for each collector that runs nodes. V(cfg) and V(dsc) have one for each variable and value.
      - A variable that is declared or was seen once, and is not known now, has the value C(UNKNOWN) in V(dsc).
    type: list
    elements: str
    choices: [group, cause, collector, cfg, dsc]
    default: [group, cause]
  group_prefixes:
    description:
      - How the names of groups begin, for each kind in O(group_by). Kinds not named here begin as they do by default, which
        is with nothing for C(group), and with C(kraken_cause), C(kraken_collector), C(kraken_cfg), C(kraken_dsc).
      - Names of causes are in lower case, C(kraken_cause_converged); names and values of variables and collectors are as they
        are, C(kraken_dsc_phys_state_POWER_ON). Characters that no name of a group may have are replaced as Ansible does.
    type: dict
    default: {}
  group_separator:
    description: What stands between the prefix, the variable and the value.
    type: str
    default: _
  group_variables:
    description: Only these variables have groups of V(cfg) and V(dsc). Without it all have.
    type: list
    elements: str
  cache_when_away:
    description:
      - Whether the last answer is remembered, and used with a warning that tells its age when Kraken cannot be reached.
      - It is kept by O(cache_plugin), for O(cache_timeout) seconds (V(0) is for ever), whether or not O(cache) is set; V(memory),
        the default plugin, forgets it at the end of the run.
      - A refusal of Kraken, such as an unknown node in O(nodeset), is an error all the same.
    type: bool
    default: false
extends_documentation_fragment:
  - kraken.hpc.connection.plugin
  - constructed
  - inventory_cache
author:
  - The Kraken developers (@kraken-hpc)
"""

EXAMPLES = r"""
# kraken.yml: every node, over the unix socket of this machine
plugin: kraken.hpc.nodes

---
# compute.kraken.yml: one group of nodes, over TCP
plugin: kraken.hpc.nodes
url: https://head.example:8080
token_file: ~/.config/kraken/token
group: compute

---
# racks.kraken.yml: groups and variables made of what Kraken knows, remembered for a minute
plugin: kraken.hpc.nodes
nodeset: n[0001-0128]
strict: true
compose:
  rack: kraken_attributes['rack']
groups:
  powered: kraken_dsc['phys_state'] | default('') == 'POWER_ON'
keyed_groups:
  - key: kraken_attributes['arch']
    prefix: arch
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: ~/.cache/kraken-inventory
cache_timeout: 60

---
# states.kraken.yml: groups such as phys_state_POWER_ON and rack7; an answer of the last day will do when Kraken is away
plugin: kraken.hpc.nodes
group_by: [group, collector, dsc]
group_prefixes: {collector: '', dsc: ''}
group_separator: _
group_variables: [phys_state]
cache_when_away: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: ~/.cache/kraken-inventory
cache_timeout: 86400
"""

import difflib
import hashlib
import json
import os
import time

from ansible.errors import AnsibleError, AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable

from ansible_collections.kraken.hpc.plugins.module_utils.client import (
    AwayError,
    Client,
    KrakenError,
    Problem,
    SettingsError,
)
from ansible_collections.kraken.hpc.plugins.plugin_utils.constructing import Constructor
from ansible_collections.kraken.hpc.plugins.plugin_utils.grouping import Grouping

try:
    # Its presence says: text is data unless it is trusted.
    from ansible.template import trust_as_template  # noqa: F401 pylint: disable=unused-import
except ImportError:  # ansible-core before 2.19 renders every text that is not marked
    from ansible.utils.unsafe_proxy import wrap_var as as_data
else:

    def as_data(value):
        return value


FILE_NAMES = ("nodes", "kraken")
EXTENSIONS = (".yml", ".yaml")
CONNECTION = ("socket", "url", "token_file")  # what stands in the file wins over the environment as a whole
HINTS = {
    "unknown-node": "kraken.hpc.node declares nodes; without nodeset the inventory is all there are",
    "nodeset": "write it like n[0001-0008],login1 or @group; without nodeset every node is meant",
}
FILTERS = ("nodeset", "cause", "group", "collector")


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    NAME = "kraken.hpc.nodes"

    def verify_file(self, path):
        """Whether the file's name says it is this plugin's configuration."""
        stem, extension = os.path.splitext(os.path.basename(path))
        named = stem in FILE_NAMES or stem.endswith(".kraken")
        return super().verify_file(path) and named and extension in EXTENSIONS

    def parse(self, inventory, loader, path, cache=True):
        """Fill the inventory, or raise AnsibleParserError and leave it as it was."""
        super().parse(inventory, loader, path, cache)
        config = self._read_config_data(path)
        undo = Undo(self.inventory)
        try:
            self._refuse_unknown(config)
            grouping = Grouping(*(self.get_option(key) for key in Grouping.OPTIONS))
            options = {key: self.get_option(key) if key in config else None for key in CONNECTION}
            options.update(ca_path=self.get_option("ca_path"), timeout=self.get_option("timeout"))
            client = Client(options)
            for warning in client.warnings:
                self.display.warning(warning)
            asked_at, nodes = self._answer(client, cache, path)
            age_s = max(0.0, time.time() - asked_at)
            names, hosts = understood(client, grouping, nodes, age_s)
            for variable, hint in grouping.unknown(nodes):
                self.display.warning("kraken.hpc.nodes, %s: group_variables: no node has %s%s" % (path, variable, hint))
            self._add_groups(names)
            self._add_hosts(nodes, hosts, grouping)
        except Problem as problem:
            # Ansible says the causes of an error behind it, and this one has said them.
            raise AnsibleParserError("kraken.hpc.nodes, %s: %s" % (path, problem.sentence(HINTS))) from None
        except KrakenError as error:
            raise AnsibleParserError("kraken.hpc.nodes, %s: %s" % (path, error)) from None
        except Exception:  # an expression of compose, groups or keyed_groups
            undo.all(node["name"] for node in nodes)
            raise

    def _refuse_unknown(self, config):
        """Ansible takes any key; here a mistyped filter would make the inventory every node there is."""
        known = {"plugin"}
        for name, definition in self.option_definitions.items():
            known.update([name] + [alias if isinstance(alias, str) else alias["name"] for alias in definition.get("aliases", [])])
        for key in sorted(str(key) for key in config if key not in known):
            near = difflib.get_close_matches(key, known, 1)
            raise SettingsError("unknown option %s%s" % (key, " (did you mean %s?)" % near[0] if near else ""))

    def _answer(self, client, cache, path):
        """When Kraken was asked, and its nodes: now, or remembered if the user wants that."""
        query = {key: self.get_option(key) for key in FILTERS}
        when_away = self.get_option("cache_when_away")
        if not self.get_option("cache") and not when_away:
            return time.time(), client.nodes(view="full", **query)
        if not self.get_option("cache"):
            self.load_cache_plugin()
        key = cache_key(client.address, query)
        if self.get_option("cache") and cache and (remembered := self._remembered(key)):
            return remembered
        try:
            asked_at, nodes = time.time(), client.nodes(view="full", **query)
        except AwayError as error:
            remembered = self._remembered(key) if when_away else None
            if remembered is None:
                if when_away:
                    raise AwayError("%s; nor is there an answer in the cache" % error) from None
                raise
            age = duration(time.time() - remembered[0])
            self.display.warning("kraken.hpc.nodes, %s: %s; the inventory is what Kraken said %s ago" % (path, error, age))
            return remembered
        self._cache[key] = {"asked_at": asked_at, "nodes": json.dumps(nodes)}  # a text is written faster than its parts
        return asked_at, nodes

    def _remembered(self, key):
        """What the cache has, unless that is too old, or not whole."""
        try:
            kept = self._cache[key]
            return float(kept["asked_at"]), json.loads(str(kept["nodes"]))
        except (KeyError, TypeError, ValueError):
            return None
        except AnsibleError as error:
            self.display.warning("kraken.hpc.nodes: the cache counts for nothing: %s" % error)
            return None

    def _add_groups(self, names):
        meant = {}
        for name, what in names:
            safe = self._sanitize_group_name(name)
            if meant.setdefault(safe, what) != what:
                self.display.warning("Kraken's %s and %s are one group here, %s" % (meant[safe], what, safe))
            self.inventory.add_group(safe)

    def _add_hosts(self, nodes, hosts, grouping):
        constructor = Constructor(self)
        groups = {}
        for node, variables in zip(nodes, hosts):
            name = node["name"]
            self.inventory.add_host(name)
            host = self.inventory.hosts[name]
            for group in grouping.of(node):
                if group not in groups:
                    groups[group] = self.inventory.groups[self._sanitize_group_name(group)]
                groups[group].add_host(host)
            variables = as_data(variables)
            for variable, value in variables.items():
                host.set_variable(variable, value)
            constructor.construct(name, variables)


class Undo:
    """What an inventory was, so that a source that fails midway leaves it so."""

    def __init__(self, inventory):
        self._inventory = inventory
        self._hosts = set(inventory.hosts)
        self._groups = set(inventory.groups)
        self._before = {name: (dict(host.vars), list(host.groups)) for name, host in inventory.hosts.items()}

    def all(self, names):
        """Take back what came since of hosts, those of these names among them, and of groups."""
        inventory = self._inventory
        for name in [name for name in inventory.hosts if name not in self._hosts]:
            inventory.remove_host(inventory.hosts[name])
        for name in [name for name in inventory.groups if name not in self._groups]:
            inventory.remove_group(inventory.groups[name])
            inventory.groups.pop(name, None)  # ansible-core 2.17 looks for it by name, and takes the group
        for name in names:
            if name in self._before:
                host = inventory.hosts[name]
                host.vars, groups = self._before[name]
                for group in [group for group in host.groups if group not in groups]:
                    group.remove_host(host)


def understood(client, grouping, nodes, age_s):
    """The groups that an answer names, and the variables of each host.

    Raises:
        AwayError: it is not what this collection reads.
    """
    try:
        return grouping.names(nodes), [host_vars(node, age_s) for node in nodes]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AwayError(
            "the answer of Kraken at %s is none that this collection reads (%s: %s); collection and daemon may be of versions"
            " too different: upgrade the older" % (client.address, type(error).__name__, error)
        )


def host_vars(node, age_s=0.0):
    """The host variables of a node, given in the API's full view.

    Args:
        age_s: how long ago Kraken gave it.
    """
    variables = {key: value for key, value in node["attributes"].items() if key.startswith("ansible_")}
    records = node.get("records", {})
    seen = records.get("dsc", {})
    variables.update(
        kraken_attributes=node["attributes"],
        kraken_cfg=node["cfg"],
        kraken_cfg_source={variable: record["source"] for variable, record in records.get("cfg", {}).items()},
        kraken_dsc=node["dsc"],
        kraken_dsc_seen_at={variable: record["seen_at"] for variable, record in seen.items()},
        kraken_dsc_age={variable: round(record["age_s"] + age_s, 1) for variable, record in seen.items()},
        kraken_dsc_source={variable: record["source"] for variable, record in seen.items()},
        kraken_stale=sorted(variable for variable, record in seen.items() if record.get("stale")),
        kraken_cause=node["cause"],
        kraken_reason=node.get("reason", ""),
        kraken_since=node.get("since"),
        kraken_next=node.get("explanation", {}).get("next", ""),
        kraken_collector=node.get("collector", ""),
        kraken_groups=node["groups"],
        kraken_path=[step["name"] for step in node.get("path") or []],
        kraken_other_modules=node.get("other_modules", ""),
        kraken_running=node.get("running") or [],
        kraken_holds=node.get("holds") or [],
        kraken_failures=node.get("failures", 0),
        kraken_quarantined=node.get("quarantined"),
    )
    return variables


def cache_key(address, query):
    """Under what the answer of this Kraken to this query is remembered."""
    asked = json.dumps([address, query], sort_keys=True)
    return "kraken_hpc_nodes2_" + hashlib.sha256(asked.encode("utf-8")).hexdigest()[:32]


def duration(seconds):
    """How long that is, in the largest unit of which there are two."""
    for unit, length_s in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length_s:
            return "%d %s" % (seconds // length_s, unit)
    return "%d seconds" % max(0, seconds)
