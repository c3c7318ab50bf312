#!/usr/bin/python
# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Tells Kraken what was seen of nodes."""

from __future__ import annotations

DOCUMENTATION = r"""
module: discovery
short_description: Tell Kraken what was seen of nodes (Dsc)
version_added: 0.1.0
description:
  - What a playbook has found out about nodes becomes discovered state (Dsc), as if Kraken had looked itself. So a playbook
    can be a discovery for which there is no other, or tell news before the next look is due.
  - Tell only what was seen, never what was meant. Kraken acts on it.
  - It is stamped by the collector that runs a node, wherever it is told, with the source C(reported by NAME). Kraken's own
    later looks replace it.
  - All of it is taken in or nothing. Refused are values that no Kraken module declares; nodes that no collector runs or
    whose collector is not reached; what a mutation is changing just now, or was seen later by somebody else; and values
    that count only while another variable has a value that it has not.
options:
  nodes:
    description:
      - The nodes of which O(dsc) was seen, as nodesets in ClusterShell's syntax. V(n[0001-0128],login1), V(@compute).
      - There is no default. Neither the current host nor every node is ever assumed.
    type: list
    elements: str
  dsc:
    description:
      - Variables to the values seen. V(UNKNOWN) says that nobody knows any more.
      - Values are words. Quote what YAML would read as a boolean or a number.
    type: dict
  per_node:
    description:
      - What was seen where nodes differ, as nodeset to variables to values. It wins over O(dsc). Tell of many nodes so in one
        task, not in one task for each.
    type: dict
  age:
    description:
      - Seconds since it was seen. What is older than what Kraken knows is refused.
      - Say it when values come from facts that were gathered earlier.
    type: float
    default: 0.0
extends_documentation_fragment:
  - kraken.hpc.connection
  - kraken.hpc.nodes.confirm
attributes:
  check_mode:
    description: Whether it can say what would change and change nothing.
    support: full
  diff_mode:
    description: Whether it can show what it changes, before and after.
    support: full
author:
  - The Kraken developers (@kraken-hpc)
"""

EXAMPLES = r"""
- name: The service was seen to run on two nodes
  kraken.hpc.discovery:
    nodes: n[0001-0002]
    dsc: {service: RUNNING}
  delegate_to: localhost

- name: Two nodes that differ, told of in one call
  kraken.hpc.discovery:
    per_node:
      n0001: {service: RUNNING}
      n0002: {service: FAILED}
  delegate_to: localhost

- name: What the facts of this play's hosts said a minute ago
  kraken.hpc.discovery:
    nodes: "{{ ansible_play_hosts }}"
    dsc: {run_state: SYNC}
    age: 60
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
changed_nodes:
  description: The nodes of which something else is known now (in check mode, would be), folded. Empty when none.
  returned: success
  type: str
  sample: n[0001-0002]
changes:
  description: What is known now and was not, equal changes together. What was known already is merely seen again.
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
    dsc:
      description: For each variable that changed, its value before and after. Null means unknown.
      type: dict
  sample: [{nodeset: 'n[0001-0002]', count: 2, dsc: {service: [STOPPED, RUNNING]}}]
problem:
  description: Kraken's own account of why it refused, a problem document (RFC 9457).
  returned: when Kraken refused
  type: dict
  sample: {type: unknown-node, status: 404, detail: unknown node n9; nothing was done, part: n9}
"""

from ansible_collections.kraken.hpc.plugins.module_utils.changes import as_diff, changed_nodes, fold_alike
from ansible_collections.kraken.hpc.plugins.module_utils.client import KrakenError
from ansible_collections.kraken.hpc.plugins.module_utils.task import CONFIRM_MANY, check_words, run


def main():
    spec = {
        "nodes": {"type": "list", "elements": "str"},
        "dsc": {"type": "dict"},
        "per_node": {"type": "dict"},
        "age": {"type": "float", "default": 0.0},
        "confirm_many": CONFIRM_MANY,
    }
    run(tell, spec, required_one_of=[("dsc", "per_node")], required_together=[("nodes", "dsc")])


def tell(task):
    """Tell what was seen."""
    body = {
        "observations": read_observations(task),
        "age_s": task.params["age"],
        "dry_run": task.is_check,
        "yes": task.params["confirm_many"],
    }
    items = task.client.call("POST", "/v1/observations", body=body, expect="items")
    changes = fold_alike([item for item in items if item["changed"]], lambda item: {"dsc": item["diff"]})
    task.result.update(changed=bool(changes), changes=changes, changed_nodes=changed_nodes(items))
    if task.shows_diff:
        task.result["diff"] = as_diff(changes, [("dsc", "Dsc")])
    return ""


def read_observations(task):
    """Nodeset -> variable -> value."""
    params = task.params
    observations = {}
    task.options["age_s"] = "age"
    if params["dsc"] is not None:
        observations[task.nodeset()] = check_words("dsc", params["dsc"])
    for nodeset, own in (params["per_node"] or {}).items():
        where = "per_node.%s" % nodeset
        if not isinstance(own, dict):
            raise KrakenError("%s must map variables to values, not be a %s" % (where, type(own).__name__))
        checked = check_words(where, own)
        observations[str(nodeset)] = dict(observations.get(nodeset, {}), **checked)
        task.options.update(("observations.%s.%s" % (nodeset, name), "%s.%s" % (where, name)) for name in checked)
    task.options.update(("observations.%s." % nodeset, "dsc.") for nodeset in observations)
    empty = [nodeset for nodeset, values in observations.items() if not values]
    if empty or not observations:
        raise KrakenError("nothing was seen of %s; nothing was done" % (", ".join(empty) or "any node"))
    return observations


if __name__ == "__main__":
    main()
