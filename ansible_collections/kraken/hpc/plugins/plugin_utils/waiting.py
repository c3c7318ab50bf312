# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Shows how a wait goes on, which a module cannot before it ends: it is done in parts."""

from __future__ import annotations

import time

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible.utils.vars import merge_hash

FIRST_S = 5.0  # most waits are over by then, and cost no second start of a module
PART_S = 10.0  # of which a start costs some hundredths
REMIND_S = 60.0  # that it still is as it was is said so often

display = Display()


class WaitingAction(ActionBase):
    """Performs a module that may wait, and says on standard error who remains, when that changes."""

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp=None, task_vars=None):
        """As the module does it; in one piece where it is not to wait, or nobody looks on (C(async))."""
        result = super().run(tmp, task_vars)
        is_async = self._task.async_val and not self._connection.has_native_async
        waits = boolean(self._task.args.get("wait", False), strict=False)
        if not waits or self._task.check_mode or self._task.async_val:
            result = merge_hash(result, self._execute_module(task_vars=task_vars, wrap_async=is_async))
        else:
            result = merge_hash(result, self._in_parts(task_vars))
        if not is_async:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

    def _in_parts(self, task_vars):
        progress = Progress(self._task.action, self._task.no_log)
        found = self._part(task_vars, {"part_s": FIRST_S})
        told = found.pop("_part", None)
        declared = found
        while told:
            progress.show(told)
            asked_at = time.monotonic()
            found = self._part(task_vars, {"part_s": PART_S, "before": told})
            told, before = found.pop("_part", None), told
            if told:
                add_start(told, time.monotonic() - asked_at - (told["waited_s"] - before["waited_s"]))
        return dict(found, **dict(declared, **{name: found[name] for name in ("failed", "msg") if name in found}))

    def _part(self, task_vars, part):
        args = dict(self._task.args, part=part)
        found = self._execute_module(module_args=args, task_vars=task_vars)
        found.get("invocation", {}).get("module_args", {}).pop("part", None)
        return found


def add_start(part, seconds):
    """A part took so much longer than it waited: its module had to be started, and that counts as well."""
    part["waited_s"] += max(0.0, seconds)
    if part["away_s"]:
        part["away_s"] += max(0.0, seconds)


class Progress:
    """Says how a wait goes on.

    Args:
        action: whose wait it is.
        is_secret: nothing is to be said of the task.
    """

    def __init__(self, action, is_secret):
        self._action = action
        self._is_secret = is_secret
        self._said = ""
        self._said_at = 0.0

    def show(self, part):
        """A part is over, and told this."""
        waited_s, text = part["waited_s"], part["text"]
        if self._is_secret or (text == self._said and waited_s - self._said_at < REMIND_S):
            return
        self._said, self._said_at = text, waited_s
        display.display("%s waits for %d s: %s" % (self._action, waited_s, text), stderr=True)
