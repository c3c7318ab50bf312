"""What is typed is read as it was meant, or refused with the word that is wrong."""

from __future__ import annotations

import click
import pytest

from kraken.cli.arguments import comma_pairs, pairs, select, split_words


def test_no_selection_is_an_error_and_never_all() -> None:
    with pytest.raises(click.UsageError, match="no nodes selected"):
        select(None, False)
    with pytest.raises(click.UsageError, match="nodeset is empty"):
        select("  ", False)


def test_a_nodeset_and_all_contradict_each_other() -> None:
    with pytest.raises(click.UsageError, match="both --all and"):
        select("n1", True)


def test_a_selection_is_what_the_api_takes() -> None:
    assert select("n[1-2]", False) == {"nodeset": "n[1-2]"}
    assert select(None, True) == {"all": True}
    assert select(None, False, or_all=True) == {"all": True}


def test_the_first_word_is_the_nodeset_unless_it_is_a_wish() -> None:
    assert split_words(("n1", "a=B"), False) == ("n1", ("a=B",))
    assert split_words(("a=B", "c=D"), False) == (None, ("a=B", "c=D"))
    assert split_words(("a=B",), True) == (None, ("a=B",))
    assert split_words((), False) == (None, ())


def test_pairs_keep_what_follows_the_first_sign() -> None:
    assert pairs(["image=rocky=9", "a = b"]) == {"image": "rocky=9", "a": "b"}


@pytest.mark.parametrize("word", ["a", "=b", "a=", " = "])
def test_half_a_pair_is_refused(word: str) -> None:
    with pytest.raises(click.UsageError, match="is not VAR=VALUE"):
        pairs([word])


def test_a_name_with_two_values_is_refused_and_one_said_twice_is_not() -> None:
    assert pairs(["a=b", "a=b"]) == {"a": "b"}
    with pytest.raises(click.UsageError, match="a is given twice"):
        pairs(["a=b", "a=c"])


def test_comma_lists_may_be_repeated() -> None:
    assert comma_pairs(["a=b,c=d", "e=f,"]) == {"a": "b", "c": "d", "e": "f"}
