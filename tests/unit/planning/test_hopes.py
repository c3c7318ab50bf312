"""No path forgets what is known in the hope to see it better."""

from __future__ import annotations

from kraken.planning.path import NoPath, Path
from kraken.planning.planner import Planner
from kraken.testing.simulation.domains import images, unseen


def names(answer: Path | NoPath) -> list[str]:
    assert isinstance(answer, Path), answer
    return [step.operator.name for step in answer.steps]


def test_a_dear_mutation_is_done_although_to_hope_is_cheaper() -> None:
    planner = Planner(images().catalog)
    state = {"power": "ON", "image": "centos7", "kernel": "OLD"}
    cfg = {"power": "ON", "image": "rocky9"}

    assert names(planner.find_path({}, state, cfg)) == ["write"]


def test_to_wait_is_not_replaced_by_forgetting() -> None:
    planner = Planner(unseen().catalog)

    assert names(planner.find_path({}, {"heat": "WARM", "steam": "NONE"}, {"steam": "FULL"})) == ["steam_up"]


def test_what_is_not_known_may_be_hoped_for() -> None:
    planner = Planner(images().catalog)

    assert names(planner.find_path({}, {"power": "ON"}, {"image": "rocky9"})) == ["see_disk"]


def test_where_only_hope_is_left_there_is_no_path_and_it_says_so() -> None:
    planner = Planner(images().catalog)
    state = {"power": "ON", "image": "rocky9", "kernel": "NEW", "mount": "DONE"}
    answer = planner.find_path({}, state, {"mount": "NONE"})

    assert isinstance(answer, NoPath)
    assert answer.reasons == (
        "mount is DONE, and nothing leads on from there but to forget it and look again",
    )


def test_what_is_forgotten_for_another_wish_is_found_as_it_was() -> None:
    """Writing the disk forgets what is mounted; it is looked at again, once the kernel is new again."""
    planner = Planner(images().catalog)
    state = {"power": "ON", "image": "centos7", "kernel": "NEW"}
    cfg = {"image": "rocky9", "kernel": "NEW", "mount": "NONE"}

    assert names(planner.find_path({}, state | {"mount": "NONE"}, cfg)) == ["write", "upgrade", "see_disk"]
    assert isinstance(planner.find_path({}, state | {"mount": "DONE"}, cfg), NoPath)
