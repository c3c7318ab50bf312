"""The doors: who may open which, over what, and what an owner of a wrong configuration is told."""

from __future__ import annotations

import asyncio
import contextlib
import grp
import hashlib
import os
import shutil
import socket
import ssl
import stat
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from kraken.api import server
from kraken.api.security import Tokens
from kraken.api.server import answering, tcp_socket, tls_context, unix_socket
from kraken.daemon.config import Api, Config, Tls
from kraken.daemon.daemon import Daemon
from kraken.errors import ConfigError

TOKEN = "correct-horse-battery-staple"


def over(api: Api) -> Config:
    return Config(api=api)


@pytest.fixture
def tokens_file(tmp_path: Path) -> Path:
    file = tmp_path / "tokens.yaml"
    file.write_text(f"ci: {TOKEN}\nops@site: sha256:{hashlib.sha256(b'another-long-token').hexdigest()}\n")
    file.chmod(0o600)
    return file


@pytest.fixture
def certificate(tmp_path: Path) -> Tls:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl makes the certificate")
    tls = Tls(tmp_path / "cert.pem", tmp_path / "key.pem")
    argv = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    argv += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(tls.certificate), "-keyout", str(tls.key)]
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
    return tls


@contextlib.contextmanager
def loopback() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock


@contextlib.asynccontextmanager
async def remote(
    daemon: Daemon, config: Config, tokens_file: Path, tls: ssl.SSLContext | None = None, trust: Any = True
) -> AsyncIterator[httpx.AsyncClient]:
    scheme = "http" if tls is None else "https"
    with unix_socket(config) as local, loopback() as sock:
        url = f"{scheme}://127.0.0.1:{sock.getsockname()[1]}"
        async with (
            answering(daemon, local, sock, Tokens(tokens_file), tls),
            httpx.AsyncClient(base_url=url, timeout=60, verify=trust) as client,
        ):
            yield client


# -- TCP ----------------------------------------------------------------------------------------


async def test_over_tcp_only_a_right_token_opens(daemon: Daemon, config: Config, tokens_file: Path) -> None:
    wrong = [
        "",
        "Bearer",
        "Bearer nope",
        f"Basic {TOKEN}",
        f"bearer {TOKEN}x",
        TOKEN,
        "Bearer \xff",
    ]
    async with remote(daemon, config, tokens_file) as client:
        for address in ("/v1/health", "/v1/nope", "/v1/openapi.json", "/metrics", "/v1/events"):
            for header in wrong:
                response = await client.get(address, headers={"Authorization": header.encode("latin-1")})  # type: ignore[dict-item]
                problem = response.json()
                assert response.status_code == problem["status"] == 401
                assert response.headers["content-type"] == "application/problem+json"
                assert response.headers["www-authenticate"] == "Bearer"
                assert problem["type"].rpartition(":")[2] == "unauthorized"
                assert "Authorization: Bearer" in problem["hint"]
        assert (await client.get("/v1/health")).status_code == 401
        refused = await client.post("/v1/apply", json={"document": {"nodes": {"x": {}}}})
        right = await client.get("/v1/health", headers={"Authorization": f"bearer {TOKEN}"})

    assert refused.status_code == 401
    assert right.json()["nodes"] == 0


async def test_the_token_says_who_it_is_and_the_header_does_not(
    daemon: Daemon, config: Config, tokens_file: Path
) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Kraken-User": "root"}
    async with remote(daemon, config, tokens_file) as client:
        await client.post("/v1/apply", json={"document": {"nodes": {"x": {}}}}, headers=headers)
        headers["Authorization"] = "Bearer another-long-token"
        await client.patch("/v1/attributes", json={"nodeset": "x", "set": {"a": 1}}, headers=headers)
        entries = (await client.get("/v1/history", headers=headers)).json()["entries"]

    assert [(entry["text"], entry["source"]) for entry in entries] == [
        ("a: - -> 1", "ops@site"),
        ("declared", "ci"),
    ]


async def test_over_tls(daemon: Daemon, config: Config, tokens_file: Path, certificate: Tls) -> None:
    trust = ssl.create_default_context(cafile=str(certificate.certificate))
    context = tls_context(over(Api(tls=certificate)))
    assert context is not None
    async with remote(daemon, config, tokens_file, context, trust) as client:
        right = await client.get("/v1/health", headers={"Authorization": f"Bearer {TOKEN}"})
        none = await client.get("/v1/health")

    assert (right.status_code, none.status_code) == (200, 401)


def test_a_certificate_that_is_none_is_told_by_its_key(tmp_path: Path, certificate: Tls) -> None:
    text = tmp_path / "text.pem"
    text.write_text("nothing")
    missing = tmp_path / "missing.pem"
    for tls, key, said in (
        (Tls(missing, certificate.key), "api.tls.certificate", "No such file"),
        (Tls(certificate.certificate, missing), "api.tls.key", "No such file"),
        (Tls(text, certificate.key), "api.tls.certificate", "are no certificate and its key"),
        (Tls(certificate.certificate, text), "api.tls.certificate", "are no certificate and its key"),
    ):
        with pytest.raises(ConfigError, match=said) as caught:
            tls_context(over(Api(tls=tls)))
        assert caught.value.key == key


