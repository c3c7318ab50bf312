# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Tells Kraken's journal, once a playbook is over, what it came to on each host."""

from __future__ import annotations

DOCUMENTATION = r"""
name: journal
type: notification
short_description: Tell Kraken's journal what playbooks did to nodes
version_added: 0.1.0
description:
  - When a playbook is over, tells Kraken what it came to, so that C(kraken history) of a node shows who else touched it.
  - Told are the names of the playbook, of its plays and of who started it, on which machine, when it began and ended, and of
    each host the numbers of Ansible's recap. Of the first task that failed for good, or did not reach its host, the name
    and the message (C(msg)) are told, of a task with C(no_log) only the name. No other result leaves the controller.
  - Hosts are nodes by their name in the inventory. Hosts that Kraken does not know are no error.
  - One request for up to 2000 hosts is made, at the end of each playbook. When Kraken is away or refuses there is a warning,
    and nothing else. It is not tried again, and a playbook that is broken off reports nothing.
  - Kraken's own runs of Ansible report nothing, since they are in the journal already.
requirements:
  - named in C(callbacks_enabled), in the section C([defaults]) of C(ansible.cfg), or in E(ANSIBLE_CALLBACKS_ENABLED)
options:
  enabled:
    description:
      - Whether anything is reported. C(KRAKEN_REPORT=false ansible-playbook ...) leaves out one run.
    type: bool
    default: true
    env:
      - name: KRAKEN_REPORT
    ini:
      - section: callback_kraken_journal
        key: enabled
  unchanged:
    description:
      - Whether hosts are reported on which nothing was changed and nothing failed.
      - An entry for each host of a playbook that runs every few minutes fills the journal with what did nothing.
    type: bool
    default: true
    env:
      - name: KRAKEN_REPORT_UNCHANGED
    ini:
      - section: callback_kraken_journal
        key: unchanged
extends_documentation_fragment:
  - kraken.hpc.connection.callback
author:
  - The Kraken developers (@kraken-hpc)
"""

EXAMPLES = r"""
# ansible.cfg, on the machine where Kraken's daemon runs
# [defaults]
# callbacks_enabled = kraken.hpc.journal

# ansible.cfg, elsewhere; of playbooks that change nothing there is no word
# [defaults]
# callbacks_enabled = kraken.hpc.journal
# [callback_kraken_journal]
# url = https://head.example:8080
# token_file = ~/.config/kraken/token
# unchanged = false
"""

import json
import os
import socket
import time

from ansible import context
from ansible.plugins.callback import CallbackBase
from ansible_collections.kraken.hpc.plugins.module_utils.client import Client, KrakenError

