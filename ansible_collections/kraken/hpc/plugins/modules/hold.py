#!/usr/bin/python
# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Has nodes left alone, or lifts that."""

from __future__ import annotations

DOCUMENTATION = r"""
module: hold
short_description: Have nodes left alone, or release them
version_added: 0.1.0
description:
  - A hold says who wants a node left alone, why, and until when. No mutation starts on a held node, whatever is declared.
    What is under way ends by itself, and discovery goes on.
  - Holds stack. A node is free when its last one is gone.
  - A collector that is not reached does not know of a hold yet and goes on with its nodes. The task warns of that.
  - The owner of a hold is who asks. Over O(socket) that is the user this runs as, or O(owner). Over O(url) it is the name
    of the token.
options:
  state:
    description:
      - V(present) sets a hold on those of the nodes that have none of this owner for this reason yet.
      - V(absent) lifts the holds of the nodes, all of them, or only those that O(owner) and O(reason) name.
    type: str
    choices: [absent, present]
    default: present
  reason:
    description:
      - Why, for whoever finds the hold. Required with O(state=present).
      - With O(state=absent), only holds of exactly this reason are lifted.
    type: str
  owner:
    description:
      - Who holds the nodes. With O(state=present) over O(url) the token says who, and another is refused.
      - With O(state=absent), only holds of this owner are lifted.
    type: str
  until:
    description:
      - When the hold lifts itself, as V(2026-12-24T18:00:00+01:00) or V(2026-12-24 18:00) (local time of the machine where
        this runs), within 100 years. Without it and O(duration) the hold stands until it is released.
      - A hold of this owner for this reason that ends at another time is replaced; the nodes are never free in between.
      - Where the clocks of this machine and of Kraken differ, the end differs as much.
    type: str
  duration:
    description:
      - How long the hold lasts, V(90m), V(4h), V(2d), or seconds. A hold of this owner for this reason that stands is left
        as it is.
    type: str
extends_documentation_fragment:
  - kraken.hpc.connection
  - kraken.hpc.nodes
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
- name: Leave a node alone while its memory is exchanged
  kraken.hpc.hold:
    nodes: n0017
    reason: memory exchange, ticket 4711
    duration: 4h
  delegate_to: localhost

- name: Leave a rack alone over the holidays
  kraken.hpc.hold:
    nodes: n[0001-0008]
    reason: no power in row 7
    until: "2099-01-02T08:00:00+01:00"
  delegate_to: localhost

- name: The memory is in
  kraken.hpc.hold:
    nodes: n0017
    reason: memory exchange, ticket 4711
    state: absent
  delegate_to: localhost
"""

RETURN = r"""
changed_nodes:
  description: The nodes on which holds were set or lifted (in check mode, would be), folded. Empty when none.
  returned: success
  type: str
  sample: n0017
holds:
  description: The holds that stand on the nodes now (in check mode, would stand), equal ones together. The freeze is not among them.
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
    owner:
      description: Who.
      type: str
    reason:
      description: Why.
      type: str
    until:
      description: Until when, in seconds since the epoch. Null means until it is released.
      type: float
  sample: [{nodeset: n0017, count: 1, owner: ada, reason: 'memory exchange, ticket 4711', until: 1790014400.0}]
problem:
  description: Kraken's own account of why it refused, a problem document (RFC 9457).
  returned: when Kraken refused
  type: dict
  sample: {type: unknown-node, status: 404, detail: unknown node n9; nothing was done, part: n9}
"""

import datetime
import math
import re
import time

from ansible_collections.kraken.hpc.plugins.module_utils.changes import fold_alike
from ansible_collections.kraken.hpc.plugins.module_utils.client import KrakenError
from ansible_collections.kraken.hpc.plugins.module_utils.nodeset import fold
from ansible_collections.kraken.hpc.plugins.module_utils.task import CONFIRM_MANY, NODES, run

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
DURATION = re.compile(r"^(?:(\d+(?:\.\d+)?)([smhd]))+$")
LONGEST_S = 100 * 365.25 * 86400.0  # what Kraken takes
SAME_S = 60.0  # ends that differ by less are the same: the end is told as a duration, to a clock of another machine


def main():
    spec = {
        "nodes": NODES,
        "state": {"type": "str", "choices": ["absent", "present"], "default": "present"},
        "reason": {"type": "str"},
        "owner": {"type": "str"},
        "until": {"type": "str"},
        "duration": {"type": "str"},
        "confirm_many": CONFIRM_MANY,
    }
    run(work, spec, mutually_exclusive=[("until", "duration")], required_if=[("state", "present", ["reason"])])


def work(task):
    """Set or lift holds."""
    params = task.params
    lifting = params["state"] == "absent"
    if lifting and (params["until"] or params["duration"]):
        raise KrakenError("until and duration say how long a hold lasts; leave them out with state=absent")
    if params["reason"] is not None and not params["reason"].strip():
        raise KrakenError("the reason is empty; whoever finds the hold will want to know")
    task.nodeset()  # refused here where it selects nobody
    for_s = None if lifting else read_length(params["until"], params["duration"])
    if not lifting and params["owner"]:
        if task.client.url:
            raise KrakenError("over url the token says who holds the nodes; leave out owner")
        task.client.claim(params["owner"])
    before = holds_of(task)
    touched, after = release(task, before) if lifting else hold(task, before, for_s)
    task.result.update(changed=bool(touched), changed_nodes=fold(touched))
    if touched and not task.is_check:
        after = holds_of(task)
    task.result["holds"] = told(after)
    if task.shows_diff:
        task.result["diff"] = shown(before, after, touched)
    return ""


