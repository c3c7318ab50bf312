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
  - Hosts are Kraken's nodes. Groups are Kraken's groups, and one group per cause, C(kraken_cause_converged),
    C(kraken_cause_quarantined) and so on. A cause has its group also when no node has that cause.
  - Attributes whose name begins with C(ansible_) become host variables of that name (C(ansible_host), C(ansible_user)).
  - Every host has C(kraken_attributes), C(kraken_cfg) (desired), C(kraken_dsc) (discovered, a variable that is unknown now
    is absent), C(kraken_dsc_seen_at) (when each was last seen, seconds since the epoch), C(kraken_stale) (variables whose
    observation is older than they allow), C(kraken_cause), C(kraken_reason), C(kraken_since), C(kraken_collector),
    C(kraken_groups),
    C(kraken_path) (names of the mutations that are to come), C(kraken_running), C(kraken_holds) and C(kraken_failures).
  - What Kraken says is data. Text in it that looks like a template is never rendered.
  - When Kraken is away the source fails whole; there is never half an inventory. Set
    C(any_unparsed_is_failed=true) in the section C([inventory]) of C(ansible.cfg), so that the run ends there.
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
"""

import hashlib
import json
import os

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible_collections.kraken.hpc.plugins.module_utils.client import Client, KrakenError

try:
    # Its presence says: text is data unless it is trusted.
    from ansible.template import trust_as_template  # noqa: F401 pylint: disable=unused-import
except ImportError:  # ansible-core before 2.19 renders every text that is not marked
    from ansible.utils.unsafe_proxy import wrap_var as as_data
else:

    def as_data(value):
        return value


CAUSES = (
    "CONVERGED", "RUNNING", "HELD", "BACKOFF", "QUARANTINED", "BUDGET", "STALE", "UNKNOWN", "NO_PATH",
    "REQUIRES_UNMET", "WAITING",
)  # fmt: skip
FILE_NAMES = ("nodes", "kraken")
EXTENSIONS = (".yml", ".yaml")
CONNECTION = ("socket", "url", "token_file")  # what stands in the file wins over the environment as a whole
FILTERS = ("nodeset", "cause", "group")


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
        try:
            options = {key: self.get_option(key) if key in config else None for key in CONNECTION}
            options.update(ca_path=self.get_option("ca_path"), timeout=self.get_option("timeout"))
            client = Client(options)
            for warning in client.warnings:
                self.display.warning(warning)
            nodes = self._nodes(client, cache)
        except KrakenError as error:
            raise AnsibleParserError("kraken.hpc.nodes, %s: %s" % (path, error)) from error
        self._add_groups(nodes)
        self._add_hosts(nodes)

    def _nodes(self, client, cache):
        """What Kraken answered: now, or remembered if the user wants that."""
        query = {key: self.get_option(key) for key in FILTERS}
        wanted = self.get_option("cache")
        key = cache_key(client.address, query)
        if wanted and cache:
            try:
                return self._cache[key]
            except KeyError:
                pass  # nothing remembered, or for too long
        nodes = client.nodes(view="full", **query)
        if wanted:
            self._cache[key] = nodes
        return nodes

    def _add_groups(self, nodes):
        names = {}
        for group in sorted({group for node in nodes for group in node["groups"]}):
            safe = self._sanitize_group_name(group)
            if safe in names:
                self.display.warning(
                    "Kraken's groups %s and %s are one group here, %s: rename one of them" % (names[safe], group, safe)
                )
            names[safe] = group
            self.inventory.add_group(safe)
        for cause in CAUSES:
            self.inventory.add_group(cause_group(cause))

    def _add_hosts(self, nodes):
        compose, groups, keyed = (self.get_option(key) for key in ("compose", "groups", "keyed_groups"))
        strict = self.get_option("strict")
        for node in nodes:
            name = node["name"]
            self.inventory.add_host(name)
            for group in node["groups"]:
                self.inventory.add_child(self._sanitize_group_name(group), name)
            self.inventory.add_child(self.inventory.add_group(cause_group(node["cause"])), name)
            variables = as_data(host_vars(node))
            for variable, value in variables.items():
                self.inventory.set_variable(name, variable, value)
            if compose:
                self._set_composite_vars(compose, variables, name, strict=strict)
            if groups:
                self._add_host_to_composed_groups(groups, variables, name, strict=strict)
            if keyed:
                self._add_host_to_keyed_groups(keyed, variables, name, strict=strict)


def host_vars(node):
    """The host variables of a node, given in the API's full view."""
    variables = {key: value for key, value in node["attributes"].items() if key.startswith("ansible_")}
    seen = node.get("records", {}).get("dsc", {})
    variables.update(
        kraken_attributes=node["attributes"],
        kraken_cfg=node["cfg"],
        kraken_dsc=node["dsc"],
        kraken_dsc_seen_at={variable: record["seen_at"] for variable, record in seen.items()},
        kraken_stale=sorted(variable for variable, record in seen.items() if record.get("stale")),
        kraken_cause=node["cause"],
        kraken_reason=node.get("reason", ""),
        kraken_since=node.get("since"),
        kraken_collector=node.get("collector", ""),
        kraken_groups=node["groups"],
        kraken_path=[step["name"] for step in node.get("path") or []],
        kraken_running=node.get("running") or [],
        kraken_holds=node.get("holds") or [],
        kraken_failures=node.get("failures", 0),
    )
    return variables


def cause_group(cause):
    """The group of nodes that have this cause."""
    return "kraken_cause_" + cause.lower()


def cache_key(address, query):
    """Under what the answer of this Kraken to this query is remembered."""
    asked = json.dumps([address, query], sort_keys=True)
    return "kraken_hpc_nodes_" + hashlib.sha256(asked.encode("utf-8")).hexdigest()[:32]
