"""What is constructed of many hosts at once is what Ansible would have constructed of each."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import inventory_loader
from ansible.template import Templar
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st

from ansible_collections.kraken.hpc.plugins.plugin_utils.constructing import Constructor
from ansible_collections.kraken.hpc.plugins.plugin_utils.reading import reads

try:
    from ansible.inventory.manager import _InventoryDataWrapper
    from ansible.template import trust_as_template
    from ansible.utils.unsafe_proxy import wrap_var as as_data
except ImportError:  # before ansible-core 2.19
    from ansible.utils.unsafe_proxy import wrap_var as as_data

    _InventoryDataWrapper = None

    def trust_as_template(text: str) -> str:
        return text


Host = dict[str, Any]
CONSTRUCTED = ("compose", "groups", "keyed_groups")


def trusted(value: Any) -> Any:
    """Configuration as Ansible reads it from a file."""
    if isinstance(value, dict):
        return {key: trusted(part) for key, part in value.items()}
    if isinstance(value, list):
        return [trusted(part) for part in value]
    return trust_as_template(value) if isinstance(value, str) else value


def constructed(hosts: list[Host], config: Host, ours: bool, extra: Host | None = None) -> Any:
    """Groups, their parents and everybody's variables; or how it failed."""
    plugin = inventory_loader.get("kraken.hpc.nodes")
    plugin.set_options(direct={"plugin": "kraken.hpc.nodes", **trusted(config)})
    inventory = InventoryData()
    plugin.loader, plugin.inventory, plugin._vars = DataLoader(), inventory, trusted(extra or {})
    if _InventoryDataWrapper is None:
        plugin.templar = Templar(loader=plugin.loader)
    else:
        plugin.inventory = _InventoryDataWrapper(inventory, target_plugin=plugin, origin=ORIGIN)
    strict = plugin.get_option("strict")
    constructor = Constructor(plugin) if ours else None
    failure = ""
    try:
        for number, variables in enumerate(hosts):
            name, known = f"n{number}", as_data(variables)
            plugin.inventory.add_host(name)
            for key, value in known.items():
                inventory.hosts[name].set_variable(key, value)
            if constructor:
                constructor.construct(name, known)
            else:
                plugin._set_composite_vars(plugin.get_option("compose"), known, name, strict=strict)
                plugin._add_host_to_composed_groups(plugin.get_option("groups"), known, name, strict=strict)
                plugin._add_host_to_keyed_groups(
                    plugin.get_option("keyed_groups"), known, name, strict=strict
                )
    except Exception as error:
        failure = f"{type(error).__name__}: {error}"
    inventory.reconcile_inventory()
    return (
        failure,
        {group.name: [host.name for host in group.hosts] for group in inventory.groups.values()},
        {group.name: [child.name for child in group.child_groups] for group in inventory.groups.values()},
        {host.name: [group.name for group in host.groups] for host in inventory.hosts.values()},
        {host.name: shown(host.vars) for host in inventory.hosts.values()},
    )


with contextlib.suppress(ImportError):
    from ansible._internal._datatag._tags import Origin

    ORIGIN = Origin(description="a test")


def shown(value: Any) -> Any:
    """With the kinds of values, which == leaves out: 1, 1.0 and true."""
    if isinstance(value, dict):
        return {str(key): shown(part) for key, part in value.items()}
    if isinstance(value, list):
        return [shown(part) for part in value]
    kinds = [kind.__name__ for kind in (bool, int, float, str) if isinstance(value, kind)]
    return kinds[:1], str(value)


