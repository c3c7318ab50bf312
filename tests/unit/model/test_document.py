from __future__ import annotations

import os
from pathlib import Path

import pytest

from kraken.errors import DocumentError
from kraken.model.document import FILE_BYTES_MAX, Part, parse_document, read_document


def part(text: str) -> Part:
    return parse_document(text, DocumentError)


def test_every_value_knows_its_line_and_key() -> None:
    document = part("a:\n  b.c:\n    - x\n    - y: 1\n")

    value = document.at(("a", "b.c", 1, "y"))

    assert (value.value, value.line, value.key) == (1, 4, "a.b.c[1].y")


def test_a_mapping_is_found_where_its_key_stands() -> None:
    assert part("\na:\n\n  b: 1\n").at(("a",)).line == 2


def test_a_path_that_leads_nowhere_ends_at_the_nearest_part_above() -> None:
    document = part("a: {b: [1]}")

    assert document.at(("a", "b", 5)).key == "a.b"
    assert document.at(("a", "z", "y")).key == "a"


def test_plain_gives_the_same_as_a_yaml_loader() -> None:
    text = "a: [1, 2.5, true, null, x, 2026-01-01]\nb: {c: 'on', 1: two}\n"

    assert part(text).plain() == {
        "a": [1, 2.5, True, None, "x", "2026-01-01"],
        "b": {"c": "on", 1: "two"},
    }


def test_anchors_and_merge_keys_work_and_own_keys_win() -> None:
    text = "base: &base {x: 1, y: 2}\nmore: &more {y: 3, z: 4}\nhere:\n  y: 9\n  <<: [*base, *more]\n"

    assert part(text).plain()["here"] == {"x": 1, "y": 9, "z": 4}


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("", "the file is empty", None),
        ("# only a comment\n", "the file is empty", None),
        ("a: 1\nb: 2\na: 3\n", "the key a is given twice (first in line 1)", 3),
        ("a: 1\n\tb: 2\n", "a tab where YAML wants spaces (indent with spaces)", 2),
        ("a: 1\n---\nb: 2\n", "more than one document in the file (keep one; drop the line ---)", 2),
        ("a:\n  b: 1\n   c: 2\n", "mapping values are not allowed", 3),
        ("a:\n  b: 1\n c: 2\n", "not in line with those before (begin keys of one level in one column)", 3),
        ("a: b: c\n", "mapping values are not allowed here (check the indentation", 1),
        ("a: [1, 2\nb: 3\n", "not YAML: ", 2),
        ("a: !vault x\n", "the tag !vault is not supported here", 1),
        ("a: !!python/name:os.system x\n", "the tag !!python/name:os.system is not supported here", 1),
        ("a: !!set {x}\n", "the tag !!set is not supported here", 1),
        ("a:\n  ? [x]\n  : y\n", "a key must be plain text", 2),
        ("a: &a [*a]\n", "an alias refers to what it is part of", 1),
        ("a: *b\n", "not YAML: found undefined alias 'b'", 1),
        ("a: 1\nb: <<\nc:\n  <<: 5\n", "<< merges mappings only", 4),
        ("a: 0b_\n", "'0b_' is no int (put it in quotes to make it text)", 1),
        ("a: !!bool perhaps\n", "'perhaps' is no bool", 1),
        ("a: 1\nb: \x07\n", "is not allowed in YAML", 2),
        (f"a: {'1' * 5000}\n", "is no int", 1),
        ("[" * 2000, "nested too deeply", None),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, message: str, line: int | None) -> None:
    with pytest.raises(DocumentError) as caught:
        part(text)

    assert message in str(caught.value)
    assert caught.value.line == line


def test_a_tag_of_ansibles_is_kept_where_ansible_reads_it_and_nowhere_else() -> None:
    text = "tasks: [{a: !vault v}, !unsafe '{{ u }}']\nname: x\n"
    read = parse_document(text, DocumentError, is_ansibles=lambda path: path[0] == "tasks")
    inner, literal = read.plain()["tasks"]
    encrypted = inner["a"]

    assert (encrypted, encrypted.tag) == ("v", "!vault")
    assert (literal, literal.tag) == ("{{ u }}", "!unsafe")
    with pytest.raises(DocumentError, match="the tag !vault is not supported here"):
        parse_document("name: !vault x\n", DocumentError, is_ansibles=lambda path: path[0] == "tasks")


def test_aliases_of_aliases_cannot_fill_the_memory() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]

    with pytest.raises(DocumentError, match="more than 100000 values"):
        part("\n".join(lines))


def test_an_unknown_key_is_answered_with_the_nearest_known_one() -> None:
    with pytest.raises(DocumentError, match=r"unknown key 'timout' \(did you mean timeout\?\)"):
        part("timout: 5").fields(("timeout", "cost"))


def test_an_unquoted_on_as_a_key_is_explained() -> None:
    with pytest.raises(DocumentError, match=r"the key on is not text to YAML \(put it in quotes: 'on'\)"):
        part("x: {on: 1}").at(("x",)).items()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x: on", "on, which YAML reads as the boolean true"),
        ("x: No", "No, which YAML reads as the boolean false"),
        ("x: true", "the boolean 'true'"),
        ("x: 12", "the number '12'"),
        ("x: word", "'word'"),
        ("x: []", "a list"),
        ("x: {}", "a mapping"),
        ("x:", "nothing"),
    ],
)
def test_a_value_is_described_as_its_writer_sees_it(text: str, words: str) -> None:
    assert part(text).at(("x",)).describe() == words


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    loop = tmp_path / "loop.yml"
    loop.symlink_to(loop)
    pipe = tmp_path / "pipe.yml"
    os.mkfifo(pipe)
    large = tmp_path / "large.yml"
    large.write_bytes(b"#" * (FILE_BYTES_MAX + 1))
    latin = tmp_path / "latin.yml"
    latin.write_bytes(b"a: 1\nb: caf\xe9\n")
    reasons = {
        tmp_path / "missing.yml": "No such file",
        loop: "symbolic links",
        pipe: "not a regular file",
        tmp_path: "not a regular file",
        large: "larger than 1024 KiB",
        latin: "byte 0xe9 is not UTF-8",
    }

    for file, reason in reasons.items():
        with pytest.raises(DocumentError, match=reason) as caught:
            read_document(file, DocumentError)

        assert caught.value.file == str(file)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    file = tmp_path / "bom.yml"
    file.write_bytes(b"\xef\xbb\xbfa: 1\n")

    assert read_document(file, DocumentError).plain() == {"a": 1}
