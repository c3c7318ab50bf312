"""Replay a seed, or try many.

python -m kraken.testing.simulation --seed N [--count M] [--trace]
"""

from __future__ import annotations

import argparse
import sys

from kraken.testing.simulation.chaos import Chaos
from kraken.testing.simulation.watch import BrokenPromise


def main() -> int:
    """Exit status 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m kraken.testing.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=1, help="how many seeds")
    parser.add_argument("--trace", action="store_true", help="say what happens")
    given = parser.parse_args()
    broken = 0
    for seed in range(given.seed, given.seed + given.count):
        try:
            Chaos(seed, print if given.trace else None).run()
        except BrokenPromise as error:
            broken += 1
            print(error, file=sys.stderr)
    print(f"{given.count} seeds, {broken} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
