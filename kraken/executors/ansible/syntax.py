"""Tasks read by ansible-playbook, and not run: what it says against them."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from kraken.executors.ansible.content import link_beside, playbook
from kraken.executors.ansible.reasons import why_ended
from kraken.model.module import Action, Discovery, Mutation

PLAYBOOK = "kraken-playbook.yml"


def misread(
    program: str,
    operators: Iterable[Mutation | Discovery],
    collections: Sequence[Path] = (),
    identities: Sequence[str] = (),
) -> dict[str, str]:
    """Key of each operator done by Ansible whose tasks it cannot read -> why, in a line.

    Modules and roles are looked for as in a run; variables have no values. One start of
    ansible-playbook where all is well, else one for each operator.

    Args:
        program: ansible-playbook, as `AnsibleExecutor.find_playbook_command` gives it.
        collections: paths to search for collections; empty: Ansible's own.
        identities: of vaults, as `VaultSettings` has them; empty: Ansible's own.
    """
    by_directory: dict[Path, list[tuple[str, Action]]] = {}
    for operator in operators:
        action = operator.action
        if action is not None and action.kind == "ansible":
            by_directory.setdefault(action.directory, []).append((operator.key, action))
    found = {}
    for directory, actions in by_directory.items():
        if _said(program, directory, actions, collections, identities):
            for key, action in actions:
                said = _said(program, directory, [(key, action)], collections, identities)
                if said:
                    found[key] = said
    return found


def _said(
    program: str,
    directory: Path,
    actions: Sequence[tuple[str, Action]],
    collections: Sequence[Path],
    identities: Sequence[str],
) -> str:
    """What is wrong with these, "" when nothing is."""
    with tempfile.TemporaryDirectory(prefix="kraken-syntax-") as place:
        project = Path(place)
        link_beside(directory, project, leave_out=PLAYBOOK)
        (project / PLAYBOOK).write_text("".join(playbook(a, key, None) for key, a in actions))
        (project / "ansible.cfg").write_text("")
        ours = {
            "ANSIBLE_CONFIG": str(project / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "True",
            "LC_ALL": "C.UTF-8",
        }
        if collections:
            ours["ANSIBLE_COLLECTIONS_PATH"] = os.pathsep.join(str(path) for path in collections)
        if identities:
            ours["ANSIBLE_VAULT_IDENTITY_LIST"] = ",".join(identities)
        done = subprocess.run(
            [program, "--syntax-check", "-i", "localhost,", PLAYBOOK],
            cwd=project,
            env={**os.environ, **ours},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode == 0:
        return ""
    lines = (done.stderr + done.stdout).splitlines()
    return why_ended(lines) or f"ansible-playbook --syntax-check ended with status {done.returncode}"
