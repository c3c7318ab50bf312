#!/usr/bin/python
# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Commands the power of nodes, now."""

from __future__ import annotations

DOCUMENTATION = r"""
module: power
short_description: Command the power of nodes, now
version_added: 0.1.0
description:
  - Switches nodes on or off, cycles, resets or shuts them down, whatever is declared, as C(kraken power) does. It is an
    order, not a state. Run twice it is done twice, so a task that ordered something is always changed.
  - To have nodes be on or off, declare it with M(kraken.hpc.state). Kraken then does it, and keeps it.
  - What Kraken would undo at once is refused, unless O(hold) keeps it from that. What may end somebody's work is refused
    without O(confirm). It is ordered for all of the nodes or for none.
options:
  command:
    description:
      - What to do. V(soft) asks the operating system to shut down, V(off) takes the power away.
    type: str
    choices: [cycle, 'off', 'on', reset, soft]
    required: true
  hold:
    description:
      - Hold the nodes first, for this reason, until they are released with M(kraken.hpc.hold).
    type: str
  confirm:
    description:
      - Say that it is meant, though it ends what runs on the nodes, or somebody else holds them, or they are more than 32.
      - This is not O(kraken.hpc.state#module:confirm_many), so that defaults for a play do not switch off what runs.
    type: bool
    default: false
  wait:
    description:
      - Wait until the effect was seen on every node, and fail when it was not on some.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds to wait at most. Without it 660 for V(soft) and 150 for all else.
    type: int
extends_documentation_fragment:
  - kraken.hpc.connection
  - kraken.hpc.nodes
attributes:
  check_mode:
    description: Whether it can say what would change and change nothing.
    support: full
  diff_mode:
    description: Whether it can show what it changes, before and after.
    support: full
    details: Before is what was last seen, and after what is ordered
author:
  - The Kraken developers (@kraken-hpc)
"""

EXAMPLES = r"""
- name: A node on, and wait until it is
  kraken.hpc.power:
    nodes: n0017
    command: 'on'
  delegate_to: localhost

- name: Off for work on it, and left alone until it is released
  kraken.hpc.power:
    nodes: n0017
    command: 'off'
    hold: memory exchange, ticket 4711
  delegate_to: localhost

- name: Reset what hangs, whatever runs there
  kraken.hpc.power:
    nodes: n[0001-0002]
    command: reset
    confirm: true
    wait: false
  delegate_to: localhost
"""

RETURN = r"""
commanded:
  description: The nodes for which it was ordered by this task (in check mode, would be), folded.
  returned: success, or failure after the order
  type: str
  sample: n[0001-0002]
repeated:
  description: The nodes on which just this was under way already. It was not ordered again.
  returned: success, or failure after the order
  type: str
  sample: ''
id:
  description: Of the order. Empty in check mode.
  returned: success, or failure after the order
  type: str
  sample: 5ad1c7e0
nodes:
  description: How it stands with each node at the end of the wait.
  returned: after a wait
  type: dict
  contains:
    NODE:
      description: One node.
      type: dict
      contains:
        power:
          description: What was last seen.
          type: str
        stage:
          description: V(OK) when the effect was seen. Else how it ended, or how far it is.
          type: str
        message:
          description: Why it ended so.
          type: str
  sample: {n0001: {power: POWER_ON, stage: OK, message: ''}}
failed_nodes:
  description: The nodes on which the effect was not seen, folded.
  returned: after a wait
  type: str
  sample: ''
problem:
  description: Kraken's own account of why it refused, a problem document (RFC 9457).
  returned: when Kraken refused
  type: dict
  sample: {type: unknown-node, status: 404, detail: unknown node n9; nothing was done, part: n9}
"""

import time

from ansible_collections.kraken.hpc.plugins.module_utils.changes import as_diff, fold_alike
from ansible_collections.kraken.hpc.plugins.module_utils.client import AwayError, KrakenError
from ansible_collections.kraken.hpc.plugins.module_utils.nodeset import fold
from ansible_collections.kraken.hpc.plugins.module_utils.task import NODES, nodesets, run

TIMEOUT_S = {"soft": 660}
TIMEOUT_S_ELSE = 150
PAUSE_S = 0.5
AWAY_S_MAX = 30.0  # a daemon that restarts is back by then
SHOWN_MAX = 6
LEADS_TO = {"on": "POWER_ON", "off": "POWER_OFF", "soft": "POWER_OFF", "cycle": "POWER_ON", "reset": "POWER_ON"}
HINTS = {
    "needs-confirmation": "confirm: true says that it is meant",
    "opposed": "hold: REASON keeps Kraken from it until the nodes are released; kraken.hpc.state declares it instead",
}


def main():
    spec = {
        "nodes": NODES,
        "command": {"type": "str", "choices": ["cycle", "off", "on", "reset", "soft"], "required": True},
        "hold": {"type": "str"},
        "confirm": {"type": "bool", "default": False},
        "wait": {"type": "bool", "default": True},
        "wait_timeout": {"type": "int"},
    }
    run(command, spec, HINTS)


