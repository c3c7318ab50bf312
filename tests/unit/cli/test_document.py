"""Files of `apply` are read as they were meant; what is wrong is named with its line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from kraken.cli import document
from kraken.cli.document import parse_document, read_document
from kraken.errors import DocumentError


def parse(text: str) -> dict[str, object]:
    return parse_document(text, "lab.yml").content


def fails(text: str) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        parse_document(text, "lab.yml")
    return caught.value


def test_names_and_keys_stay_as_they_were_written() -> None:
    assert parse("nodes: {0001: {}, on: {}, ~: {}, 1.10: {}}") == {
        "nodes": {"0001": {}, "on": {}, "~": {}, "1.10": {}}
    }


def test_what_yaml_would_guess_wrongly_stays_text() -> None:
    text = """
mac: 10:20:30:40:50:11
serial: 0012
version: 1.10
date: 2026-01-01
hex: 0x1F
big: 1_000
not_a_number: .nan
"""

    assert parse(text) == {
        "mac": "10:20:30:40:50:11",
        "serial": "0012",
        "version": "1.10",
        "date": "2026-01-01",
        "hex": "0x1F",
        "big": "1_000",
        "not_a_number": ".nan",
    }


def test_plain_scalars_keep_their_types() -> None:
    assert parse("{a: 4, b: -1, c: 1.5, d: true, e: null, f: [x, 2], g: '4', h: off}") == {
        "a": 4,
        "b": -1,
        "c": 1.5,
        "d": True,
        "e": None,
        "f": ["x", 2],
        "g": "4",
        "h": False,
    }


def test_aliases_and_merges_work() -> None:
    text = "base: &b {x: 1, y: 2}\nother: {<<: *b, y: 3}\nmore: {<<: [{x: 9}, *b]}\n"

    assert parse(text)["other"] == {"x": 1, "y": 3}
    assert parse(text)["more"] == {"x": 9, "y": 2}


def test_a_key_given_twice_names_both_lines() -> None:
    error = fails("nodes:\n  n1: {}\n  n2: {}\n  n1: {}\n")

    assert (error.file, error.line, error.key) == ("lab.yml", 4, "nodes.n1")
    assert "column 3" in error.message
    assert "line 2" in str(error.hint)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", None, "the file is empty"),
        ("# only a comment\n", None, "the file is empty"),
        ("- n1\n", 1, "expected a mapping, found a list"),
        ("n1\n", 1, "expected a mapping, found the text 'n1'"),
        ("nodes: {n1: {}\ncfg: {}\n", 2, "not YAML"),
        ("nodes:\n  n1: a: b\n", 2, "mapping values are not allowed"),
        ("nodes:\n\tn1: {}\n", 2, "a tab where YAML wants spaces"),
        ("a: 1\n---\nb: 2\n", 2, "more than one document"),
        ("a: *nobody\n", 1, "undefined alias"),
        ("a: !vault x\n", 1, "the tag !vault is not supported"),
        ("a: !!python/object:os.system x\n", 1, "is not supported"),
        ("? [a]\n: 1\n", 1, "a key must be plain text"),
        ("a: &x [*x]\n", 1, "refers to what it is part of"),
        ("a: {<<: 5}\n", 1, "merges mappings only"),
        ("a: \x07\n", 1, "not YAML"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, line: int | None, words: str) -> None:
    error = fails(text)

    assert error.file == "lab.yml"
    assert error.line == line
    assert words in error.message


def test_aliases_that_multiply_are_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "VALUES_MAX", 10_000)
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9))

    assert "more than 10000 values" in fails(bomb).message


def test_deep_nesting_is_an_error_and_no_crash() -> None:
    assert "nested too deeply" in fails("a: " + "[" * 3000 + "]" * 3000).message


def test_the_line_of_a_key_the_daemon_refuses_is_found() -> None:
    read = parse_document("nodes:\n  n[1-2]:\n    cfg:\n      a.b: X\n", "lab.yml")

    assert read.line_of("nodes.n[1-2].cfg.a.b") == 4
    assert read.line_of("nodes.n[1-2].cfg.other") == 3
    assert read.line_of("nodes.n[1-2].what.ever") == 2
    assert read.line_of("elsewhere") is None


def test_bytes_that_are_not_utf8_name_their_line(tmp_path: Path) -> None:
    file = tmp_path / "lab.yml"
    file.write_bytes(b"nodes:\n  n\xe9: {}\n")

    with pytest.raises(DocumentError) as caught:
        read_document(str(file))

    assert caught.value.line == 2
    assert "0xe9 is not UTF-8" in caught.value.message


def test_a_file_larger_than_the_daemon_takes_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document, "BYTES_MAX", 1 << 20)
    file = tmp_path / "lab.yml"
    file.write_text("a: b\n" * (1 << 18))

    with pytest.raises(DocumentError, match="larger than 1 MiB"):
        read_document(str(file))


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="cannot read the file: Is a directory"):
        read_document(str(tmp_path))


def test_a_mark_of_byte_order_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    file = tmp_path / "lab.yml"
    file.write_bytes(b"\xef\xbb\xbfnodes: {}\n")

    assert read_document(str(file)).content == {"nodes": {}}


def test_ten_thousand_nodes_are_read(tmp_path: Path) -> None:
    nodes = {f"n{i:05}": {"attributes": {"bmc.address": f"10.0.{i // 256}.{i % 256}"}} for i in range(10_000)}
    file = tmp_path / "lab.yml"
    file.write_text(json.dumps({"nodes": nodes}))

    assert read_document(str(file)).content == {"nodes": nodes}
    assert sys.getrecursionlimit() == 1000
