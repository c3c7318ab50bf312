"""One entry of the credentials file is changed, and not a letter of anything else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kraken.errors import CredentialError
from kraken.executors.credentials import parse
from kraken.executors.credentialtext import with_new_password, without_previous

FILE = "credentials.yaml"

BLOCK = """\
# BMCs of all racks
lab:
  username: admin   # the vendor's
  password: old-one  # since spring
  kg: kgkey

rack2: {username: "0123", password: 0042}   # small
"""


def test_of_a_block_only_the_password_changes_and_the_former_stands_below_it() -> None:
    after = with_new_password(BLOCK, "lab", "new one's", FILE)

    assert after == BLOCK.replace(
        "password: old-one  # since spring\n",
        "password: 'new one''s'  # since spring\n  previous: old-one\n",
    )
    assert without_previous(after, "lab", FILE) == BLOCK.replace("old-one ", "'new one''s' ")


def test_in_braces_it_stands_beside_it() -> None:
    after = with_new_password(BLOCK, "rack2", "new", FILE)

    assert after == BLOCK.replace("password: 0042}", "password: 'new', previous: 0042}")
    assert without_previous(after, "rack2", FILE) == BLOCK.replace("0042", "'new'")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '{"lab":{"username":"a","password":"o"}}',
            '{"lab":{"username":"a","password":"n\\"\\\\", "previous":"o"}}',
        ),
        (
            "lab:\r\n    password: o\r\n    username: a",
            "lab:\r\n    password: 'n\"\\'\r\n    previous: o\r\n    username: a",
        ),
        ("lab:\n  username: a\n  password: o", "lab:\n  username: a\n  password: 'n\"\\'\n  previous: o"),
    ],
)
def test_quotes_line_ends_and_json_stay_as_they_are(text: str, expected: str) -> None:
    assert with_new_password(text, "lab", 'n"\\', FILE) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lab: {previous: o, username: a, password: n}\n", "lab: {username: a, password: n}\n"),
        ("lab: {username: a, previous: o, password: n}\n", "lab: {username: a, password: n}\n"),
        (
            "lab: {username: a, password: n, # spring\n  previous: o}\n",
            "lab: {username: a, password: n, # spring\n  }\n",
        ),
        ("lab: {username: a,\n  password: n,\n  previous: o}\n", "lab: {username: a,\n  password: n}\n"),
        (
            "lab:\n  previous: o\n  username: a\n  password: n\n",
            "lab:\n  username: a\n  password: n\n",
        ),
        ("lab:\n  username: a\n  password: n\n  previous: o", "lab:\n  username: a\n  password: n\n"),
        ("lab: {username: a, password: n}\n", "lab: {username: a, password: n}\n"),
    ],
)
def test_previous_leaves_with_its_comma_and_its_line(text: str, expected: str) -> None:
    assert without_previous(text, "lab", FILE) == expected


@pytest.mark.parametrize(
    "text",
    [
        "lab: &x {username: a, password: hush}\nother: *x\n",
        "other: &x {username: a, password: hush}\nlab: *x\n",
        "other: {username: a, password: &p hush}\nlab: {username: a, password: *p}\n",
        "lab: {username: a, password: &p hush}\nother: {username: a, password: *p}\n",
        "lab: {username: a, password: !!str hush}\n",
        "lab:\n  username: a\n  password: |\n    hush\n",
        "lab:\n  username: a\n  password:\n    hush\n",
        "lab:\n  username: a\n  password: hush\n    hush\n",
        "lab:\n  ? password\n  : hush\n  ? username\n  : a\n",
        "lab:\n  username: a\n  ? password\n  : hush\n",
    ],
)
def test_what_is_not_understood_is_refused_and_not_quoted(text: str) -> None:
    assert "lab" in parse(text.encode(), FILE)

    with pytest.raises(
        CredentialError, match=r"'lab' is written .* does not edit; nothing was changed"
    ) as no:
        with_new_password(text, "lab", "new", FILE)
    assert "hush" not in str(no.value)


def test_a_second_rotation_waits_for_the_first() -> None:
    text = with_new_password(BLOCK, "lab", "new", FILE)

    with pytest.raises(CredentialError, match=r"its rotation is not complete.*rotate lab --all.*finish lab"):
        with_new_password(text, "lab", "newer", FILE)


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("", "is empty"),
        (" new", "begins or ends with a space"),
        ("new\n", "has characters other than printable ASCII"),
        ("schlüssel", "has characters other than printable ASCII"),
        ("x" * 21, "has 21 bytes, and BMCs take 20 at most"),
        ("old-one", "is the one it has"),
    ],
)
def test_a_password_that_no_bmc_takes_is_refused(password: str, why: str) -> None:
    with pytest.raises(CredentialError, match=f"'lab' {why}"):
        with_new_password(BLOCK, "lab", password, FILE)


def test_an_unknown_name_is_told_with_those_there_are() -> None:
    with pytest.raises(CredentialError, match=r"'lap' is not in credentials.yaml.*lab, rack2"):
        with_new_password(BLOCK, "lap", "new", FILE)


PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=20).filter(
    lambda text: text == text.strip()
)
PLAIN = st.from_regex(r"[a-z0-9][a-z0-9#:.-]{0,8}[a-z0-9]", fullmatch=True)
COMMENT = st.sampled_from(["", "", "  # keep: {me}", " # 'odd\""])


@st.composite
def scalars(draw: st.DrawFn) -> str:
    """A value as somebody might write it: bare, or in either quotes."""
    form = draw(st.sampled_from("b'\""))
    if form == "b":
        return draw(PLAIN)
    value = draw(PRINTABLE)
    if form == "'":
        return "'" + value.replace("'", "''") + "'"
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


@st.composite
def files(draw: st.DrawFn, *more: str) -> str:
    """A file of three credentials with these keys too, with comments, in blocks and braces, in any order."""
    line_break = draw(st.sampled_from(["\n", "\r\n"]))
    lines = [draw(st.sampled_from(["# passwords", "---", "%YAML 1.1" + line_break + "---", ""]))]
    for name in draw(st.permutations(["lab", '"rack 2"', "old"])):
        keys = draw(st.permutations(["username", "password", "kg", *more]))
        pairs = [(f"{key}:{' ' * draw(st.integers(1, 3))}", draw(scalars())) for key in keys]
        if draw(st.booleans()):
            inside = f",{draw(st.sampled_from([' ', line_break + '    ']))}".join(k + v for k, v in pairs)
            lines.append(f"{name}: {{{inside}}}{draw(COMMENT)}")
        else:
            lines.append(f"{name}:{draw(COMMENT)}")
            lines += [f"  {key}{value}{draw(COMMENT)}" for key, value in pairs]
        lines += draw(st.sampled_from([[], [""], ["  # between", ""]]))
    return line_break.join(lines) + draw(st.sampled_from(["", line_break]))


@given(files(), PRINTABLE)
def test_a_new_password_and_its_end_change_that_entry_alone(text: str, password: str) -> None:
    """There and back, every line that is not the password's is what it was."""
    try:
        before = parse(text.encode(), FILE)
    except CredentialError:
        assume(False)
    assume(password != before["lab"].password)

    given_ = with_new_password(text, "lab", password, FILE)
    meant = replace(before["lab"], password=password, previous=before["lab"].password)
    assert parse(given_.encode(), FILE) == {**before, "lab": meant}

    over = without_previous(given_, "lab", FILE)
    assert parse(over.encode(), FILE) == {**before, "lab": replace(meant, previous=None)}
    was, is_ = text.splitlines(), over.splitlines()
    assert len(was) == len(is_)
    assert sum(one != other for one, other in zip(was, is_, strict=True)) == 1


@given(files("previous"))
def test_previous_leaves_alone_wherever_it_stands(text: str) -> None:
    """Of every line something is kept, but of one that it had for itself."""
    try:
        before = parse(text.encode(), FILE)
    except CredentialError:
        assume(False)
    assume(before["lab"].previous is not None)

    over = without_previous(text, "lab", FILE)
    assert parse(over.encode(), FILE) == {**before, "lab": replace(before["lab"], previous=None)}
    was, is_ = text.splitlines(), over.splitlines()
    assert len(was) - len(is_) in (0, 1)
    assert len([line for line in is_ if line not in was]) <= 1
    assert text.count("# keep") - over.count("# keep") in (0, 1)


@given(st.text(st.sampled_from("lab: {}username,password\n#&*x'\"|-? \t"), max_size=60), PRINTABLE)
def test_whatever_stands_there_it_is_refused_or_changed_as_meant(text: str, password: str) -> None:
    whole = text + "\nlab: {username: a, password: o}\n"
    try:
        after = with_new_password(whole, "lab", password, FILE)
    except CredentialError:
        return
    before = parse(whole.encode(), FILE)
    meant = replace(before["lab"], password=password, previous=before["lab"].password)

    assert parse(after.encode(), FILE) == {**before, "lab": meant}
