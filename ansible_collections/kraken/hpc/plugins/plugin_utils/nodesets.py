# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""What lookup and filters do with nodesets, given as a text or as a list of texts."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.kraken.hpc.plugins.module_utils.nodeset import NodesetError, expand, fold


def expanded(given, groups=None):
    """The names all these nodesets select, each once, in their order.

    Raises:
        NodesetError: one cannot be read, or what is given is none.
    """
    texts = [given] if isinstance(given, str) else given
    if isinstance(texts, Mapping) or not hasattr(texts, "__iter__"):
        raise NodesetError("%r is neither a nodeset nor a list of names" % (given,))
    if groups is not None and not isinstance(groups, Mapping):
        raise NodesetError("groups must map each group to a list of names")
    for group, names in (groups or {}).items():
        if isinstance(names, (str, Mapping)) or not hasattr(names, "__iter__"):
            raise NodesetError("groups.%s must be a list of names, not %r" % (group, names))
    found = {}
    for text in texts:
        if not isinstance(text, str):
            raise NodesetError("%r is not the name of a node: quote what YAML reads as a number" % (text,))
        found.update(dict.fromkeys(expand(text, groups)))
    return list(found)


def folded(given, groups=None):
    """The nodeset that names exactly what these nodesets select; "" for none.

    Raises:
        NodesetError: one cannot be read, or what is given is none.
    """
    return fold(expanded(given, groups))
