"""The only loop: one door in (`accept`), one door out (`perform`).

`collector` is what a member of the tree does, without a loop: the simulation runs the same code.
`daemon` gives it a clock, executors, a store and people. Never here: how a path is found, what runs
next, what an HTTP request looks like. The api and the cli import it.
"""
