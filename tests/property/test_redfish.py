"""Laws of reading what a BMC says: whatever it is, it is understood or refused, never stumbled over."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kraken.executors.place import Place
from kraken.executors.redfish import system
from kraken.executors.redfish.verbs import BOOT_TARGETS, RESET_TYPES, verb_of
from kraken.executors.redfish.words import Reply, Server

BOOTS = [verb_of({"boot_device": word}) for word in BOOT_TARGETS]
SERVER = Server(Place(socket.AF_INET, ("10.0.0.1", 443)), "bmc1.example")

WORDS = st.sampled_from(
    [
        *("PowerState", "On", "Off", "PoweringOn", "Actions", system.RESET, "target", "Members", "Links"),
        *("ResetType@Redfish.AllowableValues", "@Redfish.ActionInfo", "@odata.id", "/redfish/v1/Systems/1"),
        *("Boot", "Chassis", "IndicatorLED", "error", "@Message.ExtendedInfo", "Message", "MessageId"),
        *("TaskState", "Parameters", "Name", "ResetType", "AllowableValues", "Messages", "code", "message"),
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS | st.text(max_size=8)
NAMES = WORDS | st.text(max_size=4)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=20,
)


def documents(*keys: str) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with anything under these keys."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(keys, SCALARS | JSON))


SYSTEMS = documents("PowerState", "Actions", "Members", "Links", "Boot", "IndicatorLED", "TaskState")
RESETS = documents("target", "ResetType@Redfish.AllowableValues", "@Redfish.ActionInfo")
ERRORS = documents("error", "Messages", "@Message.ExtendedInfo") | st.builds(
    lambda error: {"error": error}, documents("message", "@Message.ExtendedInfo")
)


@settings(max_examples=300)
@given(
    document=SYSTEMS | st.builds(lambda reset: {"Actions": {system.RESET: reset}}, RESETS),
    info=st.none() | documents("Parameters"),
)
def test_any_document_is_understood_or_refused_as_nonsense(document: dict[str, Any], info: Any) -> None:
    readings = [
        lambda: system.power_state(document),
        lambda: system.link_to(document, "Links", "Chassis"),
        lambda: system.member(document, ""),
        lambda: system.member(document, "1"),
        lambda: system.reset_target(document),
        lambda: system.chassis_of(document),
        lambda: system.task_state(document),
        lambda: system.identify_body(document, "on"),
        *(lambda word=word: system.reset_body(document, info, word) for word in RESET_TYPES),
        *(lambda verb=verb: system.boot_body(document, verb) for verb in BOOTS),
    ]
    for read in readings:
        told = ""
        try:
            read()
        except ValueError as exc:
            told = str(exc)

        assert told.isprintable()


@given(body=ERRORS.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40))
@example(b'{"error": {"message": "\\ud7fc"}}')  # a character that Unicode has not assigned
@example(b'{"error": {"message": "off\\u202e"}}')  # one that turns the rest of a terminal's line round
def test_any_error_is_told_in_one_short_printable_line(body: bytes) -> None:
    reply = Reply(400, {}, body)
    told = system.said(reply)

    assert told.isprintable()
    assert len(told) <= 200
    assert all(isinstance(found, str) for found in system.message_ids(reply))


@pytest.mark.parametrize("text", ["You sent hunter2.", "x" * 300 + "hunter2"])
def test_a_secret_that_a_bmc_repeats_is_not_told(text: str) -> None:
    body = json.dumps({"error": {"message": text}}).encode()

    assert "hunter2" not in system.said(Reply(400, {}, body), "hunter2")


@given(location=st.text(max_size=40) | WORDS)
def test_a_location_leads_to_a_path_of_the_same_service_or_nowhere(location: str) -> None:
    try:
        path = system.path_at(location, SERVER)
    except ValueError:
        return

    assert path.startswith("/")
    assert not path.startswith("//")
    assert path.isascii()


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/redfish/v1/x?a=b", "/redfish/v1/x?a=b"),
        ("https://bmc1.example/x", "/x"),
        ("https://BMC1.example:443/x", "/x"),
        ("https://10.0.0.1/x", "/x"),
        ("http://bmc1.example/x", None),
        ("https://bmc1.example:8443/x", None),
        ("https://bmc1.example@evil.example/x", None),
        ("https://evil.example/x", None),
        ("//evil.example/x", None),
        ("javascript:1", None),
        ("", "/"),
        (None, None),
    ],
)
def test_only_this_service_is_followed(location: str | None, path: str | None) -> None:
    if path is None:
        with pytest.raises(ValueError, match=r"sent us on|names"):
            system.path_at(location, SERVER)
    else:
        assert system.path_at(location, SERVER) == path


def test_a_power_that_switches_off_has_not_yet_done_so() -> None:
    assert system.power_state({"PowerState": "PoweringOff"}) == "POWER_ON"
    with pytest.raises(system.StillTurningOn):
        system.power_state({"PowerState": "PoweringOn"})


def test_what_may_be_reset_may_be_listed_apart() -> None:
    document = {"Actions": {system.RESET: {"target": "/reset", "@Redfish.ActionInfo": "/info"}}}
    info = {"Parameters": [{"Name": "ResetType", "AllowableValues": ["ForceOn", "ForceOff"]}]}

    assert system.reset_target(document) == ("/reset", "/info")
    assert system.reset_body(document, info, "on") == {"ResetType": "ForceOn"}
    with pytest.raises(ValueError, match="offers ForceOn, ForceOff, not PowerCycle"):
        system.reset_body(document, info, "cycle")
