"""Collectors over HTTP: invited, joined, seen, given new keys and revoked, with who did it in the journal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from kraken.daemon.config import Tree
from kraken.daemon.daemon import Daemon
from kraken.daemon.neighbours import Neighbours
from kraken.daemon.operations import Operations, Request
from kraken.executors.fake import FakeWorld
from kraken.testing.daemons import living
from kraken.transport import Keyring, ParentState, join
from tests.unit.api.conftest import Caller
from tests.unit.api.test_rotation import Accounts, rotated

ADA = {"Kraken-User": "ada"}


@pytest.fixture
async def daemon(tmp_path: Path, world: FakeWorld, unused_tcp_port: int) -> AsyncIterator[Daemon]:
    """A root that listens for collectors."""
    (tmp_path / "state").mkdir()
    tree = Tree(name="head1", listen=f"127.0.0.1:{unused_tcp_port}")
    async with living(tmp_path, world=world, tree=tree) as running:
        yield running


@pytest.fixture
async def child(tmp_path: Path, caller: Caller) -> AsyncIterator[Neighbours]:
    """The wire of rack7, a daemon that has joined and is heard."""
    state = tmp_path / "rack7" / "state"
    state.mkdir(parents=True)
    invited = await caller.post("/v1/collectors/invite", {"name": "rack7"}, headers=ADA)
    await join(invited["token"], Keyring(state))
    async with living(tmp_path / "rack7", tree=Tree()) as daemon:
        await until(caller, lambda rows: rows["rack7"]["state"] == "CONNECTED")
        assert daemon.neighbours is not None
        yield daemon.neighbours


async def until(caller: Caller, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait until it holds of the rows by name."""
    async with asyncio.timeout(60):
        while True:
            rows = {row["name"]: row for row in (await caller.get("/v1/collectors"))["collectors"]}
            if rows and holds(rows):
                return rows
            await asyncio.sleep(0.02)


async def journal(caller: Caller) -> list[tuple[str, str, str]]:
    """(collector, what, who) of every entry about collectors, oldest first."""
    entries = (await caller.get("/v1/history?limit=1000"))["entries"]
    return [(e["node"], e["text"], e["source"]) for e in entries if e["kind"] == "collector"][::-1]


async def test_a_collector_is_invited_with_a_token_that_only_the_answer_has(
    caller: Caller, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    response = await caller.ask(
        "POST", "/v1/collectors/invite", {"name": "rack7", "expires_s": 600}, headers=ADA
    )

    invited = response.json()
    assert response.headers["cache-control"] == "no-store"
    assert invited["token"].startswith("KRK1-")
    assert (invited["name"], invited["parent"], invited["replaces"]) == ("rack7", "head1", False)
    answer = await caller.get("/v1/collectors")
    (row,) = answer["collectors"]
    assert (row["state"], row["key"], row["joined_at"]) == ("INVITED", "", None)
    assert row["expires_at"] == pytest.approx(invited["expires_at"], abs=1.0)
    assert await journal(caller) == [("rack7", "invited", "ada")]
    told = caplog.text + (await caller.ask("GET", "/v1/history")).text + str(answer)
    files = b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file())
    assert invited["token"] not in told
    assert invited["token"].encode() not in files


async def test_a_collector_that_joined_is_told_with_its_key_and_what_goes_to_and_fro(
    caller: Caller, child: Neighbours
) -> None:
    answer = await caller.get("/v1/collectors")

    (row,) = answer["collectors"]
    assert (row["name"], row["parent"], row["state"]) == ("rack7", "head1", "CONNECTED")
    assert child.keyring.client().public.startswith(row["key"])
    assert len(row["key"]) == 10
    assert row["expires_at"] is None
    assert 0.0 <= row["heard_s"] < 60.0
    assert 0.0 <= row["lag_s"] < 60.0
    assert (answer["nodes"], row["nodes"]) == (0, 0)
    assert set(row["flow"]) == {"letters_in_s", "bytes_in_s", "letters_out_s", "bytes_out_s", "dropped"}
    assert (answer["name"], answer["parent"], answer["refused"]) == ("head1", None, {})
    assert answer["addresses"] == [answer["listen"]]
    assert (await journal(caller))[:2] == [("rack7", "invited", "ada"), ("rack7", "joined", "rack7")]
    counts = (await caller.get("/v1/health"))["collectors"]
    assert (counts["below"], counts["connected"], counts["parent"]) == (1, 1, None)


async def test_metrics_tell_of_each_neighbour(caller: Caller, child: Neighbours) -> None:
    await caller.post("/v1/collectors/invite", {"name": "rack8"})
    text = (await caller.ask("GET", "/metrics")).text

    assert 'kraken_collector_connected{collector="rack7"} 1.0' in text
    assert 'collector="rack8"' not in text
    counted = {line.split(" ")[0]: float(line.split(" ")[1]) for line in text.splitlines() if "rack7" in line}
    letters = counted['kraken_collector_letters_total{collector="rack7",way="in"}']
    assert letters >= 1.0
    assert counted['kraken_collector_letter_bytes_total{collector="rack7",way="in"}'] > letters


