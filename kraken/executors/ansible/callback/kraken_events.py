"""The events of ansible-runner without what nobody listens to: a callback plugin of Ansible.

Loaded by ansible-playbook, under its interpreter, in the place of ansible-runner's own plugin, which lies in
another directory of ANSIBLE_CALLBACK_PLUGINS and does the work. Three things of it are left out (ADR 72, 88):

- It notes at each call of `Display.debug` and `Display.verbose` that a message is of that kind. No run of
  Kraken is verbose: a host and task have a hundred such calls, and none of them a message.
- Where each host goes its own way, it tells for each that a task begins, and then that the host begins it.
- It shows each failure's whole result as text beside the event. A task can give a gigabyte of it.
"""

from __future__ import annotations

import importlib
from typing import Any

DOCUMENTATION = """
name: kraken_events
type: stdout
short_description: The events of ansible-runner without what nobody listens to
options: {}  # those of the plugin `default` are added by ansible-runner's
"""
SILENT = ("debug", "verbose")
NOT_SHOWN = "{}"

_loaders: Any = importlib.import_module("ansible.plugins.loader")
_display: Any = importlib.import_module("ansible.utils.display").Display
_methods = {name: getattr(_display, name) for name in SILENT}
_runners: Any = _loaders.callback_loader.get("awx_display", class_only=True)
for _name, _method in _methods.items():  # which were replaced while that was loaded
    setattr(_display, _name, _method)


class CallbackModule(_runners):  # type: ignore[misc]
    """Tells ansible-runner what becomes of each host."""

    CALLBACK_NAME = "kraken_events"

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Show what is to be shown, and tell nobody."""
        self.set_task(task)
        super(_runners, self).v2_playbook_on_task_start(task, is_conditional)

    def _dump_results(self, *_: Any, **__: Any) -> str:
        """A result as text, which nobody reads: what is heard is the event."""
        return NOT_SHOWN