scalars = st.sampled_from(
    [
        "",
        "r1",
        "r 2",
        "POWER_ON",
        "x86-64",
        "{{ rack }}",
        "{% raw %}",
        "#jinja2: a",
        0,
        1,
        True,
        False,
        1.0,
        None,
    ]
)
values = st.one_of(
    scalars,
    st.lists(scalars, max_size=3),
    st.dictionaries(st.sampled_from(["rack", "arch", "items", "get", "_x", "b.c"]), scalars, max_size=3),
)
hosts_of = st.lists(
    st.dictionaries(
        st.sampled_from(["rack", "arch", "dsc", "attributes", "kraken_cause"]), values, max_size=5
    ),
    min_size=1,
    max_size=7,
)
EXPRESSIONS = [
    "rack",
    "arch",
    "attributes.rack",
    "attributes['rack']",
    "attributes['b.c']",
    "attributes.mac",
    "attributes._x",
    "attributes.rack.arch",
    "dsc.get('rack')",
    "dsc.get('rack', 'none')",
    "dsc.get(rack, 'none')",
    "dsc[rack]",
    "dsc | default({})",
    "attributes.keys() | list",
    "attributes | dict2items | map(attribute='key') | list",
    "dsc['arch'] | default('') == 'POWER_ON'",
    "rack is defined and rack == 1",
    "rack == true",
    "rack is string",
    "[rack, arch]",
    "{'a': rack}",
    "{rack: arch}",
    "'a' if rack else 'b'",
    "'in_' ~ rack",
    "rack | upper",
    "rack | int",
    "rack | ansible.builtin.regex_replace('r', 'R')",
    "(attributes.values() | list | first) | default(rack)",
    "group_names | length",
    "group_names | join('-')",
    "inventory_hostname",
    "inventory_hostname[-1]",
    "inventory_hostname in ['n0', 'n2']",
    "mine",
    "mine | default('')",
    "rack | no_such_filter",
    "rack is no_such_test",
    "rack +",
    "}} {{",
    "'{{ rack }}'",
    "outside",
    "nothing.at.all",
    "",
]
expressions = st.sampled_from(EXPRESSIONS)
keyed = st.fixed_dictionaries(
    {"key": expressions},
    optional={
        "prefix": st.sampled_from(["", "p", "p-q"]),
        "separator": st.sampled_from(["", "_", "-"]),
        "parent_group": st.sampled_from(["up", "up-and-up", "{{ rack }}", "{{ nothing }}", ""]),
        "default_value": st.sampled_from(["none", ""]),
        "trailing_separator": st.booleans(),
    },
)
configs = st.fixed_dictionaries(
    {
        "strict": st.sampled_from([False, False, True]),
        "leading_separator": st.booleans(),
        "use_extra_vars": st.booleans(),
        "compose": st.dictionaries(
            st.sampled_from(["mine", "rack", "also", "both"]), expressions, max_size=3
        ),
        "groups": st.dictionaries(st.sampled_from(["one", "two-2", "n1"]), expressions, max_size=3),
        "keyed_groups": st.lists(keyed, max_size=3),
    }
)
extras = st.sampled_from(
    [{}, {}, {"rack": "extra"}, {"outside": "{{ rack | default('no') }}"}, {"arch": {"a": [1]}}]
)


@settings(max_examples=150, deadline=None, phases=[p for p in Phase if p.name != "shrink"])
@given(hosts_of, configs, extras)
def test_it_is_what_ansible_makes_of_each_host(hosts: list[Host], config: Host, extra: Host) -> None:
    ours, ansibles = (constructed(hosts, config, mine, extra) for mine in (True, False))

    note(json.dumps([hosts, config, extra]))
    for part, expected in zip(ours, ansibles, strict=True):
        assert part == expected


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_expression_alone_is_what_ansible_makes_of_it(expression: str) -> None:
    hosts: list[Host] = [
        {"rack": "r1", "attributes": {"rack": "r1"}, "dsc": {"r1": "x", "rack": "r1"}},
        {"rack": "r1", "attributes": {"rack": "r1", "mac": "1"}, "dsc": {"r1": "x", "rack": "r2"}},
        {"rack": 1, "attributes": {"items": "r1"}, "arch": ["r1", ""]},
        {"rack": True, "attributes": {"items": "r1"}, "arch": ["r1", ""]},
        {},
        {},
    ]
    for config in (
        {"compose": {"mine": expression}, "keyed_groups": [{"key": "mine"}]},
        {"groups": {"one": expression}},
        {"keyed_groups": [{"key": expression, "parent_group": "up"}]},
    ):
        assert constructed(hosts, config, True) == constructed(hosts, config, False)


