"""kraken.hpc.events gives a rulebook Kraken's events, in order and each once, however connections end."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import functools
import importlib.util
import logging
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from kraken.testing.redfish.certificates import make_certificate

PLACE = Path(__file__).resolve().parents[3] / "ansible_collections/kraken/hpc/extensions/eda"
PLUGIN = PLACE / "plugins/event_source/events.py"
EVENTS = [
    ("cause", {"node": "n1", "cause": "RUNNING", "reason": "größer als zuvor \u2028 \U0001f40b"}),
    ("dsc", {"node": "n1", "variable": "power", "value": "ON", "was": None}),
    ("run-ended", {"nodeset": "n[1-2]", "kind": "mutation", "outcomes": {"OK": "n[1-2]"}}),
]


def load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fakes = load(Path(__file__).with_name("fake_stream.py"), "kraken_fake_stream")


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> ModuleType:
    """The plugin, in a hurry; the environment names no Kraken."""
    for name in ("KRAKEN_URL", "KRAKEN_SOCKET", "KRAKEN_TOKEN_FILE", "KRAKEN_CACERT"):
        monkeypatch.delenv(name, raising=False)
    module = load(PLUGIN, "kraken_eda_events")
    monkeypatch.setattr(module, "PAUSE_S_MIN", 0.0)
    caplog.set_level(logging.WARNING, "kraken.hpc.events")
    return module


@pytest.fixture
def fake() -> Any:
    return fakes.FakeStream(list(EVENTS))


@pytest.fixture
async def args(fake: Any, tmp_path: Path) -> AsyncIterator[dict[str, Any]]:
    """The arguments that lead to the scripted stream."""
    path = str(tmp_path / "kraken.sock")
    async with fakes.streaming(fake, functools.partial(asyncio.start_unix_server, path=path)):
        yield {"socket": path}


class Rulebook:
    """Takes events as ansible-rulebook does: from a queue that holds one."""

    def __init__(self, source: ModuleType, args: dict[str, Any]) -> None:
        self.queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(1)
        self.running = asyncio.create_task(source.main(self.queue, args))

    async def take(self, count: int) -> list[dict[str, Any]]:
        async with asyncio.timeout(60):
            found = []
            while len(found) < count:
                getting = asyncio.create_task(self.queue.get())
                await asyncio.wait({getting, self.running}, return_when=asyncio.FIRST_COMPLETED)
                if not getting.done():
                    getting.cancel()
                    self.running.result()
                found.append(await getting)
            return found

    async def end(self) -> None:
        self.running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.running


@contextlib.asynccontextmanager
async def running(source: ModuleType, args: dict[str, Any]) -> AsyncIterator[Rulebook]:
    rulebook = Rulebook(source, args)
    try:
        yield rulebook
    finally:
        await rulebook.end()


async def failure(source: ModuleType, args: dict[str, Any]) -> str:
    """Why the source ends."""
    async with asyncio.timeout(60):
        with pytest.raises(source.SourceError) as raised:
            await source.main(asyncio.Queue(1), args)
    return str(raised.value)


def told(events: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    return [(event["type"], event["data"]) for event in events]


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


# -- the stream -------------------------------------------------------------------------------


async def test_events_come_with_type_cursor_and_data(source: ModuleType, args: Any) -> None:
    async with running(source, args) as rulebook:
        events = await rulebook.take(4)

    assert told(events) == [("lost", {}), *EVENTS], "what was before is not known"
    assert [event["cursor"] for event in events] == ["7-0", "7-1", "7-2", "7-3"]


@pytest.mark.parametrize("chunk", [1_000, 7, 0])
async def test_a_connection_cut_after_any_byte_loses_and_repeats_nothing(
    source: ModuleType, fake: Any, args: Any, chunk: int
) -> None:
    fake.chunk = chunk
    whole = len(fake.response(None))
    step = 1 if chunk == 1_000 else 3
    for cut in range(0, whole + 1, step):
        fake.cuts = [cut, cut * 7 % (whole + 1)]
        async with running(source, args) as rulebook:
            events = await rulebook.take(4)
            await until(lambda: not fake.cuts or rulebook.queue.full())

            assert told(events) == [("lost", {}), *EVENTS], f"cut after {cut} of {whole} bytes"
            assert rulebook.queue.empty()


@pytest.mark.parametrize("ending", ["reset", "hang"])
async def test_so_does_one_that_is_reset_or_falls_silent(
    source: ModuleType, fake: Any, args: Any, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "SILENCE_S", 0.1)
    fake.ending = ending
    whole = len(fake.response(None))
    for cut in range(0, whole, 41):
        fake.cuts = [cut]
        async with running(source, args) as rulebook:
            assert told(await rulebook.take(4)) == [("lost", {}), *EVENTS], f"after {cut} bytes"


async def test_where_events_are_missing_there_is_a_lost_and_then_it_goes_on(
    source: ModuleType, fake: Any, args: Any
) -> None:
    """The daemon was started again: its cursors are others."""
    fake.cuts = [len(fake.response(None))]
    async with running(source, args) as rulebook:
        await rulebook.take(3)
        fake.incarnation = 8
        last, lost = await rulebook.take(2)
        fake.events.append(("freeze", {"reason": "x"}))
        fake.cuts = [0]

    assert told([last, lost]) == [EVENTS[-1], ("lost", {})]
    assert lost["cursor"] == "8-3"
    assert "Last-Event-ID: 7-3" in fake.requests[1]


async def test_a_cursor_moves_over_what_was_not_asked_for(source: ModuleType, fake: Any, args: Any) -> None:
    fake.events = []
    fake.cuts = [len(fake.response(None))]
    async with running(source, args) as rulebook:
        await rulebook.take(1)
        await until(lambda: len(fake.requests) == 2)

    assert "Last-Event-ID: 7-0" in fake.requests[1]


async def test_an_event_of_a_megabyte_comes_whole(source: ModuleType, fake: Any, args: Any) -> None:
    fake.events = [("run-ended", {"nodeset": "x" * 1_000_000})]
    fake.chunk = 100_000
    async with running(source, args) as rulebook:
        events = await rulebook.take(2)

    assert told(events)[1] == fake.events[0]


async def test_what_never_ends_is_no_event(
    source: ModuleType, fake: Any, args: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "EVENT_BYTES_MAX", 1_000)
    fake.events = [("dsc", {"value": "x" * 200_000})]

    assert await failure(source, {**args, "kinds": "dsc"}) == "an event of more than 1000 bytes"


async def test_a_slow_rulebook_lets_the_source_wait(source: ModuleType, fake: Any, args: Any) -> None:
    fake.events = EVENTS * 1_000
    async with running(source, args) as rulebook:
        first = await rulebook.take(2)
        await asyncio.sleep(0.05)

        assert rulebook.queue.qsize() == 1
        rest = await rulebook.take(2_999)
    assert told(first + rest)[1:] == fake.events


# -- what Kraken says no to -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (
            fakes.problem(404, "unknown node n9", hint="`kraken nodes` lists those declared"),
            "Kraken refuses: unknown node n9 (`kraken nodes` lists those declared)",
        ),
        (fakes.problem(401, "a right token is wanted"), "Kraken refuses: a right token is wanted"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n<p>",
            "what answers is not Kraken: status 200, text/html",
        ),
        (
            b"HTTP/1.1 302 Found\r\nlocation: http://x/\r\n\r\n",
            "what answers is not Kraken: status 302, of no type",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "what answers is not Kraken"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000 + b"\r\n\r\n", "what answers is not Kraken"),
    ],
)
async def test_what_is_refused_at_first_ends_the_source(
    source: ModuleType, fake: Any, args: Any, answer: bytes, says: str
) -> None:
    fake.answers = [answer]

    assert await failure(source, args) == says


async def test_what_passes_is_waited_for(
    source: ModuleType, fake: Any, args: Any, caplog: pytest.LogCaptureFixture
) -> None:
    fake.answers = [fakes.problem(503, "it starts"), b"HTTP/1.1 502 Bad\r\n\r\n", b""]
    async with running(source, args) as rulebook:
        events = await rulebook.take(4)

    assert len(events) == 4
    (warned,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warned.endswith("it starts; it is looked for again")


async def test_a_kraken_that_is_not_there_yet_is_waited_for(
    source: ModuleType, fake: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = str(tmp_path / "later.sock")
    async with running(source, {"socket": path}) as rulebook:
        await until(lambda: caplog.records)
        async with fakes.streaming(fake, functools.partial(asyncio.start_unix_server, path=path)):
            events = await rulebook.take(4)

    assert len(events) == 4
    assert "No such file or directory" in caplog.records[0].getMessage()


@pytest.mark.parametrize(
    ("mode", "says"),
    [(0o660, "run ansible-rulebook as {0}, or as one of the group {1}"), (0o600, "for {0} alone")],
)
async def test_a_socket_that_we_may_not_open_is_told_with_who_may(
    source: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    mode: int,
    says: str,
) -> None:
    async def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "kraken.sock"
    path.touch()
    path.chmod(mode)
    monkeypatch.setattr(source.asyncio, "open_unix_connection", refuse)
    async with running(source, {"socket": str(path)}):
        await until(lambda: caplog.records)

    told = caplog.records[0].getMessage()
    assert "may not open the socket: " in told
    assert says.format(path.owner(), path.group()) in told
    assert "nor its directory" in source._who_may_open(str(path / "below"))


async def test_what_is_refused_later_is_waited_for_too(source: ModuleType, fake: Any, args: Any) -> None:
    """A node of the nodeset was forgotten, a token changed: it is mended without the rulebook."""
    fake.cuts = [len(fake.response(None))]
    async with running(source, args) as rulebook:
        await rulebook.take(1)
        fake.answers = [fakes.problem(401, "a right token is wanted")]
        events = await rulebook.take(3)
        await until(lambda: len(fake.requests) == 3)

    assert told(events) == EVENTS


def test_pauses_grow_and_have_an_end(source: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "PAUSE_S_MIN", 0.5)
    pauses = [source.pause_s(failures) for failures in range(40)]

    assert 0.25 <= pauses[0] <= 0.5
    assert all(15.0 <= pause <= 30.0 for pause in pauses[6:])


# -- where Kraken is, and what is asked ---------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({"socket": "/x", "url": "http://localhost:1"}, "give socket or url, not both"),
        ({"sokcet": "/x"}, "there is no argument sokcet; there are socket, url, token_file"),
        ({"url": "head:8080", "token_file": "/t"}, "url head:8080 is not an address like"),
        ({"url": "https://ada:x@head", "token_file": "/t"}, "url must not hold a user or password"),
        ({"url": "https://head"}, "Kraken at https://head wants a token"),
        ({"url": "https://head:port", "token_file": "/t"}, "url https://head:port is not an address like"),
        ({"url": "https://head:99999", "token_file": "/t"}, "url https://head:99999 is not an address like"),
        ({"url": 5}, "url is 5, where text is wanted"),
        ({"socket": 5}, "socket is 5, where text is wanted"),
        ({"cursor_file": ""}, "cursor_file is '', where text is wanted; leave it out where nothing is meant"),
        ({"nodeset": 7}, "nodeset is 7, where a text or a list of texts is wanted"),
        (
            {"nodeset": ""},
            "nodeset is '', where a text or a list of texts is wanted; without nodeset all are",
        ),
        ({"kinds": {}}, "kinds is {}, where a text or a list of texts is wanted"),
        ({"kinds": [""]}, "kinds is [''], where a text or a list of texts is wanted"),
        ({"cursor_file": "/never/there/c"}, "there is no directory /never/there for us"),
    ],
)
async def test_wrong_arguments_end_the_source(source: ModuleType, args: dict[str, Any], says: str) -> None:
    assert says in await failure(source, args)


async def test_the_server_selects(source: ModuleType, fake: Any, args: Any) -> None:
    more = {
        "nodeset": "n[1-2],@a b&c",
        "kinds": ["cause", "dsc"],
        "eda_feedback_queue": None,
        "feedback": True,
    }
    async with running(source, {**args, **more}) as rulebook:
        await rulebook.take(1)

    assert fake.requests[0].startswith(
        "GET /v1/events?nodeset=n%5B1-2%5D,@a%20b%26c&kinds=cause,dsc HTTP/1.1\r\n"
    )
    assert "\r\nKraken-User: " in fake.requests[0]
    assert "Authorization" not in fake.requests[0]


def test_what_is_written_wins_over_the_environment(source: ModuleType) -> None:
    both = {"KRAKEN_URL": "http://localhost:1", "KRAKEN_SOCKET": "/e", "KRAKEN_TOKEN_FILE": "/t"}

    assert source.Settings({"socket": "/x"}, both).address == "/x"
    assert source.Settings({}, both).address == "http://localhost:1"
    assert source.Settings({}, {"KRAKEN_SOCKET": "/e"}).address == "/e"
    assert source.Settings({}, {}).address == "/run/kraken/kraken.sock"


async def test_over_tls_who_answers_must_be_vouched_for(
    source: ModuleType, fake: Any, tmp_path: Path
) -> None:
    made = make_certificate(tmp_path, "head", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)
    token = tmp_path / "token"
    token.write_text("t" * 32 + "\n")
    token.chmod(0o600)
    start = functools.partial(asyncio.start_server, host="127.0.0.1", port=0, ssl=context)
    async with fakes.streaming(fake, start) as (host, port):
        args = {"url": f"https://{host}:{port}/below/", "token_file": str(token)}
        stranger = await failure(source, args)
        none = await failure(source, {**args, "ca_path": str(tmp_path / "no.pem")})
        async with running(source, {**args, "ca_path": str(made.certificate)}) as rulebook:
            events = await rulebook.take(4)
        wrong = await failure(
            source, {**args, "ca_path": str(make_certificate(tmp_path, "other").certificate)}
        )

    assert "is not who it should be: self-signed certificate (name who vouches for it in ca_path)" in stranger
    assert f"(ca_path is {tmp_path / 'other'}" in wrong
    assert "cannot read the certificates in ca_path" in none
    assert told(events)[1:] == EVENTS
    (request,) = fake.requests
    assert request.startswith("GET /below/v1/events HTTP/1.1\r\n")
    assert "\r\nAuthorization: Bearer " + "t" * 32 + "\r\n" in request


async def test_a_token_that_kraken_does_not_know_is_told_with_its_file(
    source: ModuleType, fake: Any, tmp_path: Path
) -> None:
    fake.answers = [fakes.problem(401, "a right token is wanted", type="urn:kraken:problem:unauthorized")]
    token = tmp_path / "token"
    token.write_text("t" * 32)
    token.chmod(0o600)
    start = functools.partial(asyncio.start_server, host="127.0.0.1", port=0)
    async with fakes.streaming(fake, start) as (host, port):
        said = await failure(source, {"url": f"http://{host}:{port}", "token_file": str(token)})

    assert said.startswith(
        f"Kraken refuses: a right token is wanted (the daemon does not know the one in {token};"
    )


@pytest.mark.parametrize(
    ("scheme", "says"), [("https", "does not speak TLS; does it want http?"), ("http", "does it want https?")]
)
async def test_who_speaks_the_wrong_scheme_is_told_while_it_is_looked_for(
    source: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture, scheme: str, says: str
) -> None:
    made = make_certificate(tmp_path, "head", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)
    token = tmp_path / "token"
    token.write_text("t" * 32)
    token.chmod(0o600)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    tls = context if scheme == "http" else None
    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls) as server:
        url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        args = {"url": url, "token_file": str(token), "ca_path": str(made.certificate)}
        async with running(source, args):
            while not caplog.records:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    assert says in caplog.records[0].getMessage()


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [
        ("t" * 32, 0o644, "everybody may read the token in"),
        ("two words", 0o600, "must hold one token and nothing else"),
        (None, 0, "cannot read the token in"),
    ],
)
async def test_a_token_file_that_is_wrong_is_named(
    source: ModuleType, fake: Any, tmp_path: Path, content: str | None, mode: int, says: str
) -> None:
    token = tmp_path / "token"
    if content is not None:
        token.write_text(content)
        token.chmod(mode)
    async with fakes.streaming(fake, functools.partial(asyncio.start_server, host="127.0.0.1", port=0)) as (
        h,
        p,
    ):
        said = await failure(source, {"url": f"http://{h}:{p}", "token_file": str(token)})

    assert says in said
    assert str(token) in said
    assert "t" * 32 not in said


# -- over restarts of the rulebook --------------------------------------------------------------


async def test_a_rulebook_that_is_started_again_goes_on_where_it_was(
    source: ModuleType, fake: Any, args: Any, tmp_path: Path
) -> None:
    file = tmp_path / "cursor"
    args = {**args, "cursor_file": str(file)}
    fake.events = EVENTS[:2]
    async with running(source, args) as rulebook:
        await rulebook.take(3)
    kept = file.read_text()
    fake.events = list(EVENTS)
    async with running(source, args) as rulebook:
        events = await rulebook.take(1)

    assert kept == "7-2\n"
    assert told(events) == [EVENTS[2]]
    assert not file.with_name("cursor.new").exists()


async def test_what_nobody_took_is_not_passed_over(
    source: ModuleType, fake: Any, args: Any, tmp_path: Path
) -> None:
    """It was in the queue when the rulebook ended: it comes again."""
    args = {**args, "cursor_file": str(tmp_path / "cursor")}
    async with running(source, args) as rulebook:
        await rulebook.take(2)
        await until(rulebook.queue.full)
    async with running(source, args) as rulebook:
        events = await rulebook.take(2)

    assert told(events) == EVENTS[1:]


async def test_the_place_is_kept_while_it_runs(
    source: ModuleType, args: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "KEEP_S", 0.01)
    file = tmp_path / "cursor"
    async with running(source, {**args, "cursor_file": str(file)}) as rulebook:
        await rulebook.take(4)
        await until(lambda: file.exists() and file.read_text() == "7-3\n")


async def test_a_file_that_cannot_be_written_ends_nothing_and_is_told_once(
    source: ModuleType,
    args: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(source, "KEEP_S", 0.01)
    (tmp_path / "cursor.new").mkdir()
    async with running(source, {**args, "cursor_file": str(tmp_path / "cursor")}) as rulebook:
        await rulebook.take(1)
        await until(lambda: caplog.records)
        events = await rulebook.take(3)
        await asyncio.sleep(0.05)

    assert told(events) == EVENTS
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1


@pytest.mark.parametrize("content", [b"nonsense", b"7-", b"\xff\xfe", b""])
async def test_a_file_that_holds_no_cursor_is_told(
    source: ModuleType, args: Any, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "cursor"
    file.write_bytes(content)

    assert f"cursor_file {file}" in await failure(source, {**args, "cursor_file": str(file)})


# -- the plugin itself --------------------------------------------------------------------------


def test_it_stands_alone() -> None:
    """ansible-rulebook runs the file by its path, with a Python of its own, without Ansible."""
    tree = ast.parse(PLUGIN.read_text(encoding="utf-8"))
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else alias.name).partition(".")[0]  # type: ignore[union-attr]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }

    assert imported <= set(sys.stdlib_module_names)
    code = (
        f"import asyncio, runpy; print(asyncio.iscoroutinefunction(runpy.run_path({str(PLUGIN)!r})['main']))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "True", done.stderr


def test_every_argument_is_documented(source: ModuleType) -> None:
    import yaml

    document = yaml.safe_load(source.DOCUMENTATION)

    assert set(document["options"]) == set(source.OPTIONS)
    assert yaml.safe_load(source.EXAMPLES)[0]["sources"][0]["kraken.hpc.events"].keys() <= set(source.OPTIONS)
