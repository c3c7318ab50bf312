"""The collection's client reaches Kraken, and says clearly why when it cannot."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket as sockets
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ansible_collections.kraken.hpc.plugins.module_utils import client as client_module
from ansible_collections.kraken.hpc.plugins.module_utils import timely
from ansible_collections.kraken.hpc.plugins.module_utils.client import (
    AwayError,
    Client,
    Problem,
    SettingsError,
)

LOOPBACK = ("127.0.0.1", 0)


@pytest.fixture
def token_file(tmp_path: Path) -> str:
    path = tmp_path / "token"
    path.write_text("sesame\n")
    path.chmod(0o600)
    return str(path)


def test_nodes_come_over_the_unix_socket_with_the_name_of_who_asks(kraken: Any, socket: str) -> None:
    kraken.add("n[1-3]")
    nodes = Client({"socket": socket}, {}).nodes(nodeset="n[1-2]", view="names", cause=None)

    assert nodes == ["n1", "n2"]
    assert kraken.asked[0].query == {"nodeset": "n[1-2]", "view": "names"}
    assert kraken.asked[0].headers["kraken-user"] == client_module.getpass.getuser()
    assert "authorization" not in kraken.asked[0].headers


@pytest.mark.parametrize("nodeset", ["@compute", "n1,n2", "n[1-3]!n3", "n[1-3]&@compute", "@compute^n3"])
def test_every_sign_of_a_nodeset_survives_the_address(kraken: Any, socket: str, nodeset: str) -> None:
    kraken.add("n[1-2]", groups=["compute"])
    kraken.add("n3")
    Client({"socket": socket}, {}).nodes(nodeset=nodeset)

    assert kraken.asked[0].query["nodeset"] == nodeset


def test_a_token_opens_the_door_over_tcp(fake_api: ModuleType, kraken: Any, token_file: str) -> None:
    kraken.add("n1")
    kraken.token = "sesame"
    with fake_api.serving(kraken, LOOPBACK) as (host, port):
        client = Client({"url": f"http://{host}:{port}/", "token_file": token_file}, {})

        assert client.nodes(view="names") == ["n1"]
        assert client.warnings == []


def test_a_wrong_token_is_a_problem_and_stays_unsaid(
    fake_api: ModuleType, kraken: Any, token_file: str
) -> None:
    kraken.token = "another"
    with (
        fake_api.serving(kraken, LOOPBACK) as (host, port),
        pytest.raises(Problem, match="no right token") as caught,
    ):
        Client({"url": f"http://{host}:{port}", "token_file": token_file}, {}).nodes()

    assert caught.value.type == "unauthorized"
    assert f"the daemon does not know the one in {token_file}" in str(caught.value)
    assert "sesame" not in str(caught.value.as_result())


def test_the_environment_names_the_door_when_the_options_do_not(
    fake_api: ModuleType, kraken: Any, socket: str, token_file: str
) -> None:
    environ = {"KRAKEN_URL": "https://head:1", "KRAKEN_SOCKET": "/elsewhere", "KRAKEN_TOKEN_FILE": token_file}

    assert Client({}, environ).address == "https://head:1"
    assert Client({}, {"KRAKEN_SOCKET": "/elsewhere"}).address == "/elsewhere"
    assert Client({}, {}).address == "/run/kraken/kraken.sock"
    assert Client({"socket": socket}, environ).address == socket
    assert Client({"url": "https://other:2"}, environ).address == "https://other:2"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"socket": "/a", "url": "https://b"}, "not both"),
        ({"url": "head:8080"}, "not an address"),
        ({"url": "https://head:port"}, "https://head:port is not an address"),
        ({"url": "https://head:99999"}, "https://head:99999 is not an address"),
        ({"url": "https://me:secret@head"}, "must not hold a user or password"),
        ({"url": "https://head"}, "token_file"),
        ({"url": "https://head", "token_file": "/nowhere/token"}, "cannot read the token in /nowhere/token"),
    ],
)
def test_wrong_settings_are_named_before_anything_is_sent(options: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        Client(options, {})

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "\n", "two words", "ключ"])
def test_a_token_file_holds_one_word(tmp_path: Path, content: str) -> None:
    path = tmp_path / "token"
    path.write_text(content)
    path.chmod(0o600)

    with pytest.raises(SettingsError, match=str(path)):
        client_module.read_token(str(path))


def test_a_token_everybody_may_read_is_refused_with_the_cure(token_file: str) -> None:
    Path(token_file).chmod(0o644)

    with pytest.raises(SettingsError, match=f"chmod o-r {token_file}"):
        client_module.read_token(token_file)


def test_a_token_in_clear_to_another_machine_is_warned_of(token_file: str) -> None:
    client = Client({"url": "http://head.example:8080", "token_file": token_file}, {})

    assert client.warnings == ["the token for http://head.example:8080 travels unencrypted; use https"]


def test_a_missing_socket_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(AwayError, match=r"No such file.*delegate_to the head") as caught:
        Client({"socket": str(tmp_path / "none.sock")}, {}).nodes()

    assert str(tmp_path / "none.sock") in str(caught.value)


def test_a_socket_left_behind_says_the_daemon_is_not_running(tmp_path: Path) -> None:
    path = tmp_path / "left.sock"
    with sockets.socket(sockets.AF_UNIX) as listener:
        listener.bind(str(path))

    with pytest.raises(AwayError, match="the daemon is not running; the socket was left behind"):
        Client({"socket": str(path)}, {}).nodes()


def test_a_refused_tcp_port_is_kraken_being_away(token_file: str) -> None:
    with sockets.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"

        with pytest.raises(AwayError, match=f"cannot reach Kraken at {url}: Connection refused"):
            Client({"url": url, "token_file": token_file}, {}).nodes()


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ((200, "text/html", b"<html>"), "is not JSON; is that Kraken"),
        ((502, "text/html", b"<html>"), "is not JSON; is that Kraken"),
        ((500, "application/json", b"[]"), "status 500 without a problem document"),
        ((200, "application/json", b"{}"), "the answer has no 'nodes'"),
        ((200, "application/json", b"[]"), "the answer has no 'nodes'"),
        ((200, "application/json", b""), "the answer has no 'nodes'"),
        ((200, "cut", b'{"nodes": ['), r"broke off its answer \(IncompleteRead\)$"),
        ((404, "application/json", b'{"detail": "Not Found"}'), "status 404, Not Found; is that Kraken"),
    ],
)
@pytest.mark.parametrize("over", ["unix", "tcp"])
def test_an_answer_that_is_not_krakens_is_kraken_being_away(
    fake_api: ModuleType,
    kraken: Any,
    socket: str,
    token_file: str,
    over: str,
    raw: tuple[int, str, bytes],
    says: str,
) -> None:
    kraken.raw.append(raw)
    with fake_api.serving(kraken, LOOPBACK) as (host, port):
        options = {"url": f"http://{host}:{port}", "token_file": token_file}
        client = Client({"socket": socket} if over == "unix" else options, {})

        with pytest.raises(AwayError, match=says):
            client.nodes()


@pytest.mark.parametrize("over", ["unix", "tcp"])
def test_a_silent_kraken_is_away_after_the_timeout(
    fake_api: ModuleType, kraken: Any, socket: str, token_file: str, over: str
) -> None:
    kraken.raw.append((1, "hang", b""))
    with fake_api.serving(kraken, LOOPBACK) as (host, port):
        options = {"url": f"http://{host}:{port}", "token_file": token_file}
        options = {"socket": socket} if over == "unix" else options

        with pytest.raises(AwayError, match=r"did not answer within 0\.1 s"):
            Client({**options, "timeout": 0.1}, {}).nodes()


DRIPS = {
    "head": (b"HTTP/1.1 200 OK\r\n", b"Kraken-More: 1\r\n"),
    "body": (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n[",
        b"1,",
    ),
}


@contextlib.contextmanager
def dripping(family: int, address: Any, first: bytes, more: bytes, tls: Any = None) -> Iterator[Any]:
    """Where somebody answers at once, and for as long as anybody listens, a few bytes at a time."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with tls.wrap_socket(connection, server_side=True) if tls else connection as spoken:
                spoken.recv(65536)
                spoken.sendall(first)
                while not is_over.wait(0.02):
                    spoken.sendall(more)

    is_over = threading.Event()
    with sockets.socket(family) as listener:
        listener.bind(address)
        listener.listen()
        server = threading.Thread(target=serve)
        server.start()
        yield listener.getsockname()
        is_over.set()
        server.join()


