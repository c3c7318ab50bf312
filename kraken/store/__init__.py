"""The memory that outlives the daemon: one SQLite file with Cfg, holds, journal and last seen Dsc.

Here live the records that are kept, the file that keeps them, and the grouping of many writes into
one commit. Never: a decision about nodes, a merge of its own (it keeps what the model let stand), or
a wait without an end. The daemon and tests import it; it imports the model, errors, and
the nouns of sync that are kept.

`Store` is synchronous and belongs to one thread; `GroupCommit` is its asyncio side. Open a store off
the event loop or before it runs: a check of the whole file comes first.
"""

from kraken.store.group import GroupCommit
from kraken.store.records import (
    AdoptNode,
    Change,
    ClearTrouble,
    DropHold,
    EndRun,
    Entry,
    EntryKind,
    ForgetNode,
    Memory,
    NodeEnd,
    Note,
    Outgrow,
    RunEntry,
    SaveHold,
    SaveTree,
    SaveUpdates,
    SetTrouble,
    StartRun,
    Touch,
    UnfinishedRun,
)
from kraken.store.store import Store

__all__ = [
    "AdoptNode",
    "Change",
    "ClearTrouble",
    "DropHold",
    "EndRun",
    "Entry",
    "EntryKind",
    "ForgetNode",
    "GroupCommit",
    "Memory",
    "NodeEnd",
    "Note",
    "Outgrow",
    "RunEntry",
    "SaveHold",
    "SaveTree",
    "SaveUpdates",
    "SetTrouble",
    "StartRun",
    "Store",
    "Touch",
    "UnfinishedRun",
]
