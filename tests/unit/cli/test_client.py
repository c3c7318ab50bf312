"""Every way in which a daemon can fail to answer is one line that says what to do."""

from __future__ import annotations

import os
import socket as sockets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kraken.cli.client import Client, with_query
from kraken.cli.errors import CommandError, ProblemError
from kraken.cli.reach import check_url, read_token
from kraken.errors import CredentialError, DaemonAwayError

HEALTH = {"call": "GET /v1/health", "answer": {"nodes": 3}}


@contextmanager
def listening(path: Path, answer: bytes | None) -> Iterator[None]:
    """Somebody at the socket who says this to one caller and hangs up; None: hangs up at once."""
    server = sockets.socket(sockets.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def speak() -> None:
        caller, _ = server.accept()
        with caller:
            caller.recv(65536)
            if answer is not None:
                caller.sendall(answer)

    thread = threading.Thread(target=speak)
    thread.start()
    try:
        yield
    finally:
        thread.join(5)
        server.close()


def test_an_answer_comes_as_it_was_given(daemon: Callable[..., Any], socket: Path) -> None:
    daemon(HEALTH)

    assert Client(socket_path=str(socket)).get("/v1/health") == {"nodes": 3}


def test_who_asks_is_told_over_the_socket(daemon: Callable[..., Any], socket: Path) -> None:
    server = daemon(HEALTH)
    Client(socket_path=str(socket), user="ada").get("/v1/health")

    assert server.calls[0]["headers"]["Kraken-User"] == "ada"


def test_another_collector_is_named_in_the_request(daemon: Callable[..., Any], socket: Path) -> None:
    server = daemon(HEALTH)
    Client(socket_path=str(socket), at="rack7").get("/v1/health")

    assert server.calls[0]["headers"]["Kraken-At"] == "rack7"


def test_a_missing_socket_says_how_to_start_a_daemon(socket: Path) -> None:
    with pytest.raises(DaemonAwayError, match="there is no socket") as caught:
        Client(socket_path=str(socket)).get("/v1/health")

    assert "kraken daemon" in str(caught.value)


def test_a_socket_nobody_listens_at_is_told_from_a_missing_one(socket: Path) -> None:
    with sockets.socket(sockets.AF_UNIX) as dead:
        dead.bind(str(socket))

    with pytest.raises(DaemonAwayError, match="no daemon listens at"):
        Client(socket_path=str(socket)).get("/v1/health")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every socket")
def test_a_socket_that_may_not_be_opened_names_its_group(daemon: Callable[..., Any], socket: Path) -> None:
    daemon(HEALTH)
    socket.chmod(0)

    with pytest.raises(CredentialError, match="may not open") as caught:
        Client(socket_path=str(socket)).get("/v1/health")

    assert "group" in str(caught.value)


@pytest.mark.parametrize(
    ("mode", "says"), [(0o660, "member of the group"), (0o600, "as root or as {}; with api.socket_mode 0660")]
)
def test_a_socket_refused_to_us_names_who_may(
    socket: Path, monkeypatch: pytest.MonkeyPatch, mode: int, says: str
) -> None:
    socket.touch()
    socket.chmod(mode)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("kraken.cli.client._UnixConnection.connect", refuse)

    with pytest.raises(CredentialError, match="may not open") as caught:
        Client(socket_path=str(socket)).get("/v1/health")

    assert says.format(socket.owner()) in str(caught.value)


def test_an_answer_cut_off_is_never_taken_for_whole(daemon: Callable[..., Any], socket: Path) -> None:
    daemon({"call": "GET /v1/nodes", "answer": {"nodes": ["n1", "n2"]}, "cut": 12})

    with pytest.raises(CommandError, match="cut off after 12 bytes"):
        Client(socket_path=str(socket)).get("/v1/nodes")


def test_a_daemon_that_dies_under_the_question_is_told(socket: Path) -> None:
    with listening(socket, None), pytest.raises(CommandError, match="cut off after 0 bytes"):
        Client(socket_path=str(socket)).get("/v1/health")


def test_something_else_at_the_socket_is_no_daemon(socket: Path) -> None:
    with (
        listening(socket, b"220 mail.example.org ESMTP\r\n"),
        pytest.raises(CommandError, match="not speak HTTP"),
    ):
        Client(socket_path=str(socket)).get("/v1/health")


def test_another_web_server_is_no_daemon(daemon: Callable[..., Any], socket: Path) -> None:
    daemon({"call": "GET /v1/health", "text": "<html>It works!</html>", "type": "text/html"})

    with pytest.raises(CommandError, match="no Kraken daemon"):
        Client(socket_path=str(socket)).get("/v1/health")


def test_json_that_ends_too_early_is_told(daemon: Callable[..., Any], socket: Path) -> None:
    daemon({"call": "GET /v1/health", "text": '{"nodes": '})

    with pytest.raises(CommandError, match="cut off after 10 bytes"):
        Client(socket_path=str(socket)).get("/v1/health")


def test_json_that_is_no_object_is_told(daemon: Callable[..., Any], socket: Path) -> None:
    daemon({"call": "GET /v1/health", "text": "[]"})

    with pytest.raises(CommandError, match="not an object"):
        Client(socket_path=str(socket)).get("/v1/health")


def test_a_fault_of_the_daemon_without_a_document_shows_its_first_line(
    daemon: Callable[..., Any], socket: Path
) -> None:
    daemon({"call": "GET /v1/health", "status": 500, "text": "boom\nTraceback", "type": "text/plain"})

    with pytest.raises(CommandError, match="status 500: boom") as caught:
        Client(socket_path=str(socket)).get("/v1/health")

    assert "Traceback" not in str(caught.value)


def test_a_redirection_is_not_followed(daemon: Callable[..., Any], socket: Path) -> None:
    daemon({"call": "GET /v1/health", "status": 302})

    with pytest.raises(CommandError, match="sends us elsewhere"):
        Client(socket_path=str(socket)).get("/v1/health")


def test_a_daemon_that_does_not_answer_is_given_up(
    daemon: Callable[..., Any], socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon({"call": "GET /v1/health", "hang": True})
    monkeypatch.setattr("kraken.cli.client.ANSWER_TIMEOUT_S", 0.05)

    with pytest.raises(DaemonAwayError, match="did not answer within"):
        Client(socket_path=str(socket)).get("/v1/health")


def test_a_problem_document_keeps_all_it_says(daemon: Callable[..., Any], socket: Path) -> None:
    document = {"type": "urn:kraken:problem:unknown-node", "detail": "unknown node n9", "part": "n9"}
    daemon({"call": "GET /v1/health", "status": 404, "answer": document})

    with pytest.raises(ProblemError) as caught:
        Client(socket_path=str(socket)).get("/v1/health")

    assert caught.value.kind == "unknown-node"
    assert caught.value.document == document
    assert caught.value.part == "n9"


def test_a_token_is_sent_over_tcp_and_only_there(daemon: Callable[..., Any], socket: Path) -> None:
    remote = daemon(HEALTH, tcp=True, token="s3cret")
    local = daemon(HEALTH)
    Client(socket_path="", url=remote.url, token="s3cret").get("/v1/health")
    Client(socket_path=str(socket), token="s3cret").get("/v1/health")

    assert remote.calls[0]["headers"]["Authorization"] == "Bearer s3cret"
    assert "Kraken-User" not in remote.calls[0]["headers"]
    assert "Authorization" not in local.calls[0]["headers"]


@pytest.mark.parametrize("token", [None, "wrong"])
def test_a_wrong_token_is_told_without_showing_it(daemon: Callable[..., Any], token: str | None) -> None:
    server = daemon(HEALTH, tcp=True, token="s3cret")

    with pytest.raises(ProblemError) as caught:
        Client(socket_path="", url=server.url, token=token).get("/v1/health")

    assert caught.value.kind == "unauthorized"
    assert "KRAKEN_TOKEN_FILE" in str(caught.value)
    assert "wrong" not in str(caught.value)


def test_https_to_a_daemon_without_tls_is_told(daemon: Callable[..., Any]) -> None:
    server = daemon(HEALTH, tcp=True)

    with pytest.raises(DaemonAwayError, match="no TLS with"):
        Client(socket_path="", url=server.url.replace("http:", "https:")).get("/v1/health")


def test_a_cacert_that_holds_no_certificate_is_told(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("nothing")

    with pytest.raises(CredentialError, match="cannot use --cacert"):
        Client(socket_path="", url="https://127.0.0.1:9", cacert=str(file)).get("/v1/health")


def test_events_come_in_order_with_their_cursors(daemon: Callable[..., Any], socket: Path) -> None:
    daemon({"call": "GET /v1/events", "events": [["dsc", {"node": "n1"}], ["cause", {"node": "n2"}], "END"]})
    events = list(Client(socket_path=str(socket)).events())

    assert [(event.id, event.kind, event.data["node"]) for event in events] == [
        ("1-1", "dsc", "n1"),
        ("1-2", "cause", "n2"),
    ]


def test_a_stream_resumes_after_the_event_named(daemon: Callable[..., Any], socket: Path) -> None:
    server = daemon({"call": "GET /v1/events", "events": ["END"]})
    list(Client(socket_path=str(socket)).events("1-7", nodeset="n[1-2]"))

    assert server.calls[0]["headers"]["Last-Event-ID"] == "1-7"
    assert server.calls[0]["query"] == {"nodeset": "n[1-2]"}


def test_closing_a_stream_wakes_its_reader(daemon: Callable[..., Any], socket: Path) -> None:
    daemon({"call": "GET /v1/events", "events": []})
    stream = Client(socket_path=str(socket)).events()
    reader = threading.Thread(target=lambda: list(stream), daemon=True)
    reader.start()
    stream.close()
    reader.join(20)  # far below SILENCE_S_MAX, after which it would wake by itself

    assert not reader.is_alive()


def test_a_stream_that_is_refused_raises_at_once(daemon: Callable[..., Any], socket: Path) -> None:
    daemon({"call": "GET /v1/events", "status": 404, "answer": {"type": "urn:kraken:problem:unknown-node"}})

    with pytest.raises(ProblemError):
        Client(socket_path=str(socket)).events(nodeset="n9")


def test_a_query_keeps_what_was_said_and_no_more() -> None:
    query = {"nodeset": "n[1-2]&@x", "all": True, "limit": 0, "cause": None}

    assert with_query("/v1/nodes", query) == "/v1/nodes?nodeset=n%5B1-2%5D%26%40x&all=true&limit=0"


@pytest.mark.parametrize(
    "url",
    ["head1", "head1:7625", "ftp://head1:1", "http://head1", "http://h:1/x", "http://u:p@h:1", "http://h:x"],
)
def test_an_address_must_be_one(url: str) -> None:
    with pytest.raises(CommandError, match="no address of a daemon"):
        check_url(url)


def test_an_address_loses_its_last_slash() -> None:
    assert check_url("https://head1:7625/") == "https://head1:7625"
    assert check_url("http://[::1]:7625") == "http://[::1]:7625"


def test_a_token_file_gives_its_one_line(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    file.chmod(0o600)

    assert read_token(str(file)) == "s3cret"


@pytest.mark.parametrize("content", ["", "\n", "two\nlines", "with space", "x" * 5000, "ümlaut"])
def test_a_token_file_without_one_token_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "token"
    file.write_text(content)
    file.chmod(0o600)

    with pytest.raises(CredentialError, match="does not hold one token") as caught:
        read_token(str(file))

    assert not content.strip() or content not in str(caught.value)


def test_a_token_file_open_to_everybody_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret")
    file.chmod(0o644)

    with pytest.raises(CredentialError, match="open to everybody"):
        read_token(str(file))


def test_a_missing_token_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match="cannot read the token file"):
        read_token(str(tmp_path / "nothere"))
