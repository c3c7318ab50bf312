"""Power and boot device of nodes through their BMCs, over IPMI.

Here live the sessions with BMCs, kept and given back, and the patience with each of them. Never: a
decision what to ask or whether to ask again (the engine's), a belief that a command acknowledged is
a state seen, a raw command. The daemon imports IpmiExecutor from here; nobody else imports pyghmi.

A run passes executor -> fleet (its own thread and loop) -> bmc -> wire -> session (pyghmi), and its answers
come back the same way.
"""

from kraken.executors.ipmi.executor import IpmiExecutor
from kraken.executors.ipmi.words import IpmiLimits

__all__ = ["IpmiExecutor", "IpmiLimits"]
