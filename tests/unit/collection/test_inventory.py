"""kraken.hpc.nodes gives Kraken's nodes as inventory, whole or not at all."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import inventory_loader
from ansible.template import Templar

from ansible_collections.kraken.hpc.plugins.inventory import nodes as nodes_module
from ansible_collections.kraken.hpc.plugins.plugin_utils.grouping import CAUSES, cause_group

Read = Callable[..., InventoryData]


@pytest.fixture
def read(tmp_path: Path, socket: str) -> Read:
    """The inventory that a configuration gives; None takes a key away."""

    def read_inventory(
        refresh: bool = False, into: InventoryData | None = None, **config: Any
    ) -> InventoryData:
        config = {"plugin": "kraken.hpc.nodes", "socket": socket, **config}
        path = tmp_path / "kraken.yml"
        path.write_text(yaml.safe_dump({key: value for key, value in config.items() if value is not None}))
        plugin = inventory_loader.get("kraken.hpc.nodes")
        assert plugin.verify_file(str(path))
        inventory = InventoryData() if into is None else into
        plugin.parse(inventory, DataLoader(), str(path), cache=not refresh)
        with contextlib.suppress(AttributeError):  # no cache plugin was loaded
            plugin.update_cache_if_changed()
        return inventory

    return read_inventory


def hosts(inventory: InventoryData, group: str) -> list[str]:
    return sorted(host.name for host in inventory.groups[group].get_hosts())


def test_a_host_has_everything_kraken_knows_of_its_node(kraken: Any, read: Read) -> None:
    kraken.add(
        "n1",
        groups=["compute"],
        attributes={"bmc.address": "10.1.0.1", "ansible_host": "10.0.0.1", "ansible_port": 2222},
        cfg={"phys_state": "POWER_ON", "service": "RUNNING"},
        dsc={"phys_state": "POWER_ON"},
        stale=["phys_state"],
        cause="RUNNING",
        reason="start_service",
        path=[{"name": "start_service", "kind": "mutation"}],
        other_modules="n1 is for collector c1 to run, which has other Kraken modules than this one",
    )
    variables = read().get_host("n1").vars
    age = variables.pop("kraken_dsc_age")

    assert list(age) == ["phys_state"]
    assert age["phys_state"] >= 2.5  # and what has passed since Kraken was asked
    assert {key: value for key, value in variables.items() if key.startswith(("kraken", "ansible_"))} == {
        "ansible_host": "10.0.0.1",
        "ansible_port": 2222,
        "kraken_attributes": {
            "bmc.address": "10.1.0.1",
            "ansible_host": "10.0.0.1",
            "ansible_port": 2222,
        },
        "kraken_cfg": {"phys_state": "POWER_ON", "service": "RUNNING"},
        "kraken_cfg_source": {"phys_state": "root", "service": "root"},
        "kraken_dsc": {"phys_state": "POWER_ON"},
        "kraken_dsc_source": {"phys_state": "power_status"},
        "kraken_dsc_seen_at": {"phys_state": 1_790_000_005.0},
        "kraken_stale": ["phys_state"],
        "kraken_cause": "RUNNING",
        "kraken_reason": "start_service",
        "kraken_since": 1_790_000_000.0,
        "kraken_next": "",
        "kraken_collector": "",
        "kraken_groups": ["compute"],
        "kraken_path": ["start_service"],
        "kraken_other_modules": "n1 is for collector c1 to run, which has other Kraken modules than this one",
        "kraken_running": [],
        "kraken_holds": [],
        "kraken_failures": 0,
        "kraken_quarantined": None,
    }


def test_all_nodes_come_in_one_request(kraken: Any, read: Read) -> None:
    kraken.add("n[1-50]", groups=["compute"])
    inventory = read()

    assert len(inventory.hosts) == 50
    assert [(asked.path, asked.query) for asked in kraken.asked] == [("/v1/nodes", {"view": "full"})]


def test_nodes_are_grouped_by_krakens_groups_and_by_cause(kraken: Any, read: Read) -> None:
    kraken.add("n[1-2]", groups=["compute", "rack-1"])
    kraken.add("n3", groups=["rack-1"], cause="QUARANTINED")
    inventory = read()

    assert hosts(inventory, "compute") == ["n1", "n2"]
    assert hosts(inventory, "rack_1") == ["n1", "n2", "n3"]
    assert hosts(inventory, "kraken_cause_converged") == ["n1", "n2"]
    assert hosts(inventory, "kraken_cause_quarantined") == ["n3"]


def test_every_cause_has_its_group_even_without_nodes(kraken: Any, read: Read) -> None:
    groups = read().groups

    assert all(cause_group(cause) in groups for cause in CAUSES)


def test_a_cause_this_collection_does_not_know_gets_its_group_too(kraken: Any, read: Read) -> None:
    kraken.add("n1", cause="ASLEEP")

    assert hosts(read(), "kraken_cause_asleep") == ["n1"]


def test_filters_are_the_servers_work(kraken: Any, read: Read) -> None:
    kraken.add("n[1-4]", groups=["compute"])
    kraken.add("n5", groups=["compute"], cause="HELD", collector="rack7")
    kraken.add("n6", groups=["compute"], cause="HELD", collector="rack8")
    kraken.add("login1", cause="HELD")
    inventory = read(nodeset="n[1-6]", cause="HELD", group="compute", collector="rack7")

    assert list(inventory.hosts) == ["n5"]
    assert kraken.asked[0].query == {
        "view": "full",
        "nodeset": "n[1-6]",
        "cause": "HELD",
        "group": "compute",
        "collector": "rack7",
    }


def test_constructed_variables_and_groups_are_made_of_what_kraken_knows(kraken: Any, read: Read) -> None:
    kraken.add("n1", attributes={"rack": "r1", "arch": "x86_64"}, dsc={"phys_state": "POWER_ON"})
    kraken.add("n2", attributes={"rack": "r2", "arch": "arm64"})
    inventory = read(
        strict=True,
        compose={"rack": "kraken_attributes['rack']"},
        groups={"powered": "kraken_dsc['phys_state'] | default('') == 'POWER_ON'"},
        keyed_groups=[{"key": "kraken_attributes['arch']", "prefix": "arch"}, {"key": "rack"}],
    )

    assert inventory.get_host("n2").vars["rack"] == "r2"
    assert hosts(inventory, "powered") == ["n1"]
    assert hosts(inventory, "arch_arm64") == ["n2"]
    assert hosts(inventory, "_r1") == ["n1"]


def test_strict_fails_where_an_expression_does(kraken: Any, read: Read) -> None:
    kraken.add("n1")

    with pytest.raises(Exception, match="Could not set rack for host n1"):
        read(strict=True, compose={"rack": "kraken_attributes['rack']"})
    assert "rack" not in read(compose={"rack": "kraken_attributes['rack']"}).get_host("n1").vars


def test_a_source_that_fails_midway_leaves_the_inventory_as_it_was(kraken: Any, read: Read) -> None:
    """With a second source the run goes on: what came of half of the nodes would count as all there are."""
    kraken.add("n1", attributes={"rack": "r1"}, groups=["compute"])
    kraken.add("n2", groups=["compute"])
    before = InventoryData()
    before.add_group("mine")
    before.add_host("n1", "mine")
    before.set_variable("n1", "colour", "red")
    left = dict(before.hosts["n1"].vars)

    with pytest.raises(Exception, match="Could not set rack for host n2"):
        read(into=before, strict=True, compose={"rack": "kraken_attributes['rack']"})

    assert (sorted(before.hosts), sorted(before.groups)) == (["n1"], ["all", "mine", "ungrouped"])
    assert before.hosts["n1"].vars == left
    assert [group.name for group in before.hosts["n1"].groups] == ["mine"]


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        ([{"name": "n1", "cfg": {}, "dsc": {}}], "KeyError: 'groups'"),
        (["n1"], "TypeError"),
        (None, "TypeError"),
    ],
)
def test_an_answer_of_another_version_is_told(kraken: Any, read: Read, nodes: Any, why: str) -> None:
    kraken.raw.append((200, "application/json", json.dumps({"nodes": nodes}).encode()))

    with pytest.raises(AnsibleParserError, match="none that this collection reads") as told:
        read()
    assert why in str(told.value)
    assert "upgrade the older" in str(told.value)


def test_what_kraken_says_is_never_rendered_as_a_template(kraken: Any, read: Read) -> None:
    evil = "{{ lookup('ansible.builtin.pipe', 'id') }}"
    kraken.add("n1", attributes={"ansible_user": evil, "note": evil}, reason=evil)
    variables = read().get_host("n1").vars
    rendered = Templar(loader=DataLoader(), variables=variables).template(
        {key: variables[key] for key in ("ansible_user", "kraken_attributes", "kraken_reason")}
    )

    assert rendered["ansible_user"] == rendered["kraken_reason"] == evil
    assert rendered["kraken_attributes"]["note"] == evil


def test_a_cache_is_used_as_long_as_it_may_be(kraken: Any, read: Read, tmp_path: Path) -> None:
    kraken.add("n1")
    cached = {"cache": True, "cache_plugin": "jsonfile", "cache_connection": str(tmp_path / "cache")}
    keyed = [{"key": "kraken_cause", "prefix": "is"}]
    read(**cached)
    kraken.add("n2")
    again = read(**cached, keyed_groups=keyed)
    refreshed = read(refresh=True, **cached)

    assert list(again.hosts) == ["n1"]
    assert hosts(again, "is_CONVERGED") == ["n1"], "what is constructed is made anew from what is remembered"
    assert sorted(refreshed.hosts) == ["n1", "n2"]
    assert len(kraken.asked) == 2
    assert sorted(read(**cached).hosts) == ["n1", "n2"]


def test_a_cache_of_another_question_is_not_used(kraken: Any, read: Read, tmp_path: Path) -> None:
    kraken.add("n1")
    kraken.add("n2", cause="HELD")
    cached = {"cache": True, "cache_plugin": "jsonfile", "cache_connection": str(tmp_path / "cache")}

    assert len(read(**cached).hosts) == 2
    assert list(read(cause="HELD", **cached).hosts) == ["n2"]
    assert list(read(nodeset="n1", **cached).hosts) == ["n1"]


def test_another_kraken_has_another_cache_key() -> None:
    keys = {nodes_module.cache_key(address, {"nodeset": None}) for address in ("/a.sock", "https://head")}

    assert len(keys) == 2


def test_a_kraken_that_is_away_fails_the_source_whole(kraken: Any, read: Read, tmp_path: Path) -> None:
    with pytest.raises(AnsibleParserError, match=r"cannot reach Kraken at .*none\.sock: No such file"):
        read(socket=str(tmp_path / "none.sock"))


def test_a_kraken_that_is_away_is_remembered_where_that_is_wanted(
    kraken: Any, read: Read, tmp_path: Path, socket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kraken.add("n1", dsc={"phys_state": "POWER_ON"})
    kept = {"cache_when_away": True, "cache_plugin": "jsonfile", "cache_connection": str(tmp_path / "cache")}
    read(**kept)
    kraken.add("n2")
    assert sorted(read(**kept).hosts) == ["n1", "n2"], "a Kraken that is there is asked"
    age_all(tmp_path / "cache", 7200)
    Path(socket).rename(tmp_path / "elsewhere")
    capsys.readouterr()
    inventory = read(**kept)
    told = " ".join(capsys.readouterr().err.split())

    assert sorted(inventory.hosts) == ["n1", "n2"]
    assert inventory.get_host("n1").vars["kraken_dsc_age"]["phys_state"] >= 7202.5
    assert "cannot reach Kraken at" in told
    assert "the inventory is what Kraken said 2 hours ago" in told
    with pytest.raises(
        AnsibleParserError, match=r"cannot reach Kraken .*; nor is there an answer in the cache"
    ):
        read(**kept, nodeset="n1")
    with pytest.raises(AnsibleParserError, match="cannot reach Kraken"):
        read(**{**kept, "cache_when_away": False})
    Path(tmp_path / "elsewhere").rename(socket)
    with pytest.raises(AnsibleParserError, match="unknown node n7"):
        read(**kept, nodeset="n[1,7]")


def age_all(cache: Path, by_s: float) -> None:
    """Have what is in the cache be remembered for longer, but not expired."""
    (file,) = cache.iterdir()
    kept = json.loads(file.read_text())
    (inner,) = [kept] if "asked_at" in kept else [json.loads(kept["__payload__"])]
    inner["asked_at"] -= by_s
    file.write_text(json.dumps(inner if inner is kept else {**kept, "__payload__": json.dumps(inner)}))


def test_what_is_remembered_but_not_whole_is_not_used(
    kraken: Any, read: Read, tmp_path: Path, socket: str
) -> None:
    kraken.add("n1")
    kept = {"cache": True, "cache_plugin": "jsonfile", "cache_connection": str(tmp_path / "cache")}
    read(**kept)
    (file,) = (tmp_path / "cache").iterdir()
    file.write_text(file.read_text().replace("asked_at", "at"))
    kraken.add("n2")

    assert sorted(read(**kept).hosts) == ["n1", "n2"]


def test_a_cache_that_cannot_be_read_is_none(
    kraken: Any, read: Read, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kraken.add("n1")
    kept = {"cache": True, "cache_plugin": "jsonfile", "cache_connection": str(tmp_path / "cache")}
    read(**kept)
    (file,) = (tmp_path / "cache").iterdir()
    file.write_text(file.read_text()[:30])
    kraken.add("n2")

    assert sorted(read(**kept).hosts) == ["n1", "n2"]
    assert "the cache counts for nothing" in " ".join(capsys.readouterr().err.split())
    assert len(kraken.asked) == 2
    assert sorted(read(**kept).hosts) == ["n1", "n2"]
    assert len(kraken.asked) == 2, "it is written anew"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 seconds"), (119, "119 seconds"), (121, "2 minutes"), (9000, "2 hours"), (900_000, "10 days")],
)
def test_an_age_is_said_as_people_say_it(seconds: float, said: str) -> None:
    assert nodes_module.duration(seconds) == said


def test_nodes_are_grouped_by_collector_and_by_the_values_of_variables(kraken: Any, read: Read) -> None:
    kraken.add(
        "n1", collector="rack-7", cfg={"phys_state": "POWER_ON"}, dsc={"phys_state": "POWER_ON"}, groups=["c"]
    )
    kraken.add("n2", cfg={"phys_state": "POWER_ON", "service": "RUNNING"})
    inventory = read(group_by=["collector", "cfg", "dsc"])

    assert {name: hosts(inventory, name) for name in inventory.groups if name.startswith("kraken_")} == {
        "kraken_collector_rack_7": ["n1"],
        "kraken_cfg_phys_state_POWER_ON": ["n1", "n2"],
        "kraken_cfg_service_RUNNING": ["n2"],
        "kraken_dsc_phys_state_POWER_ON": ["n1"],
        "kraken_dsc_phys_state_UNKNOWN": ["n2"],
        "kraken_dsc_service_UNKNOWN": ["n2"],
    }
    assert "c" not in inventory.groups


def test_groups_are_named_as_one_likes(kraken: Any, read: Read) -> None:
    kraken.add("n1", groups=["compute"], cfg={"phys_state": "POWER_ON", "service": "RUNNING"})
    inventory = read(
        group_by=["group", "cause", "cfg"],
        group_prefixes={"group": "k", "cause": "", "cfg": "want"},
        group_separator="__",
        group_variables=["service"],
    )

    for name in ("converged", "k__compute", "want__service__RUNNING"):
        assert hosts(inventory, name) == ["n1"]
    assert "quarantined" in inventory.groups
    assert not [name for name in inventory.groups if "phys_state" in name]


def test_a_prefix_for_what_there_is_not_is_an_error(kraken: Any, read: Read) -> None:
    with pytest.raises(AnsibleParserError, match="group_prefixes: colour is none of group, cause, coll"):
        read(group_prefixes={"colour": "red"})


def test_a_prefix_that_is_no_text_is_told(kraken: Any, read: Read) -> None:
    with pytest.raises(AnsibleParserError, match=r"group_prefixes\.cfg is 3, and no text: quote it"):
        read(group_prefixes={"cfg": 3})


def test_a_variable_that_no_node_has_makes_no_groups_and_is_warned_of(
    kraken: Any, read: Read, capsys: pytest.CaptureFixture[str]
) -> None:
    kraken.add("n1", cfg={"phys_state": "POWER_ON"}, dsc={"run_state": "SYNC"})
    read(group_by=["cfg", "dsc"], group_variables=["phys_state", "run_state"])
    quiet = capsys.readouterr().err
    read(group_by=["cfg"], group_variables=["phys_stat", "run_state"])
    told = " ".join(capsys.readouterr().err.split())

    assert quiet == ""
    assert "group_variables: no node has phys_stat (did you mean phys_state?)" in told


def test_what_to_do_is_told_in_words_of_the_inventory(kraken: Any, read: Read) -> None:
    kraken.add("n1")

    with pytest.raises(AnsibleParserError, match="without nodeset the inventory is all there are"):
        read(nodeset="n7")


def test_a_mistyped_option_is_an_error_and_not_every_node(kraken: Any, read: Read) -> None:
    kraken.add("n[1-2]")

    with pytest.raises(AnsibleParserError, match=r"unknown option nodset \(did you mean nodeset\?\)"):
        read(nodset="n1")
    assert kraken.asked == []


def test_why_kraken_is_away_is_said_once(read: Read, tmp_path: Path) -> None:
    with pytest.raises(AnsibleParserError) as caught:
        read(socket=str(tmp_path / "nobody.sock"))

    assert str(caught.value).count("cannot reach Kraken") == 1


@pytest.mark.parametrize("filters", [{"group": "gpu"}, {"nodeset": "@gpu"}])
def test_an_unknown_group_is_an_error_that_names_those_there_are(
    kraken: Any, read: Read, filters: dict[str, str]
) -> None:
    kraken.add("n1", groups=["compute"])

    with pytest.raises(AnsibleParserError, match="unknown group @gpu") as refused:
        read(**filters)
    assert "compute" in str(refused.value)
    assert "write it like" not in str(refused.value)


def test_an_unknown_node_in_the_filter_is_an_error_that_names_it(kraken: Any, read: Read) -> None:
    kraken.add("n1")

    with pytest.raises(AnsibleParserError, match="unknown node n7"):
        read(nodeset="n[1,7]")


def test_a_broken_off_answer_leaves_no_partial_inventory(kraken: Any, read: Read) -> None:
    kraken.raw.append((200, "cut", b'{"nodes": [{"name": "n1"}'))

    with pytest.raises(AnsibleParserError, match="broke off its answer"):
        read()


def test_the_file_wins_over_the_environment_and_the_environment_over_the_default(
    kraken: Any, read: Read, socket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kraken.add("n1")
    monkeypatch.setenv("KRAKEN_URL", "https://127.0.0.1:1")

    assert list(read().hosts) == ["n1"]
    monkeypatch.delenv("KRAKEN_URL")
    monkeypatch.setenv("KRAKEN_SOCKET", socket)
    assert list(read(socket=None).hosts) == ["n1"]


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("nodes.yml", True),
        ("kraken.yaml", True),
        ("site.kraken.yml", True),
        ("hosts.yml", False),
        ("mynodes.yml", False),
        ("kraken.ini", False),
    ],
)
def test_the_name_of_a_file_says_whether_it_is_ours(tmp_path: Path, name: str, taken: bool) -> None:
    path = tmp_path / name
    path.write_text("plugin: kraken.hpc.nodes\n")

    assert inventory_loader.get("kraken.hpc.nodes").verify_file(str(path)) is taken


def test_a_file_that_does_not_exist_is_not_ours(tmp_path: Path) -> None:
    assert not inventory_loader.get("kraken.hpc.nodes").verify_file(str(tmp_path / "kraken.yml"))


def test_two_groups_that_ansible_cannot_tell_apart_are_warned_of(
    kraken: Any, read: Read, capsys: pytest.CaptureFixture[str]
) -> None:
    kraken.add("n1", groups=["rack-1"])
    kraken.add("n2", groups=["rack_1"])
    inventory = read()

    assert hosts(inventory, "rack_1") == ["n1", "n2"]
    assert "group rack-1 and group rack_1 are one group here" in " ".join(capsys.readouterr().err.split())