def command(task):
    """Order it, and follow it; why it was not seen on some nodes."""
    params, result, do = task.params, task.result, task.params["command"]
    if params["hold"] is not None and not params["hold"].strip():
        raise KrakenError("the reason in hold is empty; whoever finds the hold will want to know")
    body = {"nodeset": task.nodeset(), "do": do, "hold": params["hold"], "yes": params["confirm"], "dry_run": task.is_check}
    before = powers(task, params["nodes"]) if task.shows_diff else []
    try:
        ordered = task.client.call("POST", "/v1/power", body=body)
    except AwayError as error:
        if task.is_check or not error.may_be_done:
            raise
        result["changed"] = True  # as far as anybody can tell
        raise AwayError("%s; whether power %s was ordered is not known: look before it is done again" % (error, do))
    under_way = set()
    if ordered["repeated"] or task.is_check:
        rows = powers(task, [ordered["repeated"]] if ordered["repeated"] else params["nodes"])
        under_way = set(row["node"] for row in rows if ordered["repeated"] or is_under_way(row, do))
    if not under_way:
        commanded = ordered["nodeset"]
    else:
        commanded = fold(row["node"] for row in powers(task, params["nodes"]) if row["node"] not in under_way)
    result.update(changed=bool(commanded), commanded=commanded, repeated=fold(under_way), id=ordered["id"])
    if task.shows_diff:
        result["diff"] = difference([row for row in before if row["node"] not in under_way], do, params["hold"])
    if task.is_check or not params["wait"]:
        return ""
    timeout_s = params["wait_timeout"]
    if timeout_s is None:
        timeout_s = TIMEOUT_S.get(do, TIMEOUT_S_ELSE)
    rows = follow(task, ordered, under_way, timeout_s)
    failed = [row for row in rows if row["stage"] != "OK"]
    result.update(
        nodes={row["node"]: {key: row[key] for key in ("power", "stage", "message")} for row in rows},
        failed_nodes=fold(row["node"] for row in failed),
    )
    return describe(do, failed, len(rows)) if failed else ""


def difference(rows, do, hold):
    """What was seen of the nodes, and what is ordered of them, as Ansible shows it with --diff."""
    ordered = {"power": (None, LEADS_TO[do]), "command": (None, do), "hold": (None, hold)}
    return as_diff(
        fold_alike(rows, lambda row: {"order": dict(ordered, power=(row["value"], LEADS_TO[do]))}),
        [("order", "Power")],
    )


def is_under_way(row, do):
    """Whether just this was ordered of the node and is not over."""
    order = row["command"]
    return order is not None and not order["over"] and order["name"] == "power_" + do


def follow(task, ordered, under_way, timeout_s):
    """Look until it is over on every node, or the time is up; how each stands then."""
    seen_at = time.monotonic()
    deadline = seen_at + timeout_s
    while True:
        try:
            found = powers(task, task.params["nodes"])
            seen_at = time.monotonic()
        except AwayError:
            if time.monotonic() >= min(deadline, seen_at + AWAY_S_MAX):
                raise
            found = []
        rows = [standing(row, ordered, row["node"] in under_way) for row in found]
        late = time.monotonic() >= deadline
        if found and (late or all(row["over"] for row in rows)):
            return rows
        time.sleep(PAUSE_S)


def standing(row, ordered, joined):
    """How the order stands with one node."""
    order = row["command"]
    told = {"node": row["node"], "power": row["value"], "over": True}
    if order is None:
        return dict(told, stage="INTERRUPTED", message="the daemon was restarted")
    if order["id"] != ordered["id"] and not (joined and order["name"] == "power_" + ordered["do"]):
        return dict(told, stage="REPLACED", message="%s commanded %s" % (order["by"], order["name"]))
    return dict(told, stage=order["stage"], message=order["message"], over=order["over"])


def powers(task, nodes):
    """How the power of these nodes stands."""
    return [
        row
        for nodeset in nodesets(nodes)
        for row in task.client.call("GET", "/v1/power", query={"nodeset": nodeset}, expect="nodes")
    ]


def describe(do, failed, number):
    """Why the task failed, in one sentence."""
    alike = fold_alike(failed, lambda row: {key: row[key] for key in ("stage", "message")})
    said = ["%s %s%s" % (one["nodeset"], one["stage"], ": " + one["message"] if one["message"] else "") for one in alike]
    more = ["and %d more" % sum(one["count"] for one in alike[SHOWN_MAX:])] if alike[SHOWN_MAX:] else []
    text = "; ".join(said[:SHOWN_MAX] + more)
    return "power %s was ordered, and its effect was not seen on %d of %d nodes: %s" % (do, len(failed), number, text)


if __name__ == "__main__":
    main()
