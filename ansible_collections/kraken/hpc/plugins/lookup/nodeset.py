# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Lookup that expands and folds nodesets."""

from __future__ import annotations

DOCUMENTATION = r"""
name: nodeset
short_description: Expand and fold nodesets
version_added: 0.1.0
description:
  - Expands nodesets, in ClusterShell's syntax, into names of nodes; with O(fold) it folds names into one nodeset.
  - It runs on the controller and asks nobody, neither Kraken nor ClusterShell.
options:
  _terms:
    description:
      - Nodesets, such as V(n[0001-0128],login1). Operators count from left to right. V(a,b) is both, V(a!b) is a without b,
        V(a&b) what is in both, V(a^b) what is in one of them. V(@compute) is a group, V(@*) everybody who is in one.
    type: list
    elements: str
    required: true
  groups:
    description:
      - Names of groups with the names in each.
      - Without it the groups of the inventory count, among them C(all).
    type: dict
  fold:
    description: Whether to give back one nodeset instead of the names.
    type: bool
    default: false
seealso:
  - plugin: kraken.hpc.expand
    plugin_type: filter
  - plugin: kraken.hpc.fold
    plugin_type: filter
author:
  - The Kraken developers (@kraken-hpc)
"""

EXAMPLES = r"""
- name: One task for each node of a nodeset
  ansible.builtin.debug:
    msg: "{{ item }}"
  loop: "{{ query('kraken.hpc.nodeset', 'n[0001-0004]!n0002') }}"

- name: The nodes of a group that are not in this play, as one nodeset
  ansible.builtin.debug:
    msg: "{{ lookup('kraken.hpc.nodeset', '@compute!n0001', fold=true) }}"
"""

RETURN = r"""
_raw:
  description: Names of nodes, each once, in the order of the nodesets; with O(fold) one nodeset, empty for no node.
  type: list
  elements: str
"""

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.kraken.hpc.plugins.module_utils.nodeset import NodesetError
from ansible_collections.kraken.hpc.plugins.plugin_utils import nodesets


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        """The names, or the nodeset in a list."""
        unknown = sorted(set(kwargs) - {"groups", "fold", "wantlist"})  # wantlist: of with_
        if unknown:
            raise AnsibleError("kraken.hpc.nodeset: unknown option %s; there are groups and fold" % unknown[0])
        self.set_options(var_options=variables, direct=kwargs)
        groups = self.get_option("groups")
        if groups is None:
            groups = (variables or {}).get("groups")
        try:
            if self.get_option("fold"):
                return [nodesets.folded(self._flatten(terms), groups)]
            return nodesets.expanded(self._flatten(terms), groups)
        except NodesetError as error:
            raise AnsibleError("kraken.hpc.nodeset: %s" % error) from error