HOSTS_MAX = 2000  # in one request: Kraken takes 10,000
NAME_MAX = 256
MESSAGE_MAX = 500
PLAYS_MAX = 50
FAILURES_MAX = 50  # kept of one host: those that a rescue mended, and the one that nothing did
ADHOC = "__adhoc_playbook__"
COUNTS = {"ok": "ok", "changed": "changed", "failures": "failed", "unreachable": "unreachable"}
COUNTS.update({name: name for name in ("skipped", "rescued", "ignored")})
CONNECTION = ("socket", "url", "token_file", "ca_path", "timeout")
HIDDEN = "hidden by no_log"


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "kraken.hpc.journal"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._recap_before = {}  # Ansible counts on from playbook to playbook
        self._began("")

    def set_options(self, *args, **kwargs):
        super().set_options(*args, **kwargs)
        self.disabled = not self.get_option("enabled")

    def v2_playbook_on_start(self, playbook):
        name = os.path.basename(playbook._file_name or "")
        self._began("ad hoc" if name == ADHOC else name)

    def v2_playbook_on_play_start(self, play):
        self._play = play.get_name()

    def v2_runner_on_start(self, host, task):
        # Not the hooks of results: Ansible copies every result for whoever has one.
        plays = self._plays.setdefault(host.get_name(), [])
        if self._play not in plays and len(plays) < PLAYS_MAX:
            plays.append(self._play)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        if not ignore_errors:
            self._failed(result)

    def v2_runner_on_unreachable(self, result):
        if not result._task.ignore_unreachable:
            self._failed(result)

    def v2_playbook_on_stats(self, stats):
        try:
            self._report(self._rows(stats))
        except Exception as error:  # whatever it is, the playbook is not to suffer from it
            self._warn("%s: %s" % (type(error).__name__, error))

    def _began(self, playbook):
        self._playbook = playbook
        self._started_at = time.time()
        self._play = ""
        self._plays = {}
        self._failures = {}

    def _failed(self, result):
        failures = self._failures.setdefault(result._host.get_name(), [])
        del failures[FAILURES_MAX - 1 :]
        failures.append({"task": _name(result.task_name), "play": _name(self._play), "message": _message(result)})

    def _rows(self, stats):
        """What is told, hosts that fared alike together."""
        together = {}
        for host in sorted(stats.processed):
            recap = stats.summarize(host)
            before = self._recap_before.get(host, {})
            counts = {told: recap[name] - before.get(name, 0) for name, told in COUNTS.items()}
            self._recap_before[host] = recap
            if not any(counts.values()):
                continue
            bad = counts["failed"] or counts["unreachable"]
            if not (bad or counts["changed"] or self.get_option("unchanged")):
                continue
            row = dict(counts, plays=[_name(play) for play in self._plays.get(host, [])], failure=None)
            failures = self._failures.get(host)
            if bad and failures:
                # Those that were rescued came first: a host that failed for good has no task after that.
                row["failure"] = failures[min(counts["rescued"], len(failures) - 1)]
            together.setdefault(json.dumps(row, sort_keys=True), (row, []))[1].append(_name(host))
        return [dict(row, hosts=hosts) for row, hosts in together.values()]

    def _report(self, rows):
        hosts = sum(len(row["hosts"]) for row in rows)
        if not hosts:
            return
        done = 0
        try:
            client = Client({name: self.get_option(name) for name in CONNECTION})
            for warning in client.warnings:
                self._display.warning("kraken.hpc.journal: %s" % warning)
            head = {
                "playbook": _name(self._playbook) or "unnamed",
                "started_at": self._started_at,
                "ended_at": max(self._started_at, time.time()),
                "check": bool(context.CLIARGS.get("check")),
                "user": _name(client.login),
                "controller": _name(socket.gethostname()),
            }
            deadline = time.monotonic() + client.timeout_s
            for part in portions(rows):
                if time.monotonic() > deadline:
                    raise KrakenError("Kraken at %s took longer than %g s" % (client.address, client.timeout_s))
                kept = client.call("POST", "/v1/playbooks", body=dict(head, results=part), expect="kept")
                told = sum(len(row["hosts"]) for row in part)
                done += told
                self._display.vv("kraken.hpc.journal: kept of %d nodes, %d hosts are none" % (kept, told - kept))
        except KrakenError as error:
            self._warn("%s%s" % (error, "; it has %d of %d hosts" % (done, hosts) if done else ""))

    def _warn(self, why):
        self._display.warning("kraken.hpc.journal: Kraken was not told of %s: %s" % (self._playbook or "the playbook", why))


def portions(rows):
    """The rows in lists that have HOSTS_MAX hosts at most; a row of more is told in several."""
    part, room = [], HOSTS_MAX
    for row in rows:
        hosts = row["hosts"]
        while hosts:
            part.append(dict(row, hosts=hosts[:room]))
            hosts, room = hosts[room:], room - len(part[-1]["hosts"])
            if not room:
                yield part
                part, room = [], HOSTS_MAX
    if part:
        yield part


def _message(result):
    """Why a task failed, in its own words; of one with no_log nothing."""
    data = result._result
    if data.get("censored") or data.get("_ansible_no_log") or result._task.no_log is True:
        return HIDDEN
    items = [item for item in data.get("results") or [] if isinstance(item, dict)]
    failed = [item for item in items if item.get("failed") or item.get("unreachable")]
    if failed:
        first = failed[0]
        hidden = first.get("censored") or first.get("_ansible_no_log")
        data = {"msg": HIDDEN} if hidden else first if first.get("msg") else data
    message = data.get("msg") or ""
    return _text(message if isinstance(message, str) else json.dumps(message, default=str), MESSAGE_MAX)


def _name(text):
    return _text(str(text), NAME_MAX)


def _text(text, length_max):
    """At most so long, and such that JSON can hold it."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= length_max else text[: length_max - 1] + "\N{HORIZONTAL ELLIPSIS}"
