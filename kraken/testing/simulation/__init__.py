"""A collector and its nodes in one process, on a virtual clock, everything from one seed.

Lives here: worlds to try a collector in, the faults that befall them, and the promises that are checked
after every step. Never lives here: a wall clock, asyncio, randomness without a seed.
Who may import it: tests, and people who replay a seed (`python -m kraken.testing.simulation --seed N`).
"""
