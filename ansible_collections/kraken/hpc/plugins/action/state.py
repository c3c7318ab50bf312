# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""kraken.hpc.state, which shows how its wait goes on."""

from __future__ import annotations

from ansible_collections.kraken.hpc.plugins.plugin_utils.waiting import WaitingAction


class ActionModule(WaitingAction):
    """See there."""
