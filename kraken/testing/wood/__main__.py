"""Replay: `python -m kraken.testing.wood --seed N [--count M] [--trace]`."""

from __future__ import annotations

import argparse

from kraken.testing.tree.forest import BrokenPromiseError
from kraken.testing.wood.chaos import Chaos


def main() -> int:
    """Run seeds; says which broke a promise, and how to see it again."""
    parser = argparse.ArgumentParser(prog="python -m kraken.testing.wood", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=1, help="how many seeds, one after another")
    parser.add_argument("--trace", action="store_true", help="tell what happens")
    arguments = parser.parse_args()
    broken = 0
    for seed in range(arguments.seed, arguments.seed + arguments.count):
        try:
            Chaos(seed, print if arguments.trace else None).run()
        except BrokenPromiseError as error:
            broken += 1
            print(f"seed {seed}: {error}")
    print(f"{arguments.count - broken} of {arguments.count} seeds kept every promise")
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
