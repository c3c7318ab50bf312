"""The tree of collectors, as pure decisions: who has which node, who lacks what, whom to tell.

`Tree` takes letters and the time and gives `Event`s; docs/protocol.md describes what is said and why.
Never here: a socket, a clock, the meaning of a variable. The daemon imports it; it imports the model.
"""
