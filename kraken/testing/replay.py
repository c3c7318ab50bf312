"""Seeds, one after another, and which of them broke a promise: for the simulated trees and their tests."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable

from kraken.testing.tree.forest import BrokenPromiseError

Tell = Callable[[str], None]
Live = Callable[[int, Tell | None], None]
"""Lives through what a seed has in store, and tells what happens; raises BrokenPromiseError."""


def broken(name: str, live: Live, seeds: Iterable[int], tell: Tell | None = None) -> list[str]:
    """What these seeds break, each with how it is had again.

    Args:
        name: of the package that is run for one.
    """
    found = []
    for seed in seeds:
        try:
            live(seed, tell)
        except BrokenPromiseError as error:
            found.append(f"seed {seed}: {error}\n  again: python -m {name} --seed {seed} --trace")
    return found


def main(name: str, live: Live) -> int:
    """Replay: `python -m NAME --seed N [--count M] [--trace]`; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog=f"python -m {name}")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=1, help="how many seeds, one after another")
    parser.add_argument("--trace", action="store_true", help="tell what happens")
    arguments = parser.parse_args()
    count = 0
    for seed in range(arguments.seed, arguments.seed + arguments.count):
        for what in broken(name, live, [seed], print if arguments.trace else None):
            count += 1
            print(what, flush=True)
    print(f"{arguments.count - count} of {arguments.count} seeds kept every promise")
    return 1 if count else 0
