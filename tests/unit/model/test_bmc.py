"""Which addresses may be a BMC's, and who shares one."""

from __future__ import annotations

import pytest

from kraken.model.bmc import (
    bmc_address_problem,
    bmc_key,
    bmc_text,
    fingerprint_bytes,
    redfish_port,
    shared_bmcs,
)


@pytest.mark.parametrize(
    "address",
    [
        "10.1.2.3",
        "127.2.0.1",
        "2001:db8::7",
        "fe80::1%eth0",
        "n1-bmc",
        "n1-bmc.example.org.",
        "bmc_7",
        "fd00::7",
        "64:ff9b::a00:7",
    ],
)
def test_an_ordinary_address_or_name_is_accepted(address: str) -> None:
    assert bmc_address_problem({"bmc.address": address}) is None


def test_a_node_without_a_bmc_has_no_problem() -> None:
    assert bmc_address_problem({"arch": "x86_64"}) is None


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("", "is empty"),
        ("   ", "is empty"),
        (None, "is empty"),
        (17, "is empty"),
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("::ffff:0.0.0.0", "unspecified"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("0.1.2.3", "broadcast or reserved"),
        ("169.254.3.254", "its own BMC"),
        ("0", "not a whole IP address"),
        ("127.1", "not a whole IP address"),
        ("10.0.0.0x7f", "not a whole IP address"),
        ("10.0.0.256", "not a whole IP address"),
        ("n1 bmc", "neither an IP address nor a host name"),
        ("-n1", "neither an IP address nor a host name"),
        ("n1:623", "neither an IP address nor a host name"),
        ("127.0.0.1", "calls itself"),
        ("::ffff:127.0.0.1", "calls itself"),
        ("127.0.1.1", "calls itself"),
        ("::1", "calls itself"),
        ("localhost", "calls itself"),
        (" LocalHost. ", "calls itself"),
        ("::1%lo", "calls itself"),
        ("::127.0.0.1", "reserved address"),
        ("::ffff:0:127.0.0.1", "reserved address"),
    ],
)
def test_an_address_that_is_not_one_machine_elsewhere_is_refused(address: object, reason: str) -> None:
    problem = bmc_address_problem({"bmc.address": address})  # type: ignore[dict-item]

    assert problem is not None
    assert reason in problem
    assert "bmc.address" in problem


@pytest.mark.parametrize("port", [0, 65536, -1, "623a", True, 6.5])
def test_a_port_that_is_none_is_refused(port: object) -> None:
    problem = bmc_address_problem({"bmc.address": "10.0.0.1", "bmc.port": port})  # type: ignore[dict-item]

    assert problem is not None
    assert "bmc.port" in problem


def test_spellings_of_one_address_are_one_bmc() -> None:
    assert bmc_key({"bmc.address": "2001:DB8:0::1"}) == bmc_key(
        {"bmc.address": " 2001:db8::1", "bmc.port": "623"}
    )
    assert bmc_key({"bmc.address": "::ffff:10.0.0.1"}) == bmc_key({"bmc.address": "10.0.0.1"})
    assert bmc_key({"bmc.address": "N1-BMC."}) == ("n1-bmc", 623)


def test_a_bmc_is_written_as_its_address_and_a_port_that_is_not_its_own() -> None:
    assert bmc_text("::ffff:10.0.0.1", None) == bmc_text("10.0.0.1", 443) == "10.0.0.1"
    assert bmc_text("N1-BMC.", "9001") == "n1-bmc port 9001"
    assert bmc_text(None, 623) is bmc_text(["10.0.0.1"], None) is bmc_text("10.0.0.1", ["623"]) is None
    assert bmc_text("10.0.0.1", 1) is not None
    assert bmc_text("10.0.0.1", True) is None


@pytest.mark.parametrize("port", [623, 443, "80"])
def test_this_machine_is_no_bmc_where_bmcs_listen(port: object) -> None:
    problem = bmc_address_problem({"bmc.address": "127.0.0.1", "bmc.port": port})  # type: ignore[dict-item]

    assert problem is not None
    assert "calls itself" in problem


def test_a_tunnel_or_simulator_on_this_machine_is_one_where_its_port_is_named() -> None:
    assert bmc_address_problem({"bmc.address": "127.0.0.1", "bmc.port": 8443}) is None
    assert bmc_address_problem({"bmc.address": "localhost", "bmc.port": 6230}) is None


def test_nodes_that_share_a_bmc_are_all_named_and_others_are_not() -> None:
    nodes = {
        "n1": {"bmc.address": "10.0.0.1"},
        "n2": {"bmc.address": "10.0.0.2"},
        "n3": {"bmc.address": "10.0.0.1", "bmc.port": 623},
        "n4": {"bmc.address": "10.0.0.1", "bmc.port": 6230},
        "n5": {},
    }

    assert shared_bmcs(nodes) == {("10.0.0.1", 623): ("n1", "n3")}


@pytest.mark.parametrize("port", [None, 443, "443", 80])
def test_a_node_over_redfish_and_one_over_ipmi_cannot_share_a_bmc(port: int | str | None) -> None:
    nodes = {
        "n1": {"bmc.address": "10.0.0.1", "bmc.protocol": "redfish", "bmc.port": port},
        "n2": {"bmc.address": "10.0.0.1", "bmc.protocol": "ipmi"},
    }

    assert list(shared_bmcs(nodes).values()) == [("n1", "n2")]


def test_redfish_listens_where_its_scheme_does_unless_told_otherwise() -> None:
    assert redfish_port({}) == 443
    assert redfish_port({"bmc.scheme": "http"}) == 80
    assert redfish_port({"bmc.scheme": "http", "bmc.port": "8000"}) == 8000


def test_a_fingerprint_is_read_however_it_is_written() -> None:
    digest = bytes(range(32))

    assert fingerprint_bytes(digest.hex()) == digest
    assert fingerprint_bytes(f"sha256:{digest.hex(':').upper()}") == digest
    assert fingerprint_bytes(digest.hex()[:-1]) is None


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"bmc.scheme": "ftp"}, "neither https nor http"),
        ({"bmc.fingerprint": "aa:bb"}, "not a SHA-256"),
        ({"bmc.ca": "ca.pem"}, "absolute path"),
        ({"bmc.scheme": "http", "bmc.fingerprint": "00" * 32}, "http has no certificate"),
    ],
)
def test_how_a_bmc_is_to_be_known_is_checked_when_it_is_declared(
    attributes: dict[str, str], reason: str
) -> None:
    problem = bmc_address_problem({"bmc.address": "10.0.0.1", **attributes})

    assert problem is not None
    assert reason in problem
