"""Every row of the error table of docs/api.md, over a real socket."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from kraken.daemon.daemon import Daemon
from kraken.errors import StoreError

CFG, ATTRIBUTES, APPLY = "/v1/cfg", "/v1/attributes", "/v1/apply"
CHANGE = {"nodeset": "n1", "set": {"power": "ON"}}
HOLD = {"nodeset": "n1", "reason": "x"}
TABLE = Path(__file__).parents[3] / "docs" / "api.md"


async def raw(socket: Path, request: bytes, *, end: bool = False) -> bytes:
    """What comes back for these bytes; `end` closes our side before."""
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_unix_connection(str(socket))
        writer.write(request)
        await writer.drain()
        if end:
            writer.write_eof()
        answer = await reader.read()
        writer.close()
        return answer


def to(**values: Any) -> dict[str, Any]:
    return {"nodeset": "n1", "set": values}


def head(method: str, path: str, *headers: str) -> bytes:
    return "\r\n".join(
        [f"{method} {path} HTTP/1.1", "Host: kraken", "Connection: close", *headers, "", ""]
    ).encode()


def test_every_type_of_the_table_is_provoked_here() -> None:
    types = re.findall(r"^\| `([a-z-]+)` \| \d+ \|", TABLE.read_text(), re.MULTILINE)
    others = ("test_server.py", "test_power.py")
    here = "".join(Path(__file__).with_name(name).read_text() for name in (Path(__file__).name, *others))

    assert len(types) == 15
    assert [kind for kind in types if f'"{kind}"' not in here] == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/v1/cfg", {"set": {"power": "ON"}}),
        ("PATCH", "/v1/cfg", {"nodeset": "", "set": {"power": "ON"}}),
        ("PATCH", "/v1/cfg", {"nodeset": "n[1-", "set": {"power": "ON"}}),
        ("PATCH", "/v1/cfg", {"nodeset": "@nobody", "set": {"power": "ON"}}),
        ("PATCH", "/v1/cfg", {"nodeset": "n1", "all": True, "set": {"power": "ON"}}),
        ("POST", "/v1/nodes/delete", {}),
        ("POST", "/v1/plan", {}),
        ("POST", "/v1/discover", {}),
        ("POST", "/v1/holds", {"reason": "x"}),
        ("POST", "/v1/holds/release", {}),
        ("POST", "/v1/retry", {}),
        ("POST", "/v1/power", {"do": "on"}),
        ("POST", "/v1/power/declare", {"do": "on"}),
        ("GET", "/v1/power", None),
        ("GET", "/v1/explain", None),
        ("GET", "/v1/nodes?nodeset=n[", None),
        ("GET", "/v1/drift?nodeset=n[", None),
        ("GET", "/v1/history?nodeset=n[", None),
        ("GET", "/v1/events?nodeset=n[", None),
    ],
)
async def test_no_nodeset_or_a_wrong_one(caller: Any, method: str, path: str, body: Any) -> None:
    problem = await caller.problem(method, path, body)

    assert (problem["type"], problem["status"]) == ("nodeset", 400)
    assert problem.get("hint") or problem["part"]


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"", "the request has no body"),
        (b"null", "the request has no body"),
        (b"{", "the JSON of the body is cut off"),
        (b'{"nodeset": "n1", "set": {"pow', "the JSON of the body is cut off"),
        (b"power=ON", "the body is not JSON: invalid character (byte 0)"),
        (b"\xff\xfe", "the body is not JSON"),
        (b'{"nodeset": "n1"} x', "the body is not JSON: trailing characters (byte 19)"),
        (b'{"set": ' + b'{"a":' * 50_000, "the body is nested too deeply"),
    ],
)
async def test_a_body_that_is_no_json(caller: Any, content: bytes, detail: str) -> None:
    problem = caller.problem_of(await caller.client.request("PATCH", "/v1/cfg", content=content))

    assert (problem["type"], problem["status"]) == ("malformed", 400)
    assert problem["detail"].startswith(detail)
    assert problem["hint"] == "send one whole JSON object"


@pytest.mark.parametrize(
    ("method", "path", "body", "key", "detail"),
    [
        ("PATCH", CFG, [], None, "expected a mapping, found a list"),
        ("PATCH", CFG, "n1", None, "expected a mapping, found text"),
        ("PATCH", CFG, {"nodeset": 5}, "nodeset", "nodeset: expected text or null, found a whole number"),
        ("PATCH", CFG, {**CHANGE, "yes": "on"}, "yes", "yes: expected true or false, found text"),
        ("PATCH", CFG, {**CHANGE, "unset": ["a", 1]}, "unset[1]", "unset[1]: expected text, found a"),
        ("PATCH", CFG, {**CHANGE, "sett": {}}, "sett", "unknown key 'sett'"),
        ("PATCH", CFG, {"nodeset": "n1"}, "set", "nothing to set or unset"),
        ("PATCH", CFG, {**CHANGE, "unset": ["power"]}, "unset.power", "both set and unset: power"),
        ("PATCH", CFG, to(powr="ON"), "set.powr", "unknown variable 'powr'"),
        ("PATCH", CFG, to(power="UP"), "set.power", "power cannot be 'UP'"),
        ("PATCH", CFG, to(power={}), "set.power", "expected a value, found a mapping"),
        ("PATCH", ATTRIBUTES, to(a=[1]), "set.a", "a list may hold texts only"),
        ("PATCH", ATTRIBUTES, to(power="x"), "set.power", "'power' is a variable"),
        ("PATCH", ATTRIBUTES, to(a=2**70), "set.a", "the number has more than 64"),
        (
            "PATCH", ATTRIBUTES, {"nodeset": "n1", "set": {"ansible_password": "x"}},
            "set.ansible_password", "the attribute 'ansible_password' would hold a secret",
        ),
        ("POST", "/v1/plan", {**CHANGE, "unset": ["power"]}, "unset.power", "both set and unset"),
        ("POST", APPLY, {}, "document", "the key 'document' is missing"),
        ("POST", APPLY, {"document": []}, "document", "document: expected a mapping, found a list"),
        ("POST", APPLY, {"document": {"node": {}}}, "node", "unknown key 'node'"),
        ("POST", APPLY, {"document": {"cfg": {"n1": {"power": 1}}}}, "cfg.n1.power", "power cannot"),
        ("POST", "/v1/holds", {"nodeset": "n1"}, "reason", "the key 'reason' is missing"),
        ("POST", "/v1/holds", {**HOLD, "reason": ""}, "reason", "a hold needs a reason"),
        ("POST", "/v1/holds", {**HOLD, "for_s": 0}, "for_s", "a hold cannot last 0 s"),
        ("POST", "/v1/holds", {**HOLD, "for_s": "1h"}, "for_s", "for_s: expected a number"),
        ("POST", "/v1/freeze", {"reason": " "}, "reason", "a hold needs a reason"),
        ("POST", "/v1/freeze", {"why": "x"}, "why", "unknown key 'why'"),
        ("GET", "/v1/runs?limit=many", None, "limit", "limit: expected a whole number, found text"),
        ("GET", "/v1/runs?limit=0", None, "limit", "limit 0 is not between 1 and 10000"),
        ("GET", "/v1/runs?active=maybe", None, "active", "active: expected true or false"),
        ("GET", "/v1/history?limit=10001", None, "limit", "limit 10001 is not between"),
        ("GET", "/v1/history?before=-1", None, "before", "before cannot be -1"),
        ("GET", f"/v1/history?before={2**80}", None, "before", "before cannot be"),
        ("GET", "/v1/nodes?view=all", None, "view", "unknown view 'all'"),
        ("GET", "/v1/nodes?cause=WAITIN", None, "cause", "unknown cause 'WAITIN'"),
        ("GET", "/v1/explain?all=perhaps", None, "all", "all: expected true or false, found text"),
        ("GET", "/v1/events?kinds=dsc,cuse", None, "kinds", "there is no kind of events 'cuse'"),
        ("GET", "/v1/graph?kind=x", None, "kind", "unknown kind 'x'"),
        ("GET", "/v1/graph?format=png", None, "format", "unknown format 'png'"),
    ],
)  # fmt: skip
async def test_a_wrong_key_or_value_is_named(
    caller: Any, method: str, path: str, body: Any, key: str | None, detail: str
) -> None:
    await caller.apply({"nodes": {"n1": {}}})
    problem = await caller.problem(method, path, body)

    assert (problem["type"], problem["status"]) == ("document", 422)
    assert problem.get("key") == key
    assert problem["detail"].startswith(detail)


async def test_a_wrong_word_brings_a_hint(caller: Any) -> None:
    await caller.apply({"nodes": {"n1": {}}})

    async def hint(method: str, path: str, body: Any = None) -> str:
        return str((await caller.problem(method, path, body))["hint"])

    assert "did you mean set?" in await hint("PATCH", "/v1/cfg", {"nodeset": "n1", "sett": {}})
    assert "did you mean power?" in await hint("PATCH", "/v1/cfg", {"nodeset": "n1", "set": {"powr": "ON"}})
    assert "one of OFF, ON" in await hint("PATCH", "/v1/cfg", {"nodeset": "n1", "set": {"power": "UP"}})
    assert "did you mean WAITING?" in await hint("GET", "/v1/nodes?cause=waitin")
    assert "did you mean cause?" in await hint("GET", "/v1/events?kinds=cuse")
    assert "Ansible Vault" in await hint("PATCH", "/v1/attributes", {"nodeset": "n1", "set": {"secret": "x"}})


@pytest.mark.parametrize(
    ("method", "path", "body", "part"),
    [
        ("PATCH", "/v1/cfg", {"nodeset": "n[1,8-9]", "set": {"power": "ON"}}, "n[8-9]"),
        ("PATCH", "/v1/attributes", {"nodeset": "n9", "set": {"a": 1}}, "n9"),
        ("POST", "/v1/nodes/delete", {"nodeset": "n9"}, "n9"),
        ("POST", "/v1/plan", {"nodeset": "n9"}, "n9"),
        ("POST", "/v1/discover", {"nodeset": "n9"}, "n9"),
        ("POST", "/v1/holds", {"nodeset": "n9", "reason": "x"}, "n9"),
        ("POST", "/v1/apply", {"document": {"cfg": {"n9": {"power": "ON"}}}}, "n9"),
        ("GET", "/v1/nodes/n9", None, "n9"),
        ("GET", "/v1/nodes?nodeset=n9", None, "n9"),
        ("GET", "/v1/explain?nodeset=n9", None, "n9"),
        ("GET", "/v1/history?nodeset=n9", None, "n9"),
        ("GET", "/v1/events?nodeset=n9", None, "n9"),
        ("GET", "/v1/graph?node=n9", None, "n9"),
    ],
)
async def test_an_unknown_node(caller: Any, method: str, path: str, body: Any, part: str) -> None:
    await caller.apply({"nodes": {"n1": {}}})
    problem = await caller.problem(method, path, body)

    assert (problem["type"], problem["status"], problem["part"]) == ("unknown-node", 404, part)
    reads = method == "GET" or path == "/v1/plan"
    assert problem["detail"].endswith(part if reads else f"{part}; nothing was done")
    assert "kraken nodes" in problem["hint"]


async def test_an_unknown_group_is_the_same_mistake_by_either_name(caller: Any) -> None:
    await caller.apply({"groups": {"lab": {"nodes": "n1"}}, "nodes": {"n1": {}}})
    named = await caller.problem("GET", "/v1/nodes?group=lob")
    selected = await caller.problem("GET", "/v1/nodes?nodeset=@lob")

    assert (named["type"], named["status"]) == (selected["type"], selected["status"]) == ("nodeset", 400)
    assert named["hint"] == "did you mean lab?"


@pytest.mark.parametrize(
    ("method", "path", "body", "part"),
    [
        ("GET", "/", None, None),
        ("GET", "/v1", None, None),
        ("GET", "/v1/nope", None, None),
        ("GET", "/v1/nodes/n1/cfg", None, None),
        ("GET", "/v2/health", None, None),
        ("GET", "/v1/runs/9-9", None, "9-9"),
        ("GET", "/v1/modules/nope", None, "nope"),
        ("POST", "/v1/holds/release", {"nodeset": "n1", "id": "beef"}, "beef"),
    ],
)
async def test_no_such_address_run_module_or_hold(
    caller: Any, method: str, path: str, body: Any, part: str | None
) -> None:
    await caller.apply({"nodes": {"n1": {}}})
    problem = await caller.problem(method, path, body)

    assert (problem["type"], problem["status"], problem.get("part")) == ("not-found", 404, part)
    assert problem["hint"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/health", "GET"),
        ("GET", "/v1/apply", "POST"),
        ("PUT", "/v1/cfg", "PATCH"),
        ("DELETE", "/v1/nodes/n1", "GET"),
        ("POST", "/v1/modules/lab", "GET"),
        ("GET", "/v1/holds/release", "POST"),
        ("HEAD", "/v1/events", "GET"),
    ],
)
async def test_a_method_an_address_has_not(caller: Any, method: str, path: str, allowed: str) -> None:
    response = await caller.ask(method, path)

    assert response.status_code == 405
    assert allowed in response.headers["allow"].split(", ")
    if method != "HEAD":
        problem = caller.problem_of(response)
        assert problem["type"] == "method"
        assert f"{method} is not for {path}" == problem["detail"]


async def test_many_nodes_without_a_yes(caller: Any) -> None:
    problem = await caller.problem("POST", "/v1/apply", {"document": {"nodes": {"n[1-33]": {}}}})

    assert (problem["type"], problem["status"], problem["nodes"]) == ("needs-confirmation", 409, 33)
    assert "n[1-33]" in problem["detail"]
    assert await caller.get("/v1/nodes") == {"nodes": []}


async def test_a_cfg_no_path_reaches(caller: Any) -> None:
    await caller.apply({"nodes": {"n[1-2]": {}}})
    problem = await caller.problem("PATCH", "/v1/cfg", {"nodeset": "n[1-2]", "set": {"image": "a"}})

    assert (problem["type"], problem["status"]) == ("unreachable", 409)
    assert list(problem["details"]) == ["n[1-2]"]
    assert problem["details"]["n[1-2]"] in problem["detail"]
    assert problem["reachable"] == {"n[1-2]": {"image": []}}

    document = {"nodes": {"n[1-2]": {"cfg": {"image": "a"}}}}
    assert await caller.problem("POST", "/v1/apply", {"document": document}) == problem
    assert all(node["cfg"] == {} for node in (await caller.get("/v1/nodes"))["nodes"])


async def test_a_cfg_no_path_reaches_is_declared_when_somebody_says_so(caller: Any) -> None:
    await caller.apply({"nodes": {"n[1-2]": {}}})
    allowed = {"set": {"image": "a"}, "allow_unreachable": True}

    assert (await caller.patch("/v1/cfg", {"nodeset": "n1", **allowed}))["changed"] == 1
    document = {"nodes": {"n[1-2]": {"cfg": {"image": "a"}}}}
    assert (await caller.apply(document, allow_unreachable=True))["changed"] == 1


async def test_a_plan_that_no_longer_holds_tells_the_difference(caller: Any) -> None:
    await caller.apply({"nodes": {"n[1-2]": {}}})
    plan = await caller.post("/v1/plan", {"nodeset": "n[1-2]", "set": {"power": "ON"}})
    await caller.post("/v1/freeze", {"reason": "so that nothing moves"})
    for change in ({"set": {"power": "OFF"}}, {"unset": ["power"]}):
        user = {"Kraken-User": "ann"}
        await caller.patch(CFG, {"nodeset": "n2", "allow_unreachable": True, **change}, headers=user)
    problem = await caller.problem("POST", "/v1/plan/apply", {"plan": plan})
    (difference,) = [one for one in problem["differences"] if one["nodeset"] == "n2"]

    assert (problem["type"], problem["status"]) == ("plan-changed", 409)
    assert difference["count"] == 1
    assert difference["reason"] == "power was withdrawn by ann after the plan was made"
    assert difference["planned"][-1] == "lab.switch_on"
    assert (await caller.get("/v1/nodes/n1"))["cfg"] == {}


async def test_what_safety_forbids(caller: Any) -> None:
    document = {"nodes": {"x": {"attributes": {"bmc.address": "0.0.0.0"}}}}
    problem = await caller.problem("POST", "/v1/apply", {"document": document})

    assert (problem["type"], problem["status"], problem["part"]) == ("refused", 409, "x")
    assert "nothing was done" in problem["detail"]


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large(caller: Any, served: Path, chunked: bool) -> None:
    """Whether it says so at once, or only turns out to be."""
    if not chunked:
        answer = await raw(served, head("POST", "/v1/apply", f"Content-Length: {(64 << 20) + 1}"))
    else:

        async def endless() -> Any:
            for _ in range(65 * 16 + 1):
                yield b" " * 65536

        response = await caller.client.post("/v1/apply", content=endless())
        answer = b"HTTP/1.1 %d" % response.status_code + response.content

    assert answer.startswith(b"HTTP/1.1 413")
    assert b'"urn:kraken:problem:too-large"' in answer
    assert b"larger than 64 MiB" in answer
    assert "too-large" in answer.decode()
    assert (await caller.get("/v1/health"))["status"] == "ok"


async def test_a_caller_that_hangs_up_in_the_middle_is_no_fault_of_ours(
    caller: Any, served: Path, caplog: pytest.LogCaptureFixture
) -> None:
    body = b'{"document": {"nodes": {"x": {}}}}'
    for sent in (body[:10], body):
        answer = await raw(
            served, head("POST", "/v1/apply", f"Content-Length: {len(body) + 1}") + sent, end=True
        )
        assert answer == b"" or b"400" in answer.splitlines()[0]
    assert await caller.get("/v1/nodes") == {"nodes": []}
    assert [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []


async def test_a_state_that_cannot_be_written(
    caller: Any, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(_: Any) -> None:
        raise StoreError("no space is left", part="/var/lib/kraken", hint="make room")

    with monkeypatch.context() as patched:
        patched.setattr(daemon.journal, "write", full)
        problem = await caller.problem("POST", "/v1/apply", {"document": {"nodes": {"x": {}}}})
        assert await caller.get("/v1/nodes") == {"nodes": []}

    assert (problem["type"], problem["status"]) == ("store", 507)
    assert (problem["detail"], problem["hint"], problem["part"]) == (
        "no space is left",
        "make room",
        "/var/lib/kraken",
    )
    assert (await caller.apply({"nodes": {"x": {}}}))["changed"] == 1


async def test_a_fault_of_ours_is_logged_and_not_shown(
    caller: Any, daemon: Daemon, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def faulty(*_: Any) -> Any:
        raise RuntimeError("hunter2")

    monkeypatch.setattr(daemon.collector.engine, "explain", faulty)
    await caller.apply({"nodes": {"n1": {}}})
    problem = await caller.problem("GET", "/v1/nodes/n1")

    assert (problem["type"], problem["status"]) == ("internal", 500)
    assert "hunter2" not in str(problem)
    assert "request failed" in caplog.messages
