# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Waits until nodes are what was declared, or says truly why they will not be."""

from __future__ import annotations

import time

from ansible_collections.kraken.hpc.plugins.module_utils.client import AwayError
from ansible_collections.kraken.hpc.plugins.module_utils.nodeset import fold, portions

CONVERGED = "CONVERGED"
HELD = "HELD"
SUPERSEDED = "SUPERSEDED"  # ours, not Kraken's: somebody declared something else meanwhile
HOPELESS = frozenset(["NO_PATH", "REQUIRES_UNMET", "QUARANTINED", HELD, SUPERSEDED])

PAUSE_S_MIN = 0.5
PAUSE_S_MAX = 5.0
PAUSE_GROWTH = 1.4
AWAY_S_MAX = 30.0  # a daemon that restarts is back by then
SHOWN_MAX = 6  # groups of nodes named in a message

PART = {"type": "dict"}  # of the option part: see wait_for


class Wish:
    """What was declared of which nodes.

    Args:
        names: every node, expanded.
        cfg: variable -> value wished.
        unset: variables nobody should wish anything of any more.
    """

    def __init__(self, names, cfg, unset):
        self.names = list(names)
        self.cfg = dict(cfg)
        self.unset = list(unset)

    def standing(self, node):
        """How the node stands to the wish: (cause, reason).

        CONVERGED counts only with the wished values seen: an answer computed before the
        declaration arrived does not end the wait.
        """
        for variable, value in sorted(self.cfg.items()):
            now = node["cfg"].get(variable)
            if now != value:
                return SUPERSEDED, "%s is declared %s now, by somebody else" % (variable, now or "nothing")
        for variable in sorted(self.unset):
            if variable in node["cfg"]:
                return SUPERSEDED, "%s is declared %s again, by somebody else" % (variable, node["cfg"][variable])
        if node["cause"] != CONVERGED:
            return node["cause"], node.get("reason") or ""
        for variable, value in sorted(self.cfg.items()):
            if node["dsc"].get(variable) != value:
                return "WAITING", "%s=%s is not seen yet" % (variable, value)
        return CONVERGED, ""

    def as_data(self):
        """What `wishes_of` takes."""
        return [{"names": self.names, "cfg": self.cfg, "unset": self.unset}]


class Wishes:
    """Several of them, each of nodes of its own."""

    def __init__(self, wishes):
        self._wishes = wishes
        self.names = [name for wish in wishes for name in wish.names]
        self._of = {name: wish for wish in wishes for name in wish.names}

    def standing(self, node):
        """How the node stands to the wish that is for it."""
        return self._of[node["name"]].standing(node)

    def as_data(self):
        """What `wishes_of` takes."""
        return [data for wish in self._wishes for data in wish.as_data()]


def wishes_of(data):
    """The wishes that were told so."""
    return Wishes([Wish(one["names"], one["cfg"], one["unset"]) for one in data])


class Outcome:
    """How a wait ended.

    Attributes:
        message: why it failed; "" when every node is there.
        standings: node -> (cause, reason), as last seen.
        waited_s: seconds.
        next: of a part that was over before the wait: what the next is to know; None: the wait is over.
    """

    def __init__(self, message, standings, waited_s, next=None):
        self.message = message
        self.standings = standings
        self.waited_s = waited_s
        self.next = next

    def as_result(self):
        """What a module returns about the wait."""
        by_cause = {}
        for name, (cause, dummy) in self.standings.items():
            by_cause.setdefault(cause, []).append(name)
        return {
            "causes": {cause: fold(names) for cause, names in by_cause.items()},
            "remaining": _grouped(self.standings),
            "waited_s": round(self.waited_s, 1),
        }


def wait_for(task, wish):
    """Wait as the options of the task say, and tell how it went; why it failed.

    The option `part` is from the action plugin, which shows what a module cannot show before it ends: it has the wait done in
    parts, each by a module of its own. It says how long a part may last ("part_s"), and from the second on what the one
    before told in its result, in "_part" ("before").
    """
    part = task.params["part"] or {}
    outcome = wait(task.client, wish, task.params["wait_timeout"], part.get("part_s"), part.get("before"))
    if outcome.next is not None:
        task.result["_part"] = dict(outcome.next, wishes=wish.as_data())
        return ""
    task.result.update(outcome.as_result())
    return outcome.message


def goes_on(task):
    """Whether this task is a later part of a wait, and declares nothing."""
    return bool((task.params["part"] or {}).get("before"))


def go_on(task):
    """Wait on for what an earlier part declared."""
    return wait_for(task, wishes_of(task.params["part"]["before"]["wishes"]))