@pytest.mark.parametrize("part", DRIPS)
@pytest.mark.parametrize("over", ["unix", "tcp", "tls"])
def test_a_kraken_that_drips_its_answer_is_away_after_the_timeout(
    tmp_path: Path, token_file: str, over: str, part: str
) -> None:
    """Each byte is there long before the timeout, and the last never."""
    certificate, tls = self_signed(tmp_path), None
    if over == "tls":
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    family = sockets.AF_UNIX if over == "unix" else sockets.AF_INET
    address = str(tmp_path / "drip.sock") if over == "unix" else LOOPBACK
    with dripping(family, address, *DRIPS[part], tls) as place:
        scheme = "https" if tls else "http"
        options = {"socket": place}
        if over != "unix":
            url = f"{scheme}://127.0.0.1:{place[1]}"
            options = {"url": url, "token_file": token_file, "ca_path": str(certificate)}

        with pytest.raises(AwayError, match=r"did not answer within 0\.5 s") as caught:
            Client({**options, "timeout": 0.5}, {}).nodes()

    assert caught.value.may_be_done


def test_a_path_of_the_url_comes_before_that_of_the_request(
    fake_api: ModuleType, kraken: Any, token_file: str
) -> None:
    """As where a proxy stands before Kraken, and knows it by that."""
    kraken.raw.append((200, "application/json", b'{"nodes": []}'))
    with fake_api.serving(kraken, LOOPBACK) as (host, port):
        Client({"url": f"http://{host}:{port}/kraken/", "token_file": token_file}, {}).nodes()

    assert kraken.asked[0].path == "/kraken/v1/nodes"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the time of connections goes by; its item is the moment."""
    moment = [1000.0]
    monkeypatch.setattr(timely.time, "monotonic", lambda: moment[0])
    return moment


def test_all_addresses_of_a_host_together_have_the_time_of_one_request(
    monkeypatch: pytest.MonkeyPatch, clock: list[float], fake_api: ModuleType, kraken: Any, token_file: str
) -> None:
    """One that is silent leaves some to the others, and more when it refuses at once."""
    waited = []

    class Socket(sockets.socket):
        def connect(self, address: Any) -> None:
            if address[0] == "192.0.2.1":
                waited.append(self.gettimeout())
                clock[0] += self.gettimeout() or 0.0
                raise TimeoutError("timed out")
            if address[0] == "192.0.2.2":
                raise ConnectionRefusedError(111, "Connection refused")
            waited.append(self.gettimeout())
            super().connect(address)

    def resolve(host: str, *_: Any) -> list[Any]:
        stream = (sockets.AF_INET, sockets.SOCK_STREAM, 6, "")
        return [(*stream, (number, place[1])) for number in numbers]

    monkeypatch.setattr(timely.socket, "socket", Socket)
    monkeypatch.setattr(timely.socket, "getaddrinfo", resolve)
    with fake_api.serving(kraken, LOOPBACK) as place:
        options = {"url": f"http://localhost:{place[1]}", "token_file": token_file, "timeout": 12.0}
        numbers = ["192.0.2.1", "192.0.2.2", "127.0.0.1"]
        assert Client(options, {}).nodes() == []
        assert waited == [4.0, 8.0]
        waited.clear()
        numbers = ["192.0.2.1"] * 3

        with pytest.raises(AwayError, match="did not answer within 12 s"):
            Client(options, {}).nodes()
    assert waited == [4.0, 4.0, 4.0]


def test_a_name_server_that_is_silent_takes_no_more_than_the_timeout(
    monkeypatch: pytest.MonkeyPatch, token_file: str
) -> None:
    is_over = threading.Event()
    monkeypatch.setattr(timely.socket, "getaddrinfo", lambda *_: is_over.wait() and [])

    with pytest.raises(AwayError, match=r"did not answer within 0\.1 s"):
        Client({"url": "http://localhost:1", "token_file": token_file, "timeout": 0.1}, {}).nodes()
    is_over.set()


def test_a_name_that_nobody_has_is_told(token_file: str) -> None:
    with pytest.raises(AwayError, match=r"cannot reach Kraken at https://head\.invalid: ") as caught:
        Client({"url": "https://head.invalid", "token_file": token_file}, {}).nodes()
    assert not caught.value.may_be_done


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan"), float("inf")])
def test_a_timeout_that_is_none_is_refused(kraken: Any, socket: str, timeout: float) -> None:
    with pytest.raises(SettingsError, match="where seconds above 0 are wanted"):
        Client({"socket": socket, "timeout": timeout}, {})

    assert kraken.asked == []


def test_a_redirection_never_carries_the_token_on(fake_api: ModuleType, kraken: Any, token_file: str) -> None:
    kraken.raw.append((302, "text/plain", b""))
    with fake_api.serving(kraken, LOOPBACK) as (host, port), pytest.raises(AwayError, match="status 302"):
        Client({"url": f"http://{host}:{port}", "token_file": token_file}, {}).nodes()

    assert len(kraken.asked) == 1


def test_a_problem_is_one_sentence_with_reasons_and_a_cure() -> None:
    problem = Problem(
        409,
        {
            "type": "urn:kraken:problem:unreachable",
            "detail": "no path leads to this Cfg; nothing was done",
            "details": {f"n{number}": "bmc.address is missing" for number in range(7)},
            "hint": "declare bmc.address",
        },
    )

    assert str(problem).startswith(
        "no path leads to this Cfg; nothing was done [n0: bmc.address is missing; "
    )
    assert str(problem).endswith("; and 2 more] (declare bmc.address)")
    assert problem.type == "unreachable"


def test_a_problem_says_no_reason_twice() -> None:
    problem = Problem(409, {"detail": "no path: n1: no bmc.address", "details": {"n1": "no bmc.address"}})

    assert str(problem) == "no path: n1: no bmc.address"


def test_a_problem_names_the_key_at_fault() -> None:
    problem = Problem(422, {"key": "set.phys_state", "detail": "no value ON; one of POWER_OFF, POWER_ON"})

    assert str(problem) == "set.phys_state: no value ON; one of POWER_OFF, POWER_ON"


def test_tls_is_trusted_through_ca_path_and_only_so(
    fake_api: ModuleType, kraken: Any, token_file: str, tmp_path: Path
) -> None:
    kraken.add("n1")
    kraken.token = "sesame"
    certificate = self_signed(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with fake_api.serving(kraken, LOOPBACK, tls) as (host, port):
        options = {"url": f"https://{host}:{port}", "token_file": token_file}

        assert Client({**options, "ca_path": str(certificate)}, {}).nodes(view="names") == ["n1"]
        assert Client(options, {"KRAKEN_CACERT": str(certificate)}).nodes(view="names") == ["n1"]
        with pytest.raises(AwayError, match="name who vouches for it in ca_path") as nobody:
            Client(options, {}).nodes()
        other = self_signed(tmp_path)
        with pytest.raises(AwayError, match=f"no certificate for Kraken at .*ca_path is {other}"):
            Client({**options, "ca_path": str(other)}, {}).nodes()
        assert not nobody.value.may_be_done


def test_a_daemon_that_speaks_tls_only_is_told(
    fake_api: ModuleType, kraken: Any, token_file: str, tmp_path: Path
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(self_signed(tmp_path))
    with (
        fake_api.serving(kraken, LOOPBACK, tls) as (host, port),
        pytest.raises(AwayError, match=r"does it want https\?"),
    ):
        Client({"url": f"http://{host}:{port}", "token_file": token_file}, {}).nodes()


def test_a_daemon_that_speaks_no_tls_is_told(
    fake_api: ModuleType, kraken: Any, token_file: str, tmp_path: Path
) -> None:
    with fake_api.serving(kraken, LOOPBACK) as (host, port):
        options = {
            "url": f"https://{host}:{port}",
            "token_file": token_file,
            "ca_path": str(self_signed(tmp_path)),
        }

        with pytest.raises(AwayError, match=r"does not speak TLS; does it want http\?"):
            Client(options, {}).nodes()


def test_a_file_that_is_no_socket_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(AwayError, match="it is a file, and no socket"):
        Client({"socket": str(tmp_path / "file")}, {}).nodes()


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        (0o660, "become {0}, or one of the group {1}"),
        (0o600, "it is for {0} alone; become that, or have the"),
    ],
)
def test_a_socket_that_we_may_not_open_is_told_with_who_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, says: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "kraken.sock"
    path.touch()
    path.chmod(mode)
    monkeypatch.setattr("http.client.HTTPConnection.request", refuse)

    with pytest.raises(AwayError, match=r"user .* may not open it: ") as caught:
        Client({"socket": str(path)}, {}).nodes()

    assert says.format(path.owner(), path.group()) in str(caught.value)
    assert not caught.value.may_be_done


def test_a_socket_whose_directory_is_shut_is_told_as_that(tmp_path: Path) -> None:
    assert "nor its directory" in client_module.who_may_open(str(tmp_path / "file" / "kraken.sock"))


def test_an_unreadable_ca_path_is_named(token_file: str) -> None:
    with pytest.raises(SettingsError, match=r"ca_path /nowhere/ca\.pem"):
        Client({"url": "https://head", "token_file": token_file, "ca_path": "/nowhere/ca.pem"}, {})


def self_signed(folder: Path) -> Path:
    """A PEM file with a key and a certificate of 127.0.0.1 that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kraken")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "head.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path
