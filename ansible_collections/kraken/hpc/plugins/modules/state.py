#!/usr/bin/python
# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Declares the desired state of nodes, and waits for it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: state
short_description: Declare the desired state (Cfg) of nodes
version_added: 0.1.0
description:
  - Declares what nodes of an HPC cluster should be. Kraken finds the mutations that lead there and performs them.
  - Says nothing about how. Whether the nodes are on, off or unknown now makes no difference to the task.
  - Changes what it names and leaves the rest of the nodes' Cfg as it is. Either all nodes take the change or none does.
  - Runs where Kraken's socket is, or anywhere with O(url). In most playbooks that is the controller, so write
    C(hosts=localhost), C(connection=local) or C(delegate_to=localhost).
options:
  cfg:
    description:
      - The desired value of each variable named.
      - Values are words. Quote what YAML would read as a boolean or a number, V('on'), V('1.10').
    type: dict
  unset:
    description:
      - Variables to withdraw from the Cfg. Nobody cares about their value any more.
    type: list
    elements: str
  state:
    description:
      - V(present) declares O(cfg) and withdraws O(unset).
      - V(restored) declares again what O(remember) has kept, but for variables that are declared otherwise by now, and O(cfg) and
        O(unset), if given, over it. Nodes of which nothing was kept take O(cfg) and O(unset) only. Nodes that differ in what they
        shall be are declared one after the other.
    type: str
    choices: [present, restored]
    default: present
  remember:
    description:
      - With O(state=present), keep what O(cfg) and O(unset) replace, until O(state=restored) declares it again. For what is
        declared for a while, so that whoever ends it need not know what was before, though it be another run, or somebody else.
      - It is kept in the attribute C(cfg.before) of each node. What was kept and still counts is not replaced, so that the same
        declaration made twice keeps what was before the first.
    type: bool
    default: false
  wait:
    description:
      - Wait until every node is what was declared, and fail when that cannot be.
      - Meanwhile a line on standard error tells who remains and why, when that changes, every ten seconds at most. Not with C(async).
      - The wait ends early when nothing that remains can go on by itself, because no path leads on (C(NO_PATH)),
        a requirement is not met (C(REQUIRES_UNMET)), Kraken gave up after failures (C(QUARANTINED)), or somebody said to
        leave the node alone (C(HELD)) for longer than the wait may last.
      - Not in check mode.
    type: bool
    default: false
  wait_timeout:
    description:
      - Seconds to wait at most.
    type: int
    default: 600
  part:
    description:
      - Not for playbooks. With it the action plugin of this module has a wait done in parts, each of which tells the next what it knows.
    type: dict
  allow_unreachable:
    description:
      - Declare also what no path of mutations reaches today, for nodes whose modules or attributes follow later.
      - Otherwise such a Cfg is refused, with the reason for each node.
    type: bool
    default: false
extends_documentation_fragment:
  - kraken.hpc.connection
  - kraken.hpc.nodes
  - kraken.hpc.nodes.confirm
attributes:
  check_mode:
    description: Whether it can say what would change and change nothing.
    support: full
  diff_mode:
    description: Whether it can show the Cfg before and after.
    support: full
author:
  - The Kraken developers (@kraken-hpc)
"""

EXAMPLES = r"""
- name: Eight nodes in service, and wait until they are
  kraken.hpc.state:
    nodes: n[0001-0008]
    cfg:
      phys_state: POWER_ON
      run_state: SYNC
      service: RUNNING
    wait: true
    wait_timeout: 900
  delegate_to: localhost

- name: Everything in a group off, however many nodes that is
  kraken.hpc.state:
    nodes: "@compute"
    cfg: {phys_state: POWER_OFF}
    unset: [run_state, service]
    confirm_many: true
  delegate_to: localhost

- name: No service for a while
  kraken.hpc.state:
    nodes: n[0001-0008]
    cfg: {service: STOPPED}
    remember: true
    wait: true
  delegate_to: localhost

- name: And what they did before
  kraken.hpc.state:
    nodes: n[0001-0008]
    state: restored
    wait: true
  delegate_to: localhost

- name: The hosts of this play, over TCP
  kraken.hpc.state:
    url: https://head.example:8080
    token_file: ~/.config/kraken/token
    nodes: "{{ ansible_play_hosts }}"
    cfg: {service: RUNNING}
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
changed_nodes:
  description: The nodes whose Cfg changed (in check mode, would change), folded. Empty when none.
  returned: success, or failure after the declaration
  type: str
  sample: n[0001-0008]
changes:
  description: What changed, equal changes together.
  returned: success, or failure after the declaration
  type: list
  elements: dict
  contains:
    nodeset:
      description: The nodes, folded.
      type: str
    count:
      description: How many they are.
      type: int
    cfg:
      description: For each variable that changed, its value before and after. Null means not declared.
      type: dict
  sample: [{nodeset: 'n[0001-0008]', count: 8, cfg: {phys_state: [POWER_OFF, POWER_ON]}}]
causes:
  description:
    - Why each node is as it is, at the end of the wait. Kraken's cause, and the nodes it holds for, folded.
    - C(SUPERSEDED) stands for nodes of which somebody else declared something else during the wait.
  returned: after a wait
  type: dict
  sample: {CONVERGED: 'n[0001-0007]', QUARANTINED: n0008}
remaining:
  description: The nodes that are not what was declared, at the end of the wait. Equal causes and reasons together.
  returned: after a wait
  type: list
  elements: dict
  contains:
    nodeset:
      description: The nodes, folded.
      type: str
    count:
      description: How many they are.
      type: int
    cause:
      description: Kraken's cause.
      type: str
    reason:
      description: Kraken's reason, a sentence.
      type: str
  sample: [{nodeset: n0008, count: 1, cause: QUARANTINED, reason: power_on failed 3 times}]