def wait(client, wish, timeout_s, part_s=None, before=None, monotonic=None, sleep=None):
    """Look at the nodes until all converged, none can, or the time is up.

    A wait ends at once when nothing that remains can go on by itself. That verdict must be seen
    twice, so that one reached before the declaration arrived cannot end it.

    Args:
        part_s: after so long this part of the wait is over; None: there is but one.
        before: `Outcome.next` of the part before.

    Raises:
        Problem: Kraken refuses to tell (a node was deleted meanwhile).
        AwayError: Kraken was away for longer than AWAY_S_MAX, or until the time was up.
    """
    monotonic, sleep = monotonic or time.monotonic, sleep or time.sleep
    before = before or {}
    began = monotonic()
    started = began - before.get("waited_s", 0.0)
    seen_at = began - before.get("away_s", 0.0)
    deadline = started + timeout_s
    standings = {name: ("UNKNOWN", "not looked at yet") for name in wish.names}
    standings.update(dict.fromkeys(before.get("converged", ()), (CONVERGED, "")))
    doomed_before = before.get("is_doomed", False)
    pause_s = before.get("pause_s", PAUSE_S_MIN)
    while True:
        try:
            _observe(client, wish, standings)
            doomed = _doomed(client, standings, deadline - monotonic())
            seen_at = monotonic()
        except AwayError:
            if monotonic() >= min(deadline, seen_at + AWAY_S_MAX):
                raise
            doomed = False
        remaining = _remaining(standings)
        waited_s = monotonic() - started
        if not remaining:
            return Outcome("", standings, waited_s)
        if doomed and doomed_before:
            return Outcome(_describe("cannot converge", standings, remaining), standings, waited_s)
        if waited_s >= timeout_s:
            return Outcome(_describe("not converged within %g s" % timeout_s, standings, remaining), standings, waited_s)
        doomed_before = doomed
        if part_s is not None and monotonic() - began >= part_s:
            told = {
                "waited_s": waited_s,
                "away_s": monotonic() - seen_at,
                "pause_s": pause_s,
                "is_doomed": doomed,
                "converged": [name for name in standings if standings[name][0] == CONVERGED],
                "text": _remain(standings, remaining),
            }
            return Outcome("", standings, waited_s, told)
        sleep(max(0.0, min(pause_s, deadline - monotonic())))
        pause_s = min(PAUSE_S_MAX, pause_s * PAUSE_GROWTH)


def _observe(client, wish, standings):
    """Bring up to date the nodes that remain; when none do, all once more, for they may have drifted since."""
    remaining = _remaining(standings)
    standings.update(_look(client, wish, remaining))
    if len(remaining) < len(standings) and not _remaining(standings):
        standings.update(_look(client, wish, wish.names))


def _look(client, wish, names):
    found = {}
    for portion in portions(names):
        for node in client.nodes(nodeset=portion, view="brief"):
            found[node["name"]] = wish.standing(node)
    return {name: found.get(name, ("UNKNOWN", "Kraken's answer does not name it")) for name in names}


def _remaining(standings):
    return [name for name, (cause, dummy) in standings.items() if cause != CONVERGED]


def _doomed(client, standings, left_s):
    """Whether no remaining node can go on by itself in the time left."""
    remaining = _remaining(standings)
    if any(standings[name][0] not in HOPELESS for name in remaining):
        return False
    return not _freed_in_time(client, [name for name in remaining if standings[name][0] == HELD], left_s)


def _freed_in_time(client, held, left_s):
    """Whether some held node's every hold expires within left_s; a freeze never does by itself."""
    if not held:
        return False
    latest = time.time() + left_s  # holds carry the time of day
    for portion in portions(held):
        for node in client.nodes(nodeset=portion, view="full"):
            ends = [hold.get("until") for hold in node.get("holds") or []]
            if ends and all(end is not None and end <= latest for end in ends):
                return True
    return False


def _describe(verdict, standings, remaining):
    return "%s: %s" % (verdict, _remain(standings, remaining))


def _remain(standings, remaining):
    groups = _grouped({name: standings[name] for name in remaining})
    shown = ["%s %s%s" % (g["nodeset"], g["cause"], ": " + g["reason"] if g["reason"] else "") for g in groups[:SHOWN_MAX]]
    left = sum(group["count"] for group in groups[SHOWN_MAX:])
    if left:
        shown.append("and %d nodes more" % left)
    return "%d of %d nodes remain: %s" % (len(remaining), len(standings), "; ".join(shown))


def _grouped(standings):
    """Nodes not converged, put together by equal cause and reason, most nodes first."""
    together = {}
    for name, standing in standings.items():
        if standing[0] != CONVERGED:
            together.setdefault(standing, []).append(name)
    groups = [
        {"nodeset": fold(names), "count": len(names), "cause": cause, "reason": reason}
        for (cause, reason), names in together.items()
    ]
    return sorted(groups, key=lambda group: (-group["count"], group["nodeset"]))
