"""Power, boot device, inventory, sensors and logs of nodes through their BMCs, over Redfish (DSP0266).

Here live the connections to BMCs and the sessions on them, kept and given back, and the patience with
each of them. Never: a decision what to ask or whether to ask again (the engine's), a belief that a
request acknowledged is a state seen, a request that is not in `verbs`. The daemon imports
RedfishExecutor from here; nobody else imports aiohttp.

A run passes executor -> bmc -> talk -> wire -> aiohttp, all in the loop of the daemon; `system` says
what the documents of a BMC mean. The other way, `events` says that there is news, never what.
"""

from kraken.executors.redfish.executor import RedfishExecutor
from kraken.executors.redfish.words import RedfishLimits

__all__ = ["RedfishExecutor", "RedfishLimits"]