def hold(task, before, for_s):
    """Set holds where there are none such; the nodes, and the holds that then stand."""
    params = task.params
    reason, owner = params["reason"].strip(), task.client.user
    wanted = None if for_s is None else time.time() + for_s
    touched, outdated = [], []
    for name, holds in before.items():
        mine = [one for one in holds if one["reason"] == reason and owner in (None, one["owner"])]
        if params["duration"] and mine:
            continue
        if any(same_end(one["until"], wanted) for one in mine):
            continue
        touched.append(name)
        outdated += [(name, one) for one in mine]
    if touched and not task.is_check:
        body = {"nodeset": fold(touched), "reason": reason, "for_s": for_s, "yes": params["confirm_many"]}
        answer = task.client.call("POST", "/v1/holds", body=body)
        task.result["changed"] = True
        for where, why in sorted((answer.get("lacking") or {}).items()):
            task.module.warn("%s: %s" % (where, why))
        lift(task, outdated)
    new = {"owner": owner, "reason": reason, "until": wanted}
    after = without(before, outdated)
    return touched, {name: holds + [new] if name in touched else holds for name, holds in after.items()}


def release(task, before):
    """Lift the holds that are meant; the nodes that had some, and the holds that then stand."""
    owner, reason = task.params["owner"], task.params["reason"]
    meant = [
        (name, one)
        for name, holds in before.items()
        for one in holds
        if owner in (None, one["owner"]) and reason in (None, one["reason"])
    ]
    touched = sorted(set(name for name, dummy in meant))
    if meant and not task.is_check:
        if reason is None:
            body = {"nodeset": fold(touched), "id": None, "owner": owner}
            task.client.call("POST", "/v1/holds/release", body=body)
        else:
            lift(task, meant)
    return touched, without(before, meant)


def lift(task, meant):
    """Lift these holds, one by one: each has an id of its own."""
    for name, one in meant:
        task.client.call("POST", "/v1/holds/release", body={"nodeset": name, "id": one["id"], "owner": None})
        task.result["changed"] = True


def holds_of(task):
    """Node -> its own holds. The freeze is every node's, and nobody's own."""
    frozen = [
        (one["owner"], one["reason"], one["created_at"])
        for one in task.client.call("GET", "/v1/holds", expect="holds")
        if one["nodeset"] == "*"
    ]
    return {
        node["name"]: [one for one in node["holds"] if (one["owner"], one["reason"], one["created_at"]) not in frozen]
        for answer in task.read("/v1/nodes", expect="nodes", view="full")
        for node in answer
    }


def without(holds, gone):
    """The holds but for some."""
    return {name: [one for one in each if (name, one) not in gone] for name, each in holds.items()}


def told(holds):
    """The holds as they are returned."""
    rows = [dict(one, node=name) for name, each in holds.items() for one in each]
    return fold_alike(rows, lambda row: {key: row[key] for key in ("owner", "reason", "until")})


def shown(before, after, touched):
    """The difference; in check mode, of whom it would be."""
    header = "Holds of " + fold(touched)
    texts = [
        "".join("%s: %s: %s\n" % (one["nodeset"], one["owner"], one["reason"]) for one in told({n: each[n] for n in touched}))
        for each in (before, after)
    ]
    return [{"before_header": header, "after_header": header, "before": texts[0], "after": texts[1]}] if touched else []


def same_end(end, wanted):
    """Whether a hold that ends then is the one that is wanted."""
    if end is None or wanted is None:
        return end is wanted
    return abs(end - wanted) < SAME_S


def read_length(until, duration):
    """Seconds from now; None: until it is released."""
    if duration:
        seconds = read_duration(duration)
    elif until:
        seconds = read_time(until) - time.time()
    else:
        return None
    if seconds <= 0:
        raise KrakenError("%s is over already; nothing was done" % (until or duration))
    if seconds > LONGEST_S:
        raise KrakenError(
            "%s is too far: a hold ends within 100 years, or, without until and duration, when it is released" % (until or duration)
        )
    return seconds


def read_duration(text):
    """Seconds of 4h, 1h30m, 90 ..."""
    text = text.strip()
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not math.isnan(seconds):
        return seconds
    if not DURATION.match(text):
        raise KrakenError("duration %s is none; write 90m, 4h, 2d, or seconds" % text)
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(r"(\d+(?:\.\d+)?)([smhd])", text))


def read_time(text):
    """Seconds since the epoch; without an offset the local time is meant."""
    try:
        return datetime.datetime.fromisoformat(re.sub("[Zz]$", "+00:00", text.strip())).timestamp()
    except ValueError:
        raise KrakenError("until %s is no time; write 2026-12-24T18:00:00+01:00, or 2026-12-24 18:00 for local time" % text)


if __name__ == "__main__":
    main()
