"""What ansible-playbook is given: playbook, inventory, environment. Pure but for what looks beside tasks.

Values from attributes and Cfg are data: marked unsafe, so Ansible never reads a template in them,
whatever they hold.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import pwd
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kraken.model.document import Tagged
from kraken.model.module import Action
from kraken.model.run import NodeFacts

DONE_MARK = " (kraken: last)"
"""Ends the name of the task whose result says that its host is through."""
REFUSED_MARK = "kraken: a task failed"
"""The name of the task that a host runs when a task of the Kraken module failed on it for good."""

SECRET_NAME = re.compile(r"pass(word|wd|phrase)?$|_pass_|secret|token|(^|_)(private_)?key$", re.IGNORECASE)
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_NOT_A_HOST = {"all", "ungrouped"}
_KEPT = ("HOME", "KRB5CCNAME", "LOGNAME", "PATH", "SSH_AUTH_SOCK", "TZ", "USER")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OF_BLOCKS = {"throttle"}  # keywords that no play takes
_MORE_PLUGINS = {"filter_plugins", "lookup_plugins", "test_plugins"}
_NOT_PLAIN = {"action", "always", "block", "ignore_unreachable", "local_action", "rescue"}


@dataclass(frozen=True, slots=True)
class SshSettings:
    """How nodes are reached, unless their ansible_* attributes say otherwise.

    Attributes:
        persist_s: how long an idle connection is kept; each one holds 1.5 MB and saves 0.2 CPU s.
        alive_s: a peer silent for three times as long is given up.
        common_args: more arguments of ssh, sftp and scp, as in `ansible_ssh_common_args`.
        pipelining: whether modules go over the connection alone, without a file on the node: half the cost.
        private_key: the only one that is offered; None: those of this user, or what a node's attribute names.
        known_hosts: host keys of nodes; None: those of this user, or what a node's attributes name.
        pins: where the key of a host that nobody knows is written, which is then known; None: such a host is
            refused. One whose key is another than the known one always is.
    """

    connect_timeout_s: int = 10
    persist_s: int = 20
    alive_s: int = 10
    common_args: str = ""
    pipelining: bool = True
    private_key: Path | None = None
    known_hosts: Path | None = None
    pins: Path | None = None


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """Where secrets are: in files encrypted with Ansible Vault. Holds paths, never a password.

    Attributes:
        identities: as for `--vault-id`: `label@/path` of a password file or client program.
        files: vault-encrypted files of variables, seen by the tasks of every run.
    """

    identities: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()


def host_names(nodes: Iterable[str]) -> dict[str, str]:
    """Ansible's name of a host -> node. The same, unless Ansible would read more into it."""
    names = {}
    for number, node in enumerate(nodes):
        plain = _PLAIN_NAME.fullmatch(node) and node not in _NOT_A_HOST
        names[node if plain else f"kraken-node-{number}"] = node
    return names


