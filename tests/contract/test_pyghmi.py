"""The pinned pyghmi has the shape that kraken.executors.ipmi.session stands on.

Each assertion names something private that our session replaces or relies on: when one fails after an
update of pyghmi, read ours and pyghmi's session.py side by side before changing the pin.
"""

from __future__ import annotations

import configparser
import importlib.metadata
import inspect
import re
from pathlib import Path
from typing import Any

import pyghmi.ipmi.command as pyghmi_command
import pyghmi.ipmi.events as pyghmi_events
import pyghmi.ipmi.fru as pyghmi_fru
import pyghmi.ipmi.private.constants as constants
import pyghmi.ipmi.private.session as session
import pyghmi.ipmi.sdr as pyghmi_sdr
import pytest

from kraken.executors.ipmi import session as our_session
from kraken.executors.ipmi.refusals import refusal_of
from kraken.executors.ipmi.verbs import BOOT_DEVICE, POWER
from kraken.executors.place import Reach

Session = session.Session


def source(name: str) -> str:
    return inspect.getsource(getattr(Session, name))


def test_the_version_installed_is_the_version_pinned() -> None:
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parents[2] / "setup.cfg")
    pins = [line for line in setup["options"]["install_requires"].splitlines() if line.startswith("pyghmi")]

    assert pins == [f"pyghmi=={importlib.metadata.version('pyghmi')}"]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("__new__", ["cls", "bmc", "userid", "password", "port", "kg", "onlogon", "privlevel", "keepalive"]),
        (
            "__init__",
            ["self", "bmc", "userid", "password", "port", "kg", "onlogon", "privlevel", "keepalive"],
        ),
        ("_assignsocket", ["server", "forbiddensockets"]),
        ("_initsession", ["self"]),
        ("_xmit_packet", ["self", "retry", "delay_xmit", "timeout"]),
        ("_req_priv_level", ["self"]),
        ("_got_channel_auth_cap", ["self", "response"]),
        ("_got_rakp2", ["self", "data"]),
        ("_got_rakp4", ["self", "data"]),
        ("_parse_ipmi_payload", ["self", "payload"]),
        ("login", ["self"]),
        ("_get_session_challenge", ["self"]),
        ("_got_rmcp_response", ["self", "data"]),
        ("_handle_ipmi_packet", ["self", "data", "sockaddr", "qent"]),
        ("_open_rmcpplus_request", ["self"]),
        ("logout", ["self", "sessionok"]),
        (
            "_send_ipmi_net_payload",
            [
                "self",
                "netfn",
                "command",
                "data",
                "code",
                "bridge_request",
                "retry",
                "delay_xmit",
                "timeout",
                "rslun",
            ],
        ),
        ("send_payload", None),
        ("raw_command", None),
    ],
)
def test_the_methods_the_wire_replaces_or_calls_are_there(name: str, parameters: list[str] | None) -> None:
    found = list(inspect.signature(getattr(Session, name)).parameters)

    assert parameters is None or found == parameters


def test_nothing_of_the_wires_session_is_a_name_pyghmi_does_not_know() -> None:
    """An override that pyghmi renamed would be dead code, and pyghmi's own would act again."""
    ours = {name for name, value in vars(our_session.RmcpSession).items() if inspect.isfunction(value)}
    own = {
        "repeat_step",
        "command",
        "end",
        "_logged_on",
        "_begin_anew",
    }

    assert {name for name in ours - own if not hasattr(Session, name)} == set()
    assert not any(hasattr(Session, name) for name in own)


def test_every_packet_leaves_through_the_one_method_that_is_replaced() -> None:
    """And every socket comes from the other: so no thread, no select, no resolver of pyghmi's runs."""
    senders = [
        name for name, _ in inspect.getmembers(Session, inspect.isfunction) if "_io_sendto(" in source(name)
    ]

    assert senders == ["_xmit_packet"]
    assert "self._assignsocket(" in source("__init__")
    assert "netpacket" in source("send_payload")
    assert "self._xmit_packet(retry, delay_xmit=delay_xmit, timeout=timeout)" in source("send_payload")


def test_a_command_without_retry_is_never_repeated_by_pyghmi() -> None:
    assert "if retry:\n            self.lastpayload = payload" in source("send_payload")
    assert "if not self.lastpayload:\n            return" in source("_timedout")


def test_a_command_needs_of_raw_command_only_what_the_wire_does_itself() -> None:
    """The rest of it waits, locks and keeps pyghmi's own time."""
    text = source("raw_command")

    assert "self.ipmicallback = callback" in text
    assert "self._send_ipmi_net_payload(netfn, command, data," in text
    assert "if not self.logged:\n                raise exc.IpmiException" in text


def test_the_end_of_a_session_needs_of_logout_only_what_the_wire_does_itself() -> None:
    """The rest of it waits, ends consoles, and keeps books of sockets and sessions that are not kept here."""
    text = source("logout")

    assert "command=0x3c, netfn=6" in text
    assert 'struct.unpack(\n                    "4B", struct.pack("I", self.sessionid))' in text
    assert "self.lastpayload = None" in text
    assert "self.logged = 0" in text
    assert "self.logging = False" in text
    assert "if payload and self.lastpayload:" in source("send_payload")


