#!/usr/bin/python
# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Asks what would be done, and has just that done."""

from __future__ import annotations

DOCUMENTATION = r"""
module: plan
short_description: Ask what would be done, and apply exactly that
version_added: 0.1.0
description:
  - With O(state=planned), tells what Kraken would do if something were declared, and changes nothing. What it returns as
    RV(plan) is a document, to be reviewed, kept, and given back.
  - With O(state=applied), does exactly what such a plan says, or nothing. When anything would be done otherwise by now, it
    is refused with the differences. A plan never undoes what somebody has declared since it was made, and one applied
    again is no change.
  - A plan rests on the Kraken modules of the collector that is asked. Where another collector, with other modules, runs
    nodes of it, a warning names them, and such a plan is refused when it is to be applied.
options:
  state:
    description:
      - Ask for a plan, or have one done.
    type: str
    choices: [applied, planned]
    default: planned
  nodes:
    description:
      - With O(state=planned), the nodes meant, as nodesets in ClusterShell's syntax. V(n[0001-0128],login1), V(@compute).
      - Neither the current host nor every node is ever assumed. A node that nobody declared is an error.
    type: list
    elements: str
  cfg:
    description:
      - With O(state=planned), what would be declared. Without it and O(unset) the plan tells what is going on anyway.
      - Values are words. Quote what YAML would read as a boolean or a number.
    type: dict
  unset:
    description:
      - With O(state=planned), variables that would be withdrawn.
    type: list
    elements: str
  plan:
    description:
      - With O(state=applied), the RV(plan) of an earlier task, as it was.
    type: dict
  wait:
    description:
      - With O(state=applied), wait until every node is what the plan declares, as M(kraken.hpc.state) does, and show meanwhile who remains.
    type: bool
    default: false
  wait_timeout:
    description:
      - Seconds to wait at most.
    type: int
    default: 600
  part:
    description:
      - Not for playbooks. With it the action plugin of this module has a wait done in parts, as that of M(kraken.hpc.state) does.
    type: dict
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
- name: What it would take
  kraken.hpc.plan:
    nodes: "@compute"
    cfg: {phys_state: POWER_ON, service: RUNNING}
  register: planned
  delegate_to: localhost

- name: Look at it
  ansible.builtin.debug:
    var: planned.lines

- name: Nobody's work ends, and every node gets there
  ansible.builtin.assert:
    that:
      - planned.disruptive_nodes == ''
      - planned.unreachable_nodes == ''

- name: Do just that
  kraken.hpc.plan:
    state: applied
    plan: "{{ planned.plan }}"
    wait: true
  delegate_to: localhost
"""

