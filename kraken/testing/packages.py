"""`python -m kraken.testing.packages`: the programs the demo, the end-to-end tests and the models need."""

from __future__ import annotations

import sys

from kraken.errors import KrakenError
from kraken.testing.cluster.packages import BATCH_SYSTEM, MODEL_CHECKER, PACKAGE_OF, SUDO, install_missing


def main() -> int:
    """Install what is missing, or say what to install; the exit code."""
    try:
        installed = install_missing({**PACKAGE_OF, **MODEL_CHECKER, **BATCH_SYSTEM, **SUDO})
    except KrakenError as error:
        print(error, file=sys.stderr)
        return 1
    if installed:
        print(f"installed: {' '.join(installed)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
