"""A tree of real collectors - engine, branch, rights, recorder - on virtual clocks, each with its disk.

`kraken.testing.tree` has more accidents, and only the tree; `kraken.testing.simulation` has the engine, and
no tree. Nothing outside tests imports this.
"""
