# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""What a change did, node by node, told as people read it: equal changes together."""

from __future__ import annotations

import json

from ansible_collections.kraken.hpc.plugins.module_utils.nodeset import fold


def changed_nodes(items):
    """The nodes of an answer that changed, folded; "" for none."""
    return fold(item["node"] for item in items if item["changed"])


def warnings(items):
    """What Kraken has to say of nodes that it changed, equal words together."""
    told = fold_alike([item for item in items if item.get("message")], lambda item: {"message": item["message"]})
    return ["%s: %s" % (one["nodeset"], one["message"]) for one in told]


def fold_alike(rows, describe, name="node"):
    """Rows of equal description together, in the order first met.

    Args:
        describe: what is told of a row, as a dict that JSON can hold.
        name: the key of a row that holds its node.
    """
    together = {}
    for row in rows:
        told = describe(row)
        together.setdefault(json.dumps(told, sort_keys=True), (told, []))[1].append(row[name])
    return [dict(told, nodeset=fold(names), count=len(names)) for told, names in together.values()]


def nodes_by(rows, key, name="node"):
    """Value of `key` -> the nodes that have it, folded."""
    by = {}
    for row in rows:
        by.setdefault(row[key], []).append(row[name])
    return {value: fold(names) for value, names in by.items()}


def as_diff(changes, parts):
    """The changes in the form that Ansible shows with --diff; what is not declared is left out.

    Args:
        parts: (key of a change, what it is called): pairs of before and after by name, or one such pair.
    """
    shown = []
    for change in changes:
        for part, title in parts:
            pairs = change.get(part)
            if not pairs:
                continue
            if isinstance(pairs, list):
                pairs = {part: pairs}
            header = "%s of %s" % (title, change["nodeset"])
            before, after = (
                {name: pair[side] for name, pair in pairs.items() if pair[side] is not None} for side in (0, 1)
            )
            shown.append({"before_header": header, "after_header": header, "before": before, "after": after})
    return shown
