"""A question that would take minutes is given up, and says so; the daemon's loop goes on."""

from __future__ import annotations

from itertools import pairwise

import pytest

from kraken.planning import search
from kraken.planning.path import NoPath, Path
from kraken.planning.planner import Planner

NAMES = [f"v{i}" for i in range(6)]


@pytest.fixture
def knot(words):
    """Binary counting: each variable turns over only while all those before it are B."""
    for name in NAMES:
        words.variable(name, "A B")
    for i, name in enumerate(NAMES):
        fallen = dict.fromkeys(NAMES[:i], (None, "A"))
        below = dict.fromkeys(NAMES[:i], "B")
        words.mutation(f"up_{name}", changes={name: ("A", "B"), **fallen}, requires=below)
    return Planner(words.catalog())


def ask(planner):
    return planner.find_path({}, dict.fromkeys(NAMES, "A"), dict.fromkeys(NAMES, "B"))


def test_a_knot_of_variables_is_untied_with_enough_patience(knot):
    answer = ask(knot)

    assert isinstance(answer, Path)
    assert len(answer.steps) == 2 ** len(NAMES) - 1


def test_with_too_little_patience_it_is_given_up_and_says_that_there_may_be_a_path(knot, monkeypatch):
    monkeypatch.setattr(search, "VERTICES_MAX", 20)
    answer = ask(knot)

    assert isinstance(answer, NoPath)
    assert answer.variables == tuple(NAMES)
    assert "there may be one" in answer.reasons[0]


def test_what_was_given_up_is_not_tried_again_at_every_turn(knot, monkeypatch):
    monkeypatch.setattr(search, "VERTICES_MAX", 20)
    ask(knot)
    searched = knot.stats().searched

    ask(knot)

    assert knot.stats().searched == searched


def test_where_no_path_is_sure_but_not_who_is_to_blame_it_says_so(words, monkeypatch):
    """One B that can be handed on: any variable may have it, never all of them."""
    for name in NAMES:
        words.variable(name, "A B")
    for one, next_ in pairwise(NAMES):
        words.mutation(f"{one}_on", changes={one: ("B", "A"), next_: ("A", "B")})
        words.mutation(f"{one}_back", changes={one: ("A", "B"), next_: ("B", "A")})
    monkeypatch.setattr(search, "VERTICES_MAX", 60)
    planner = Planner(words.catalog())
    answer = planner.find_path({}, {**dict.fromkeys(NAMES, "A"), "v0": "B"}, dict.fromkeys(NAMES, "B"))

    assert isinstance(answer, NoPath)
    assert "no path leads there" in answer.reasons[0]
