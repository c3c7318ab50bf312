# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Which variables a Jinja expression reads, and whether its result depends on nothing else."""

from __future__ import annotations

from ansible.plugins.loader import filter_loader, test_loader
from jinja2 import Environment, TemplateSyntaxError, nodes

MARKS = ("{{", "{%", "{#", "#jinja2:")
OTHERWISE = frozenset(
    "cycler dict environment group_names groups hostvars inventory_hostname inventory_hostname_short joiner lipsum"
    " lookup loop namespace now omit play_hosts q query range self undef vars".split()
)
"""Names that are not read from a host's variables alone."""
METHODS = frozenset(
    "capitalize count endswith find format get index isalnum isalpha isdigit items join keys lower lstrip"
    " partition removeprefix removesuffix replace rfind rpartition rsplit rstrip split splitlines startswith strip"
    " title upper values zfill".split()
)
JINJA_FILTERS = frozenset(
    "abs batch capitalize center count d default dictsort filesizeformat first float format groupby indent int items"
    " join last length list lower map max min reject rejectattr replace reverse round select selectattr slice sort"
    " string striptags sum title tojson trim truncate unique upper urlencode wordcount wordwrap".split()
)
FILTERS = JINJA_FILTERS | frozenset(
    "b64decode b64encode basename bool checksum combinations combine comment commonpath d default dict2items"
    " difference dirname extract flatten from_json from_yaml groupby hash human_readable human_to_bytes intersect"
    " items2dict log mandatory md5 normpath path_join permutations pow product quote regex_escape regex_findall"
    " regex_replace regex_search rekey_on_member root sha1 split splitext subelements symmetric_difference ternary"
    " to_json to_nice_json to_nice_yaml to_uuid to_yaml union unique urldecode urlsplit win_basename win_dirname"
    " win_splitdrive zip zip_longest".split()
)
JINJA_TESTS = frozenset(
    "!= < <= == > >= boolean defined divisibleby eq equalto even false float ge greaterthan gt in integer iterable le"
    " lessthan lower lt mapping ne none number odd sequence string true undefined upper".split()
)
TESTS = JINJA_TESTS | frozenset(
    "all any contains falsy isnan issubset issuperset match nan regex search subset superset truthy uri url urn"
    " version version_compare".split()
)
BUILTIN = "ansible.builtin."
OURS = frozenset(("kraken.hpc.expand", "kraken.hpc.fold"))
NAMED = {"map": (0, "filter"), "select": (0, "test"), "reject": (0, "test"), "selectattr": (1, "test"), "rejectattr": (1, "test")}
PLAIN = (
    nodes.Const, nodes.Tuple, nodes.List, nodes.Dict, nodes.Pair, nodes.Keyword, nodes.CondExpr, nodes.Compare,
    nodes.Operand, nodes.Concat, nodes.BinExpr, nodes.UnaryExpr, nodes.Getattr, nodes.Getitem, nodes.Slice,
)  # fmt: skip


class Unknown(Exception):
    """What the expression depends on cannot be told."""


def reads(expression):
    """The paths into a host's variables of which alone the result of an expression is made.

    Returns:
        A tuple of (variable, steps), where a step is (whether by dot, key): `kraken_cfg['power']`
        is ("kraken_cfg", ((False, "power"),)). None, where the result may be another each time, is
        of the host itself, or calls what is not known here.
    """
    if not isinstance(expression, str) or any(mark in expression for mark in MARKS):
        return None
    try:
        (output,) = Environment().parse("{{ %s }}" % expression).body
        (tree,) = output.nodes
        found = {}
        _visit(tree, found)
    except (TemplateSyntaxError, Unknown, ValueError, AttributeError):
        return None
    return tuple(found)


def _visit(node, found):
    path = _path(node)
    if path is not None:
        if path[0] in OTHERWISE:
            raise Unknown
        found[path] = True
        return
    if isinstance(node, nodes.Call):
        _visit_call(node, found)
    elif isinstance(node, (nodes.Filter, nodes.Test)):
        _check(node)
    elif not isinstance(node, PLAIN):
        raise Unknown
    if not isinstance(node, nodes.Call):
        for child in node.iter_child_nodes():
            _visit(child, found)


def _visit_call(node, found):
    method = node.node
    if not isinstance(method, nodes.Getattr) or method.attr not in METHODS or node.dyn_args or node.dyn_kwargs:
        raise Unknown
    rest = node.args + node.kwargs
    owner = _path(method.node)
    if owner and method.attr == "get" and node.args and _is_text(node.args[0]):
        owner = (owner[0], owner[1] + ((False, node.args[0].value),))
        rest = rest[1:]
    if owner and owner[0] not in OTHERWISE:
        found[owner] = True
    else:
        _visit(method.node, found)
    for child in rest:
        _visit(child, found)


def _check(node):
    """That a filter or test, and one it is given by name, always gives the same for the same."""
    kind = "filter" if isinstance(node, nodes.Filter) else "test"
    if node.node is None or node.dyn_args or node.dyn_kwargs:
        raise Unknown
    _check_name(kind, node.name)
    position, named = NAMED.get(node.name.removeprefix(BUILTIN), (None, None)) if kind == "filter" else (None, None)
    if named and len(node.args) > position:
        given = node.args[position]
        if not _is_text(given):
            raise Unknown
        _check_name(named, given.value)


def _check_name(kind, name):
    if name in OURS:
        return
    short = name.removeprefix(BUILTIN)
    if short not in (FILTERS if kind == "filter" else TESTS):
        raise Unknown
    try:
        plugin = (filter_loader if kind == "filter" else test_loader).get(name)
    except Exception as error:  # a loader says in many ways that it has none
        raise Unknown from error
    if plugin is None:
        if name not in (JINJA_FILTERS if kind == "filter" else JINJA_TESTS):
            raise Unknown
    elif plugin.ansible_name != BUILTIN + short:
        raise Unknown  # somebody's own, of that name


def _path(node):
    """(variable, steps) of a chain of constant keys; None for anything else."""
    steps = []
    while not isinstance(node, nodes.Name):
        if isinstance(node, nodes.Getattr):
            steps.append((True, node.attr))
        elif isinstance(node, nodes.Getitem) and _is_text(node.arg):
            steps.append((False, node.arg.value))
        else:
            return None
        node = node.node
    return node.name, tuple(reversed(steps))


def _is_text(node):
    return isinstance(node, nodes.Const) and isinstance(node.value, str)
