"""BMCs that speak IPMI over LAN as a test says: also what no good one would.

Lives here: fakes of our own with scripted faults (`kraken.testing.herd` serves many from one thread), and
beside them `farm`, thousands of real simulators in few processes, and `relay`, a bad network in front of
them. `kraken.testing.cluster` has one simulator per BMC instead, with a node behind each; take that one
where a node matters. Tests and benchmarks import it; no room of Kraken does.
"""

from kraken.testing.ipmi.chassis import Chassis
from kraken.testing.ipmi.fake import FakeBmc
from kraken.testing.ipmi.faults import BENT_PACKETS, Faults, Way

__all__ = ["BENT_PACKETS", "Chassis", "FakeBmc", "Faults", "Way"]