def test_a_key_with_a_passphrase_does_not_ask_for_it(tmp_path: Path, certificate: Tls) -> None:
    locked = tmp_path / "locked.pem"
    argv = [
        "openssl",
        "rsa",
        "-aes256",
        "-passout",
        "pass:hunter2",
        "-in",
        str(certificate.key),
        "-out",
        str(locked),
    ]
    subprocess.run(argv, check=True, capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
    with pytest.raises(ConfigError, match="are no certificate and its key") as caught:
        tls_context(over(Api(tls=Tls(certificate.certificate, locked))))

    assert "without a passphrase" in str(caught.value.hint)


def test_an_address_that_is_taken_or_not_ours(tmp_path: Path) -> None:
    with loopback() as sock:
        port = sock.getsockname()[1]
        for listen, said in ((f"127.0.0.1:{port}", "in use"), (f"240.0.0.1:{port}", "assign")):
            with (
                pytest.raises(ConfigError, match=said) as caught,
                tcp_socket(over(Api(listen=listen, tokens_file=tmp_path))),
            ):
                pass
            assert caught.value.key == "api.listen"


# -- tokens -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("", "holds no tokens", "ci: TOKEN"),
        ("- a\n", "holds no tokens", "ci: TOKEN"),
        ("{}", "holds no tokens", "ci: TOKEN"),
        ("ci: short", "the token 'ci' is shorter than 16 characters", "openssl rand"),
        ("ci: 1234567890123456789", "the token 'ci' is not text", "quote it"),
        ("ci: [x]", "the token 'ci' is not text", "quote it"),
        ("ci:\n", "the token 'ci' is not text", "quote it"),
        ("'a b': aaaaaaaaaaaaaaaaaaaa", "'a b' cannot be the name of a token", "letters"),
        ("ci: sha256:abc", "is not 64 hexadecimal digits", "sha256sum"),
        (f"ci: sha256:{'g' * 64}", "is not 64 hexadecimal digits", "sha256sum"),
        ("ci: {", "not YAML", ""),
        ("ci: aaaaaaaaaaaaaaaaaaaa\nci: bbbbbbbbbbbbbbbbbbbb", "the key ci is given twice", ""),
    ],
)
def test_a_tokens_file_that_is_wrong_says_where(tmp_path: Path, text: str, said: str, hint: str) -> None:
    file = tmp_path / "tokens.yaml"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        Tokens(file)

    assert said in caught.value.message
    assert hint in (caught.value.hint or "")
    assert str(file) in str(caught.value)
    assert "aaaaaaaa" not in str(caught.value)


def test_a_tokens_file_that_others_can_read_or_nobody(tmp_path: Path, tokens_file: Path) -> None:
    tokens_file.chmod(0o640)
    with pytest.raises(ConfigError, match="can be read by others") as caught:
        Tokens(tokens_file)
    assert caught.value.hint == f"chmod 600 {tokens_file}"
    with pytest.raises(ConfigError, match=r"cannot read .*: No such file"):
        Tokens(tmp_path / "none")
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    binary.chmod(0o600)
    with pytest.raises(ConfigError, match="is not text"):
        Tokens(binary)


# -- the local socket ---------------------------------------------------------------------------


def test_the_socket_has_the_mode_and_group_it_is_given_and_goes_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "run" / "deep" / "kraken.sock"
    group = grp.getgrgid(os.getgid()).gr_name
    with unix_socket(over(Api(socket=path, socket_mode="0640", socket_group=group))):
        found = path.stat()
        assert stat.S_ISSOCK(found.st_mode)
        assert stat.S_IMODE(found.st_mode) == 0o640
        assert found.st_gid == os.getgid()

    assert not path.exists()


def test_the_socket_of_a_daemon_that_is_gone_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "kraken.sock"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
    with unix_socket(over(Api(socket=path))) as sock, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        assert sock.accept()


@pytest.mark.parametrize("busy", [False, True])
def test_the_socket_of_a_daemon_that_lives_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, busy: bool
) -> None:
    monkeypatch.setattr(server, "PROBE_S", 0.05)
    path = tmp_path / "kraken.sock"
    with socket.socket(socket.AF_UNIX) as living, contextlib.ExitStack() as waiting:
        living.bind(str(path))
        living.listen(0)
        if busy:  # nobody accepts, and the queue is full
            for _ in range(3):
                client = waiting.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                client.connect_ex(str(path))
        with (
            pytest.raises(ConfigError, match=r"a daemon answers at .* already"),
            unix_socket(over(Api(socket=path))),
        ):
            pass
        assert path.exists()


def test_what_is_no_socket_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "kraken.sock"
    path.write_text("precious")
    with pytest.raises(ConfigError, match="is no socket"), unix_socket(over(Api(socket=path))):
        pass
    with pytest.raises(ConfigError, match="cannot make"), unix_socket(over(Api(socket=path / "x" / "y"))):
        pass
    with (
        pytest.raises(ConfigError, match=r"cannot give .* to the group") as caught,
        unix_socket(over(Api(socket=tmp_path / "other", socket_group="no-such-group"))),
    ):
        pass

    assert path.read_text() == "precious"
    assert caught.value.key == "api.socket_group"
    assert not (tmp_path / "other").exists()


# -- the end ------------------------------------------------------------------------------------


async def test_at_the_end_streams_are_closed_and_nobody_waits(daemon: Daemon, config: Config) -> None:
    transport = httpx.AsyncHTTPTransport(uds=str(config.api.socket), verify=False)
    serving = contextlib.AsyncExitStack()
    local = serving.enter_context(unix_socket(config))
    async with httpx.AsyncClient(transport=transport, base_url="http://kraken", timeout=60) as client:
        await serving.enter_async_context(answering(daemon, local))
        async with client.stream("GET", "/v1/events") as stream, asyncio.timeout(60):
            lines = stream.aiter_raw()
            first = await anext(lines)
            closing = asyncio.create_task(serving.aclose())
            rest = [line async for line in lines]
            await closing

    assert first.startswith(b": kraken\n")
    assert rest == []
