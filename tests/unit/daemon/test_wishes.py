"""Documents and requests: what is read, and what is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kraken.daemon.wishes import Wish, check_withdrawn, is_secret, read_attributes, read_cfg, read_document
from kraken.errors import DocumentError, UnknownNodeError
from kraken.model.catalog import Catalog
from kraken.model.loading import load_all
from kraken.model.node import NodeTable
from kraken.model.update import GROUPS, PRESENCE, PRESENT, Side, Stamp, StateUpdate, Value
from kraken.testing.daemons import LAB


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    (tmp_path / "lab.yml").write_text(LAB)
    found, problems = load_all([], [tmp_path])
    assert not problems
    return found


@pytest.fixture
def table() -> NodeTable:
    """a and b are in the group old, c is alone."""
    declared = NodeTable()
    sequence = 0
    for name, groups in (("a", ["old"]), ("b", ["old", "other"]), ("c", [])):
        for variable, value in ((PRESENCE, PRESENT), (GROUPS, groups or None)):
            sequence += 1
            stamp = Stamp(1, sequence)
            declared.merge([StateUpdate(name, Side.ATTRIBUTE, variable, value, stamp, 1.0, "tests")])
    return declared


@pytest.fixture
def read(table: NodeTable, catalog: Catalog) -> Any:
    def of(text: str) -> dict[str, Wish]:
        return read_document(yaml.safe_load(text), table, catalog)

    return of


def refused(read: Any, text: str) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        read(text)
    return caught.value


def groups_of(wishes: dict[str, Wish]) -> dict[str, list[str] | None]:
    return {name: wish.groups for name, wish in wishes.items()}


def test_a_nodes_own_word_wins_over_its_groups_and_later_wins_over_earlier(read: Any) -> None:
    wishes = read("""
        nodes:
          n[1-2]: {attributes: {rack: 1, row: x}, cfg: {power: 'ON'}}
          n1: {attributes: {rack: 2}}
        groups:
          g: {nodes: 'n[1-2]', attributes: {rack: 0, hall: h}, cfg: {power: 'OFF'}}
        cfg:
          n2: {power: 'OFF'}
    """)

    assert wishes["n1"].attributes == {"rack": 2, "row": "x", "hall": "h"}
    assert wishes["n2"].attributes == {"rack": 1, "row": "x", "hall": "h"}
    assert (wishes["n1"].cfg, wishes["n2"].cfg) == ({"power": "ON"}, {"power": "OFF"})
    assert all(wish.create for wish in wishes.values())


def test_a_group_is_made_moved_and_emptied(read: Any) -> None:
    assert groups_of(read("groups: {new: {nodes: 'a,c'}}")) == {"a": ["old", "new"], "c": ["new"]}
    assert groups_of(read("groups: {old: {nodes: 'b,c'}}")) == {"a": [], "b": ["old", "other"], "c": ["old"]}
    assert groups_of(read("groups: {old: {nodes: ''}}")) == {"a": [], "b": ["other"]}


def test_a_group_that_says_no_nodes_stays_as_it_is(read: Any) -> None:
    wishes = read("groups: {old: {attributes: {rack: 1}}}")

    assert {name: wish.attributes for name, wish in wishes.items()} == {"a": {"rack": 1}, "b": {"rack": 1}}
    assert groups_of(wishes) == {"a": None, "b": None}


def test_a_document_may_use_the_groups_it_fills_itself(read: Any) -> None:
    wishes = read("""
        cfg: {'@fresh': {power: 'ON'}, '@own': {image: x}}
        nodes:
          '@fresh': {attributes: {rack: 9}}
          n1: {groups: [own]}
        groups: {fresh: {nodes: 'c,n1'}}
    """)

    assert wishes["c"].cfg == {"power": "ON"}
    assert wishes["c"].attributes == {"rack": 9}
    assert wishes["c"].groups == ["fresh"]
    assert wishes["n1"].groups == ["own"]  # its own list wins
    assert wishes["n1"].cfg == {"image": "x"}
    assert (wishes["c"].create, wishes["n1"].create) == (False, True)


def test_null_withdraws_also_what_no_module_declares_any_more(read: Any) -> None:
    wishes = read("nodes: {a: {attributes: {rack: null}, cfg: {power: null, gone: null}}}")

    assert wishes["a"].attributes == {"rack": None}
    assert wishes["a"].cfg == {"power": None, "gone": None}


def test_what_a_module_that_is_gone_left_behind_can_be_withdrawn(table: NodeTable, catalog: Catalog) -> None:
    with pytest.raises(DocumentError, match="unknown variable 'gone'"):
        check_withdrawn(["power", "gone"], table, catalog)
    table.merge([StateUpdate("a", Side.CFG, "gone", "X", Stamp(1, 9), 0.0, "ada")])

    check_withdrawn(["power", "gone"], table, catalog)


def test_a_document_that_says_nothing_wishes_nothing(read: Any) -> None:
    assert read("{}") == {}
    assert read("nodes:\ngroups:\ncfg:\n") == {}


@pytest.mark.parametrize(
    ("text", "key", "said", "hint"),
    [
        ("[]", "", "expected a mapping, found a list", None),
        ("node: {}", "node", "unknown key 'node'", "did you mean nodes?"),
        ("nodes: n1", "nodes", "expected a mapping, found 'n1'", None),
        ("nodes: {n1: {atributes: {}}}", "nodes.n1.atributes", "unknown key", "did you mean attributes?"),
        ("nodes: {n1: {attributes: [a]}}", "nodes.n1.attributes", "found a list", None),
        ("nodes: {1: {}}", "nodes", "the key 1 is not text", "quote it"),
        ("nodes: {n1: {cfg: {pwer: 'ON'}}}", "nodes.n1.cfg.pwer", "unknown variable", "did you mean power?"),
        ("nodes: {n1: {cfg: {power: UP}}}", "nodes.n1.cfg.power", "power cannot be 'UP'", "one of OFF, ON"),
        ("nodes: {n1: {cfg: {power: on}}}", "nodes.n1.cfg.power", "cannot be 'true'", "reads on, off"),
        ("nodes: {n1: {cfg: {power: UNKNOWN}}}", "nodes.n1.cfg.power", "wished UNKNOWN", "one of"),
        ("nodes: {n1: {cfg: {power: [ON]}}}", "nodes.n1.cfg.power", "expected a value, found a list", None),
        ("nodes: {n1: {attributes: {power: x}}}", "nodes.n1.attributes.power", "is a variable", "as Cfg"),
        ("nodes: {n1: {attributes: {node: x}}}", "nodes.n1.attributes.node", "Kraken's own", "groups"),
        ("nodes: {n1: {attributes: {groups: null}}}", "nodes.n1.attributes.groups", "Kraken's own", None),
        ("nodes: {n1: {attributes: {'a b': 1}}}", "nodes.n1.attributes.a b", "cannot be the name", "letters"),
        ("nodes: {n1: {attributes: {a: [1]}}}", "nodes.n1.attributes.a", "texts only", "quote"),
        ("nodes: {n1: {attributes: {a: {b: 1}}}}", "nodes.n1.attributes.a", "found a mapping", None),
        ("nodes: {n1: {attributes: {a: 9223372036854775808}}}", "nodes.n1.attributes.a", "64 bits", "quote"),
        (
            f"nodes: {{n1: {{attributes: {{a: {'x' * 16385}}}}}}}",
            "nodes.n1.attributes.a",
            "16,384 at most",
            "file",
        ),
        (
            f"nodes: {{n1: {{attributes: {{a: [b, {'x' * 16384}]}}}}}}",
            "nodes.n1.attributes.a",
            "of 16,385",
            "file",
        ),
        ("nodes: {n1: {groups: g}}", "nodes.n1.groups", "expected a list of groups", None),
        ("nodes: {n1: {groups: ['@g']}}", "nodes.n1.groups", "'@g' cannot be the name of a group", "letters"),
        ("nodes: {'n[1-': {}}", "nodes.n[1-", "cannot read nodeset", "write it like"),
        ("nodes: {'*': {}}", "nodes.*", "selects no node", None),
        ("nodes: {n$: {}}", "nodes.n$", "'n$' cannot be the name of a node", "letters"),
        ("nodes: {'-x': {}}", "nodes.-x", "cannot be the name of a node", "letters"),
        ("nodes: {'@nobody': {}}", "nodes.@nobody", "unknown group @nobody", None),
        ("groups: {g: {}}", "groups.g", "the group 'g' has no nodes", "nodes:"),
        ("groups: {g: {nodes: [a]}}", "groups.g.nodes", "expected a nodeset, found a list", "write it like"),
        ("groups: {g: {node: a}}", "groups.g.node", "unknown key", "did you mean nodes?"),
        ("groups: {'g h': {nodes: a}}", "groups.g h", "cannot be the name of a group", "letters"),
        ("cfg: {a: [power]}", "cfg.a", "expected a mapping, found a list", None),
        ("cfg: {'': {power: 'ON'}}", "cfg.", "no nodes selected", None),
    ],
)
def test_what_is_wrong_is_named_with_its_key(
    read: Any, text: str, key: str, said: str, hint: str | None
) -> None:
    error = refused(read, text)

    assert error.key == key
    assert said in error.message
    assert (hint or "") in (error.hint or "")


@pytest.mark.parametrize("text", ["cfg: {z: {power: 'ON'}}", "groups: {g: {nodes: 'a,z'}}"])
def test_only_the_part_nodes_makes_nodes(read: Any, text: str) -> None:
    with pytest.raises(UnknownNodeError, match="unknown node z; nothing was done"):
        read(text)


@pytest.mark.parametrize(
    "name",
    [
        "ansible_password", "ansible_ssh_pass", "ansible_become_pass", "ansible_become_password",
        "bmc.password", "bmc.kg", "api_token", "apiToken", "smtp.password", "clientSecret", "secret",
        "db-passwd", "luks_passphrase", "munge_api_key", "ssh_private_key", "PASSWORD", "vault_secrets",
    ],
)  # fmt: skip
def test_a_secret_is_refused_and_not_repeated(catalog: Catalog, name: str) -> None:
    for value in ("hunter2", 8642097531, ["hunter2"]):
        with pytest.raises(DocumentError) as caught:
            read_attributes({name: value}, catalog, "set")

        assert caught.value.key == f"set.{name}"
        assert "secret" in caught.value.message
        assert "Ansible Vault" in str(caught.value.hint)
        assert "hunter2" not in str(caught.value)
        assert "8642097531" not in str(caught.value)


def test_a_secret_that_is_there_can_be_withdrawn(catalog: Catalog) -> None:
    assert read_attributes({"ansible_password": None}, catalog) == {"ansible_password": None}


@pytest.mark.parametrize(
    "name",
    [
        "bmc.credential", "ansible_ssh_private_key_file", "tokens_file", "bypass", "compass", "tokenizer",
        "secretary", "passport", "token_ttl", "password_file", "ansible_become_method", "weight_kg",
    ],
)  # fmt: skip
def test_what_only_sounds_like_a_secret_is_an_attribute(name: str) -> None:
    assert not is_secret(name)


def test_numbers_of_open_domains_become_text(catalog: Catalog) -> None:
    assert read_cfg({"image": 12}, catalog) == {"image": "12"}


@pytest.mark.parametrize("value", ["x", 1, 1.5, True, ["a", "b"], [], ""])
def test_scalars_and_lists_of_texts_are_attributes(catalog: Catalog, value: Value) -> None:
    assert read_attributes({"site.rack-1": value}, catalog) == {"site.rack-1": value}


@pytest.mark.parametrize("said", ["rack7,rack8", "rack7, rack8", ["rack7", "rack8", "rack7"]])
def test_collectors_are_a_list_or_words_with_commas(catalog: Catalog, said: Value) -> None:
    assert read_attributes({"collectors": said}, catalog) == {"collectors": ["rack7", "rack8"]}
    assert read_attributes({"collectors": None}, catalog) == {"collectors": None}


@pytest.mark.parametrize("said", ["", "rack7,,rack8", "rack 7", [], 'a"b'])
def test_what_no_collector_is_called_is_refused(catalog: Catalog, said: Value) -> None:
    with pytest.raises(DocumentError) as error:
        read_attributes({"collectors": said}, catalog)

    assert error.value.key == "set.collectors"
    assert error.value.hint