def playbook(action: Action, title: str, vault: VaultSettings | None) -> str:
    """One play for all hosts, in which the end of each host shows as an event of its own.

    The tasks stand in a block; its rescue runs at once on a host where one failed for good, which
    a failed task alone does not tell (the module may rescue it). The last task carries DONE_MARK;
    one is added only where the last may end without a result, as an added task costs the
    controller 15-20 ms per host (tests/benchmarks/bench_ansible_local.py).
    """
    marked = list(action.spec)
    if marked and _ends_with_a_result(marked[-1]):
        last = dict(marked[-1])
        last["name"] = f"{last.get('name') or _action(last)}{DONE_MARK}"
        marked[-1] = last
    else:
        marked.append({"name": f"done{DONE_MARK}", "ansible.builtin.debug": {"msg": "done"}})
    play: dict[str, Any] = {
        "name": title,
        "hosts": "all",
        "gather_facts": False,
        "any_errors_fatal": False,
        "strategy": "ansible.builtin.host_pinned",
    }
    if vault and vault.files:
        play["vars_files"] = [str(file) for file in vault.files]
    play |= {key: value for key, value in action.play.items() if key not in _OF_BLOCKS}
    refused = {"name": REFUSED_MARK, "ansible.builtin.debug": {"msg": "refused"}}
    block = {key: value for key, value in action.play.items() if key in _OF_BLOCKS}
    play["tasks"] = [{"name": title, **block, "block": marked, "rescue": [refused]}]
    return yaml.dump([play], Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def inventory(names: Mapping[str, str], facts: Mapping[str, NodeFacts], keys: Mapping[str, str]) -> str:
    """The hosts of one run and nothing else, as JSON (Ansible reads it five times faster than YAML).

    Args:
        names: as `host_names` gave them.
        keys: node -> first part of its ssh control socket's name.
    """
    return json.dumps({"all": {"hosts": {h: _host(h, facts[n], keys[n]) for h, n in names.items()}}})


def connection_key(facts: NodeFacts, salt: bytes) -> str:
    """Names a node's way of connection: another address, port or user gives another key."""
    ways = {k: v for k, v in facts.attributes.items() if k.startswith("ansible_")}
    text = json.dumps([facts.name, ways], sort_keys=True).encode()
    return hmac.new(salt, text, hashlib.sha256).hexdigest()[:16]


def secrets_of(facts: NodeFacts) -> tuple[str, ...]:
    """The values that must not show in a message: passwords among the ansible_* attributes."""
    return tuple(
        value
        for name, value in facts.attributes.items()
        if name.startswith("ansible_") and isinstance(value, str) and value and SECRET_NAME.search(name)
    )


def environment(
    *,
    ssh: SshSettings,
    vault: VaultSettings | None,
    config: Path,
    control: Path,
    scratch: Path,
    collections: Sequence[Path],
) -> dict[str, str]:
    """The whole environment of ansible-playbook: nothing else of the daemon's passes.

    What Kraken relies on stands here, and so above whatever `config` (an ansible.cfg) says; what an
    administrator decides (become, vault, ssh arguments, plugins) is left to that file.
    """
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    kept.setdefault("PATH", _PATH)
    kept.setdefault("HOME", pwd.getpwuid(os.getuid()).pw_dir)
    persist = f"-o ControlMaster=auto -o ControlPersist={ssh.persist_s}s"
    alive = f"-o ServerAliveInterval={ssh.alive_s} -o ServerAliveCountMax=3"
    ours = {
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TERM": "dumb",
        "TMPDIR": str(scratch),
        "ANSIBLE_CACHE_PLUGIN": "memory",
        "ANSIBLE_CONFIG": str(config),
        "ANSIBLE_DEPRECATION_WARNINGS": "False",
        "ANSIBLE_DISPLAY_ARGS_TO_STDOUT": "False",
        "ANSIBLE_DISPLAY_OK_HOSTS": "False",
        "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "False",
        "ANSIBLE_ENABLE_TASK_DEBUGGER": "False",
        "ANSIBLE_GATHERING": "explicit",
        "ANSIBLE_HOST_KEY_CHECKING": "True",  # ansible-runner would switch it off
        "ANSIBLE_INVENTORY_ENABLED": "ansible.builtin.yaml",  # it reads JSON too
        "ANSIBLE_KEEP_REMOTE_FILES": "False",
        "ANSIBLE_LOCAL_TEMP": str(scratch),
        "ANSIBLE_NOCOLOR": "True",
        "ANSIBLE_NOCOWS": "True",
        "ANSIBLE_PIPELINING": str(ssh.pipelining),
        "ANSIBLE_RETRY_FILES_ENABLED": "False",
        "ANSIBLE_SSH_ARGS": f"{persist} {alive} {trust(ssh)}",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(control),
        "ANSIBLE_TIMEOUT": str(ssh.connect_timeout_s),
        "ANSIBLE_VERBOSITY": "0",
        "KRAKEN_REPORT": "False",  # these runs have their entries; see kraken.hpc.journal
        "MAX_EVENT_RES": "300000",  # of ansible-runner: characters of a result before it is dropped
    }
    if ssh.private_key:
        ours["ANSIBLE_PRIVATE_KEY_FILE"] = str(ssh.private_key)
    if ssh.common_args:
        ours["ANSIBLE_SSH_COMMON_ARGS"] = ssh.common_args
    if collections:
        ours["ANSIBLE_COLLECTIONS_PATH"] = os.pathsep.join(str(path) for path in collections)
    if vault and vault.identities:
        ours["ANSIBLE_VAULT_IDENTITY_LIST"] = ",".join(vault.identities)
    return kept | ours


def trust(ssh: SshSettings) -> str:
    """Arguments of ssh that say which hosts it believes, and which key it offers.

    Of an option that is given twice ssh takes the first: what stands here wins over `common_args`, a node's
    `ansible_ssh_common_args` and the user's ssh_config.
    """
    options = [f"StrictHostKeyChecking={'accept-new' if ssh.pins else 'yes'}"]
    users = ["~/.ssh/known_hosts", "~/.ssh/known_hosts2"]
    known = [_quoted(ssh.known_hosts)] if ssh.known_hosts else users
    if ssh.pins:  # a new key is written to the first file
        options.append(f"UserKnownHostsFile={' '.join([_quoted(ssh.pins), *known])}")
    elif ssh.known_hosts:
        options.append(f"UserKnownHostsFile={known[0]}")
    if ssh.private_key:
        options.append("IdentitiesOnly=yes")
    return " ".join(f"-o {shlex.quote(option)}" for option in options)


def _quoted(path: Path) -> str:
    """As a value in ssh_config(5), which splits at blanks and expands what begins with %."""
    return '"' + str(path).replace("%", "%%") + '"'


def link_beside(directory: Path, project: Path, *, leave_out: str) -> None:
    """Let relative names in tasks find the files beside the Kraken module, which stays untouched."""
    if directory.is_dir():
        for entry in directory.iterdir():
            if not entry.name.startswith(".") and entry.name != leave_out:
                (project / entry.name).symlink_to(entry.absolute())


def brings_plugins(project: Path) -> bool:
    """Whether plugins lie beside the tasks or in a role there, which may stand in for Ansible's own.

    Filters, tests and lookups never do: their names are not those of files, or no run has them loaded.
    """
    places = [project, *project.glob("roles/*")]
    return any(folder.name not in _MORE_PLUGINS for place in places for folder in place.glob("*_plugins"))


def mentions(content: Any, *keys: str) -> bool:
    """Whether one of these keywords or modules (without its collection) stands anywhere in tasks."""
    if isinstance(content, Mapping):
        return any(
            str(key).rpartition(".")[2] in keys or mentions(value, *keys) for key, value in content.items()
        )
    return isinstance(content, list | tuple) and any(mentions(item, *keys) for item in content)


def _host(host: str, facts: NodeFacts, key: str) -> dict[str, Any]:
    plain = {name: value for name, value in facts.attributes.items() if not name.startswith("__ansible")}
    variables = {name: _unsafe(value) for name, value in plain.items() if name.startswith("ansible_")}
    variables.setdefault("ansible_control_path", f"%(directory)s/{key}-%%r")
    if host != facts.name:
        variables.setdefault("ansible_host", _unsafe(facts.name))
    variables["kraken"] = {
        "name": _unsafe(facts.name),
        "attributes": {name: _unsafe(v) for name, v in plain.items() if not name.startswith("ansible_")},
        "cfg": _unsafe(facts.cfg),
        "dsc": _unsafe(facts.dsc),
        "groups": _unsafe(facts.groups),
    }
    return variables


def _unsafe(value: Any) -> Any:
    if isinstance(value, str):
        return {"__ansible_unsafe": value}
    if isinstance(value, Mapping):
        return {str(key): _unsafe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_unsafe(item) for item in value]
    return value


def _ends_with_a_result(task: Any) -> bool:
    """Whether a host that ran this task always says so: no block, no include, no meta."""
    if not isinstance(task, Mapping) or _NOT_PLAIN & set(task):
        return False
    return not any(str(key).rpartition(".")[2].startswith(("include", "import_", "meta")) for key in task)


def _action(task: Mapping[str, Any]) -> str:
    """The module of a task without a name: its only key with a dot, else the first."""
    dotted = [str(key) for key in task if "." in str(key)]
    return dotted[0] if dotted else str(next(iter(task), "task"))


class _Dumper(yaml.SafeDumper):
    """Writes str subclasses and tuples plainly, and no anchors, which Ansible would resolve anyway."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_multi_representer(str, lambda dumper, value: dumper.represent_str(str(value)))
_Dumper.add_multi_representer(
    Tagged, lambda dumper, value: dumper.represent_scalar(value.tag, str(value), style="|")
)
_Dumper.add_representer(tuple, yaml.SafeDumper.represent_list)
