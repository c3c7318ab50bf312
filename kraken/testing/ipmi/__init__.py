"""BMCs that speak IPMI over LAN as a test says: also what no good one would.

Lives here: fakes of our own with scripted faults. What many real simulators and a bad network are to
tests and benchmarks lives beside them. Tests and benchmarks import it; no room of Kraken does.
"""

from kraken.testing.ipmi.chassis import Chassis
from kraken.testing.ipmi.fake import FakeBmc
from kraken.testing.ipmi.faults import BENT_PACKETS, Faults, Way
from kraken.testing.ipmi.herd import Herd

__all__ = ["BENT_PACKETS", "Chassis", "FakeBmc", "Faults", "Herd", "Way"]
