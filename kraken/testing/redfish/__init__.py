"""Redfish services that do as a test says: also what no good one would.

Each `FakeBmc` is a service of its own on an address of its own, and a node's power switch behind it.
`kraken.testing.herd` serves many from one thread. Tests and benchmarks import it; no room of Kraken does.
"""

from kraken.testing.redfish.bmc import FakeBmc, Scripted
from kraken.testing.redfish.certificates import Certificate, make_certificate

__all__ = ["Certificate", "FakeBmc", "Scripted", "make_certificate"]
