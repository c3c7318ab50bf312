"""What the daemon may ask of whoever keeps credentials: names, never secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Keeper(Protocol):
    """What the executors take credentials from, as far as it may be asked here."""

    file: Path | None

    async def refresh_aside(self) -> None:
        """Read the file if it has changed."""

    def names(self) -> tuple[str, ...]:
        """Raises CredentialError where the file cannot be used."""

    def rotating(self) -> tuple[str, ...]:
        """Those with a previous password; raises as `names`."""
