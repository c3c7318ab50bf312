#!/usr/bin/python
# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Invites collectors into the tree, and revokes them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: collector
short_description: Invite a collector, or revoke one
version_added: 0.1.0
description:
  - Makes the one-time token with which another daemon joins below this one, C(kraken join), or has a collector heard no
    more. Runs against the collector that is to be the parent.
  - The token is a secret until it was used. It goes to a file that only its owner can read, or into the result of a task
    that says C(no_log=true). Nothing else shows it.
options:
  name:
    description:
      - The name of the collector.
    type: str
    required: true
  state:
    description:
      - V(present) invites the collector, unless it has joined already. An invitation that is open is left as it is when
        O(dest) has a token; else it is made anew, and the former token is good no more.
      - V(absent) revokes it. Its key is good no more from then on, nor is an invitation that is open.
    type: str
    choices: [absent, present]
    default: present
  dest:
    description:
      - File for the token, on the machine where this runs. It is written whole, with mode 0600.
      - Required with O(state=present), unless the task says C(no_log=true).
    type: path
  expires:
    description:
      - Seconds for which the invitation stands.
    type: int
    default: 3600
  addresses:
    description:
      - Where the collector reaches its parent, V(head1:7411), in place of what the parent is configured with.
    type: list
    elements: str
    default: []
  force:
    description:
      - Invite also where a collector of this name has joined. Who joins with the token takes its place.
    type: bool
    default: false
  stopped:
    description:
      - With O(state=absent), vouch that the collector runs nothing any more, because its machine is off. Its nodes are given
        away at once. If that is wrong, two collectors may switch one node.
      - It may be said later as well, of one that is revoked already, while nodes wait for that.
    type: bool
    default: false
  confirm:
    description:
      - With O(state=absent), say that revoking a collector that has joined is meant.
    type: bool
    default: false
extends_documentation_fragment:
  - kraken.hpc.connection
attributes:
  check_mode:
    description: Whether it can say what would change and change nothing.
    support: full
    details: In check mode it is not judged whether nodes wait for O(stopped) of one that is revoked already
  diff_mode:
    description: Whether it can show what it changes, before and after.
    support: full
    details: The token is not shown
author:
  - The Kraken developers (@kraken-hpc)
"""

EXAMPLES = r"""
- name: Invite the collector of a rack
  kraken.hpc.collector:
    name: rack7
    dest: /root/rack7.token
  delegate_to: localhost

- name: The same, with the token in the result
  kraken.hpc.collector:
    name: rack8
  no_log: true
  register: invited
  delegate_to: localhost

- name: Revoke one that was stolen
  kraken.hpc.collector:
    name: rack7
    state: absent
    confirm: true
  delegate_to: localhost
"""

RETURN = r"""
collector:
  description: The collector of this name before the task. Null when nobody was invited under it.
  returned: success
  type: dict
  contains:
    name:
      description: Its name.
      type: str
    parent:
      description: The collector it hangs below.
      type: str
    state:
      description: C(CONNECTED), C(SILENT), C(TWINS), C(AWAY), C(INVITED), C(OVER) or C(REVOKED).
      type: str
    nodes:
      description: How many nodes it runs.
      type: int
  sample: {name: rack7, parent: head1, state: REVOKED, nodes: 0}
token:
  description: The token. Only of a task that says C(no_log=true) and names no O(dest).
  returned: when invited
  type: str
token_path:
  description: The file with the token, O(dest).
  returned: with O(dest)
  type: str
  sample: /root/rack7.token
expires_at:
  description: When the invitation is over, in seconds since the epoch.
  returned: when invited
  type: float
  sample: 1790003600.0
replaces:
  description: Whether who joins with the token takes the place of a collector that has joined.
  returned: when invited
  type: bool
elsewhere:
  description: Nodes that list the revoked collector and another one, which gets them. Folded.
  returned: when revoked
  type: str
  sample: n[0001-0064]
endless:
  description:
    - Nodes that nobody gets until the revoked collector is said to be stopped, with O(stopped). Folded.
    - It may not have heard yet that others can have them, and goes on with them for as long as its daemon runs.
  returned: when revoked
  type: str
  sample: ''
nowhere:
  description: Nodes that list the revoked collector and no other. Folded.
  returned: when revoked
  type: str
  sample: ''
problem:
  description: Kraken's own account of why it refused, a problem document (RFC 9457).
  returned: when Kraken refused
  type: dict
  sample: {type: unknown-node, status: 404, detail: unknown node n9; nothing was done, part: n9}
