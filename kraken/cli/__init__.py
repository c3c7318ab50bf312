"""What a person types: the command `kraken`.

Here live the commands, how they are read, how answers are shown, and the client of the HTTP
interface (docs/api.md). Never: a decision about nodes (the daemon makes those), nor a rule that a
second client would have to repeat. Nobody imports it.

`kraken --help` must not wait for imports: each command's module is loaded when it is called, and
only `daemon` and what `module` does with files load more of Kraken than the model.
"""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line of this process; the exit code."""
    from kraken.cli.app import run

    return run(sys.argv[1:])