RETURN = r"""
plan:
  description: The plan, a document to be given back as it is. It names nodes, variables, values and mutations, and no secret.
  returned: with O(state=planned)
  type: dict
lines:
  description: The plan as people read it, a line for each group of nodes with equal steps.
  returned: with O(state=planned)
  type: list
  elements: str
  sample: ['n[0001-0008] (8): power_on, boot, start (61 s)', 'n0009 (1): no path: nothing leads to SYNC']
would_change:
  description: Whether any step is before any of the nodes.
  returned: with O(state=planned)
  type: bool
disruptive_nodes:
  description: The nodes on whose way is a step that can end somebody's work, folded.
  returned: with O(state=planned)
  type: str
  sample: ''
unreachable_nodes:
  description: The nodes that no path leads on, folded.
  returned: with O(state=planned)
  type: str
  sample: ''
changed_nodes:
  description: The nodes whose Cfg changed (in check mode, would change), folded. Empty when none.
  returned: with O(state=applied)
  type: str
  sample: n[0001-0008]
changes:
  description: What changed, equal changes together.
  returned: with O(state=applied)
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
left:
  description: Of nodes that have steps of the plan before them, how many these are, and how they fare.
  returned: with O(state=applied)
  type: list
  elements: dict
  contains:
    nodeset:
      description: The nodes, folded.
      type: str
    count:
      description: How many they are.
      type: int
    done:
      description: Steps behind them.
      type: int
    left:
      description: Steps before them.
      type: int
    cause:
      description: Kraken's cause.
      type: str
  sample: [{nodeset: 'n[0001-0008]', count: 8, done: 0, left: 3, cause: RUNNING}]
causes:
  description: Why each node is as it is, at the end of the wait. Kraken's cause, and the nodes it holds for, folded.
  returned: after a wait
  type: dict
  sample: {CONVERGED: 'n[0001-0008]'}
remaining:
  description: The nodes that are not what was declared, at the end of the wait, as C(nodeset), C(count), C(cause), C(reason).
  returned: after a wait
  type: list
  elements: dict
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

from ansible_collections.kraken.hpc.plugins.module_utils.changes import as_diff, changed_nodes, fold_alike
from ansible_collections.kraken.hpc.plugins.module_utils.client import KrakenError
from ansible_collections.kraken.hpc.plugins.module_utils.convergence import PART, Wish, go_on, goes_on, wait_for
from ansible_collections.kraken.hpc.plugins.module_utils.task import CONFIRM_MANY, check_words, run

HINTS = {"plan-changed": "plan again, and look at what is different"}


def main():
    spec = {
        "state": {"type": "str", "choices": ["applied", "planned"], "default": "planned"},
        "nodes": {"type": "list", "elements": "str"},
        "cfg": {"type": "dict"},
        "unset": {"type": "list", "elements": "str"},
        "plan": {"type": "dict"},
        "wait": {"type": "bool", "default": False},
        "wait_timeout": {"type": "int", "default": 600},
        "part": PART,
        "confirm_many": CONFIRM_MANY,
    }
    run(work, spec, HINTS, required_if=[("state", "planned", ["nodes"]), ("state", "applied", ["plan"])])


def work(task):
    """Ask for a plan, or have one done."""
    if goes_on(task):
        return go_on(task)
    foreign = ("plan",) if task.params["state"] == "planned" else ("nodes", "cfg", "unset")
    given = [name for name in foreign if task.params[name] is not None]
    if given:
        raise KrakenError("%s: not with state=%s" % (", ".join(given), task.params["state"]))
    return ask(task) if task.params["state"] == "planned" else apply(task)


def ask(task):
    """What would be done."""
    unset = task.params["unset"] or []
    cfg = check_words("cfg", task.params["cfg"] or {})
    both = sorted(set(cfg) & set(unset))
    if both:
        raise KrakenError("%s is both in cfg and in unset" % ", ".join(both))
    body = {"nodeset": task.nodeset(), "set": cfg, "unset": unset}
    plan = task.client.call("POST", "/v1/plan", body=body)
    if not isinstance(plan, dict) or "groups" not in plan:
        raise KrakenError("Kraken at %s answered with what is no plan" % task.client.address)
    groups = plan["groups"]
    task.result.update(
        plan=plan,
        lines=[line_of(group) for group in groups],
        would_change=any(group.get("steps") for group in groups),
        disruptive_nodes=joined(g for g in groups if any(step["disruptive"] for step in g.get("steps", []))),
        unreachable_nodes=joined(group for group in groups if "no_path" in group),
    )
    for row in plan.get("other_modules", []):
        text = "%s: it may find another way than this plan, which cannot be applied to these nodes"
        task.module.warn(text % row["message"])
    return ""


def apply(task):
    """Do just what the plan says."""
    params, result = task.params, task.result
    body = {"plan": params["plan"], "dry_run": task.is_check, "yes": params["confirm_many"]}
    answer = task.client.call("POST", "/v1/plan/apply", body=body)
    items = answer["items"]
    changes = fold_alike([item for item in items if item["changed"]], lambda item: {"cfg": item["diff"]})
    result.update(changed=bool(changes), changes=changes, changed_nodes=changed_nodes(items), left=answer["left"])
    if task.shows_diff:
        result["diff"] = as_diff(changes, [("cfg", "Cfg")])
    if task.is_check or not params["wait"]:
        return ""
    wish = Wish([item["node"] for item in items], params["plan"]["set"], params["plan"]["unset"])
    return wait_for(task, wish)


def joined(groups):
    """The nodes of several groups as one nodeset."""
    return ",".join(group["nodeset"] for group in groups)


def line_of(group):
    """A group of a plan in words."""
    lead = "%s (%d): " % (group["nodeset"], group["count"])
    if "no_path" in group:
        return lead + "no path: " + "; ".join(group["no_path"]["reasons"])
    if not group["steps"]:
        return lead + "nothing to do"
    names = [step["name"] + (" (disruptive)" if step["disruptive"] else "") for step in group["steps"]]
    return "%s%s (%g s)" % (lead, ", ".join(names), group["makespan"])


if __name__ == "__main__":
    main()
