"""Steps as people see them: what waits for what, and what runs side by side."""

from __future__ import annotations

from typing import Any

from kraken.cli.output import Output
from kraken.cli.steps import disrupted, show_steps, side_by_side


def step(name: str, *after: int, **more: Any) -> dict[str, Any]:
    return {"name": name, "module": "m", "kind": "mutation", "effects": {}, "cost": 1, "after": after, **more}


def test_side_by_side_are_steps_that_do_not_wait_for_one_another_however_long_the_chain() -> None:
    steps = [step("a"), step("b", 0), step("c", 0), step("d", 1), step("e", 2, 3)]

    assert side_by_side(steps) == [[], [1, 2], [1, 2, 3], [2, 3], []]


def test_a_table_of_steps_folds_numbers_and_leaves_out_what_says_nothing(capsys: Any) -> None:
    show_steps(Output(), [step("boot"), step("s1", 0), step("s2", 0), step("s3", 0), step("end", 1, 2, 3)])
    told = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    show_steps(Output(), [step("a"), step("b", 0)])
    plain = capsys.readouterr().out

    assert told == [
        "   STEP    ABOUT  AFTER  SIDE BY SIDE",
        "1  m.boot    1 s",
        "2  m.s1      1 s  1      2-4",
        "3  m.s2      1 s  1      2-4",
        "4  m.s3      1 s  1      2-4",
        "5  m.end     1 s  2-4",
    ]
    assert "SIDE BY SIDE" not in plain


def test_nodes_a_disruptive_step_touches_are_counted_once_per_group() -> None:
    off = step("off", disruptive=True)
    groups = [{"count": 3, "steps": [off, step("on", 0), off]}, {"count": 2, "steps": [off]}]

    assert disrupted(groups) == {"off": 5}
