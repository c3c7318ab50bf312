"""`python -m kraken.cli`: the same as `kraken`."""

import sys

from kraken.cli import main

if __name__ == "__main__":
    sys.exit(main())
