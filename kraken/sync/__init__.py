"""Whom to tell what: the tree of collectors, as pure decisions.

`spread` turns records that stand into `Send`s for the neighbours who should know. Never here: a
socket, a clock, the meaning of a record. The daemon imports it; it imports the model.
"""
