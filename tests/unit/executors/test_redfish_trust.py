"""Whom the Redfish executor trusts, and what it never tells or touches."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from pathlib import Path

import pytest

from kraken.executors.place import Place, Resolver
from kraken.model.run import Outcome
from kraken.testing.redfish import FakeBmc, make_certificate
from kraken.testing.redfish.bmc import SESSIONS, SYSTEMS
from tests.unit.executors.redfish_site import Site, seen, until


async def test_a_certificate_is_known_by_its_authority_or_its_fingerprint(site: Site, tmp_path: Path) -> None:
    made = make_certificate(tmp_path, "bmc", "127.0.0.1")
    await site.add(FakeBmc(certificate=made), ca=str(made.certificate))
    await site.add(FakeBmc(certificate=made), fingerprint=f"sha256:{made.fingerprint}")
    found = await site.ask("power_status")

    assert {result.outcome for result in found.values()} == {Outcome.OK}


async def test_a_bmc_declared_by_name_is_known_by_that_name(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named, other = (make_certificate(tmp_path, f"{name}.cluster") for name in ("n0-bmc", "n9-bmc"))
    await site.add(FakeBmc(certificate=named), ca=str(named.certificate), address="n0-bmc.cluster")
    await site.add(FakeBmc(certificate=other), ca=str(other.certificate), address="n1-bmc.cluster")

    async def find(_: object, host: str, port: int) -> Place:
        return Place(socket.AF_INET, ("127.0.0.1", port))

    monkeypatch.setattr(Resolver, "find", find)
    found = await site.ask("power_status")

    assert found["n0"].observed == seen("POWER_OFF")
    assert "nobody vouches for" in found["n1"].message
    assert "n1-bmc.cluster" in found["n1"].message


async def test_an_ipv6_address_is_asked_as_any_other(site: Site) -> None:
    await site.add(FakeBmc("::1"))

    assert (await site.one("power_status")).outcome is Outcome.OK


async def test_a_stranger_is_told_nothing_and_its_fingerprint_is_shown(site: Site, tmp_path: Path) -> None:
    made, other = (make_certificate(tmp_path, name, "127.0.0.1") for name in ("bmc", "other"))
    elsewhere = make_certificate(tmp_path, "elsewhere", "127.0.0.9")
    nobody_s = await site.add(FakeBmc(certificate=made))
    changed = await site.add(FakeBmc(certificate=other), fingerprint=made.fingerprint)
    named = await site.add(FakeBmc(certificate=elsewhere), ca=str(elsewhere.certificate))
    found = await site.ask({"power": "off"})

    assert {result.outcome for result in found.values()} == {Outcome.FAILED}
    assert "shows a certificate nobody vouches for" in found["n0"].message
    assert made.fingerprint in found["n0"].message
    assert "another certificate than it should (it is not the one in bmc.fingerprint)" in found["n1"].message
    assert other.fingerprint in found["n1"].message
    assert elsewhere.fingerprint in found["n2"].message
    assert nobody_s.asked == changed.asked == named.asked == []


async def test_a_certificate_that_changes_under_a_session_ends_the_trust(site: Site, tmp_path: Path) -> None:
    made, other = (make_certificate(tmp_path, name, "127.0.0.1") for name in ("bmc", "other"))
    bmc = await site.add(FakeBmc(certificate=made), fingerprint=made.fingerprint)
    await site.one("power_status")
    await bmc.stop()
    bmc.certificate = other
    await bmc.start()
    asked = len(bmc.asked)
    result = await site.one("power_status")

    assert "shows another certificate than it should" in result.message
    assert len(bmc.asked) == asked, "the session was not offered to a stranger"

    site.attributes["n0"]["bmc.fingerprint"] = other.fingerprint

    assert (await site.one({"power": "on"})).outcome is Outcome.OK


async def test_a_ca_file_that_cannot_be_used_is_named(site: Site, tmp_path: Path) -> None:
    made = make_certificate(tmp_path, "bmc", "127.0.0.1")
    (tmp_path / "empty.pem").write_text("nothing\n")
    await site.add(FakeBmc(certificate=made), ca=str(tmp_path / "none.pem"))
    await site.add(FakeBmc(certificate=made), ca=str(tmp_path / "empty.pem"))
    found = await site.ask("power_status")

    assert "none.pem No such file or directory" in found["n0"].message
    assert "empty.pem holds no certificates in PEM" in found["n1"].message


async def test_https_asked_of_plain_http_is_named(site: Site) -> None:
    await site.add()
    del site.attributes["n0"]["bmc.scheme"]

    assert "is it HTTPS that listens there?" in (await site.one("power_status")).message


async def test_two_nodes_with_one_bmc_are_both_left_alone(site: Site) -> None:
    bmc = await site.add()
    site.attributes["n1"] = dict(site.attributes["n0"])
    found = await site.ask({"power": "on"})

    assert {result.outcome for result in found.values()} == {Outcome.FAILED}
    assert "is also that of n1" in found["n0"].message
    assert bmc.asked == []


@pytest.mark.parametrize(
    ("attribute", "value", "told"),
    [
        ("bmc.address", None, "no attribute bmc.address"),
        ("bmc.address", "0.0.0.0", "unspecified address"),
        ("bmc.credential", None, "no attribute bmc.credential"),
        ("bmc.credential", "lap", "did you mean 'lab'?"),
        ("bmc.fingerprint", "beef", "not a SHA-256"),
    ],
)
async def test_what_cannot_be_asked_is_refused_with_the_reason(
    site: Site, attribute: str, value: str | None, told: str
) -> None:
    await site.add()
    del site.attributes["n0"]["bmc.scheme"]
    site.attributes["n0"][attribute] = value
    if value is None:
        del site.attributes["n0"][attribute]
    result = await site.one("power_status")

    assert result.outcome is Outcome.FAILED
    assert told in result.message


async def test_no_secret_reaches_a_message_or_a_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    refused = await site.add(credential="wrong")
    echoing = await site.add()
    await site.ask("power_status")
    token = next(iter(echoing.sessions))
    body = b'{"error": {"message": "You sent secret and %s."}}' % token.encode()
    echoing.say("POST", SYSTEMS, 400, body=body)
    refused.say("POST", SESSIONS, 500, body=body)
    found = await site.ask({"power": "reset"})
    told = " ".join(result.message for result in found.values()) + caplog.text

    assert "refused power reset" in told
    assert not any(secret in told for secret in ("secret", "wr0ng-one", token))


async def test_a_cancelled_run_reports_nothing_more_and_leaves_the_bmc_usable(site: Site) -> None:
    bmc = await site.add()
    bmc.mute = True
    asking = asyncio.create_task(site.ask("power_status"))
    await until(lambda: bmc.connections)
    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking
    bmc.mute = False

    assert (await site.one("power_status")).outcome is Outcome.OK