waited_s:
  description: Seconds waited.
  returned: after a wait
  type: float
  sample: 74.2
problem:
  description: Kraken's own account of why it refused, a problem document (RFC 9457).
  returned: when Kraken refused
  type: dict
  sample: {type: unknown-node, status: 404, detail: unknown node n9; nothing was done, part: n9}
"""

import json

from ansible_collections.kraken.hpc.plugins.module_utils.changes import as_diff, changed_nodes, fold_alike
from ansible_collections.kraken.hpc.plugins.module_utils.client import KrakenError
from ansible_collections.kraken.hpc.plugins.module_utils.convergence import PART, Wish, Wishes, go_on, goes_on, wait_for
from ansible_collections.kraken.hpc.plugins.module_utils.nodeset import fold
from ansible_collections.kraken.hpc.plugins.module_utils.remembering import forget, remember, remembered
from ansible_collections.kraken.hpc.plugins.module_utils.task import CONFIRM_MANY, NODES, check_words, run

HINTS = {"unreachable": "allow_unreachable: true declares it all the same"}


def main():
    spec = {
        "nodes": NODES,
        "cfg": {"type": "dict"},
        "unset": {"type": "list", "elements": "str"},
        "state": {"type": "str", "choices": ["present", "restored"], "default": "present"},
        "remember": {"type": "bool", "default": False},
        "wait": {"type": "bool", "default": False},
        "wait_timeout": {"type": "int", "default": 600},
        "part": PART,
        "allow_unreachable": {"type": "bool", "default": False},
        "confirm_many": CONFIRM_MANY,
    }
    run(work, spec, HINTS, required_if=[("state", "present", ["cfg", "unset"], True)])


def work(task):
    """Declare, and wait where that is asked for; why it failed after the declaration."""
    if goes_on(task):
        return go_on(task)
    unset = task.params["unset"] or []
    if task.params["state"] == "restored":
        if task.params["remember"]:
            raise KrakenError("remember: not with state=restored")
        return finish(task, *restore(task, check_words("cfg", task.params["cfg"] or {}), unset))
    cfg = check_cfg(task.params["cfg"] or {}, unset)
    return finish(task, *declare(task, cfg, unset))


def declare(task, cfg, unset):
    """Declare this Cfg of all nodes; Kraken's items, and what is wished."""
    if task.params["remember"] and not task.is_check:
        planned = send(task, task.nodeset(), cfg, unset, is_dry=True)  # what is wrong is told before anything is kept
        nodes = [node for answer in task.read("/v1/nodes", expect="nodes", view="full") for node in answer]
        remember(task, nodes, {item["node"]: item["diff"] for item in planned})
    items = send(task, task.nodeset(), cfg, unset, is_dry=task.is_check)
    return items, Wish([item["node"] for item in items], cfg, unset)


def restore(task, cfg, unset):
    """Declare of each node what was kept of it, and this over it; Kraken's items, and what is wished."""
    nodes = [node for answer in task.read("/v1/nodes", expect="nodes", view="full") for node in answer]
    alike = {}
    for node in nodes:
        kept = {name: pair[0] for name, pair in remembered(node).items()}
        wished = {name: value for name, value in kept.items() if value is not None or name in node["cfg"]}
        wished.update(cfg)
        wished.update((name, None) for name in unset)
        alike.setdefault(json.dumps(wished, sort_keys=True), (wished, []))[1].append(node["name"])
    items, wishes = [], []
    for wished, names in alike.values():
        wish = Wish(
            names,
            {name: value for name, value in wished.items() if value is not None},
            [name for name, value in wished.items() if value is None],
        )
        wishes.append(wish)
        if wished:
            items += send(task, fold(names), wish.cfg, wish.unset, is_dry=task.is_check)
    if not task.is_check:
        forget(task, nodes)
    return items, Wishes(wishes)


def send(task, nodeset, cfg, unset, is_dry):
    """Have Kraken change the Cfg of these nodes; its items."""
    body = {
        "nodeset": nodeset,
        "set": cfg,
        "unset": unset,
        "dry_run": is_dry,
        "allow_unreachable": task.params["allow_unreachable"],
        "yes": task.params["confirm_many"],
    }
    return task.client.call("PATCH", "/v1/cfg", body=body, expect="items")


def finish(task, items, wish):
    """Tell what changed, and wait; why it failed after the declaration."""
    params, result = task.params, task.result
    changes = fold_alike([item for item in items if item["changed"]], lambda item: {"cfg": item["diff"]})
    result.update(changed=bool(changes), changes=changes, changed_nodes=changed_nodes(items))
    if task.shows_diff:
        result["diff"] = as_diff(changes, [("cfg", "Cfg")])
    if task.is_check or not params["wait"]:
        return ""
    return wait_for(task, wish)


def check_cfg(cfg, unset):
    """The Cfg with every value a string.

    Raises:
        KrakenError: a value that YAML has already turned into something else, a variable both set
            and withdrawn, or nothing to do.
    """
    empty = sorted(variable for variable, value in cfg.items() if value is None)
    if empty:
        raise KrakenError("cfg.%s has no value; to withdraw a variable name it in unset" % empty[0])
    checked = check_words("cfg", cfg)
    both = sorted(set(checked) & set(unset))
    if both:
        raise KrakenError("%s is both in cfg and in unset" % ", ".join(both))
    if not checked and not unset:
        raise KrakenError("cfg and unset are empty; there is nothing to declare")
    return checked


if __name__ == "__main__":
    main()
