# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""What every module does alike: its options, which nodes it means, and how it ends."""

from __future__ import annotations

import re

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kraken.hpc.plugins.module_utils.client import (
    CONNECTION_EXCLUSIVE,
    Client,
    KrakenError,
    Problem,
    connection_spec,
)
from ansible_collections.kraken.hpc.plugins.module_utils.nodeset import portions

HINTS = {
    "needs-confirmation": "confirm_many: true says that so many are meant",
    "unknown-node": "kraken.hpc.node declares nodes; kraken.hpc.node_info with all: true tells of those there are",
}
NODESET_LENGTH_MAX = 6000  # beyond it a list of names is folded, and asked for in parts
PLAIN = re.compile(r"^[A-Za-z0-9._-]+$")

NODES = {"type": "list", "elements": "str", "required": True}
CONFIRM_MANY = {"type": "bool", "default": False}


def reading_spec():
    """The options of doc fragment kraken.hpc.nodes.reading."""
    return {"nodes": {"type": "list", "elements": "str"}, "all": {"type": "bool"}}


READING_EXCLUSIVE = READING_ONE_OF = [("nodes", "all")]


class Task:
    """One task that is being done.

    Attributes:
        params: the options.
        is_check: nothing may be changed.
        result: what the task returns; filled as things become true, so that a failure returns what was done.
        options: how the key of what Kraken refuses begins -> the option that said so.
    """

    def __init__(self, module):
        self.module = module
        self.params = module.params
        self.is_check = module.check_mode
        self.shows_diff = module._diff
        self.result = {"changed": False}
        self.options = {"set.": "cfg."}
        self._client = None

    @property
    def client(self):
        """Kraken; not looked for before the options were found good."""
        if self._client is None:
            self._client = Client(self.params)
            for warning in self._client.warnings:
                self.module.warn(warning)
        return self._client

    def nodeset(self):
        """The option `nodes` as one nodeset.

        Raises:
            KrakenError: it selects nobody.
        """
        return ",".join(_parts(self.params["nodes"]))

    def read(self, path, expect=None, **query):
        """The answers about the nodes that `nodes` and `all` mean: one, or several where a long list of
        names goes in parts.
        """
        if self.params.get("all"):
            return [self.client.call("GET", path, query=query, expect=expect)]
        return [
            self.client.call("GET", path, query=dict(query, nodeset=nodeset), expect=expect)
            for nodeset in nodesets(self.params["nodes"])
        ]


def run(work, spec, hints=None, mutually_exclusive=(), **rules):
    """Do a task as an Ansible module: `work(task)` gives back why it failed after all, "" when it did not.

    Args:
        spec: the module's own options; those of the connection are added.
        hints: type of a problem -> what to do about it, in the words of this module's options.
    """
    options = connection_spec()
    options.update(spec)
    module = AnsibleModule(
        argument_spec=options,
        supports_check_mode=True,
        mutually_exclusive=CONNECTION_EXCLUSIVE + list(mutually_exclusive),
        **rules
    )
    task = Task(module)
    try:
        if (module.params.get("wait_timeout") or 0) < 0:
            raise KrakenError("wait_timeout is below zero; nothing was done")
        failure = work(task)
    except Problem as problem:
        sentence = problem.sentence(dict(HINTS, **(hints or {})), task.options)
        module.fail_json(msg=sentence, **dict(task.result, **problem.as_result()))
    except KrakenError as error:
        module.fail_json(msg=str(error), **task.result)
    if failure:
        module.fail_json(msg=failure, **task.result)
    module.exit_json(**task.result)


def nodesets(parts):
    """The nodes as nodesets that each fit into an address; a long list of plain names is folded for that.

    Raises:
        KrakenError: they select nobody.
    """
    found = _parts(parts)
    joined = ",".join(found)
    if len(joined) <= NODESET_LENGTH_MAX:
        return [joined]
    names = [name for part in found for name in part.split(",")]
    if all(PLAIN.match(name) for name in names):
        return list(portions(names, NODESET_LENGTH_MAX))
    return [joined]


def check_words(option, values):
    """The values with every one a string.

    Args:
        option: what the user calls them.

    Raises:
        KrakenError: a value that YAML has already turned into something else, or that is none.
    """
    checked = {}
    for variable, value in values.items():
        where = "%s.%s" % (option, variable)
        if value is None:
            raise KrakenError("%s has no value; nothing was done" % where)
        if isinstance(value, (bool, float)):
            raise KrakenError("%s: YAML read the value as %r; quote it, or write the word meant" % (where, value))
        if not isinstance(value, (str, int)):
            raise KrakenError("%s must be one value, not a %s" % (where, type(value).__name__))
        checked[str(variable)] = str(value)
    return checked


def _parts(parts):
    found = [part for part in (str(part).strip() for part in parts or ()) if part]
    if not found:
        raise KrakenError("nodes selects nobody; nothing was done")
    return found