def test_an_expression_is_evaluated_once_for_hosts_that_are_alike_in_what_it_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ansible.plugins.inventory import Constructable

    evaluated: list[str] = []
    compose = Constructable._compose

    def watched(self: Any, text: str, *rest: Any) -> Any:
        evaluated.append(text)
        return compose(self, text, *rest)

    monkeypatch.setattr(
        Constructable,
        "_compose",
        lambda self, text, *rest: evaluated.append(text) or compose(self, text, *rest),
    )
    hosts = [{"attributes": {"rack": f"r{number % 3}", "mac": f"m{number}"}} for number in range(30)]
    config = {
        "compose": {"mine": "attributes['rack']", "also": "{'rack': attributes.rack}", "word": "'a' ~ 'b'"},
        "keyed_groups": [{"key": "mine", "prefix": "rack"}, {"key": "word"}, {"key": "also"}],
    }
    found = constructed(hosts, config, True)

    assert len(evaluated) == 3 + 3 + 1 + 3 + 1 + 3
    assert found[1]["rack_r1"] == [f"n{number}" for number in range(1, 30, 3)]


@pytest.mark.parametrize("expression", ["attributes.items", "attributes['items']", "attributes.rack.upper"])
def test_what_is_printed_by_its_address_is_nobody_elses(expression: str) -> None:
    plugin = inventory_loader.get("kraken.hpc.nodes")
    plugin.set_options(direct={"plugin": "kraken.hpc.nodes", "compose": trusted({"mine": expression})})
    plugin._vars = {}
    ((_, _, memory),) = Constructor(plugin)._compose

    assert memory.key(as_data({"attributes": {"rack": "r1"}})) is None


def test_chance_is_asked_for_each_host() -> None:
    found = constructed([{}] * 20, {"compose": {"mine": "999999999 | random"}}, True)

    assert len({str(variables["mine"]) for variables in found[4].values()}) > 1


@pytest.mark.parametrize(
    ("expression", "paths"),
    [
        ("rack", [("rack", ())]),
        ("a.b['c'].d", [("a", ((True, "b"), (False, "c"), (True, "d")))]),
        ("a['b'] ~ c", [("a", ((False, "b"),)), ("c", ())]),
        ("a.get('b', c)", [("a", ((False, "b"),)), ("c", ())]),
        ("a[b]", [("a", ()), ("b", ())]),
        ("a | map('upper') | select('match', b) | list", [("a", ()), ("b", ())]),
        ("1 + 1", []),
    ],
)
def test_what_an_expression_reads_is_known(expression: str, paths: list[Any]) -> None:
    assert sorted(reads(expression) or ()) == sorted(paths)


@pytest.mark.parametrize(
    "expression",
    [
        "now()",
        "lookup('ansible.builtin.pipe', 'date')",
        "query('env', 'HOME')",
        "a | random",
        "a | shuffle",
        "a | map('random')",
        "a | map(b)",
        "a | community.general.random_mac",
        "a | password_hash",
        "'%Y' | strftime",
        "a | select('exists')",
        "a | default(lookup('env', 'B'))",
        "a.append(1)",
        "a.b(1)",
        "vars['a']",
        "hostvars['n1'].a",
        "inventory_hostname",
        "group_names",
        "{{ a }}",
        "a }} {{ b",
        "a +",
        "#jinja2: a",
        "",
        None,
        5,
    ],
)
def test_what_may_be_another_each_time_is_not_taken_for_known(expression: Any) -> None:
    assert reads(expression) is None
