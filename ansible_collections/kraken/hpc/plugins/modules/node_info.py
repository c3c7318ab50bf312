#!/usr/bin/python
# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Asks what is declared of nodes, and what happens to them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: node_info
short_description: Ask for attributes, groups, holds and the way ahead of nodes
version_added: 0.1.0
description:
  - Tells what is declared of nodes beside their Cfg, who runs them, who holds them, and which mutations are to come.
  - Attributes never hold secrets, so neither does what this returns.
  - M(kraken.hpc.state_info) tells of Cfg and Dsc.
options:
  cause:
    description:
      - Only nodes of this cause, V(HELD).
    type: str
  group:
    description:
      - Only nodes in this group, without the V(@).
    type: str
  collector:
    description:
      - Only nodes that this collector runs. One that does not exist is an error.
    type: str
extends_documentation_fragment:
  - kraken.hpc.connection
  - kraken.hpc.nodes.reading
attributes:
  check_mode:
    description: Whether it can say what would change and change nothing.
    support: full
    details: It changes nothing in either mode
  diff_mode:
    description: Whether it can show what it changes, before and after.
    support: none
    details: It changes nothing
author:
  - The Kraken developers (@kraken-hpc)
"""

EXAMPLES = r"""
- name: What is declared of a node
  kraken.hpc.node_info:
    nodes: n0001
  register: found
  delegate_to: localhost

- name: Where its BMC is
  ansible.builtin.debug:
    msg: "{{ found.nodes.n0001.attributes['bmc.address'] | default('none is declared') }}"

- name: Every node that somebody holds
  kraken.hpc.node_info:
    all: true
    cause: HELD
  delegate_to: localhost
"""

RETURN = r"""
nodes:
  description: For each node, what is declared of it and what happens to it.
  returned: success
  type: dict
  contains:
    NODE:
      description: One node.
      type: dict
      contains:
        attributes:
          description: Its attributes.
          type: dict
        groups:
          description: Its groups.
          type: list
          elements: str
        collector:
          description: The collector that runs it. Empty where nobody does, or where there is only one.
          type: str
        cause:
          description: Why it is as it is, one of Kraken's causes.
          type: str
        reason:
          description: The same as a sentence.
          type: str
        path:
          description: The names of the mutations and discoveries that are to come, in order.
          type: list
          elements: str
        other_modules:
          description:
            - Says so where the collector that runs the node has other Kraken modules than the one that was asked, and may go
              another way than RV(nodes.NODE.path). Empty where not.
          type: str
        running:
          description: The names of those that are under way.
          type: list
          elements: str
        holds:
          description: Who has it left alone, as C(id), C(owner), C(reason), C(created_at) and C(until).
          type: list
          elements: dict
        failures:
          description: How many mutations failed on it since the last that did not.
          type: int
  sample:
    n0001:
      attributes: {bmc.address: 10.1.0.1, bmc.protocol: ipmi}
      groups: [compute]
      collector: rack7
      cause: HELD
      reason: 'ada: memory exchange'
      path: [power_on]
      other_modules: ''
      running: []
      holds: [{id: 5ad1c7e0, owner: ada, reason: memory exchange, created_at: 1790000000.0, until: null}]
      failures: 0
nodeset:
  description: The nodes, folded. Empty when none was chosen.
  returned: success
  type: str
  sample: n[0001-0008]
groups:
  description: Each of their groups, and which of the nodes are in it, folded.
  returned: success
  type: dict
  sample: {compute: 'n[0001-0008]'}
problem:
  description: Kraken's own account of why it refused, a problem document (RFC 9457).
  returned: when Kraken refused
  type: dict
  sample: {type: unknown-node, status: 404, detail: unknown node n9; nothing was done, part: n9}
"""

from ansible_collections.kraken.hpc.plugins.module_utils.nodeset import fold
from ansible_collections.kraken.hpc.plugins.module_utils.task import READING_EXCLUSIVE, READING_ONE_OF, reading_spec, run

FILTERS = ("cause", "group", "collector")  # the server's work


def main():
    spec = reading_spec()
    spec.update({key: {"type": "str"} for key in FILTERS})
    run(tell, spec, mutually_exclusive=READING_EXCLUSIVE, required_one_of=READING_ONE_OF)


def tell(task):
    """Ask for the nodes."""
    query = dict({key: task.params[key] for key in FILTERS}, view="full")
    found = [node for answer in task.read("/v1/nodes", expect="nodes", **query) for node in answer]
    groups = {}
    for node in found:
        for group in node["groups"]:
            groups.setdefault(group, []).append(node["name"])
    task.result.update(
        nodes={node["name"]: node_of(node) for node in found},
        nodeset=fold(node["name"] for node in found),
        groups={group: fold(names) for group, names in groups.items()},
    )


def node_of(node):
    """What is told of one node."""
    told = {key: node[key] for key in ("attributes", "groups", "collector", "cause", "reason", "holds", "failures")}
    for key in ("path", "running"):
        told[key] = [step["name"] for step in node[key]]
    told["other_modules"] = node.get("other_modules", "")
    return told


if __name__ == "__main__":
    main()
