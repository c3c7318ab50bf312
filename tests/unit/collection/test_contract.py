"""The scripted Kraken answers as docs/api.md says, so that what passes here holds for the daemon."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


def test_every_problem_has_the_status_the_page_gives_it(fake_api: ModuleType) -> None:
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (\d{3}) \|", PAGE, re.M))

    assert fake_api.STATUS.items() <= {kind: int(status) for kind, status in rows.items()}.items()


def test_a_brief_node_has_the_keys_of_the_page(fake_api: ModuleType, kraken: Any) -> None:
    kraken.add("n1")
    section = PAGE.split("### A node")[1].split("###")[0]
    shown = json.loads(re.search(r"\{.*?\}\s*$", section.split("`dsc` holds")[0], re.S | re.M)[0])  # type: ignore[index]

    assert set(fake_api.brief(kraken.nodes["n1"])) == set(shown)


def test_a_full_node_adds_the_keys_of_the_page(fake_api: ModuleType, kraken: Any) -> None:
    kraken.add("n1", dsc={"phys_state": "POWER_ON"})
    section = PAGE.split("`full` adds")[1].split("###")[0]
    node = fake_api.full(kraken.nodes["n1"])
    added = set(node) - set(fake_api.brief(kraken.nodes["n1"]))

    assert added == set(re.findall(r'(?:^ {4}|[\]}], )"(\w+)":', section, re.M))
    record = section.split('"dsc": {"phys_state": {')[1].split("}")[0]
    assert set(node["records"]["dsc"]["phys_state"]) == set(re.findall(r'"(\w+)"', record))


def test_an_item_of_a_change_has_the_keys_of_the_page(kraken: Any, fake_api: ModuleType) -> None:
    kraken.add("n0001", cfg={"phys_state": "POWER_OFF"})
    shown = json.loads(re.search(r'\{"changed": 2.*\}', PAGE)[0])  # type: ignore[index]
    body = {"nodeset": "n0001", "set": {"phys_state": "POWER_ON"}}
    asked = fake_api.Asked("PATCH", "/v1/cfg", {}, body, {})
    answer = kraken.answer(asked)

    assert set(answer) == set(shown)
    assert answer["items"] == shown["items"]


def test_the_inventory_knows_every_cause_of_the_page() -> None:
    source = (ROOT / "ansible_collections/kraken/hpc/plugins/plugin_utils/grouping.py").read_text()
    causes = ast.literal_eval(re.search(r"^CAUSES = (\(.*?\n\))", source, re.S | re.M)[1])  # type: ignore[index]
    listed = re.search(r"`cause` is one of (.*?)\. ", " ".join(PAGE.split()))

    assert listed
    assert sorted(causes) == sorted(listed[1].split(", "))


def test_the_calls_the_collection_makes_are_on_the_page(kraken: Any) -> None:
    calls = [
        f"{method} {path}" for method, path in (*kraken.calls, ("GET", "/v1/nodes"), ("PATCH", "/v1/cfg"))
    ]

    assert [call for call in calls if not re.search(rf"`{re.escape(call)}[`?]", PAGE)] == []


@pytest.mark.parametrize(
    ("method", "path", "shown"),
    [
        ("GET", "/v1/explain", r'\{"cause", "count", "nodeset", "topic", "reason"\}'),
        ("GET", "/v1/drift", r'\{"nodeset": "n\[0002-0003\].*?\}'),
        ("GET", "/v1/holds", r'\{"id", "nodeset", "owner", "reason", "created_at", "until"\}'),
        ("GET", "/v1/collectors", r'\{"name": "rack7", "parent".*?"dropped": 0\}'),
    ],
)
def test_rows_have_the_keys_of_the_page(
    kraken: Any, fake_api: ModuleType, method: str, path: str, shown: str
) -> None:
    kraken.add("n1", cfg={"phys_state": "POWER_ON"}, holds=[{"id": "*f", "owner": "a", "reason": "b"}])
    kraken.nodes["n1"]["holds"][0].update(created_at=1.0, until=None)
    kraken.does.collectors["rack7"] = "CONNECTED"
    answer = kraken.answer(fake_api.Asked(method, path, {"view": "folded"}, None, {}))
    row = next(iter(answer[{"/v1/explain": "folded", "/v1/drift": "rows"}.get(path, path.split("/")[-1])]))
    page = re.sub(r'"flow": \{.*', '"flow"', re.search(shown, PAGE, re.S)[0], flags=re.S)  # type: ignore[index]

    assert set(row) == set(re.findall(r'(?<!: )"(\w+)"', page)), "a value follows a colon, a key does not"
