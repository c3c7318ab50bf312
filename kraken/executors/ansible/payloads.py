"""Modules of Ansible's own as nodes are sent them, kept by the fork server from run to run (ADR 70).

The fork server loads this file by its path, under Ansible's interpreter: only the standard library is used.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable

PAYLOADS = "ansiballz_cache"  # of Ansible, in its local temporary directory (module_common.py)
OWN_MODULES = "ansible.modules."
OTHERS_MODULES = ("library", "module_utils")
"""Directories beside a playbook whose modules come before Ansible's own."""
OTHERS_WORDS = (b"role", b"include", b"import")
"""In a playbook: it may have tasks from where other such directories lie."""


class Payloads:
    """Ansible's own modules as they are sent to nodes, each built by the first run that needs it.

    To build one costs more than all else that a run of one host does. What lies here is what this Ansible
    would build again, as long as nothing stands in for its modules or for what they import.

    Attributes:
        are_kept: whether the configuration has no other modules than Ansible's own.
    """

    def __init__(self) -> None:
        self.are_kept = False
        self._place = ""

    def open(self, directory: str) -> None:
        """Keep them in this directory from now on."""
        if self.are_kept:
            self._place = tempfile.mkdtemp(prefix="modules-", dir=directory)

    def close(self) -> None:
        if self._place:
            shutil.rmtree(self._place, ignore_errors=True)

    def lend(self, playbook: str, local: str) -> Callable[[], None]:
        """Put what is there where a run looks for it; gives back what takes in, afterwards, what it built.

        Args:
            playbook: in the working directory, beside all that its tasks name.
            local: the temporary directory of the run, on this machine.
        """
        run = os.path.join(local, PAYLOADS)  # noqa: PTH118
        if not self._place or brings_modules(playbook):
            return lambda: None
        with contextlib.suppress(OSError):
            os.mkdir(run, 0o700)  # noqa: PTH102
        link_new(self._place, run)
        return lambda: link_new(run, self._place)


def brings_modules(playbook: str) -> bool:
    """Whether a run of it may have other modules than the configuration has."""
    if any(map(os.path.exists, OTHERS_MODULES)):
        return True
    try:
        with open(playbook, "rb") as file:  # noqa: PTH123
            text = file.read()
    except OSError:
        return True
    return any(word in text for word in OTHERS_WORDS)


def link_new(source: str, target: str) -> None:
    """Have the payloads of Ansible's own modules that are whole in one directory in another, too."""
    with contextlib.suppress(OSError):  # such a directory is gone, or on another file system
        for name in {*os.listdir(source)} - {*os.listdir(target)}:  # noqa: PTH208
            if name.startswith(OWN_MODULES) and not name.endswith((".lock", "-part")):
                with contextlib.suppress(FileExistsError):
                    os.link(os.path.join(source, name), os.path.join(target, name))  # noqa: PTH118