async def test_who_has_joined_is_revoked_only_with_a_yes_and_heard_no_more(
    caller: Caller, child: Neighbours
) -> None:
    nodes = {
        "n1": {"attributes": {"collectors": ["rack7"]}},
        "n2": {"attributes": {"collectors": ["rack7", "rack8"]}},
        "n3": {},
    }
    await caller.apply({"nodes": nodes})
    wanted = await caller.problem("POST", "/v1/collectors/revoke", {"name": "rack7"})
    assert (wanted["type"], wanted["nodes"]) == ("needs-confirmation", 2)
    assert "n2 only with --stopped, since it may not have heard of the others yet" in wanted["detail"]
    assert "nobody else is declared for n1" in wanted["detail"]
    assert child.is_connected("head1")

    done = await caller.post("/v1/collectors/revoke", {"name": "rack7", "yes": True}, headers=ADA)
    told = {"name": "rack7", "had_joined": True, "elsewhere": "", "endless": "n2", "nowhere": "n1"}
    assert done == told, "it never said that it has heard of rack8"
    rows = await until(caller, lambda rows: rows["rack7"]["state"] == "REVOKED")
    assert rows["rack7"]["revoked_at"] == rows["rack7"]["since"]
    assert ("rack7", "revoked", "ada") in await journal(caller)


async def test_an_invitation_nobody_used_is_revoked_without_being_asked(caller: Caller) -> None:
    await caller.post("/v1/collectors/invite", {"name": "rack8"})
    await caller.post("/v1/collectors/revoke", {"name": "rack8"})

    (row,) = (await caller.get("/v1/collectors"))["collectors"]
    assert (row["state"], row["expires_at"]) == ("REVOKED", None)


async def test_a_revoked_collector_can_be_invited_again(caller: Caller, child: Neighbours) -> None:
    await caller.post("/v1/collectors/revoke", {"name": "rack7", "yes": True})
    await caller.post("/v1/collectors/invite", {"name": "rack7"})

    (row,) = (await caller.get("/v1/collectors"))["collectors"]
    assert row["state"] == "INVITED"


async def test_an_invitation_for_a_collector_that_is_there_says_that_it_would_be_replaced(
    caller: Caller, child: Neighbours
) -> None:
    again = await caller.post("/v1/collectors/invite", {"name": "rack7"})

    assert again["replaces"] is True
    (row,) = (await caller.get("/v1/collectors"))["collectors"]
    assert row["state"] == "CONNECTED"
    assert row["expires_at"] is not None


async def test_a_key_is_changed_over_the_connection_and_the_join_stands(
    caller: Caller, child: Neighbours
) -> None:
    (before,) = (await caller.get("/v1/collectors"))["collectors"]
    begun = await caller.post("/v1/collectors/rotate", {"name": "rack7"}, headers=ADA)
    assert begun == {"name": "rack7", "key": before["key"]}
    rows = await until(caller, lambda rows: rows["rack7"]["key"] != before["key"])

    assert rows["rack7"]["changing_key"] is False
    assert child.keyring.client().public.startswith(rows["rack7"]["key"])
    written = await journal(caller)
    assert ("rack7", "new key asked for", "ada") in written
    assert ("rack7", "new key", "rack7") in written


async def test_who_was_not_invited_is_named_and_nothing_is_done(caller: Caller) -> None:
    for call, body in (("revoke", {"name": "rack9", "yes": True}), ("rotate", {"name": "rack9"})):
        problem = await caller.problem("POST", f"/v1/collectors/{call}", body)

        assert (problem["type"], problem["status"], problem["part"]) == ("not-found", 404, "rack9")
    assert await journal(caller) == []


@pytest.mark.parametrize(
    ("body", "key", "detail"),
    [
        ({"name": "a b"}, "name", "cannot be the name of a collector"),
        ({"name": "head1"}, "name", "own name"),
        ({"name": "rack7", "expires_s": 0}, "expires_s", "cannot stand for 0 s"),
        ({"name": "rack7", "expires_s": 5_184_000}, "expires_s", "cannot stand for 60 days"),
        ({"name": "rack7", "addresses": ["*:7411"]}, "addresses", "nobody elsewhere can connect"),
        ({"name": "rack7", "addresses": ["head1"]}, "addresses", "is no address of a collector"),
    ],
)
async def test_a_wrong_invitation_is_refused_with_its_key(
    caller: Caller, body: dict[str, Any], key: str, detail: str
) -> None:
    problem = await caller.problem("POST", "/v1/collectors/invite", body)

    assert (problem["type"], problem["key"]) == ("document", key)
    assert detail in problem["detail"]
    assert (await caller.get("/v1/collectors"))["collectors"] == []


