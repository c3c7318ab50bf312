"""Replay: `python -m kraken.testing.wood --seed N [--count M] [--trace]`."""

from __future__ import annotations

from kraken.testing.replay import main
from kraken.testing.wood.chaos import Chaos

if __name__ == "__main__":
    raise SystemExit(main("kraken.testing.wood", lambda seed, tell: Chaos(seed, tell).run()))
