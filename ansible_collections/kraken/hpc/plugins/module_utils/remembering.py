# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""What nodes were to be before a declaration that is for a while, kept with Kraken until it is declared again.

It stands in an attribute of each node, as JSON: variable -> [Cfg before, Cfg declared for a while], null where nothing was
declared. Of a variable that is declared otherwise by now it no longer counts: somebody has decided since.
"""

from __future__ import annotations

import json

from ansible_collections.kraken.hpc.plugins.module_utils.nodeset import fold

ATTRIBUTE = "cfg.before"


def remembered(node):
    """Variable -> [before, declared] of what still counts.

    Args:
        node: as Kraken shows it in full.
    """
    try:
        pairs = json.loads(node["attributes"].get(ATTRIBUTE) or "{}")
    except (TypeError, ValueError):  # somebody else's
        return {}
    if not isinstance(pairs, dict):
        return {}
    good = {name: pair for name, pair in pairs.items() if isinstance(pair, list) and len(pair) == 2}
    return {name: pair for name, pair in good.items() if node["cfg"].get(name) == pair[1]}


def remember(task, nodes, diffs):
    """Keep what a declaration is about to replace.

    Args:
        nodes: as Kraken shows them in full.
        diffs: node -> variable -> [now, then].
    """
    texts = {}
    for node in nodes:
        pairs = remembered(node)
        for name, (now, then) in diffs.get(node["name"], {}).items():
            pairs[name] = [pairs[name][0] if name in pairs else now, then]
        pairs = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
        texts[node["name"]] = json.dumps(pairs, sort_keys=True) if pairs else None
    _write(task, nodes, texts)


def forget(task, nodes):
    """Remove what was kept of these nodes."""
    _write(task, nodes, {})


def _write(task, nodes, texts):
    alike = {}
    for node in nodes:
        text = texts.get(node["name"])
        if node["attributes"].get(ATTRIBUTE) != text:
            alike.setdefault(text, []).append(node["name"])
    if alike:
        document = {"nodes": {fold(names): {"attributes": {ATTRIBUTE: text}} for text, names in alike.items()}}
        task.client.call("POST", "/v1/apply", body={"document": document, "yes": task.params["confirm_many"]})