async def test_keys_are_changed_only_of_who_is_there(caller: Caller, child: Neighbours) -> None:
    await caller.post("/v1/collectors/invite", {"name": "rack8"})
    waiting = await caller.problem("POST", "/v1/collectors/rotate", {"name": "rack8"})
    above = await caller.problem("POST", "/v1/collectors/rotate", {})
    await caller.post("/v1/collectors/revoke", {"name": "rack7", "yes": True})
    revoked = await caller.problem("POST", "/v1/collectors/rotate", {"name": "rack7"})

    assert "has not joined yet" in waiting["detail"]
    assert "no parent" in above["detail"]
    assert "was revoked" in revoked["detail"]


async def test_an_invitation_that_is_over_is_shown_as_that(caller: Caller) -> None:
    await caller.post("/v1/collectors/invite", {"name": "rack8", "expires_s": 0.01})

    rows = await until(caller, lambda rows: rows["rack8"]["state"] == "OVER")
    assert rows["rack8"]["expires_at"] is None


async def test_one_that_is_not_heard_though_its_connection_stands_is_silent(
    caller: Caller, tmp_path: Path
) -> None:
    """A daemon that hangs: libzmq answers for it."""
    directory = tmp_path / "rack8"
    directory.mkdir()
    invited = await caller.post("/v1/collectors/invite", {"name": "rack8"})
    await join(invited["token"], Keyring(directory))
    wire = Neighbours(directory, Tree(), lambda: 0.0)
    wire.start()
    rows = await until(caller, lambda rows: rows["rack8"]["state"] == "SILENT")
    counts = (await caller.get("/v1/health"))["collectors"]
    wire.close()

    assert rows["rack8"]["heard_s"] is None
    assert (counts["below"], counts["connected"], counts["away"]) == (1, 0, ["rack8"])


async def test_two_daemons_under_one_name_are_a_state_of_their_own(
    caller: Caller, daemon: Daemon, child: Neighbours
) -> None:
    assert daemon.seat is not None
    now, twins = daemon.clock(), daemon.seat.tree.links["rack7"].twins
    twins.hear((5, 0), now - 3.0, now - 1.0, holds=None)
    twins.hear((6, 0), now - 2.0, now - 1.0, holds=None)

    await until(caller, lambda rows: rows["rack7"]["state"] == "TWINS")
    assert (await caller.get("/v1/health"))["collectors"]["twins"] == ["rack7"]


async def test_what_is_said_to_run_nothing_gives_its_nodes_away_at_once(
    caller: Caller, daemon: Daemon, child: Neighbours
) -> None:
    await caller.apply({"nodes": {"n1": {"attributes": {"collectors": ["rack7", "head1"]}}}})
    await until(caller, lambda rows: rows["rack7"]["nodes"] == 1)
    asked = await caller.problem("POST", "/v1/collectors/revoke", {"name": "rack7", "stopped": True})
    assert "n1 can go to others at once, as it is said to run nothing" in asked["detail"]
    await caller.post("/v1/collectors/revoke", {"name": "rack7", "stopped": True, "yes": True}, headers=ADA)

    assert daemon.collector.runner("n1") == "head1"
    assert ("rack7", "revoked, and said to run nothing any more", "ada") in await journal(caller)


async def test_bmcs_that_another_collector_logs_in_to_are_given_no_password(
    caller: Caller, daemon: Daemon, child: Neighbours
) -> None:
    """It has a credentials file of its own."""
    accounts = Accounts()
    daemon.executors = {"ipmi": accounts}
    bmc = {"bmc.protocol": "ipmi", "bmc.credential": "lab"}
    attributes = {f"n{i}": {**bmc, "bmc.address": f"10.1.0.{i}"} for i in (1, 2)}
    attributes["n1"]["collectors"] = ["rack7"]  # type: ignore[assignment]
    await caller.apply({"nodes": {name: {"attributes": them} for name, them in attributes.items()}})
    await until(caller, lambda rows: rows["rack7"]["nodes"] == 1)
    told = await rotated(caller)

    assert (accounts.looks, accounts.waves) == ([("n2",)], [("n2",)])
    assert told["n2"] == ("CHANGED", "")
    assert told["n1"] == (
        "ELSEWHERE",
        "collector rack7 runs the node, with a credentials file of its own: change it there",
    )


