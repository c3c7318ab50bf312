"""One line on stderr that says how far it is, where a person watches; it makes room for what stays."""

from __future__ import annotations

import shutil
import sys

CLEAR = "\r\x1b[K"


class Ticker:
    """Shows the last text it was given; nothing where stderr or stdout is no terminal.

    Args:
        shown: False: nothing is shown at all.
    """

    def __init__(self, *, shown: bool = True) -> None:
        self._shown = shown and sys.stderr.isatty() and sys.stdout.isatty()
        self._stands = False

    def show(self, text: str) -> None:
        """Show this instead of what stood there."""
        if self._shown:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(CLEAR + text[:width])
            sys.stderr.flush()
            self._stands = True

    def clear(self) -> None:
        """Make room for a line that stays."""
        if self._stands:
            sys.stderr.write(CLEAR)
            sys.stderr.flush()
            self._stands = False
