"""What to run next, for every node, and why not: pure decisions.

`Engine.reconcile(news, now)` reads the state and returns effects as values; the daemon performs
them. Never here: a clock, randomness that was not seeded from outside, a socket, a file. The daemon
and the simulation import it; it imports planning and the model.
"""