async def test_without_that_word_a_lease_is_waited_for(
    caller: Caller, daemon: Daemon, child: Neighbours
) -> None:
    await caller.apply({"nodes": {"n1": {"attributes": {"collectors": ["rack7", "head1"]}}}})
    await until(caller, lambda rows: rows["rack7"]["nodes"] == 1)
    await caller.post("/v1/collectors/revoke", {"name": "rack7", "yes": True}, headers=ADA)

    assert daemon.collector.runner("n1") == ""
    assert daemon.neighbours is not None
    assert daemon.neighbours.in_doubt() == ["rack7"], "also for the next life"
    asked = await caller.problem("POST", "/v1/collectors/revoke", {"name": "rack7", "stopped": True})
    assert "its nodes are waited for no more" in asked["detail"]
    await caller.post("/v1/collectors/revoke", {"name": "rack7", "stopped": True, "yes": True}, headers=ADA)
    assert daemon.collector.runner("n1") == "head1", "a person may vouch for it later"
    assert daemon.neighbours.in_doubt() == []


async def test_of_a_collector_that_is_revoked_the_nodes_that_it_has_are_told_and_those_below_it(
    caller: Caller, daemon: Daemon, child: Neighbours
) -> None:
    assert daemon.seat is not None
    daemon.seat.tree.registry.reach("@agent3", "rack7")
    listed = {"n1": ["rack7", "head1"], "n2": ["head1", "rack7"], "n3": ["agent3"], "n4": ["rack7", "rack9"]}
    await caller.apply(
        {"nodes": {name: {"attributes": {"collectors": names}} for name, names in listed.items()}}
    )
    await until(caller, lambda rows: rows["rack7"]["nodes"] == 2)
    told = await caller.post("/v1/collectors/revoke", {"name": "rack7", "yes": True})

    assert (told["elsewhere"], told["endless"], told["nowhere"]) == ("", "n[1,4]", "n3")


async def test_a_person_vouches_for_a_collector_of_which_nothing_else_is_known(
    caller: Caller, daemon: Daemon, child: Neighbours
) -> None:
    """Its file in `tree/children` is lost."""
    await caller.apply({"nodes": {"n1": {"attributes": {"collectors": ["rack7", "head1"]}}}})
    await until(caller, lambda rows: rows["rack7"]["nodes"] == 1)
    await caller.post("/v1/collectors/revoke", {"name": "rack7", "yes": True}, headers=ADA)
    assert daemon.neighbours is not None
    daemon.neighbours.keyring.children._children.pop("rack7")
    await caller.post("/v1/collectors/revoke", {"name": "rack7", "stopped": True, "yes": True}, headers=ADA)

    assert daemon.collector.runner("n1") == "head1"
    gone = await caller.problem("POST", "/v1/collectors/revoke", {"name": "rack7", "stopped": True})
    assert gone["status"] == 404, "nothing of it is waited for"


async def test_who_is_refused_is_counted_in_health(caller: Caller, child: Neighbours, tmp_path: Path) -> None:
    child.close()  # first: it would come back by itself, and be counted, too
    await caller.post("/v1/collectors/revoke", {"name": "rack7", "yes": True})
    again = Neighbours(tmp_path / "rack7" / "state", Tree(), lambda: 0.0)
    again.start()
    async with asyncio.timeout(60):
        while again.parent_state is not ParentState.REFUSED:  # noqa: ASYNC110 - libzmq tells of it
            await asyncio.sleep(0.02)
    again.close()

    assert (await caller.get("/v1/health"))["collectors"]["refused"] == {"revoked key": 1}
    assert (await caller.get("/v1/collectors"))["refused"] == {"revoked key": 1}
    metrics = (await caller.ask("GET", "/metrics")).text
    assert 'kraken_collectors_refused_total{reason="revoked key"} 1.0' in metrics


async def test_who_names_a_collector_that_nobody_knows_is_told_once(
    daemon: Daemon, child: Neighbours, caller: Caller
) -> None:
    async def apply(*names: str) -> list[str]:
        nodes = {"n1": {"attributes": {"collectors": list(names)}}}
        answer = await caller.post("/v1/apply", {"document": {"nodes": nodes}}, headers=ADA)
        return [item["message"] for item in answer["items"]]

    (first,) = await apply("rack7", "rak7")
    (again,) = await apply("rack7", "rak7")
    (known,) = await apply("head1", "rack7")

    told = "no collector rak7 is known here (did you mean rack7?): "
    assert first == told + "it runs nothing before it is invited and has joined"
    assert (again, known) == ("", "")


async def test_a_daemon_without_collectors_says_that_naming_some_counts_for_nothing(
    tmp_path: Path, world: FakeWorld
) -> None:
    (tmp_path / "state").mkdir()
    async with living(tmp_path, world=world) as alone:
        document = {"nodes": {"n1": {"attributes": {"collectors": ["rack7"]}}}}
        (item,) = await Operations(alone).apply(document, Request("ada"))

    assert item.message.startswith("this daemon has no collectors and runs every node")