def test_a_refused_cipher_suite_17_is_followed_by_suite_3() -> None:
    text = source("_got_rmcp_response")

    assert "if self.attemptedhash == 256:\n                self.attemptedhash = 1" in text
    assert "if data[0] != self.rmcptag" in text
    assert "self.attemptedhash = 256" in source("_initsession")
    assert "if self.attemptedhash == 1:" in source("_open_rmcpplus_request")


def test_the_states_of_a_login_are_called_as_the_wire_calls_them() -> None:
    text = inspect.getsource(Session)

    assert "self.sessioncontext = 'OPENSESSION'" in text
    assert 'self.sessioncontext = "EXPECTINGRAKP2"' in text
    assert 'self.sessioncontext = "EXPECTINGRAKP4"' in text
    assert "self._req_priv_level()" in source("_got_rakp4")
    assert "if self.attemptedhash == 256:" in source("_got_rmcp_response")


def test_the_attributes_the_wire_sets_are_those_pyghmi_reads() -> None:
    text = inspect.getsource(Session)
    names = (
        "lastpayload logged logging localsid sessionid rmcptag sockaddr allsockaddrs forbidsock "
        "logontries privlevel autopriv sequencenumber attemptedhash authtype kgo"
    )

    for name in names.split():
        assert f"self.{name}" in text, name


@pytest.mark.parametrize(
    ("error", "reach"),
    [
        ("Incorrect password provided", Reach.BAD_CREDENTIALS),
        (f"{constants.rmcp_codes[0xD]} in RAKP2", Reach.BAD_CREDENTIALS),
        (f"{constants.rmcp_codes[0xF]} in RAKP2", Reach.BAD_CREDENTIALS),
        (f"{constants.rmcp_codes[0xF]} reported in RAKP4", Reach.REFUSED),
        ("Invalid RAKP4 integrity code (wrong Kg?)", Reach.BAD_CREDENTIALS),
        (f"{constants.rmcp_codes[0xA]} in RAKP2", Reach.BAD_CREDENTIALS),
        (f"{constants.rmcp_codes[0xC]} in RAKP2", Reach.BAD_CREDENTIALS),
        (constants.rmcp_codes[1], Reach.BUSY),
        (constants.rmcp_codes[0xB], Reach.BUSY),
        (constants.rmcp_codes[0x11], Reach.REFUSED),
        (f"{constants.rmcp_codes[2]} in RAKP2", Reach.REFUSED),
        ("Unrecognized RMCP code 99", Reach.REFUSED),
    ],
)
def test_the_sentences_of_a_failed_login_are_understood(error: str, reach: Reach) -> None:
    assert refusal_of(error).reach is reach


def test_the_fixed_sentences_are_still_pyghmis() -> None:
    assert '" reported in RAKP4"' in source("_got_rakp4")
    assert '"Incorrect password provided"' in source("_got_rakp2")
    assert '"Invalid RAKP4 integrity code (wrong Kg?)"' in source("_got_rakp4")


def test_our_numbers_are_pyghmis_numbers() -> None:
    names: dict[str, Any] = {"pxe": "network", "disk": "hd", "cdrom": "optical"}
    theirs = pyghmi_command.power_states

    assert {word: theirs["shutdown" if word == "soft" else word] for word in POWER if word != "cycle"} == {
        word: number for word, number in POWER.items() if word != "cycle"
    }
    for word, number in BOOT_DEVICE.items():
        assert pyghmi_command.boot_devices[names.get(word, word)] == number << 2, word


def test_the_decoders_want_no_more_of_a_command_than_the_stand_in_has() -> None:
    """And what is used of them that is private, or not said to be kept, is there."""
    text = "".join(inspect.getsource(module) for module in (pyghmi_sdr, pyghmi_fru, pyghmi_events))
    wanted = set(re.findall(r"ipmicmd\.(\w+)", text))

    assert wanted == {"raw_command", "xraw_command", "get_event_constants", "_oem"}
    assert set(re.findall(r"_oem\.(\w+)", text)) == {"process_event"}
    assert list(inspect.signature(pyghmi_events.EventHandler._fetch_entries).parameters) == [
        "self",
        "ipmicmd",
        "startat",
        "targetlist",
        "rsvid",
    ]
    assert "self.add_sdr(sdrdata)" in inspect.getsource(pyghmi_sdr.SDR.get_sdr)
    assert "del self.sensors[sid]" in inspect.getsource(pyghmi_sdr.SDR.get_sdr)
    key = r"\(self\.fw_major, self\.fw_minor, self\.mfg_id, self\.prod_id,\s+self\.device_id, modtime\)"
    assert len(re.findall(key, text)) == 3


def test_each_attribute_of_a_session_has_its_place_and_none_takes_a_dictionary() -> None:
    """What pyghmi sets besides, it sets as a server, or where it would wait and repeat by itself."""
    set_by_pyghmi = set(re.findall(r"self\.(\w+)(?: = |, self\.)", inspect.getsource(Session)))
    not_here = {"clientaddr", "clientcommand", "clientnetfn", "expiration", "hasretried"}
    queues = {"evq", "pktqueue", "pendingpayloads"}
    ours = {"link", "begun_anew"}

    assert set_by_pyghmi - not_here - queues == set(our_session.RmcpSession.__slots__) - ours
