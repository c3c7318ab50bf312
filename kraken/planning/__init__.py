"""Which path leads from what is to what is wished, and why none does.

Pure: no clock, no I/O, no randomness, no threads; the same question always has the same answer.
It never decides *whether* or *when* to walk a path: that is the engine's. Engine, api and cli may
import it; it imports only the model (and networkx, for the graphs people look at).

Read in this order: `path` (the answers), `planner` (the door, and its cache), `problem` (a question
in numbers), `factoring`, `leaf`, `bound` and `search` (how it is answered; ADR 4), `reason` (why
there is no path), `offline` and `graph` (for people), `picture` and `drawing` (graphs as pictures).
`analysis` says what is wrong with a set of Kraken modules.
"""
