"""HTTP over a daemon: docs/api.md, and nothing that decides.

Here a request becomes a call of `kraken.daemon.operations`, an answer becomes JSON, an error becomes
a problem document. Only the cli (and tests) import it.

What stands before the application (`server`, `interface`, `relay`, `security`) never imports the framework:
an agent that nobody asks does without (ADR 49).
"""
