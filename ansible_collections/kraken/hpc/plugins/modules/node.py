#!/usr/bin/python
# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Declares which nodes there are, and what is true of them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: node
short_description: Declare nodes, their attributes, groups and collectors
version_added: 0.1.0
description:
  - Declares nodes to Kraken, with attributes (facts about them that no mutation changes), groups and collectors, or has
    Kraken forget them. What they should be is declared with M(kraken.hpc.state).
  - Nothing is done to the machines themselves.
  - Either all nodes take the change or none does. What is not named stays as it is.
options:
  nodes:
    description:
      - The nodes meant, as nodesets in ClusterShell's syntax. V(n[0001-0128],login1).
      - With O(state=present) those that are new are made. A group, V(@compute), selects and makes none.
      - There is no default. Neither the current host nor every node is ever assumed.
    type: list
    elements: str
  per_node:
    description:
      - Attributes in which nodes differ, such as the addresses of their BMCs, as nodeset to attributes. They win over
        O(attributes). Its nodes are meant as well as those in O(nodes).
      - Declare many nodes so in one task, not in one task for each.
    type: dict
  attributes:
    description:
      - Attributes of all the nodes in O(nodes). Texts, numbers, booleans, or lists of texts.
      - Attributes are shown to everybody, so one whose name promises a secret is refused.
    type: dict
  unset:
    description:
      - Attributes to withdraw from all the nodes in O(nodes).
    type: list
    elements: str
  groups:
    description:
      - The groups the nodes in O(nodes) are in, all of them. An empty list takes the nodes out of every group.
    type: list
    elements: str
  collectors:
    description:
      - The collectors that may run the nodes in O(nodes), the preferred first. An empty list gives the nodes to the root.
      - Of one that Kraken does not know there is a warning. It may be invited later.
    type: list
    elements: str
  state:
    description:
      - V(present) declares the nodes.
      - V(absent) has Kraken forget them, with all that was declared and seen of them, and their holds. Nodes that nobody
        declared are as they should be then.
    type: str
    choices: [absent, present]
    default: present
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
- name: A rack of nodes, each with its BMC
  kraken.hpc.node:
    nodes: n[0001-0003]
    groups: [compute, rack7]
    attributes:
      bmc.protocol: ipmi
      bmc.credential: lab
    collectors: [rack7a, rack7b]
    per_node:
      n0001: {bmc.address: 10.7.0.1}
      n0002: {bmc.address: 10.7.0.2}
      n0003: {bmc.address: 10.7.0.3}
  delegate_to: localhost

- name: The root runs them again
  kraken.hpc.node:
    nodes: n[0001-0003]
    collectors: []
    unset: [rack]
  delegate_to: localhost

- name: What was sent back to the vendor
  kraken.hpc.node:
    nodes: n0017
    state: absent
  delegate_to: localhost
"""

RETURN = r"""
changed_nodes:
  description: The nodes that changed (in check mode, would change), folded. Empty when none.
  returned: success
  type: str
  sample: n[0001-0003]
created_nodes:
  description: Those of them that are new.
  returned: with O(state=present)
  type: str
  sample: n[0001-0003]
changes:
  description: What changed, equal changes together.
  returned: with O(state=present)
  type: list
  elements: dict
  contains:
    nodeset:
      description: The nodes, folded.
      type: str
    count:
      description: How many they are.
      type: int
    created:
      description: Whether they are new.
      type: bool
    attributes:
      description: For each attribute that changed, its value before and after. Null means not declared.
      type: dict
    groups:
      description: The groups before and after. Null when they did not change.
      type: list
      elements: list
  sample:
    - {nodeset: n0001, count: 1, created: true, attributes: {bmc.address: [null, 10.7.0.1]}, groups: [[], [compute]]}
problem:
  description: Kraken's own account of why it refused, a problem document (RFC 9457).
  returned: when Kraken refused
  type: dict
  sample: {type: unknown-node, status: 404, detail: unknown node n9; nothing was done, part: n9}
