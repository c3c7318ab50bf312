# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Filters that expand and fold nodesets; documented in expand.yml and fold.yml."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError

from ansible_collections.kraken.hpc.plugins.module_utils.nodeset import NodesetError
from ansible_collections.kraken.hpc.plugins.plugin_utils import nodesets


def expand(nodesets_given, groups=None):
    """The names that one nodeset, or a list of them, selects."""
    return _tried("expand", nodesets.expanded, nodesets_given, groups)


def fold(names, groups=None):
    """The nodeset that names exactly these."""
    return _tried("fold", nodesets.folded, names, groups)


class FilterModule:
    def filters(self):
        return {"expand": expand, "fold": fold}


def _tried(name, function, given, groups):
    try:
        return function(given, groups)
    except NodesetError as error:
        raise AnsibleFilterError("kraken.hpc.%s: %s" % (name, error)) from error
