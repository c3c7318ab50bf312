"""A virtual cluster on one machine: every node has a real BMC over IPMI and a real sshd that it switches.

    with Cluster(size=8) as cluster:
        cluster.document()          # nodes and attributes, ready to be declared to Kraken
        cluster.nodes[0].power()    # "off", seen from the process, not asked of the BMC

Lives here: the owner's side (cluster.py), the process that owns everything that runs (supervisor.py, with
machine.py, bmc.py, processes.py), the files they share (layout.py, scripts.py), addresses and packages.
Never lives here: Kraken itself; a virtual node knows nothing of who manages it.
Who may import it: tests, benchmarks, the demo.

Two kinds of nodes: `light` (root: own pid, mount, uts and ipc namespaces and a copy-on-write `/`, so that
roles may change anything) and `plain` (anybody: an sshd that logs in the same user). Both share the
machine's network and differ by loopback address.
"""

from __future__ import annotations

from kraken.testing.cluster.cluster import Cluster, VirtualBmc, VirtualNode
from kraken.testing.cluster.errors import ClusterError, MissingProgramsError
from kraken.testing.cluster.packages import install_missing, missing_packages, requirements

__all__ = [
    "Cluster",
    "ClusterError",
    "MissingProgramsError",
    "VirtualBmc",
    "VirtualNode",
    "install_missing",
    "missing_packages",
    "requirements",
]
