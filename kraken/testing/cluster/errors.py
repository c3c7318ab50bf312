"""What can go wrong with a virtual cluster itself, as opposed to the faults it plays on purpose."""

from __future__ import annotations

from collections.abc import Iterable

from kraken.errors import KrakenError


class ClusterError(KrakenError):
    """The virtual cluster cannot start, or its supervisor is gone; `part` names the node or file."""


class MissingProgramsError(ClusterError):
    """Programs are not installed; `packages` are the Debian packages that bring them."""

    def __init__(self, programs: Iterable[str], packages: Iterable[str]) -> None:
        self.programs = tuple(programs)
        self.packages = tuple(packages)
        super().__init__(
            f"programs are needed that are not installed: {', '.join(self.programs)}",
            part=self.programs[0],
            hint=f"as root: apt-get install -y --no-install-recommends {' '.join(self.packages)}",
        )
