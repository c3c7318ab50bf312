#!/usr/bin/python
# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Asks how nodes are, and how they should be."""

from __future__ import annotations

DOCUMENTATION = r"""
module: state_info
short_description: Ask for the desired (Cfg) and the discovered state (Dsc) of nodes
version_added: 0.1.0
description:
  - Tells what nodes should be, what was last seen of them, how old that is, and why they are as they are.
  - Asks Kraken only; no node is looked at for it. M(kraken.hpc.node_info) tells of attributes and groups.
options:
  cause:
    description:
      - Only nodes of this cause, V(QUARANTINED).
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
- name: How the compute nodes are
  kraken.hpc.state_info:
    nodes: "@compute"
  register: compute
  delegate_to: localhost

- name: Go on only if every node is as declared
  ansible.builtin.assert:
    that: compute.converged
    fail_msg: "{{ compute.causes | to_json }}"

- name: Who was given up
  kraken.hpc.state_info:
    all: true
    cause: QUARANTINED
  delegate_to: localhost
"""

RETURN = r"""
nodes:
  description: For each node, what is known of its state.
  returned: success
  type: dict
  contains:
    NODE:
      description: One node.
      type: dict
      contains:
        cfg:
          description: Variables to desired values. Variables not named here are nobody's concern.
          type: dict
        dsc:
          description: Variables to discovered values. What is unknown now is absent.
          type: dict
        age_s:
          description: Variables to seconds since the value was last seen.
          type: dict
        stale:
          description: The variables that were seen too long ago to act on.
          type: list
          elements: str
        cause:
          description: Why the node is as it is, one of Kraken's causes.
          type: str
        reason:
          description: The same as a sentence.
          type: str
        since:
          description: Since when that is the cause, in seconds since the epoch.
          type: float
  sample:
    n0001:
      cfg: {phys_state: POWER_ON}
      dsc: {phys_state: POWER_ON}
      age_s: {phys_state: 12.5}
      stale: []
      cause: CONVERGED
      reason: phys_state=POWER_ON
      since: 1790000000.0
causes:
  description: Each cause, and the nodes it holds for, folded.
  returned: success
  type: dict
  sample: {CONVERGED: 'n[0001-0007]', QUARANTINED: n0008}
converged:
  description: Whether every one of the nodes is CONVERGED. True when there are none.
  returned: success
  type: bool
drift:
  description: Where the nodes are not surely as declared, equal drift together.
  returned: success
  type: list
  elements: dict
  contains:
    nodeset:
      description: The nodes, folded.
      type: str
    count:
      description: How many they are.
      type: int
    variable:
      description: What differs.
      type: str
    wanted:
      description: Its desired value.
      type: str
    seen:
      description: The value last seen.
      type: str
    known:
      description:
        - V(differs) when it was seen to be so lately, V(stale) when that is too long ago, V(unknown) when nobody has
          seen it, V(unconfirmed) when it was as declared too long ago.
      type: str
    since:
      description: When the first of the nodes began to differ, in seconds since the epoch.
      type: float
    age_s:
      description: Seconds since the oldest look at one of them. Null when there never was one.
      type: float
    cause:
      description: Why they are as they are.
      type: str
  sample:
    - {nodeset: n0008, count: 1, variable: phys_state, wanted: POWER_ON, seen: POWER_OFF, known: differs,
       since: 1790000000.0, age_s: 12.5, cause: QUARANTINED}
problem:
  description: Kraken's own account of why it refused, a problem document (RFC 9457).
  returned: when Kraken refused
  type: dict
  sample: {type: unknown-node, status: 404, detail: unknown node n9; nothing was done, part: n9}
"""

from ansible_collections.kraken.hpc.plugins.module_utils.changes import nodes_by
from ansible_collections.kraken.hpc.plugins.module_utils.nodeset import portions
from ansible_collections.kraken.hpc.plugins.module_utils.task import READING_EXCLUSIVE, READING_ONE_OF, reading_spec, run

FILTERS = ("cause", "group", "collector")  # the server's work


def main():
    spec = reading_spec()
    spec.update({key: {"type": "str"} for key in FILTERS})
    run(tell, spec, mutually_exclusive=READING_EXCLUSIVE, required_one_of=READING_ONE_OF)


def tell(task):
    """Ask for the nodes and for their drift."""
    query = dict({key: task.params[key] for key in FILTERS}, view="full")
    found = [node for answer in task.read("/v1/nodes", expect="nodes", **query) for node in answer]
    names = [node["name"] for node in found]
    drift = []
    for nodeset in portions(names):
        drift += task.client.call("GET", "/v1/drift", query={"nodeset": nodeset}, expect="rows")
    task.result.update(
        nodes={node["name"]: state_of(node) for node in found},
        causes=nodes_by(found, "cause", "name"),
        converged=all(node["cause"] == "CONVERGED" for node in found),
        drift=drift,
    )


def state_of(node):
    """What is told of one node."""
    known = {variable: record for variable, record in node["records"]["dsc"].items() if variable in node["dsc"]}
    return {
        "cfg": node["cfg"],
        "dsc": node["dsc"],
        "age_s": {variable: record["age_s"] for variable, record in known.items()},
        "stale": sorted(variable for variable, record in known.items() if record["stale"]),
        "cause": node["cause"],
        "reason": node["reason"],
        "since": node["since"],
    }


if __name__ == "__main__":
    main()
