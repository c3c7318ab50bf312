#!/usr/bin/python
# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Asks why nodes are as they are."""

from __future__ import annotations

DOCUMENTATION = r"""
module: explain
short_description: Ask why nodes are as they are
version_added: 0.1.0
description:
  - Tells the one cause of each node, what it rests on, and what happens next, as C(kraken explain) does.
  - Up to 64 nodes that other collectors run are explained by these themselves.
options:
  each:
    description:
      - Explain each node by itself. Without it only the fold is asked for, which is what many nodes want.
    type: bool
    default: true
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
- name: Why one node does not come up
  kraken.hpc.explain:
    nodes: n0017
  register: why
  delegate_to: localhost

- name: Say it
  ansible.builtin.debug:
    var: why.lines

- name: How a whole cluster is, in a few lines
  kraken.hpc.explain:
    all: true
    each: false
  delegate_to: localhost
"""

RETURN = r"""
explanations:
  description: Each node's explanation, in the order of the nodes. Empty with O(each=false).
  returned: success
  type: list
  elements: dict
  contains:
    node:
      description: Its name.
      type: str
    cause:
      description: One of Kraken's causes.
      type: str
    reason:
      description: The same as a sentence.
      type: str
    fact:
      description:
        - What the cause rests on, as C(variable), C(value), C(wanted), C(source), C(age_s) and C(side). Null when it
          rests on nothing single.
      type: dict
    since:
      description: Since when it is so, in seconds since the epoch.
      type: float
    next:
      description: What happens next. Empty when nothing will.
      type: str
    next_at:
      description: When, in seconds since the epoch. Null when that is not known.
      type: float
    reachable:
      description: Where no path leads to the Cfg, what each variable out of reach can be instead.
      type: dict
    collector:
      description: Who says so. Empty where there is only one collector.
      type: str
  sample:
    - {node: n0017, cause: WAITING, reason: 'boot: run_state is not INIT yet (12 s of 180 s)', fact: null,
       since: 1790000000.0, next: asserts run_state=ERROR, next_at: 1790000168.0, reachable: {}, collector: ''}
folded:
  description: Nodes of equal cause and topic together, most nodes first.
  returned: success
  type: list
  elements: dict
  contains:
    cause:
      description: One of Kraken's causes.
      type: str
    count:
      description: How many nodes.
      type: int
    nodeset:
      description: The nodes, folded.
      type: str
    topic:
      description: What the cause is about. For C(NO_PATH) the variables out of reach.
      type: str
    reason:
      description: Their reason, where all have the same.
      type: str
  sample: [{cause: CONVERGED, count: 7, nodeset: 'n[0001-0007]', topic: '', reason: ''}]
causes:
  description: Each cause, and the nodes it holds for.
  returned: success
  type: dict
  sample: {CONVERGED: 'n[0001-0007]', WAITING: n0017}
lines:
  description: The fold as people read it, one line for each of its rows.
  returned: success
  type: list
  elements: str
  sample: ['n0017 WAITING: boot: run_state is not INIT yet (12 s of 180 s)']
problem:
  description: Kraken's own account of why it refused, a problem document (RFC 9457).
  returned: when Kraken refused
  type: dict
  sample: {type: unknown-node, status: 404, detail: unknown node n9; nothing was done, part: n9}
"""

from ansible_collections.kraken.hpc.plugins.module_utils.task import READING_EXCLUSIVE, READING_ONE_OF, reading_spec, run


def main():
    spec = reading_spec()
    spec.update(each={"type": "bool", "default": True})
    run(tell, spec, mutually_exclusive=READING_EXCLUSIVE, required_one_of=READING_ONE_OF)


def tell(task):
    """Ask for the explanations."""
    answers = task.read("/v1/explain", view="each" if task.params["each"] else "folded", **whole(task))
    folded = refolded([row for answer in answers for row in answer["folded"]])
    causes = {}
    for row in folded:
        causes.setdefault(row["cause"], []).append(row["nodeset"])
    task.result.update(
        explanations=[one for answer in answers for one in answer["nodes"]],
        folded=folded,
        causes={cause: ",".join(nodesets) for cause, nodesets in causes.items()},
        lines=[line_of(row) for row in folded],
    )


def whole(task):
    """This call wants to be told that every node is meant."""
    return {"all": "true"} if task.params["all"] else {}


def refolded(rows):
    """The rows of answers about parts of the nodes: those of equal cause and topic become one."""
    together = {}
    for row in rows:
        key = (row["cause"], row["topic"])
        if key not in together:
            together[key] = dict(row)
            continue
        one = together[key]
        one["count"] += row["count"]
        one["nodeset"] = "%s,%s" % (one["nodeset"], row["nodeset"])
        one["reason"] = one["reason"] if one["reason"] == row["reason"] else row["topic"]
    return sorted(together.values(), key=lambda row: -row["count"])


def line_of(row):
    """A row of the fold in words."""
    why = row["reason"] or row["topic"]
    return "%s %s%s" % (row["nodeset"], row["cause"], ": " + why if why else "")


if __name__ == "__main__":
    main()
