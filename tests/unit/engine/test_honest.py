"""No path forgets what is known in the hope to see it better."""

from __future__ import annotations

from kraken.engine.honest import find_honest_path
from kraken.planning.path import NoPath, Path
from kraken.planning.planner import Planner
from kraken.testing.simulation.domains import images, unseen


def names(answer: Path | NoPath) -> list[str]:
    assert isinstance(answer, Path), answer
    return [step.operator.name for step in answer.steps]


def ask(planner: Planner, state: dict[str, str], cfg: dict[str, str]) -> Path | NoPath:
    return find_honest_path(planner, planner.class_of({}), state, cfg)


def test_a_dear_mutation_is_done_although_to_hope_is_cheaper() -> None:
    planner = Planner(images().catalog)
    state = {"power": "ON", "image": "centos7", "kernel": "OLD"}
    cfg = {"power": "ON", "image": "rocky9"}

    assert names(planner.find_path({}, state, cfg)) != ["write"]
    assert names(ask(planner, state, cfg)) == ["write"]


def test_to_wait_is_not_replaced_by_forgetting() -> None:
    planner = Planner(unseen().catalog)

    assert names(ask(planner, {"heat": "WARM", "steam": "NONE"}, {"steam": "FULL"})) == ["steam_up"]


def test_what_is_not_known_may_be_hoped_for() -> None:
    planner = Planner(images().catalog)

    assert names(ask(planner, {"power": "ON"}, {"image": "rocky9"})) == ["see_disk"]


def test_where_only_hope_is_left_there_is_no_path_and_it_says_so() -> None:
    planner = Planner(images().catalog)
    answer = ask(planner, {"power": "ON", "image": "rocky9", "kernel": "NEW"}, {"kernel": "OLD"})

    assert isinstance(answer, NoPath)
    assert "kernel" in answer.variables
    assert all("forget" in reason for reason in answer.reasons)
