"""A whole tree of collectors in one process, on virtual clocks, over a network that does its worst."""