"""

import os
import tempfile

from ansible_collections.kraken.hpc.plugins.module_utils.client import KrakenError, Problem
from ansible_collections.kraken.hpc.plugins.module_utils.task import run

JOINED = ("CONNECTED", "SILENT", "TWINS", "AWAY")
HINTS = {"needs-confirmation": "confirm: true says that it is meant"}


def main():
    spec = {
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["absent", "present"], "default": "present"},
        "dest": {"type": "path"},
        "expires": {"type": "int", "default": 3600},
        "addresses": {"type": "list", "elements": "str", "default": []},
        "force": {"type": "bool", "default": False},
        "stopped": {"type": "bool", "default": False},
        "confirm": {"type": "bool", "default": False},
    }
    run(work, spec, HINTS)


def work(task):
    """Invite or revoke."""
    task.options["expires_s"] = "expires"
    inviting = task.params["state"] == "present"
    if inviting and not task.params["dest"] and not task.module.no_log:
        raise KrakenError("the token is a secret: name a file for it in dest, or write no_log: true; nobody was invited")
    known = task.client.call("GET", "/v1/collectors")
    row = found(task, known)
    task.result["collector"] = row and {key: row[key] for key in ("name", "parent", "state", "nodes")}
    if inviting:
        invite(task, row, known)
    else:
        revoke(task, row)
    return ""


def found(task, known):
    """The collector of this name; None: there is none, and never was."""
    name = task.params["name"]
    return next((row for row in known["collectors"] if row["name"] == name), None)


def invite(task, row, known):
    """Make a token, unless there is nobody left to be invited."""
    params, result = task.params, task.result
    state = row["state"] if row else None
    dest = params["dest"]
    if dest:
        result["token_path"] = dest
        check_place(dest)
    has_token = bool(dest) and os.path.exists(dest) and os.path.getsize(dest) > 0
    if not params["force"] and (state in JOINED or (state == "INVITED" and has_token)):
        return
    if task.is_check and known["listen"] is None:
        raise KrakenError("this daemon does not listen for collectors; nothing was done (set tree.listen in its configuration, "
                          "like '*:7411', and start it anew)")
    result["changed"] = True
    show(task, row, {"state": "INVITED", "token": "a new one"})
    if task.is_check:
        return
    result["changed"] = False
    body = {"name": params["name"], "expires_s": params["expires"], "addresses": params["addresses"]}
    made = task.client.call("POST", "/v1/collectors/invite", body=body)
    result.update(changed=True, expires_at=made["expires_at"], replaces=made["replaces"])
    if not dest:
        result["token"] = made["token"]
        return
    try:
        write(dest, made["token"])
    except OSError as error:
        raise KrakenError("%s was invited, and the token cannot be written to %s: %s (run the task again for a new one)" % (
            params["name"], dest, error.strerror))


def revoke(task, row):
    """Have it heard no more, unless it is not heard anyway and nobody waits for it."""
    params, result = task.params, task.result
    body = {"name": params["name"], "stopped": params["stopped"], "yes": params["confirm"]}
    if row is None or row["state"] in ("REVOKED", "OVER"):
        if task.is_check or not params["stopped"] or not is_waited_for(task, body):
            return
    else:
        if task.is_check and row["state"] in JOINED and not params["confirm"]:
            raise KrakenError("%s has joined, and nobody confirmed that it is to be revoked; nothing was done (%s)" % (
                params["name"], HINTS["needs-confirmation"]))
        result["changed"] = task.is_check
        show(task, row, {"state": "REVOKED"})
    if task.is_check:
        return
    done = task.client.call("POST", "/v1/collectors/revoke", body=body)
    result.update(changed=True, elsewhere=done["elsewhere"], endless=done.get("endless", ""),
                  nowhere=done["nowhere"])


def is_waited_for(task, body):
    """Whether nodes wait until somebody vouches that one that is heard no more runs nothing: then Kraken wants a yes."""
    try:
        task.client.call("POST", "/v1/collectors/revoke", body=dict(body, yes=False))
    except Problem as problem:
        if problem.type not in ("needs-confirmation", "not-found"):
            raise
        return problem.type == "needs-confirmation"
    return False


def show(task, row, after):
    """Show what changes, where that is asked for."""
    if task.shows_diff:
        header = "Collector %s" % task.params["name"]
        before = {"state": row["state"]} if row else {}
        task.result["diff"] = {"before_header": header, "after_header": header, "before": before, "after": after}


def check_place(path):
    """Raise before anything is done where the token could not be written."""
    place = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path) or not os.path.isdir(place) or not os.access(place, os.W_OK):
        raise KrakenError("dest %s cannot be written: it must be a file in a directory that is yours; nobody was invited" % path)


def write(path, token):
    """The token in a file that nobody else can read, at no instant, whole or not at all."""
    place = os.path.dirname(os.path.abspath(path))
    descriptor, draft = tempfile.mkstemp(dir=place)  # mode 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(token + "\n")
        os.replace(draft, path)
    except OSError:
        os.unlink(draft)
        raise


if __name__ == "__main__":
    main()