"""

from ansible_collections.kraken.hpc.plugins.module_utils.changes import as_diff, changed_nodes, fold_alike, warnings
from ansible_collections.kraken.hpc.plugins.module_utils.client import KrakenError, Problem
from ansible_collections.kraken.hpc.plugins.module_utils.nodeset import fold
from ansible_collections.kraken.hpc.plugins.module_utils.task import CONFIRM_MANY, nodesets, run

WISHES = ("attributes", "unset", "groups", "collectors", "per_node")


def main():
    spec = {
        "nodes": {"type": "list", "elements": "str"},
        "per_node": {"type": "dict"},
        "attributes": {"type": "dict"},
        "unset": {"type": "list", "elements": "str"},
        "groups": {"type": "list", "elements": "str"},
        "collectors": {"type": "list", "elements": "str"},
        "state": {"type": "str", "choices": ["absent", "present"], "default": "present"},
        "confirm_many": CONFIRM_MANY,
    }
    run(work, spec, required_one_of=[("nodes", "per_node")])


def work(task):
    """Declare the nodes, or have them forgotten."""
    if task.params["state"] == "absent":
        return forget(task)
    return declare(task)


def declare(task):
    """One document, so that all of it is declared or nothing."""
    document = read_document(task)
    body = {"document": {"nodes": document}, "dry_run": task.is_check, "yes": task.params["confirm_many"]}
    items = task.client.call("POST", "/v1/apply", body=body, expect="items")
    changes = fold_alike(
        [item for item in items if item["changed"]],
        lambda item: {key: item[key] for key in ("created", "attributes", "groups")},
    )
    task.result.update(
        changed=bool(changes),
        changes=changes,
        changed_nodes=changed_nodes(items),
        created_nodes=fold(item["node"] for item in items if item["created"]),
    )
    for warning in warnings(items):
        task.module.warn(warning)
    if task.shows_diff:
        made = [dict(change, declared={"declared": [None, True]} if change["created"] else None) for change in changes]
        task.result["diff"] = as_diff(made, [("declared", "Nodes"), ("attributes", "Attributes"), ("groups", "Groups")])
    return ""


def read_document(task):
    """The part `nodes` of the document that says what the options say."""
    params = task.params
    attributes = dict(params["attributes"] or {})
    check_values("attributes", attributes)
    for name in params["unset"] or []:
        if name in attributes:
            raise KrakenError("%s is both in attributes and in unset" % name)
        attributes[name] = None
    if params["collectors"] is not None:
        if "collectors" in attributes:
            raise KrakenError("the attribute collectors is given by the option collectors as well; give one")
        attributes["collectors"] = params["collectors"] or None
    document = {}
    if params["nodes"] is not None:
        fields = {"attributes": attributes}
        if params["groups"] is not None:
            fields["groups"] = params["groups"]
        document[task.nodeset()] = fields
    elif attributes or params["groups"] is not None:
        raise KrakenError("attributes, unset, groups and collectors are of the nodes in nodes, and there are none")
    for nodeset, own in (params["per_node"] or {}).items():
        if not isinstance(own, dict):
            raise KrakenError("per_node.%s must map attributes to values, not be a %s" % (nodeset, type(own).__name__))
        check_values("per_node.%s" % nodeset, own)
        task.options.update(("nodes.%s.attributes.%s" % (nodeset, name), "per_node.%s.%s" % (nodeset, name)) for name in own)
        if nodeset in document:  # the same nodeset twice would be one key
            document[nodeset]["attributes"] = dict(document[nodeset]["attributes"], **own)
        else:
            document[str(nodeset)] = {"attributes": own}
    if not document:
        raise KrakenError("nodes and per_node select nobody; nothing was done")
    for nodeset in document:
        task.options.update((("nodes.%s.%s" % (nodeset, word), word) for word in ("attributes", "groups")))
    return document


def check_values(option, attributes):
    """Raise where an attribute has no value, which would withdraw it unsaid."""
    for name, value in attributes.items():
        if value is None:
            raise KrakenError("%s.%s has no value; to withdraw an attribute name it in unset" % (option, name))


def forget(task):
    """Have those of the nodes forgotten that are declared."""
    given = [name for name in WISHES if task.params[name] is not None]
    if given:
        raise KrakenError("state=absent forgets nodes whole; leave out %s" % ", ".join(given))
    names = [name for nodeset in nodesets(task.params["nodes"]) for name in declared(task, nodeset)]
    task.result.update(changed=bool(names), changed_nodes=fold(names))
    if task.shows_diff:
        task.result["diff"] = as_diff(
            [{"nodeset": fold(names), "declared": {"declared": [True, None]}}] if names else [], [("declared", "Nodes")]
        )
    if names and not task.is_check:
        body = {"nodeset": fold(names), "yes": task.params["confirm_many"]}
        try:
            task.client.call("POST", "/v1/nodes/delete", body=body)
        except KrakenError:
            task.result.update(changed=False, changed_nodes="")
            raise
    return ""


def declared(task, nodeset):
    """The names of those of the nodes that are declared."""
    try:
        return task.client.nodes(nodeset=nodeset, view="names")
    except Problem as problem:
        unknown = problem.document.get("part")
        if problem.type != "unknown-node" or not unknown:
            raise
    try:  # one that is unknown is as it should be: the rest is asked for
        return task.client.nodes(nodeset=nodeset + "".join("!" + part for part in split(unknown)), view="names")
    except Problem as problem:
        if problem.type == "nodeset":  # nobody is left
            return []
        raise


def split(nodeset):
    """The parts of a folded nodeset: commas in brackets do not part."""
    parts, depth = [""], 0
    for letter in nodeset:
        depth += {"[": 1, "]": -1}.get(letter, 0)
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


if __name__ == "__main__":
    main()
